"""Times a block of FLUX.1 (double, single) and of Z-Image at its real widths (diffusers' modules, f32) in PyTorch and
here, with weights of f32, bf16 and 8 bits, in turns, one thread each, by processor time.

  block_speed.py [--parts double single z-image] [--pixels 384] [--text 256] [--times 3] [--test build/.../imgtrain-test]
"""
import argparse
import os
import re
import statistics
import subprocess
import time

import torch
from diffusers.models.transformers.transformer_flux import (FluxPosEmbed, FluxSingleTransformerBlock,
                                                            FluxTransformerBlock)
from diffusers.models.transformers.transformer_z_image import RopeEmbedder, ZImageTransformerBlock

DTYPES = ("f32", "bf16", "int8")


def places(o):
    image = (o.pixels // 16) ** 2
    at = torch.zeros(o.text + image, 3, dtype=torch.int32)
    at[o.text:, 1] = torch.arange(image) // (o.pixels // 16)
    at[o.text:, 2] = torch.arange(image) % (o.pixels // 16)
    return at


def flux_block(o, module):
    dim, at = 3072, places(o)
    block = module(dim=dim, num_attention_heads=24, attention_head_dim=128)
    rotary = FluxPosEmbed(theta=10000, axes_dim=[16, 56, 56])(at.float())
    inputs = dict(hidden_states=torch.randn(1, len(at) - o.text, dim), encoder_hidden_states=torch.randn(1, o.text, dim),
                  temb=torch.randn(1, dim), image_rotary_emb=rotary)
    return lambda: block(**inputs)


def z_image_block(o):
    dim, at = 3840, places(o)
    block = ZImageTransformerBlock(0, dim, 30, 30, 1e-5, True)
    turns = RopeEmbedder(theta=256, axes_dims=[32, 48, 48], axes_lens=[1024, 512, 512])(at)[None]
    x, c, mask = torch.randn(1, len(at), dim), torch.randn(1, 256), torch.ones(1, len(at), dtype=torch.bool)
    return lambda: block(x, mask, turns, c)


def step_there(step):
    begin = time.process_time()
    step()
    return time.process_time() - begin


def step_here(o, part, dtype):
    suite = "s3dit_test" if part == "z-image" else "mmdit_test"
    out = subprocess.run([o.test, suite], check=True, capture_output=True, text=True,
                         env=dict(os.environ, BLOCK_SPEED=f"{part} {o.pixels} {o.text} {dtype}"))
    return float(re.search(r"block: ([0-9.]+) s", out.stdout)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="+", default=["double", "single", "z-image"])
    parser.add_argument("--pixels", type=int, default=384)
    parser.add_argument("--text", type=int, default=256)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--test", default="build/gcc-v1-w1-t1-c0/imgtrain-test")
    o = parser.parse_args()
    torch.set_num_threads(1)
    make = {"double": lambda: flux_block(o, FluxTransformerBlock),
            "single": lambda: flux_block(o, FluxSingleTransformerBlock), "z-image": lambda: z_image_block(o)}
    for part in o.parts:
        step, there, here = make[part](), [], {dtype: [] for dtype in DTYPES}
        with torch.no_grad():
            step_there(step)
            for _ in range(o.times):
                there.append(step_there(step))
                for dtype in DTYPES:
                    here[dtype].append(step_here(o, part, dtype))
        a = statistics.median(there)
        print(f"{part}, {o.pixels} px, {o.text} rows of text: PyTorch {torch.__version__} {a:.2f} s", end="")
        for dtype in DTYPES:
            b = statistics.median(here[dtype])
            print(f"; imgtrain {dtype} {b:.2f} s ({a / b:.2f} times as fast)", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
