#!/usr/bin/env python3
"""Degrades an image by what `imgtrain degrade` says that it has drawn, with numpy, PyTorch and Pillow, and compares.

    pip install numpy scipy torch pillow
    python3 scripts/reference/sr_degrade_check.py ./imgtrain PHOTO [key=value ...]

Everything but noise, whose statistics test/sr/sr_degrade_test.c holds: 16 draws, every stage in float64. Rounding to 8
bits makes a difference of 1e-7 one of a level where a mean of bytes lies in the middle of two, and JPEG a block's of some
levels: what is printed is how many samples are equal, and the largest difference. Exit status 1 unless 90 % are equal, the
mean difference is at most .1 and the largest 12; a stage that does something else changes half of the samples.
"""
import json
import io
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from scipy.ndimage import minimum_filter

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from sr_degrade_goldens import blur, kernel, resize, sharpen  # noqa: E402

MODES = {"area": 0, "bilinear": 1, "bicubic": 2, "nearest-exact": 3, "lanczos": 4}
SHAPES = {"gaussian": 0, "generalized": 1, "plateau": 2, "sinc": 3}
SILENT = ["noise_range=[0,0]", "noise_range2=[0,0]", "poisson_scale_range=[0,0]", "poisson_scale_range2=[0,0]"]


def by_kernel(a, k):
    return blur(a, kernel(SHAPES[k["shape"]], k["size"], k.get("sigma_x", 1), k.get("sigma_y", 1), k.get("angle", 0),
                          k.get("beta", 1), k.get("omega", 1)))


def to_size(a, w, h, mode):
    return a if a.shape[:2] == (h, w) else resize(MODES[mode], a, w, h)


def bytes_of(a):
    return np.floor(np.clip(a, 0, 1) * 255 + 0.5).astype(np.uint8)


def jpeg(a, quality):
    to = io.BytesIO()
    Image.fromarray(bytes_of(a)).save(to, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(to)) / 255


def side(n, factor):
    return max(1, int(np.floor(n * factor + 0.5)))


def degrade(gt, draws, scale):
    h, w = gt.shape[0] // scale, gt.shape[1] // scale
    a, whole = gt, (gt.shape[0], gt.shape[1])
    if "usm" in draws:
        a = sharpen(a, draws["usm"])
    if "thicklines" in draws:
        a = 0.75 * a + 0.25 * minimum_filter(a, (3, 3, 1), mode="nearest")
    for name, (high, wide) in (("first", whole), ("second", (h, w))):
        r = draws[name]
        if "blur" in r:
            a = by_kernel(a, r["blur"])
        a = np.clip(to_size(a, side(wide, r["resize"]), side(high, r["resize"]), r["mode"]), 0, 1)
        if name == "first" and r["jpeg"]:
            a = jpeg(a, r["jpeg"])
    last, quality = draws["last"], draws["second"]["jpeg"]
    if last["jpeg"] == "before":
        a = jpeg(a, quality)
    a = to_size(a, w, h, last["mode"])
    if "sinc" in last:
        a = by_kernel(a, last["sinc"])
    if last["jpeg"] == "after":
        a = jpeg(a, quality)
    return bytes_of(a)


def main():
    program, photo, keys = sys.argv[1], sys.argv[2], sys.argv[3:]
    scale = int(next((k[6:] for k in keys if k.startswith("scale=")), 4))
    equal, mean, most = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "degrade", "cfgs/sr-x4-otf.yaml", photo, "-o", folder, "--count", "16", f"scale={scale}",
                        *SILENT, *keys], check=True)
        for i in range(1, 17):
            name = f"{folder}/{i:06d}"
            gt = np.asarray(Image.open(name + "_gt.png")) / 255
            ours = np.asarray(Image.open(name + "_lq.png")).astype(int)
            theirs = degrade(gt, json.load(open(name + ".json"))["draws"], scale).astype(int)
            off = np.abs(ours - theirs)
            equal.append((off == 0).mean())
            mean.append(off.mean())
            most.append(off.max())
            print(f"{i:2d}  equal {100 * equal[-1]:.3f} %  mean difference {mean[-1]:.4f}  largest {most[-1]}")
    good = min(equal) >= 0.9 and max(mean) <= 0.1 and max(most) <= 12
    print(f"16 draws: equal {100 * min(equal):.3f} % at least, mean difference {max(mean):.4f} at most: "
          f"{'good' if good else 'NOT GOOD'}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
