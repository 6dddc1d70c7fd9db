#!/bin/sh
# Times training steps, beside a PyTorch program of the same maths where PyTorch is installed.
# PYTHON=... picks the interpreter.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

./imgtrain bench "$@"
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "no comparison: $python has no torch (PYTHON=... picks another)"
    exit 0
fi
ours=$(./imgtrain bench --json)
theirs=$("$python" scripts/reference/splat_torch.py bench --steps 3)
echo "$theirs"
for name in 'topk 10, L1 + SSIM' 'additive, L1'; do
    a=$(printf '%s\n' "$ours" | sed -n "s/.*\"$name\", \"ms\": \([0-9.]*\).*/\1/p")
    b=$(printf '%s\n' "$theirs" | sed -n "s/^$name: median \([0-9.]*\) ms.*/\1/p")
    awk -v name="$name" -v a="$a" -v b="$b" \
        'BEGIN { printf "%s: %.1f times as fast as PyTorch (%.1f ms, %.0f ms)\n", name, b / a, a, b }'
done
