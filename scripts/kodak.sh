#!/bin/sh
# Fits every picture of a folder and prints a table of PSNR, SSIM and time.
#
#   scripts/kodak.sh FOLDER OUT [key=value ...]
#
# Image-GS's settings: CONFIG=cfgs/image-gs.yaml scripts/kodak.sh ~/kodak build/kodak
# OUT/table.md holds the table; a picture that has been fitted already is not fitted again, so an
# interrupted table goes on where it stopped.
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
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
    "$imgtrain" train ${CONFIG:+"$CONFIG"} input_path="$picture" frames.count=0 \
        video.enabled=false "$@" -q -o "$run"
done

for run in "$out"/*/; do
    name=$(basename "$run")
    # final.png against the picture: what a viewer gets, rounded to 8 bits
    "$imgtrain" eval "$run/final.png" "$folder/$name.png" --json | tr -d '\n'
    tail -n 1 "$run/metrics.jsonl"
done | awk '
    function value(key,    text) {
        if (!match($0, "\"" key "\": *[-0-9.e+]+")) return 0
        text = substr($0, RSTART, RLENGTH)
        sub(/.*: */, "", text)
        return text + 0
    }
    { n++; psnr[n] = value("psnr"); ssim[n] = value("ssim"); steps[n] = value("step"); seconds[n] = value("seconds") }
    END {
        for (i = 1; i <= n; i++) {
            printf "%d %.2f %.4f %d %.0f\n", i, psnr[i], ssim[i], steps[i], seconds[i]
            p += psnr[i]; s += ssim[i]; t += seconds[i]
        }
        if (n) printf "mean %.2f %.4f - %.0f\n", p / n, s / n, t / n
    }' >"$out/rows.txt"

{
    echo '| picture | PSNR dB | SSIM | steps | seconds |'
    echo '|---|---|---|---|---|'
    for run in "$out"/*/; do basename "$run"; done | { cat; echo mean; } |
        paste -d ' ' - "$out/rows.txt" | awk '{ printf "| %s | %s | %s | %s | %s |\n", $1, $3, $4, $5, $6 }'
} | tee "$out/table.md"
