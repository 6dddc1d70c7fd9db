#!/bin/sh
# The governor: down and up with the memory that others leave, without another bit in the result; and
# memory.grow, of a batch and of a training size, which a resumed run repeats.
. "$(dirname "$0")/lib.sh"

mkdir data
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    awk -v n=$n 'BEGIN { print "P2 8 8 255"; for (i = 0; i < 64; i++) print i * n * 13 % 256 }' >data/$n.pgm
done
gan="task=gan data=data size=8 widths=[16] batch=8 images=160 samples=2 eval_samples=0 frames.count=0
    video.enabled=false device=cpu threads=1 use_amp=false eval_steps=2 memory.adjustment_frequency=4"
# has FILE TEXT, lacks FILE TEXT
has() { if grep -qF -- "$2" "$1"; then pass; else flunk "$1 lacks: $2"; fi; }
lacks() { if grep -qF -- "$2" "$1"; then flunk "$1 has: $2"; else pass; fi; }

# shellcheck disable=SC2086  # a list of words
run 0 imgtrain train $gan -o plain
has plain/memory.jsonl '"reason": "start"'
bytes=$(sed -n 's/.*"predicted": \([0-9]*\).*/\1/p' plain/memory.jsonl | head -n 1)

# ---- another process takes everything before step 6 and gives it back before step 10 ----
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=6:take=1TB,step=10:give "$program" train $gan memory.limit=$((bytes * 5 / 4)) -o updown
err_has "step 8: 0 B are free beside"
err_has "step 12: "
run 0 cmp plain/model.safetensors updown/model.safetensors
last="levels of memory.jsonl"
sed -n 's/.*"step": \([0-9]*\), "level": \([0-9]\).*/\1:\2/p' updown/memory.jsonl | tr '\n' ' ' >levels
case $(cat levels) in "0:0 8:"[1-4]" 12:0 ") pass ;; *) flunk "$(cat levels)" ;; esac
# without looking it stays as it is
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=6:take=1TB "$program" train $gan memory.limit=$((bytes * 5 / 4)) memory.adjustment_frequency=0 -o blind
err_lacks "beside"
# what is said to be free is not to be had: the run stays where it is
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=2:fail,alloc=12+ "$program" train $gan -o unhad
run 0 cmp plain/model.safetensors unhad/model.safetensors

# ---- growing ----
# shellcheck disable=SC2086
run 0 imgtrain train $gan memory.grow=true memory.max_batch_size=16 checkpoint.every=1 checkpoint.keep=100 -o grown
err_has "batch 16 from here on"
has grown/memory.jsonl '"step": 4, "level": 0, "choices": {"amp": false, "checkpointing": false, "micro_batch": 16'
run 1 cmp -s plain/model.safetensors grown/model.safetensors
run 0 imgtrain info grown --json
out_has '"step": 12' # 4 x 8 + 8 x 16 = 160 images
# at once to what fits: half as much again fits 12 images, in slices of 8 that is nothing
# shellcheck disable=SC2086
run 0 imgtrain train $gan memory.grow=true memory.limit=$((bytes * 5 / 4)) -o tight
lacks tight/memory.jsonl '"batch": 16'
for step in 03 04 05 09; do # killed behind the checkpoint of this step
    mkdir -p killed/checkpoints
    cp grown/config.yaml killed
    cp grown/checkpoints/step-0000000$step.safetensors killed/checkpoints
    # shellcheck disable=SC2086
    run 0 imgtrain train $gan memory.grow=true memory.max_batch_size=16 -o killed --resume -q
    last="resumed at step $step"
    run 0 cmp grown/model.safetensors killed/model.safetensors
    rm -r killed
done
# the change itself is saved, whatever the interval
# shellcheck disable=SC2086
run 0 imgtrain train $gan memory.grow=true memory.max_batch_size=16 checkpoint.every=100 checkpoint.keep=9 -o saved -q
run 0 test -s saved/checkpoints/step-000000004.safetensors
# learning rates follow the batch where that is wanted
# shellcheck disable=SC2086
run 0 imgtrain train $gan memory.grow=true memory.max_batch_size=16 memory.grow_lr=linear -o linear -q
run 1 cmp -s grown/model.safetensors linear/model.safetensors
last="the learning rate doubles with the batch"
rate() { sed -n "s/^{\"step\": $2,.*\"lr\": \([^,]*\),.*/\1/p" "$1/metrics.jsonl"; }
if awk -v a="$(rate grown 6)" -v b="$(rate linear 6)" 'BEGIN { exit !(a > 0 && b / a > 1.9999 && b / a < 2.0001) }'; then pass; else
    flunk "$(rate grown 6) and $(rate linear 6)"
fi

last="metrics say with which batch"
if [ "$(sed -n 's/.*"step": \([0-9]*\),.*"level": 0, "batch": \([0-9]*\).*/\1:\2/p' grown/metrics.jsonl | tr '\n' ' ')" = "2:8 4:8 6:16 8:16 10:16 12:16 " ]; then pass; else
    flunk "$(cat grown/metrics.jsonl)"
fi
# a size is not what a GAN can offer, and it says so
# shellcheck disable=SC2086
run 78 imgtrain train $gan memory.grow=true memory.min_size=16 images=8 -o sized
err_has "memory.min_size is a key of task splat and sr and has no effect on task gan"
# shellcheck disable=SC2086
run 0 imgtrain train $gan memory.max_batch_size=16 images=8 -o off
err_has "no effect: memory.grow is off"

# ---- a batch that is too large from the beginning ----
big="$gan batch=24 memory.level=0 memory.limit=$bytes"
# shellcheck disable=SC2086
run 31 imgtrain train $big -o toolarge -q
# shellcheck disable=SC2086
run 31 imgtrain train $big memory.grow=true -o toolarge -q # never below the config's by itself
# shellcheck disable=SC2086
run 0 imgtrain train $big memory.grow=true memory.min_batch_size=8 -o shrunk
err_has "memory.grow: no way to run all the work fits: beginning with level 0, 8 at a time, batch 8"
has shrunk/memory.jsonl '"batch": 8}'
has shrunk/metrics.jsonl '"step": 20, '
mkdir -p again/checkpoints
cp shrunk/config.yaml again
# shellcheck disable=SC2086
run 0 imgtrain train $big memory.grow=true memory.min_batch_size=8 checkpoint.every=5 checkpoint.keep=9 -o shrunk5 -q
cp shrunk5/checkpoints/step-000000005.safetensors again/checkpoints
# shellcheck disable=SC2086
run 0 imgtrain train $big memory.grow=true memory.min_batch_size=8 -o again --resume -q
run 0 cmp shrunk/model.safetensors again/model.safetensors

# ---- a fit's size: down when not even the last level fits, up again when there is memory ----
awk 'BEGIN { print "P3 200 150 255"; for (y = 0; y < 150; y++) for (x = 0; x < 200; x++) for (c = 0; c < 3; c++)
    print int(128 + 80 * sin(x * .07 + c) * cos(y * .09) + (x > y ? 30 : 0)) }' >p.ppm
# Without axes, which levels put beside the device: all of a run's bytes depend on its size.
fit="input_path=p.ppm axes=false weight_lr=0 num_gaussians=300 max_steps=60 eval_steps=5 frames.count=0 video.enabled=false device=cpu
    threads=1 memory.adjustment_frequency=10"
# shellcheck disable=SC2086
run 0 imgtrain train $fit memory.grow=true -o whole
err_has "memory.grow: no effect: the whole image is trained at"
bytes=$(sed -n 's/.*"predicted": \([0-9]*\).*/\1/p' whole/memory.jsonl | head -n 1)
grow="$fit memory.grow=true memory.min_size=64 memory.limit=$((bytes * 5 / 4))"
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=15:take=1TB,step=35:give "$program" train $grow checkpoint.every=1 checkpoint.keep=100 -o sizes
err_has "step 20: 0 B are free beside"
err_has "size 160 from here on"
err_has "size 200 from here on"
last="sizes of memory.jsonl"
sed -n 's/.*"step": \([0-9]*\), "level": \([0-9]\).*"size": \([0-9]*\).*/\1:\2:\3/p' sizes/memory.jsonl | tr '\n' ' ' >levels
case $(cat levels) in "0:0:200 20:4:160 40:0:200 ") pass ;; *) flunk "$(cat levels)" ;; esac
has sizes/metrics.jsonl '"level": 4, "size": 160}'
has sizes/metrics.csv ",level,size"
run 0 imgtrain info sizes/checkpoints/step-000000030.safetensors --json
out_has '"width": "160"'
run 0 imgtrain info sizes/model.safetensors --json
out_has '"width": "200"'
run 0 imgtrain eval sizes/final.png p.ppm --json
last="PSNR of the full picture in metrics.jsonl"
psnr() { sed -n 's/.*"psnr": *\([0-9.]*\).*/\1/p' "$1" | tail -n 1; }
if awk -v a="$(psnr "$out")" -v b="$(psnr sizes/metrics.jsonl)" 'BEGIN { exit !(a > 35 && a - b < .1 && b - a < .1) }'; then pass; else
    flunk "$(psnr "$out") and $(psnr sizes/metrics.jsonl)"
fi
for step in 18 21 33 39 40 52; do # killed behind the checkpoint of this step
    mkdir -p killed/checkpoints
    cp sizes/config.yaml killed
    cp sizes/checkpoints/step-0000000$step.safetensors killed/checkpoints
    # the other process is where it was then
    faults=step=15:take=1TB,step=35:give
    [ $step -gt 15 ] && [ $step -lt 35 ] && faults=step=$step:take=1TB,step=35:give
    # shellcheck disable=SC2086
    run 0 env IMGTRAIN_FAULTS=$faults "$program" train $grow -o killed --resume -q
    last="resumed at step $step"
    run 0 cmp sizes/model.safetensors killed/model.safetensors
    rm -r killed
done
# what does not fit from the beginning begins smaller; a failed step ends there, too
# shellcheck disable=SC2086
run 0 imgtrain train $fit memory.grow=true memory.min_size=64 memory.limit=$((bytes * 4 / 5)) -o little
err_has "beginning with level 4, mixed precision, recomputing, 10 bands, size 160"
# shellcheck disable=SC2086
run 31 imgtrain train $fit memory.limit=$((bytes * 4 / 5)) -o little2 -q
# shellcheck disable=SC2086
run 0 env IMGTRAIN_FAULTS=step=3:take=1TB,step=5:fail "$program" train $grow memory.level=0 memory.adjustment_frequency=0 -o failed
err_has "step 5 fails for a test: "

# memory that is said to be free and never to be had: every size is tried once
# shellcheck disable=SC2086
run 31 env IMGTRAIN_FAULTS=alloc=1+ timeout -s KILL 600 "$program" train $fit memory.grow=true memory.min_size=64 -o unhad2
err_has "which failed"

# ---- the keys of other programs ----
cat >other.yaml <<'YAML'
task: gan
training_automations:
  IntelligentLearningRateScheduler: {enabled: true}
  DynamicBatchSizeOptimizer:
    enabled: true
    target_vram_usage: 0.8
    min_lq_size: 32
    adjustment_frequency: 50
YAML
run 0 imgtrain config other.yaml training_automations.DynamicBatchSizeOptimizer.max_batch_size=48
err_has "other.yaml:3:3: 'IntelligentLearningRateScheduler' has no effect here"
err_has "other.yaml:7:5: memory.min_size has no effect on task gan"
settings "grow: true" "target_vram_usage: 0.8" "min_size: 0" "adjustment_frequency: 50" "max_batch_size: 48"
for off in 'enabled: false' 'enabled: no'; do # all of them at once, wherever that stands
    for at in 2 8; do
        awk -v at=$at -v off="$off" '{ print } NR == at { print "  " off }' other.yaml >off.yaml
        run 0 imgtrain config off.yaml
        err_lacks "enabled"
        settings "grow: false" "target_vram_usage: 0.85" "adjustment_frequency: 100"
    done
done
sed '2a\  enabled: perhaps' other.yaml >off.yaml
run 78 imgtrain config off.yaml
err_has "off.yaml:3:12: expected true or false"
run 78 imgtrain config other.yaml training_automations.DynamicBatchSizeOptimizer.speed=1
finish
