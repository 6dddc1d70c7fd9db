#!/bin/sh
# Training when memory fails: the next way down, the same step again and the same bits; the level is
# kept over resume; after the last one status 31 with the state saved.
. "$(dirname "$0")/lib.sh"

picture picture.ppm 70 50
pictures photos 6 20 16
cat >gan.yaml <<'YAML'
task: gan
data: photos
device: cpu
threads: 1
use_amp: false
gan: {width: 20, height: 16, widths: [16, 8, 8], images: 160, batch: 32, samples: 4}
frames: {every: 2}
eval_steps: 1
video: {enabled: false}
checkpoint: {every: 2}
YAML
cat >splat.yaml <<'YAML'
task: splat
input_path: picture.ppm
device: cpu
threads: 1
num_gaussians: 300
max_steps: 6
add_times: 1
frames: {every: 2}
eval_steps: 1
video: {enabled: false}
checkpoint: {every: 2}
YAML

# shellcheck disable=SC2317  # called by run
# with FAULTS COMMAND...: allocations and steps that fail, see device/faults.h
with() { IMGTRAIN_FAULTS=$1 "$program" train "$2.yaml" -o "$3" -q; }
# same_runs RUN RUN: results and the columns of metrics.csv that hold no time
same_runs() {
    for file in final.png frames/000000002.jpg; do run 0 cmp "$1/$file" "$2/$file"; done
    cut -d, -f1-6 "$1/metrics.csv" >one
    cut -d, -f1-6 "$2/metrics.csv" >two
    run 0 cmp one two
}
levels() { sed -n 's/.*"level": \([0-9]\).*/\1/p' "$1/memory.jsonl" | tr '\n' ' '; }
levels_are() { if [ "$(levels "$1")" = "$2" ]; then pass; else flunk "$1: levels $(levels "$1"), not $2"; fi; }

for task in gan splat; do
    run 0 imgtrain train $task.yaml -o $task -q
    levels_are $task "0 "

    # a step fails once: down, and the same step again
    run 0 with step=1:fail $task $task-once
    err_has "step 1: step 1 fails for a test: going on with level"
    same_runs $task $task-once
    run 0 grep -q '"step": 1, "level": [24], .*"predicted": \([0-9]*\), "allocated": \1, .*"reason": "step 1 fails' \
        $task-once/memory.jsonl

    # nothing more is to be had: the state is saved, and resuming goes on from it
    case $task in
    gan) faults=step=1:fail,alloc=8+ ;; # seven arenas are there
    splat) faults=step=1:fail,step=2:fail,step=3:fail,step=4:fail ;;
    esac
    run 31 with "$faults" $task $task-out
    err_has "saved: run again with --resume when there is more memory"
    run 0 imgtrain train $task.yaml -o $task-out -q --resume
    same_runs $task $task-out
done

case "$(levels splat-out)" in "0 "*0*) flunk "climbed back: $(levels splat-out)" ;; *) pass ;; esac
# another process takes the memory before the run can
run 0 with alloc=2 gan gan-late
err_has "trying a way that takes less"
same_runs gan gan-late
# what is no want of memory is never taken for it
run 30 imgtrain train gan.yaml -o gan-wild -q lr=10 lr_end=10 gamma=0 images=3200
err_lacks "going on with"
# a budget that nothing fits is said, and kept to as far as it goes; a limit beyond all memory is none
run 0 imgtrain train splat.yaml memory.budget=1kB -o budget -q
err_has "no way to run fits memory.budget 1.0 KiB: going on with "
err_lines 1
run 0 imgtrain train splat.yaml memory.limit=10000000TB -o endless -q
err_is ""
finish
