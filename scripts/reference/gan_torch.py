"""The GAN of `task: gan` in plain PyTorch, R1 and R2 by double backward: an independent statement.

Formulas, tensor names and shapes are in GAN_TENSORS.md. The model is R3GAN's (Huang et al., NeurIPS
2024): piecewise linear networks, relativistic pairing loss, penalties on reals and fakes.

  gan_torch.py bench [--size 16 32 64] [--against ./imgtrain]    images/s of D + G steps
  gan_torch.py memory [--size 16 32 64]   bytes that a step keeps, and that the process grows by
  gan_goldens.py                          writes and checks test/golden/gan_*
"""
import argparse
import json
import math
import statistics
import subprocess
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from allocator import keep_memory

GROUP = 16
SLOPE = 0.2


@dataclass(frozen=True)
class Shape:
    base: tuple  # (height, width) of stage 0
    widths: tuple  # channels of each stage, rising resolution
    blocks: tuple
    z: int = 64
    classes: int = 0
    embedding: int = 0
    image_channels: int = 3

    @property
    def size(self):
        scale = 2 ** (len(self.widths) - 1)
        return self.base[0] * scale, self.base[1] * scale


# ---------------------------------------------------------------- networks

def block_shapes(prefix, c):
    return {prefix + "w1": (2 * c, c, 1, 1), prefix + "bias1": (2 * c,),
            prefix + "w2": (2 * c, GROUP, 3, 3), prefix + "bias2": (2 * c,),
            prefix + "w3": (c, 2 * c, 1, 1)}


def generator_shapes(shape):
    widths, shapes = shape.widths, {}
    if shape.classes:
        shapes["embed"] = (shape.embedding, shape.classes)
    shapes["linear"] = (widths[0], shape.z + (shape.embedding if shape.classes else 0))
    shapes["basis"] = (widths[0], *shape.base)
    for s, c in enumerate(widths):
        if s and widths[s - 1] != c:
            shapes[f"s{s}.transition"] = (c, widths[s - 1], 1, 1)
        for i in range(shape.blocks[s]):
            shapes.update(block_shapes(f"s{s}.b{i}.", c))
    shapes["rgb"] = (shape.image_channels, widths[-1], 1, 1)
    return shapes


def discriminator_shapes(shape):
    widths = shape.widths
    shapes = {"rgb": (widths[-1], shape.image_channels, 1, 1)}
    for s in reversed(range(len(widths))):
        for i in range(shape.blocks[s]):
            shapes.update(block_shapes(f"s{s}.b{i}.", widths[s]))
        if s and widths[s - 1] != widths[s]:
            shapes[f"s{s}.transition"] = (widths[s - 1], widths[s], 1, 1)
    shapes["depthwise"] = (widths[0], 1, *shape.base)
    shapes["linear"] = (shape.embedding if shape.classes else 1, widths[0])
    if shape.classes:
        shapes["embed"] = (shape.embedding, shape.classes)
    return shapes


def initial(shapes, blocks, generator, generative):
    """Weights at the start of a training."""
    gain = math.sqrt(2 / (1 + SLOPE ** 2)) * blocks ** -0.25
    weights = {}
    for name, dims in shapes.items():
        last = name.split(".")[-1]
        std = {"w1": gain, "w2": gain, "w3": 0, "bias1": 0, "bias2": 0}.get(last, 1.0)
        std /= math.sqrt(math.prod(dims[1:]))
        if last == "basis":
            std = 1.0
        if last == "embed":
            std = 1.0 if generative else dims[0] ** -0.5
        weights[name] = torch.randn(dims, generator=generator) * std
    return weights


class Margin:
    """Least |input| of any leaky ReLU while `watch` is set; for choosing goldens."""
    watch = False
    least = math.inf


def lrelu(x):
    if Margin.watch:
        Margin.least = min(Margin.least, x.detach().abs().min().item())
    return F.leaky_relu(x, SLOPE)


def block(w, prefix, x):
    y = lrelu(F.conv2d(x, w[prefix + "w1"], w[prefix + "bias1"]))
    w2 = w[prefix + "w2"]
    y = lrelu(F.conv2d(y, w2, w[prefix + "bias2"], padding=1, groups=w2.shape[0] // GROUP))
    return x + F.conv2d(y, w[prefix + "w3"])


def fir_kernel(like, channels):
    f = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype) / 8
    return torch.outer(f, f).expand(channels, 1, 4, 4)


def fir_down(x):
    c = x.shape[1]
    return F.conv2d(x, fir_kernel(x, c), stride=2, padding=1, groups=c)


def fir_up(x):
    """The adjoint of fir_down, times 4: exactly y[2i] = (x[i-1] + 3 x[i]) / 4 and so on."""
    c = x.shape[1]
    return F.conv_transpose2d(x, fir_kernel(x, c) * 4, stride=2, padding=1, groups=c)


def generate(w, shape, z, label=None, memory_format=torch.contiguous_format):
    """[B, I, H, W]"""
    if shape.classes:
        z = torch.cat([z, w["embed"].t()[label]], 1)
    x = w["basis"] * (z @ w["linear"].t())[:, :, None, None]
    x = x.contiguous(memory_format=memory_format)
    for s in range(len(shape.widths)):
        if f"s{s}.transition" in w:
            x = F.conv2d(x, w[f"s{s}.transition"])
        if s:
            x = fir_up(x)
        for i in range(shape.blocks[s]):
            x = block(w, f"s{s}.b{i}.", x)
    return F.conv2d(x, w["rgb"])


def discriminate(w, shape, x, label=None):
    """[B]"""
    x = F.conv2d(x, w["rgb"])
    for s in reversed(range(len(shape.widths))):
        for i in range(shape.blocks[s]):
            x = block(w, f"s{s}.b{i}.", x)
        if s:
            x = fir_down(x)
        if f"s{s}.transition" in w:
            x = F.conv2d(x, w[f"s{s}.transition"])
    h = F.conv2d(x, w["depthwise"], groups=x.shape[1])[:, :, 0, 0] @ w["linear"].t()
    return (h * w["embed"].t()[label]).sum(1) if shape.classes else h[:, 0]


# ---------------------------------------------------------------- augmentation, losses

def augment(x, draws):
    """draws: None, or (colour [B,3] of b s k, shift [B,2] of dy dx, cutout [B,4] of y0 x0 y1 x1)"""
    if draws is None:
        return x
    colour, shift, cutout = draws
    b, s, k = (colour.to(x.dtype)[:, i, None, None, None] for i in range(3))
    x = x + b
    mean = x.mean(1, keepdim=True)
    x = (x - mean) * s + mean
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * k + mean
    n, _, height, width = x.shape
    i = torch.arange(height)[None] - shift[:, :1]
    j = torch.arange(width)[None] - shift[:, 1:]
    inside = ((i >= 0) & (i < height))[:, :, None] & ((j >= 0) & (j < width))[:, None]
    i, j = i.clamp(0, height - 1), j.clamp(0, width - 1)
    x = x.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], i[:, :, None], j[:, None]]
    x = x.permute(0, 3, 1, 2) * inside[:, None]
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    hole = ((rows >= cutout[:, :1]) & (rows < cutout[:, 2:3]))[:, :, None] & \
        ((columns >= cutout[:, 1:2]) & (columns < cutout[:, 3:]))[:, None]
    return x * ~hole[:, None]


def slope_at(w, shape, x, label, draws):
    """D(T x) and its gradient by x, both differentiable."""
    x = x.detach().requires_grad_()
    score = discriminate(w, shape, augment(x, draws), label)
    gradient, = torch.autograd.grad(score.sum(), x, create_graph=True)
    return score, gradient


def d_loss(d, shape, real, fake, label, draws_real, draws_fake, gamma):
    """-> loss and its parts, by name"""
    score_real, v_real = slope_at(d, shape, real, label, draws_real)
    score_fake, v_fake = slope_at(d, shape, fake, label, draws_fake)
    adv = F.softplus(-(score_real - score_fake)).mean()
    r1, r2 = (v.square().sum((1, 2, 3)).mean() for v in (v_real, v_fake))
    return {"loss": adv + gamma / 2 * (r1 + r2), "adv": adv, "r1": r1, "r2": r2,
            "score_real": score_real, "score_fake": score_fake, "v_real": v_real, "v_fake": v_fake}


def g_loss(d, shape, real, fake, label, draws_real, draws_fake):
    score_fake = discriminate(d, shape, augment(fake, draws_fake), label)
    with torch.no_grad():
        score_real = discriminate(d, shape, augment(real, draws_real), label)
    return {"loss": F.softplus(-(score_fake - score_real)).mean(),
            "score_real": score_real, "score_fake": score_fake}


def adam(weights, lr, b2):
    return torch.optim.Adam(weights.values(), lr=lr, betas=(0.0, b2), eps=1e-8)


def frozen(weights):
    return {k: v.detach() for k, v in weights.items()}


# ---------------------------------------------------------------- commands

def preset(size, args):
    """The networks that cfgs/gan-SIZE.yaml trains: base grid 4x4, widths doubling with half the side up
    to 128, from 16 at 64 px and more or from 32 below."""
    stages = size.bit_length() - 2
    top = 16 if size >= 64 else 32
    widths = tuple(min(top << k, 128) for k in reversed(range(stages)))
    if args.widths:
        widths = tuple(int(w) for w in args.widths.split(","))
    base = size >> (len(widths) - 1)
    return Shape((base, base), widths, (args.blocks,) * len(widths)), args.batch


class Training:
    """Both networks with their optimisers and one made-up batch; T is on, as it is from the middle of
    every training."""

    def __init__(self, shape, batch, memory_format):
        g = torch.Generator().manual_seed(1)
        blocks = sum(shape.blocks)
        self.shape, self.batch, self.format = shape, batch, memory_format
        self.g, self.d = ({k: self.place(v).requires_grad_() for k, v in w.items()} for w in (
            initial(generator_shapes(shape), blocks, g, True),
            initial(discriminator_shapes(shape), blocks, g, False)))
        self.ema = {k: v.detach().clone() for k, v in self.g.items()}
        self.adam_g, self.adam_d = adam(self.g, 2e-4, 0.9), adam(self.d, 2e-4, 0.9)
        height, width = shape.size
        self.real = self.place(torch.rand(batch, shape.image_channels, height, width) * 2 - 1)
        self.draws = (torch.tensor([0.1, 1.2, 0.9]).expand(batch, 3),
                      torch.tensor([1, -1]).expand(batch, 2),
                      torch.tensor([0, 0, height // 2, width // 2]).expand(batch, 4))

    def place(self, x):
        return x.contiguous(memory_format=self.format) if x.dim() == 4 else x

    def fake(self, weights):
        return generate(weights, self.shape, torch.randn(self.batch, self.shape.z), None, self.format)

    def d_forward(self):
        with torch.no_grad():
            fake = self.fake(self.g)
        return d_loss(self.d, self.shape, self.real, fake, None, self.draws, self.draws, 1.0)["loss"]

    def d_step(self):
        self.adam_d.zero_grad()
        self.d_forward().backward()
        self.adam_d.step()

    def g_step(self):
        self.adam_g.zero_grad()
        fake = self.fake(self.g)
        g_loss(frozen(self.d), self.shape, self.real, fake, None, self.draws,
               self.draws)["loss"].backward()
        self.adam_g.step()
        with torch.no_grad():
            torch._foreach_mul_(list(self.ema.values()), 0.999)
            torch._foreach_add_(list(self.ema.values()), list(self.g.values()), alpha=0.001)


FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def timed(training, steps):
    """Seconds of each D + G step, and their mean of CPU time over all threads."""
    times, used = [], time.process_time()
    for _ in range(steps):
        begin = time.perf_counter()
        training.d_step()
        training.g_step()
        times.append(time.perf_counter() - begin)
    return times, (time.process_time() - used) / steps


def imgtrain(args, size, *options):
    """What `imgtrain bench` says of one size."""
    command = [args.against, "bench", "--task", "gan", "--device", "cpu", "--json", "--size", size, "--batch",
               args.batch, "--threads", args.threads, *options]
    return json.loads(subprocess.run([str(word) for word in command], check=True,
                                     stdout=subprocess.PIPE).stdout)[0]


def bench(args):
    """Turn by turn with imgtrain, so that other work on the machine hits both; medians of all steps."""
    for size in args.size:
        shape, batch = preset(size, args)
        training = Training(shape, batch, FORMATS[args.format])
        timed(training, 2)
        ours, theirs, cpu, units = [], [], [], 0
        for _ in range(args.rounds):
            if args.against:
                result = imgtrain(args, size, "--steps", args.steps)
                ours.append(result["ms"] / 1000)
                units = result["units_d"]
            times, used = timed(training, args.steps)
            theirs += times
            if args.against:
                cpu.append(1000 * used / result["cpu_ms"])
        there = statistics.median(theirs)
        text = f"GAN {size}x{size}, batch {batch}: PyTorch {args.label} {batch / there:.1f} images/s"
        if ours:
            here = statistics.median(ours)
            text += f", imgtrain {batch / here:.1f}: " \
                f"{there / here:.1f} times as fast, {statistics.median(cpu):.1f} by CPU time; {units:.2f} units a D step"
        print(text, flush=True)


def kept_bytes(forward):
    """Bytes of all that autograd keeps for the backward pass when `forward` is done."""
    storages = {}

    def pack(x):
        storages[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = forward()
    total = sum(x.untyped_storage().nbytes() for x in storages.values())
    del loss
    return total


def status_bytes(key):
    """A line of /proc/self/status."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def memory(args):
    """-> a line for each size: bytes that autograd keeps in a D step, and by how much the process grows in
    D and G steps (networks and optimisers, which are there before, not counted)."""
    for size in args.size:
        shape, batch = preset(size, args)
        training = Training(shape, batch, FORMATS[args.format])
        weights = sum(w.numel() * 4 for w in training.d.values())
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")  # the peak counts from here
        before = status_bytes("VmRSS")
        kept = kept_bytes(training.d_forward) - weights
        for _ in range(args.steps):
            training.d_step()
            training.g_step()
        grown = status_bytes("VmHWM") - before
        plain = kept_bytes(lambda: discriminate(training.d, shape, training.real).mean()) - weights
        print(f"{size}x{size} batch {batch}: kept {kept} grown {grown} plain {plain}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="the GAN in plain PyTorch")
    sub = parser.add_subparsers(dest="command", required=True)
    for name in ("bench", "memory"):
        p = sub.add_parser(name)
        p.add_argument("--size", type=int, nargs="+", default=[16, 32, 64])
        p.add_argument("--widths", help="by rising resolution, as 128,128,64")
        p.add_argument("--blocks", type=int, default=1, help="residual blocks a stage")
        p.add_argument("--batch", type=int, default=16)
        p.add_argument("--threads", type=int, default=2)
        p.add_argument("--stock-allocator", action="store_true", help="glibc's malloc as it is")
        p.add_argument("--format", choices=FORMATS, default="channels_last")
        p.add_argument("--steps", type=int, default=5, help="of a round")
    b = sub.choices["bench"]
    b.add_argument("--rounds", type=int, default=3)
    b.add_argument("--against", metavar="IMGTRAIN", help="the program to compare with")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.label = "as it comes" if args.stock_allocator else "with memory kept"
    if not args.stock_allocator:
        keep_memory()
    {"bench": bench, "memory": memory}[args.command](args)


if __name__ == "__main__":
    main()
