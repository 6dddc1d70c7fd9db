#!/bin/sh
# The losses of task sr: each by itself trains, is a column of the metrics, and gives the same bits
# in any memory mode and after a stop; what cannot be is said in one line before there is a run.
. "$(dirname "$0")/lib.sh"

pictures photos 4 64 48
cat >tiny.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {num_feat: 16, num_conv: 1, lq_size: 12, batch: 3, max_steps: 4, lr_g: 0.002}
frames: {every: 0, count: 0}
eval_steps: 1
video: {enabled: false}
checkpoint: {every: 2, keep: 5}
YAML
column() { # NAME: its number of the last step
    grep '"step": 4,' whole/metrics.jsonl | grep -o "\"$1\": [-0-9.e+]*" | sed 's/.*: //'
}
is_above_0() { # NAME
    last="column $1"
    if [ -n "$(column "$1")" ] && awk -v v="$(column "$1")" 'BEGIN { exit !(v > 0) }'; then pass; else flunk "$1 is '$(column "$1")'"; fi
}
# A run, the same in other memory modes, and from its middle.
trains() { # KEY=VALUE ...
    rm -rf whole other
    run 0 imgtrain train tiny.yaml -o whole threads=1 "$@"
    for level in 1 2 4; do
        rm -rf other
        run 0 imgtrain train tiny.yaml -o other -q threads=3 memory.level=$level "$@"
        same other/model.safetensors whole/model.safetensors
    done
    rm -rf other
    cp -r whole other
    back_to other 2
    run 0 imgtrain train tiny.yaml -o other -q --resume "$@"
    same other/model.safetensors whole/model.safetensors
}

run 0 imgtrain train tiny.yaml -o plain -q
run 1 grep -q grad_norm plain/metrics.jsonl

# ---- the gradient's norm ----
trains grad_clip=0.01
is_above_0 grad_norm
rm -rf other
run 0 imgtrain train tiny.yaml -o other -q grad_clip=1000000
for run in plain whole other; do grep -o '"loss": [^,]*' $run/metrics.jsonl >$run.txt; done
same plain.txt other.txt
differ plain.txt whole.txt

# ---- whole images ----
for term in consistency colour luma hsluv msssim fft; do
    trains charbonnier_weight=0 ${term}_weight=2
    is_above_0 $term
    err_lacks charbonnier
done
run 0 imgtrain train tiny.yaml -o box -q charbonnier_weight=0 consistency_weight=2 consistency=box
run 0 imgtrain train tiny.yaml -o cubic -q charbonnier_weight=0 consistency_weight=2
for run in box cubic; do grep -o '"loss": [^,]*' $run/metrics.jsonl >$run.txt; done
differ box.txt cubic.txt
run 78 imgtrain train tiny.yaml -o small -q msssim_weight=1 lq_size=4
err_is "imgtrain: sr.msssim_weight: patches of 8 x 8 pixels are smaller than a window of MS-SSIM, 11 x 11: lq_size 6 is needed"
has_not small

# ---- VGG19 ----
run 78 imgtrain train tiny.yaml -o vgg -q perceptual_weight=1
err_has "sr.perceptual_weight: perceptual_file is not set, the weights of VGG19; this makes it: python3 -c"
err_lines 1
run 66 imgtrain train tiny.yaml -o vgg -q perceptual_weight=1 perceptual_file=missing.safetensors
run 65 imgtrain train tiny.yaml -o vgg -q perceptual_weight=1 perceptual_file=whole/model.safetensors
err_has "sr.perceptual_file: whole/model.safetensors"
err_lines 1
has_not vgg

# ---- which images VGG19 sees, and which pixel losses do: sharpened or not ----
if command -v python3 >/dev/null; then
    tool vgg vgg.safetensors
    sees() { # NAME KEY=VALUE ...: what two steps come to
        name=$1
        shift
        run 0 imgtrain train tiny.yaml -o "sees_$name" -q max_steps=2 sr.batch=2 perceptual_weight=1 \
            perceptual_file=vgg.safetensors eval_steps=1 "$@"
        grep -o '"perceptual": [^,]*\|"psnr": [^,]*' "sees_$name/metrics.jsonl" >"sees_$name.txt"
    }
    only=charbonnier_weight=0
    sees plain $only
    sees sharp $only l1_gt_usm=true
    sees plain_other $only l1_gt_usm=true percep_gt_usm=false memory.level=2
    sees sharp_other $only percep_gt_usm=true
    same sees_plain.txt sees_plain_other.txt
    same sees_sharp.txt sees_sharp_other.txt
    differ sees_plain.txt sees_sharp.txt
    sees both percep_gt_usm=true sr.lq_size=8 discriminator=unet num_feat_d=8 gan_weight=0.1 gan_gt_usm=true data_mode=otf
    sees none sr.lq_size=8 discriminator=unet num_feat_d=8 gan_weight=0.1 gan_gt_usm=true data_mode=otf
    differ sees_both.txt sees_none.txt
    rm vgg.safetensors
else
    skip "no python3, which writes weights in VGG19's shapes"
fi

# ---- a cosine that begins anew ----
run 0 imgtrain train tiny.yaml -o turns -q periods='[2, 2]'
last="rates of four steps in periods of two"
rates=$(grep -o '"lr": [-0-9.e]*' turns/metrics.jsonl | tr '\n' ' ')
# shellcheck disable=SC2086
set -- $rates
if [ $# = 8 ] && [ "$2 $4" = "$6 $8" ] && [ "$2" != "$4" ]; then pass; else flunk "$rates"; fi
run 78 imgtrain train tiny.yaml -o short -q periods='[1, 2]'
err_is "imgtrain: sr.periods: all together are 3 steps of 4"
has_not short

# ---- option files ----
cat >theirs.yml <<'YAML'
scale: 4
datasets:
  train: {type: PairedImageDataset, dataroot_gt: [gt, gt2], dataroot_lq: [lq, lq2], meta_info: [a.txt, b.txt], lq_size: 32}
network_g: {type: compact}
train:
  total_iter: 10
  scheduler: {type: CosineAnnealingRestartLR, periods: [6, 4], restart_weights: [1, 1]}
  grad_clip: true
  grad_clip_max_norm: 0.5
  losses:
    - {type: mssimloss, loss_weight: 0.5}
    - {type: fftloss, loss_weight: 0.1}
    - {type: colorloss, loss_weight: 0.2, criterion: l1}
    - {type: lumaloss, loss_weight: 0.3}
    - {type: averageloss, loss_weight: 0.4}
    - {type: hsluvloss, loss_weight: 0.6, criterion: charbonnier, hue_weight: 0.3333333, blur_strength: 0}
    - type: PerceptualLoss
      perceptual_weight: !!float 0.03
      perceptual_file: vgg.safetensors
      vgg_type: vgg19
      use_input_norm: true
      range_norm: false
      style_weight: 0
      criterion: l1
      antialiased: false
      layer_weights: {conv1_2: 0.1, conv2_2: 0.1, conv3_4: 1, conv4_4: 1, conv5_4: 1.0}
YAML
run 0 imgtrain config theirs.yml
settings 'dataroot_gt: "gt;gt2"' 'dataroot_lq: "lq;lq2"' 'meta_info: "a.txt;b.txt"' "charbonnier_weight: 0" "msssim_weight: 0.5" \
    "fft_weight: 0.1" "colour_weight: 0.2" "luma_weight: 0.3" "consistency_weight: 0.4" "consistency: box" \
    "perceptual_weight: 0.03" 'perceptual_file: "vgg.safetensors"' "grad_clip: 0.5"
theirs_is_refused() { # SED-EXPRESSION TEXT
    sed "$1" theirs.yml >other.yml
    run 78 imgtrain config other.yml
    err_has "$2"
}
settings "perceptual_layers: [0.1, 0.1, 1, 1, 1]" "hsluv_weight: 0.6" "schedule: cosine" "periods: [6, 4]"
err_has "train.losses.5.criterion: charbonnier' is taken for l1"
sed 's/layer_weights: .*/layer_weights: {conv5_4: 2, conv3_1: 0}/' theirs.yml >other.yml
run 0 imgtrain config other.yml
settings "perceptual_layers: [0, 0, 0, 0, 2]"
theirs_is_refused 's/conv3_4/conv3_3/' "layer_weights.conv3_3: this layer is not compared here"
theirs_is_refused 's/conv4_4: 1/conv4_4: [1, 2]/' "layer_weights.conv4_4: expected a number"
theirs_is_refused 's/restart_weights: .1, 1/restart_weights: [1, 0.5/' "restart_weights: only 1 is there"
theirs_is_refused 's/RestartLR.*/LR, T_max: 9}/' "T_max: expected a number that is not below total_iter"
theirs_is_refused 's/hue_weight: 0.3333/hue_weight: 0.5/' "train.losses.5.hue_weight: hue, saturation and lightness count a third each"
theirs_is_refused 's/blur_strength: 0/blur_strength: 2/' "train.losses.5.blur_strength: images are compared as they are here"
theirs_is_refused 's/style_weight: 0/style_weight: 1/' "style_weight: is another one"
theirs_is_refused 's/vgg_type: vgg19/vgg_type: vgg16/' "vgg_type: is another one"
theirs_is_refused 's/^      criterion: l1/      criterion: fro/' "criterion: only l1 and charbonnier are there"
theirs_is_refused 's/lumaloss/bicubicloss/' "a second loss of reduced images"
# one that does not count is no second one
sed 's/lumaloss, loss_weight: 0.3/bicubicloss, loss_weight: 0/; s/^scale: 4/&\nl1_gt_usm: true\npercep_gt_usm: true/' theirs.yml >other.yml
run 0 imgtrain config other.yml
settings "consistency_weight: 0.4" "consistency: box" "l1_gt_usm: true" "percep_gt_usm: true"
sed 's/^scale: 4/&\nl1_gt_usm: true\npercep_gt_usm: false/' theirs.yml >other.yml
run 0 imgtrain config other.yml
settings "l1_gt_usm: true" "percep_gt_usm: false"

finish
