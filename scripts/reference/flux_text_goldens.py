"""Writes test/golden/flux_text.safetensors: the text encoders of FLUX.1 by transformers.

  flux_text_goldens.py [FILE]        (transformers 5.24.0; seconds)

T5EncoderModel and CLIPTextModel with few, random weights (the formula of s3dit_goldens.py, by the tensors' names without
"text_model."). Token `k` of a prompt is word `k` of `ids.LENGTH`, modulo the vocabulary.

`t5.small.LENGTH`, `t5.odd.20` [tokens][width]: features of prompts of so many tokens, of 300 every 26th row. `buckets.small`,
`buckets.odd`: in which bucket keys stand that are -299 .. 299 tokens behind the query. `clip.old.LENGTH`, `clip.new.LENGTH`,
`clip.odd.20` [width]: vectors of prompts whose last third are pads; `old` has 2 for the token that ends a text, as old files
do, whose largest id ends it.
"""
import os
import sys

import numpy as np
import torch
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

import s3dit_goldens
import tensorfile

VOCABULARY, END = 410, 405
T5_SMALL = dict(d_model=32, d_kv=16, d_ff=64, num_layers=3, num_heads=4)
T5_ODD = dict(d_model=20, d_kv=6, d_ff=27, num_layers=2, num_heads=3, relative_attention_num_buckets=20,
              relative_attention_max_distance=40)
CLIP_SMALL = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4)
CLIP_ODD = dict(hidden_size=30, intermediate_size=27, num_hidden_layers=2, num_attention_heads=3)


def filled(net):
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(s3dit_goldens.weights(name.removeprefix("text_model."), tuple(p.shape)))
    return net.eval()


def drawn_ids(length):
    return (s3dit_goldens.words("ids.%d" % length, length) % np.uint64(VOCABULARY)).astype(np.int64)


def t5_features(config, length):
    net = filled(T5EncoderModel(T5Config(vocab_size=VOCABULARY, feed_forward_proj="gated-gelu", **config)))
    with torch.no_grad():
        return net(torch.tensor(drawn_ids(length))[None])[0][0]


def buckets(config):
    c = T5Config(**config)
    return T5Attention._relative_position_bucket(torch.arange(-299, 300), True, c.relative_attention_num_buckets,
                                                 c.relative_attention_max_distance).float()


def clip_vector(config, length, end):
    net = filled(CLIPTextModel(CLIPTextConfig(vocab_size=VOCABULARY, max_position_embeddings=77, eos_token_id=end, bos_token_id=0,
                                              **config)))
    ids = drawn_ids(length) % END
    ids[length * 2 // 3:] = END if end != 2 else VOCABULARY - 1
    with torch.no_grad():
        return net(torch.tensor(ids)[None]).pooler_output[0]


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../test/golden/flux_text.safetensors")
    tensors = {"t5.small.%d" % n: t5_features(T5_SMALL, n) for n in (1, 11, 33)}
    tensors["t5.small.300"] = t5_features(T5_SMALL, 300)[::26]
    tensors["t5.odd.20"] = t5_features(T5_ODD, 20)
    tensors["buckets.small"] = buckets(T5_SMALL)
    tensors["buckets.odd"] = buckets(T5_ODD)
    for n in (3, 12, 77):
        tensors["clip.old.%d" % n] = clip_vector(CLIP_SMALL, n, 2)
        tensors["clip.new.%d" % n] = clip_vector(CLIP_SMALL, n, END)
    tensors["clip.odd.20"] = clip_vector(CLIP_ODD, 20, END)
    tensorfile.save(path, tensors, {"made_by": "scripts/reference/flux_text_goldens.py"})


if __name__ == "__main__":
    main()
