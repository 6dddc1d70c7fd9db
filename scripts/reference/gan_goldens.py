"""Writes test/golden/gan_*.safetensors (contents: GAN_TENSORS.md), all computed in float64.

  gan_goldens.py [FOLDER]           writes all cases
  gan_goldens.py --check [FOLDER]   FIR by its formula, gradients by finite differences, float32's error
"""
import os
import sys

import torch

import tensorfile
from gan_torch import (Margin, Shape, adam, augment, d_loss, discriminate, discriminator_shapes,
                       fir_down, fir_up, frozen, g_loss, generate, generator_shapes)

F64, F32 = torch.float64, torch.float32
BATCH = 4
DRAWS = ("d_real", "d_fake", "g_real", "g_fake")
RATES = {"gamma": 1.5, "lr": 5e-4, "b2": 0.9, "eps": 1e-8, "ema_beta": 0.9}

# name: shape, whether T does anything, steps of a trajectory
CASES = {
    "8x8": (Shape((4, 4), (16, 16), (1, 1), z=12), False, 0),
    "8x8_labels": (Shape((4, 4), (32, 16), (1, 1), z=12, classes=3, embedding=5), True, 0),
    "16x12": (Shape((3, 4), (16, 16, 16), (1, 1, 1), z=16), True, 0),
    "traj": (Shape((4, 4), (16, 16), (1, 1), z=12), False, 20),
    "traj_labels": (Shape((4, 4), (16, 16), (1, 1), z=12, classes=3, embedding=5), True, 20),
}
MARGIN = 2e-6  # of single steps; a trajectory passes too many leaky ReLUs to keep away from 0


def integers(x):
    """Weights and latents as multiples of 1/4096."""
    return (x * 4096).round().clamp(-32767, 32767).to(torch.int16)


def from_integers(x, dtype):
    return x.to(dtype) / 4096


def from_bytes(x, dtype):
    return (x.to(dtype) - 128) / 128


def draw_weights(shapes, g, prefix):
    out = {}
    for name, dims in shapes.items():
        fan = {1: 100, 3: 1}.get(len(dims), torch.Size(dims[1:]).numel())  # 1: biases, 3: basis
        std = 1.3 / fan ** 0.5 if not name.endswith("w3") else 0.7 / fan ** 0.5
        out[prefix + name] = integers(torch.randn(dims, generator=g, dtype=F64) * std)
    return out


def draw_augmentation(shape, active, lead, g):
    height, width = shape.size
    lead = (*lead, BATCH)
    colour = torch.tensor([0.0, 1.0, 1.0]).expand(*lead, 3).clone()
    shift = torch.zeros(*lead, 2, dtype=torch.int32)
    cutout = torch.zeros(*lead, 4, dtype=torch.int32)
    if not active:
        return colour, shift, cutout
    low, span = torch.tensor([-0.5, 0.0, 0.5]), torch.tensor([1.0, 2.0, 1.0])
    drawn = low + span * torch.rand(*lead, 3, generator=g)
    colour = torch.where(torch.rand(*lead, 3, generator=g) < 0.7, drawn, colour)
    for axis, side in enumerate((height, width)):
        most = max(1, round(side / 8))
        moved = torch.randint(-most, most + 1, lead, generator=g)
        shift[..., axis] = moved.int()
        middle = torch.randint(0, side + 1, lead, generator=g)
        cutout[..., axis] = (middle - side // 4).clamp(0, side).int()
        cutout[..., axis + 2] = (middle + side // 4).clamp(0, side).int()
    keep = torch.rand(lead, generator=g) < 0.6  # some pictures without a hole
    return colour, shift, cutout * keep[..., None].int()


def draw(name, seed):
    shape, active, steps = CASES[name]
    g = torch.Generator().manual_seed(seed)
    lead = (steps,) if steps else ()
    height, width = shape.size
    tensors = {**draw_weights(generator_shapes(shape), g, "in.g."),
               **draw_weights(discriminator_shapes(shape), g, "in.d.")}
    y = torch.arange(height, dtype=F64)[:, None]
    x = torch.arange(width, dtype=F64)
    for part in "dg":
        phase = 6.28 * torch.rand(*lead, BATCH, shape.image_channels, 1, 1, generator=g, dtype=F64)
        picture = 128 + 70 * torch.sin(0.7 * x + 0.4 * y + phase) + \
            20 * torch.randn(*lead, BATCH, shape.image_channels, height, width, generator=g, dtype=F64)
        tensors[part + ".real"] = picture.round().clamp(0, 255).to(torch.uint8)
        tensors[part + ".z"] = integers(torch.randn(*lead, BATCH, shape.z, generator=g, dtype=F64))
        if shape.classes:
            tensors["label." + part] = torch.randint(shape.classes, (*lead, BATCH), generator=g).int()
    for which in DRAWS:
        parts = draw_augmentation(shape, active, lead, g)
        tensors.update({f"aug.{which}.{n}": v for n, v in zip(("colour", "shift", "cutout"), parts)})
    return tensors


def weights_of(tensors, prefix, dtype):
    return {k[len(prefix):]: from_integers(v, dtype).requires_grad_()
            for k, v in tensors.items() if k.startswith(prefix)}


def step_inputs(tensors, part, index, dtype):
    """-> real, z, label, draws of reals, draws of fakes; index: step of a trajectory, or None"""
    def at(name):
        return tensors[name] if index is None else tensors[name][index]
    draws = [tuple(at(f"aug.{part}_{which}.{n}") for n in ("colour", "shift", "cutout"))
             for which in ("real", "fake")]
    label = at("label." + part).long() if "label." + part in tensors else None
    return (from_bytes(at(part + ".real"), dtype), from_integers(at(part + ".z"), dtype), label,
            *draws)


def d_step(g, d, shape, tensors, index, dtype):
    real, z, label, draws_real, draws_fake = step_inputs(tensors, "d", index, dtype)
    fake = generate(frozen(g), shape, z, label)
    parts = d_loss(d, shape, real, fake, label, draws_real, draws_fake, RATES["gamma"])
    gradients = torch.autograd.grad(parts["loss"], list(d.values()))
    return {**parts, "fake": fake}, dict(zip(d, gradients))


def g_step(g, d, shape, tensors, index, dtype):
    real, z, label, draws_real, draws_fake = step_inputs(tensors, "g", index, dtype)
    fake = generate(g, shape, z, label)
    parts = g_loss(frozen(d), shape, real, fake, label, draws_real, draws_fake)
    gradients = torch.autograd.grad(parts["loss"], list(g.values()))
    return {**parts, "fake": fake}, dict(zip(g, gradients))


def single(tensors, shape, dtype):
    """One D step and one G step at the same weights. -> outputs and gradients under the files' names"""
    g, d = weights_of(tensors, "in.g.", dtype), weights_of(tensors, "in.d.", dtype)
    out = {}
    for part, step in (("d", d_step), ("g", g_step)):
        parts, gradients = step(g, d, shape, tensors, None, dtype)
        for k, v in parts.items():
            out[f"out.{part}.{k}"] = v.detach().reshape(1) if v.dim() == 0 else v.detach()
        out.update({f"grad.{part}.{k}": v for k, v in gradients.items()})
    return out


def trajectory(tensors, shape, steps, dtype):
    g, d = weights_of(tensors, "in.g.", dtype), weights_of(tensors, "in.d.", dtype)
    ema = {k: v.detach().clone() for k, v in g.items()}
    adam_g, adam_d = (adam(w, RATES["lr"], RATES["b2"]) for w in (g, d))
    record = {}
    for index in range(steps):
        for part, step, weights, optimizer in (("d", d_step, d, adam_d), ("g", g_step, g, adam_g)):
            parts, gradients = step(g, d, shape, tensors, index, dtype)
            for k in ("loss", "adv", "r1", "r2"):
                if k in parts:
                    record.setdefault(f"traj.{part}.{k}", []).append(parts[k].detach().to(F64))
            for k, v in gradients.items():
                weights[k].grad = v
            optimizer.step()
        for k in ema:
            ema[k].mul_(RATES["ema_beta"]).add_(g[k].detach(), alpha=1 - RATES["ema_beta"])
    out = {k: torch.stack(v) for k, v in record.items()}
    for prefix, weights in (("g", g), ("d", d), ("ema", ema)):
        out.update({f"final.{prefix}.{k}": v.detach() for k, v in weights.items()})
    return out


def compute(tensors, name, dtype):
    shape, _, steps = CASES[name]
    return trajectory(tensors, shape, steps, dtype) if steps else single(tensors, shape, dtype)


def stored(name, value):
    """Loss terms and scores in float64, all that is large rounded to float32."""
    large = name.startswith(("grad.", "final.")) or value.dim() == 4
    return value.to(F32) if large else value


def make(name):
    shape, active, steps = CASES[name]
    for seed in range(1, 2000):
        tensors = draw(name, seed)
        Margin.watch, Margin.least = True, 1e9
        out = compute(tensors, name, F64)
        Margin.watch = False
        if steps or Margin.least >= MARGIN:
            break
    tensors.update({k: stored(k, v) for k, v in out.items()})
    height, width = shape.size
    metadata = {"case": name, "width": width, "height": height, "batch": BATCH,
                "image_channels": shape.image_channels, "z": shape.z, "classes": shape.classes,
                "embedding": shape.embedding, "base_height": shape.base[0],
                "base_width": shape.base[1], "stages": len(shape.widths), "group_size": 16,
                "widths": ",".join(map(str, shape.widths)),
                "blocks": ",".join(map(str, shape.blocks)), **RATES, "steps": steps, "seed": seed,
                "augment": active, "margin": Margin.least,
                "torch": torch.__version__.split("+")[0]}
    return tensors, metadata


# ---------------------------------------------------------------- check

def worst(errors):
    name = max(errors, key=errors.get)
    return f"{errors[name]:.1e} ({name})"


def check_fir():
    """Both resamplings against the formulas of GAN_TENSORS.md, written out."""
    x = torch.randn(1, 1, 6, 1, dtype=F64)
    at = {i: x[0, 0, i, 0].item() if 0 <= i < 6 else 0.0 for i in range(-2, 9)}
    up = [(at[i - 1] + 3 * at[i]) / 4 if o % 2 == 0 else (3 * at[i] + at[i + 1]) / 4
          for o in range(12) for i in [o // 2]]
    down = [(at[2 * i - 1] + 3 * at[2 * i] + 3 * at[2 * i + 1] + at[2 * i + 2]) / 8 for i in range(3)]
    # Two equal columns let the other axis be read off as well: 3/4 + 1/4 up, 3/8 + 3/8 down.
    pair = x.expand(1, 1, 6, 2)
    assert torch.allclose(fir_up(pair)[0, 0, :, 1], torch.tensor(up, dtype=F64))
    assert torch.allclose(fir_down(pair)[0, 0, :, 0], torch.tensor(down, dtype=F64) * 0.75)


def check_differences(tensors, name):
    """Loss gradients along random directions against central differences. Second derivatives of a
    leaky ReLU vanish, so the step may be small without losing the penalties."""
    shape = CASES[name][0]
    g, d = weights_of(tensors, "in.g.", F64), weights_of(tensors, "in.d.", F64)
    errors = {}
    for part, step, weights in (("d", d_step, d), ("g", g_step, g)):
        gradients = step(g, d, shape, tensors, None, F64)[1]
        for k, w in weights.items():
            direction = torch.sign(gradients[k])
            h, values = 1e-8, []
            with torch.no_grad():
                w.add_(h * direction)
            values.append(step(g, d, shape, tensors, None, F64)[0]["loss"].item())
            with torch.no_grad():
                w.sub_(2 * h * direction)
            values.append(step(g, d, shape, tensors, None, F64)[0]["loss"].item())
            with torch.no_grad():
                w.add_(h * direction)
            slope = gradients[k].abs().sum().item()
            errors[f"{part}.{k}"] = abs((values[0] - values[1]) / (2 * h) - slope) / slope
    return errors


def check(folder):
    check_fir()
    for name in CASES:
        tensors, _ = tensorfile.load(os.path.join(folder, f"gan_{name}.safetensors"))
        for dtype in (F64, F32):
            errors = {k: float((v.to(F64) - tensors[k].to(F64)).abs().max() /
                               tensors[k].to(F64).abs().max())
                      for k, v in compute(tensors, name, dtype).items()}
            print(f"{name}: again in {dtype}: largest relative difference {worst(errors)}")
            if dtype == F64 and not max(errors.values()) <= 2e-7:
                raise SystemExit(f"{name}: the file does not hold what is computed")
        if not CASES[name][2]:
            errors = check_differences(tensors, name)
            print(f"{name}: finite differences: {worst(errors)}")
            if not max(errors.values()) <= 1e-4:
                raise SystemExit(f"{name}: gradients differ from finite differences")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    here = os.path.dirname(os.path.abspath(__file__))
    folder = arguments[0] if arguments else os.path.join(here, "..", "..", "test", "golden")
    torch.set_num_threads(1)
    if "--check" in sys.argv:
        return check(folder)
    for name in CASES:
        tensors, metadata = make(name)
        path = os.path.join(folder, f"gan_{name}.safetensors")
        tensorfile.save(path, tensors, metadata)
        print(f"{os.path.basename(path)}: {os.path.getsize(path)} bytes, seed {metadata['seed']}, "
              f"margin {metadata['margin']:.1e}", flush=True)


if __name__ == "__main__":
    main()
