#!/usr/bin/env python3
"""Kernels of blurs by numpy and SciPy, blurring and resizing by PyTorch and Pillow: prints
test/golden/sr_degrade.h.

    pip install numpy scipy torch pillow
    python3 scripts/reference/sr_degrade_goldens.py > test/golden/sr_degrade.h

Kernels as Real-ESRGAN defines them (basicsr/data/degradations.py), in float64.
"""
import numpy as np
import torch
from PIL import Image
from scipy.special import j1
from torch.nn.functional import conv2d, interpolate, pad

# shape, size, sigma_x, sigma_y, angle, beta, omega
KERNELS = [(0, 21, 2.0, 2.0, 0, 1, 0), (0, 15, 0.2, 3.0, 0.7, 1, 0), (0, 7, 1.1, 0.4, -3.1, 1, 0),
           (1, 21, 1.5, 2.8, 2.2, 0.5, 0), (1, 13, 2.6, 0.9, -1.0, 4.0, 0), (2, 17, 1.0, 2.0, 0.3, 1.7, 0),
           (2, 9, 3.0, 3.0, 0, 0.6, 0), (3, 7, 1, 1, 0, 1, 1.0471975511965976), (3, 21, 1, 1, 0, 1, 3.0),
           (3, 13, 1, 1, 0, 1, 0.7)]
# mode, width, height, new width, new height
SIZES = [(m, *s) for m in range(5) for s in ((24, 18, 11, 9), (17, 13, 29, 31), (20, 16, 19, 17), (30, 7, 4, 7))]


def kernel(shape, size, sx, sy, angle, beta, omega):
    y, x = np.mgrid[0:size, 0:size] - size // 2
    if shape == 3:
        r = np.hypot(x, y)
        with np.errstate(invalid="ignore", divide="ignore"):
            k = omega * j1(omega * r) / (2 * np.pi * r)
        k[size // 2, size // 2] = omega ** 2 / (4 * np.pi)
        return k / k.sum()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sx ** 2, sy ** 2]) @ turn.T)
    xy = np.stack([x, y], -1)
    q = np.einsum("yxi,ij,yxj->yx", xy, inverse, xy)
    k = [np.exp(-q / 2), np.exp(-q ** beta / 2), 1 / (1 + q ** beta)][shape]
    return k / k.sum()


def blur(a, w):
    """With a mirrored border."""
    t = pad(torch.from_numpy(a).permute(2, 0, 1)[:, None], (len(w) // 2,) * 4, mode="reflect")
    return conv2d(t, torch.from_numpy(w)[None, None])[:, 0].permute(1, 2, 0).numpy()


def draw(width, height):
    """Of integers alone, 0..255, as in the test."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3].astype(np.int64)
    return (x * x * 7 + y * y * 13 + x * y * 5 + c * 101) % 256 / 255


def resize(mode, a, w, h):
    if mode == 4:
        return np.stack([np.asarray(Image.fromarray(a[..., c].astype(np.float32)).resize((w, h), Image.LANCZOS))
                         for c in range(3)], 2).astype(np.float64)
    t = torch.from_numpy(a).permute(2, 0, 1)[None]
    how = [{"mode": "area"}, {"mode": "bilinear"}, {"mode": "bicubic", "antialias": True},
           {"mode": "nearest-exact"}][mode]
    return interpolate(t, size=(h, w), **how)[0].permute(1, 2, 0).numpy()


def figures(a):
    """Means (weighted by place, of squares) and samples: no sample may stand in another's place."""
    flat = a.reshape(-1)
    n = flat.size
    v = [(flat * (np.arange(n) * 37 % 64) / 64).sum() / n, (flat * flat).sum() / n, flat[0], flat[n // 3], flat[n // 2],
         flat[n - 1]]
    return "{%s}" % ", ".join("%.12g" % x for x in v)


def sharpen(a, size=51):
    """Real-ESRGAN's USMSharp: of 51 samples, weight .5, threshold 10."""
    x = np.arange(size) - size // 2
    line = np.exp(-x * x / (2 * (0.3 * ((size - 1) / 2 - 1) + 0.8) ** 2))
    line /= line.sum()

    square = np.outer(line, line)
    r = a - blur(a, square)
    soft = blur((np.abs(r) * 255 > 10).astype(np.float64), square)
    return soft * np.clip(a + 0.5 * r, 0, 1) + (1 - soft) * a


def main():
    print("/* Made by scripts/reference/sr_degrade_goldens.py. */\n/* clang-format off */")
    print("static const struct kernel_golden kernel_goldens[] = {")
    for k in KERNELS:
        w = kernel(*k)
        blurred = blur(draw(26, 23), w)
        print("{{%s}, %s, %s}," % (", ".join("%.17g" % v for v in k), figures(w), figures(blurred)))
    print("};\nstatic const struct resize_golden resize_goldens[] = {")
    for s in SIZES:
        print("{%s, %s}," % (", ".join(map(str, s)), figures(resize(s[0], draw(s[1], s[2]), s[3], s[4]))))
    print("};\nstatic const double sharpened[6] = %s;\n/* clang-format on */" % figures(sharpen(draw(40, 34))))


if __name__ == "__main__":
    main()
