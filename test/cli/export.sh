#!/bin/sh
# imgtrain export: a generator as ONNX, what info says of it, and its images in onnxruntime where that is installed.
. "$(dirname "$0")/lib.sh"

mkdir -p photos/a photos/b
pictures photos/a 6 20 12
pictures photos/b 6 20 12
small="task=gan data=photos threads=1 device=cpu batch=8 images=16 gamma=1 samples=4 video.enabled=false frames.count=0"
# shellcheck disable=SC2086  # a list of keys
run 0 imgtrain train $small width=24 height=16 'widths=[16,8,8]' 'blocks=[1,2,1]' z=12 lr=0.01 -q -o plain
# shellcheck disable=SC2086
run 0 imgtrain train $small size=16 labels=true embedding=5 lr=0.01 -q -o classes
python3 - <<'PY'
import random, struct
random.seed(2)
def npy(name, z):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, %d), }\n" % z
    values = struct.pack("<%df" % (5 * z), *(random.gauss(0, 1) for _ in range(5 * z)))
    open(name, "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + values)
npy("plain.npy", 12)
npy("classes.npy", 64)
PY
run 0 imgtrain export plain -o plain.onnx
err_has "plain.onnx: "
err_has "z of 12 numbers -> images of 24x16"
run 0 imgtrain export classes/model.safetensors -o classes.onnx
err_has "z of 64 numbers and a class -> images of 16x16"

# grey, and with alpha, which the metadata and the card say is multiplied in
for channels in 1 4; do
    name=$([ $channels = 1 ] && echo grey || echo rgba)
    # shellcheck disable=SC2086
    run 0 imgtrain train $small size=8 'widths=[16]' z=12 lr=0.01 gan.channels=$name -q -o "channels$channels"
    run 0 imgtrain export "channels$channels" -o "channels$channels.onnx"
    run 0 imgtrain info "channels$channels.onnx"
    out_has "output       image float32 [N, $channels, 8, 8]"
    out_has "gan.channels $channels"
    case $channels in
    1) out_has "float32, grey around" && out_lacks premultiplied ;;
    4) out_has "alpha        premultiplied" && out_has "colours are premultiplied" ;;
    esac
done

run 0 imgtrain info plain.onnx
out_has "plain.onnx: ONNX model, IR 8, opset 13, by imgtrain "
out_has "input        z float32 [N, 12]"
out_has "output       image float32 [N, 3, 16, 24]"
out_has "task         gan"
out_has "# Generator of images of 24 x 16"
out_lacks "label"
run 0 imgtrain info classes.onnx --json
out_has '{"name": "label", "output": false, "type": "int64", "shape": [-1]}'
cp "$out" info.json
run 0 python3 -m json.tool info.json
printf '# Mine\nMade for a test.\n' >card.md
run 73 imgtrain export plain -o plain.onnx --card card.md
err_has "plain.onnx: is there already; --overwrite replaces it"
run 0 imgtrain export plain -o plain.onnx --card card.md --overwrite
run 0 imgtrain info plain.onnx
out_has "Made for a test."
out_lacks "# Generator"
# damaged: refused, whatever is left of it
size=$(wc -c <plain.onnx)
for part in 0 1 7 100 $((size / 2)) $((size - 1)); do
    head -c "$part" plain.onnx >cut.onnx
    run 65 imgtrain info cut.onnx
    err_has "cut.onnx: no ONNX model, or a damaged one"
done
run 65 imgtrain info photos/a/1.ppm
run 66 imgtrain info absent.onnx
run 64 imgtrain export plain
run 64 imgtrain export plain -o plain.bin
err_has "the name must end in .onnx"
run 66 imgtrain export absent -o x.onnx
run 65 imgtrain export photos/a/1.ppm -o x.onnx
run 66 imgtrain export plain -o x.onnx --card absent
has_not x.onnx

python=${PYTHON:-python3}
if "$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
    run 0 imgtrain sample plain --latents plain.npy --grid 5x1 -o plain.ppm
    run 0 "$python" "$root/test/cli/onnx_beside.py" plain.onnx plain.npy plain.ppm
    out_has "5 of 5 images agree"
    out_lacks "spread 0.0"
    for channels in 1 4; do
        run 0 imgtrain sample "channels$channels" --latents plain.npy --grid 5x1 -o drawn.ppm
        run 0 "$python" "$root/test/cli/onnx_beside.py" "channels$channels.onnx" plain.npy drawn.ppm
        out_has "5 of 5 images agree"
        out_lacks "spread 0.0"
    done
    for class in 0 1; do
        run 0 imgtrain sample classes --latents classes.npy --class $class --grid 5x1 -o classes.ppm
        run 0 "$python" "$root/test/cli/onnx_beside.py" classes.onnx classes.npy classes.ppm $class
        out_has "5 of 5 images agree"
    done
    # it would see another class
    run 0 "$python" "$root/test/cli/onnx_beside.py" classes.onnx classes.npy classes.ppm 0
    out_lacks "5 of 5 images agree"
else
    skip "onnx's checker and onnxruntime: $python has no numpy, onnx and onnxruntime (PYTHON=... picks another)"
fi
finish
