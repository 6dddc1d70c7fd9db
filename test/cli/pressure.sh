#!/bin/sh
# imgtrain sample and render with ever less device memory: slices, every step announced, the same
# images bit for bit, and 31 when nothing is left to try. From a GPU to the CPU: cuda_fallback.sh.
. "$(dirname "$0")/lib.sh"

awk 'BEGIN { print "P3 64 150 255"; for (i = 0; i < 9600; i++) print i % 251, i * 7 % 256, i * i % 256 }' >tall.ppm
run 0 imgtrain train input_path=tall.ppm max_steps=3 num_gaussians=4000 frames.count=0 -q -o fit
mkdir data
for n in 1 2 3 4 5 6; do
    awk -v n=$n 'BEGIN { print "P2 16 16 255"; for (i = 0; i < 256; i++) print i * n * 13 % 256 }' >data/$n.pgm
done
run 0 imgtrain train task=gan data=data size=16 batch=4 images=8 samples=4 frames.count=0 video.enabled=false -q -o gan

# squeeze FACTOR PICTURE COMMAND...: with ever lower limits from 14 MB; every success must leave the
# same PICTURE. Sets $slices (successes that had to slice), $failed_at (the limit that was too low).
squeeze() {
    factor=$1 picture=$2
    shift 2
    cp "$picture" wanted
    slices=0 failed_at=0
    for limit in $(awk -v f="$factor" 'BEGIN { for (l = 14000; l > 10; l *= f) print int(l) }'); do
        rm -f "$picture"
        last="$* with ${limit} kB"
        imgtrain "$@" --memory-limit ${limit}kB >"$out" 2>"$err"
        status=$?
        if [ $status = 31 ]; then
            failed_at=$limit
            [ ! -e "$picture" ] || flunk "31, but a picture"
            err_has "memory.limit"
            return
        fi
        if [ $status = 0 ] && cmp -s "$picture" wanted; then pass; else flunk "status $status or another picture"; fi
        if grep -q "at a time" "$err"; then slices=$((slices + 1)); fi
    done
}
# check_squeeze LEAST_SLICES: what the last squeeze went through
check_squeeze() {
    last="limits"
    if [ "$slices" -ge "$1" ]; then pass; else flunk "only $slices limits needed slices"; fi
    if [ "$failed_at" != 0 ]; then pass; else flunk "no limit was too low"; fi
}

for size in 64x150 100x301 31x70; do
    run 0 imgtrain render fit --size $size --device cpu -o picture.png
    err_is ""
    squeeze 0.85 picture.png render fit --size $size --device cpu -o picture.png
    check_squeeze 2
done
run 0 imgtrain render fit --crop 3,20,40,77 --device cpu -o picture.pfm
squeeze 0.85 picture.pfm render fit --crop 3,20,40,77 --device cpu -o picture.pfm
check_squeeze 2

run 0 imgtrain sample gan --seeds 0-10 --batch 16 --device cpu -o out
err_lacks "at a time"
cp out/seed-00010.png picture.png
run 0 imgtrain sample gan --grid 4x3 --batch 16 --device cpu -o grid.png
squeeze 0.92 grid.png sample gan --grid 4x3 --batch 16 --device cpu -o grid.png
check_squeeze 3
squeeze 0.92 out/seed-00010.png sample gan --seeds 0-10 --batch 16 --device cpu -o out
check_squeeze 3

# each step is one line, in order, with the reason
run 31 imgtrain sample gan --batch 5 --device cpu --memory-limit 1kB -o none
last="the lines of the descent"
sed -n 's/.*: going on with \([0-9]*\) images at a time/\1/p' "$err" | tr '\n' ' ' >steps
if [ "$(cat steps)" = "2 1 " ]; then pass; else flunk "not 2, 1: $(cat steps)"; fi
err_lines 3
err_has "do not fit: 0 B of memory.limit 1.0 KiB are used"

# an allocation that fails by itself, once or for good
run 0 env IMGTRAIN_FAULTS=alloc=2 "$program" sample gan --grid 4x3 --batch 16 --device cpu -o once.png
err_has "allocation 2 fails for a test: going on with 8 images at a time"
err_lines 2
run 0 imgtrain sample gan --grid 4x3 --device cpu -o whole.png
run 0 cmp once.png whole.png
run 31 env IMGTRAIN_FAULTS=alloc=1+ "$program" sample gan --grid 4x3 --batch 16 --device cpu -o x.png
err_lines 5
run 31 env IMGTRAIN_FAULTS=alloc=1+ "$program" render fit --device cpu -o x.png
run 0 test ! -e x.png
run 78 env IMGTRAIN_FAULTS=nonsense "$program" render fit --device cpu -o x.png
run 64 imgtrain render fit --memory-limit much -o x.png
err_has "--memory-limit: 'much' is no amount of memory"
finish
