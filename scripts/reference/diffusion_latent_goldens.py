"""Writes test/golden/diffusion_latent.safetensors: whole loops of diffusers' Z-Image pipelines (0.42.1) with a VAE.

  diffusion_latent_goldens.py [FILE]        (seconds)

The networks of test/diffusion/tiny_model.h with 4 channels and of tiny_vae.h (2 pixels to one of the latents),
weights by the formula of s3dit_goldens.py; text, steps, seed and shift as in diffusion_pipeline_goldens.py.
Tensors [3][16][16]: `text` (row 1), `image` (row 0, from the drawn picture at strength .6), `inpaint` (the same,
columns 5..11 of rows 4..12 are made anew), `blend` (as `image`, the VAE in tiles of 8 pixels); and the latents
[4][8][8] of `inpaint` before they are decoded, `latents`.
"""
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import PIL.Image
import torch
from diffusers import (AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline, ZImageInpaintPipeline,
                       ZImagePipeline, ZImageTransformer2DModel)

import kl_goldens
import s3dit_goldens
import tensorfile
from diffusion_pipeline_goldens import drawn_picture


def fill(net, weights):
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(weights(name, tuple(p.shape)))
    return net.eval()


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../test/golden/diffusion_latent.safetensors")
    net = fill(ZImageTransformer2DModel(in_channels=4, dim=48, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
                                        cap_feat_dim=16, axes_dims=[8, 8, 8], axes_lens=[64, 32, 32]),
               s3dit_goldens.weights)
    vae = fill(AutoencoderKL(block_out_channels=[8, 16], layers_per_block=1, latent_channels=4, norm_num_groups=2,
                             down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
                             use_quant_conv=False, use_post_quant_conv=False, sample_size=8, scaling_factor=1.5,
                             shift_factor=-0.25), kl_goldens.weights)
    table = s3dit_goldens.drawn("table", (4, 16))
    mask = np.zeros((16, 16), np.uint8)
    mask[4:13, 5:12] = 255

    def run(kind, row, **more):
        p = kind(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, text_encoder=None, tokenizer=None,
                 transformer=net)
        p.set_progress_bar_config(disable=True)
        with torch.no_grad():
            return p(prompt_embeds=[table[row:row + 1]], num_inference_steps=8, guidance_scale=0.0,
                     generator=torch.Generator().manual_seed(42), output_type="latent", **more).images.float()

    def decoded(latents): # as the pipelines do it, before numbers are cut to 0..1
        with torch.no_grad():
            return vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor).sample[0]

    inpaint = run(ZImageInpaintPipeline, 0, image=drawn_picture(), mask_image=PIL.Image.fromarray(mask), strength=0.6)
    tensors = {
        "text": decoded(run(ZImagePipeline, 1, height=16, width=16)),
        "image": decoded(run(ZImageImg2ImgPipeline, 0, image=drawn_picture(), strength=0.6)),
        "inpaint": decoded(inpaint),
        "latents": inpaint[0],
    }
    vae.enable_tiling()
    tensors["blend"] = decoded(run(ZImageImg2ImgPipeline, 0, image=drawn_picture(), strength=0.6))
    tensorfile.save(path, tensors, {"script": "diffusion_latent_goldens.py"})
    for name, value in tensors.items():
        print(name, tuple(value.shape), value.abs().max().item())
    print(os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
