#!/bin/sh
# Fits the same crops from the same Gaussians with PyTorch and with imgtrain, prints both PSNRs.
#   scripts/reference/compare_fit.sh IMAGE:X,Y,W,H ...      [PYTHON=python3 STEPS=300 GAUSSIANS=1000]
set -eu
steps=${STEPS:-300} count=${GAUSSIANS:-1000}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for arg; do
    image=${arg%:*} crop=${arg##*:}
    theirs=$("${PYTHON:-python3}" "$here/splat_torch.py" fit "$image" --crop "$crop" -n "$count" \
        --steps "$steps" --threads "${THREADS:-2}" --save-init "$work/init.safetensors" \
        --save-crop "$work/crop.png" | tail -n 2)
    { # splat_torch.py has the settings of Image-GS
        cat "$here/../../cfgs/image-gs.yaml"
        printf 'input_path: "%s"\n' "$work/crop.png"
    } | sed "s|^ckpt_file:.*|ckpt_file: \"$work/init.safetensors\"|" >"$work/fit.yaml"
    rm -rf "$work/run"
    "$here/../../imgtrain" train "$work/fit.yaml" -o "$work/run" num_gaussians="$count" \
        max_steps="$steps" disable_prog_optim=true disable_lr_schedule=true use_amp=false \
        frames.count=0 video.enabled=false >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    echo "$(basename "$image") $crop: PyTorch: $(printf '%s' "$theirs" | tr '\n' ' ')"
    echo "$(basename "$image") $crop: imgtrain: $(tail -n 1 "$work/run/metrics.jsonl")"
done
