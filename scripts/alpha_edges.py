#!/usr/bin/env python3
"""Whether samples with alpha have fringes, and whether their alpha is spread as the images' is.

  alpha_edges.py RUN/cache/pictures-*.bin SAMPLES/        (needs numpy and Pillow)

Edge: a pixel of alpha 25 to 230 beside (eight neighbours) one of 250 or more. Its straight colour less the mean of
those neighbours', of 255: the mean of brightness (a light fringe is above 0, a dark one below) and the mean distance
over R, G, B. "over white" and "over black" are the images with such a fringe, made by taking the colour of the picture on
that ground for the straight one: what a generator of straight colours would be taught.
"""
import pathlib
import sys

import numpy
from PIL import Image

LUMA = numpy.array((0.299, 0.587, 0.114))


def read_cache(path):
    data = pathlib.Path(path).read_bytes()
    if data[:7] != b'imgtds2' or data[7] != 4:
        sys.exit(f'{path}: no cache of images with alpha')
    w, h, n = numpy.frombuffer(data, '<u4', 3, 24)
    return numpy.frombuffer(data, numpy.uint8, n * h * w * 4, 4096).reshape(n, h, w, 4).astype(float)


def straighten(images):
    alpha = images[..., 3:]
    colours = numpy.where(alpha > 0, images[..., :3] * 255 / numpy.maximum(alpha, 1), 0)
    return numpy.concatenate((colours.round().clip(0, 255), alpha), -1)


def edges(images):
    """Mean difference of brightness, mean distance, and how many edges there are."""
    alpha = images[..., 3]
    inside = (alpha >= 250).astype(float)
    total, count = numpy.zeros(images.shape[:3] + (3,)), numpy.zeros(images.shape[:3])
    height, width = alpha.shape[1:]
    padded = numpy.pad(images[..., :3] * inside[..., None], ((0, 0), (1, 1), (1, 1), (0, 0)))
    whole = numpy.pad(inside, ((0, 0), (1, 1), (1, 1)))
    for dy in range(3):
        for dx in range(3):
            total += padded[:, dy:dy + height, dx:dx + width]
            count += whole[:, dy:dy + height, dx:dx + width]
    edge = (alpha >= 25) & (alpha <= 230) & (count > 0)
    apart = images[..., :3][edge] - total[edge] / count[edge][:, None]
    return (apart @ LUMA).mean(), numpy.abs(apart).mean(), int(edge.sum())


def histogram(images):
    return numpy.histogram(images[..., 3], 16, (0, 256))[0] / images[..., 3].size


def distance(a, b):
    """Total variation of two histograms, and how far alpha must be moved (of 255, by bins of 16)."""
    return abs(a - b).sum() / 2, abs(numpy.cumsum(a - b)).sum() * 16


def main():
    stored = read_cache(sys.argv[1])
    files = sorted(pathlib.Path(sys.argv[2]).glob('*.png'))
    samples = numpy.array([numpy.asarray(Image.open(f).convert('RGBA')) for f in files]).astype(float)
    images = straighten(stored)
    rows = [('images', images), (f'{len(samples)} samples', samples)]
    for name, ground in (('images over white', 255), ('images over black', 0)):
        over = stored[..., :3] + ground * (1 - stored[..., 3:] / 255)
        rows.append((name, numpy.concatenate((over, stored[..., 3:]), -1)))
    print(f'{"edges of":20} {"brightness":>10} {"distance":>9} {"edges":>7}')
    for name, values in rows:
        print('%-20s %+10.1f %9.1f %7d' % (name, *edges(values)))
    halves = distance(histogram(images[::2]), histogram(images[1::2]))
    print('alpha of images and samples: total variation %.3f, moved by %.1f; of the halves of the images %.3f, %.1f'
          % (*distance(histogram(images), histogram(samples)), *halves))
    print('alpha 0 to 15: images %.3f, samples %.3f; 240 to 255: %.3f, %.3f'
          % (histogram(images)[0], histogram(samples)[0], histogram(images)[-1], histogram(samples)[-1]))


main()
