#!/bin/sh
# Task sr with data_mode otf: the same bits however it is computed and through kill -9, what
# imgtrain degrade writes, and keys that do not fit one another.
. "$(dirname "$0")/lib.sh"

pictures photos 4 96 80
cat >tiny.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {data_mode: otf, scale: 2, num_feat: 16, num_conv: 1, lq_size: 12, batch: 5, max_steps: 8, thicklines_prob: 0.3}
frames: {count: 0}
eval_steps: 4
video: {enabled: false}
checkpoint: {every: 2, keep: 1}
YAML
run 0 imgtrain train tiny.yaml --dry-run
err_has "degrading takes "
err_has "longer"
run 0 imgtrain plan tiny.yaml
run 0 imgtrain train tiny.yaml -o whole threads=1
run 0 grep -q '"step": 8, .*"psnr_y": [0-9]' whole/metrics.jsonl
trains_the_same() {
    rm -rf other
    run 0 imgtrain train tiny.yaml -o other -q "$@"
    same other/model.safetensors whole/model.safetensors
    same other/best.safetensors whole/best.safetensors
    same other/final.png whole/final.png
}
trains_the_same threads=2
trains_the_same threads=7 memory.level=1
trains_the_same threads=2 memory.level=4
for step in 2 5; do
    rm -rf other
    killed_at $step tiny.yaml -o other -q
    run 0 imgtrain train tiny.yaml -o other --resume -q threads=2
    same other/model.safetensors whole/model.safetensors
    same other/best.safetensors whole/best.safetensors
done
run 0 imgtrain train tiny.yaml -o other2 -q data_mode=bicubic
differ other2/model.safetensors whole/model.safetensors

# ---- GT alone is cached: 4 images of 96 x 80, 23040 bytes less than with an LQ that nobody reads ----
run 0 sh -c 'test "$(cat whole/cache/pairs-*.bin | wc -c)" -lt 97000'
run 0 sh -c 'test "$(cat other2/cache/pairs-*.bin | wc -c)" -gt 119000'
mkdir single && cp photos/1.ppm single/
run 0 imgtrain train tiny.yaml -o alone -q dataroot_gt=single # what is shown is no held-out image
err_has "only one image"

# ---- what it learns from ----
run 0 imgtrain degrade tiny.yaml -o look --count 7
has look/000001_lq.png look/000007_gt.png look/000007.json
run 0 imgtrain degrade tiny.yaml photos -o again --count 7 threads=3
for i in 1 5 7; do
    same look/00000${i}_lq.png again/00000${i}_lq.png
    same look/00000$i.json again/00000$i.json
done
run 0 grep -q '"step": 1, "patch": 1' look/000007.json
differ look/000001_lq.png look/000002_lq.png
run 73 imgtrain degrade tiny.yaml -o look
err_has "is there already"
run 0 imgtrain degrade tiny.yaml photos/2.ppm -o one --count 2 jpeg_prob2=1
has one/000002_lq.png
if command -v python3 >/dev/null; then
    run 0 python3 -c "
import json
a = [json.load(open('look/%06d.json' % i)) for i in range(1, 8)]
print(len({d['draws']['first']['resize'] for d in a}) == 7 and a[6]['image'][1:] == '.ppm')"
    out_is True
fi

# ---- parts of it ----
run 0 imgtrain train tiny.yaml -o usm -q l1_gt_usm=true lq_usm=true max_steps=2
run 0 imgtrain train tiny.yaml -o usm2 -q l1_gt_usm=true data_mode=bicubic max_steps=2
gan="discriminator=unet num_feat_d=8 gan_weight=0.1 max_steps=2"
# shellcheck disable=SC2086
for usm in "l1_gt_usm=true gan_gt_usm=true" "l1_gt_usm=true" "gan_gt_usm=true" ""; do
    run 0 imgtrain train tiny.yaml -o "gan $usm" -q $gan $usm threads=1
    run 0 imgtrain train tiny.yaml -o "gan2 $usm" -q $gan $usm threads=2 memory.level=4
    same "gan $usm/model.safetensors" "gan2 $usm/model.safetensors"
done
differ "gan l1_gt_usm=true/model.safetensors" "gan l1_gt_usm=true gan_gt_usm=true/model.safetensors"
differ "gan l1_gt_usm=true/model.safetensors" "gan gan_gt_usm=true/model.safetensors"
differ "gan /model.safetensors" "gan gan_gt_usm=true/model.safetensors"
run 0 imgtrain train tiny.yaml -o restore -q scale=1 max_steps=2
mkdir lq
for i in 1 2 3 4; do picture lq/$i.ppm 48 40; done
run 0 imgtrain degrade tiny.yaml -o mixed --count 20 dataroot_lq=lq dataroot_lq_prob=0.5
paired=$(grep -l paired mixed/*.json | wc -l)
if [ "$paired" -gt 2 ] && [ "$paired" -lt 18 ]; then pass; else flunk "$paired of 20 are paired"; fi

# ---- files of other programs ----
cat >redux.yml <<'YAML'
name: other
scale: 4
high_order_degradation: true
lq_usm: false
blur_prob: 0.5
resize_prob: [0.2, 0.7, 0.1]
noise_range: [0, 0]
jpeg_range: [75, 95]
queue_size: 120
datasets:
  train:
    type: realesrgandataset
    dataroot_gt: [photos]
    kernel_list: ['iso', 'aniso']
    kernel_prob: [0.75, 0.25]
    kernel_range: [5, 11]
    lq_size: 16
    batch_size_per_gpu: 4
network_g: {type: superultracompact}
train: {total_iter: 3, optim_g: {type: AdamW, lr: !!float 2e-4}}
YAML
run 0 imgtrain config redux.yml
out_has "[iso, aniso]"
settings "data_mode: otf" "kernel_range: [5, 11]" "kernel_range2: [5, 17]" "blur_prob: 0.5" "blur_prob2: 0" \
    "resize_mode_list3: [bilinear, bicubic, nearest-exact, lanczos]" "lq_usm: false" "gaussian_noise_prob2: 0"
run 0 imgtrain train redux.yml -o redux -q device=cpu video.enabled=false
sed 's/^name:/model_type: RealESRNetModel\ngt_usm: True\nsecond_blur_prob: 0.7\ngt_size: 64\nname:/; /^lq_usm/d' redux.yml >esrnet.yml
run 0 imgtrain config esrnet.yml
settings "kernel_range2: [7, 21]" "blur_prob2: 0.7" "l1_gt_usm: true" "lq_usm: true" "resize_mode_list: [area, bilinear, bicubic]"
sed 's/realesrgandataset/RealESRGANPairedDataset/' redux.yml >mixed.yml
run 0 imgtrain config mixed.yml
out_has "otf"
sed 's/realesrgandataset/pairedimagedataset/' redux.yml >wrong.yml
run 78 imgtrain config wrong.yml
err_has "wrong.yml:3:"
err_has "degrades what RealESRGANDataset reads"
sed 's/degradation: true/degradation: false/' redux.yml >wrong.yml
run 78 imgtrain config wrong.yml
err_has "there are no LQ images"

# ---- what does not fit ----
run 78 imgtrain train tiny.yaml -o bad dataroot_lq_prob=0.5
err_has "dataroot_lq is not set"
run 78 imgtrain train tiny.yaml -o bad dataroot_lq=lq dataroot_lq_prob=0.5 data_mode=paired
err_has "data_mode otf alone"
run 78 imgtrain train tiny.yaml -o bad "kernel_prob=[1,1]"
err_has "kernel_prob: expected 6 numbers"
run 78 imgtrain train tiny.yaml -o bad "resize_mode_list=[cubic]"
err_has "resize_mode_list: expected words of area|bilinear"
run 78 imgtrain train tiny.yaml -o bad "noise_range=[1,x]"
err_has "expected a list of numbers"
has_not bad
run 78 imgtrain train tiny.yaml -o whole --resume "noise_range=[1,2]"
run 64 imgtrain degrade tiny.yaml
err_has "add -o FOLDER"
run 66 imgtrain degrade tiny.yaml missing.png -o look3
run 78 imgtrain degrade tiny.yaml task=gan -o look3
run 78 imgtrain degrade "$root/cfgs/photo.yaml" -o look3
err_is "imgtrain: degradations are there for task sr alone"
finish
