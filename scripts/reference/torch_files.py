#!/usr/bin/env python3
"""Small files as torch.save writes them: seeds of test/fuzz/fuzz_torch.c, and what test/cli/convert.sh
converts. The same bytes each time.

    python3 scripts/reference/torch_files.py test/fuzz/seed_torch      needs PyTorch
"""
import collections
import os
import sys

import torch


def compact(features, first):
    """A Compact network of 1x with one convolution inside: tensors of spandrel's names."""
    tensors, number = collections.OrderedDict(), first

    def add(name, *shape):
        nonlocal number
        count = torch.Size(shape).numel()
        tensors[name] = (torch.arange(number, number + count) % 251 / 256 - 0.5).reshape(shape)
        number += count

    for i, (inputs, outputs) in enumerate([(3, features), (features, features), (features, 3)]):
        add(f"body.{2 * i}.weight", outputs, inputs, 3, 3)
        add(f"body.{2 * i}.bias", outputs)
        if i < 2:
            add(f"body.{2 * i + 1}.weight", features)
    return tensors


class Command:
    def __reduce__(self):
        return os.system, ("touch code-was-run",)


folder = sys.argv[1]
ema, params = compact(2, 0), compact(2, 100)
both = {"params": params, "params_ema": ema}


def save(name, what, **options):
    torch.save(what, f"{folder}/{name}", **options)


save("archive", both)
save("legacy", both, _use_new_zipfile_serialization=False)
save("half", {k: v.half() for k, v in ema.items()})
save("bfloat16", {k: v.bfloat16() for k, v in ema.items()})
save("wrapped", {"epoch": 3, "state_dict": {"module." + k: torch.nn.Parameter(v) for k, v in ema.items()},
                 "optimizer": {"lr": 1e-3, "betas": (0.9, 0.99), "state": [None, True, -1, 2**40, 2**70]}})
strided = dict(ema)
strided["body.2.weight"] = ema["body.2.weight"].permute(1, 0, 3, 2).contiguous().permute(1, 0, 3, 2)
strided["body.0.bias"] = torch.cat([ema["body.0.bias"]] * 4)[2:4]
save("strided", strided)
save("strided_legacy", strided, _use_new_zipfile_serialization=False)
save("protocol4", ema, pickle_protocol=4)
save("object", torch.nn.Conv2d(1, 1, 1))
save("command", {"params": {"other": Command(), **ema}})
torch.serialization.set_crc32_options(False)
save("no_crc", ema)
