#!/bin/sh
# imgtrain upscale with a network that somebody else trained: its options, every kind of image, and
# files that are no network of ours. sr.sh has what a run's own network makes of images.
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    skip "networks are made by python3, which is not there"
    finish
fi
store() { python3 "$root/test/cli/store_file.py" "$@"; }
tool compact net.safetensors 16 3 3
picture large.ppm 101 67
up() { imgtrain upscale net.safetensors --device cpu "$@"; }

# ---- info says what a file holds, whoever wrote it ----
run 0 imgtrain info net.safetensors
out_has "network      compact 16-3"
out_has "Enlarges by  3"
out_has "its weights  11387"
run 0 imgtrain info net.safetensors --json
out_has '"network": "compact 16-3", "scale": 3, "weights": 11387'

# ---- tiles: the same file, whatever else is asked for ----
size() { sed -n '2s/ / /p;1s/^P[0-9]* \([0-9]* [0-9]*\).*/\1/p' "$1" | head -n 1; }
tiles_are_the_same() { # NAME OPTION ...
    name=$1
    shift
    run 0 up large.ppm -o "$name.ppm" --tile 1000 "$@"
    for tile in 4 24 64 auto; do
        run 0 up large.ppm -o tiled.ppm --overwrite --tile $tile "$@"
        same "$name.ppm" tiled.ppm
    done
}
tiles_are_the_same plain
tiles_are_the_same turned --tta
tiles_are_the_same scaled --scale 2.5
differ plain.ppm turned.ppm
run 0 up large.ppm -o same.ppm --scale 3 --overlap exact
same plain.ppm same.ppm
run 0 up large.ppm -o same.ppm --overwrite --tile 16 --overlap 500
same plain.ppm same.ppm
last="the sides of --scale 2.5"
if [ "$(size scaled.ppm)" = "253 168" ]; then pass; else flunk "$(size scaled.ppm)"; fi
# too little overlap shows, and --check-seams says so
run 0 up large.ppm -o seams.ppm --tile 16 --overlap 0 --check-seams --json
out_has '"tile": [16, 16], "overlap": 0'
out_lacks '"seam": 0,'
err_has "the largest difference from what tiles cannot change is"
differ plain.ppm seams.ppm
run 0 up large.ppm -o seams.ppm --overwrite --tile 16 --check-seams --json
out_has '"seam": 0,'
same plain.ppm seams.ppm
# the mean of eight turns turns with its image
awk 'NR < 2 { print "P3 67 101 255"; next } { v[NR - 2] = $0 }
     END { for (x = 0; x < 101; x++) for (y = 66; y >= 0; y--) print v[y * 101 + x] }' large.ppm >quarter.ppm
run 0 up quarter.ppm -o quarter3.ppm --tta
run 0 up large.ppm -o turned.ppm --overwrite --tta
turn_back() {
    python3 -c "
import sys
def ppm(p):
    d = open(p, 'rb').read().split(None, 4)
    return int(d[1]), int(d[2]), d[4]
w, h, a = ppm('turned.ppm')
v, u, b = ppm('quarter3.ppm')
most = max(abs(a[3 * (y * w + x) + c] - b[3 * (x * v + h - 1 - y) + c])
           for y in range(h) for x in range(w) for c in range(3))
print('levels', most <= 1)"
}
run 0 turn_back
out_has "levels True"

# ---- alpha ----
mkdir made && (cd made && tool pictures "$root/test/fuzz/seed_image")
shape() { tool png "$1" | cut -d' ' -f2-; }
for kind in grey_alpha alpha; do
    for alpha in model bicubic none; do
        for scale in 3 2.2; do
            run 0 up made/$kind.png -o $kind-$alpha-$scale.png --alpha $alpha --scale $scale
            run 0 up made/$kind.png -o again.png --overwrite --alpha $alpha --scale $scale --tile 8
            same $kind-$alpha-$scale.png again.png
        done
    done
    differ $kind-model-3.png $kind-bicubic-3.png
    last="alpha left out of $kind.png"
    if [ "$(shape $kind-none-3.png)" != "$(shape $kind-model-3.png)" ]; then pass; else flunk "it is there"; fi
done

# ---- other kinds of images ----
printf 'P2 1 1 255 200\n' >dot.pgm
awk 'BEGIN { print "P3 1 5000 255"; for (i = 0; i < 5000; i++) print i % 256, 90, (i * 7) % 256 }' >thin.ppm
awk 'BEGIN { print "P3 5000 1 255"; for (i = 0; i < 5000; i++) print i % 256, 90, (i * 7) % 256 }' >flat.ppm
for name in dot.pgm thin.ppm flat.ppm; do
    run 0 up $name -o "large-$name"
    run 0 up $name -o "tiled-$name" --tile 16
    same "large-$name" "tiled-$name"
    run 0 up $name -o "turned-$name" --tta --tile 16
    run 0 up $name -o "small-$name" --scale 0.5
done
cp "$root/test/fuzz/seed_image/moving.webp" moving.webp
run 0 up made/cmyk.jpg -o cmyk.png
run 0 up made/grey_alpha.png -o two.png
up moving.webp -o moving.png >"$out" 2>"$err"
last="an animated image" status=$?
case $status in 0) has moving.png ;; 65) err_lines 1 ;; *) flunk "ended with status $status" ;; esac

# ---- a batch: what became of each ----
mkdir batch
cp large.ppm batch/a.ppm
cp large.ppm "batch/ü %s.ppm"
printf 'P6\n1000 1000\n255\nabc' >batch/cut.ppm
run 65 up batch -o results --json
out_has '"failed": 1}'
out_has '"error": "batch/cut.ppm'
err_has "1 of 3 images could not be enlarged"
same results/a.ppm plain.ppm
same "results/ü %s.ppm" plain.ppm
has_not results/cut.ppm
run 65 up batch -o results --json --skip-existing
out_has '"skipped": true'
run 64 up batch -o batch/large
err_has "lies within"
# a disk that is full in the middle of a batch: what is done stays, nothing is left in part
rm batch/cut.ppm
picture batch/b.ppm 300 200
run 74 sh -c 'ulimit -S -f 400; trap "" XFSZ; exec "$0" upscale net.safetensors batch -o full --device cpu' "$program"
err_lines 2
same full/a.ppm plain.ppm
last="files of a full disk"
if [ "$(ls -A full)" = a.ppm ]; then pass; else flunk "$(ls -A full)"; fi
run 0 up batch -o full --skip-existing
same "full/ü %s.ppm" plain.ppm

# ---- what is asked for wrongly ----
for wrong in "--scale 0" "--scale x" "--scale 1e9" "--overlap -1" "--overlap some" "--alpha some" "--tile 0" "--tile 4294967312" \
    "--skip-existing --overwrite"; do
    # shellcheck disable=SC2086
    run 64 up large.ppm -o none.ppm $wrong
    err_lines 1
done
run 65 up flat.ppm -o none.ppm --scale 60
err_has "sides of more than"
has_not none.ppm

# ---- files that are no network of ours ----
broken() { # TEXT VERB WORD ...
    text=$1
    shift
    cp net.safetensors broken.safetensors
    store broken.safetensors "$@"
    run 65 imgtrain upscale broken.safetensors large.ppm -o none.ppm --device cpu
    err_has "$text"
    err_lines 1
    has_not none.ppm
}
broken "body.2.weight" fill body.2.weight nan
broken "body.4.bias" remove body.4.bias
broken "body.2.weight" reshape body.2.weight 16,16,9,1
broken "tensor extra is not of the network" copy body.0.bias extra
broken "it holds none of the networks" remove body.0.weight
broken "it holds none of the networks" reshape body.8.bias 27,1

finish
