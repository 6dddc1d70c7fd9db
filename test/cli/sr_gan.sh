#!/bin/sh
# imgtrain train with task sr and a discriminator: the same bits however it is computed and through
# kill -9, its file for another run, option files of others, and every kind of bad input.
. "$(dirname "$0")/lib.sh"

pictures photos 6 64 48
cat >fidelity.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {num_feat: 8, num_conv: 1, lq_size: 12, batch: 3, max_steps: 6, lr_g: 0.002}
frames: {count: 0}
eval_steps: 3
video: {enabled: false}
YAML
run 0 imgtrain train fidelity.yaml -o before -q
cat >gan.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {num_feat: 8, num_conv: 1, lq_size: 12, batch: 3, max_steps: 12, lr_g: 0.001,
  pretrain_g: before, discriminator: unet, num_feat_d: 8, gan_weight: 0.1, feature_weight: 0.1, lr_d: 0.001}
frames: {every: 6}
eval_steps: 4
video: {enabled: false}
checkpoint: {every: 4, keep: 1}
YAML
run 0 imgtrain train gan.yaml --dry-run
run 0 imgtrain train gan.yaml -o whole threads=1
err_has "discriminator unet 8, 68649 parameters"
for name in gan feature d_loss d_real d_fake; do
    run 0 grep -q "\"step\": 12, .*\"$name\": -*[0-9]" whole/metrics.jsonl
done
run 0 imgtrain info whole/model.safetensors
out_lacks "conv0"
out_has "body.4.bias"
run 0 imgtrain upscale whole photos/1.ppm -o large.png

# ---- no choice of how it is computed changes a bit ----
trains_the_same() {
    last="train $*"
    rm -rf other
    if ! "$program" train gan.yaml -o other -q "$@" >"$out" 2>"$err"; then
        flunk "ended with status $?"
    else
        same other/model.safetensors whole/model.safetensors
        same other/best.safetensors whole/best.safetensors
    fi
}
trains_the_same threads=2
trains_the_same threads=7
for level in 1 2 4; do trains_the_same threads=1 memory.level=$level; done
imgtrain plan gan.yaml --json >plan.json
grep -v '"amp": true' plan.json >plain.json # mixed precision changes the result
trains_the_same memory.limit="$(least_bytes plain.json)"
run 31 imgtrain train gan.yaml -o small -q memory.limit=$(($(least_bytes plan.json) - 64))
has_not small

# ---- killed before a step ----
for step in 3 4 10; do
    rm -rf other
    killed_at $step gan.yaml -o other -q
    run 0 imgtrain train gan.yaml -o other --resume -q threads=2
    same other/model.safetensors whole/model.safetensors
done
run 78 imgtrain train gan.yaml -o whole --resume num_feat_d=16
run 78 imgtrain train gan.yaml -o whole --resume gan_type=hinge

# ---- losses, and steps in which the discriminator learns alone ----
for type in lsgan hinge; do
    run 0 imgtrain train gan.yaml -o $type -q gan_type=$type feature_weight=0 skip_connection=false
    differ $type/model.safetensors whole/model.safetensors
done
run 0 imgtrain train gan.yaml -o third -q net_d_iters=3 net_d_init_iters=2
differ third/model.safetensors whole/model.safetensors
run 0 imgtrain train gan.yaml -o alone -q net_d_init_iters=100 ema=0
if command -v python3 >/dev/null; then # the generator is what it was
    run 0 python3 -c "
import json, struct
def tensors(path):
    data = open(path, 'rb').read()
    size = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop('__metadata__')
    return {k: data[8 + size + v['data_offsets'][0]:8 + size + v['data_offsets'][1]] for k, v in header.items()}
print(tensors('alone/model.safetensors') == tensors('before/model.safetensors'))"
    out_is True
fi

# ---- what it takes for real: images as the pixel losses see them, or others ----
# Sharpening them for D alone is the same as for both where pixel losses weigh nothing.
for sharp in false true; do
    run 0 imgtrain train gan.yaml -o "one_$sharp" -q charbonnier_weight=0 l1_gt_usm=false gan_gt_usm=$sharp
    run 0 imgtrain train gan.yaml -o "both_$sharp" -q charbonnier_weight=0 l1_gt_usm=true gan_gt_usm=$sharp
    same "one_$sharp/final.png" "both_$sharp/final.png"
    run 0 imgtrain train gan.yaml -o "micro_$sharp" -q charbonnier_weight=0 l1_gt_usm=false gan_gt_usm=$sharp \
        memory.level=2 threads=2
    same "one_$sharp/final.png" "micro_$sharp/final.png"
done
differ one_false/final.png one_true/final.png
run 0 imgtrain train gan.yaml -o otf -q data_mode=otf l1_gt_usm=true
run 0 imgtrain train gan.yaml -o otf_sharp -q data_mode=otf l1_gt_usm=true gan_gt_usm=true
differ otf/final.png otf_sharp/final.png

# ---- a discriminator that is there already ----
run 0 imgtrain train gan.yaml -o again -q pretrain_d=whole
differ again/model.safetensors whole/model.safetensors
checkpoint=$(echo whole/checkpoints/*)
run 0 imgtrain train gan.yaml -o again_file -q pretrain_d="$checkpoint"
same again/final.png again_file/final.png

# ---- option files of others ----
cat >theirs.yml <<'YAML'
name: gan
scale: 2
datasets:
  train: {type: singleimagedataset, dataroot_gt: [photos], lq_size: 12, batch_size_per_gpu: 3}
network_g: {type: compact, num_feat: 8, num_conv: 1}
network_d:
  type: unetdiscriminatorsn
  num_feat: 8
  skip_connection: true
path:
  pretrain_network_g: before
  pretrain_network_d: ~
  strict_load_d: true
train:
  optim_g: {type: AdamW, lr: !!float 1e-4, betas: [0.9, 0.99]}
  optim_d: {type: AdamW, lr: !!float 2e-4, betas: [0.9, 0.99]}
  total_iter: 4
  losses:
    - {type: L1Loss, loss_weight: 1}
    - {type: ganloss, gan_type: vanilla, loss_weight: 0.1, real_label_val: 1.0, fake_label_val: 0.0}
  net_d_iters: 1
  net_d_init_iters: 0
gan_gt_usm: True
YAML
run 0 imgtrain config theirs.yml
settings "discriminator: unet" "num_feat_d: 8" "gan_weight: 0.1" "lr_d: 0.0002" "gan_type: vanilla" "gan_gt_usm: true"
run 0 imgtrain train theirs.yml -o theirs -q device=cpu video.enabled=false
refused() { # SED-EXPRESSION TEXT
    sed "$1" theirs.yml >other.yml
    run 78 imgtrain train other.yml -o refused
    err_has "$2"
    has_not refused
}
refused 's/unetdiscriminatorsn/metagan2/' "network_d.type: only the U-Net is there"
refused 's/gan_type: vanilla/gan_type: wgan/' "gan_type: is none of vanilla, lsgan and hinge"
refused 's/real_label_val: 1.0/real_label_val: 0.9/' "only 1 for real"
refused 's/lr: !!float 2e-4, betas: \[0.9, 0.99\]/lr: !!float 2e-4, betas: [0.5, 0.99]/' "optim_d.betas: is another one than optim_g's"
sed 's/lr: !!float 1e-4,/& weight_decay: 0,/; s/lr: !!float 2e-4,/& weight_decay: 0.0,/' theirs.yml >other.yml
run 0 imgtrain config other.yml
refused '/^network_d/,/skip_connection/d' "add discriminator=unet"
sed 's/loss_weight: 0.1/loss_weight: 0/' theirs.yml >other.yml # nobody asks it
run 0 imgtrain train other.yml --dry-run
err_has "'network_d.type' has no effect here"

# ---- bad input: one line, the right status, no run folder ----
bad() { # STATUS TEXT ARGUMENT ...
    status=$1 text=$2
    shift 2
    run "$status" imgtrain train gan.yaml -o refused -q "$@"
    err_has "$text"
    err_lines 1
    has_not refused
}
bad 78 "gan_weight is of a discriminator, and there is none" discriminator=none
bad 78 "feature_weight is of a discriminator, and there is none" discriminator=none gan_weight=0
bad 78 "pretrain_d is of a discriminator" discriminator=none gan_weight=0 feature_weight=0 pretrain_d=whole
bad 78 "nothing learns from it: add gan_weight=0.1" gan_weight=0 feature_weight=0
bad 78 "num_feat_d: 12 is no multiple of 8" num_feat_d=12
bad 78 "lq_size 10 x scale 2 is 20" lq_size=10
bad 78 "lq_size 14 x scale 2 is 28" memory.schedule="[0, 12, 3, 6, 14, 3]"
bad 65 "sr.pretrain_d: " pretrain_d=before
bad 65 "has num_feat_d 8, and 16 is to be trained" pretrain_d=whole num_feat_d=16
bad 65 "sr.pretrain_d: " pretrain_d=photos/1.ppm
bad 66 "sr.pretrain_d: " pretrain_d=nowhere.safetensors
finish
