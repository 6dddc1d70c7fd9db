#!/bin/sh
# The networks of task sr beside Compact: a run of each, its model file as other programs know it, the same
# bits whatever the memory mode, threads and tiles; and spandrel, where Python has it.
. "$(dirname "$0")/lib.sh"

pictures photos 6 64 48
picture large.ppm 101 67
cat >small.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {network: span, num_feat: 4, lq_size: 12, batch: 3, max_steps: 6, lr_g: 0.002}
frames: {every: 6}
eval_steps: 3
video: {enabled: false}
checkpoint: {every: 3, keep: 1}
YAML

# ---- SPAN ----
run 0 imgtrain train small.yaml --dry-run
run 0 imgtrain plan small.yaml
run 0 imgtrain train small.yaml -o parts threads=1
err_has "sr: span 4, 2x"
run 0 imgtrain train small.yaml -o merged sr.reparam=false -q
run 0 imgtrain train small.yaml -o norm sr.norm=true scale=3 -q
run 0 imgtrain info parts/model.safetensors
out_has "span 4"
# a file has the parts, what they make, and a mark; whatever was trained
if command -v python3 >/dev/null; then
    names() {
        python3 -c "
import json, struct, sys
f = open(sys.argv[1], 'rb')
h = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
for k in sorted(h): print(k, h[k].get('shape'), h[k].get('dtype')) if k != '__metadata__' else None" "$1" >"$2"
    }
    names parts/model.safetensors parts.txt
    names merged/model.safetensors merged.txt
    same parts.txt merged.txt
    names norm/model.safetensors norm.txt
    for line in "conv_1.sk.weight [4, 3, 1, 1] F32" "block_6.c3_r.conv.1.weight [8, 8, 3, 3] F32" \
        "block_2.c1_r.eval_conv.weight [4, 4, 3, 3] F32" "conv_cat.weight [4, 16, 1, 1] F32" \
        "upsampler.0.bias [12] F32" "no_norm [1] F32"; do
        run 0 grep -qxF "$line" parts.txt
    done
    run 1 grep -q no_norm norm.txt
    run 0 sh -c "wc -l <parts.txt"
    out_is 205 # 20 convolutions in parts of 8 tensors and the 2 that they make, 2 others, the mark
fi
trains_the_same() {
    rm -rf other
    run 0 imgtrain train small.yaml -o other -q "$@"
    same other/model.safetensors parts/model.safetensors
    same other/best.safetensors parts/best.safetensors
}
trains_the_same threads=2
trains_the_same threads=7
for level in 1 2 4; do trains_the_same threads=1 memory.level=$level; done
# killed, and gone on with
for form in parts merged; do
    rm -rf other
    reparam=true
    [ $form = parts ] || reparam=false
    killed_at 4 small.yaml -o other -q sr.reparam=$reparam
    run 0 imgtrain train small.yaml -o other --resume -q sr.reparam=$reparam
    same other/model.safetensors $form/model.safetensors
done
run 78 imgtrain train small.yaml -o parts --resume sr.reparam=false
# tiles; a run, its model and a checkpoint
run 0 imgtrain upscale parts large.ppm -o once.ppm
for tile in 8 30 64; do
    run 0 imgtrain upscale parts large.ppm -o tiled.ppm --overwrite --tile $tile
    same once.ppm tiled.ppm
done
run 0 imgtrain upscale norm large.ppm -o three.ppm
run 0 imgtrain upscale merged large.ppm -o of_merged.ppm
run 0 imgtrain eval parts photos
run 0 imgtrain bench --task sr --device cpu --network span --size 8 --patches 2 --features 4 --steps 2
out_has "sr, span 4 2x"
run 64 imgtrain bench --task sr --device cpu --network dat
# begun with a model, in either form
run 0 imgtrain train small.yaml -o again pretrain_g=parts/model.safetensors max_steps=0 -q
run 0 imgtrain train small.yaml -o again2 pretrain_g=parts/model.safetensors sr.reparam=false max_steps=0 -q
run 0 imgtrain train small.yaml -o again3 pretrain_g=merged max_steps=0 -q
run 0 imgtrain upscale again2 large.ppm -o of_again2.ppm
run 0 imgtrain eval of_again2.ppm once.ppm --json
run 65 imgtrain train small.yaml -o none pretrain_g=parts/model.safetensors num_feat=5
err_has "is a span 4 of 2x, and span 5 of 2x is to be trained"
run 65 imgtrain train small.yaml -o none pretrain_g=parts/model.safetensors sr.norm=true
err_has "span 4 with norm"
run 0 imgtrain train small.yaml -o larger pretrain_g=parts/model.safetensors scale=4 strict_load=false max_steps=0 -q
has_not none
# a tensor too many, one too few
if command -v python3 >/dev/null; then
    run 0 python3 -c "
import json, struct
data = open('parts/model.safetensors', 'rb').read()
size = struct.unpack('<Q', data[:8])[0]
head = json.loads(data[8:8 + size])
head.pop('__metadata__')
def write(path, edit):
    names = dict(head)
    edit(names)
    body, offset, out = b'', 0, {}
    for name, t in names.items():
        a, b = t['data_offsets']
        body += data[8 + size + a:8 + size + b]
        out[name] = dict(t, data_offsets=[offset, offset + b - a])
        offset += b - a
    text = json.dumps(out).encode()
    text += b' ' * (-len(text) % 8)
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + body)
write('same.safetensors', lambda n: None)
write('more.safetensors', lambda n: n.update({'block_7.c1_r.sk.bias': n['conv_1.sk.bias']}))
write('less.safetensors', lambda n: n.pop('block_3.c2_r.conv.1.bias'))"
    run 0 imgtrain upscale same.safetensors large.ppm -o same.ppm
    same once.ppm same.ppm
    run 65 imgtrain upscale more.safetensors large.ppm -o none.ppm
    err_has "block_7.c1_r.sk.bias is not of the network span 4"
    run 65 imgtrain upscale less.safetensors large.ppm -o none.ppm
    err_has "block_3.c2_r.conv.1.bias is missing"
    has_not none.ppm
fi

# ---- as other programs name it ----
cat >theirs.yml <<'YAML'
name: 2x_span
scale: 2
datasets: {train: {type: SingleImageDataset, dataroot_gt: photos, lq_size: 12, batch_size_per_gpu: 2}}
network_g: {type: span_s, norm: true}
train: {total_iter: 2, losses: [{type: l1loss, loss_weight: 1}]}
YAML
run 0 imgtrain config theirs.yml
settings "network: span" "num_feat: 48" "norm: true"
sed 's/type: span_s.*/type: SPAN, feature_channels: 6, bias: true, img_range: 255}/' theirs.yml >six.yml
run 0 imgtrain config six.yml
settings "network: span" "num_feat: 6" "norm: false"
run 0 imgtrain train six.yml -o six device=cpu -q
sed 's/img_range: 255/img_range: 1/' six.yml >other.yml
run 78 imgtrain config other.yml
err_has "network_g.img_range: only 255 is there"

# ---- spandrel ----
has_spandrel || finish
compared=
beside() { # NAME KEY=VALUE ...: a network to compare
    name=$1
    shift
    run 0 imgtrain train small.yaml -o "$name" max_steps=1 -q "$@"
    run 0 imgtrain upscale "$name" photos/1.ppm -o "$name.png"
    compared="$compared $name"
}
for scale in 1 2 3 4; do
    beside compact$scale network=compact num_conv=2 scale=$scale
    beside span$scale scale=$scale
done
beside merged3 scale=3 sr.reparam=false
beside norm2 sr.norm=true
# shellcheck disable=SC2086
as_in_spandrel photos/1.ppm $compared
finish
