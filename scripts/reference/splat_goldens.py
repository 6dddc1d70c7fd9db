"""Writes test/golden/splat_*.safetensors with splat_torch.py's dense renderer in float64.

  splat_goldens.py [FOLDER]           writes all cases
  splat_goldens.py --check [FOLDER]   the tile renderer against the files, in float64

A file holds, by name (H, W, C, N in the shapes):
  target [H,W,C] u8 (T = target / 255); in.xy [N,2] in.scale [N,2] in.rot [N,1] in.feat [N,C] f32
  out.render [H,W,C], out.loss [1], out.l1, out.l2, out.ssim [1] where their weight is not 0 (values
  before weighting; out.ssim is the SSIM), grad.xy, grad.scale, grad.rot, grad.feat: f64
  and a trajectory: traj.loss [STEPS] (of each step before its update), final.xy ... f64
All options are in the metadata, with the margins that keep a float32 program on the same side of each
kink: every seed is the first one whose margins pass (LIMITS below).
"""
import os
import sys
from dataclasses import replace

import torch

import tensorfile
from splat_torch import (NAMES, Options, as_parameters, clamp, distances, effective, fake_quantize,
                         loss_terms, make_optimizer, render_dense, render_tiles, ssim)

F64 = torch.float64

# name: width, height, channels, Gaussians, steps of a trajectory, options
CASES = {
    "topk10_l1": (37, 29, 3, 48, 0, Options(l1=1.0, ssim=0.0)),
    "topk10_mixed": (37, 29, 3, 48, 0, Options(l1=1.0, l2=0.5, ssim=0.1)),
    "topk3_l2": (16, 16, 1, 24, 0, Options(topk=3, l1=0.0, l2=1.0, ssim=0.0)),
    "topk3_sigma": (37, 29, 4, 32, 0, Options(topk=3, l2=2.0, disable_inverse_scale=True)),
    "topk1_l1": (16, 16, 3, 24, 0, Options(topk=1, ssim=0.0)),
    "topk32_ssim": (21, 24, 3, 110, 0, Options(topk=32, l1=0.0, ssim=1.0)),
    "topk0_ssim": (5, 70, 4, 32, 0, Options(topk=0, l1=0.0, ssim=1.0)),
    "topk4_bands": (9, 48, 3, 40, 0, Options(topk=4, ssim=0.5)),  # three whole bands of the CPU
    "topk0_l1": (16, 16, 3, 24, 0, Options(topk=0, ssim=0.0)),
    "additive_l1": (11, 11, 7, 12, 0, Options(additive=True, ssim=0.0)),
    "additive_mixed": (37, 29, 3, 40, 0, Options(additive=True, l1=0.7, l2=0.3, ssim=0.2)),
    "additive_ssim": (5, 70, 1, 24, 0, Options(additive=True, l1=0.0, ssim=1.0)),
    "quantize": (37, 29, 3, 24, 0, Options(topk=4, quantize=True, pos_bits=12, scale_bits=6, rot_bits=8,
                                           feat_bits=5)),
    "traj_topk10": (19, 23, 3, 32, 20, Options()),
    "traj_topk0_sigma": (19, 23, 3, 24, 20, Options(topk=0, l2=0.5, disable_inverse_scale=True)),
    "traj_additive": (19, 23, 3, 24, 20, Options(additive=True, ssim=0.0)),
    "traj_quantize": (16, 12, 3, 16, 20, Options(quantize=True, pos_bits=8, scale_bits=7, rot_bits=6,
                                                feat_bits=6)),
}

# Least distance from each kink. Rounding errors of a float32 program are about ten times smaller.
LIMITS = {
    "margin_l1": 1e-5,     # |C - T|, where the L1 term has weight
    "margin_cut": 1e-4,    # |q - cut^2|
    "margin_topk": 1e-4,   # q of the first one left out minus q of the last one in, where it matters
    "margin_round": 1e-3,  # distance from a rounding boundary of the quantisation, in levels
}


def draw(name, seed):
    """Anisotropic, rotated Gaussians, some reaching over the border, and a target. Parameters are
    float32 numbers and the target 8-bit, so that every program starts from exactly these."""
    width, height, channels, count, steps, opt = CASES[name]
    g = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*shape, generator=g, dtype=F64)

    xy = uniform(0, 1, count, 2)
    xy[:2] = uniform(0, 1, 2, 2) * 0.01  # near the corner
    sigma = torch.exp(uniform(-0.7, 1.9, count, 2))  # 0.5 to 6.7 px
    if steps:  # some that run into the clamps
        xy[0], xy[1], xy[2] = xy[0] * 0.02, 1 - xy[1] * 0.02, uniform(0.9995, 1, 2)
        sigma[3:6, 0] = uniform(0.3, 0.301, 3)
    scale = sigma if opt.disable_inverse_scale else 1 / sigma
    model = {"xy": xy, "scale": scale, "rot": uniform(-4, 4, count, 1),
             "feat": uniform(-0.2, 1.2, count, channels) * (0.5 if opt.additive else 1)}
    y = torch.arange(height, dtype=F64)[:, None, None]
    x = torch.arange(width, dtype=F64)[None, :, None]
    k = torch.arange(channels, dtype=F64)
    phase = uniform(0, 6.28, channels)
    target = 0.5 + 0.3 * torch.sin(0.35 * x + (0.1 + 0.07 * k) * y + phase) + \
        uniform(-0.12, 0.12, height, width, channels)
    return {k: v.float() for k, v in model.items()}, (target * 255).round().to(torch.uint8)


def margins(model, image, target, opt):
    """How near this state is to each kink; terms that the case does not have are left out."""
    height, width, _ = target.shape
    found = {}
    if opt.l1:
        found["margin_l1"] = (image - target).abs().min()
    with torch.no_grad():
        q = distances(effective(model, opt), width, height, range(height), opt)
    found["margin_cut"] = (q - opt.cut ** 2).abs().min()
    if not opt.additive and 0 < opt.topk < q.shape[1]:
        near = torch.topk(q, opt.topk + 1, dim=1, largest=False)[0]
        gap = near[:, opt.topk] - near[:, opt.topk - 1]
        matters = near[:, opt.topk] <= opt.cut ** 2 + 1e-2
        found["margin_topk"] = gap[matters].min() if matters.any() else torch.tensor(1.0)
    if opt.quantize:
        found["margin_round"] = min(round_margin(model[name].detach(), opt.bits[name])
                                    for name in NAMES)
    return {k: float(v) for k, v in found.items()}


def round_margin(x, bits):
    level = (x - x.min()) / (x.max() - x.min()) * (2 ** bits - 1)
    inner = level[(x != x.min()) & (x != x.max())]
    return (inner - inner.floor() - 0.5).abs().min()


def fold(least, now):
    return {**least, **{k: min(v, least.get(k, v)) for k, v in now.items()}}


def evaluate(model, target, opt, render=render_dense):
    """One forward and backward pass. -> tensors named as in the file"""
    height, width, _ = target.shape
    image = render(effective(model, opt), width, height, opt)
    total, terms = loss_terms(image, target, opt)
    for name in NAMES:
        model[name].grad = None
    total.backward()
    out = {"out.render": image.detach(), "out.loss": total.detach().reshape(1)}
    out.update({"out." + k: v.detach().reshape(1) for k, v in terms.items()})
    out.update({"grad." + name: model[name].grad.clone() for name in NAMES})
    return out


def trajectory(model, target, opt, steps, render=render_dense):
    """-> tensors, least margins over all steps, and the least gradient that is not 0"""
    height, width, _ = target.shape
    optimizer = make_optimizer(model, opt)
    losses, least, gradient = [], {}, {}
    for _ in range(steps):
        before = {k: v.detach().clone() for k, v in model.items()}
        out = evaluate(model, target, opt, render)
        least = fold(least, margins(before, out["out.render"], target, opt))
        for name in NAMES:
            g = out["grad." + name].abs()
            gradient = fold(gradient, {"least_gradient_" + name: float(g[g > 0].min())})
        losses.append(out["out.loss"])
        optimizer.step()
        clamp(model, width, height, opt)
    tensors = {"final." + name: model[name].detach().clone() for name in NAMES}
    return {"traj.loss": torch.cat(losses), **tensors}, least, gradient


def make(name):
    width, height, channels, count, steps, opt = CASES[name]
    for seed in range(1, 20000):
        start, picture = draw(name, seed)
        target = picture.to(F64) / 255
        model = as_parameters(start, F64)
        tensors = evaluate(model, target, opt)
        least = margins(start_f64(start), tensors["out.render"], target, opt)
        if any(least[k] < LIMITS[k] for k in least):
            continue
        extra = {}
        if steps:
            more, least, extra = trajectory(model, target, opt, steps)
            if any(least[k] < LIMITS[k] for k in least):
                continue
            tensors.update(more)
        tensors.update({"in." + k: v for k, v in start.items()}, target=picture)
        metadata = {"case": name, "seed": seed, "width": width, "height": height,
                    "channels": channels, "gaussians": count, "steps": steps, "cut": opt.cut,
                    "blend": "additive" if opt.additive else "normalised", **vars(opt), **least,
                    **extra, "torch": torch.__version__.split("+")[0]}
        return tensors, metadata
    raise SystemExit(f"{name}: no seed keeps away from the kinks")


def start_f64(start):
    return {k: v.to(F64) for k, v in start.items()}


def check(folder):
    """The tile renderer must give what the files say: a second way to every number."""
    worst = 0.0
    for name, (width, height, channels, count, steps, opt) in CASES.items():
        tensors, _ = tensorfile.load(os.path.join(folder, f"splat_{name}.safetensors"))
        model = as_parameters({k: tensors["in." + k] for k in NAMES}, F64)
        target = tensors["target"].to(F64) / 255
        got = evaluate(model, target, opt, render_tiles)
        if steps:
            got.update(trajectory(model, target, opt, steps, render_tiles)[0])
        error = {k: float((v - tensors[k]).abs().max() / tensors[k].abs().max().clamp(min=1e-30))
                 for k, v in got.items()}
        bad = max(error, key=error.get)
        worst = max(worst, error[bad])
        print(f"{name}: largest relative difference {error[bad]:.1e} ({bad})")
    if not worst <= 1e-7:
        raise SystemExit("the tile renderer differs from the goldens")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    here = os.path.dirname(os.path.abspath(__file__))
    folder = arguments[0] if arguments else os.path.join(here, "..", "..", "test", "golden")
    torch.set_num_threads(1)
    if "--check" in sys.argv:
        return check(folder)
    os.makedirs(folder, exist_ok=True)
    for name in CASES:
        tensors, metadata = make(name)
        path = os.path.join(folder, f"splat_{name}.safetensors")
        tensorfile.save(path, tensors, metadata)
        print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes, seed {metadata['seed']}, " +
              ", ".join(f"{k} {float(v):.1e}" for k, v in metadata.items()
                        if k.startswith(("margin", "least"))), flush=True)


if __name__ == "__main__":
    main()
