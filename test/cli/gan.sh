#!/bin/sh
# imgtrain train with task gan: the files of a run, the same bits for any split and number of threads
# and through kill -9, and every kind of bad input.
. "$(dirname "$0")/lib.sh"

pictures photos 12 20 14
cat >tiny.yaml <<'YAML'
task: gan
data: photos
device: cpu
gan: {width: 20, height: 16, widths: [16, 8, 8], images: 96, batch: 16, gamma: 1, samples: 4, augment_target: 0.5, eval_every: 2}
frames: {every: 3}
eval_steps: 2
video: {enabled: false}
checkpoint: {every: 2, keep: 1}
YAML
run 0 imgtrain train tiny.yaml --dry-run
out_has "task           gan, 6 steps"
run 0 imgtrain train tiny.yaml --dry-run max_steps=3
out_has "task           gan, 3 steps"
run 78 imgtrain train tiny.yaml --dry-run topk=3
run 0 imgtrain train tiny.yaml -o whole threads=1
out_has "whole/final.png"
out_has "whole/model.safetensors"
run 0 test -s whole/reference.png
run 0 test -s whole/frames/000000003.jpg
run 0 grep -q '"units": 4,' whole/metrics.jsonl
run 0 grep -q '"rkid": [0-9]' whole/metrics.jsonl
run 0 imgtrain sample whole/best.safetensors --seeds 0 -o best

# ---- no choice of how it is computed changes a bit (column 15 counts the work) ----
trains_the_same() {
    last="train $*"
    rm -rf other
    if ! "$program" train tiny.yaml -o other -q "$@" >"$out" 2>"$err"; then
        flunk "ended with status $?"
    elif ! cmp -s other/final.png whole/final.png; then
        flunk "the pictures differ"
    elif [ "$(cut -d, -f1-14,16-24 other/metrics.csv)" != "$(cut -d, -f1-14,16-24 whole/metrics.csv)" ]; then
        flunk "the metrics differ"
    elif ! cmp -s other/best.safetensors whole/best.safetensors; then
        flunk "the best models differ"
    else
        pass
    fi
}
trains_the_same threads=2
trains_the_same threads=2 micro_batch=8
trains_the_same threads=3 scheme=c
trains_the_same max_steps=6
trains_the_same micro_batch=8 memory.use_gradient_checkpointing=true

# ---- killed and resumed with another split ----
for step in 0 1 4 5; do
    rm -rf killed
    killed_at $step tiny.yaml -o killed -q threads=1
    run 0 imgtrain train tiny.yaml -o killed -q --resume micro_batch=8 scheme=c threads=2
    run 0 cmp killed/final.png whole/final.png
    run 0 cmp killed/best.safetensors whole/best.safetensors
done
run 78 imgtrain train tiny.yaml -o killed --resume lr=0.5
err_has "gan.lr"

# ---- bad input ----
mkdir empty one broken
cp photos/1.ppm one
echo "no picture" >broken/a.png
run 78 imgtrain train tiny.yaml -o bad data=
err_has "data is not set"
run 66 imgtrain train tiny.yaml -o bad data=missing
err_has "missing"
run 65 imgtrain train tiny.yaml -o bad data=empty
run 65 imgtrain train tiny.yaml -o bad data=one
run 65 imgtrain train tiny.yaml -o bad data=broken
run 65 imgtrain train tiny.yaml -o bad labels=true
run 78 imgtrain train tiny.yaml -o bad 'gan.widths=[16, 8]'
err_has "gan.widths: 2 values, but 20 x 16 has 3 stages"
run 78 imgtrain train tiny.yaml -o bad 'gan.widths=[16, 12, 8]'
err_has "gan.widths: 12 is no multiple of 8"
finish
