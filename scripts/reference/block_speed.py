"""Times a block of FLUX.1 (double, single), of Z-Image and of T5-XXL at its real widths (diffusers' and transformers'
modules) in PyTorch, in f32 and bf16, and here, with weights of f32, bf16 and 8 bits, in turns, one thread each, by processor
time. bf16-in-f32: weights in bf16 alone.

  block_speed.py [--parts double single z-image t5] [--pixels 384] [--text 256] [--times 3] [--test build/.../imgtrain-test]
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
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Block

DTYPES = ("f32", "bf16-in-f32", "bf16", "int8")
SUITES = {"z-image": "s3dit_test", "t5": "flux_text_test"}


def places(o):
    image = (o.pixels // 16) ** 2
    at = torch.zeros(o.text + image, 3, dtype=torch.int32)
    at[o.text:, 1] = torch.arange(image) // (o.pixels // 16)
    at[o.text:, 2] = torch.arange(image) % (o.pixels // 16)
    return at


def flux_block(o, module, dtype):
    dim, at = 3072, places(o)
    block = module(dim=dim, num_attention_heads=24, attention_head_dim=128).to(dtype)
    rotary = FluxPosEmbed(theta=10000, axes_dim=[16, 56, 56])(at.float())
    inputs = dict(hidden_states=torch.randn(1, len(at) - o.text, dim, dtype=dtype),
                  encoder_hidden_states=torch.randn(1, o.text, dim, dtype=dtype), temb=torch.randn(1, dim, dtype=dtype),
                  image_rotary_emb=rotary)
    return lambda: block(**inputs)


def z_image_block(o, dtype):
    dim, at = 3840, places(o)
    block = ZImageTransformerBlock(0, dim, 30, 30, 1e-5, True).to(dtype)
    turns = RopeEmbedder(theta=256, axes_dims=[32, 48, 48], axes_lens=[1024, 512, 512])(at)[None]
    x, c = torch.randn(1, len(at), dim, dtype=dtype), torch.randn(1, 256, dtype=dtype)
    mask = torch.ones(1, len(at), dtype=torch.bool)
    return lambda: block(x, mask, turns, c)


def t5_layer(o, dtype):
    config = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_heads=64, feed_forward_proj="gated-gelu", dropout_rate=0)
    layer = T5Block(config).eval().to(dtype)
    x, bias = torch.randn(1, o.text, 4096, dtype=dtype), torch.randn(1, 64, o.text, o.text, dtype=dtype)
    return lambda: layer(x, position_bias=bias)


def step_there(step):
    begin = time.process_time()
    step()
    return time.process_time() - begin


def step_here(o, part, dtype):
    out = subprocess.run([o.test, SUITES.get(part, "mmdit_test")], check=True, capture_output=True, text=True,
                         env=dict(os.environ, BLOCK_SPEED=f"{part} {o.pixels} {o.text} {dtype}"))
    return float(re.search(r"block: ([0-9.]+) s", out.stdout)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="+", default=["double", "single", "z-image", "t5"])
    parser.add_argument("--pixels", type=int, default=384)
    parser.add_argument("--text", type=int, default=256)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--test", default="build/gcc-v1-w1-t1-c0/imgtrain-test")
    o = parser.parse_args()
    torch.set_num_threads(1)
    make = {"double": lambda t: flux_block(o, FluxTransformerBlock, t),
            "single": lambda t: flux_block(o, FluxSingleTransformerBlock, t),
            "z-image": lambda t: z_image_block(o, t), "t5": lambda t: t5_layer(o, t)}
    for part in o.parts:
        steps = {"f32": make[part](torch.float32), "bf16": make[part](torch.bfloat16)}
        there, here = {name: [] for name in steps}, {dtype: [] for dtype in DTYPES}
        with torch.no_grad():
            for step in steps.values():
                step_there(step)
            for _ in range(o.times):
                for name, step in steps.items():
                    there[name].append(step_there(step))
                for dtype in DTYPES:
                    here[dtype].append(step_here(o, part, dtype))
        seconds = [f"PyTorch {torch.__version__} {name} {statistics.median(there[name]):.2f} s" for name in steps]
        seconds += [f"imgtrain {dtype} {statistics.median(here[dtype]):.2f} s" for dtype in DTYPES]
        print(f"{part}, {o.pixels} px, {o.text} rows of text: " + "; ".join(seconds), flush=True)


if __name__ == "__main__":
    main()
