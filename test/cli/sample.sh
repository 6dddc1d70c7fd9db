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
out_has "size     48x32, 1 channel"
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
run 0 imgtrain sample classes --seeds 0-3 --class 0:0,1:2 -o mixed
run 0 cmp mixed/seed-00002.png ones/seed-00002.png
run 0 imgtrain sample classes --seeds 1,2 --class 0:1,1:1 -o half
run 0 imgtrain sample classes --seeds 1,2 --class 0:3,1:3 --batch 1 -o half1
run 0 cmp half/seed-00002.png half1/seed-00002.png
run 1 cmp -s half/seed-00002.png ones/seed-00002.png
run 1 cmp -s half/seed-00002.png turns/seed-00002.png
run 64 imgtrain sample classes --class 0:1,2:1 -o x
err_has "--class 2: this model has 2 classes, 0 to 1"
for wrong in a 0: 0:-1,1:1 0:0,1:0 0,,1 -1; do
    run 64 imgtrain sample classes --class=$wrong -o x
    err_has "--class $wrong"
done

# latents of a file: those of seeds give the images of seeds
python3 - <<'PY'
import random, struct
random.seed(1)
rows = [[random.gauss(0, 1) for _ in range(64)] for _ in range(3)]
rows = [[struct.unpack("<f", struct.pack("<f", v))[0] for v in row] for row in rows]
with open("rows.csv", "w") as f:
    f.write("# three\n\n")
    for i, row in enumerate(rows):
        f.write((",", ";", "\t ")[i].join("%.9g" % v for v in row) + "\n")
with open("half.csv", "w") as f:
    for row in rows:
        f.write(" ".join("%.9g" % (v / 2) for v in row) + "\n")
def npy(name, code, shape, data, order="False", version=b"\1\0"):
    head = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n" % (code, order, shape)
    size = struct.pack("<H" if version[0] == 1 else "<I", len(head))
    open(name, "wb").write(b"\x93NUMPY" + version + size + head.encode() + data)
flat = [v for row in rows for v in row]
npy("rows.npy", "<f4", "(3, 64)", struct.pack("<192f", *flat))
npy("wide.npy", "<f8", "(3, 64)", struct.pack("<192d", *flat), version=b"\2\0")
npy("one.npy", "<f4", "(64,)", struct.pack("<64f", *flat[:64]))
npy("short.npy", "<f4", "(3, 64)", struct.pack("<191f", *flat[:191]))
npy("turned.npy", "<f4", "(3, 64)", struct.pack("<192f", *flat), "True")
npy("whole.npy", "<i8", "(3, 64)", bytes(1536))
npy("cube.npy", "<f4", "(3, 8, 8)", struct.pack("<192f", *flat))
npy("nan.npy", "<f4", "(3, 64)", struct.pack("<192f", *flat[:130], float("nan"), *flat[131:]))
open("cut.npy", "wb").write(open("rows.npy", "rb").read()[:40])
open("word.csv", "w").write("1 2 3\n4 x 6\n")
open("ragged.csv", "w").write("1,2,3\n4,5\n")
open("few.csv", "w").write("1 2 3\n")
open("none.csv", "w").write("# nothing\n")
PY
for file in rows.csv rows.npy wide.npy; do
    run 0 imgtrain sample run --latents $file -o latents-$file
    err_has "latents-$file: 3 images of 8x8"
    for name in 00000 00001 00002; do same latents-$file/latent-$name.png latents-rows.csv/latent-$name.png; done
done
differ latents-rows.csv/latent-00000.png latents-rows.csv/latent-00001.png
run 0 imgtrain sample run --latents one.npy -o one
same one/latent-00000.png latents-rows.csv/latent-00000.png
run 0 imgtrain sample run --latents rows.npy --grid 2x2 -o latents.png
run 0 imgtrain sample run --latents rows.npy --video --frames 2 -o through
same through/frame-00002.png latents-rows.csv/latent-00001.png
has through/frame-00004.png
has_not through/frame-00005.png
run 0 imgtrain sample run --seeds 3,1 --video --frames 4 -o walk2
for n in 0 1 2 3 4; do same walk2/frame-0000$n.png walk/frame-0000$n.png; done
refused() {
    run 65 imgtrain sample run --latents "$1" -o x
    err_has "$1$2"
    err_lines 1
}
refused word.csv ":2:3: 'x' is no number"
refused ragged.csv ":2:1: 2 numbers, but 3 in the first row"
printf '1 2\0 3\n' >zero.csv
refused zero.csv ": neither .npy nor text"
refused few.csv ": rows of 3 numbers, but this model's latents have 64"
refused none.csv ": no latents in it"
refused short.npy ": it does not hold 3 x 64 numbers"
refused turned.npy ": an array in Fortran's order"
refused whole.npy ": its numbers are '<i8'"
refused cube.npy ": its shape is not"
refused nan.npy ": number 2 of row 2 is not finite"
refused cut.npy ": its header is cut"
run 66 imgtrain sample run --latents absent.npy -o x
run 64 imgtrain sample run --latents rows.npy --seeds 0 -o x
run 64 imgtrain sample run --latents rows.npy --interpolate 0,1 -o x
run 64 imgtrain sample run --latents one.npy --video -o x
err_has "--video: two samples at least"
run 64 imgtrain sample run --seeds 0,1 --video --grid 2x2 -o x.png

# truncation scales latents, and leaves classes as they are
run 0 imgtrain sample run --latents rows.csv --truncation 0.5 -o truncated
run 0 imgtrain sample run --latents half.csv -o halved
for name in 00000 00001 00002; do same truncated/latent-$name.png halved/latent-$name.png; done
differ truncated/latent-00000.png latents-rows.csv/latent-00000.png
run 0 imgtrain sample run --seeds 4,5 --truncation 0 -o mean
same mean/seed-00004.png mean/seed-00005.png
run 0 imgtrain sample classes --seeds 0,1 --truncation 0 -o means
differ means/seed-00000.png means/seed-00001.png
run 64 imgtrain sample run --truncation -1 -o x

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
err_has "two seeds at least"
run 64 imgtrain sample run --interpolate 1,2 --grid 2x2 -o x.png
run 64 imgtrain sample run --frames 0 -o x
run 66 imgtrain sample absent -o x
run 66 imgtrain sample data -o x
run 65 imgtrain sample grid.png -o x
: >taken
run 73 imgtrain sample run -o taken
run 0 test ! -e x -a ! -e x.png -a ! -e x.mp4
finish
