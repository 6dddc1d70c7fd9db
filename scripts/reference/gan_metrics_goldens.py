#!/usr/bin/env python3
"""The metrics of GAN samples in plain numpy, float64, for the pictures that test/metrics/sample_metrics_test.c draws.

    python3 scripts/reference/gan_metrics_goldens.py > test/golden/gan_metrics.h

Written from the papers' formulas (see src/gan/metrics_*.c for what was chosen): all distances one by
one, convolutions tap by tap, filters as matrices, sorting by numpy.
"""
import numpy as np

CASES = [  # width, height, real, held, fake, seed
    (33, 38, 14, 6, 11, 5),
    (104, 50, 9, 0, 12, 6),
    (16, 16, 40, 9, 33, 7),
]
STREAM = 20
LEAK = 0.2


# ---- the program's random numbers: Philox4x32-10 (Salmon et al. 2011), Box-Muller ----

def philox(seed, step, index):
    index = np.asarray(index, np.uint64)
    c = [index & np.uint64(0xFFFFFFFF), index >> np.uint64(32),
         np.full_like(index, step), np.full_like(index, STREAM)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        low = np.uint64(0xFFFFFFFF)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, -1)


def normal(count, seed, step):
    w = philox(seed, step, np.arange((count + 3) // 4)).astype(np.float64)
    r = np.sqrt(-2 * np.log((w[:, 0::2] + 1) / 2**32))
    a = 2 * np.pi * w[:, 1::2] / 2**32
    out = np.stack([r * np.cos(a), r * np.sin(a)], -1).reshape(-1)[:count]
    return out.astype(np.float32).astype(np.float64)


# ---- pictures ----

def draw(width, height, n, kind):
    i, y, x, c = np.ogrid[0:n, 0:height, 0:width, 0:3]
    i = i + 1000 * kind
    value = 20 + 3 * ((i * 37 + c * 50) % 40) + (x * (i % 5 + 1) * 4 + y * (i % 3 + 2) * 3) % 97
    value = value + (i * 7919 + y * 131 + x * 17 + c * 29) * (i % 11 + 3) % 13
    return (np.where(kind == 2, value * 3 // 4 + 30, value)).astype(np.uint8)


# ---- features ----

def halve(x):
    n, h, w, c = x.shape
    return x[:, :h // 2 * 2, :w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def leaky(x):
    return np.where(x > 0, x, LEAK * x)


def conv3(x, weights, groups):
    n, h, w, c = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    each, out = c // groups, np.zeros_like(x)
    for g in range(groups):
        s = slice(g * each, (g + 1) * each)
        for ky in range(3):
            for kx in range(3):
                part = padded[:, ky:ky + h, kx:kx + w, s]
                out[..., s] += part @ weights[s, :, ky, kx].T
    return out


def features(pictures):
    x = (pictures.astype(np.float64) - 128) / 128
    while max(x.shape[1:3]) > 96:
        x = halve(x)
    columns, blocks = [], []
    for stage, c in enumerate([32, 64, 64, 64]):
        n, h, w, cin = x.shape

        def weights(part, count, std):
            return normal(count, 1, 4 * stage + part) * np.float32(std)
        he1, he3 = np.sqrt(2 / (1 + LEAK**2) / cin), np.sqrt(2 / (1 + LEAK**2) / 144)
        x = leaky(x @ weights(0, c * cin, he1).reshape(c, cin).T + weights(1, c, 0.2))
        x = leaky(conv3(x, weights(2, c * 144, he3).reshape(c, 16, 3, 3), c // 16)
                  + weights(3, c, 0.2))
        last = stage == 3 or min(h // 2, w // 2) < 8
        grid = min(4 if last else 2, h, w)
        cells = [x[:, gy * h // grid:(gy + 1) * h // grid, gx * w // grid:(gx + 1) * w // grid]
                 .mean((1, 2)) for gy in range(grid) for gx in range(grid)]
        columns.append(np.concatenate(cells, 1))
        if last:
            return columns
        x = halve(x)


def scaled(real, *sets):
    """Columns' mean 0 and blocks' mean variance 1 for the real ones; all sets, blocks joined."""
    out = [[] for _ in sets]
    for b, block in enumerate(real):
        mean, spread = block.mean(0), np.sqrt(block.var(0).mean())
        for o, s in zip(out, sets):
            o.append((s[b] - mean) / spread)
    return [np.concatenate(o, 1) for o in out]


# ---- sets of points ----

def distances(a, b):
    return np.array([[np.sqrt(((p - q)**2).sum()) for q in b] for p in a])


def kid(x, y):
    d, n, m = x.shape[1], len(x), len(y)
    k = lambda a, b: (a @ b.T / d + 1)**3
    xx, yy = k(x, x), k(y, y)
    return ((xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
            - 2 * k(x, y).mean())


def balls(real, fake, k):
    radius = lambda s: np.sort(distances(s, s), 1)[:, k]  # the nearest is the point itself
    rr, rf, d = radius(real), radius(fake), distances(real, fake)
    inside = d < rr[:, None]
    return (inside.any(0).mean(), (d < rf[None]).any(1).mean(), inside.sum(0).mean() / k,
            (d.min(1) < rr).mean())


def spread(s, m):
    return s[[i * len(s) // m for i in range(m)]]


def nearest_ratio(real, held, fake):
    m = min(len(real), len(held))
    if m == 0:
        return float("nan")
    to = lambda s: distances(fake, s).min(1).mean()
    return to(spread(real, m)) / to(held[:m])


# ---- sliced Wasserstein distance ----

def mirror(i, n):
    i = abs(i)
    return i if i < n else 2 * n - 2 - i


def filter_matrix(n):
    m = np.zeros((n, n))
    for i in range(n):
        for k, w in enumerate([1, 4, 6, 4, 1]):
            m[i, mirror(i + k - 2, n)] += w / 16
    return m


def pyramid(x):
    levels = []
    while (min(x.shape[1:3]) + 1) // 2 >= 16:
        fy, fx = filter_matrix(x.shape[1]), filter_matrix(x.shape[2])
        both = lambda p: np.einsum("ab,nbwc,dw->nadc", fy, p, fx)
        small = both(x)[:, ::2, ::2]
        holes = np.zeros_like(x)
        holes[:, ::2, ::2] = small
        levels.append(x - 4 * both(holes))
        x = small
    return levels + [x]


def swd(real, fake, seed):
    m = min(len(real), len(fake))
    each = min(128, 16384 // m)
    sets = [pyramid(spread(s, m).astype(np.float64)) for s in (real, fake)]
    total = 0.0
    for level in range(len(sets[0])):
        patches = []
        for s in range(2):
            x = sets[s][level]
            _, h, w, _ = x.shape
            draws = philox(seed, 1000 + 2 * level + s, np.arange(m * each))
            patches.append(np.array([
                x[i // each, (y := int(d[1]) % (h - 6)):y + 7, (z := int(d[0]) % (w - 6)):z + 7]
                for i, d in enumerate(draws)]))
        mean, std = patches[0].mean((0, 1, 2)), patches[0].std((0, 1, 2))
        a, b = [((p - mean) / std).reshape(m * each, -1) for p in patches]
        for repeat in range(4):
            u = normal(128 * 147, seed, 2000 + 4 * level + repeat).reshape(128, 147)
            u /= np.sqrt((u**2).sum(1, keepdims=True))
            total += np.abs(np.sort(a @ u.T, 0) - np.sort(b @ u.T, 0)).mean() / 4
    return 1000 * total / len(sets[0])


# ---- MS-SSIM ----

def ssim_terms(a, b):
    g = np.exp(-((np.arange(11) - 5.0)**2) / 4.5)
    g /= g.sum()

    def blur(p):
        rows = sum(g[k] * p[k:p.shape[0] - 10 + k] for k in range(11))
        return sum(g[k] * rows[:, k:p.shape[1] - 10 + k] for k in range(11))
    ma, mb = blur(a), blur(b)
    va, vb, vab = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    cs = (2 * vab + 9e-4) / (va + vb + 9e-4)
    l = (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
    return (l * cs).mean((0, 1)), cs.mean((0, 1))


def half_padded(p):
    p = np.pad(p, ((0, p.shape[0] % 2), (0, p.shape[1] % 2), (0, 0)), mode="edge")
    return halve(p[None])[0]


def ms_ssim(a, b):
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    scales, side = 1, min(a.shape[:2])
    while scales < 5 and (side + 1) // 2 >= 11:
        scales, side = scales + 1, (side + 1) // 2
    e = exponents[:scales] / exponents[:scales].sum()
    product = 1.0
    for s in range(scales):
        whole, contrast = ssim_terms(a, b)
        product = product * np.maximum(whole if s == scales - 1 else contrast, 0)**e[s]
        a, b = half_padded(a), half_padded(b)
    return product.mean()


def likeness(fake, seed):
    h, w = fake.shape[1:3]
    pairs = min(256, max(32, (1 << 22) // (w * h)))
    total = 0.0
    for d in philox(seed, 3000, np.arange(pairs)):
        i, j = int(d[0]) % len(fake), int(d[1]) % (len(fake) - 1)
        j += j >= i
        total += ms_ssim(fake[i] / 255.0, fake[j] / 255.0)
    return total / pairs


def main():
    print("/* Made by scripts/reference/gan_metrics_goldens.py: width, height, real, held, fake, "
          "seed, then SWD,\n * rKID, precision, recall, density, coverage, MS-SSIM, nearest ratio, "
          "coverage of pixels (k = 3). */")
    print("/* clang-format off */")
    for width, height, real, held, fake, seed in CASES:
        r, h, f = (draw(width, height, n, kind) for kind, n in ((0, real), (1, held), (2, fake)))
        blocks = [features(s) if len(s) else None for s in (r, h, f)]
        fr, ff = scaled(blocks[0], blocks[0], blocks[2])
        fh = scaled(blocks[0], blocks[1])[0] if held else fr[:0]
        flat = lambda s: s.reshape(len(s), -1) / 255.0
        numbers = [swd(r, f, seed), kid(fr, ff), *balls(fr, ff, 5), likeness(f, seed),
                   nearest_ratio(fr, fh, ff), balls(flat(r), flat(f), 3)[3]]
        text = ", ".join("(double)NAN" if n != n else f"{n:.9g}" for n in numbers)
        print(f"{{{width}, {height}, {real}, {held}, {fake}, {seed}, {{{text}}}}},")
    print("/* clang-format on */")


main()
