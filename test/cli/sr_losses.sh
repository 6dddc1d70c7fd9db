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
    run 75 imgtrain train tiny.yaml -o other -q time_limit=0.000001 "$@"
    run 0 imgtrain train tiny.yaml -o other -q --resume time_limit=0 "$@"
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
for term in consistency colour luma msssim fft; do
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

finish
