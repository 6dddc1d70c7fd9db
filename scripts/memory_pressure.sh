#!/bin/sh
# Do runs survive on this machine when memory gets short? A fit, a GAN and a network that enlarges,
# each a minute at most.
#
#   scripts/memory_pressure.sh              trains all, says what memory they took and what was free
#   scripts/memory_pressure.sh --pressure   also with caps, with another process that takes memory
#                                           between steps, and with allocations that fail
#   DEVICE=cuda scripts/memory_pressure.sh --pressure     (default: auto)
#
# A run that ends with 31 is resumed without the pressure. Exit status 0 only when every run
# finished, and with the same bits as the one without pressure (the same device given).
set -u
cd "$(dirname "$0")/.." || exit 1
case ${1:-} in '' | --pressure) ;; *) echo "usage: scripts/memory_pressure.sh [--pressure]"; exit 64 ;; esac
program=${IMGTRAIN:-./imgtrain}
device=${DEVICE:-auto}
[ -x "$program" ] || { echo "$program is not there: run make first"; exit 1; }
for variable in $(env | sed -n 's/^\(IMGTRAIN_[A-Z0-9_]*\)=.*/\1/p'); do unset "$variable"; done
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-pressure-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failed=0

# ---- inputs: drawn, so that nothing has to be downloaded ----
awk 'BEGIN { print "P3 320 200 255"
    for (y = 0; y < 200; y++) for (x = 0; x < 320; x++)
        print int(x * 0.8), int(y * 1.2), int(127 + 120 * sin(x * y / 900)) }' >"$work/picture.ppm"
mkdir "$work/data"
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    awk -v n=$n 'BEGIN { print "P3 16 16 255"; for (i = 0; i < 768; i++) print (i * n * 13 + int(i / 48) * n) % 256 }' \
        >"$work/data/$n.ppm"
done
mkdir "$work/photos"
for n in 1 2 3 4 5 6; do
    awk -v n=$n 'BEGIN { print "P3 96 80 255"; for (y = 0; y < 80; y++) for (x = 0; x < 96; x++) for (c = 0; c < 3; c++)
        print int(127 + 60 * sin(x * n / 9 + c) + 60 * cos(x * y / 300)) }' >"$work/photos/$n.ppm"
done
common="device=$device frames.count=4 video.enabled=false checkpoint.every=10 eval_steps=10 memory.adjustment_frequency=5"
splat="task=splat input_path=$work/picture.ppm num_gaussians=3000 max_steps=40 $common"
gan="task=gan data=$work/data size=16 batch=16 images=480 samples=4 eval_samples=0 use_amp=false $common"
sr="task=sr dataroot_gt=$work/photos num_feat=16 num_conv=4 lq_size=24 batch=8 max_steps=40 val_every=20 $common"
# how far sr grows with memory.grow: in lq_size, then in its batch
grow="memory.grow=true memory.grow_time=0 memory.min_size=16 memory.max_size=40 memory.min_batch_size=2 memory.max_batch_size=16"

field() { sed -n "s/.*\"$2\": \([0-9-]*\).*/\1/p" "$1"; }
megabytes() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1e6 }'; }
row() { printf '%-6s %-34s %-22s %-14s %9s  %s\n' "$@"; }

# try TASK NAME WORDS FAULTS [WORDS THAT GROW]: one run under pressure, a line of the table
try() {
    run=$work/$1-run
    rm -rf "$run"
    case $1 in splat) words=$splat ;; gan) words=$gan ;; *) words=$sr ;; esac
    # shellcheck disable=SC2086  # lists of words
    env ${4:+"IMGTRAIN_FAULTS=$4"} "$program" train $words $3 ${5:-} -o "$run" -q >/dev/null 2>"$work/err"
    status=$? outcome=survived
    levels=- peak=- sizes=
    if [ $status = 31 ]; then
        outcome="31, then resumed"
        if [ -e "$run/memory.jsonl" ]; then levels=$(field "$run/memory.jsonl" level | uniq | tr '\n' ' '); fi
        # shellcheck disable=SC2086
        "$program" train $words ${5:-} -o "$run" --resume -q >/dev/null 2>"$work/err"
        status=$?
    fi
    if [ $status != 0 ]; then
        outcome="LOST, status $status"
        failed=$((failed + 1))
        head -n 3 "$work/err" >&2
    else
        [ "$levels" = - ] && levels=$(field "$run/memory.jsonl" level | uniq | tr '\n' ' ')
        peak=$(megabytes "$(field "$run/memory.jsonl" peak | sort -n | tail -n 1)")
    fi
    same=-
    if [ $status = 0 ] && [ -e "$work/$1-plain" ]; then
        same=same
        wanted=$work/$1-plain
        if [ "${5:-}" ]; then # what grew is made again by its own schedule
            schedule=$("$program" info "$run" --schedule | sed 's/: /=/')
            rm -rf "$run-again"
            # shellcheck disable=SC2086
            "$program" train $words "$schedule" -o "$run-again" -q >/dev/null 2>"$work/err"
            wanted=$run-again/model.safetensors
            sizes=$(echo "$schedule" | tr -d ' ')
        fi
        if ! cmp -s "$run/model.safetensors" "$wanted"; then
            same=OTHER
            failed=$((failed + 1))
        fi
    fi
    row "$1" "$2" "$outcome" "$levels" "$peak" "$same${sizes:+ as $sizes}"
}

"$program" doctor | grep -E '^(cpu|cuda) '
echo
row task pressure result levels "peak MB" bits
for task in splat gan sr; do
    try $task none "" ""
    [ -e "$run/memory.jsonl" ] || continue
    cp "$run/model.safetensors" "$work/$task-plain"
    need=$(field "$run/memory.jsonl" predicted | head -n 1)
    [ "${1:-}" = --pressure ] || continue
    for percent in 150 101 90 75 60 40; do
        try $task "memory.limit: $percent % of the need" "memory.limit=$((need * percent / 100))" ""
    done
    limit="memory.limit=$((need * 13 / 10))"
    try $task "all else taken at 12, back at 22" "$limit" step=12:take=1TB,step=22:give
    try $task "a co-tenant at every step" "$limit" "cotenant=7:$need"
    try $task "out of memory in step 7" "" step=7:fail
    try $task "out of memory in steps 7 and 8" "" step=7:fail,step=8:fail
    for k in 1 2 4 7 9; do try $task "allocation $k fails" "" "alloc=$k"; done
    try $task "every allocation from the 12th on" "" step=9:fail,alloc=12+
    [ $task = sr ] || continue
    for percent in 400 200 101 75; do
        try sr "grows, memory.limit: $percent %" "memory.limit=$((need * percent / 100))" "" "$grow"
    done
    limit="memory.limit=$((need * 4))"
    try sr "grows, all else taken and given back" "$limit" step=12:take=1TB,step=22:give "$grow"
    try sr "grows, a co-tenant at every step" "$limit" "cotenant=7:$((need * 3))" "$grow"
    try sr "grows, out of memory in step 17" "$limit" step=17:fail "$grow"
    try sr "grows, every allocation fails from 30" "$limit" step=9:fail,alloc=30+ "$grow"
done
echo
if [ "$failed" = 0 ]; then echo "all survived"; else echo "$failed did not"; fi
[ "$failed" = 0 ]
