"""2D Gaussian image fitting in plain PyTorch: an independent statement of what `task: splat` computes.

Model (splat.md gives the reasons; Image-GS, Zhang et al., SIGGRAPH 2025, the origin):
  pixel (row i, column j) has its centre at (j + 0.5, i + 0.5); Gaussian n sits at (xy_x W, xy_y H)
  R = [[cos, -sin], [sin, cos]](rot), S = diag(sigma), sigma = 1 / scale (or scale itself)
  q = d^T (R S S^T R^T)^-1 d, alpha = exp(-q / 2) where q <= cut^2, else 0
  normalised: C = sum alpha_n c_n / (sum alpha_n + 1e-4) over the K largest alpha (topk 0: over all)
  additive:   C = sum alpha_n c_n
  cut = 4.3 (normalised) or 3.5 (additive)
  loss = l1 mean|C - T| + l2 mean (C - T)^2 + ssim (1 - SSIM(C, T))

Two renderers give the same numbers: `dense` (every Gaussian at every pixel, the plain statement) and
`tiles` (16x16 tiles with padded lists, as fast as PyTorch on a CPU reasonably goes).

  splat_torch.py fit IMAGE --crop X,Y,W,H -n 1000 --steps 300    PSNR every 50 steps, ms a step
  splat_torch.py bench                                           ms a step at 2048x2048, 10,000 Gaussians
  splat_goldens.py                                               writes and checks test/golden/splat_*
"""
import argparse
import math
import time
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

import tensorfile
from allocator import keep_memory

NAMES = ("xy", "scale", "rot", "feat")
EPSILON = 1e-4  # in the denominator of the normalised model
SIGMA_MIN = 0.3  # pixels


@dataclass(frozen=True)
class Options:
    topk: int = 10
    additive: bool = False
    disable_inverse_scale: bool = False
    l1: float = 1.0
    l2: float = 0.0
    ssim: float = 0.1
    pos_lr: float = 5e-4
    scale_lr: float = 2e-3
    rot_lr: float = 2e-3
    feat_lr: float = 5e-3
    quantize: bool = False
    pos_bits: int = 16
    scale_bits: int = 16
    rot_bits: int = 16
    feat_bits: int = 16

    @property
    def cut(self):
        return 3.5 if self.additive else 4.3

    @property
    def bits(self):
        return dict(zip(NAMES, (self.pos_bits, self.scale_bits, self.rot_bits, self.feat_bits)))

    @property
    def rates(self):
        return dict(zip(NAMES, (self.pos_lr, self.scale_lr, self.rot_lr, self.feat_lr)))


# ---------------------------------------------------------------- model

def fake_quantize(x, bits):
    """Rounds to 2^bits levels between the tensor's least and largest value; gradient straight through."""
    n = 2 ** bits - 1
    low, high = x.detach().min(), x.detach().max()
    if high == low:
        return x
    q = torch.round((x.detach() - low) / (high - low) * n) / n * (high - low) + low
    return x + (q - x).detach()


def effective(model, opt):
    """The parameters that are drawn: quantised ones when training for quantisation."""
    if not opt.quantize:
        return model
    return {name: fake_quantize(model[name], opt.bits[name]) for name in NAMES}


def geometry(model, width, height, opt):
    """-> mx, my, and the symmetric inverse covariance a, b, c: q = a dx^2 + 2 b dx dy + c dy^2. [N] each."""
    sigma = model["scale"] if opt.disable_inverse_scale else 1 / model["scale"]
    cos, sin = torch.cos(model["rot"][:, 0]), torch.sin(model["rot"][:, 0])
    # The inverse of R S S^T R^T is R S^-2 R^T, as R is orthogonal.
    u, v = sigma[:, 0] ** -2, sigma[:, 1] ** -2
    a = cos * cos * u + sin * sin * v
    b = cos * sin * (u - v)
    c = sin * sin * u + cos * cos * v
    return model["xy"][:, 0] * width, model["xy"][:, 1] * height, a, b, c


def distances(model, width, height, rows, opt):
    """q of every Gaussian at every pixel of these rows: [len(rows) * W, N]"""
    mx, my, a, b, c = geometry(model, width, height, opt)
    x = (torch.arange(width, dtype=mx.dtype) + 0.5)[None, :].expand(len(rows), -1).reshape(-1, 1)
    y = (torch.tensor(list(rows), dtype=mx.dtype) + 0.5)[:, None].expand(-1, width).reshape(-1, 1)
    dx, dy = x - mx, y - my
    return a * dx * dx + 2 * b * dx * dy + c * dy * dy


def blend_rows(model, width, height, rows, opt):
    q = distances(model, width, height, rows, opt)
    alpha = torch.where(q <= opt.cut ** 2, torch.exp(-0.5 * q), torch.zeros_like(q))
    if opt.additive:
        return alpha @ model["feat"]
    if 0 < opt.topk < alpha.shape[1]:
        alpha, index = torch.topk(alpha, opt.topk, dim=1)
        colour = (alpha[:, :, None] * model["feat"][index]).sum(1)
    else:
        colour = alpha @ model["feat"]
    return colour / (alpha.sum(1, keepdim=True) + EPSILON)


def render_dense(model, width, height, opt, pairs=4_000_000):
    """[H, W, C]; rows go in chunks of about `pairs` (pixel, Gaussian) pairs, recomputed backward."""
    step = max(1, pairs // (width * model["xy"].shape[0]))
    parts = []
    for row in range(0, height, step):
        rows = range(row, min(row + step, height))

        def part(*tensors, rows=rows):
            return blend_rows(dict(zip(NAMES, tensors)), width, height, rows, opt)

        tensors = [model[name] for name in NAMES]
        parts.append(part(*tensors) if step >= height else
                     checkpoint(part, *tensors, use_reentrant=False))
    return torch.cat(parts).reshape(height, width, -1)


# ---------------------------------------------------------------- loss

def ssim_window(dtype):
    x = torch.arange(11, dtype=dtype) - 5
    g = torch.exp(-x * x / (2 * 1.5 ** 2))
    return g / g.sum()


def blur(x, window):
    """x [1, C, H, W]: outer product of the window with itself, zeros outside, same size. As a depthwise
    convolution in channels_last, PyTorch's fastest of eight ways tried (40 times the plainest)."""
    c = x.shape[1]
    x = F.conv2d(x, window.reshape(1, 1, 1, 11).expand(c, 1, 1, 11), padding=(0, 5), groups=c)
    return F.conv2d(x, window.reshape(1, 1, 11, 1).expand(c, 1, 11, 1), padding=(5, 0), groups=c)


def planes(image):
    """[H, W, C] -> [1, C, H, W], the same memory: channels_last"""
    return image.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)


def target_moments(target):
    """The target's planes, mu, sigma^2: once a fit. target [H, W, C]"""
    t = planes(target)
    window = ssim_window(t.dtype)
    mu = blur(t, window)
    return t, mu, blur(t * t, window) - mu * mu


def ssim(image, moments):
    """Mean SSIM over pixels and channels (Wang et al. 2004). image [H, W, C]"""
    t, mu_t, var_t = moments
    x = planes(image)
    mu, xx, xt = blur(torch.cat([x, x * x, x * t], 1), ssim_window(x.dtype)).chunk(3, 1)
    mu_2, mu_mu = mu * mu, mu * mu_t
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    above = (2 * mu_mu + c1) * (2 * (xt - mu_mu) + c2)
    below = (mu_2 + mu_t * mu_t + c1) * (xx - mu_2 + var_t + c2)
    return (above / below).mean()


def loss_terms(image, target, opt, moments=None):
    """-> total, {term: unweighted value}; a term of weight 0 is not computed."""
    difference = image - target
    terms = {}
    if opt.l1:
        terms["l1"] = difference.abs().mean()
    if opt.l2:
        terms["l2"] = (difference ** 2).mean()
    if opt.ssim:
        terms["ssim"] = ssim(image, moments or target_moments(target))
    total = opt.l1 * terms.get("l1", 0) + opt.l2 * terms.get("l2", 0)
    if opt.ssim:
        total = total + opt.ssim * (1 - terms["ssim"])
    return total, terms


def psnr(image, target):
    mse = ((image.detach().clamp(0, 1) - target) ** 2).double().mean().item()
    return -10 * math.log10(max(mse, 1e-20))


# ---------------------------------------------------------------- optimiser

def make_optimizer(model, opt):
    groups = [{"params": [model[name]], "lr": opt.rates[name]} for name in NAMES]
    return torch.optim.Adam(groups, betas=(0.9, 0.999), eps=1e-8)


@torch.no_grad()
def clamp(model, width, height, opt):
    low, high = SIGMA_MIN, float(max(width, height))
    if not opt.disable_inverse_scale:
        low, high = 1 / high, 1 / low
    model["scale"].clamp_(low, high)
    model["xy"].clamp_(0, 1)


def as_parameters(model, dtype):
    return {name: model[name].detach().to(dtype).clone().requires_grad_() for name in NAMES}


# ---------------------------------------------------------------- renderer by tiles

TILE = 16


@torch.no_grad()
def tile_lists(model, width, height, opt):
    """-> tiles sorted by length, their lengths, begin of each in `members`, members. Bounding boxes of
    the ellipses q = cut^2 decide; a list may be a little too long, never too short."""
    mx, my, a, b, c = geometry(model, width, height, opt)
    det = a * c - b * b
    rx, ry = opt.cut * torch.sqrt(c / det) + 0.01, opt.cut * torch.sqrt(a / det) + 0.01
    across, down = -(-width // TILE), -(-height // TILE)

    def span(middle, radius, count):
        low = torch.floor((middle - radius - 0.5) / TILE).long().clamp(0, count)
        high = torch.floor((middle + radius - 0.5) / TILE).long().clamp(-1, count - 1)
        return low, (high - low + 1).clamp(min=0)

    x0, nx = span(mx, rx, across)
    y0, ny = span(my, ry, down)
    owner = torch.repeat_interleave(torch.arange(len(mx)), nx * ny)
    first = torch.cumsum(nx * ny, 0) - nx * ny
    k = torch.arange(len(owner)) - first[owner]
    tile = (y0[owner] + k // nx[owner]) * across + x0[owner] + k % nx[owner]
    order = torch.argsort(tile, stable=True)
    length = torch.bincount(tile, minlength=across * down)
    begin = torch.cumsum(length, 0) - length
    by_length = torch.argsort(length)
    return by_length, length[by_length], begin[by_length], owner[order]


def tile_chunks(lists, pairs):
    """Tiles of like length together, each chunk about `pairs` (pixel, list entry) pairs.
    -> [(tiles [T], index [T, L] into Gaussians, padding as N)]"""
    tiles, length, begin, members = lists
    longest = length.tolist()
    chunks, start, count = [], 0, len(longest)
    padding = torch.cat([members, members.new_full((1,), -1)])
    while start < count:
        if longest[start] == 0:  # nothing to draw there
            start += 1
            continue
        stop = start + 1
        while stop < count and (stop + 1 - start) * TILE * TILE * longest[stop] <= pairs and \
                longest[stop] <= 1.25 * longest[start] + 4:
            stop += 1
        column = torch.arange(longest[stop - 1])
        used = column < length[start:stop, None]
        index = torch.where(used, begin[start:stop, None] + column, len(members))
        chunks.append((tiles[start:stop], padding[index]))
        start = stop
    return chunks


def tile_monomials(dtype):
    """[256, 6]: x^2, xy, y^2, x, y, 1 at the tile's pixels, x and y from the tile's middle."""
    r = torch.arange(TILE, dtype=dtype) + 0.5 - TILE / 2
    y, x = torch.meshgrid(r, r, indexing="ij")
    x, y = x.reshape(-1), y.reshape(-1)
    return torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)


def blend_tiles(table, feat, tiles, index, across, opt):
    """[T, 256, C]. q is a polynomial of degree 2 in x, y: one matrix product gives all of a tile."""
    mx, my, a, b, c = (table[index]).unbind(-1)
    mx = mx - ((tiles % across) * TILE + TILE / 2).to(mx.dtype)[:, None]
    my = my - ((tiles // across) * TILE + TILE / 2).to(my.dtype)[:, None]
    ax, by = a * mx + b * my, b * mx + c * my
    coefficients = torch.stack([a, 2 * b, c, -2 * ax, -2 * by, mx * ax + my * by], 1)  # [T, 6, L]
    q = torch.matmul(tile_monomials(mx.dtype), coefficients)
    inside = (q <= opt.cut ** 2) & (index >= 0)[:, None]
    alpha = torch.exp(-0.5 * q) * inside
    if not opt.additive and 0 < opt.topk < index.shape[1]:
        with torch.no_grad():  # the K largest are those not below the K-th
            kept = alpha >= torch.topk(alpha, opt.topk, dim=2, sorted=False)[0].amin(2, True)
        alpha = alpha * kept
    colour = torch.bmm(alpha, feat[index])
    return colour if opt.additive else colour / (alpha.sum(2, keepdim=True) + EPSILON)


def render_tiles(model, width, height, opt, pairs=1_000_000, recompute=False):
    """[H, W, C]; recompute: keep nothing of a chunk for the backward pass but its inputs."""
    across, down = -(-width // TILE), -(-height // TILE)
    table = torch.stack(geometry(model, width, height, opt), 1)
    feat = model["feat"]
    parts, places = [], []
    for tiles, index in tile_chunks(tile_lists(model, width, height, opt), pairs):
        if recompute:
            parts.append(checkpoint(blend_tiles, table, feat, tiles, index, across, opt,
                                    use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(blend_tiles(table, feat, tiles, index, across, opt))
        places.append(tiles)
    image = table.new_zeros(across * down, TILE * TILE, feat.shape[1])
    if parts:
        image = image.index_copy(0, torch.cat(places), torch.cat(parts))
    image = image.reshape(down, across, TILE, TILE, -1).permute(0, 2, 1, 3, 4)
    return image.reshape(down * TILE, across * TILE, -1)[:height, :width]


RENDERERS = {"dense": render_dense, "tiles": render_tiles}


def fit_step(model, target, moments, optimizer, opt, render):
    height, width, _ = target.shape
    image = render(effective(model, opt), width, height, opt)
    total, terms = loss_terms(image, target, opt, moments)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    clamp(model, width, height, opt)
    return image.detach(), total.item(), terms


# ---------------------------------------------------------------- commands

def load_image(path, crop):
    """[H, W, C] float32 in 0..1; crop: (x, y, width, height) or None"""
    import numpy
    from PIL import Image
    picture = Image.open(path)
    if crop:
        x, y, w, h = crop
        picture = picture.crop((x, y, x + w, y + h))
    array = torch.from_numpy(numpy.array(picture))
    top = 65535 if array.dtype not in (torch.uint8, torch.bool) else 255
    array = array.float() / top
    return array[:, :, None] if array.dim() == 2 else array


def save_image(path, image):
    from PIL import Image
    array = (image * 255).round().to(torch.uint8).numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(path)


def random_model(target, count, sigma, opt, generator):
    """Uniform positions, round Gaussians of `sigma` pixels, the target's colour at their place."""
    height, width, _ = target.shape
    xy = torch.rand(count, 2, generator=generator)
    x = (xy[:, 0] * width).long().clamp(max=width - 1)
    y = (xy[:, 1] * height).long().clamp(max=height - 1)
    scale = torch.full((count, 2), sigma if opt.disable_inverse_scale else 1 / sigma)
    return as_parameters({"xy": xy, "scale": scale, "rot": torch.zeros(count, 1),
                          "feat": target[y, x]}, torch.float32)


def fit(args, opt):
    target = load_image(args.image, args.crop)
    height, width, channels = target.shape
    if args.init:
        tensors, _ = tensorfile.load(args.init)
        model = as_parameters(tensors, torch.float32)
    else:
        model = random_model(target, args.gaussians, args.sigma, opt,
                             torch.Generator().manual_seed(args.seed))
    metadata = {"format": "imgtrain", "kind": "model", "task": "splat", "step": 0, "width": width,
                "height": height, "channels": channels, "gaussians": len(model["xy"]),
                "topk": opt.topk, "blend": "additive" if opt.additive else "normalised",
                "scale": "sigma" if opt.disable_inverse_scale else "inverse", "cut": opt.cut,
                "gamma": 1.0, "sample_bits": 8, "alpha": "none"}
    if args.save_crop:
        save_image(args.save_crop, target)
    if args.save_init:
        tensorfile.save(args.save_init, model, metadata)
    optimizer = make_optimizer(model, opt)
    moments = target_moments(target) if opt.ssim else None
    render = RENDERERS[args.renderer]
    begin = time.perf_counter()
    for step in range(args.steps):
        image, total, _ = fit_step(model, target, moments, optimizer, opt, render)
        if step % 50 == 0:
            print(f"step {step} loss {total:.6f} psnr {psnr(image, target):.3f}", flush=True)
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        image = render(effective(model, opt), width, height, opt)
        total = loss_terms(image, target, opt, moments)[0].item()
    print(f"step {args.steps} loss {total:.6f} psnr {psnr(image, target):.3f} "
          f"ssim {ssim(image, target_moments(target)).item():.5f}")
    print(f"{1000 * seconds / max(args.steps, 1):.2f} ms/step, {width}x{height}, "
          f"{len(model['xy'])} Gaussians, {args.renderer}, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")
    if args.out:
        tensorfile.save(args.out, model, metadata)


def bench_target(side):
    """A smooth picture with edges, the same each time."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    wave = 0.5 + 0.25 * torch.sin(40 * x + 9 * y * y) + 0.2 * torch.cos(31 * y - 17 * x * y)
    disc = ((x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.05).float()
    return torch.stack([wave, 1 - wave * y, 0.3 + 0.5 * disc * wave + 0.2 * x], 2).clamp(0, 1)


def bench(args, opt):
    target = bench_target(args.size)
    cases = (("topk 10, L1 + SSIM", replace(opt, topk=10, additive=False, l1=1.0, ssim=0.1)),
             ("additive, L1", replace(opt, additive=True, l1=1.0, ssim=0.0)))
    print(f"{args.size}x{args.size}, {args.gaussians} Gaussians of {args.sigma:g} px, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, case in cases:
        model = random_model(target, args.gaussians, args.sigma, case,
                             torch.Generator().manual_seed(args.seed))
        optimizer = make_optimizer(model, case)
        moments = target_moments(target) if case.ssim else None

        def render(m, w, h, o):
            return render_tiles(m, w, h, o, pairs=args.pairs, recompute=args.recompute)

        times, cpu = [], []
        for _ in range(args.steps + 1):
            begin, used = time.perf_counter(), time.process_time()
            fit_step(model, target, moments, optimizer, case, render)
            times.append(1000 * (time.perf_counter() - begin))
            cpu.append(1000 * (time.process_time() - used))
        times = sorted(times[1:])  # the first one warms up
        print(f"{name}: median {times[len(times) // 2]:.0f} ms/step, best {times[0]:.0f}, "
              f"CPU {min(cpu[1:]):.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="2D Gaussian fitting in plain PyTorch")
    sub = parser.add_subparsers(dest="command", required=True)
    f = sub.add_parser("fit")
    f.add_argument("image")
    f.add_argument("--crop", type=lambda s: tuple(int(v) for v in s.split(",")), help="X,Y,W,H")
    f.add_argument("--steps", type=int, default=300)
    f.add_argument("-n", "--gaussians", type=int, default=1000)
    f.add_argument("--init", help="safetensors file with xy, scale, rot, feat")
    f.add_argument("--save-init", help="the Gaussians before the first step, as a model of imgtrain")
    f.add_argument("--save-crop", help="the crop as a PNG")
    f.add_argument("-o", "--out", help="the Gaussians at the end, as a model of imgtrain")
    f.add_argument("--renderer", choices=RENDERERS, default="tiles")
    b = sub.add_parser("bench")
    b.add_argument("--size", type=int, default=2048)
    b.add_argument("-n", "--gaussians", type=int, default=10000)
    b.add_argument("--steps", type=int, default=5)
    b.add_argument("--pairs", type=int, default=1_000_000, help="(pixel, entry) pairs a chunk")
    b.add_argument("--recompute", action="store_true", help="checkpoint each chunk")
    for p in (f, b):
        p.add_argument("--sigma", type=float, default=5.0)
        p.add_argument("--seed", type=int, default=123)
        p.add_argument("--threads", type=int, default=2)
        p.add_argument("--stock-allocator", action="store_true",
                       help="leave glibc's malloc as it is: what a PyTorch program has that does nothing "
                            "about it")
        for key, default in vars(Options()).items():
            if isinstance(default, bool):
                p.add_argument("--" + key.replace("_", "-"), action="store_true")
            else:
                p.add_argument("--" + key.replace("_", "-"), type=type(default), default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.stock_allocator:
        keep_memory()
    opt = Options(**{key: getattr(args, key) for key in vars(Options())})
    {"fit": fit, "bench": bench}[args.command](args, opt)


if __name__ == "__main__":
    main()
