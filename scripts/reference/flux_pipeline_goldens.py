"""Writes test/golden/flux_*.safetensors: FLUX.1's pipelines by diffusers, text encoders included.

  flux_pipeline_goldens.py [FOLDER]        (diffusers 0.42.1, transformers 5.24.0; seconds)

Networks of the official classes with few weights (the formula of s3dit_goldens.py, of the autoencoder that of
kl_goldens.py): CLIPTextModel, T5EncoderModel, FluxTransformer2DModel with and without guidance embedded,
AutoencoderKL of four levels. "a red cat" by the tokenizers of test/golden, T5's filled up to 24 tokens; 48 x 64
pixels, 4 steps, seed 42.

flux_steps: `text` [24][32] and `pooled` [32] are what the encoders make of the prompt, `latents` [16][8][6] the image
from noise with guidance 3.5 and dynamic shift, `schnell` that of the network without guidance and with shift 1,
`picture` every fourth row and column of the former [3][16][12]. flux_modes: latents of `guided` (1.5), `image` (from the
drawn picture at strength .6) and `inpaint` (likewise, rows 16..39 of columns 8..31 are made anew).
"""
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import PIL.Image
import torch
from diffusers import (AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxImg2ImgPipeline, FluxInpaintPipeline,
                       FluxPipeline, FluxTransformer2DModel)
from tokenizers import Tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast, T5Config, T5EncoderModel, T5TokenizerFast

import kl_goldens
import s3dit_goldens
import tensorfile
from diffusion_latent_goldens import fill

ROWS, STEPS, HEIGHT, WIDTH = 24, 4, 64, 48


GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../test/golden/")


def network(guided):
    return FluxTransformer2DModel(in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=24,
                                  num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32,
                                  guidance_embeds=guided, axes_dims_rope=(8, 8, 8))


def schedule(guided):
    """As FLUX.1-dev and FLUX.1-schnell have it."""
    return FlowMatchEulerDiscreteScheduler(shift=3.0 if guided else 1.0, use_dynamic_shifting=guided)


def other_parts():
    """All of a pipeline but network and schedule."""
    clip_words = CLIPTokenizerFast(tokenizer_object=Tokenizer.from_file(GOLDEN + "tokenizer_clip.json"), model_max_length=77)
    t5_words = T5TokenizerFast(tokenizer_object=Tokenizer.from_file(GOLDEN + "tokenizer_t5.json"), model_max_length=512)
    clip = CLIPTextModel(CLIPTextConfig(vocab_size=len(clip_words), hidden_size=32, intermediate_size=64, num_hidden_layers=3,
                                        num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu",
                                        bos_token_id=clip_words.bos_token_id, eos_token_id=2))
    t5 = T5EncoderModel(T5Config(vocab_size=len(t5_words), d_model=32, d_kv=16, d_ff=64, num_layers=3, num_heads=4,
                                 feed_forward_proj="gated-gelu", tie_word_embeddings=False))
    vae = AutoencoderKL(block_out_channels=[32, 32, 64, 64], layers_per_block=1, latent_channels=16, norm_num_groups=32,
                        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                        use_quant_conv=False, use_post_quant_conv=False, sample_size=32, scaling_factor=0.3611,
                        shift_factor=0.1159)
    return dict(vae=vae, text_encoder=clip, tokenizer=clip_words, text_encoder_2=t5, tokenizer_2=t5_words)


def encoder_weights(name, shape):
    """By the names in files: without the prefix text_model."""
    return s3dit_goldens.weights(name.removeprefix("text_model."), shape)


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else GOLDEN
    parts = other_parts()
    vae = fill(parts["vae"], kl_goldens.weights)
    for name in ("text_encoder", "text_encoder_2"):
        fill(parts[name], encoder_weights)
    networks = {guided: fill(network(guided), s3dit_goldens.weights) for guided in (True, False)}
    y, x, c = np.mgrid[0:HEIGHT, 0:WIDTH, 0:3]
    drawn = PIL.Image.fromarray(((x * 16 + y * 7 + c * 60) % 256).astype(np.uint8))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:40, 8:32] = 255

    def run(kind, guided=True, guidance=3.5, **more):
        p = kind(scheduler=schedule(guided), transformer=networks[guided], **parts)
        p.set_progress_bar_config(disable=True)
        with torch.no_grad():
            last = p("a red cat", height=HEIGHT, width=WIDTH, output_type="latent", num_inference_steps=STEPS,
                     guidance_scale=guidance, max_sequence_length=ROWS, generator=torch.Generator().manual_seed(42),
                     **more).images
            return p._unpack_latents(last, HEIGHT, WIDTH, 8)[0].float()

    with torch.no_grad():
        pipe = FluxPipeline(scheduler=schedule(True), transformer=networks[True], **parts)
        text, pooled, _ = pipe.encode_prompt("a red cat", None, max_sequence_length=ROWS)
        steps = {"text": text[0], "pooled": pooled[0], "latents": run(FluxPipeline),
                 "schnell": run(FluxPipeline, False)}
        image = vae.decode(steps["latents"][None] / 0.3611 + 0.1159).sample[0]
    steps["picture"] = image[:, ::4, ::4].contiguous()
    modes = {"guided": run(FluxPipeline, guidance=1.5), "image": run(FluxImg2ImgPipeline, image=drawn, strength=0.6),
             "inpaint": run(FluxInpaintPipeline, image=drawn, mask_image=PIL.Image.fromarray(mask), strength=0.6)}
    for stem, tensors in (("steps", steps), ("modes", modes)):
        path = os.path.join(folder, "flux_%s.safetensors" % stem)
        tensorfile.save(path, tensors, {"script": "flux_pipeline_goldens.py"})
        for name, value in tensors.items():
            print(name, tuple(value.shape), value.abs().max().item())
        print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
