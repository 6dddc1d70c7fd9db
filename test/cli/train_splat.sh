#!/bin/sh
# imgtrain train, task splat: every kind of image, hostile ones, bad keys, and that neither the
# number of threads nor being killed changes a bit of the model.
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    skip "all of it: the pictures are made by python3, which is not here"
    finish
fi
tool pictures "$root/test/fuzz/seed_image" || exit 1

cat >fit.yaml <<'YAML'
task: splat
device: cpu
threads: 1
num_gaussians: 60
max_steps: 42
relocate_every: 5
add_steps: 6
post_min_steps: 10
eval_steps: 14
frames: {count: 3, max_size: 128}
video: {enabled: false}
YAML

# fit NAME PICTURE PNG [KEY=VALUE ...]: a run that must end well; PNG: what final.png must be
fit() {
    folder=$1 picture=$2 kind=$3
    shift 3
    run 0 imgtrain train fit.yaml input_path="$picture" -o "$folder" -q "$@"
    err_is ""
    has "$folder/model.safetensors" "$folder/reference.png"
    run 0 tool png "$folder/final.png"
    out_is "$kind"
}
# at_least NAME PICTURE DB: final.png has at least so many dB against the image
at_least() {
    run 0 imgtrain eval "$1/final.png" "$2" --json
    psnr=$(sed -n 's/.*"psnr": *\([0-9.]*\).*/\1/p' "$out")
    psnr=${psnr:-999} # identical: no number
    if awk -v a="$psnr" -v b="$3" 'BEGIN { exit !(a >= b) }'; then pass; else flunk "$1: PSNR $psnr"; fi
}

# ---- sound images ----
fit rgb rgb.png "48x32 8 rgb"
at_least rgb rgb.png 24
fit alpha alpha.png "48x32 8 rgba"
at_least alpha alpha.png 22
fit grey grey.png "48x32 8 grey"
at_least grey grey.png 28
fit grey_alpha grey_alpha.png "48x32 8 grey+alpha"
at_least grey_alpha grey_alpha.png 28
fit deep deep.png "48x32 16 rgb"
at_least deep deep.png 24
fit adam7 adam7.png "48x32 16 rgb"
same deep/final.png adam7/final.png
fit palette palette.png "48x32 8 rgb"
fit cmyk cmyk.jpg "11x9 8 rgb"
for turn in 1 2 3 4; do fit "exif$turn" "exif$turn.jpg" "11x9 8 grey" max_steps=2; done
for turn in 5 6 7 8; do fit "exif$turn" "exif$turn.jpg" "9x11 8 grey" max_steps=2; done
at_least exif6 exif6.jpg 15
fit odd odd.png "13x7 8 rgb" disable_topk_norm=true
fit dot dot.png "1x1 8 rgb"
at_least dot dot.png 30
fit line line.png "1x65535 8 rgb" max_steps=2 num_gaussians=4000 frames.count=1
fit wide wide.png "65535x1 8 grey" max_steps=2 num_gaussians=4000 frames.count=1
fit many dot.png "1x1 8 rgb" num_gaussians=500 max_steps=4
fit few rgb.png "48x32 8 rgb" num_gaussians=1 max_steps=8

# ---- a folder is a texture stack: all channels in one model, a file for each three ----
fit layers stack "24x16 8 rgb" vis_gaussians=true
has layers/final-001.png layers/final-002.png layers/final-003.png layers/gaussians.png
run 0 imgtrain info layers/model.safetensors
out_has "[60, 9]"
at_least layers stack/0.png 20

# ---- choices of the fit ----
fit gamma rgb.png "48x32 8 rgb" gamma=2.2
at_least gamma rgb.png 20
fit half rgb.png "48x32 8 rgb" downsample=true
at_least half rgb.png 20
run 0 imgtrain info half/model.safetensors
out_has "width        24"
fit quantized rgb.png "48x32 8 rgb" quantize=true pos_bits=8 scale_bits=6 rot_bits=6 feat_bits=6
at_least quantized rgb.png 20
run 0 imgtrain train fit.yaml input_path=rgb.png panes=[gaussians,error] max_steps=14 -o panes -q
if grep -q '"columns": \["target", "render", "shapes", "error"\]' panes/frames/*14.json; then pass; else flunk "no panes"; fi
run 78 imgtrain train fit.yaml input_path=rgb.png panes=[errors] -o faulty
err_has "error|gaussians"
fit all rgb.png "48x32 8 rgb" topk=0 disable_inverse_scale=true init_mode=random l2_loss_ratio=1
at_least all rgb.png 20
fit again rgb.png "48x32 8 rgb" ckpt_file=rgb max_steps=14 disable_prog_optim=true
at_least again rgb.png 24
run 78 imgtrain train fit.yaml input_path=rgb.png init_mode=saliency -o saliency
err_has "network weights"
run 65 imgtrain train fit.yaml input_path=grey.png ckpt_file=rgb -o mixed
err_has "rgb has 3 channels, the image 1"

# ---- hostile and broken images: one line, status 65, quick and small, no folder left ----
for picture in bad/*; do
    run 65 tool measure "$program" train fit.yaml input_path="$picture"
    err_has "imgtrain: $picture: "
    err_lines 1
    if awk '{ exit !($1 < 1 && $2 < 256) }' "$out"; then pass; else flunk "seconds and MiB: $(cat "$out")"; fi
done
run 65 imgtrain train fit.yaml input_path=nothing
err_has "imgtrain: nothing: no images in this folder"
err_lines 1
run 65 imgtrain train fit.yaml input_path=uneven
err_is "imgtrain: uneven: a.png is 24x16 but b.png is 24x17"
run 65 imgtrain train fit.yaml input_path=/dev/zero
err_lines 1
run 66 imgtrain train fit.yaml input_path=missing.png
err_has "missing.png"
err_lines 1
run 66 imgtrain train fit.yaml input_path=rgb.png/below
run 66 imgtrain train fit.yaml input_path=rgb.png ckpt_file=missing.safetensors
err_has "missing.safetensors"
run 65 imgtrain train fit.yaml input_path=rgb.png ckpt_file=grey.png
err_has "grey.png"
run 78 imgtrain train fit.yaml
err_has "no image to fit"

# ---- bad keys ----
run 78 imgtrain train fit.yaml input_path=rgb.png num_gausians=5
err_has "did you mean 'splat.num_gaussians'?"
run 78 imgtrain train fit.yaml input_path=rgb.png num_gaussians=lots
err_has "num_gaussians"
run 78 imgtrain train fit.yaml input_path=rgb.png topk=33
err_has "out of range 0..32"
run 78 imgtrain train fit.yaml input_path=rgb.png init_mode=best
err_has "gradient"
printf 'task: splat\nsplat:\n  topk: true\n' >type.yaml
run 78 imgtrain train type.yaml input_path=rgb.png
err_has "type.yaml:3:9: "
err_lines 1
has_not runs saliency mixed

# ---- where the run cannot be ----
run 73 imgtrain train fit.yaml input_path=rgb.png -o rgb
err_has "rgb exists"
err_lines 1
run 0 imgtrain info rgb
run 73 imgtrain train fit.yaml input_path=rgb.png -o /dev/null/run
err_lines 1
run 73 imgtrain train fit.yaml input_path=rgb.png log_root=rgb.png
err_lines 1
mkdir locked && chmod a-w locked
if [ "$(id -u)" = 0 ]; then
    skip "unwritable folder: root writes everywhere"
else
    run 77 imgtrain train fit.yaml input_path=rgb.png -o locked/run
    err_lines 1
fi

# ---- the same bits: twice, with 2 threads, and after a kill at any step ----
run 0 imgtrain train fit.yaml input_path=rgb.png -o twice threads=2 checkpoint.every=1 checkpoint.keep=100 -q
same rgb/model.safetensors twice/model.safetensors
same rgb/final.png twice/final.png
run 0 imgtrain train fit.yaml input_path=rgb.png -o other seed=7 -q
if cmp -s rgb/model.safetensors other/model.safetensors; then flunk "another seed, the same model"; else pass; fi
for step in 01 02 05 06 07 11 13 14 15 18 20 23 24 25 28 30 33 37 40 41; do
    # What a kill behind the checkpoint of this step leaves
    mkdir -p "killed/checkpoints"
    cp twice/config.yaml killed
    cp twice/checkpoints/step-0000000$step.safetensors killed/checkpoints
    case $step in 06 | 24) threads=2 ;; *) threads=1 ;; esac
    run 0 imgtrain train fit.yaml input_path=rgb.png -o killed --resume threads=$threads -q
    last="resumed at step $step"
    same rgb/model.safetensors killed/model.safetensors
    rm -r killed
done
# ... also of a run that began with a model and grew from there
run 0 imgtrain train fit.yaml input_path=rgb.png ckpt_file=few -o grown checkpoint.every=15 checkpoint.keep=100 -q
mkdir -p killed/checkpoints
cp grown/config.yaml killed
cp grown/checkpoints/step-000000015.safetensors killed/checkpoints
run 0 imgtrain train fit.yaml input_path=rgb.png ckpt_file=few -o killed --resume -q
same grown/model.safetensors killed/model.safetensors
finish
