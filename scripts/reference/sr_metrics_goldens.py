#!/usr/bin/env python3
"""PSNR and SSIM of drawn pictures, of RGB and of Y, by BasicSR's definition (metrics/psnr_ssim.py): prints
test/golden/sr_metrics.h.

    pip install numpy opencv-python-headless
    python3 scripts/reference/sr_metrics_goldens.py > test/golden/sr_metrics.h
    python3 scripts/reference/sr_metrics_goldens.py A.png B.png CROP_BORDER    # of two files

As there: crop_border, then Y = 16 + 65.481 R + 128.553 G + 24.966 B, OpenCV's filter2D with its Gaussian 11,
1.5, five samples cut at each side, (.01 255)^2 and (.03 255)^2. Theirs holds Y as float32, which moves PSNR of
nearly equal pictures by 1e-5 dB; this is float64 throughout.
"""
import sys

import cv2
import numpy as np

# width, height, channels, how they differ, crop_border
CASES = [(48, 40, 3, 0, 0), (48, 40, 3, 0, 4), (61, 37, 3, 1, 2), (33, 50, 3, 2, 3), (40, 40, 1, 1, 4),
         (23, 200, 3, 0, 1), (70, 30, 3, 3, 2), (350, 150, 3, 2, 8)]


def draw(width, height, channels):
    """Of integers alone, 0..255, as in the test."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels].astype(np.int64)
    v = (x * (3 + 2 * c) + y * (5 - c)) % 511
    v = np.where(v < 256, v, 510 - v)
    return np.where((2 * x - width) ** 2 + (2 * y - height) ** 2 < width * height // 2, 255 - v, v)


def change(a, how):
    y, x, c = np.mgrid[0:a.shape[0], 0:a.shape[1], 0:a.shape[2]].astype(np.int64)
    if how == 0:  # noise of a kind
        return np.clip(a + (x * x * 31 + y * y * 17 + x * y * 7 + c * 53) % 41 - 20, 0, 255)
    if how == 1:  # a level off here and there
        return np.clip(a + ((x * 7 + y * 3 + c) % 5 == 0), 0, 255)
    if how == 2:  # darker, few levels
        return a * 7 // 8 // 8 * 8
    b = a.copy()  # one sample
    b[a.shape[0] // 2, a.shape[1] // 2, 1] ^= 4
    return b


def luma(a):
    return (16 + a @ np.array([65.481, 128.553, 24.966]) / 255)[..., None]


def ssim(a, b):
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    k = cv2.getGaussianKernel(11, 1.5)
    k = np.outer(k, k)

    def mean(v):
        return cv2.filter2D(v, -1, k)[5:-5, 5:-5]

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    return np.mean((2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2)))


def measure(a, b, border):
    a, b = (np.ascontiguousarray(v[border:v.shape[0] - border, border:v.shape[1] - border], np.float64)
            for v in (a, b))
    if a.shape[2] == 1:  # read as OpenCV reads grey files
        a, b = a.repeat(3, 2), b.repeat(3, 2)
    figures = []
    for x, y in ((a, b), (luma(a), luma(b))):
        figures.append(10 * np.log10(255 ** 2 / np.mean((x - y) ** 2)))
        figures.append(np.mean([ssim(np.ascontiguousarray(x[..., i]), np.ascontiguousarray(y[..., i]))
                                for i in range(x.shape[2])]))
    return figures


def main():
    if len(sys.argv) == 4:
        a, b = (cv2.imread(f)[..., ::-1] for f in sys.argv[1:3])
        print(*("%.9f" % v for v in measure(a, b, int(sys.argv[3]))))
        return
    print("/* Made by scripts/reference/sr_metrics_goldens.py: width, height, channels, how they differ, border, then\n"
          " * PSNR and SSIM of RGB and of Y. */\n/* clang-format off */")
    for case in CASES:
        a = draw(*case[:3])
        print("{%s, {%s}}," % (", ".join(map(str, case)),
                               ", ".join("%.12g" % v for v in measure(a, change(a, case[3]), case[4]))))
    print("/* clang-format on */")


main()
