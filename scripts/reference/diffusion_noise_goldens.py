#!/usr/bin/env python3
"""What PyTorch and diffusers draw and schedule: prints test/golden/diffusion_noise.h.

    pip install torch==2.15.0 diffusers==0.42.1 numpy
    python3 scripts/reference/diffusion_noise_goldens.py > test/golden/diffusion_noise.h

noise_goldens: seed, count, then of torch.randn(count) on the CPU: mean weighted by (i * 37 % 64) / 64, mean of
squares, and the first, the 17th, one of the middle and the last number; of the draw that follows on the same
generator the first number. schedule_goldens: kind, shift, steps, tokens, then the mean of the levels of
FlowMatchEulerDiscreteScheduler (given the pipelines' list), the mean weighted as above, and levels 1, steps / 2
and steps - 1.
"""
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.z_image.pipeline_z_image import calculate_shift


def figures(values):
    v = np.asarray(values, np.float64)
    i = np.arange(len(v))
    return [(v * (i * 37 % 64) / 64).mean(), (v * v).mean()]


def numbers(values):
    return ", ".join("%.9g" % v for v in values)


print("/* Made by scripts/reference/diffusion_noise_goldens.py with PyTorch %s, whose head says what they are. */"
      % torch.__version__.split("+")[0])
print("/* clang-format off */")
print("static const struct noise_golden noise_goldens[] = {")
for seed in (0, 1, 42, 4294967295, 4294967296 + 7):
    for shape in ((16,), (3, 16, 16), (16, 8, 8), (16, 128, 128)):
        g = torch.Generator().manual_seed(seed)
        a = torch.randn(1, *shape, generator=g).flatten().numpy()
        b = torch.randn(1, *shape, generator=g).flatten().numpy()
        n = len(a)
        at = [a[0], a[16 % n], a[n // 2 + 3], a[n - 1], b[0]]
        print("    {%dull, %d, {%s}}," % (seed, n, numbers(figures(a) + at)))
print("};")
print("static const struct schedule_golden schedule_goldens[] = {")
for kind, name in ((0, "exponential"), (1, "exponential"), (2, "linear")):
    for steps in list(range(1, 51)) if kind < 2 else (1, 4, 8):
        shift, tokens = (1.0, 3.0, 6.3)[steps % 3] if kind == 0 else 1.0, (64, 256, 1024, 4096, 9216)[steps % 5]
        s = FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=kind > 0, time_shift_type=name)
        s.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=calculate_shift(tokens))
        v = s.sigmas.numpy()
        assert len(v) == steps + 1
        at = [v[1], v[steps // 2], v[steps - 1]]
        print("    {%d, %g, %d, %d, {%s}}," % (kind, shift, steps, tokens, numbers([v.mean(dtype=np.float64)] + figures(v)[:1] + at)))
print("};")
