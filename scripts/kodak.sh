#!/bin/sh
# Fits every picture of a folder and prints a table: PSNR, SSIM, MS-SSIM and FLIP of final.png, steps,
# processor seconds of the fit (user and system, with decoding and the final picture).
#
#   scripts/kodak.sh FOLDER OUT [key=value ...]
#
# Image-GS's settings: CONFIG=cfgs/image-gs.yaml scripts/kodak.sh ~/kodak build/kodak
# OUT/table.md holds the table; a picture that has been fitted already is not fitted again, so an
# interrupted table goes on where it stopped.
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
folder=$1
out=$2
shift 2
imgtrain=$(dirname "$0")/../imgtrain
mkdir -p "$out"

for picture in "$folder"/*.png; do
    run=$out/$(basename "$picture" .png)
    [ -f "$run/model.safetensors" ] && continue
    rm -rf "$run"
    # `times` of a subshell counts what that one waited for: this fit alone
    (
        "$imgtrain" train ${CONFIG:+"$CONFIG"} input_path="$picture" frames.count=0 \
            video.enabled=false "$@" -q -o "$run" >&2
        times
    ) | awk 'NR == 2 { split($1 "m" $2, t, "m"); print t[1] * 60 + t[2] + t[3] * 60 + t[4] }' >"$run.cpu"
    [ -f "$run/model.safetensors" ] || exit 1
done

for run in "$out"/*/; do
    name=$(basename "$run")
    printf '%s ' "$name"
    # final.png against the picture: what a viewer gets, rounded to 8 bits
    "$imgtrain" eval "$run/final.png" "$folder/$name.png" --json | tr -d '\n'
    printf ' "cpu": %s ' "$(cat "$out/$name.cpu" 2>/dev/null || echo 0)"
    tail -n 1 "$run/metrics.jsonl"
done | awk '
    function value(key,    text) {
        if (!match($0, "\"" key "\": *[-0-9.e+]+")) return 0
        text = substr($0, RSTART, RLENGTH)
        sub(/.*: */, "", text)
        return text + 0
    }
    BEGIN {
        print "| picture | PSNR dB | SSIM | MS-SSIM | FLIP | steps | processor seconds |"
        print "|---|---|---|---|---|---|---|"
    }
    {
        psnr = value("psnr"); ssim = value("ssim"); ms = value("ms_ssim"); flip = value("flip"); cpu = value("cpu")
        printf "| %s | %.2f | %.4f | %.4f | %.4f | %d | %.0f |\n", $1, psnr, ssim, ms, flip, value("step"), cpu
        n++; p += psnr; s += ssim; m += ms; f += flip; t += cpu
    }
    END { if (n) printf "| **mean** | %.2f | %.4f | %.4f | %.4f | | %.0f |\n", p / n, s / n, m / n, f / n, t / n }
' | tee "$out/table.md"
