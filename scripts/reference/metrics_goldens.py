#!/usr/bin/env python3
"""What other programs say about the pictures that test/metrics/metrics.c draws: prints test/golden/metrics.h.

    pip install numpy torch pytorch_msssim scikit-image flip-evaluator
    python3 scripts/reference/metrics_goldens.py > test/golden/metrics.h
    python3 scripts/reference/metrics_goldens.py A.png B.png     # the same figures for two files

SSIM: pytorch_msssim in float64, and scikit-image must agree. MS-SSIM: pytorch_msssim, for sides that
are multiples of 16 (it pads odd sides differently). FLIP: the authors' flip-evaluator. PSNR: numpy.
"""
import sys

import flip_evaluator
import numpy as np
import torch
from pytorch_msssim import ms_ssim, ssim
from skimage.metrics import structural_similarity

# width, height, channels, distortion (see draw)
CASES = [(64, 48, 3, 0), (37, 29, 3, 1), (11, 11, 1, 2), (176, 192, 3, 0), (208, 176, 1, 1),
         (530, 140, 3, 2), (150, 260, 3, 3), (40, 300, 1, 0), (1000, 16, 3, 1)]


def noise(x, y, c):
    with np.errstate(over="ignore"):
        h = x * np.uint32(374761393) + y * np.uint32(668265263) + c * np.uint32(2246822519)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
        return h ^ (h >> np.uint32(16))


def draw_clean(x, y, c, width, height):
    """Slanted waves, a disc in inverse colours, a little noise: integers only, as in the test."""
    t = (x * (3 + c) + y * (7 - 2 * c)) // 2 & 511
    v = np.where(t < 256, t, 511 - t)
    dx, dy = 2 * x - width, 3 * y - height
    v = np.where(dx * dx + dy * dy < width * height // 3, 255 - v, v)
    return np.minimum(v * 15 // 16 + (noise(x.astype(np.uint32), y.astype(np.uint32), np.uint32(c)) & 15), 255)


def draw(width, height, channels, distortion):
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    a = np.stack([draw_clean(x, y, c, width, height) for c in range(channels)], 2)
    if distortion == 0:  # noise
        b = np.stack([noise((x + 1000).astype(np.uint32), y.astype(np.uint32), np.uint32(c)) % 49
                      for c in range(channels)], 2).astype(np.int64)
        b = np.clip(a + b - 24, 0, 255)
    elif distortion == 1:  # moved and darker
        b = np.stack([draw_clean(x + 2, y, c, width, height) for c in range(channels)], 2) * 7 // 8
    elif distortion == 2:  # few levels
        b = a & 0xE0
    else:  # one block
        b = a.copy()
        b[height // 2:height // 2 + 5, width // 2:width // 2 + 5] = 255
    return a.astype(np.uint8), b.astype(np.uint8)


def measure(a, b):
    x, y = (torch.from_numpy(v.astype(np.float64) / 255).permute(2, 0, 1)[None] for v in (a, b))
    d = np.arange(11) - 5.0
    window = np.exp(-d * d / 4.5)
    window = torch.from_numpy(window / window.sum())[None, None, None].repeat(a.shape[2], 1, 1, 1)
    s = float(ssim(x, y, data_range=1.0, win=window))
    other = structural_similarity(a / 255, b / 255, data_range=1.0, channel_axis=2, sigma=1.5,
                                  gaussian_weights=True, use_sample_covariance=False, truncate=3.5)
    assert abs(s - other) < 1e-9, (s, other)
    m = -1.0
    if min(a.shape[:2]) > 160 and a.shape[0] % 16 == 0 and a.shape[1] % 16 == 0:
        m = float(ms_ssim(x, y, data_range=1.0, win=window))
    p, q = ((v if v.shape[2] == 3 else v.repeat(3, 2)).astype(np.float32) / 255 for v in (a, b))
    errors, mean, _ = flip_evaluator.evaluate(p, q, "LDR", applyMagma=False)
    assert abs(errors.mean(dtype=np.float64) - mean) < 1e-5
    psnr = 10 * np.log10(1 / np.mean((a / 255 - b / 255) ** 2))
    return psnr, s, m, errors.mean(dtype=np.float64), errors.max()


def main():
    if len(sys.argv) == 3:
        from skimage.io import imread
        print(*("%.9g" % v for v in measure(*(imread(f) for f in sys.argv[1:]))))
        return
    print("/* Made by scripts/reference/metrics_goldens.py: width, height, channels, distortion, then\n"
          " * PSNR, SSIM, MS-SSIM (-1: not asked), mean and largest FLIP. */\n/* clang-format off */")
    for case in CASES:
        print("{%s, %s}," % (", ".join(map(str, case)),
                             ", ".join("%.10g" % v for v in measure(*draw(*case)))))
    print("/* clang-format on */")


main()
