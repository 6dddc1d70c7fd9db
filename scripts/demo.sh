#!/bin/sh
# The main job, on a real picture: `make demo` calls this. And that of another task.
#
#   scripts/demo.sh [PICTURE]
#   scripts/demo.sh sr [FOLDER [KEY=VALUE ...]]
#   scripts/demo.sh diffusion [FOLDER [KEY=VALUE ...]]
#   scripts/demo.sh --draw [NUMBER] >drawn.ppm
#
# Fits PICTURE with cfgs/demo.yaml; without one the photograph that scripts/setup.sh brought, and
# where there is none a picture that is drawn here. Every call makes a new folder runs/demo-NNN and
# ends with the paths of final.png, video.mp4 and model.safetensors. (In a build without video there
# is no video.mp4.)
#
# sr: trains cfgs/sr-x2-tiny.yaml on the images of FOLDER, a minute or two on two cores, and enlarges a
# photograph with it. Without FOLDER on those that scripts/sr_set.sh fetches, and where that cannot be
# on pictures that are drawn here.
#
# diffusion: trains cfgs/diffusion-16.yaml on the images of FOLDER, by classes (its sub-folders), a few minutes on
# two cores, and makes images: of a class, of one image in another class, of half of it. Without FOLDER on shapes
# that scripts/draw_shapes.sh draws.
set -eu

task=splat
case ${1:-} in
sr | diffusion)
    task=$1
    shift
    ;;
esac
picture=${1:-}
[ $# = 0 ] || shift
case $picture in
'' | /* | --draw) ;;
*) picture=$PWD/$picture ;;
esac
cd "$(dirname "$0")/.."

# Shaded balls before a striped sky, with a checkered floor: edges, smooth slopes and fine texture. $1: which
# one of such pictures.
draw() {
    awk -v W=640 -v H=428 -v which="${1:-0}" 'BEGIN {
        printf "P3 %d %d 255\n", W, H
        n = split("150 190 95 0.9 0.3 0.2 330 240 130 0.2 0.6 0.9 520 200 80 0.95 0.8 0.3", b, " ")
        for (i = 1; i < n; i += 6) {
            b[i] = (b[i] + 131 * which) % W
            b[i + 1] -= 17 * (which % 4)
            if (which) b[i + 3 + which % 3] = 1 - b[i + 3 + which % 3]
        }
        for (y = 0; y < H; y++) {
            line = ""
            for (x = 0; x < W; x++) {
                if (y < 270) {
                    s = 0.6 + 0.4 * y / 270 + 0.05 * sin((x + 2 * y) / (9 - which % 7))
                    r = 0.55 * s; g = 0.72 * s; c = 0.95 * s
                } else {
                    z = 4000 / (y - 250)
                    k = (int((x - 320) * z / 1500 + 1000) + int(z / 12)) % 2
                    r = g = c = 0.25 + 0.5 * k
                }
                for (i = 1; i < n; i += 6) {
                    u = (x - b[i]) / b[i + 2]; v = (y - b[i + 1]) / b[i + 2]
                    d = u * u + v * v
                    if (d < 1) {
                        l = -0.5 * u - 0.6 * v + 0.62 * sqrt(1 - d)
                        l = l > 0 ? l : 0
                        h = l ^ 24 * 0.8
                        r = b[i + 3] * (0.15 + 0.85 * l) + h
                        g = b[i + 4] * (0.15 + 0.85 * l) + h
                        c = b[i + 5] * (0.15 + 0.85 * l) + h
                    }
                }
                line = line byte(r) " " byte(g) " " byte(c) " "
            }
            print line
        }
    }
    function byte(v) { v = int(v * 255 + 0.5); return v < 0 ? 0 : v > 255 ? 255 : v }'
}

if [ "$picture" = --draw ]; then
    draw "$@"
    exit
fi

# The first of runs/NAME-001, -002, ... that is not there yet
free_run() {
    number=1
    while
        run=runs/$1-$(printf %03d $number)
        [ -e "$run" ]
    do number=$((number + 1)); done
}

if [ "$task" = diffusion ]; then
    if [ -z "$picture" ]; then
        picture=build/demo/shapes
        [ -e $picture/.complete ] || scripts/draw_shapes.sh $picture
        touch $picture/.complete
    fi
    free_run diffusion-demo
    ./imgtrain train cfgs/diffusion-16.yaml data="$picture" -o "$run" "$@"
    # Of the first class; the first image of it, turned into the second class; its right half made anew.
    set -- "$picture"/*/
    first=$(basename "$1")
    second=$(basename "${2:-$1}")
    for init in "$picture/$first"/*; do break; done
    awk 'BEGIN { print "P2 16 16 255"; for (i = 0; i < 256; i++) print i % 16 < 8 ? 0 : 255 }' >"$run/mask.pgm"
    ./imgtrain generate "$run" --label "$first" -n 16 -o "$run/class"
    ./imgtrain generate "$run" --label "$second" --init-image "$init" --strength 0.8 --size 16x16 -n 4 -o "$run/turned"
    ./imgtrain generate "$run" --label "$second" --init-image "$init" --mask "$run/mask.pgm" --size 16x16 -n 4 -o "$run/half"
    exit
fi

if [ "$task" = sr ]; then
    photo=build/demo/photo.jpg
    mkdir -p build/demo
    if [ -z "$picture" ]; then
        picture=build/demo/sr
        if [ ! -e $picture/.complete ] && scripts/sr_set.sh $picture; then
            touch $picture/.complete
        elif [ ! -e $picture/.complete ]; then
            picture=build/demo/drawn
            echo "no photographs from scripts/sr_set.sh: learning from drawn pictures" >&2
            mkdir -p $picture
            for number in 0 1 2 3 4 5 6 7 8 9; do draw $number >$picture/$number.ppm; done
        fi
    fi
    if [ ! -s $photo ]; then
        photo=build/demo/drawn.ppm
        draw >$photo
    fi
    free_run sr-demo
    ./imgtrain train cfgs/sr-x2-tiny.yaml dataroot_gt="$picture" -o "$run" "$@"
    ./imgtrain upscale "$run" $photo -o "$run/large.png"
    echo "$run/large.png"
    exit
fi

if [ -z "$picture" ]; then
    picture=build/demo/photo.jpg
    if [ ! -s "$picture" ]; then
        picture=build/demo/drawn.ppm
        mkdir -p build/demo
        draw >"$picture.part"
        mv "$picture.part" "$picture"
        echo "no photograph from scripts/setup.sh: fitting the drawn $picture" >&2
    fi
fi

exec ./imgtrain train cfgs/demo.yaml input_path="$picture"
