#!/bin/sh
# Draws a set of small images to learn from: FOLDER/{circle,cross,square,triangle}/NNNN.ppm, shapes of any
# colour on a dark ground, a little larger or smaller and a little off the middle. The same every time.
#
#   scripts/draw_shapes.sh FOLDER [COUNT [SIDE]]
#   scripts/draw_shapes.sh --texts FOLDER [COUNT [SIDE [WITHOUT]]]
#
# COUNT images of each shape (300), SIDE pixels a side (16). --texts: FOLDER/NNNNN.ppm, each with the text
# "red circle" and the like in NNNNN.txt, of four colours and four shapes; none of WITHOUT ("blue cross").
set -eu

texts=0
if [ "$1" = --texts ]; then
    texts=1
    shift
fi
folder=$1
mkdir -p "$folder"
if [ $texts = 0 ]; then
    for shape in circle cross square triangle; do mkdir -p "$folder/$shape"; done
fi
awk -v folder="$folder" -v count="${2:-300}" -v side="${3:-16}" -v texts=$texts -v without="${4:-}" '
# Within the shape of radius r around the origin?
function inside(shape, x, y, r,   a, b) {
    if (shape == "circle") return x * x + y * y < r * r
    if (shape == "square") return x > -r && x < r && y > -r && y < r && !(x > -r / 2 && x < r / 2 && y > -r / 2 && y < r / 2)
    if (shape == "triangle") return y < r * 0.9 && y > -r && (x < 0 ? -x : x) < (y + r) * 0.55
    a = x + y; b = x - y
    return (a > -r / 2 && a < r / 2 || b > -r / 2 && b < r / 2) && x > -r && x < r && y > -r && y < r
}
function byte(v) { v = int(v * 255 + 0.5); return v < 0 ? 0 : v > 255 ? 255 : v }
# A colour of the wheel: hue 0..6.
function channel(hue, c) {
    hue = (hue + 6 - 2 * c) % 6
    hue = hue > 3 ? 6 - hue : hue
    return hue < 1 ? 1 : hue < 2 ? 2 - hue : 0
}
# An own generator: awk programs differ in theirs.
function uniform() { state = (state * 16807) % 2147483647; return state / 2147483647 }
BEGIN {
    n = split("circle cross square triangle", shapes, " ")
    split("red yellow green blue", colours, " ")
    split("0 1 2 4", hues, " ")
    state = 12345
    for (k = 1; k <= n; k++)
        for (i = 0; i < count; i++) {
            hue = uniform() * 6
            file = sprintf("%s/%s/%04d.ppm", folder, shapes[k], i)
            if (texts) {
                number = int(hue * 4 / 6) + 1
                hue = (hues[number] + uniform() * 0.4 + 5.8) % 6
                text = colours[number] " " shapes[k]
                if (text == without) continue
                file = sprintf("%s/%05d", folder, k * 10000 + i)
                print text >(file ".txt")
                close(file ".txt")
                file = file ".ppm"
            }
            ground = uniform() * 0.2
            r = side * (0.32 + 0.08 * uniform())
            cx = side / 2 + (uniform() - 0.5) * side / 8; cy = side / 2 + (uniform() - 0.5) * side / 8
            for (c = 0; c < 3; c++) colour[c] = 0.25 + 0.75 * channel(hue, c)
            printf "P3 %d %d 255\n", side, side >file
            for (y = 0; y < side; y++) {
                line = ""
                for (x = 0; x < side; x++) {
                    hits = 0
                    for (s = 0; s < 9; s++)
                        hits += inside(shapes[k], x + (s % 3 + 0.5) / 3 - cx, y + (int(s / 3) + 0.5) / 3 - cy, r)
                    for (c = 0; c < 3; c++)
                        line = line byte(ground + (colour[c] - ground) * hits / 9) " "
                }
                print line >file
            }
            close(file)
        }
}'
