#!/usr/bin/env python3
"""Z-Image folders as diffusers itself writes them, with few, random weights: imgtrain's images beside those of its pipelines.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.24.0 safetensors numpy pillow
    scripts/reference/zimage_check.py IMGTRAIN [FOLDER]

Writes FOLDER/f32, FOLDER/bf16 and FOLDER/f16 (the last two in shards; a folder for temporary files where none is named) by
save_pretrained, and makes the same images of their prompts with both: from noise, with guidance, from an image, and of a
part of it. The reference computes in float32, of the numbers that the files hold. Prints the largest difference of ids, of the
text's features, of the latents and of pixels (in levels of 8 bits); status 1 where ids differ, features by more than 1e-5,
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
from diffusers import (AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline, ZImageInpaintPipeline,
                       ZImagePipeline, ZImageTransformer2DModel)
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

HERE = os.path.dirname(os.path.abspath(__file__))
# Of Qwen3's what a user's first message meets.
TEMPLATE = ("{%- for message in messages %}{%- set content = message.content %}{{- '<|im_start|>' + message.role + '\\n' + "
            "content + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
            "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
            "{%- endif %}{%- endif %}")
PROMPTS = ("a red cat", "A photo of the old house near the river, it's the best that they've seen", "", "красный кот 一只红色的猫")


def random_pipeline():
    torch.manual_seed(0)
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(HERE + "/../../test/golden/tokenizer_qwen.json"),
                                    pad_token="<|endoftext|>", eos_token="<|im_end|>", model_max_length=4096)
    words.chat_template = TEMPLATE
    text = Qwen3Model(Qwen3Config(vocab_size=410, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
                                  num_attention_heads=4, num_key_value_heads=2, head_dim=16, rope_theta=1e6,
                                  max_position_embeddings=4096, rms_norm_eps=1e-6, tie_word_embeddings=True))
    net = ZImageTransformer2DModel(in_channels=16, dim=48, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
                                   cap_feat_dim=32, axes_dims=[8, 8, 8], axes_lens=[1024, 32, 32])
    vae = AutoencoderKL(block_out_channels=[32, 32, 64, 64], layers_per_block=1, latent_channels=16, norm_num_groups=32,
                        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                        use_quant_conv=False, use_post_quant_conv=False, sample_size=32, scaling_factor=0.3611,
                        shift_factor=0.1159)
    for part in (text, net, vae):
        with torch.no_grad():
            for name, p in part.named_parameters():
                p.add_(0.1 * torch.randn_like(p))
    return ZImagePipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, text_encoder=text,
                          tokenizer=words, transformer=net)


def ours(program, model, folder, seed, prompt, options):
    dump, out = os.path.join(folder, "dump.safetensors"), os.path.join(folder, "out.png")
    subprocess.run([program, "generate", model, "--prompt", prompt, "--seed", str(seed), "-o", out, "--dump", dump,
                    "--device", "cpu", "--text-cache", "none", "--dtype", "f32", *options], check=True, capture_output=True)
    return load_file(dump), np.asarray(PIL.Image.open(out)).astype(int)


def write_pictures(folder):
    """An image of 48 x 64 pixels, and the mask of its lower rows."""
    picture, cut = os.path.join(folder, "picture.png"), os.path.join(folder, "mask.png")
    y, x, c = np.mgrid[0:64, 0:48, 0:3]
    PIL.Image.fromarray(((x * 16 + y * 7 + c * 60) % 256).astype(np.uint8)).save(picture)
    PIL.Image.fromarray(((y // 24 == 1) * 255).astype(np.uint8)[:, :, 0]).save(cut)
    return picture, cut


def check(program, model, folder):
    base = ZImagePipeline.from_pretrained(model, torch_dtype=torch.float32)
    picture, cut = write_pictures(folder)
    image, mask, good = PIL.Image.open(picture), PIL.Image.open(cut), True
    size, begun = {"height": 64, "width": 48}, ["--init-image", picture, "--strength", "0.6"]
    modes = [("text", ZImagePipeline, size, ["--size", "48x64"])]
    modes.append(("guided", ZImagePipeline, {**size, "guidance_scale": 1.5, "negative_prompt": "the rain"},
                  ["--size", "48x64", "--guidance", "1.5", "--negative", "the rain"]))
    modes.append(("image", ZImageImg2ImgPipeline, {"image": image, "strength": 0.6}, begun))
    modes.append(("inpaint", ZImageInpaintPipeline, {"image": image, "mask_image": mask, "strength": 0.6},
                  begun + ["--mask", cut, "--no-composite"]))
    for number, (name, kind, more, options) in enumerate(modes):
        prompt = PROMPTS[number]
        pipe = kind(**base.components)
        pipe.set_progress_bar_config(disable=True)
        with torch.no_grad():
            ids = base.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False,
                                                     add_generation_prompt=True, enable_thinking=True)
            ids = base.tokenizer(ids).input_ids
            features = base.text_encoder(torch.tensor([ids]), output_hidden_states=True).hidden_states[-2][0].numpy()
            theirs = pipe(prompt, num_inference_steps=8, output_type="latent", generator=torch.Generator().manual_seed(7),
                          **{"guidance_scale": 0.0, **more}).images[0].float()
            config = base.vae.config
            shown = base.vae.decode(theirs[None] / config.scaling_factor + config.shift_factor).sample[0]
        pixels = ((shown / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(int)
        dump, made = ours(program, model, folder, 7, prompt, options)
        same = dump["ids"].astype(int).tolist() == ids
        text = np.abs(dump["text"] - features).max() / np.abs(features).max() if same else np.inf
        off = np.abs(dump["step-008"] - theirs.numpy()).max() / theirs.abs().max().item()
        levels = np.abs(made - pixels).max()
        good = good and same and text < 1e-5 and off < 1e-4 and levels <= 1
        print(f"{os.path.basename(model)} {name}: {len(ids)} ids {'equal' if same else 'DIFFER'}, text {text:.1g}, latents "
              f"{off:.1g}, {levels} levels of 255")
    return good


def main():
    torch.set_num_threads(1)
    program, folder = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
    pipe, good = random_pipeline(), True
    for name, dtype, most in (("f32", torch.float32, "10GB"), ("bf16", torch.bfloat16, "60KB"),
                              ("f16", torch.float16, "60KB")):
        model = os.path.join(folder, name)
        pipe.to(dtype).save_pretrained(model, max_shard_size=most)
        for part in ("text_encoder", "transformer"):
            print(name, part, sorted(f for f in os.listdir(os.path.join(model, part)) if "safetensors" in f))
        good = check(program, model, folder) and good
    return not good


if __name__ == "__main__":
    sys.exit(main())
