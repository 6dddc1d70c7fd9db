"""Writes test/golden/zimage_*.safetensors: Z-Image with its text encoder by diffusers and transformers.

  zimage_goldens.py [FOLDER]        (diffusers 0.42.1, transformers 5.24.0; seconds)

Networks of the official classes with few, random weights (the formula of s3dit_goldens.py): Qwen3Model, of which
the second last hidden state is what the denoiser reads, ZImageTransformer2DModel with 16 channels, AutoencoderKL
of four levels, FlowMatchEulerDiscreteScheduler of shift 3. Token `k` of a prompt is word `k` of `ids.LENGTH`, modulo the
vocabulary.

zimage_text: `small.1`, `small.11`, `small.33`, `odd.20` [tokens][hidden]: features of prompts of so many tokens; `chat`: those
of "a red cat" in Z-Image's chat template, by test/golden/tokenizer_qwen.json.
zimage_steps: text to image (prompt of 11 tokens, 48 x 64 pixels, 8 steps, seed 42): latents [16][8][6] after steps 1, 4
and 8, `velocity`, what the network says to the first of them, and `picture`, every fourth row and column of the image
[3][16][12]. zimage_modes: latents at the end: `image.3`, `image.6`, `image.10` (from the drawn picture at strength .3, .6, 1) and
`inpaint` (at .6, rows 16..39 of columns 8..31 are made anew); of text to image `guided` (3 steps, prompt of 33
tokens, away from that of 11, guidance 1.5).
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
from tokenizers import Tokenizer
from transformers import Qwen3Config, Qwen3Model

import kl_goldens
import s3dit_goldens
import tensorfile
from diffusion_latent_goldens import fill

VOCABULARY, HEIGHT, WIDTH = 410, 64, 48
SMALL = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             head_dim=16)
ODD = dict(hidden_size=20, intermediate_size=27, num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=1,
           head_dim=6)


def encoder(config):
    net = Qwen3Model(Qwen3Config(vocab_size=VOCABULARY, max_position_embeddings=4096, rms_norm_eps=1e-6,
                                 rope_theta=1e6, tie_word_embeddings=True, attention_bias=False, **config))
    assert net.config.rope_parameters["rope_theta"] == 1e6
    return fill(net, s3dit_goldens.weights)


def drawn_ids(length):
    return (s3dit_goldens.words("ids.%d" % length, length) % np.uint64(VOCABULARY)).astype(np.int64)


def features(net, ids):
    with torch.no_grad():
        return net(torch.tensor(ids)[None], output_hidden_states=True).hidden_states[-2][0]


def drawn_picture():
    y, x, c = np.mgrid[0:HEIGHT, 0:WIDTH, 0:3]
    return PIL.Image.fromarray(((x * 16 + y * 7 + c * 60) % 256).astype(np.uint8))


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../test/golden")
    small = encoder(SMALL)
    text = {"small.%d" % n: features(small, drawn_ids(n)) for n in (1, 11, 33)}
    text["odd.20"] = features(encoder(ODD), drawn_ids(20))
    words = Tokenizer.from_file(os.path.join(here, "../../test/golden/tokenizer_qwen.json"))
    text["chat"] = features(small, words.encode("<|im_start|>user\na red cat<|im_end|>\n<|im_start|>assistant\n").ids)

    net = fill(ZImageTransformer2DModel(in_channels=16, dim=48, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2,
                                        cap_feat_dim=32, axes_dims=[8, 8, 8], axes_lens=[256, 32, 32]),
               s3dit_goldens.weights)
    vae = fill(AutoencoderKL(block_out_channels=[32, 32, 64, 64], layers_per_block=1, latent_channels=16,
                             norm_num_groups=32, down_block_types=["DownEncoderBlock2D"] * 4,
                             up_block_types=["UpDecoderBlock2D"] * 4, use_quant_conv=False, use_post_quant_conv=False,
                             sample_size=32, scaling_factor=0.3611, shift_factor=0.1159), kl_goldens.weights)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:40, 8:32] = 255
    said = []

    def run(kind, prompt=11, **more):
        latents, first = {}, []
        p = kind(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae, text_encoder=None, tokenizer=None,
                 transformer=net)
        p.set_progress_bar_config(disable=True)
        hook = net.register_forward_hook(lambda m, a, out: first.append(-out[0][0][:, 0]))

        def keep(pipe, step, t, tensors):
            latents[step + 1] = tensors["latents"][0].clone()
            return {}

        with torch.no_grad():
            last = p(prompt_embeds=[text["small.%d" % prompt]], output_type="latent", callback_on_step_end=keep,
                     generator=torch.Generator().manual_seed(42),
                     **{"num_inference_steps": 8, "guidance_scale": 0.0, **more}).images[0]
        hook.remove()
        said[:] = first[:1]
        return last.float(), latents

    last, latents = run(ZImagePipeline, height=HEIGHT, width=WIDTH)
    with torch.no_grad():
        image = vae.decode(last[None] / 0.3611 + 0.1159).sample[0]
    steps = {"latents.1": latents[1], "latents.4": latents[4], "latents.8": last, "velocity": said[0],
             "picture": image[:, ::4, ::4]}
    modes = {name: run(ZImageImg2ImgPipeline, image=drawn_picture(), strength=strength)[0]
             for name, strength in (("image.3", 0.3), ("image.6", 0.6), ("image.10", 1.0))}
    modes["inpaint"] = run(ZImageInpaintPipeline, image=drawn_picture(), mask_image=PIL.Image.fromarray(mask),
                           strength=0.6)[0]
    modes["guided"] = run(ZImagePipeline, 33, height=HEIGHT, width=WIDTH, num_inference_steps=3, guidance_scale=1.5,
                          negative_prompt_embeds=[text["small.11"]])[0]
    for stem, tensors in (("text", text), ("steps", steps), ("modes", modes)):
        path = os.path.join(folder, "zimage_%s.safetensors" % stem)
        tensorfile.save(path, tensors, {"script": "zimage_goldens.py"})
        for name, value in tensors.items():
            print(name, tuple(value.shape), value.abs().max().item())
        print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
