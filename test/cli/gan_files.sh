#!/bin/sh
# Files of a GAN: what they say of themselves is believed only as far as their tensors bear it, all of
# a checkpoint is under CRCs, and a checkpoint of another run is not gone on from.
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    skip "all of it: files are rewritten by python3, which is not here"
    finish
fi
change() { python3 "$root/test/cli/store_file.py" "$@" || flunk "store_file.py $*"; }

pictures photos 12 8 8
cat >tiny.yaml <<'YAML'
task: gan
data: photos
device: cpu
threads: 1
gan: {size: 8, widths: [8], images: 32, batch: 8, samples: 4}
eval_steps: 2
frames: {count: 0}
video: {enabled: false}
checkpoint: {every: 2, keep: 9}
YAML
run 0 imgtrain train tiny.yaml -o whole -q
checkpoint=checkpoints/step-000000002.safetensors
last_one=checkpoints/step-000000004.safetensors

# half NAME: a run of its own that has come to step 2
half() {
    rm -rf "$1"
    cp -R whole "$1"
    rm -f "$1/$last_one" "$1/model.safetensors" "$1/best.safetensors" "$1/final.png"
}
# resumes NAME: to the end, which is that of the unbroken run
resumes() {
    run 0 imgtrain train tiny.yaml -o "$1" -q --resume
    run 0 cmp "$1/model.safetensors" whole/model.safetensors
    run 0 cmp "$1/best.safetensors" whole/best.safetensors
}

# ---- what kill -9 leaves in the cache of a run that had just begun ----
half left
touch left/cache/pictures-8x8-0.bin.tmp-vm-1-0123456789ab
resumes left
has_not left/cache/*.tmp-*

# ---- metadata that no tensor bears ----
change huge.safetensors new format=imgtrain kind=model task=gan step=1 gan.stages=1 gan.base_width=2048 \
    gan.base_height=2048 gan.z=64 gan.classes=0 gan.embedding=0 gan.widths=8 gan.blocks=1
last="small memory"
for command in "eval huge.safetensors photos" "sample huge.safetensors -o none --seeds 0"; do
    # shellcheck disable=SC2086  # a list of words
    run 65 python3 "$root/test/cli/tool.py" measure "$program" $command
    err_has "imgtrain: huge.safetensors: tensor g.linear is missing"
    if [ "$(cut -d ' ' -f 2 "$out" | tail -n 1)" -lt 200 ]; then pass; else flunk "took $(cat "$out")"; fi
done
run 0 imgtrain info huge.safetensors
for lie in gan.base_width=4096 gan.base_height=16 gan.z=4096 gan.widths=16 gan.widths=12 gan.blocks=2 gan.stages=1,gan.classes=3 \
    gan.embedding=8 gan.classes=2,gan.embedding=8; do
    cp whole/model.safetensors lie.safetensors
    # shellcheck disable=SC2046  # a list of words
    change lie.safetensors set $(echo "$lie" | tr , ' ')
    run 65 imgtrain eval lie.safetensors photos
    err_has "imgtrain: lie.safetensors: "
    run 65 imgtrain sample lie.safetensors -o none --seeds 0
done
run 0 test ! -e none
# An image larger than any that can be trained, from tensors that are all there.
run 0 imgtrain train tiny.yaml -o stages size=16 'widths=[8,8,8]' images=8 -q
cp stages/model.safetensors large.safetensors
change large.safetensors set gan.base_width=2048
run 65 imgtrain sample large.safetensors -o none --seeds 0
err_has "8192x16"
# On resume: before the memory is taken.
half lie
change lie/$checkpoint unset gan.sign
run 65 imgtrain train tiny.yaml -o lie -q --resume
err_has "gan.sign"

# ---- numbers that are none ----
for name in g.linear g.basis g.rgb; do
    cp whole/model.safetensors nan.safetensors
    change nan.safetensors fill $name nan
    run 65 imgtrain sample nan.safetensors -o none --seeds 0
    err_has "$name"
    run 65 imgtrain eval nan.safetensors photos
    err_has "$name"
done
cp whole/model.safetensors large.safetensors
change large.safetensors fill g.linear 1e38
run 65 imgtrain sample large.safetensors -o none --seeds 0
err_has "imgtrain: large.safetensors: its weights make images that are no finite numbers"
run 65 imgtrain eval large.safetensors photos
run 0 test ! -e none/seed-00000.png
for name in g.linear d.linear v.g.linear v.d.linear ema.g.linear best.g.linear; do
    half nan
    change nan/$checkpoint fill $name nan
    run 65 imgtrain train tiny.yaml -o nan -q --resume
    err_has "$name"
done

# ---- CRCs ----
half bare
change bare/$checkpoint strip
run 65 imgtrain train tiny.yaml -o bare -q --resume
err_has "without CRCs"
half bare
change bare/$checkpoint drop ema.g.linear
run 65 imgtrain train tiny.yaml -o bare -q --resume
err_has "without its CRC"
cp whole/model.safetensors bare.safetensors # models come from other programs too
change bare.safetensors strip
run 0 imgtrain sample bare.safetensors -o bare-samples --seeds 0
change bare.safetensors set step=4
run 0 imgtrain sample bare.safetensors -o crc-samples --seeds 0
change bare.safetensors drop g.rgb
run 65 imgtrain sample bare.safetensors -o none --seeds 0

# ---- runs ----
half moved
resumes moved
run 0 imgtrain train tiny.yaml -o other -q
half mixed
rm mixed/$checkpoint
cp other/$checkpoint mixed/checkpoints
run 78 imgtrain train tiny.yaml -o mixed -q --resume
err_has "mixed/$checkpoint is of another run ($(cat other/run-id))"
err_has "$(cat whole/run-id)"
run 0 cmp mixed/$checkpoint other/$checkpoint
half mixed # a later one of another run must not be taken, and not cost the run its own
cp other/$last_one mixed/checkpoints
run 78 imgtrain train tiny.yaml -o mixed -q --resume
rm mixed/$last_one
resumes mixed
half older # as versions wrote it that knew no identity
change older/$checkpoint unset run
rm older/run-id
resumes older
run 0 test -s older/run-id
half lost # the folder's own file is gone: it is the checkpoint's again
rm lost/run-id
resumes lost
run 0 cmp lost/run-id whole/run-id
half torn # by a power cut
: >torn/run-id
resumes torn
run 0 cmp torn/run-id whole/run-id
half linked
mv linked/run-id elsewhere
ln -s ../elsewhere linked/run-id
run 77 imgtrain train tiny.yaml -o linked -q --resume
half bad
change bad/$checkpoint set run=x
run 65 imgtrain train tiny.yaml -o bad -q --resume
finish
