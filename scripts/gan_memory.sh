#!/bin/sh
# What a training step of the GAN keeps in memory, as the plan predicts it and as it is measured, beside
# PyTorch where it is installed. One process for each figure; a step of both networks, fp32.
#
#   scripts/gan_memory.sh [BATCH [SIZE ...]]      16 pairs; 16 32 64 128 256 pixels
#
# activations: the plan's arena, all that lives between the operations of a step. grown: by how much the
# process grew (VmHWM), parameters included. PyTorch: what autograd keeps when the forward passes of a D
# step are done; by how much the process grew in D and G steps.
# PYTHON=... picks the interpreter.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} batch=${1:-16}
[ $# = 0 ] || shift
[ $# != 0 ] || set -- 16 32 64 128 256

member() { printf '%s\n' "$ours" | sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p"; }
mib() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1048576 }'; }

"$python" -c 'import torch' 2>/dev/null && torch=yes || torch=
[ "$torch" ] || echo "no comparison: $python has no torch (PYTHON=... picks another)"
echo "MiB, $batch pairs a step"
echo "| px | scheme, pairs at a time | activations | PyTorch keeps | ratio | device planned = measured | process grew | PyTorch's grew |"
echo "|---|---|---|---|---|---|---|---|"
for size in "$@"; do
    kept=- grew=-
    if [ "$torch" ]; then
        theirs=$("$python" scripts/reference/gan_torch.py memory --size "$size" --batch "$batch" --steps 1 --stock-allocator)
        kept=$(printf '%s\n' "$theirs" | sed 's/.*kept \([0-9]*\).*/\1/')
        grew=$(mib "$(printf '%s\n' "$theirs" | sed 's/.*grown \([0-9]*\).*/\1/')")
    fi
    for choice in "a 0" "c 0" "a 1" "c 1"; do
        ours=$(./imgtrain bench --task gan --device cpu --json --steps 1 --size "$size" --batch "$batch" \
            --scheme "${choice% *}" --micro "${choice#* }")
        activations=$(member activation_bytes)
        if [ "$(member plan_bytes)" = "$(member peak_bytes)" ]; then planned=$(mib "$(member peak_bytes)"); else
            planned="$(mib "$(member plan_bytes)"), **measured $(mib "$(member peak_bytes)")**"
        fi
        ratio=- keeps=-
        if [ "$torch" ]; then
            ratio=$(awk -v a="$activations" -v b="$kept" 'BEGIN { printf "1/%.1f", b / a }')
            keeps=$(mib "$kept")
        fi
        scheme=$(echo "${choice% *}" | tr ac AC)
        echo "| $size | $scheme, $(member micro) | $(mib "$activations") | $keeps | $ratio | $planned | $(mib "$(member grown_bytes)") | $grew |"
    done
done
