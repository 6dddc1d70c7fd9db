#!/bin/sh
# imgtrain convert: the tensors of PyTorch's files (scripts/reference/torch_files.py), of which nothing is run.
. "$(dirname "$0")/lib.sh"
seeds=$root/test/fuzz/seed_torch

run 0 imgtrain convert "$seeds/archive" -o archive.safetensors
err_has "archive.safetensors: 8 tensors of params_ema, 155 numbers"
err_has "archive.safetensors: compact 2-1, enlarges 1x"
run 0 imgtrain convert "$seeds/legacy" -o legacy.safetensors
same archive.safetensors legacy.safetensors
run 0 imgtrain convert "$seeds/wrapped" -o wrapped.safetensors
err_has "8 tensors of state_dict"
err_lines 2
for seed in wrapped protocol4 no_crc command; do
    run 0 imgtrain convert "$seeds/$seed" -o "$seed.safetensors" --overwrite
done
err_has "command: entries that are no tensors, left out: 1"
same archive.safetensors wrapped.safetensors
same archive.safetensors protocol4.safetensors
same archive.safetensors no_crc.safetensors
same archive.safetensors command.safetensors
has_not code-was-run
run 0 imgtrain convert "$seeds/archive" -o params.safetensors --key params
err_has "8 tensors of params, "
differ archive.safetensors params.safetensors
# views of larger storages are written as what they show: permuted twice, that is the same
run 0 imgtrain convert "$seeds/strided" -o strided.safetensors
run 0 imgtrain convert "$seeds/strided_legacy" -o strided_legacy.safetensors
same archive.safetensors strided.safetensors
same archive.safetensors strided_legacy.safetensors
# the numbers, by another reader: i mod 251 / 256 - 1/2
last="numbers of archive.safetensors"
if python3 - "$seeds" <<'PYTHON' >"$err" 2>&1; then pass; else flunk "differ"; cat "$err"; fi
import json, struct

def read(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__")["format"] == "pt"
    return {k: (v["dtype"], v["shape"], data[8 + length + v["data_offsets"][0] : 8 + length + v["data_offsets"][1]])
            for k, v in header.items()}

number, order = 0, "body.0.weight body.0.bias body.1.weight body.2.weight body.2.bias body.3.weight body.4.weight body.4.bias"
tensors = read("archive.safetensors")
assert tensors["body.4.weight"][1] == [3, 2, 3, 3]
for name in order.split():
    dtype, shape, data = tensors.pop(name)
    values = struct.unpack(f"<{len(data) // 4}f", data)
    assert dtype == "F32" and list(values) == [(number + i) % 251 / 256 - 0.5 for i in range(len(values))], name
    number += len(values)
assert not tensors
PYTHON

# strides that are not gone along are any numbers, and so is where an empty tensor begins
cat >write.py <<'PYTHON'
import collections, io, pickle, struct, sys, types, zipfile

class Storage:
    def __init__(self, key, count):
        self.key, self.count = key, count

class Tensor:
    def __init__(self, *description):
        self.description = description

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.description

class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return "storage", sys.modules["torch"].FloatStorage, value.key, "cpu", value.count

for module, name in (("torch", "FloatStorage"), ("torch._utils", "_rebuild_tensor_v2")):
    sys.modules[module] = types.ModuleType(module)
    setattr(sys.modules[module], name, type(name, (), {"__module__": module, "__qualname__": name}))

def save(path, pickled, numbers=()):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("a/data.pkl", pickled)
        z.writestr("a/data/0", struct.pack(f"<{len(numbers)}f", *numbers))

def pickled(what):
    to = io.BytesIO()
    Pickler(to, 2).dump(what)
    return to.getvalue()

def tensor(offset, shape, strides):
    return Tensor(Storage("0", 4), offset, shape, strides, False, collections.OrderedDict())

most = 2**63 - 1
save("ones.pth", pickled({"ones": tensor(1, (1, 2, 1), (most, 2, most)), "empty": tensor(2**60, (0, 3), (3, 1))}), (5, 6, 7, 8))
save("metadata.pth", pickled({"module.__metadata__": tensor(0, (4,), (1,))}), (5, 6, 7, 8))
# many parts of one large storage, whose checksum is compared once
save("parts.pth", pickled({f"part{i}": tensor(i, (1,), (1,)) for i in range(16000)}), range(1 << 24))
# a list of pairs that many dicts are made of
save("many.pth", b"\x80\x02ccollections\nOrderedDict\nq\x00](" + 50000 * b"h\x00h\x00\x86" + b"e\x85q\x01" + 100 * b"h\x00h\x01R0" + b".")
PYTHON
run 0 python3 write.py
run 0 imgtrain convert ones.pth -o ones.safetensors
last="numbers of ones.safetensors"
if python3 -c "
data = open('ones.safetensors', 'rb').read()
assert data[-8:] == __import__('struct').pack('<2f', 6, 8)"; then pass; else flunk "differ"; fi
run 0 timeout 100 "$program" convert parts.pth -o parts.safetensors
err_has "16000 tensors, 16000 numbers"

# what cannot be converted
refuses() { # STATUS TEXT FILE [OPTION ...]
    status=$1 text=$2
    shift 2
    run "$status" imgtrain convert "$@" -o none.safetensors
    err_has "$text"
    err_lines 1
    has_not none.safetensors
}
refuses 65 "a whole object, torch.nn.modules.conv.Conv2d: save its state_dict()" "$seeds/object"
refuses 65 "no key ema: it has params, params_ema" "$seeds/archive" --key ema
refuses 65 "a safetensors file, not a file of PyTorch" archive.safetensors
refuses 66 "missing.pth" missing.pth
refuses 65 "not a regular file" .
head -c 3000 "$seeds/archive" >short.pth
refuses 65 "short.pth: damaged or cut off" short.pth
head -c 3300 "$seeds/legacy" >short-legacy.pth
refuses 65 "short-legacy.pth: damaged or cut off" short-legacy.pth
python3 - "$seeds/archive" <<'PYTHON'
import sys, zipfile

source = zipfile.ZipFile(sys.argv[1])
with zipfile.ZipFile("deflated.pth", "w", zipfile.ZIP_DEFLATED) as z:
    for name in source.namelist():
        z.writestr(name, source.read(name))
with zipfile.ZipFile("other.zip", "w") as z:
    z.writestr("a/readme", "nothing")
whole = bytearray(open(sys.argv[1], "rb").read())
first = source.infolist()[[i.filename.endswith("data/9") for i in source.infolist()].index(True)]
at = whole.index(source.read(first), first.header_offset)
whole[at] ^= 1
open("flipped.pth", "wb").write(whole)
PYTHON
refuses 65 "deflated.pth: compressed" deflated.pth
refuses 65 "other.zip: a zip archive, but not of PyTorch" other.zip
refuses 65 "metadata.pth: a tensor has no name that can be written" metadata.pth
refuses 65 "many.pth: its pickle has more than 4194304 items" many.pth
refuses 65 "is damaged: the checksum of its numbers is wrong" flipped.pth
run 73 imgtrain convert "$seeds/archive" -o archive.safetensors
err_has "--overwrite replaces it"
run 64 imgtrain convert "$seeds/archive"
run 64 imgtrain convert

# .pth given elsewhere names the command
cp "$seeds/archive" model.pth
cp "$seeds/legacy" old.pth
picture small.ppm 8 8
pictures photos 2 24 24
for file in model.pth old.pth; do
    run 65 imgtrain upscale $file small.ppm -o none.ppm
    err_has "imgtrain convert FILE -o FILE.safetensors"
    run 65 imgtrain info $file
    err_has "imgtrain convert"
    run 65 imgtrain train "$root/cfgs/sr-x2-tiny.yaml" dataroot_gt=photos lq_size=8 -o none pretrain_g=$file
    err_has "imgtrain convert"
    has_not none none.ppm
done
run 0 imgtrain upscale archive.safetensors small.ppm -o large.ppm
has large.ppm
# numbers that half precision has exactly
for type in half bfloat16; do
    run 0 imgtrain convert "$seeds/$type" -o $type.safetensors
    run 0 imgtrain upscale $type.safetensors small.ppm -o $type.ppm
    same large.ppm $type.ppm
done
finish
