"""Times whole training steps of S3-DiT in PyTorch (diffusers' network, AdamW) and here, in turns, on one thread;
and the bytes that autograd keeps for a backward pass beside all that is planned here.

  s3dit_speed.py [--shape small|large] [--times 3] [--imgtrain ./imgtrain] [--isa avx2]

small: 0.65 M parameters, 48 images of 16 px; large: 12.7 M parameters, 16 images of 32 px. Prints medians of
seconds of processor time, which other work on the machine disturbs less than seconds on the clock."""
import argparse
import json
import os
import statistics
import subprocess
import time

import torch
from diffusers import ZImageTransformer2DModel

# dim, layers, refiners, heads, pixels, images
SHAPES = {"small": (64, 3, 1, 2, 16, 48), "large": (256, 8, 2, 4, 32, 16)}


def network(shape):
    dim, layers, refiners, heads, _, _ = shape
    width = dim // heads
    return ZImageTransformer2DModel(in_channels=3, dim=dim, n_layers=layers, n_refiner_layers=refiners, n_heads=heads,
                                    n_kv_heads=heads, cap_feat_dim=32, axes_dims=[width // 2, width // 4, width // 4],
                                    axes_lens=[256, 64, 64])


def loss_of(net, shape):
    pixels, images = shape[4:]
    x, z = torch.randn(2, images, 3, 1, pixels, pixels)
    t, text = torch.sigmoid(torch.randn(images)), torch.randn(images, 1, 32)
    mixed = torch.lerp(x, z, t.view(-1, 1, 1, 1, 1))
    out = torch.stack(net(list(mixed), 1 - t, list(text))[0])
    return ((-out - (z - x)) ** 2).mean()


def step_there(net, optimiser, shape):
    begin = time.process_time()
    loss = loss_of(net, shape)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1)
    optimiser.step()
    return time.process_time() - begin


def kept_bytes(net, shape):
    """Bytes of all that autograd keeps when the forward pass is done."""
    storages = {}

    def pack(x):
        storages[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = loss_of(net, shape)
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    total = sum(x.untyped_storage().nbytes() for at, x in storages.items() if at not in weights)
    del loss
    return total


def step_here(o, shape):
    dim, layers, refiners, heads, pixels, images = shape
    command = [o.imgtrain, "bench", "--task", "diffusion", "--device", "cpu", "--json", "--threads", "1", "--steps", "3"]
    for name, value in (("size", pixels), ("images", images), ("dim", dim), ("layers", layers), ("refiners", refiners),
                        ("heads", heads)):
        command += ["--" + name, str(value)]
    env = dict(os.environ, **({"IMGTRAIN_ISA": o.isa} if o.isa else {}))
    return json.loads(subprocess.run(command, check=True, env=env, capture_output=True).stdout)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--imgtrain", default="./imgtrain")
    parser.add_argument("--isa")
    o = parser.parse_args()
    if o.isa:
        os.environ["ATEN_CPU_CAPABILITY"] = o.isa
    torch.set_num_threads(1)
    shape = SHAPES[o.shape]
    net = network(shape)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.9, 0.95))
    step_there(net, optimiser, shape)
    there, here = [], []
    for _ in range(o.times):
        there.append(step_there(net, optimiser, shape))
        here.append(step_here(o, shape))
    a, b = statistics.median(there), statistics.median(x["cpu_ms"] for x in here) / 1e3
    images = shape[5]
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {images} images of {shape[4]} px")
    print(f"a step: PyTorch {torch.__version__} {a:.3f} s ({images / a:.1f} images/s), "
          f"imgtrain {b:.3f} s ({images / b:.1f} images/s): {a / b:.2f} times as fast")
    print(f"memory: autograd keeps {kept_bytes(net, shape) / 2**20:.1f} MiB besides weights and their state, "
          f"imgtrain plans {here[0]['plan_bytes'] / 2**20:.1f} MiB for all")


if __name__ == "__main__":
    main()
