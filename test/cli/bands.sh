#!/bin/sh
# Images that do not fit into memory: the target mapped from a file, everything else in bands, the
# same bits as in memory.
. "$(dirname "$0")/lib.sh"

# draw NAME WIDTH HEIGHT: a PPM of waves and squares
draw() {
    awk -v w="$2" -v h="$3" 'BEGIN {
        printf "P6\n%d %d\n255\n", w, h
        for (i = 33; i < 127; i++) chars[i] = sprintf("%c", i)
        for (y = 0; y < h; y++) {
            if (y % 4 == 0) {
                row = ""
                for (x = 0; x < w; x++)
                    row = row chars[80 + int(40 * sin(x / 50 + y / 90))] chars[40 + int(x / 32 + y / 32) % 2 * 60] chars[60]
            }
            printf "%s", row
        }
    }' >"$1"
}

cat >fit.yaml <<'YAML'
task: splat
device: cpu
threads: 1
num_gaussians: 1000
max_steps: 5
add_steps: 2
eval_steps: 2
frames: {count: 2, max_size: 200}
video: {enabled: false}
vis_gaussians: true
YAML

# ---- the same bits in memory and mapped, for any number of threads, and resumed ----
draw small.ppm 700 500
for extra in gamma=1 gamma=2.2 downsample=true; do
    rm -rf whole bands
    run 0 imgtrain train fit.yaml input_path=small.ppm $extra memory.level=0 -o whole -q
    run 0 imgtrain train fit.yaml input_path=small.ppm $extra memory.level=4 threads=3 -o bands -q
    run 0 grep -q '"level": 4.*"bands": [1-9]' bands/memory.jsonl
    for file in final.png model.safetensors reference.png gaussians.png frames/000000005.jpg; do
        same whole/$file bands/$file
    done
done
run 0 imgtrain train fit.yaml input_path=small.ppm downsample=true memory.level=4 checkpoint.every=3 checkpoint.keep=9 -o saved -q
mkdir -p cut/checkpoints
cp saved/config.yaml cut
cp saved/checkpoints/step-000000003.safetensors cut/checkpoints
run 0 imgtrain train fit.yaml input_path=small.ppm downsample=true memory.level=4 checkpoint.every=3 checkpoint.keep=9 -o cut --resume -q
same whole/model.safetensors cut/model.safetensors
run 0 test "$(find . -name '.imgtrain*' | wc -l)" = 0

# ---- an image larger than the memory: 3000 x 2000 pixels are 18 MB ----
draw large.ppm 3000 2000
run 0 imgtrain train fit.yaml input_path=large.ppm max_steps=3 memory.level=0 -o large-whole -q
run 0 imgtrain train fit.yaml input_path=large.ppm max_steps=3 memory.limit=15MB -o large -q
same large-whole/model.safetensors large/model.safetensors
same large-whole/final.png large/final.png
run 0 grep -q '"level": 4.*"bands": [1-9]' large/memory.jsonl
# shellcheck disable=SC2016  # for the inner shell
run 0 sh -c 'p=$(sed -n "s/.*\"peak\": \([0-9]*\).*/\1/p" large/memory.jsonl | tail -n 1); test "$p" -gt 1000000 && test "$p" -le 15000000'
run 31 imgtrain train fit.yaml input_path=large.ppm memory.limit=1MB -o tiny
err_has "memory.limit"
run 0 imgtrain render large -o again.png --device cpu
same large/final.png again.png

# ---- and of the whole process: little beside what a small image takes, not the image twice ----
data_limit() { # KILOBYTES COMMAND...: with so much memory of its own (mapped files apart)
    (
        # shellcheck disable=SC3045  # dash, bash and busybox have -d
        ulimit -d "$1" || exit 99
        shift
        exec "$@"
    )
}
draw tile.ppm 8000 250
{ # 8000 x 2500 pixels: 60 MB
    printf 'P6\n8000 2500\n255\n'
    for i in 1 2 3 4 5 6 7 8 9 10; do tail -c 6000000 tile.ppm; done
} >huge.ppm
run 0 imgtrain train fit.yaml input_path=large.ppm max_steps=1 memory.level=4 -o own -q
least=
for kilobytes in 20000 30000 40000 50000 60000 80000 100000 120000 140000; do
    rm -rf own
    if data_limit $kilobytes "$program" train fit.yaml input_path=large.ppm max_steps=1 memory.level=4 -o own -q >"$out" 2>"$err"; then
        least=$kilobytes
        break
    fi
done
last="ulimit -d"
if [ -z "$least" ]; then
    skip "the process's own memory: ulimit -d cannot be set here"
else
    run 0 data_limit $((least + 40000)) "$program" train fit.yaml input_path=huge.ppm max_steps=1 memory.limit=40MB -o huge -q
    for kind in png jpg ppm pfm; do
        run 0 data_limit $((least + 40000)) "$program" render huge -o huge.$kind --device cpu
    done
    same huge/final.png huge.png
    if [ "${SKIP_SLOW:-}" ]; then
        skip "eval of a picture larger than the memory: SKIP_SLOW is set; FLIP takes its time"
    else # a window of some hundred rows at each scale: 40 MB for 8000 pixels, the pictures are 120
        run 0 data_limit $((least + 80000)) "$program" eval huge.ppm huge.jpg
        out_has "size     8000x2500, 3 channels"
    fi
fi
finish
