"""Writes test/golden/diffusion_pipeline.safetensors: whole loops of diffusers' Z-Image pipelines (0.42.1).

  diffusion_pipeline_goldens.py [FILE]        (seconds)

The network of test/diffusion/tiny_model.h (channels are those of images, so there is no VAE), weights by the
formula of s3dit_goldens.py, the text encoder's table is `table` [4][16] of scale 1, and a caption is one row of
it. 16 x 16 pixels, 8 steps, shift 3, seed 42. Tensors [3][16][16]: `text` (row 1), `guided` (row 2, away from
row 3, guidance 1.5), `image` (row 0, from the drawn picture at strength .6), `inpaint` (the same, columns 5..11 of
rows 4..12 are made anew), and for a wider one `flat` (row 1, 8 x 24 pixels, 3 steps).
"""
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import PIL.Image
import torch
from diffusers import (FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline,
                       ZImageTransformer2DModel)

import s3dit_goldens
import tensorfile


class NoVae:
    """What inpainting encodes and never looks at."""
    dtype = torch.float32

    class config:
        scaling_factor, shift_factor = 1.0, 0.0

    def encode(self, image):
        class Out:
            latents = torch.zeros_like(image)
        return Out


def drawn_picture():
    y, x, c = np.mgrid[0:16, 0:16, 0:3]
    return PIL.Image.fromarray(((x * 16 + y * 7 + c * 60) % 256).astype(np.uint8))


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../test/golden/diffusion_pipeline.safetensors")
    net = ZImageTransformer2DModel(in_channels=3, dim=48, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
                                   cap_feat_dim=16, axes_dims=[8, 8, 8], axes_lens=[64, 32, 32]).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(s3dit_goldens.weights(name, tuple(p.shape)))
    table = s3dit_goldens.drawn("table", (4, 16))
    mask = np.zeros((16, 16), np.uint8)
    mask[4:13, 5:12] = 255

    def pipe(kind):
        p = kind(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=None, text_encoder=None, tokenizer=None,
                 transformer=net)
        p.set_progress_bar_config(disable=True)
        p.vae_scale_factor = 1
        if kind is ZImageInpaintPipeline:
            p.vae = NoVae()
        return p

    def run(kind, row, without=None, guidance=0.0, steps=8, **more):
        args = dict(prompt_embeds=[table[row:row + 1]], num_inference_steps=steps, guidance_scale=guidance,
                    generator=torch.Generator().manual_seed(42), output_type="latent", **more)
        if without is not None:
            args["negative_prompt_embeds"] = [table[without:without + 1]]
        with torch.no_grad():
            return pipe(kind)(**args).images[0].float()

    tensors = {
        "text": run(ZImagePipeline, 1, height=16, width=16),
        "guided": run(ZImagePipeline, 2, 3, 1.5, height=16, width=16),
        "image": run(ZImageImg2ImgPipeline, 0, image=drawn_picture(), strength=0.6),
        "inpaint": run(ZImageInpaintPipeline, 0, image=drawn_picture(), mask_image=PIL.Image.fromarray(mask),
                       strength=0.6),
        "flat": run(ZImagePipeline, 1, steps=3, height=8, width=24),
    }
    tensorfile.save(path, tensors, {"script": "diffusion_pipeline_goldens.py"})
    for name, value in tensors.items():
        print(name, tuple(value.shape), value.abs().max().item())
    print(os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
