#!/bin/sh
# The governor with task sr: lq_size grows first, then the batch; levels go down and up with what others
# take; a resumed run and a replay by memory.schedule give the same bits.
. "$(dirname "$0")/lib.sh"

mkdir photos
for n in 1 2 3 4; do
    awk -v n=$n 'BEGIN { print "P3 112 100 255"; for (y = 0; y < 100; y++) for (x = 0; x < 112; x++) for (c = 0; c < 3; c++)
        print int(128 + 80 * sin(x * .07 * n + c) * cos(y * .09) + (x > y ? 30 : 0)) }' >photos/$n.ppm
done
cat >tiny.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
threads: 1
sr: {num_feat: 16, num_conv: 1, lq_size: 16, batch: 4, max_steps: 20, lr_g: 0.002, val_every: 20}
frames: {count: 0}
eval_steps: 2
video: {enabled: false}
checkpoint: {every: 1, keep: 100}
memory: {adjustment_frequency: 4}
YAML
levels_are() { # DIRECTORY "STEP:LEVEL:SIZE:BATCH ..."
    last="work in $1/memory.jsonl"
    sed -n 's/.*"step": \([0-9]*\), "level": \([0-9]\).*"size": \([0-9]*\), "batch": \([0-9]*\)}.*/\1:\2:\3:\4/p' \
        "$1/memory.jsonl" | tr '\n' ' ' >work
    if [ "$(cat work)" = "$2 " ]; then pass; else flunk "$(cat work)"; fi
}
grow="memory.grow=true memory.grow_time=0 memory.min_size=8 memory.max_size=32 memory.min_batch_size=2 memory.max_batch_size=8"
trains() { # DIRECTORY WORD ...
    trained=$1
    shift
    # shellcheck disable=SC2086
    imgtrain train tiny.yaml -o "$trained" "$@"
}

# ---- lq_size first, then the batch; the next step is of that size ----
# shellcheck disable=SC2086
run 0 trains grown $grow
err_has "memory.grow: size 16 to 32 first, then batch 4 to 8"
err_has "4 at a time, size 32, batch 4 from here on"
err_has "a step takes about 4.0 times as long"
err_has "8 at a time, size 32, batch 8 from here on"
levels_are grown "0:0:16:4 4:0:32:4 8:0:32:8"
last="lq_size and batch of metrics"
sed -n 's/.*"step": \([0-9]*\),.*"lq_size": \([0-9]*\), "batch": \([0-9]*\).*/\1:\2:\3/p' grown/metrics.jsonl | tr '\n' ' ' >sizes
case $(cat sizes) in "2:16:4 4:16:4 6:32:4 8:32:4 10:32:8 "*" 20:32:8 ") pass ;; *) flunk "$(cat sizes)" ;; esac
last="a column a name"
if [ "$(head -n 1 grown/metrics.csv | tr ',' '\n' | sort | uniq -d)" = "" ]; then pass; else flunk "$(head -n 1 grown/metrics.csv)"; fi
for step in 03 04 05 08 11; do # killed behind the checkpoint of this step
    mkdir -p killed/checkpoints
    cp grown/config.yaml killed
    cp grown/checkpoints/step-0000000$step.safetensors killed/checkpoints
    # shellcheck disable=SC2086
    run 0 trains killed $grow --resume -q threads=2
    last="resumed at step $step"
    run 0 cmp grown/model.safetensors killed/model.safetensors
    rm -r killed
done

# ---- the same again without a governor ----
run 0 imgtrain info grown --schedule
out_is "memory.schedule: [0, 16, 4, 4, 32, 4, 8, 32, 8]"
run 0 imgtrain info grown --schedule --json
out_is '{"memory.schedule": [0, 16, 4, 4, 32, 4, 8, 32, 8]}'
cp tiny.yaml replay.yaml
imgtrain info grown --schedule >>replay.yaml
run 0 imgtrain train replay.yaml -o replayed -q
run 0 cmp grown/model.safetensors replayed/model.safetensors
levels_are replayed "0:0:16:4 4:0:32:4 8:0:32:8"
for level in 1 2 4; do # and in less memory
    run 0 imgtrain train replay.yaml -o "replayed-$level" memory.level=$level -q
    run 0 cmp grown/model.safetensors "replayed-$level/model.safetensors"
done
for step in 02 04 07 08; do
    mkdir -p killed/checkpoints
    cp replayed/config.yaml killed
    cp replayed/checkpoints/step-0000000$step.safetensors killed/checkpoints
    run 0 imgtrain train replay.yaml -o killed --resume -q
    last="resumed at step $step"
    run 0 cmp grown/model.safetensors killed/model.safetensors
    rm -r killed
done
run 0 imgtrain train replay.yaml -o wished memory.grow=true
err_has "memory.grow: no effect: memory.schedule says how much work a step is"
run 0 cmp grown/model.safetensors wished/model.safetensors
run 64 imgtrain info grown/model.safetensors --schedule
run 66 imgtrain info photos --schedule
# the learning rate follows the batch where that is wanted, and in the replay too
# shellcheck disable=SC2086
run 0 trains linear $grow memory.grow_lr=linear -q
run 1 cmp -s grown/model.safetensors linear/model.safetensors
run 0 imgtrain train replay.yaml -o linear-again memory.grow_lr=linear -q
run 0 cmp linear/model.safetensors linear-again/model.safetensors

# degraded while it trains
# shellcheck disable=SC2086
run 0 trains otf $grow data_mode=otf -q
levels_are otf "0:0:16:4 4:0:32:4 8:0:32:8"
run 0 imgtrain train replay.yaml -o otf-again data_mode=otf -q threads=2
run 0 cmp otf/model.safetensors otf-again/model.safetensors
run 1 cmp -s otf/model.safetensors grown/model.safetensors

# with a discriminator
gan="discriminator=unet num_feat_d=16 gan_weight=0.1 max_steps=12"
# shellcheck disable=SC2086
run 0 trains gan $grow $gan -q
levels_are gan "0:0:16:4 4:0:32:4 8:0:32:8"
# shellcheck disable=SC2086
run 0 imgtrain train replay.yaml -o gan-again $gan -q
run 0 cmp gan/model.safetensors gan-again/model.safetensors

# on CUDA, where there is one (or the emulated one)
look_for_cuda
if [ -n "$no_cuda" ]; then
    skip "growth on CUDA: $no_cuda"
else
    cuda="device=cuda deterministic=true max_steps=12 val_every=12"
    # shellcheck disable=SC2086
    run 0 trains cuda $grow $cuda -q
    levels_are cuda "0:0:16:4 4:0:32:4 8:0:32:8"
    # shellcheck disable=SC2086
    run 0 imgtrain train replay.yaml -o cuda-again $cuda -q
    run 0 cmp cuda/model.safetensors cuda-again/model.safetensors
    for step in 03 04 08; do
        mkdir -p killed/checkpoints
        cp cuda/config.yaml killed
        cp cuda/checkpoints/step-0000000$step.safetensors killed/checkpoints
        # shellcheck disable=SC2086
        run 0 trains killed $grow $cuda --resume -q
        last="resumed at step $step on CUDA"
        run 0 cmp cuda/model.safetensors killed/model.safetensors
        rm -r killed
    done
fi

# ---- another process takes all that is left, and gives it back ----
bytes=$(sed -n 's/.*"predicted": \([0-9]*\).*/\1/p' grown/memory.jsonl | sort -n | tail -n 1)
limit="memory.limit=$((bytes * 6 / 5))"
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=9:take=1TB,step=13:give "$program" train tiny.yaml -o pressed $grow "$limit"
err_has "step 12: 0 B are free beside"
run 0 cmp grown/model.safetensors pressed/model.safetensors # a level is no other result
last="down and up"
sed -n 's/.*"step": \([0-9]*\), "level": \([0-9]\).*"size": \([0-9]*\), "batch": \([0-9]*\)}.*/\1:\2:\3:\4/p' pressed/memory.jsonl | tr '\n' ' ' >work
case $(cat work) in "0:0:16:4 4:0:32:4 8:0:32:8 12:"[1-4]":32:8 16:0:32:8 ") pass ;; *) flunk "$(cat work)" ;; esac
# a schedule is kept to: in a lower level, or not at all
run 0 env IMGTRAIN_FAULTS=step=9:take=1TB "$program" train replay.yaml -o kept "$limit" memory.level=0 -q
run 0 cmp grown/model.safetensors kept/model.safetensors
run 0 env IMGTRAIN_FAULTS=step=3:take=$((bytes / 2)) "$program" train replay.yaml -o moved "$limit" memory.level=0 -q
run 0 cmp grown/model.safetensors moved/model.safetensors
last="another level than the one asked for"
if grep -q '"level": [124]' moved/memory.jsonl; then pass; else flunk "$(cat moved/memory.jsonl)"; fi
much="memory.schedule=[0, 2, 1, 4, 48, 8]"
run 0 trains endless "$much" -q
run 31 env IMGTRAIN_FAULTS=step=3:take=1TB "$program" train tiny.yaml -o ended "$much" -q
err_has "state of step 4 saved: run again with --resume when there is more memory"
run 0 trains ended "$much" --resume -q
run 0 cmp endless/model.safetensors ended/model.safetensors
# with little memory from the start: it grows as far as that goes, and no batch is paid for a size
least=$(sed -n 's/.*"predicted": \([0-9]*\).*/\1/p' grown/memory.jsonl | head -n 1)
# shellcheck disable=SC2086
run 0 trains tight $grow memory.limit=$((least * 2)) -q
last="a batch of 4 or more"
sed -n 's/.*"size": \([0-9]*\), "batch": \([0-9]*\)}.*/\1 \2/p' tight/memory.jsonl >work
if awk '$2 < 4 { exit 1 } { pixels = $1 * $1 * $2 } END { if (pixels <= 1024 || pixels >= 8192) exit 1 }' work; then pass; else flunk "$(cat work)"; fi
# less than what was asked for when nothing else fits, and a step that fails
# shellcheck disable=SC2086
large="lq_size=48 memory.level=0 memory.limit=$least"
# shellcheck disable=SC2086
run 31 trains toolarge $large -q
# shellcheck disable=SC2086
run 0 trains little $grow $large memory.max_size=0
err_has "beginning with level 0, 4 at a time, size 16, batch 4"
run 0 imgtrain info little --schedule
out_is "memory.schedule: [0, 16, 4]"
sed 's/: /=/' "$out" >line
run 0 trains little-again lq_size=48 "$(cat line)" -q
run 0 cmp little/model.safetensors little-again/model.safetensors
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=5:fail "$program" train tiny.yaml -o failed $grow
err_has "step 5 fails for a test"
run 0 imgtrain info failed --schedule
sed 's/: /=/' "$out" >line
run 0 trains failed-again "$(cat line)" -q
run 0 cmp failed/model.safetensors failed-again/model.safetensors

# ---- bounds: of time, of the images, of the user ----
run 0 trains timed memory.grow=true max_steps=9
err_has "a step at most 2 times as long"
levels_are timed "0:0:16:4 4:0:16:8" # lq_size 24 would make it 2.25 times

# ---- what is wrong with a schedule, before the run folder is made ----
wrong() { # STATUS TEXT SCHEDULE [WORD ...]
    status=$1 text=$2 schedule=$3
    shift 3
    run "$status" imgtrain train tiny.yaml -o wrong -q "memory.schedule=$schedule" "$@"
    err_has "$text"
    has_not wrong
}
wrong 78 "4 numbers are not in threes" "[0, 16, 4, 5]"
wrong 78 "step 3 comes after step 3" "[3, 16, 4, 3, 16, 4]"
wrong 78 "size 17: it is even" "[0, 16, 4, 3, 17, 4]"
wrong 78 "batch 0: it is 1 to" "[0, 16, 0]"
wrong 78 "size 2000: it is even, 2 to 1024" "[0, 2000, 4]"
wrong 78 "lq_size 18 is no multiple of 4" "[0, 16, 4, 3, 18, 4]" network=esrgan num_block=1 num_grow_ch=8 scale=1
wrong 65 "the largest lq_size that fits is 50" "[0, 16, 4, 3, 64, 4]"
wrong 31 "memory.schedule: from step 3 on the run needs" "[0, 16, 4, 3, 48, 4]" memory.level=0 memory.limit="$least"

# ---- an option file of the fork ----
options() {
    cat <<'YAML'
name: fork
scale: 2
datasets:
  train: {type: SingleImageDataset, dataroot_gt: [photos], lq_size: 16, batch_size_per_gpu: 4}
network_g: {type: SRVGGNetCompact, num_feat: 16, num_conv: 1}
train:
  total_iter: 20
  optim_g: {type: AdamW, lr: 1e-3, betas: [0.9, 0.99]}
  losses: [{type: L1Loss, loss_weight: 1}]
training_automations:
  enabled: true
  DynamicBatchSizeOptimizer:
    enabled: true
    target_vram_usage: 0.8
    safety_margin: 0.1
    adjustment_frequency: 4
    min_batch_size: 2
    max_batch_size: 8
    min_lq_size: 8
    max_lq_size: 32
YAML
}
options >fork.yml
run 0 imgtrain config fork.yml
settings "grow: true" "target_vram_usage: 0.8" "safety_margin: 0.1" "adjustment_frequency: 4" "min_batch_size: 2" \
    "max_batch_size: 8" "min_size: 8" "max_size: 32"
sed 's/^    max_lq_size: 32/&\n    vram_history_size: 7\n  IntelligentLearningRateScheduler:\n    enabled: true/' fork.yml >more.yml
run 0 imgtrain config more.yml
err_has "more.yml:21:5: 'training_automations.DynamicBatchSizeOptimizer.vram_history_size' has no effect here"
err_has "more.yml:23:5: 'training_automations.IntelligentLearningRateScheduler.enabled' has no effect here"
err_lines 2
# where it stands in their files: at the top, or in `train`, by either name; sizes may be AUTO
options | sed '/^training_automations:/,$s/^/  /' >in-train.yml
run 0 imgtrain config in-train.yml
cp "$out" in-train
run 0 imgtrain config fork.yml
sed 's/[a-z-]*\.yml:[0-9]*//' "$out" >at-top.txt
sed 's/[a-z-]*\.yml:[0-9]*//' in-train >in-train.txt
same in-train.txt at-top.txt
options | sed 's/DynamicBatchSizeOptimizer/dynamic_batch_size_optimizer/; s/lq_size: 16/lq_size: AUTO/; s/batch_size_per_gpu: 4/batch_size_per_gpu: AUTO, accum_iter: AUTO/
    s/^scale: 2/&\nauto_vram_management: {enabled: true, target_vram_usage: 0.6}/; s/target_vram_usage: 0.8$/use_vram_manager_integration: true/' >auto.yml
run 0 imgtrain config auto.yml
err_has "dynamic_batch_size_optimizer.use_vram_manager_integration' has no effect here"
err_lines 1
settings "grow: true" "target_vram_usage: 0.6" "safety_margin: 0.1" "lq_size: 64" "sr.batch: 16"
run 0 imgtrain train fork.yml -o forked device=cpu video.enabled=false memory.grow_time=0
levels_are forked "0:0:16:4 4:0:32:4 8:0:32:8"
for off in 's/^  enabled: true/  enabled: false/' 's/^    enabled: true/    enabled: false/'; do
    options | sed "$off" >off.yml
    run 0 imgtrain config off.yml
    settings "grow: false"
done
finish
