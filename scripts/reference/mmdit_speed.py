"""Times a double and a single block of FLUX.1 at its real widths (diffusers' modules, f32) in PyTorch and here, in
turns, one thread each, by processor time.

  mmdit_speed.py [--pixels 512] [--text 256] [--times 3] [--test build/.../imgtrain-test]
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

DIM, HEADS, HEAD = 3072, 24, 128


def step_there(block, pixels, text):
    image = (pixels // 16) ** 2
    places = torch.zeros(text + image, 3)
    places[text:, 1] = torch.arange(image) // (pixels // 16)
    places[text:, 2] = torch.arange(image) % (pixels // 16)
    rotary = FluxPosEmbed(theta=10000, axes_dim=[16, 56, 56])(places)
    x, c, temb = torch.randn(1, image, DIM), torch.randn(1, text, DIM), torch.randn(1, DIM)
    begin = time.process_time()
    block(hidden_states=x, encoder_hidden_states=c, temb=temb, image_rotary_emb=rotary)
    return time.process_time() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--text", type=int, default=256)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--test", default="build/gcc-v1-w1-t1-c0/imgtrain-test")
    o = parser.parse_args()
    torch.set_num_threads(1)
    for part, module in (("double", FluxTransformerBlock), ("single", FluxSingleTransformerBlock)):
        block = module(dim=DIM, num_attention_heads=HEADS, attention_head_dim=HEAD)
        there, here = [], []
        with torch.no_grad():
            step_there(block, o.pixels, o.text)
            for _ in range(o.times):
                there.append(step_there(block, o.pixels, o.text))
                out = subprocess.run([o.test, "mmdit_test"], check=True, capture_output=True, text=True,
                                     env=dict(os.environ, MMDIT_SPEED=f"{part} {o.pixels} {o.text}"))
                here.append(float(re.search(r"block: ([0-9.]+) s", out.stdout)[1]))
        a, b = statistics.median(there), statistics.median(here)
        print(f"{part} block, {o.pixels} px, {o.text} rows of text: PyTorch {torch.__version__} {a:.2f} s, imgtrain "
              f"{b:.2f} s: {a / b:.2f} times as fast ({' '.join(f'{s:.2f}' for s in there)}; "
              f"{' '.join(f'{s:.2f}' for s in here)})", flush=True)


if __name__ == "__main__":
    main()
