#!/bin/sh
# A GAN of images with alpha and of grey ones: what is chosen and kept, the same bits for any split and
# through a stop, forecasts, and what each command makes of such a model.
. "$(dirname "$0")/lib.sh"

# drawings FOLDER COUNT CHANNELS: discs of two colours and a soft edge on nothing (4), grey (1)
drawings() {
    mkdir -p "$1"
    python3 - "$@" <<'PY'
import random, sys
folder, count, channels = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(7)
for i in range(count):
    x0, y0, r = random.uniform(4, 8), random.uniform(4, 8), random.uniform(2, 4)
    colour = random.choice(((250, 30, 30), (30, 60, 250)))
    body = bytearray()
    for y in range(12):
        for x in range(12):
            far = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
            alpha = int(255 * min(1, max(0, r - far + 0.5)))
            body += bytes((*colour, alpha) if channels == 4 else (alpha,))
    kind = 'RGB_ALPHA' if channels == 4 else 'GRAYSCALE'
    head = 'P7\nWIDTH 12\nHEIGHT 12\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n' % (channels, kind)
    open('%s/%03d.pam' % (folder, i), 'wb').write(head.encode() + body)
PY
}
drawings clear 24 4
drawings grey 24 1
pictures colour 13 12 12
cat >tiny.yaml <<'YAML'
task: gan
device: cpu
threads: 1
gan: {width: 12, height: 8, widths: [16, 8], z: 8, images: 64, batch: 16, gamma: 1, samples: 4, eval_every: 2, eval_samples: 20}
frames: {every: 2}
eval_steps: 2
video: {enabled: false}
checkpoint: {every: 1, keep: 1}
YAML

# over_white: rows of RGB with straight alpha on stdin, over white
over_white() {
    awk '{ for (i = 4; i <= NF; i += 4) for (c = i - 3; c < i; c++) print int($c * $i / 255 + .5) + 255 - $i }'
}
samples() { # FILE BYTES: the last ones, a line each
    tail -c "$2" "$1" | od -An -v -tu1 -w1 | tr -d ' '
}

for set in clear grey; do
    case $set in clear) name=rgba channels=4 type=rgba ;; grey) name=grey channels=1 type=grey ;; esac
    run 0 imgtrain train tiny.yaml data=$set -o run-$set
    err_has "channels $name, as "
    err_has "12 x 8 $name, "
    run 0 grep -q '"rkid": [0-9]' run-$set/metrics.jsonl
    # what is asked for is taken, to the byte, also before an image is decoded
    bytes=$(sed -n 's/.*"bytes": \([0-9]*\),.*/\1/p' run-$set/metrics.jsonl | tail -1)
    run 0 imgtrain plan tiny.yaml data=$set --json
    out_has "\"device_bytes\": $bytes,"
    run 0 imgtrain train tiny.yaml data=$set -o dry --dry-run
    out_has " $bytes "
    for how in "threads=2 micro_batch=8" "scheme=block" "gan.channels=$name micro_batch=8 scheme=block"; do
        rm -rf other
        # shellcheck disable=SC2086  # a list of keys
        run 0 imgtrain train tiny.yaml data=$set -o other -q $how
        run 0 cmp other/final.png run-$set/final.png
    done
    rm -rf killed
    killed_at 2 tiny.yaml data=$set -o killed -q
    run 0 imgtrain train tiny.yaml data=$set -o killed --resume threads=2
    err_lacks "channels $name, as " # it is kept
    run 0 cmp killed/final.png run-$set/final.png

    run 0 imgtrain info run-$set
    out_has "gan.channels $channels"
    run 0 imgtrain sample run-$set --seeds 0-3 -o made-$set
    run 0 tool png made-$set/seed-00000.png
    out_has " 8 $type"
    run 0 imgtrain sample run-$set --grid 2x2 -o grid.png
    run 0 tool png grid.png
    out_has " 8 $type"
    run 0 imgtrain sample run-$set --grid 2x2 -o grid.jpg
    run 0 imgtrain sample run-$set --seeds 0,1 --video --frames 2 -o walk-$set
    run 0 tool png walk-$set/frame-00000.png
    out_has " 8 $type"
    run 0 imgtrain eval run-$set $set --samples 20
    out_has "coverage"
    err_lacks "channels $name, as "
    run 0 imgtrain project run-$set $set/000.pam -o found-$set --steps 3 --candidates 8
    run 0 tool png found-$set/projected-00000.png
    out_has " 8 $type"
    run 0 tool png found-$set/target-00000.png
    out_has " 8 $type"
done

# Files hold straight colours: over white they are what a format without alpha has.
run 0 imgtrain sample run-clear --grid 2x2 -o grid.png
run 0 imgtrain sample run-clear --grid 2x2 -o grid.ppm
tool rows grid.png | over_white >straight
samples grid.ppm $((24 * 16 * 3)) >over
same straight over
tool rows found-clear/target-00000.png | over_white >straight
samples clear/000.pam $((12 * 12 * 4)) | paste -d' ' - - - - | sed -n "$((12 * 2 + 1)),$((12 * 10))p" | over_white >over
last="the image that was to be found"
apart=$(paste straight over | awk '{ d = $1 - $2; if (d > 1 || d < -1) n++ } END { print NR, n + 0 }')
if [ "$apart" = "288 0" ]; then pass; else flunk "samples, and those that differ: $apart"; fi

# Another set under the same name is refused, whatever it would have become; it can be gone on with.
rm -rf killed clear.kept
killed_at 2 tiny.yaml data=clear -o killed -q
mv clear clear.kept
mkdir clear
cp colour/*.ppm clear
run 78 imgtrain train tiny.yaml data=clear -o killed -q --resume
err_has "these are not the images that this run began with"
run 0 imgtrain train tiny.yaml data=clear -o killed --resume --allow-changed-input
err_has "12 x 8 rgba, "
err_has "none of its images has alpha"
run 0 imgtrain info killed
out_has "gan.channels 4"

# Colours are what they were before there was a choice: the same cache, and the same bits by either way.
run 0 imgtrain train tiny.yaml data=colour -o plain -q gan.channels=rgb
run 0 imgtrain train tiny.yaml data=colour -o chosen
err_has "channels rgb, as "
run 0 cmp plain/final.png chosen/final.png
run 0 grep -aq imgtds1 plain/cache/pictures-*
# Of other channels: what fits is taken, the layers of colours are drawn anew.
run 0 imgtrain train tiny.yaml data=clear.kept -o begun gan.init_from=plain
err_has "as they were drawn: g.rgb, d.rgb"
run 78 imgtrain train tiny.yaml data=colour -o plain --resume gan.channels=rgba
err_has "gan.channels"
finish
