#!/bin/sh
# ESRGAN as the network of task sr: a run, the same bits whatever the memory mode, threads, tiles and stops, files
# by the names of others, odd sizes where pixels become channels; and spandrel, where Python has it.
. "$(dirname "$0")/lib.sh"

pictures photos 6 64 48
picture large.ppm 101 67
picture thin.ppm 1 9
cat >small.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {network: esrgan, num_feat: 8, num_block: 1, num_grow_ch: 8, lq_size: 12, batch: 3, max_steps: 6, lr_g: 0.002}
frames: {every: 6}
eval_steps: 3
video: {enabled: false}
checkpoint: {every: 3, keep: 1}
YAML
run 0 imgtrain train small.yaml --dry-run
run 0 imgtrain train small.yaml -o first threads=1
err_has "sr: esrgan 8-1-8, 2x"
err_has "sr.num_grow_ch: 8: spandrel, and what uses it, loads models with 32 alone"
run 0 imgtrain info first/model.safetensors
out_has "esrgan 8-1-8"
trains_the_same() {
    rm -rf other
    run 0 imgtrain train small.yaml -o other -q "$@"
    same other/model.safetensors first/model.safetensors
}
trains_the_same threads=7
for level in 1 2 4; do trains_the_same memory.level=$level; done
# killed, and gone on with
rm -rf other
killed_at 4 small.yaml -o other -q
run 0 imgtrain train small.yaml -o other --resume -q
same other/model.safetensors first/model.safetensors
run 78 imgtrain train small.yaml -o first --resume sr.num_block=2

# ---- tiles: here all is within the 64 pixels that they overlap by at most ----
run 0 imgtrain train small.yaml -o one scale=1 -q # 4x4 pixels become channels: 67 of them lack one
run 0 imgtrain train small.yaml -o plain scale=2 use_pixel_unshuffle=false -q
for model in first one plain; do
    run 0 imgtrain upscale $model large.ppm -o once.ppm --overwrite
    for tile in 8 32; do
        run 0 imgtrain upscale $model large.ppm -o tiled.ppm --overwrite --overlap exact --tile $tile
        same once.ppm tiled.ppm
    done
    run 0 imgtrain upscale $model thin.ppm -o thin-$model.ppm --overwrite
done
run 0 imgtrain upscale first large.ppm -o once.ppm --overwrite --tta
run 0 imgtrain upscale first large.ppm -o tiled.ppm --overwrite --tta --overlap exact --tile 16
same once.ppm tiled.ppm
run 0 imgtrain upscale first large.ppm -o tiled.ppm --overwrite --tile 16 --overlap 4 --check-seams
err_has "the largest difference"

# ---- keys that do not go together ----
run 78 imgtrain train small.yaml -o none scale=3
err_has "sr.scale: esrgan enlarges 1, 2, 4 or 8 times, not 3"
run 78 imgtrain train small.yaml -o none lq_size=13
err_has "sr.lq_size: 13 is no multiple of 2"
run 78 imgtrain train small.yaml -o none num_feat=12
err_has "sr.num_feat: of esrgan a multiple of 8"
run 78 imgtrain train small.yaml -o none num_grow_ch=9
err_has "sr.num_grow_ch"
has_not none

# ---- begun with networks of others, by their names, in half precision ----
golden=$root/test/golden
for name in old new trunk; do
    scale=4
    [ $name = old ] || scale=2
    [ $name != new ] || scale=1
    run 0 imgtrain info "$golden/sr_file_esrgan_$name.safetensors"
    out_has "esrgan 8-1-8"
    run 0 imgtrain train small.yaml -o begun-$name scale=$scale max_steps=0 -q \
        pretrain_g="$golden/sr_file_esrgan_$name.safetensors"
    run 0 imgtrain upscale begun-$name large.ppm -o ours.ppm --overwrite
    run 0 imgtrain upscale "$golden/sr_file_esrgan_$name.safetensors" large.ppm -o theirs.ppm --overwrite
    same ours.ppm theirs.ppm
done
run 65 imgtrain train small.yaml -o none pretrain_g="$golden/sr_file_esrgan_old.safetensors"
err_has "is a esrgan 8-1-8 of 4x, and esrgan 8-1-8 of 2x is to be trained"
run 0 imgtrain train small.yaml -o fits max_steps=0 strict_load=false pretrain_g="$golden/sr_file_esrgan_old.safetensors"
err_has "41 of 42 tensors are taken"
has_not none

# ---- files that are no such network ----
changed() { # COMMAND ARGUMENT ...: of store_file.py
    cp "$golden/sr_file_esrgan_old.safetensors" changed.safetensors
    run 0 python3 "$root/test/cli/store_file.py" changed.safetensors "$@"
    run 65 imgtrain upscale changed.safetensors large.ppm -o none.ppm --device cpu
    err_lines 1
}
# ESRGAN+ has 1x1 convolutions beside
changed copy model.1.sub.0.RDB1.conv1.0.weight model.1.sub.0.RDB1.conv1x1.weight
err_has "tensor model.1.sub.0.RDB1.conv1x1.weight is not of the network esrgan 8-1-8"
changed remove model.1.sub.0.RDB2.conv3.0.bias
err_has "tensor model.1.sub.0.RDB2.conv3.0.bias is missing"
changed reshape model.10.weight 8,3,3,3
err_has "tensor model.10.weight is F16 [8, 3, 3, 3], expected F32 [3, 8, 3, 3]"
changed remove model.0.weight
err_has "it holds none of the networks that enlarge images here (compact, span, esrgan)"
has_not none.ppm

# ---- as other programs name it ----
cat >theirs.yml <<'YAML'
name: 2x_esrgan
scale: 2
datasets: {train: {type: SingleImageDataset, dataroot_gt: photos, lq_size: 12, batch_size_per_gpu: 2}}
network_g: {type: esrgan_lite, use_pixel_unshuffle: false}
train: {total_iter: 2, losses: [{type: l1loss, loss_weight: 1}]}
YAML
run 0 imgtrain config theirs.yml
settings "network: esrgan" "num_feat: 32" "num_block: 12" "use_pixel_unshuffle: false"
sed 's/type: esrgan_lite.*/type: RRDBNet, num_in_ch: 3, num_feat: 8, num_block: 1, num_grow_ch: 8}/' theirs.yml >basic.yml
run 0 imgtrain config basic.yml
settings "network: esrgan" "num_feat: 8" "num_block: 1" "num_grow_ch: 8"
run 0 imgtrain train basic.yml -o basic device=cpu -q

# ---- spandrel ----
has_spandrel || finish
for scale in 1 2 4; do
    run 0 imgtrain train small.yaml -o usual$scale scale=$scale num_grow_ch=32 max_steps=3 -q
    run 0 imgtrain upscale usual$scale large.ppm -o usual$scale.png
done
as_in_spandrel large.ppm usual1 usual2 usual4
finish
