#!/bin/sh
# How a fit gets on beside two other busy processes on two cores: milliseconds a step when the cores
# are idle and when they are not, and their ratio, which two threads cannot have below 2.
# IMGTRAIN names the program, ROUNDS how often both are measured in turn (the medians count).
# Ends with 1 when the ratio is above LIMIT.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
program=${IMGTRAIN:-$root/imgtrain}
rounds=${ROUNDS:-5}
limit=${LIMIT:-2.4}
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-busy-XXXXXX")
busy=
stop_busy() {
    for pid in $busy; do kill "$pid" 2>/dev/null || true; done
    for pid in $busy; do wait "$pid" 2>/dev/null || true; done
    busy=
}
trap 'stop_busy; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# The first two cores that this process may use.
cores=$(taskset -cp $$ | sed 's/.*: *//' | awk -F, '{
    for (i = 1; i <= NF && n < 2; i++) {
        split($i, ends, "-")
        for (c = ends[1]; c <= (2 in ends ? ends[2] : ends[1]) && n < 2; c++)
            printf "%s%d", n++ ? "," : "", c
        delete ends
    }
}')
case $cores in *,*) ;; *) echo "busy.sh needs two cores" >&2 && exit 2 ;; esac

awk 'BEGIN { print "P3 768 512 255"
    for (y = 0; y < 512; y++) for (x = 0; x < 768; x++)
        print int(127 + 120 * sin(x / 17 + y / 29)), int(127 + 120 * cos(x / 11 - y / 13)),
              (x * 3 + y * 5) % 256 }' >"$work/picture.ppm"

# Prints the milliseconds of a step, the mean of 60 after the first 20.
step_ms() {
    rm -rf "$work/run"
    taskset -c "$cores" "$program" train input_path="$work/picture.ppm" num_gaussians=5000 \
        max_steps=80 eval_steps=20 device=cpu threads=2 relocate_every=0 add_times=0 frames.count=0 \
        video.enabled=false -o "$work/run" -q >/dev/null
    sed -n 's/.*"step": \([0-9]*\),.*"seconds": \([0-9.]*\).*/\1 \2/p' "$work/run/metrics.jsonl" |
        awk '$1 == 20 { first = $2 } $1 == 80 { printf "%.2f\n", 1000 * ($2 - first) / 60 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

round=0
while [ $round -lt "$rounds" ]; do
    step_ms >>"$work/idle"
    for core in 1 2; do
        taskset -c "$cores" sh -c 'while :; do :; done' &
        busy="$busy $!"
    done
    step_ms >>"$work/busy"
    stop_busy
    round=$((round + 1))
    echo "round $round: idle $(tail -n 1 "$work/idle") ms, busy $(tail -n 1 "$work/busy") ms" >&2
done
idle=$(median <"$work/idle")
beside=$(median <"$work/busy")
awk -v idle="$idle" -v busy="$beside" -v limit="$limit" 'BEGIN {
    printf "idle %.1f ms a step, busy %.1f ms, ratio %.2f\n", idle, busy, busy / idle
    exit !(busy <= limit * idle)
}'
