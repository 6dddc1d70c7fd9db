#!/bin/sh
# Times training steps, beside PyTorch programs of the same maths where PyTorch is installed. Both
# take turns, so that other work on the machine hits both; medians count.
#
#   scripts/bench.sh           about a minute: one turn, PyTorch as it comes, batches of 16
#   scripts/bench.sh --long    minutes: three turns, also with an allocator that keeps PyTorch's
#                              memory (scripts/reference/allocator.py), and batches of 64
#
# PYTHON=... picks the interpreter, THREADS=... the threads (all), ROUNDS=... the turns, PHOTO=... a
# photograph on which a step of splats is timed, too (the demo's, where it is).
set -eu
cd "$(dirname "$0")/.."
long=no
[ "${1:-}" = --long ] && long=yes
python=${PYTHON:-python3} threads=${THREADS:-$(nproc)}
rounds=${ROUNDS:-$([ $long = yes ] && echo 3 || echo 1)}

ours() { ./imgtrain bench --device cpu --threads "$threads" "$@"; }
photo=${PHOTO:-build/demo/photo.jpg}
if [ -r "$photo" ]; then
    ours --task splat --photograph "$photo" # sigmas as in a fit, for both
else
    echo "no photograph: PHOTO=FILE, or make demo first"
fi
ours --sigma 5 # as in scripts/reference and in the figures of scripts/README.md
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "no comparison: $python has no torch (PYTHON=... picks another)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

splats() { # LABEL OPTION...: a workload a line
    label=$1
    shift
    : >"$work/ours" && : >"$work/theirs"
    for _ in $(seq "$rounds"); do
        ours --task splat --sigma 5 --steps 5 --json >>"$work/ours"
        "$python" scripts/reference/splat_torch.py bench --steps 2 --threads "$threads" "$@" >>"$work/theirs"
    done
    for name in 'topk 10, L1 + SSIM' 'additive, L1'; do
        a=$(sed -n "s/.*\"$name\", \"ms\": \([0-9.]*\).*/\1/p" "$work/ours" | median)
        b=$(sed -n "s/^$name: median \([0-9.]*\) ms.*/\1/p" "$work/theirs" | median)
        awk -v name="$name" -v label="$label" -v a="$a" -v b="$b" 'BEGIN {
            printf "splats, %s: PyTorch %s %.0f ms, imgtrain %.1f ms: %.1f times as fast\n", name, label, b, a, b / a }'
    done
}

gan() { # OPTION...: a size a line
    "$python" scripts/reference/gan_torch.py bench --against ./imgtrain --threads "$threads" --rounds "$rounds" "$@"
}

splats 'as it comes' --stock-allocator
gan --batch 16 --stock-allocator
if [ $long = no ]; then
    echo "more of it: scripts/bench.sh --long"
    exit 0
fi
splats 'with memory kept'
gan --batch 16
gan --batch 64 --stock-allocator
gan --batch 64
