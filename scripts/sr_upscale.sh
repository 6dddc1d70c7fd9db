#!/bin/sh
# What `imgtrain upscale` promises of large images, shown at full size (minutes; test/cli/upscale.sh has
# small ones):
#
#   scripts/sr_upscale.sh tiles [MODEL...]   a 3001x2003 image in tiles of 64, 100, 256, whole and in bands:
#                                            five files with the same bytes, for each model
#   scripts/sr_upscale.sh large              a 12000x9000 image 4 times as large within --memory-limit 256MB:
#                                            the most memory that the process held, and its processor time
#
#   scripts/sr_upscale.sh flat RUN           grey images of 0, 128 and 255 and a ramp through a trained network:
#                                            the largest error, in levels, 12 pixels and more from the border
#
# Models are made of random weights (compact 64-16 of 4 times; large: 16-4) unless some are named. Needs
# python3. IMGTRAIN names the program, TMPDIR the disk, which must hold 6 GB for `large`.
set -eu
cd "$(dirname "$0")/.."
program=${IMGTRAIN:-./imgtrain}
case $program in /*) ;; *) program=$PWD/$program ;; esac
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-upscale-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# up ARGUMENT ...: what it says is shown where it fails only
up() { "$program" upscale "$@" --device cpu 2>"$work/log" || { cat "$work/log" >&2 && exit 1; }; }
tool() { python3 test/cli/tool.py "$@"; }

# drawn FILE SCALE: a drawing of 640x428 enlarged
drawn() {
    scripts/demo.sh --draw 3 >"$work/small.ppm"
    tool compact "$work/drawing.safetensors" 8 1 4
    up "$work/drawing.safetensors" "$work/small.ppm" -o "$1" --scale "$2"
}

tiles() {
    drawn "$work/whole.ppm" 4.6891 # 640 x 428 become 3002 x 2007
    python3 - "$work/whole.ppm" "$work/image.ppm" <<'PY'
import sys
data = open(sys.argv[1], 'rb').read()
magic, w, h, most, rest = data.split(None, 4)
w, rest = int(w), data[-int(w) * int(h) * 3:]
with open(sys.argv[2], 'wb') as out:
    out.write(b'P6 3001 2003 255\n')
    for y in range(2003):
        out.write(rest[y * w * 3:y * w * 3 + 3001 * 3])
PY
    if [ $# = 0 ]; then
        tool compact "$work/net.safetensors" 64 16 4
        set -- "$work/net.safetensors"
    fi
    for model in "$@"; do
        for tile in auto 64 100 256 3001; do
            up "$model" "$work/image.ppm" -o "$work/$tile.ppm" --tile $tile --overwrite
            cmp "$work/auto.ppm" "$work/$tile.ppm"
            [ $tile = auto ] || rm "$work/$tile.ppm"
        done
        echo "$model: five equal files ($(wc -c <"$work/auto.ppm") bytes)"
    done
}

large() {
    drawn "$work/image.ppm" 21.1
    tool compact "$work/net.safetensors" 16 4 4
    head -c 15 "$work/image.ppm" | head -n 2 | tr '\n' ' '
    tool measure "$program" upscale "$work/net.safetensors" "$work/image.ppm" -o "$work/large.ppm" \
        --memory-limit 256MB --device cpu >"$work/measured" 2>"$work/log" || { cat "$work/log" >&2 && exit 1; }
    read -r seconds mib <"$work/measured"
    head -c 15 "$work/large.ppm" | head -n 2 | tr '\n' ' '
    echo "within --memory-limit 256MB: $seconds s of processor time, $mib MiB held at most"
    [ "${mib%.*}" -lt 600 ]
}

flat() {
    for value in 0 128 255; do
        awk -v v=$value 'BEGIN { print "P2 256 40 255"; for (i = 0; i < 10240; i++) print v }' >"$work/$value.pgm"
    done
    awk 'BEGIN { print "P2 256 40 255"; for (i = 0; i < 10240; i++) print i % 256 }' >"$work/ramp.pgm"
    for name in 0 128 255 ramp; do up "$1" "$work/$name.pgm" -o "$work/large-$name.pgm"; done
    python3 - "$work" <<'PY'
import sys
worst = 0
for name in ('0', '128', '255', 'ramp'):
    data = open('%s/large-%s.pgm' % (sys.argv[1], name), 'rb').read()
    w, h = (int(v) for v in data.split(None, 4)[1:3])
    data, scale = data[-w * h:], w // 256
    right = [(x + .5) / scale - .5 if name == 'ramp' else int(name) for x in range(w)]
    error = max(abs(data[y * w + x] - right[x]) for y in range(12 * scale, h - 12 * scale)
                for x in range(12 * scale, w - 12 * scale))
    worst = max(worst, error)
    print('%s: %.2f levels' % (name, error))
sys.exit(worst > 1)
PY
}

case ${1:-} in
tiles | large | flat) "$@" ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 64
    ;;
esac
