#!/bin/sh
# imgtrain project: latents that draw images, a generator tuned to them, a direction between two sets.
. "$(dirname "$0")/lib.sh"

pictures photos 12 16 16
mkdir first second
cp photos/1.ppm photos/2.ppm first
cp photos/5.ppm photos/6.ppm photos/7.ppm second
run 0 imgtrain train task=gan data=photos threads=1 device=cpu size=16 'widths=[16,8,8]' z=8 batch=8 images=240 lr=0.01 gamma=1 \
    samples=4 eval_samples=0 video.enabled=false frames.count=0 -q -o run

# psnr COLUMN STEP: of metrics.csv
psnr() { awk -F, -v k="$1" -v s="$2" '$1 == s { print $k }' found/metrics.csv; }
# better A B: whether A is the larger number by a tenth at least
better() { if awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b + 0.1) }'; then pass; else flunk "$1 is not above $2"; fi; }

run 0 imgtrain project run photos/1.ppm first/2.ppm -o found --steps 40 --tune 40 --tune-lr 0.01 --candidates 40
err_has "found: 2 images, PSNR "
has found/latents.npy found/projected.csv found/target-00000.png found/projected-00001.png found/model.safetensors
run 0 test "$(wc -l <found/projected.csv)" = 3 -a "$(wc -l <found/metrics.csv)" = 82
for column in 4 5; do
    better "$(psnr $column 40)" "$(psnr $column 0)"
    better "$(psnr $column 80)" "$(psnr $column 40)"
done
# the files say the same: the last PSNR is that of the two images, and the tuned model makes the image of the latent
run 0 imgtrain eval found/target-00001.png found/projected-00001.png
out_has "psnr     $(psnr 5 80) dB"
run 0 imgtrain sample found/model.safetensors --latents found/latents.npy -o again
same again/latent-00001.png found/projected-00001.png
run 0 imgtrain info found/model.safetensors
out_has "model of task gan"
if imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec'; then has found/video.mp4; else skip "no video in this build"; fi

# more images than a video has room for side by side
run 0 imgtrain project run photos photos photos photos photos photos photos photos photos photos photos -o many \
    --steps 1 --candidates 1
err_has "many: 132 images, PSNR "

# without tuning: an image's latent does not depend on the others, nor on threads
run 0 imgtrain project run first -o pair --steps 10 --candidates 20
run 0 imgtrain project run photos/2.ppm -o single --steps 10 --candidates 20
same pair/projected-00001.png single/projected-00000.png
run 0 imgtrain sample run --latents pair/latents.npy -o drawn
same drawn/latent-00001.png pair/projected-00001.png
run 0 env OMP_NUM_THREADS=2 "$program" project run first -o pair2 --steps 10 --candidates 20
same pair/latents.npy pair2/latents.npy

# from one set to another
run 0 imgtrain project run first --towards second -o edit --steps 10 --candidates 20
has edit/direction.npy
run 0 imgtrain sample run --seeds 3 --edit edit/direction.npy --strength 0 -o plain
run 0 imgtrain sample run --seeds 3 -o seed
same plain/seed-00003.png seed/seed-00003.png
run 0 imgtrain sample run --seeds 3 --edit edit/direction.npy -o moved
differ plain/seed-00003.png moved/seed-00003.png
python3 - <<'PY' && pass || flunk "direction.npy is not the difference of the means"
import struct
def npy(path):
    data = open(path, "rb").read()[128:]
    return struct.unpack("<%df" % (len(data) // 4), data)
rows, direction = npy("edit/latents.npy"), npy("edit/direction.npy")
for k in range(8):
    a, b = sum(rows[k:16:8]) / 2, sum(rows[16 + k::8]) / 3
    assert abs(b - a - direction[k]) < 1e-5
PY

# images that the training held out, and the nearest of the others: as the test finds it among the files
pictures many-photos 40 16 16
run 0 imgtrain train task=gan data=many-photos threads=1 device=cpu size=16 'widths=[16,8,8]' z=8 batch=8 images=80 flip=true \
    samples=4 eval_samples=0 video.enabled=false frames.count=0 -q -o held
run 0 imgtrain project held photos/1.ppm --held-out 4 -o tenth --steps 4 --tune 2 --candidates 8
err_has "tenth: 5 images, PSNR " "with the nearest image of the training; better than that by their latents: "
python3 - <<'PY' && pass || flunk "--held-out: other images, or another nearest one"
import csv, glob, math
def ppm(path):
    words = open(path).read().split()[4:]
    return [int(w) for w in words]
def psnr(a, b):
    mean = sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)
    return 10 * math.log10(255 * 255 / mean) if mean else 99
def mirrored(a):
    return [a[(y * 16 + 15 - x) * 3 + c] for y in range(16) for x in range(16) for c in range(3)]
images = {path: ppm(path) for path in glob.glob("many-photos/*.ppm")}
rows = list(csv.DictReader(open("tenth/projected.csv")))
held = [row["image"] for row in rows if row["image"] in images]
assert len(rows) == 5 and len(set(held)) == 4, rows
for row in rows:
    target = images.get(row["image"]) or ppm(row["image"])
    nearest = max(psnr(target, other) for path, image in images.items() if path not in held
                  for other in (image, mirrored(image)))
    assert abs(nearest - float(row["psnr_training"])) < 0.001, (row, nearest)
PY
# the files that it names are the images that it shows
image=$(awk -F '"' 'NR == 2 { print $2 }' tenth/projected.csv)
has "$image"
run 0 imgtrain eval tenth/target-00001.png "$(awk -F '"' 'NR == 3 { print $2 }' tenth/projected.csv)"
out_has "psnr     inf: no difference"
run 64 imgtrain project held --held-out 5 -o x
err_has "--held-out 5: of many-photos 4 images are held out"
run 64 imgtrain project run --held-out 1 -o x
err_has "of photos 0 images are held out"
# where a file cannot be read the numbers have moved: no name is better than a wrong one
echo no image >many-photos/0.ppm
run 0 imgtrain project held/model.safetensors --held-out 1 -o nameless --steps 2 --candidates 4
run 0 grep -q 'many-photos: held-out image 0"' nameless/projected.csv

run 73 imgtrain project run photos/1.ppm -o found
err_has "found: has latents.npy already"
run 64 imgtrain project run photos/1.ppm
run 64 imgtrain project run -o x
run 64 imgtrain project run photos/1.ppm -o x --class 0
err_has "this model has no classes"
run 66 imgtrain project run absent.png -o x
run 66 imgtrain project absent photos/1.ppm -o x
run 65 imgtrain project run run/config.yaml -o x
run 65 imgtrain sample run --edit pair/latents.npy -o x
err_has "pair/latents.npy: 2 rows, but a direction is one"
has_not x
finish
