#!/usr/bin/env python3
"""MATLAB's imresize of drawn pictures, in float64: prints test/golden/sr_resize.h.

    pip install numpy
    python3 scripts/reference/sr_resize_goldens.py > test/golden/sr_resize.h
    python3 scripts/reference/sr_resize_goldens.py --check    # against BasicSR's, needs PyTorch, BASICSR=folder

Written from the definition (a matrix an axis, borders by an index of period 2n), which is BasicSR's
`imresize` without its float32.
"""
import math
import os
import sys

import numpy as np

# width, height, channels, numerator and denominator of the scale
CASES = [(24, 20, 3, 1, 2), (21, 18, 3, 1, 3), (24, 16, 1, 1, 4), (17, 13, 3, 1, 2), (23, 19, 1, 1, 4),
         (9, 7, 3, 2, 1), (6, 5, 3, 3, 1), (5, 6, 1, 4, 1), (7, 5, 1, 7, 5), (19, 3, 1, 3, 7),
         (3, 2, 1, 1, 8), (1, 1, 3, 2, 1), (16, 16, 1, 1, 8)]


def draw(width, height, channels):
    """Of integers alone, 0..255, as in the test."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels].astype(np.int64)
    return (x * x * 7 + y * y * 13 + x * y * 5 + c * 101 + (x // 3 % 2) * 120 + (y // 4 % 2) * 60) % 256


def cubic(x):
    a = np.abs(x)
    near, far = (1.5 * a - 2.5) * a * a + 1, ((-0.5 * a + 2.5) * a - 4) * a + 2
    return np.where(a <= 1, near, np.where(a <= 2, far, 0.0))


def matrix(n, scale):
    """[out][n]: row k has the weights of output k + 1."""
    out = math.ceil(n * scale)
    width = 4 / scale if scale < 1 else 4
    k = np.arange(1, out + 1)
    u = k / scale + 0.5 * (1 - 1 / scale)
    taps = np.floor(u - width / 2)[:, None] + np.arange(math.ceil(width) + 2)
    d = u[:, None] - taps
    weights = scale * cubic(scale * d) if scale < 1 else cubic(d)
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.concatenate([np.arange(n), np.arange(n)[::-1]])
    at = mirrored[(taps.astype(int) - 1) % (2 * n)]
    full = np.zeros((out, n))
    np.add.at(full, (np.arange(out)[:, None].repeat(taps.shape[1], 1), at), weights)
    return full


def imresize(a, scale):
    a = np.asarray(a, np.float64)
    rows = np.einsum("ij,jkc->ikc", matrix(a.shape[0], scale), a)
    return np.einsum("lk,ikc->ilc", matrix(a.shape[1], scale), rows)


def check():
    sys.path.insert(0, os.environ["BASICSR"])
    import importlib.util
    spec = importlib.util.spec_from_file_location(
        "m", os.path.join(os.environ["BASICSR"], "basicsr/utils/matlab_functions.py"))
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    for w, h, c, p, q in CASES:
        if min(w, h) < 5:
            continue  # theirs cannot mirror more than the picture has
        a = draw(w, h, c) / 255
        d = np.abs(imresize(a, p / q) - np.asarray(theirs.imresize(a, p / q)).reshape(imresize(a, p / q).shape))
        print(w, h, c, p, q, "largest difference", d.max())


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    print("/* Made by scripts/reference/sr_resize_goldens.py: width, height, channels, scale as a fraction,\n"
          " * then the sides of the result, means (weighted, of squares) and four samples. */\n"
          "/* clang-format off */")
    for w, h, c, p, q in CASES:
        r = imresize(draw(w, h, c) / 255, p / q)
        flat = r.reshape(-1)
        n = flat.size
        weights = (np.arange(n) * 37 % 64) / 64  # no sample may stand in another's place
        figures = [(flat * weights).sum() / n, (flat * flat).sum() / n,
                   flat[0], flat[n // 3], flat[n // 2 + 1 if n > 3 else 0], flat[n - 1]]
        print("{%d, %d, %d, %d, %d, %d, %d, {%s}}," % (
            w, h, c, p, q, r.shape[1], r.shape[0], ", ".join("%.12g" % v for v in figures)))
    print("/* clang-format on */")


main()
