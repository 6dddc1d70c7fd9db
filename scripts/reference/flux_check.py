#!/usr/bin/env python3
"""FLUX.1 folders as diffusers itself writes them, with few, random weights: imgtrain's images beside those of its pipelines.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.24.0 safetensors numpy pillow
    scripts/reference/flux_check.py IMGTRAIN [FOLDER]

Writes FOLDER/f32, FOLDER/bf16 and FOLDER/f16 (the last two in shards; a folder for temporary files where none is named) with
guidance embedded and levels of noise that depend on the size, as FLUX.1-dev, and FOLDER/schnell (f32) without both, by
save_pretrained, and makes the same images of their prompts with both: from noise, from an image, and of a part of it. The
reference computes in float32, of the numbers that the files hold. Prints the largest difference of T5's features, of
CLIP's vector, of the latents and of pixels (in levels of 8 bits); status 1 where ids differ, features by more than 1e-5,
latents by 1e-4 (both of the largest), pixels by more than 1.
"""
import os
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import PIL.Image
import torch
from diffusers import FluxImg2ImgPipeline, FluxInpaintPipeline, FluxPipeline
from safetensors.numpy import load_file

from flux_pipeline_goldens import network, other_parts, schedule
from zimage_check import write_pictures

PROMPTS = ("a red cat", "A photo of the old house near the river, it's the best that they've seen", "", "красный кот 一只红色的猫")
STEPS, ROWS = 4, 24


def random_pipeline(guided):
    torch.manual_seed(0)
    parts = other_parts()
    parts["transformer"] = network(guided)
    for name in ("text_encoder", "text_encoder_2", "transformer", "vae"):
        with torch.no_grad():
            for p in parts[name].parameters():
                p.add_(0.1 * torch.randn_like(p))
    return FluxPipeline(scheduler=schedule(guided), **parts)


def ours(program, model, folder, seed, prompt, options):
    dump, out = os.path.join(folder, "dump.safetensors"), os.path.join(folder, "out.png")
    subprocess.run([program, "generate", model, "--prompt", prompt, "--seed", str(seed), "-o", out, "--dump", dump,
                    "--device", "cpu", "--text-cache", "none", "--text-length", str(ROWS), "--steps", str(STEPS), "--dtype",
                    "f32", *options],
                   check=True, capture_output=True)
    return load_file(dump), np.asarray(PIL.Image.open(out)).astype(int)


def largest_error(got, right):
    return np.abs(got - right).max() / np.abs(right).max() if got.shape == right.shape else np.inf


def check(program, model, folder):
    base = FluxPipeline.from_pretrained(model, torch_dtype=torch.float32)
    picture, cut = write_pictures(folder)
    image, mask, good = PIL.Image.open(picture), PIL.Image.open(cut), True
    size, begun = {"height": 64, "width": 48}, ["--init-image", picture, "--strength", "0.6"]
    modes = [("text", FluxPipeline, {"guidance_scale": 3.5}, ["--size", "48x64"])]
    modes.append(("guided", FluxPipeline, {"guidance_scale": 1.5}, ["--size", "48x64", "--guidance", "1.5"]))
    modes.append(("image", FluxImg2ImgPipeline, {"guidance_scale": 3.5, "image": image, "strength": 0.6}, begun))
    modes.append(("inpaint", FluxInpaintPipeline, {"guidance_scale": 3.5, "image": image, "mask_image": mask, "strength": 0.6},
                  begun + ["--mask", cut, "--no-composite"]))
    if not base.transformer.config.guidance_embeds:
        del modes[1]
    for number, (name, kind, more, options) in enumerate(modes):
        prompt = PROMPTS[number]
        pipe = kind(**{k: v for k, v in base.components.items() if v is not None})
        pipe.set_progress_bar_config(disable=True)
        with torch.no_grad():
            features, pooled, _ = base.encode_prompt(prompt, None, max_sequence_length=ROWS)
            ids = base.tokenizer_2(prompt, padding="max_length", max_length=ROWS, truncation=True).input_ids
            theirs = pipe(prompt, num_inference_steps=STEPS, output_type="latent", max_sequence_length=ROWS,
                          generator=torch.Generator().manual_seed(7), **size, **more).images
            theirs = base._unpack_latents(theirs, 64, 48, 8)[0].float()
            config = base.vae.config
            shown = base.vae.decode(theirs[None] / config.scaling_factor + config.shift_factor).sample[0]
        pixels = ((shown / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(int)
        dump, made = ours(program, model, folder, 7, prompt, options)
        same = dump["ids"].astype(int).tolist() == ids
        text, vector = largest_error(dump["text"], features[0].numpy()), largest_error(dump["pooled"], pooled[0].numpy())
        off = largest_error(dump["step-%03d" % STEPS], theirs.numpy())
        levels = np.abs(made - pixels).max()
        good = good and same and text < 1e-5 and vector < 1e-5 and off < 1e-4 and levels <= 1
        print(f"{os.path.basename(model)} {name}: {len(ids)} ids {'equal' if same else 'DIFFER'}, text {text:.1g}, pooled "
              f"{vector:.1g}, latents {off:.1g}, {levels} levels of 255")
    return good


def main():
    torch.set_num_threads(1)
    program, folder = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    good = True
    for name, dtype, most, guided in (("f32", torch.float32, "10GB", True), ("bf16", torch.bfloat16, "60KB", True),
                                      ("f16", torch.float16, "60KB", True), ("schnell", torch.float32, "10GB", False)):
        model = os.path.join(folder, name)
        random_pipeline(guided).to(dtype).save_pretrained(model, max_shard_size=most)
        for part in ("text_encoder", "text_encoder_2", "transformer"):
            print(name, part, len([f for f in os.listdir(os.path.join(model, part)) if f.endswith("safetensors")]), "files")
        good = check(program, model, folder) and good
    return not good


if __name__ == "__main__":
    sys.exit(main())
