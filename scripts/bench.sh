#!/bin/sh
# Times training steps, beside a PyTorch program of the same maths where PyTorch is installed: as
# PyTorch comes, and with an allocator that keeps its memory (scripts/reference/allocator.py).
# PYTHON=... picks the interpreter.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

./imgtrain bench --device cpu "$@"
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "no comparison: $python has no torch (PYTHON=... picks another)"
    exit 0
fi
ours=$(./imgtrain bench --device cpu --task splat --json)

compare() { # LABEL OPTION...: a run of the PyTorch program, and how many times as fast we are
    label=$1
    shift
    theirs=$("$python" scripts/reference/splat_torch.py bench --steps 3 "$@")
    for name in 'topk 10, L1 + SSIM' 'additive, L1'; do
        a=$(printf '%s\n' "$ours" | sed -n "s/.*\"$name\", \"ms\": \([0-9.]*\).*/\1/p")
        b=$(printf '%s\n' "$theirs" | sed -n "s/^$name: median \([0-9.]*\) ms.*/\1/p")
        awk -v name="$name" -v label="$label" -v a="$a" -v b="$b" 'BEGIN {
            printf "%s: %.0f times as fast as PyTorch %s (%.1f ms, %.0f ms)\n", name, b / a, label, a, b }'
    done
}
compare 'as it comes' --stock-allocator
compare 'with memory kept'
