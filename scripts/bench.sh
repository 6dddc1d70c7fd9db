#!/bin/sh
# Times training steps, beside PyTorch programs of the same maths where PyTorch is installed: as
# PyTorch comes, and with an allocator that keeps its memory (scripts/reference/allocator.py). Both
# take turns, so that other work on the machine hits both; medians count.
# PYTHON=... picks the interpreter, THREADS=... the threads (all), ROUNDS=... the turns (3).
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} threads=${THREADS:-$(nproc)} rounds=${ROUNDS:-3}

ours() { ./imgtrain bench --device cpu --threads "$threads" "$@"; }
ours
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
        ours --task splat --steps 5 --json >>"$work/ours"
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
splats 'with memory kept'
for batch in 16 64; do
    gan --batch "$batch" --stock-allocator
    gan --batch "$batch"
done
