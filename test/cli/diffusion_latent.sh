#!/bin/sh
# imgtrain train with task diffusion in latent space: latents are made once, no choice of how it is computed changes
# a bit, the autoencoder is part of the plan, of the model folder and of what a resume compares.
. "$(dirname "$0")/lib.sh"

"$root/scripts/draw_shapes.sh" shapes 10 16
cat >vae.yaml <<'YAML'
task: vae
data: shapes
device: cpu
vae: {size: 16, base: 4, levels: 2, latent_channels: 4, images: 40, batch: 8, samples: 4}
frames: {count: 0}
eval_steps: 2
video: {enabled: false}
YAML
cat >tiny.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
diffusion: {space: latent, vae: vae, size: 16, dim: 16, layers: 1, heads: 1, axes: [8, 4, 4], text_dim: 8, images: 200, batch: 20, samples: 5, sample_steps: 2, eval_every: 4, flip: true}
frames: {every: 4}
eval_steps: 2
video: {enabled: false}
checkpoint: {every: 3, keep: 9}
YAML
run 0 imgtrain train vae.yaml -o vae -q threads=1
run 0 imgtrain train tiny.yaml --dry-run
out_has "task           diffusion, 10 steps"
has_not runs
run 0 imgtrain train tiny.yaml -o whole threads=1
err_has "latents of 40 images, mirrored too: 8 x 8 x 4, F32"
err_has "diffusion: 8 x 8 latents"
has whole/cache/latents-8x8-*.bin whole/model/vae/config.json whole/frames/000000004.jpg whole/best.safetensors
same whole/model/vae/diffusion_pytorch_model.safetensors vae/vae/diffusion_pytorch_model.safetensors
run 0 grep -q '"vae": \["diffusers", "AutoencoderKL"\]' whole/model/model_index.json
run 0 imgtrain info whole/model.safetensors
out_has "16x16"
out_has "8x8x4, of autoencoder "

# ---- no choice of how it is computed changes a bit ----
results="final.png model.safetensors best.safetensors"
trains_as_whole threads=2 memory.level=1
trains_as_whole threads=3 memory.level=2
trains_as_whole threads=1 memory.level=4
# frames pass the decoder where a step works, and leave nothing there that it would read
run 0 imgtrain train tiny.yaml -o other2 -q frames.every=1
same other2/model.safetensors whole/model.safetensors
same other2/cache/latents-8x8-*.bin whole/cache/latents-8x8-*.bin

# ---- stopped and resumed in another way, with its latents or without ----
# shellcheck disable=SC2086
for step in 3 9; do
    rm -rf half
    cp -R whole half
    if [ $step = 3 ]; then rm -rf half/cache; fi
    back_to half $step
    run 0 imgtrain train tiny.yaml -o half -q --resume memory.level=$((step % 2 * 4)) threads=$((step / 3))
    same_run half whole $results
done
killed_at 4 tiny.yaml -o half2 -q
run 0 imgtrain train tiny.yaml -o half2 -q --resume
# shellcheck disable=SC2086
same_run half2 whole $results
# a byte of them that changed
printf x | dd of="$(echo half/cache/latents-8x8-*.bin)" bs=1 seek=5000 conv=notrunc 2>/dev/null
back_to half 3
run 0 imgtrain train tiny.yaml -o half --resume
err_has "damaged, made again"
same half/model.safetensors whole/model.safetensors

# ---- the plan says what it takes, to the byte ----
run 0 imgtrain train tiny.yaml --dry-run memory.level=0
bytes=$(awk '$1 == "device" && $2 ~ /^[0-9]+$/ { print $2 }' "$out")
run 0 imgtrain train tiny.yaml -o exact -q memory.level=0 memory.limit="$bytes"
same exact/model.safetensors whole/model.safetensors
run 31 imgtrain train tiny.yaml -o bad memory.level=0 memory.limit=$((bytes - 1))

# ---- half the bytes: other numbers, the same in any way ----
run 0 imgtrain train tiny.yaml -o f16 -q latents=f16 flip=false
run 0 imgtrain train tiny.yaml -o f16b -q latents=f16 flip=false threads=2 memory.level=2
same f16/model.safetensors f16b/model.safetensors
run 0 imgtrain train tiny.yaml -o f32 latents=f32 flip=false
err_has "latents of 40 images: 8 x 8 x 4, F32, 84.3 KiB"
differ f16/model.safetensors f32/model.safetensors

# ---- measured, with the autoencoder that lies beside it ----
mv vae moved
run 0 imgtrain eval whole shapes --samples 8
out_has "rkid "
run 0 imgtrain eval whole/best.safetensors shapes --samples 8 --json
out_has '"right": '
# what it is compared with is of images, whatever the network works on
run 0 imgtrain train tiny.yaml -o pixels -q space=pixel diffusion.vae= images=20
for model in whole pixels; do
    run 0 imgtrain eval $model shapes --samples 12 --json
    cp "$out" $model.json
    run 0 grep -o '"rkid_mean": [0-9.e+]*, "rkid_noise": [0-9.e+]*' $model.json
    cp "$out" $model.than
done
same whole.than pixels.than
cp whole/model.safetensors alone.safetensors
run 66 imgtrain eval alone.safetensors shapes
err_has "its autoencoder is neither in model/vae nor at vae"

# ---- images of the folder, of the result and of a checkpoint are the same ----
newest=$(echo whole/checkpoints/step-000000010*)
for model in whole whole/model.safetensors "$newest"; do
    run 0 imgtrain generate "$model" --label cross --seed 3 --device cpu -o made.ppm
    if [ "$model" = whole ]; then mv made.ppm first.ppm; else same made.ppm first.ppm; fi
done
run 0 imgtrain train tiny.yaml -o begun -q init_from=whole diffusion.vae=moved images=40
run 78 imgtrain train tiny.yaml -o bad init_from=whole space=pixel
err_has "whole is of latents, this config of pixels"

# ---- which autoencoder ----
back_to half 3
cp -R half half3
run 66 imgtrain train tiny.yaml -o half --resume
run 0 imgtrain train tiny.yaml -o half -q --resume diffusion.vae=moved/vae
same half/final.png whole/final.png
run 0 imgtrain train vae.yaml -o vae -q seed=5
run 78 imgtrain train tiny.yaml -o half3 --resume
err_has "vae: this is not the autoencoder that half3/checkpoints/step-000000003.safetensors was trained with"
run 65 imgtrain eval alone.safetensors shapes
err_has "not the autoencoder that alone.safetensors was trained with"

# ---- bad input: one line, the right status, no folder ----
refused() {
    run "$1" imgtrain train tiny.yaml -o bad "$3" ${4:+"$4"}
    err_has "$2"
    err_lines 1
    has_not bad
}
refused 78 "diffusion.vae is not set" diffusion.vae=
refused 66 "missing" diffusion.vae=missing
refused 66 "no autoencoder in it" diffusion.vae=shapes
refused 78 "sides are multiples of 4: 20 x 20 is" diffusion.size=18
refused 78 "diffusion.channels: 1, but the autoencoder's images have 3" diffusion.channels=1
refused 78 "expected one of pixel|latent" space=pixels
cp -R vae/vae broken
python3 "$root/test/cli/store_file.py" broken/diffusion_pytorch_model.safetensors fill decoder.conv_in.bias nan
run 65 imgtrain train tiny.yaml -o bad diffusion.vae=broken
err_has "tensor decoder.conv_in.bias: nan is not finite"
has_not bad
run 0 imgtrain train tiny.yaml --dry-run space=pixel
err_has "diffusion.vae has no effect"
finish
