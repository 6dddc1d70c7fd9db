#!/bin/sh
# The images of a GAN: decoded once at the first start and not at all later, named once when they cannot
# be read, and figures that need more images than there are.
. "$(dirname "$0")/lib.sh"

pictures photos 12 16 16
echo "no picture" >photos/broken.png
echo "no picture" >photos/other.heic
cat >tiny.yaml <<'YAML'
task: gan
data: photos
device: cpu
threads: 1
gan: {size: 8, channels: rgb, widths: [8], images: 64, batch: 8, samples: 4, eval_samples: 0}
frames: {count: 0}
video: {enabled: false}
checkpoint: {every: 2, keep: 1}
YAML

# once TEXT: one line of stderr, and one of the log, hold it
once() {
    last="once: $1"
    for file in "$err" run/log.txt; do
        if [ "$(grep -cF -- "$1" "$file")" = 1 ]; then pass; else flunk "not once in $file"; fi
    done
}
run 0 imgtrain train tiny.yaml -o run
once "broken.png"
once "(heic)"
once "only 12 images"
once "12 images, 0 held out, 1 unreadable"
err_lacks "enlarged"
run 0 sh -c 'test "$(ls run/cache)" = "$(basename run/cache/pictures-8x8-*.bin)"'
run 0 cp run/model.safetensors whole.safetensors

# A dry run leaves nothing, and a mistake no run folder.
run 0 imgtrain train tiny.yaml -o dry --dry-run
run 0 test ! -e dry
run 78 imgtrain train tiny.yaml -o bad 'gan.widths=[12]'
run 0 test ! -e bad
run 0 sh -c 'test -z "$(find . -maxdepth 1 -name ".imgtrain*")"'

# The cache that a run left is enough: whatever is in the files now, with the same names, sizes and times.
run 0 imgtrain train tiny.yaml -o short images=32
rm -rf again
cp -R short again
for file in photos/*.ppm; do
    cp -p "$file" "$file.kept"
    tr '0-9' 'x' <"$file.kept" >"$file"
    touch -r "$file.kept" "$file"
    mv "$file.kept" "kept-$(basename "$file")"
done
touch -d '2001-01-01' photos
rm -f again/model.safetensors again/final.png
run 0 imgtrain train tiny.yaml -o again images=32 --resume
err_lacks "skipped"
run 0 cmp again/model.safetensors short/model.safetensors
# A damaged cache is made again: from the same images to the same bits.
for file in photos/*.ppm; do mv "kept-$(basename "$file")" "$file"; done
printf 'x' | dd of="$(echo again/cache/*.bin)" bs=1 seek=5000 conv=notrunc 2>"$work/dd"
rm -f again/model.safetensors again/final.png
run 0 imgtrain train tiny.yaml -o again images=32 --resume
err_has "damaged, made again"
last="the damaged cache is told of once"
if [ "$(grep -c 'made again' "$err")" = 1 ]; then pass; else flunk "not once"; fi
run 0 cmp again/cache/*.bin short/cache/*.bin
run 0 cmp again/model.safetensors short/model.safetensors

# Two images: what they allow no telling of stays empty, and a line says what it takes.
mkdir two
cp photos/1.ppm photos/2.ppm two
run 0 imgtrain train tiny.yaml -o pair data=two eval_samples=1000 eval_every=1 eval_steps=1
err_has "rkid, precision, recall, density and coverage take 10 images, there are 2"
run 0 grep -q '"rkid": null' pair/metrics.jsonl
run 1 grep -q '"rkid": [0-9]' pair/metrics.jsonl
run 0 grep -q '"swd": [0-9]' pair/metrics.jsonl
run 0 test ! -e pair/best.safetensors
run 0 imgtrain eval pair two
out_has "rkid       -: too few images, it takes 10"
out_has "coverage   -: too few images, it takes 10"
out_has "nn_ratio   -: too few images, it takes 20"

# Counted by the system's own tracer: each image is decoded once at the first start, none on resume.
# A decoder opens a file twice: to tell its format, and to read it.
opened() { # opened TIMES: so often was each picture opened in the last trace
    last="pictures opened $1 times"
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
        times=$(grep -c "photos/$i.ppm\"" trace)
        if [ "$times" != "$1" ]; then
            flunk "photos/$i.ppm: $times times"
            return
        fi
    done
    pass
}
if strace -f -o trace -e trace=open,openat true 2>"$work/strace"; then
    run 0 strace -f -o trace -e trace=open,openat "$program" train tiny.yaml -o traced -q
    opened 2
    rm -f traced/model.safetensors traced/final.png
    run 0 strace -f -o trace -e trace=open,openat "$program" train tiny.yaml -o traced -q --resume
    opened 0
    run 0 strace -f -o trace -e trace=open,openat env XDG_CACHE_HOME="$work/shared" \
        "$program" train tiny.yaml -o shared -q
    opened 2
    run 0 strace -f -o trace -e trace=open,openat env XDG_CACHE_HOME="$work/shared" \
        "$program" train tiny.yaml -o shared2 -q
    opened 0
    run 0 cmp shared2/model.safetensors whole.safetensors
    # what the set's channels are is looked up in the cache, too
    run 0 imgtrain train tiny.yaml -o auto -q gan.channels=auto
    rm -f auto/model.safetensors auto/final.png
    run 0 strace -f -o trace -e trace=open,openat "$program" train tiny.yaml -o auto -q --resume gan.channels=auto
    opened 0
else
    skip "strace cannot trace here"
fi
finish
