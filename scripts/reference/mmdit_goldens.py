"""Writes test/golden/mmdit_*.safetensors: MMDiT's outputs by diffusers (0.42.1).

  mmdit_goldens.py [FOLDER]        writes all cases (seconds)

Weights are those of the formula of s3dit_goldens.py, under the names of FluxTransformer2DModel. Inputs:
`image.I` [h][w][c], `text.I` [rows][text_dim] and `pooled.I` [pooled_dim] of scale 1 for sample I; sigma is
.5 + .45 u of `time`, guidance 3 + u of `guidance`. A file holds `out` [n][h][w][c].
"""
import os
import sys

import torch
from diffusers import FluxTransformer2DModel

import tensorfile
from s3dit_goldens import drawn, weights

GUIDED = dict(in_channels=16, num_layers=2, num_single_layers=2, num_attention_heads=2, attention_head_dim=24,
              joint_attention_dim=32, pooled_projection_dim=20, guidance_embeds=True, axes_dims_rope=[8, 8, 8])
PLAIN = dict(in_channels=12, num_layers=1, num_single_layers=3, num_attention_heads=3, attention_head_dim=16,
             joint_attention_dim=20, pooled_projection_dim=9, guidance_embeds=False, axes_dims_rope=[4, 6, 6])
# name: config, samples, height, width, rows of text
CASES = {"guided": (GUIDED, 1, 6, 8, 11), "plain": (PLAIN, 3, 10, 14, 5)}


def pack(x):
    """[h][w][c] to [tokens][c 2 2]."""
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).permute(0, 2, 4, 1, 3).reshape(h * w // 4, c * 4)


def unpack(y, h, w, c):
    return y.reshape(h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2).reshape(h, w, c)


def run(case):
    config, n, height, width, rows = CASES[case]
    net = FluxTransformer2DModel(**config)
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(weights(name, tuple(p.shape)))
    channels = config["in_channels"] // 4
    places = torch.zeros(height // 2, width // 2, 3)
    places[..., 1] += torch.arange(height // 2)[:, None]
    places[..., 2] += torch.arange(width // 2)[None]
    with torch.no_grad():
        out = net(hidden_states=torch.stack([pack(drawn(f"image.{i}", (height, width, channels))) for i in range(n)]),
                  encoder_hidden_states=torch.stack([drawn(f"text.{i}", (rows, config["joint_attention_dim"]))
                                                     for i in range(n)]),
                  pooled_projections=torch.stack([drawn(f"pooled.{i}", (config["pooled_projection_dim"],))
                                                  for i in range(n)]),
                  timestep=drawn("time", (n,), 0.45, 0.5), guidance=drawn("guidance", (n,), 1, 3) if config["guidance_embeds"] else None,
                  img_ids=places.reshape(-1, 3), txt_ids=torch.zeros(rows, 3)).sample
    out = torch.stack([unpack(y, height, width, channels) for y in out])
    about = {"samples": n, "height": height, "width": width, "rows": rows,
             "names": ",".join(name for name, _ in net.named_parameters()),
             "parameters": sum(p.numel() for p in net.parameters())}
    for key, value in config.items():
        about["config." + key] = ",".join(map(str, value)) if isinstance(value, list) else int(value)
    return {"out": out.contiguous()}, about


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../../test/golden")
    for case in CASES:
        tensors, about = run(case)
        path = os.path.join(folder, f"mmdit_{case}.safetensors")
        tensorfile.save(path, tensors, about)
        print(path, os.path.getsize(path), "bytes,", about["parameters"], "parameters, largest",
              tensors["out"].abs().max().item())


if __name__ == "__main__":
    main()
