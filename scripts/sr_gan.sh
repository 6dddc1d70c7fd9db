#!/bin/sh
# Whether a training with a discriminator holds: Compact 24-8 x2 without one, then 2000 steps beside the U-Net
# with 16 channels, for each seed. It must stay within 2.5 dB (PSNR-Y) of where it began, be sharper (the mean
# square of the steps between neighbouring pixels closer to the real images') and never meet a NaN.
#
#   scripts/sr_gan.sh PHOTOS TEST FOLDER [SEED ...]     # seeds 1 2 3; what is in FOLDER already is kept
#
# PHOTOS: as scripts/sr_set.sh makes them; TEST: others, to measure on. Ten minutes of processor time on a CPU
# with AVX-512. Needs a Python with Pillow (PYTHON=...). Exit status 1 unless all of it holds.
set -eu
if [ $# -lt 3 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
program=$(cd "$(dirname "$0")/.." && pwd)/imgtrain
python=${PYTHON:-python3}
photos=$(cd "$1" && pwd) test=$(cd "$2" && pwd)
mkdir -p "$3"
cd "$3"
shift 3
[ $# -gt 0 ] || set -- 1 2 3

# train FOLDER KEY=VALUE ...: unless it is there
train() {
    folder=$1
    shift
    [ ! -e "$folder/model.safetensors" ] || return 0
    rm -rf "$folder"
    "$program" train sr.yaml -o "$folder" dataroot_gt="$photos" val_gt="$test" -q "$@"
}
cat >sr.yaml <<'YAML'
task: sr
sr: {scale: 2, num_feat: 24, num_conv: 8, lq_size: 24, l1_weight: 1, charbonnier_weight: 0}
eval_steps: 500
frames: {count: 0}
video: {enabled: false}
YAML
train before batch=8 max_steps=3000 lr_g=1e-3
for seed; do
    train "seed$seed" batch=4 max_steps=2000 lr_g=1e-4 lr_d=1e-4 seed="$seed" pretrain_g=before \
        discriminator=unet num_feat_d=16 gan_weight=0.1
done

# The images, their halves, and what each network makes of these
"$python" - "$test" <<'PYTHON'
import os, sys
from PIL import Image
for folder in "real", "half":
    os.makedirs(folder, exist_ok=True)
for name in sorted(os.listdir(sys.argv[1])):
    try:
        image = Image.open(os.path.join(sys.argv[1], name)).convert("RGB")
    except OSError:
        continue
    image = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
    stem = os.path.splitext(name)[0]
    image.save(f"real/{stem}.png")
    image.resize((image.width // 2, image.height // 2), Image.BICUBIC).save(f"half/{stem}.png")
PYTHON
runs=before
for seed; do runs="$runs seed$seed"; done
for run in $runs; do "$program" upscale "$run/model.safetensors" half -o "$run/enlarged/" --overwrite >/dev/null 2>&1; done
# shellcheck disable=SC2086
"$python" - $runs <<'PYTHON'
import json, os, sys
from PIL import Image, ImageChops, ImageStat

def steps(folder):
    sums = []
    for name in sorted(os.listdir(folder)):
        a = Image.open(os.path.join(folder, name)).convert("RGB")
        w, h = a.size
        pairs = ((0, 0, w - 1, h), (1, 0, w, h)), ((0, 0, w, h - 1), (0, 1, w, h))
        rms = [ImageStat.Stat(ImageChops.difference(a.crop(p), a.crop(q))).rms for p, q in pairs]
        sums.append(sum(r * r for both in rms for r in both) / 3)
    return sum(sums) / len(sums)

def last(run):
    lines = [json.loads(line) for line in open(os.path.join(run, "metrics.jsonl"))]
    return [line for line in lines if line.get("psnr_y") is not None][-1]["psnr_y"]

real, before, fine = steps("real"), (last("before"), steps("before/enlarged")), True
print(f"real images                  square of steps {real:6.1f}")
for run in sys.argv[1:]:
    psnr, square = last(run), steps(f"{run}/enlarged")
    holds = run == "before" or (psnr >= before[0] - 2.5 and abs(square - real) < abs(before[1] - real))
    fine = fine and holds
    print(f"{run:10} PSNR-Y {psnr:6.2f} dB, square of steps {square:6.1f}{'' if holds else '   FAILED'}")
sys.exit(not fine)
PYTHON
