#!/bin/sh
# Fits the pictures of a folder with several settings and seeds, and prints a line a setting: mean PSNR
# and SSIM of all its fits, PSNR of each picture, and seconds of a fit.
#
#   scripts/splat_trials.sh FOLDER 'key=value key=value ...' ['key=value ...' ...]
#
# The first setting is what the others are compared with (an empty one: the defaults). Environment:
# SEEDS (1 2 3), COMMON (settings of all: num_gaussians=2500 max_steps=1000), IMGTRAIN (the program).
set -eu
if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
folder=$1
shift
program=${IMGTRAIN:-$(dirname "$0")/../imgtrain}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for setting in "$@"; do
    : >"$work/rows"
    for picture in "$folder"/*.png; do
        for seed in ${SEEDS:-1 2 3}; do
            rm -rf "$work/run"
            # shellcheck disable=SC2086
            "$program" train input_path="$picture" frames.count=0 video.enabled=false threads=1 seed="$seed" \
                ${COMMON:-num_gaussians=2500 max_steps=1000} $setting -q -o "$work/run" >/dev/null 2>"$work/said" ||
                { cat "$work/said" >&2; exit 1; }
            printf '%s ' "$(basename "$picture" .png)" >>"$work/rows"
            tail -n 1 "$work/run/metrics.jsonl" >>"$work/rows"
        done
    done
    awk -v setting="$setting" '
        function value(key,    text) {
            if (!match($0, "\"" key "\": *[-0-9.e+]+")) return 0
            text = substr($0, RSTART, RLENGTH)
            sub(/.*: */, "", text)
            return text + 0
        }
        { n++; p += value("psnr"); s += value("ssim"); t += value("seconds")
          if (!($1 in sum)) order[++m] = $1
          sum[$1] += value("psnr"); count[$1]++ }
        END {
            printf "%.3f dB  %.4f  %.1f s ", p / n, s / n, t / n
            for (i = 1; i <= m; i++) printf " %s %.2f", order[i], sum[order[i]] / count[order[i]]
            printf "  %s\n", setting
        }' "$work/rows"
done
