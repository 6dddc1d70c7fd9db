#!/bin/sh
# The input of a resumed run: what is in it decides, not where it lies or how it is packed.
. "$(dirname "$0")/lib.sh"

draw() { # draw WIDTH HEIGHT BLUE: a picture on stdout
    awk -v w="$1" -v h="$2" -v b="$3" 'BEGIN { print "P3", w, h, 255
        for (y = 0; y < h; y++) for (x = 0; x < w; x++) print x * 5 % 256, y * 7 % 256, (x * y + b) % 256 }'
}
fit="num_gaussians=30 device=cpu threads=1 video.enabled=false frames.count=0"
# fit STEPS ARGUMENT...: a fit of so many steps
fit() { steps=$1; shift; "$program" train $fit max_steps="$steps" "$@"; }
# begin: a run of 20 steps of p.ppm, stopped behind its first ones and new each time
begin() {
    rm -rf run
    cp first.ppm p.ppm
    run 0 fit 20 input_path=p.ppm -o run -q
}
draw 48 32 0 >first.ppm
draw 48 32 90 >other.ppm

# ---- the same image by another name, in another file, from elsewhere ----
begin
cp -r run unbroken
run 0 fit 30 input_path=p.ppm -o unbroken --resume -q
mkdir -p deep/er
cp first.ppm deep/er/moved.ppm
if command -v python3 >/dev/null; then
    tool resave first.ppm again.png
else
    cp first.ppm again.png
fi
for name in input_path=./p.ppm input_path="$PWD/p.ppm" input_path=deep/er/moved.ppm input_path=again.png \
    'input_path=moved.ppm data_root=deep/er'; do
    rm -rf moved
    cp -r run moved
    # shellcheck disable=SC2086  # words
    run 0 fit 30 $name -o moved --resume
    err_has "continuing at step 20 of 30"
    same moved/final.png unbroken/final.png
    run 0 grep -q "^  ${name%%=*}: \"\\(${name#*=}\\|.*moved.ppm\\)\"" moved/config.yaml
done
rm -rf moved
mv run moved
run 0 sh -c 'cd deep && "$0" train '"$fit"' input_path=er/moved.ppm max_steps=30 -o ../moved --resume -q' "$program"
same moved/final.png unbroken/final.png

# ---- another image under the same name: refused, and nothing is touched ----
refused() { # refused WHAT ARGUMENT...
    what=$1
    shift
    cp run/config.yaml before.yaml
    cp run/reference.png before.png
    ls run/checkpoints >before
    run 78 fit 30 "$@" -o run --resume
    err_has "is not the image that this run began with ($what)"
    same run/config.yaml before.yaml
    same run/reference.png before.png
    run 0 sh -c 'ls run/checkpoints | cmp - before'
}
begin
cp other.ppm p.ppm
refused "its pixels are others" input_path=p.ppm
refused "its pixels are others" input_path=./p.ppm
cp other.ppm mask.ppm
refused "its pixels, or its mask's, are others" input_path=p.ppm mask=mask.ppm
draw 64 32 0 >p.ppm
refused "it was 48x32 pixels, now 64x32" input_path=p.ppm
draw 96 64 0 >p.ppm # one that a fit of half its size would go on with
refused "it was 48x32 pixels, now 96x64" input_path=p.ppm
awk 'BEGIN { print "P2 48 32 255"; for (i = 0; i < 1536; i++) print i % 256 }' >p.ppm
refused "it had 3 channels, now 1" input_path=p.ppm
run 78 fit 30 input_path=p.ppm -o run --resume --allow-changed-input
err_has "begin a new run"
awk '{ if (NR == 1) print "P3 48 32 65535"; else print $1 * 257, $2 * 257, $3 * 257 }' first.ppm >p.ppm
refused "it had 8 bits a sample, now 16" input_path=p.ppm
cp first.ppm p.ppm
run 0 fit 30 input_path=p.ppm -o run --resume

# ---- allowed: said in the log, and the run is of the new image from then on ----
begin
cp other.ppm p.ppm
run 0 fit 30 input_path=p.ppm -o run --resume --allow-changed-input
err_has "warning: --allow-changed-input: going on with p.ppm, which is not the image that this run began with"
run 0 grep -q "allow-changed-input" run/log.txt
rm -rf fresh
run 0 fit 1 input_path=other.ppm -o fresh -q
same run/reference.png fresh/reference.png
run 0 fit 31 input_path=p.ppm -o run --resume
err_lacks "warning"
cp first.ppm p.ppm
run 78 fit 32 input_path=p.ppm -o run --resume
# the checkpoint is renewed at once: a stop before the first step changes nothing of that
begin
cp other.ppm p.ppm
run 75 fit 30 input_path=p.ppm -o run --resume --allow-changed-input --time-limit 0.000001
run 75 fit 30 input_path=p.ppm -o run --resume --time-limit 0.000001
# a config.yaml without its last newline, as editors write it: the checkpoint's counts, and where
# there is none its own text
begin
rm -f run/checkpoints/* run/model.safetensors
printf %s "$(cat run/config.yaml)" >cut.yaml
cp cut.yaml run/config.yaml
run 78 fit 20 input_path=p.ppm -o run --resume num_gaussians=33
err_has "num_gaussians"
cp cut.yaml run/config.yaml
run 0 fit 20 input_path=p.ppm -o run --resume
err_lacks "is damaged"
# another size and shape
begin
draw 40 70 0 >p.ppm
run 0 fit 30 input_path=p.ppm -o run --resume --allow-changed-input
run 0 imgtrain info run/model.safetensors
out_has "40"
run 0 fit 32 input_path=p.ppm -o run --resume -q
run 64 fit 30 input_path=p.ppm -o new --allow-changed-input
err_has "--allow-changed-input has no effect without --resume"

# ---- a texture stack: names and order of its maps count ----
mkdir maps
cp first.ppm maps/a.ppm
cp other.ppm maps/b.ppm
run 0 fit 20 input_path=maps -o stack -q
cp -r maps copy
run 0 fit 22 input_path=copy -o stack --resume -q
mv maps/b.ppm maps/c.ppm
run 78 fit 24 input_path=maps -o stack --resume
err_has "(map 2 of 2 was b.ppm, now c.ppm)"
mv maps/c.ppm maps/b.ppm
cp maps/a.ppm maps/c.ppm
run 78 fit 24 input_path=maps -o stack --resume
err_has "(it had 2 maps, now 3)"
mv maps/c.ppm maps/a.ppm
run 0 fit 24 input_path=maps -o stack --resume -q
mkdir one
cp first.ppm one
run 0 fit 20 input_path=one -o single -q
run 78 fit 22 input_path=first.ppm -o single --resume
err_has "(it was a folder of maps, now it is a single image)"
mkdir odd
cp first.ppm "odd/$(printf 'caf\351').ppm"
run 0 fit 20 input_path=odd -o latin -q
mv odd/* "odd/$(printf 'caf\352').ppm"
run 78 fit 22 input_path=odd -o latin --resume
err_has "(map 1 of 1 was caf%E9.ppm, now caf%EA.ppm)"

# ---- the model that a run started from may lie elsewhere, too ----
run 0 fit 4 input_path=first.ppm ckpt_file=fresh/model.safetensors -o started -q
run 0 fit 5 input_path=first.ppm ckpt_file=./fresh/model.safetensors -o started --resume -q
run 78 fit 6 input_path=first.ppm -o started --resume
err_has "splat.ckpt_file"

# ---- a checkpoint of a version that did not write which image it is of ----
if command -v python3 >/dev/null; then
    begin
    tool older run/checkpoints/step-000000020.safetensors input.
    cp -r run old
    run 0 fit 30 input_path=p.ppm -o old --resume
    err_has "the checkpoint does not say which image it is of (an older version wrote it): going on with p.ppm"
    same old/final.png unbroken/final.png
    run 78 fit 30 input_path=./p.ppm -o run --resume
    err_has "./p.ppm is not the name that it had"
    run 0 fit 30 input_path=./p.ppm -o run --resume --allow-changed-input
    same run/final.png unbroken/final.png
else
    skip "older checkpoints: no python3"
fi

# ---- a GAN's folder: the same rules ----
mkdir photos
for i in 1 2 3 4 5 6; do draw 8 8 $((i * 40)) >photos/$i.ppm; done
gan="task=gan device=cpu size=8 widths=[8] samples=2 batch=4 eval_samples=0 video.enabled=false frames.count=0 images=16"
# gan STATUS ARGUMENT...: resumes it
gan() { wanted_status=$1; shift; run "$wanted_status" imgtrain train $gan "$@" -o gan --resume; }
# shellcheck disable=SC2086  # words
run 0 imgtrain train $gan data=photos -o gan -q
cp -r gan keep
again() { rm -rf gan; cp -r keep gan; }
cp -r photos album
touch -t 200001010000 album/*
gan 0 data=./photos
again
gan 0 data=album
again
draw 8 8 99 >album/3.ppm
gan 78 data=album
err_has "album: these are not the images that this run began with (as many, but other images"
rm album/3.ppm
gan 78 data=album
err_has "(there were 6, now 5)"
cp gan/config.yaml before.yaml
gan 0 data=album --allow-changed-input
err_has "warning: --allow-changed-input: going on with the images of album"
gan 0 data=album
gan 78 data=photos
# another order of the same images
again
rm -rf album
cp -r photos album
mv album/1.ppm album/9.ppm
gan 78 data=album
rm -rf album
cp -r photos album

# ---- a GAN may be made longer, with the same rates ----
again
gan 78 data=album images=32 lr=0.5
err_has "gan.lr"
finish
