#!/usr/bin/env python3
"""A folder that `imgtrain train` wrote, in stock diffusers: loads it and compares its images with imgtrain's.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.24.0 safetensors numpy pillow
    scripts/reference/diffusion_load_check.py IMGTRAIN MODEL [CLASS or TEXT ...]

MODEL is RUN/model, with a VAE or without. Prints the largest difference of the float images (of a VAE's latents; of
their largest number) and of the pixels in levels of 8 bits, for seeds 0 and 1, with and without guidance, and begun
with an image; status 1 above 1 level.
"""
import os
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
import json

import numpy as np
import PIL.Image
import torch
from diffusers import ZImageImg2ImgPipeline, ZImagePipeline
from safetensors.numpy import load_file


def main():
    torch.set_num_threads(1)
    program, model, words = sys.argv[1], sys.argv[2].rstrip("/"), sys.argv[3:]
    labels = json.load(open(model + "/tokenizer/tokenizer.json"))["model"]["type"] == "WordLevel"
    none = "<none>" if labels else "<|endoftext|>"
    has_vae = os.path.isdir(model + "/vae")
    pipe = ZImagePipeline.from_pretrained(model, **({} if has_vae else {"vae": None}))
    image = ZImageImg2ImgPipeline(**pipe.components)
    if not has_vae:
        pipe.vae_scale_factor = image.vae_scale_factor = 1  # it makes pixels
    worst, folder = 0, tempfile.mkdtemp()
    for p in (pipe, image):
        p.set_progress_bar_config(disable=True)
    for word in words:
        begun = None
        for seed, guidance, strength in ((0, 0.0, 0), (1, 1.5, 0), (1, 1.0, 0.6)):
            out, dump = os.path.join(folder, "%d.png" % (seed if not strength else 9)), os.path.join(folder, "dump")
            command = [program, "generate", model, "--label" if labels else "--prompt", word, "--seed", str(seed),
                       "--guidance", str(guidance), "--steps", "8", "-o", out, "--dump", dump, "--device", "cpu"]
            more = {}
            if strength:
                command += ["--init-image", begun, "--strength", str(strength)]
                more = {"image": PIL.Image.open(begun), "strength": strength}
            begun = begun or out
            subprocess.run(command, check=True, capture_output=True)
            ours, picture = load_file(dump)["step-008"], np.asarray(PIL.Image.open(out)).astype(int)
            if not strength:
                more = {"height": picture.shape[0], "width": picture.shape[1]}
            with torch.no_grad():
                theirs = (image if strength else pipe)(
                    word, negative_prompt=none, num_inference_steps=8, guidance_scale=guidance, output_type="latent",
                    generator=torch.Generator().manual_seed(seed), **more).images[0].float()
                shown = theirs
                if has_vae:
                    vae = pipe.vae
                    shown = vae.decode(theirs[None] / vae.config.scaling_factor + vae.config.shift_factor).sample[0]
            pixels = ((shown / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(int)
            off, levels = np.abs(ours - theirs.numpy()).max(), np.abs(pixels - picture).max()
            worst = max(worst, levels)
            print(f"{word}: seed {seed}, guidance {guidance}, strength {strength}: {off:.2g} of "
                  f"{np.abs(ours).max():.3g}, {levels} levels of 255, {(pixels != picture).mean():.2%} of pixels differ")
    return worst > 1


if __name__ == "__main__":
    sys.exit(main())
