"""Reads and writes safetensors files, byte for byte reproducibly (needs torch and numpy only).

Format: https://huggingface.co/docs/safetensors: u64 little-endian header length, JSON header padded
with spaces to a multiple of 8, then the tensors' bytes without holes.
"""
import json
import struct

import numpy as np
import torch

NAMES = {torch.float64: "F64", torch.int16: "I16", torch.float32: "F32", torch.int64: "I64", torch.int32: "I32",
         torch.uint8: "U8", torch.float16: "F16", torch.bfloat16: "BF16"}
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1",
         "U16": "<u2", "I8": "i1", "I16": "<i2", "BOOL": "?"}


def save(path, tensors, metadata):
    """tensors: name -> tensor; metadata: name -> anything (written as a string)."""
    header = {"__metadata__": {k: text(v) for k, v in sorted(metadata.items())}}
    parts, offset = [], 0
    # Widest elements first, then by name, so that each tensor is aligned to its element size.
    for name in sorted(tensors, key=lambda n: (-tensors[n].element_size(), n)):
        value = tensors[name].detach().contiguous().cpu()
        data = (value.view(torch.int16) if value.dtype == torch.bfloat16 else value).numpy().tobytes()
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(parts))


def load(path):
    """-> (tensors, metadata of strings)"""
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        data = f.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], dtype=TYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(array.reshape(entry["shape"]).copy())
    return tensors, metadata


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
