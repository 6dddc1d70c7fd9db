#!/bin/sh
# imgtrain sample and eval with a generator: files, grids, walks, figures, and what they refuse.
. "$(dirname "$0")/lib.sh"

# shape N FILE: an 8x8 image that differs with N
shape() {
    {
        printf 'P2 8 8 255\n'
        i=0
        while [ $i -lt 64 ]; do
            echo $(((i * $1 + 20 * (i / 8) + $1 * 9) % 256))
            i=$((i + 1))
        done
    } >"$2"
}
mkdir -p data/a data/b
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do shape $n data/a/$n.pgm; done
for n in 21 22 23 24 25 26 27 28 29 30 31 32; do shape $n data/b/$n.pgm; done
tiny="task=gan size=8 widths=[16] batch=8 images=16 samples=4 frames.count=0 video.enabled=false"
# shellcheck disable=SC2086  # a list of words
run 0 imgtrain train $tiny data=data -q -o run
# shellcheck disable=SC2086
run 0 imgtrain train $tiny data=data labels=true -q -o classes

run 0 imgtrain sample run --seeds 0-5,100000 -o out
err_has "out: 7 images of 8x8"
run 0 test -s out/seed-00000.png -a -s out/seed-00005.png -a -s out/seed-100000.png
for batch in 1 2 5; do
    run 0 imgtrain sample run/model.safetensors --seeds 4,5,2 --batch $batch -o out$batch
    run 0 cmp out/seed-00005.png out$batch/seed-00005.png
    run 0 cmp out/seed-00002.png out$batch/seed-00002.png
done
run 1 cmp -s out/seed-00000.png out/seed-00001.png
run 0 imgtrain sample run -o many
run 0 test -s many/seed-00063.png
run 0 imgtrain sample run --grid 3x2 --scale 2 -o grid.png
run 0 imgtrain eval grid.png grid.png
out_has "size     48x32, 3 channels"
run 0 imgtrain sample run --interpolate 3,1 --frames 4 -o walk
run 0 cmp walk/frame-00004.png out/seed-00001.png
run 0 test ! -e walk/frame-00005.png
if imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec'; then
    run 0 imgtrain sample run --interpolate 0,1 --frames 3 -o walk.mp4
    err_has "walk.mp4: 4 images of 256x256"
else
    skip "no video in this build"
fi

# classes: by turns, or the one that is asked for
run 0 imgtrain sample classes --seeds 0-3 -o turns
run 0 imgtrain sample classes --seeds 0-3 --class 1 -o ones
run 0 cmp turns/seed-00003.png ones/seed-00003.png
run 64 imgtrain sample classes --class 2 -o x
err_has "--class 2: this model has 2 classes, 0 to 1"
run 64 imgtrain sample run --class 0 -o x
err_has "this model has no classes"

# a generator against images: the same figures every time
run 0 imgtrain eval run data
out_has "samples    22 against 22 of 22 training images, 2 held out"
for figure in rkid swd precision recall density coverage ms_ssim nn_ratio; do
    out_has "$figure"
done
run 0 imgtrain eval run/model.safetensors data --json
out_has '{"model": "run/model.safetensors", "data": "data", "samples": 22, "training": 22, "held_out": 2, "rkid": '
cp "$out" first
run 0 imgtrain eval run/model.safetensors data --json
cp "$out" again
run 0 cmp first again
run 0 imgtrain eval run data --samples 3
out_has "coverage   -: too few images, it takes 10"
out_has "rkid       -: too few images, it takes 10"
out_lacks "ms_ssim    -"
run 0 imgtrain eval run data --samples 3 --json
out_has '"rkid": null'
out_has '"swd": '
err_has "rkid: too few images, it takes 10"
run 0 imgtrain eval classes data
run 65 imgtrain eval classes data/a
err_has "labels=true wants a sub-folder for each class"
mkdir data/c
cp data/a/1.pgm data/c
run 65 imgtrain eval classes data
err_has "data has 3 classes, but the model 2"
run 66 imgtrain eval run absent
run 66 imgtrain eval run grid.png
err_has "grid.png: a file, but a folder of images is wanted"
mkdir empty
run 65 imgtrain eval run empty
run 64 imgtrain eval run data --samples 0

# refused
run 64 imgtrain sample run
err_has "no output"
run 64 imgtrain sample run --seeds 3-1 -o x
run 64 imgtrain sample run --seeds 1,a -o x
run 64 imgtrain sample run --seeds 18446744073709551616 -o x
run 64 imgtrain sample run --grid 2x2 --seeds 0-4 -o x.png
err_has "--grid 2x2 holds 4 images, not 5"
run 64 imgtrain sample run --grid 0x2 -o x.png
run 64 imgtrain sample run --grid 2x2 -o x
run 64 imgtrain sample run -o x.png
run 64 imgtrain sample run -o x.mp4
run 64 imgtrain sample run --interpolate 1 -o x.mp4
run 64 imgtrain sample run --interpolate 1,2 --grid 2x2 -o x.png
run 64 imgtrain sample run --frames 0 -o x
run 66 imgtrain sample absent -o x
run 66 imgtrain sample data -o x
run 65 imgtrain sample grid.png -o x
: >taken
run 73 imgtrain sample run -o taken
run 0 test ! -e x -a ! -e x.png -a ! -e x.mp4
finish
