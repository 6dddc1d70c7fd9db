"""Writes test/golden/kl_*.safetensors: an autoencoder's moments, images and gradients by diffusers (0.42.1).

  kl_goldens.py [FOLDER]        writes all cases (seconds)

Weights and inputs are the formulas of s3dit_goldens.py: weights of convolutions have scale 1 / sqrt(fan-in).
Inputs: `image` [n][h][w][3], `noise` [n][h/f][w/f][latents] and `d_out`, like image, of scale 1. What is
decoded is mean + deviation noise; the loss is sum out d_out + WEIGHT KL.

A file holds `moments` [n][h/f][w/f][2 latents], `out` [n][h][w][3], `kl` [n], `image_gradient`'s and, in the
order of their names, all tensors' `gradients` [1 + tensors][7]: of each the largest size of a number, two sums
with signs and four numbers, as there.
"""
import os
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL

import s3dit_goldens as formula
import tensorfile

formula.SAMPLED, formula.SIGNED = 4, 2
WEIGHT = 0.05
# widths, blocks of a level, latent channels, groups, attention, images, height, width; "quant": with quant convs
CASES = {
    "four": ([32, 32, 64, 64], 1, 16, 16, True, 1, 24, 32),
    "two": ([16, 24], 2, 4, 4, True, 2, 6, 10),
    "plain": ([8], 1, 3, 2, False, 2, 3, 5),
    "quant": ([8, 8], 1, 3, 2, True, 1, 4, 6),
}


def weights(name, shape):
    if len(shape) == 1:
        return formula.drawn(name, shape, 0.3, 0.0 if name.endswith("bias") else 1.0)
    return formula.drawn(name, shape, 1 / np.sqrt(np.prod(shape[1:])))


def run(case):
    widths, blocks, latents, groups, attention, n, height, width = CASES[case]
    net = AutoencoderKL(block_out_channels=widths, layers_per_block=blocks, latent_channels=latents,
                        norm_num_groups=groups, mid_block_add_attention=attention,
                        down_block_types=["DownEncoderBlock2D"] * len(widths),
                        up_block_types=["UpDecoderBlock2D"] * len(widths), use_quant_conv=case == "quant",
                        use_post_quant_conv=case == "quant")
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(weights(name, tuple(p.shape)))
    factor = 2 ** (len(widths) - 1)
    x = formula.drawn("image", (n, height, width, 3)).requires_grad_()
    noise = formula.drawn("noise", (n, height // factor, width // factor, latents)).permute(0, 3, 1, 2)
    dist = net.encode(x.permute(0, 3, 1, 2)).latent_dist
    out = net.decode(dist.mean + dist.std * noise).sample.permute(0, 2, 3, 1)
    kl = dist.kl()
    loss = (out * formula.drawn("d_out", tuple(out.shape))).sum() + WEIGHT * kl.sum()
    loss.backward()
    rows = [formula.summary("image", x.grad)]
    rows += [formula.summary(name, p.grad) for name, p in sorted(net.named_parameters())]
    tensors = {"moments": dist.parameters.detach().permute(0, 2, 3, 1).contiguous(), "out": out.contiguous(),
               "kl": kl, "gradients": torch.from_numpy(np.stack(rows).astype(np.float32))}
    about = {"widths": ",".join(map(str, widths)), "blocks": blocks, "latents": latents, "groups": groups,
             "attention": attention, "images": n, "height": height, "width": width,
             "parameters": sum(p.numel() for p in net.parameters())}
    if case == "quant":
        about["quant"] = True
    return tensors, about


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../../test/golden")
    for case in CASES:
        tensors, about = run(case)
        path = os.path.join(folder, f"kl_{case}.safetensors")
        tensorfile.save(path, tensors, about)
        print(path, os.path.getsize(path), "bytes,", about["parameters"], "parameters, largest",
              tensors["out"].abs().max().item())


if __name__ == "__main__":
    main()
