"""Writes test/golden/s3dit_*.safetensors: S3-DiT's outputs and gradients by diffusers (0.42.1).

  s3dit_goldens.py [FOLDER]        writes all cases (seconds)

Weights and inputs are formulas, so no file holds them: number `index` of what is called NAME is

  u = (splitmix64(fnv1a(NAME) + index) >> 40) / 2^23 - 1;   offset + scale u in double, rounded to float

with offset 1 and scale .3 for norms' weights, offset 0 and scale 1 / sqrt(columns) for matrices, .3 for
biases, .8 for pads. Nothing starts at 0: a network whose last layer does hides its faults. Inputs: `image.I`
[h][w][c], `text.I` [rows][text_dim] and `d_out.I` of scale 1 for sample I; what the network is told of the
time is .5 + .45 u of `time`. The loss is sum out d_out over all samples.

A file holds `out` [n][h][w][c], `text_gradient` [n][rows][text_dim], and `gradients` [tensors][21]: of each
tensor, in the order of the metadata's `names`, the largest size of a number, four sums with signs (that of u
of `NAME.sign.K`), and 16 numbers, at the indices splitmix64(fnv1a(NAME) + 2^32 + i) mod count.
"""
import os
import sys

import numpy as np
import torch
from diffusers import ZImageTransformer2DModel

import tensorfile

U64 = (1 << 64) - 1
SAMPLED, SIGNED = 16, 4

SMALL = dict(in_channels=4, dim=48, n_layers=2, n_refiner_layers=1, n_heads=2, cap_feat_dim=32, axes_dims=[8, 8, 8],
             axes_lens=[256, 32, 32])
ODD = dict(in_channels=3, dim=64, n_layers=1, n_refiner_layers=2, n_heads=4, cap_feat_dim=20, axes_dims=[8, 4, 4],
           axes_lens=[128, 16, 16])
# name: config, height, width, rows of features, caption lengths
CASES = {
    "12_31": (SMALL, 6, 8, 31, [31]),
    "35_32": (SMALL, 10, 14, 32, [32]),
    "32_33": (SMALL, 8, 16, 33, [33]),
    "unequal": (dict(SMALL, cap_feat_dim=4), 6, 8, 65, [33, 1, 65, 32]),
    "odd": (ODD, 8, 8, 1, [1, 1]),
}


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & U64
    return h


def splitmix64(x):
    """Of an array of u64: its generator's first output when it starts from x."""
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def words(name, count, first=0):
    with np.errstate(over="ignore"):
        return splitmix64(np.uint64(fnv1a(name)) + np.arange(first, first + count, dtype=np.uint64))


def uniform(name, count):
    return (words(name, count) >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def drawn(name, shape, scale=1.0, offset=0.0):
    values = offset + scale * uniform(name, int(np.prod(shape)))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def weights(name, shape):
    if "pad_token" in name:
        return drawn(name, shape, 0.8)
    if len(shape) == 2:
        return drawn(name, shape, 1 / np.sqrt(shape[1]))
    if name.endswith("bias"):
        return drawn(name, shape, 0.3)
    return drawn(name, shape, 0.3, 1.0)


def summary(name, gradient):
    g = gradient.detach().double().numpy().reshape(-1)
    signs = [np.where(uniform(f"{name}.sign.{k}", g.size) < 0, -1.0, 1.0) for k in range(SIGNED)]
    at = words(name, SAMPLED, 1 << 32) % np.uint64(g.size)
    return np.concatenate([[np.abs(g).max()], [(g * s).sum() for s in signs], g[at.astype(np.int64)]])


def run(case):
    config, height, width, rows, lengths = CASES[case]
    net = ZImageTransformer2DModel(n_kv_heads=config["n_heads"], **config)
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(weights(name, tuple(p.shape)))
    channels, text_dim = config["in_channels"], config["cap_feat_dim"]
    n = len(lengths)
    images = [drawn(f"image.{i}", (height, width, channels)) for i in range(n)]
    texts = [drawn(f"text.{i}", (rows, text_dim)).requires_grad_() for i in range(n)]
    time = drawn("time", (n,), 0.45, 0.5)
    out = net([x.permute(2, 0, 1)[:, None] for x in images], time, [t[:k] for t, k in zip(texts, lengths)])[0]
    out = torch.stack([y[:, 0].permute(1, 2, 0) for y in out])
    loss = sum((y * drawn(f"d_out.{i}", tuple(y.shape))).sum() for i, y in enumerate(out))
    loss.backward()
    names = [name for name, _ in net.named_parameters()]
    for name, p in net.named_parameters():
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    gradients = np.stack([summary(name, p.grad) for name, p in net.named_parameters()])
    tensors = {"out": out.contiguous(), "text_gradient": torch.stack([t.grad for t in texts]),
               "gradients": torch.from_numpy(gradients.astype(np.float32))}
    about = {"names": ",".join(names), "height": height, "width": width, "rows": rows,
             "lengths": ",".join(map(str, lengths)), "parameters": sum(p.numel() for p in net.parameters())}
    for key, value in config.items():
        about["config." + key] = ",".join(map(str, value)) if isinstance(value, list) else value
    return tensors, about


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../../test/golden")
    for case in CASES:
        tensors, about = run(case)
        path = os.path.join(folder, f"s3dit_{case}.safetensors")
        tensorfile.save(path, tensors, about)
        print(path, os.path.getsize(path), "bytes,", about["parameters"], "parameters, largest",
              tensors["out"].abs().max().item())


if __name__ == "__main__":
    main()
