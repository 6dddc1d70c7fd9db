#!/bin/sh
# Trains the presets of cfgs/ at their full sizes for a step or two, within the memory they are made for,
# and holds the device memory that was measured against the plan. On small pictures, enlarged.
#
#   scripts/presets_memory.sh [PRESET ...]     default: all of them; gan-24gb takes 15 GB and an hour, sr-24gb 18 GB
#   DEVICE=cuda scripts/presets_memory.sh      (default: cpu)
#
# Exit status 0 only when all of them finished and no peak was above the plan.
set -u
cd "$(dirname "$0")/.." || exit 1
program=${IMGTRAIN:-./imgtrain}
device=${DEVICE:-cpu}
[ -x "$program" ] || { echo "$program is not there: run make first"; exit 1; }
for variable in $(env | sed -n 's/^\(IMGTRAIN[A-Z0-9_]*\)=.*/\1/p'); do unset "$variable"; done
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-presets-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
[ $# != 0 ] || set -- tiny photo 4k 8k 8k-plus additive gan-16 gan-32 gan-64 gan-128 gan-256 gan-2gb gan-4gb gan-8gb gan-12gb gan-24gb \
    sr-x2-tiny sr-4gb sr-8gb sr-12gb sr-24gb
failed=0

# ---- inputs: drawn ----
mkdir "$work/data"
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    awk -v n=$n 'BEGIN { print "P3 24 24 255"; for (i = 0; i < 1728; i++) print (i * n * 13 + int(i / 72) * n) % 256 }' \
        >"$work/data/$n.ppm"
done
mkdir "$work/photos" # as large as the largest patches
for n in 1 2 3; do
    awk -v n=$n 'BEGIN { print "P3 384 384 255"; for (y = 0; y < 384; y++) for (x = 0; x < 384; x++)
        print int(127 + 90 * sin(x * n / 30)), int(127 + 90 * cos(y / 20)), (x * y + n) % 256 }' >"$work/photos/$n.ppm"
done
# A PPM of so many pixels; rows are put together from pieces, else a large one takes minutes.
draw() {
    awk -v w="$1" -v h="$2" 'BEGIN {
        printf "P6\n%d %d\n255\n", w, h
        for (i = 33; i < 127; i++) chars[i] = sprintf("%c", i)
        for (y = 0; y < h; y++) {
            if (y % 64 == 0) {
                row = ""
                for (x = 0; x < w; x++)
                    row = row chars[80 + int(40 * sin(x / 50 + y / 90))] chars[40 + int(x / 32 + y / 32) % 2 * 60] chars[60]
            }
            printf "%s", row
        }
    }' >"$work/picture.ppm"
}

field() { sed -n "s/.*\"$2\": \([0-9-]*\).*/\1/p" "$1" | sort -n | tail -n 1; }
mb() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1e6 }'; }

# train PRESET LIMIT WORDS...: a line of the table
train() {
    preset=$1 limit=$2 result=finished
    shift 2
    rm -rf "$work/run"
    "$program" train "cfgs/$preset.yaml" device="$device" video.enabled=false ${limit:+"memory.limit=$limit"} "$@" \
        -o "$work/run" -q >/dev/null 2>"$work/err"
    status=$?
    predicted=$(field "$work/run/memory.jsonl" predicted) peak=$(field "$work/run/memory.jsonl" peak)
    level=$(field "$work/run/memory.jsonl" level)
    if [ $status != 0 ]; then
        result="FAILED, status $status"
        head -n 3 "$work/err" >&2
    elif ! [ "${peak:-0}" -gt 0 ] || [ "$peak" -gt "$predicted" ]; then
        result="ABOVE THE PLAN"
    fi
    [ "$result" = finished ] || failed=$((failed + 1))
    echo "| $preset | ${limit:--} | ${level:--} | $(mb "${predicted:-0}") | $(mb "${peak:-0}") | $result |"
}

echo "| preset | memory.limit | level | planned MB | measured MB | |"
echo "|---|---|---|---|---|---|"
for name in "$@"; do
    gan="data=$work/data samples=4 eval_samples=0 frames.count=1"
    splat="input_path=$work/picture.ppm max_steps=3 frames.count=1"
    # shellcheck disable=SC2086  # lists of words
    case $name in
    tiny | additive | photo) draw 2000 2000 && train "$name" 300MB $splat ;;
    4k) draw 3840 2160 && train "$name" 500MB $splat ;;
    8k) draw 7680 4320 && train "$name" 1GB $splat ;;
    8k-plus) draw 20000 20000 && train "$name" 512MB threads=1 $splat ;;
    gan-*gb)
        gb=${name#gan-}
        batch=$(sed -n 's/^ *batch: *//p' "cfgs/$name.yaml")
        train "$name" "${gb%gb}GB" $gan images=$((2 * batch))
        ;;
    sr-*)
        sr="dataroot_gt=$work/photos max_steps=2 eval_steps=2 frames.count=1"
        gb=$(echo "$name" | sed -n 's/^sr-\([0-9]*\)gb$/\1GB/p')
        train "$name" "$gb" $sr
        ;;
    gan-*) train "$name" "" $gan images=32 ;;
    *) echo "there is no preset $name"; failed=$((failed + 1)) ;;
    esac
done
[ "$failed" = 0 ]
