"""Writes test/golden/sr_*.safetensors: networks that enlarge images, their gradients and 20 steps.

  sr_goldens.py [FOLDER]           writes all cases (a minute)
  sr_goldens.py --check            the networks against spandrel's, and float32's error

Inputs are float32, so that every program starts from the same numbers; all is computed in float64. A
file holds, for each parameter, `in.NAME`, `gradient.NAME` (of the first step's loss), `out.NAME` (after
the steps) and `ema.NAME`, and

  lq [2][n][h][w][3], gt     the patches of even and of odd steps
  enlarged [n][H][W][3]      what the network makes of the first, before any step
  loss [20]                  mean sqrt(d^2 + 1e-12) of each step, before it

The metadata says what AdamW did. `file_*.safetensors` are whole model files as others write them, with an
image `lq` and what the network makes of it beside them in `file_*_image.safetensors`.
"""
import os
import sys

import torch

import tensorfile
from sr_torch import Compact, Esrgan, Span

F64, F32 = torch.float64, torch.float32
# Odd numbers of pixels: a sum of as many signs of differences is never 0, which Adam would make steps of.
BATCH, SIDE, STEPS = 3, 5, 20
RATES = {"lr": 1e-3, "b1": 0.9, "b2": 0.99, "decay": 0.01, "ema": 0.9}

# name: the network, its scale
CASES = {
    "compact": (lambda: Compact(3, 8, 2), 3),
    "span": (lambda: Span(2, 4), 2),
    "span_norm": (lambda: Span(1, 4, norm=True), 1),
    "span_merged": (lambda: Span(2, 5, merged=True), 2),
    "esrgan_2x": (lambda: Esrgan(2, 8, 1, growth=8), 2),
}
# Whole files, for `upscale`: name: the network, its scale, its state dict as others write it.
FILES = {
    "span": (lambda: Span(4, 4), 4, lambda net: net.file()),
    "span_norm": (lambda: Span(3, 4, norm=True), 3, lambda net: net.file()),
    "esrgan_old": (lambda: Esrgan(4, 8, 1, growth=8), 4, lambda net: in_type(net.file("old"), torch.float16)),
    "esrgan_trunk": (lambda: Esrgan(2, 8, 1, growth=8, unshuffle=2), 2,
                     lambda net: in_type(wrapped(net.file("trunk")), torch.bfloat16)),
    "esrgan_new": (lambda: Esrgan(1, 8, 1, growth=8, unshuffle=4), 1, lambda net: in_type(net.file(), torch.float16)),
}


def in_type(tensors, dtype):
    """In half precision; the network takes what is left."""
    return {key: value.copy_(value.to(dtype)).to(dtype) for key, value in tensors.items()}


def wrapped(tensors):
    return {"module." + key: value for key, value in tensors.items()}


def channels_last(x):
    return x.permute(0, 2, 3, 1).contiguous()


def draw(name, make, dtype):
    """A network of its own seed, its numbers float32's."""
    torch.manual_seed(sum(name.encode()))
    return make().to(F32).to(dtype)


def loss_of(net, lq, gt):
    return torch.sqrt((net(lq) - gt) ** 2 + 1e-12).mean()


def run(name, dtype):
    make, scale = CASES[name]
    net = draw(name, make, dtype)
    lq = torch.rand(2, BATCH, 3, SIDE, SIDE, dtype=F32).to(dtype)
    gt = torch.rand(2, BATCH, 3, SIDE * scale, SIDE * scale, dtype=F32).to(dtype)
    out = {"lq": torch.stack([channels_last(x) for x in lq]).to(F32),
           "gt": torch.stack([channels_last(x) for x in gt]).to(F32),
           "enlarged": channels_last(net(lq[0])).detach()}
    for key, value in net.named_parameters():
        out["in." + key] = value.detach().to(F32).clone()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATES["lr"], betas=(RATES["b1"], RATES["b2"]), eps=1e-8,
                                  weight_decay=RATES["decay"])
    ema = {key: value.detach().clone() for key, value in net.named_parameters()}
    losses = []
    for step in range(STEPS):
        optimiser.zero_grad()
        loss = loss_of(net, lq[step % 2], gt[step % 2])
        loss.backward()
        losses.append(loss.detach())
        for key, value in net.named_parameters():
            if step == 0:
                out["gradient." + key] = value.grad.clone()
        optimiser.step()
        for key, value in net.named_parameters():
            ema[key] = RATES["ema"] * ema[key] + (1 - RATES["ema"]) * value.detach()
    for key, value in net.named_parameters():
        out["out." + key] = value.detach().clone()
        out["ema." + key] = ema[key]
    out["loss"] = torch.stack(losses)
    return out


def compact_numbers(out):
    """Results as float32: what they are compared within is far above its rounding."""
    return {key: value.to(F32) for key, value in out.items()}


def write(folder):
    for name, (make, scale) in CASES.items():
        metadata = {"scale": scale, "batch": BATCH, "side": SIDE, "steps": STEPS, **RATES}
        if getattr(draw(name, make, F32), "norm", False):
            metadata["sr.norm"] = 1
        tensorfile.save(os.path.join(folder, f"sr_{name}.safetensors"), compact_numbers(run(name, F64)), metadata)
    for name, (make, scale, file) in FILES.items():
        net = draw("file " + name, make, F32)
        tensorfile.save(os.path.join(folder, f"sr_file_{name}.safetensors"), file(net), {})
        lq = (torch.rand(1, 3, 9, 13 if "esrgan" in name else 12) * 255).round() / 255
        with torch.no_grad():
            image = net.to(F64)(lq.to(F64))
        tensorfile.save(os.path.join(folder, f"sr_file_{name}_image.safetensors"),
                        {"lq": channels_last(lq), "enlarged": channels_last(image).to(F32)}, {"scale": scale})


def check():
    from spandrel import ModelLoader
    others = {f"esrgan {names} {scale}x, unshuffle {unshuffle}": (
        lambda scale=scale, unshuffle=unshuffle: Esrgan(scale, 16, 2, unshuffle=unshuffle), scale,
        lambda net, names=names: net.file(names))
              for scale, unshuffle in [(4, 1), (2, 2), (1, 4), (8, 1), (2, 1)] for names in ("new", "old", "trunk")}
    spans = {name: row for name, row in FILES.items() if "span" in name}  # its ESRGAN has a growth of 32 alone
    for name, (make, _, file) in {**spans, **others}.items():
        net = draw("file " + name, make, F32)
        other = ModelLoader().load_from_state_dict(dict(file(net))).model.eval()
        x = torch.rand(1, 3, 17, 13)
        with torch.no_grad():
            print(f"{name}: differs from spandrel's by {(net(x) - other(x)).abs().max():.1e}")
    for name in CASES:
        exact, single = run(name, F64), run(name, F32)
        worst = {}
        for key, value in exact.items():
            error = (single[key].to(F64) - value.to(F64)).abs().max() / value.abs().max()
            kind = key.split(".")[0]
            worst[kind] = max(worst.get(kind, 0), float(error))
        print(f"{name}: float32 differs by " + ", ".join(f"{k} {v:.0e}" for k, v in worst.items()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    if "--check" in sys.argv:
        check()
    else:
        write(arguments[0] if arguments else os.path.join(os.path.dirname(__file__), "../../test/golden"))
