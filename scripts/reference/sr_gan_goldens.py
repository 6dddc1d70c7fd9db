"""Writes test/golden/sr_gan_*.safetensors: a network that enlarges images in training beside a U-Net
discriminator with spectral normalisation, as PyTorch does it.

  sr_gan_goldens.py [FOLDER]

Weights and images are formulas (`wave`), so that a file holds what came out of it only. All is computed in
float64; one step of power iteration is made of each weight in each step, before all else. A file holds

  loss [steps][4]     mean |d|, the generator's loss, the features', the discriminator's, before a step
  scores [steps][2]   mean scores of real and of made images
  map                 scores of the first step's first real image
  g.NAME, d.NAME      parameters after the steps; of large ones the first numbers
"""
import os
import sys

import torch
import torch.nn.functional as F

import tensorfile

BATCH, SIDE, SCALE, FEATURES, STEPS, FIRST = 3, 8, 2, 8, 6, 600
WEIGHT, FEATURE_WEIGHT = 0.3, 0.2
CASES = {"vanilla": ("vanilla", True, True), "lsgan": ("lsgan", False, True), "hinge": ("hinge", True, False)}


def wave(count, number, low, high):
    """Numbers between low and high that every program has."""
    i = torch.arange(count, dtype=torch.float64)
    x = torch.sin(i * 12.9898 + number * 78.233) * 43758.5453
    return (low + (high - low) * (x - torch.floor(x))).to(torch.float32).to(torch.float64)


def shapes():
    f, g = FEATURES, {"body.0.weight": (8, 3, 3, 3), "body.0.bias": (8,), "body.1.weight": (8,),
                      "body.2.weight": (12, 8, 3, 3), "body.2.bias": (12,)}
    d = {"conv0.weight": (f, 3, 3, 3), "conv0.bias": (f,)}
    for k in (1, 2, 3):
        d[f"conv{k}.weight_orig"] = (f << k, f << k - 1, 4, 4)
    for k, (o, i) in {4: (4, 8), 5: (2, 4), 6: (1, 2), 7: (1, 1), 8: (1, 1)}.items():
        d[f"conv{k}.weight_orig"] = (o * f, i * f, 3, 3)
    d["conv9.weight"], d["conv9.bias"] = (1, f, 3, 3), (1,)
    return g, d


def draw(names, first):
    out = {}
    for number, (name, shape) in enumerate(names.items()):
        count = int(torch.tensor(shape).prod())
        bound = 1 / (count / shape[0]) ** 0.5 if len(shape) > 1 else 0.1
        out[name] = wave(count, first + number, -bound, bound).reshape(shape).requires_grad_()
    return out


def enlarge(g, x):
    y = F.prelu(F.conv2d(x, g["body.0.weight"], g["body.0.bias"], padding=1), g["body.1.weight"])
    y = F.conv2d(y, g["body.2.weight"], g["body.2.bias"], padding=1)
    return F.pixel_shuffle(y, SCALE) + F.interpolate(x, scale_factor=SCALE, mode="nearest")


def normalised(d, u, v):
    """One step of power iteration, and the weights divided by what it finds."""
    out = dict(d)
    for name in u:
        w = d[f"{name}.weight_orig"]
        matrix = w.reshape(w.shape[0], -1)
        with torch.no_grad():
            v[name] = F.normalize(matrix.t() @ u[name], dim=0, eps=1e-12)
            u[name] = F.normalize(matrix @ v[name], dim=0, eps=1e-12)
        out[f"{name}.weight_orig"] = w / torch.dot(u[name], matrix @ v[name])
    return out


def judge(w, x, skips):
    def layer(x, k, **options):
        name = f"conv{k}.weight" + ("" if k in (0, 9) else "_orig")
        return F.conv2d(x, w[name], w.get(f"conv{k}.bias"), **options)

    def lrelu(x):
        return F.leaky_relu(x, 0.2)

    downs = [lrelu(layer(x, 0, padding=1))]
    for k in (1, 2, 3):
        downs.append(lrelu(layer(downs[-1], k, stride=2, padding=1)))
    y = downs[3]
    for k in (4, 5, 6):
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        y = lrelu(layer(y, k, padding=1))
        y = y + downs[6 - k] if skips else y
    y = lrelu(layer(y, 7, padding=1))
    y = lrelu(layer(y, 8, padding=1))
    return layer(y, 9, padding=1), downs


def score_loss(kind, x, real, generator=False):
    if kind == "vanilla":
        return F.binary_cross_entropy_with_logits(x, torch.full_like(x, float(real)))
    if kind == "lsgan":
        return F.mse_loss(x, torch.full_like(x, float(real)))
    if generator:
        return -x.mean()
    return F.relu(1 - x if real else 1 + x).mean()


def run(case):
    kind, features, skips = CASES[case]
    g_shapes, d_shapes = shapes()
    g, d = draw(g_shapes, 0), draw(d_shapes, 100)
    u, v = {}, {}
    for number, name in enumerate(n.split(".")[0] for n in d_shapes if n.endswith("_orig")):
        u[name] = F.normalize(wave(d_shapes[f"{name}.weight_orig"][0], 200 + number, -1, 1), dim=0)
        u[name] = u[name].to(torch.float32).to(torch.float64)
    adam = {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 0.01}
    optimisers = torch.optim.AdamW(g.values(), **adam), torch.optim.AdamW(d.values(), **adam)
    losses, scores, first_map = [], [], None
    for step in range(STEPS):
        lq = wave(BATCH * SIDE * SIDE * 3, 300 + step, 0, 1).reshape(BATCH, SIDE, SIDE, 3)
        large = SIDE * SCALE
        gt = wave(BATCH * large * large * 3, 400 + step, 0, 1).reshape(BATCH, large, large, 3)
        lq, gt = lq.permute(0, 3, 1, 2), gt.permute(0, 3, 1, 2)
        w = normalised(d, u, v)
        made = enlarge(g, lq)
        real_map, real_downs = judge(w, gt, skips)
        made_map, made_downs = judge(w, made, skips)
        pixel = (made - gt).abs().mean()
        gan = score_loss(kind, made_map, True, generator=True)
        feature = sum((a - b.detach()).abs().mean() for a, b in zip(made_downs, real_downs))
        total = pixel + WEIGHT * gan + (FEATURE_WEIGHT * feature if features else 0)
        g_gradients = torch.autograd.grad(total, list(g.values()), retain_graph=True)
        d_real, d_made = score_loss(kind, real_map, True), score_loss(kind, judge(w, made.detach(), skips)[0], False)
        d_gradients = torch.autograd.grad(d_real + d_made, list(d.values()))
        first_map = real_map[0, 0].detach() if first_map is None else first_map
        losses.append([x.item() for x in (pixel, gan, feature if features else 0 * gan, d_real + d_made)])
        scores.append([real_map.mean().item(), made_map.mean().item()])
        for optimiser, parameters, gradients in ((optimisers[0], g, g_gradients), (optimisers[1], d, d_gradients)):
            for p, gradient in zip(parameters.values(), gradients):
                p.grad = gradient
            optimiser.step()
    out = {"loss": torch.tensor(losses), "scores": torch.tensor(scores), "map": first_map}
    out.update({f"g.{n}": p for n, p in g.items()})
    out.update({f"d.{n}": p.reshape(-1)[:FIRST] for n, p in d.items()})
    for name in u:
        out[f"d.{name}.weight_u"], out[f"d.{name}.weight_v"] = u[name], v[name][:FIRST]
    return {n: t.to(torch.float32) for n, t in out.items()}


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../../test/golden")
    for case in CASES:
        path = os.path.join(folder, f"sr_gan_{case}.safetensors")
        tensorfile.save(path, run(case), {"kind": CASES[case][0], "torch": torch.__version__})
        print(path, os.path.getsize(path))


if __name__ == "__main__":
    main()
