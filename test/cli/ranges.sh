#!/bin/sh
# Every number in every file that is loaded, out of its range: status 65, and a line that names the
# file and the number. ranges.py has the tables.
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    skip "all of it: files are rewritten by python3, which is not here"
    finish
    exit
fi
# corrupt FILE KIND COMMAND...
corrupt() {
    run 0 python3 "$root/test/cli/ranges.py" "$program" "$@"
    if [ "$status" != 0 ]; then head -n 20 "$out"; fi
    out_has ", 0 failed"
}

picture a.ppm 24 18
run 0 imgtrain train input_path=a.ppm -o fit num_gaussians=60 max_steps=100 eval_steps=20 device=cpu threads=1 \
    video.enabled=false frames.count=0 checkpoint.every=15 checkpoint.keep=100 -q
# stopped at step 30, while it grows
find fit/checkpoints -name 'step-*' ! -name 'step-000000030.*' -exec rm {} +
corrupt fit/model.safetensors splat-model render fit/model.safetensors -o none.png --device cpu
corrupt fit/checkpoints/step-000000030.safetensors splat-checkpoint \
    train input_path=a.ppm -o fit num_gaussians=60 max_steps=31 eval_steps=20 device=cpu threads=1 \
    video.enabled=false frames.count=0 checkpoint.every=15 checkpoint.keep=100 -q --resume

# begun NAME STEP LINE ...: NAME.yaml of these lines, NAME.safetensors that it makes, and its run as it was at STEP
begun() {
    name=$1 step=$2
    shift 2
    printf '%s\n' 'device: cpu' 'threads: 1' 'frames: {count: 0}' 'video: {enabled: false}' "eval_steps: $step" \
        "checkpoint: {every: $step, keep: 100}" "$@" >"$name.yaml"
    run 0 imgtrain train "$name.yaml" -o "$name" -q
    cp "$name/model.safetensors" "$name.safetensors"
    back_to "$name" "$step"
}

pictures photos 12 16 16
begun gan 2 'task: gan' 'data: photos' \
    'gan: {size: 16, widths: [16, 16, 16], images: 64, batch: 16, gamma: 1, samples: 4, augment_target: 0.5, eval_every: 2}'
corrupt gan.safetensors gan-model sample gan.safetensors -o none --seeds 0 --device cpu
corrupt gan/checkpoints/step-000000002.safetensors gan-checkpoint train gan.yaml -o gan -q --resume
corrupt gan/checkpoints/step-000000002.safetensors gan-checkpoint-sampled \
    sample gan/checkpoints/step-000000002.safetensors -o none --seeds 0 --device cpu

pictures landscapes 4 40 40
begun sr 4 'task: sr' 'dataroot_gt: landscapes' 'sr: {num_feat: 8, num_conv: 1, lq_size: 8, batch: 2, max_steps: 8}'
corrupt sr.safetensors sr-model upscale sr.safetensors landscapes/1.ppm -o none.ppm --device cpu
corrupt sr/checkpoints/step-000000004.safetensors sr-checkpoint train sr.yaml -o sr -q --resume
begun sr_gan 4 'task: sr' 'dataroot_gt: landscapes' \
    'sr: {num_feat: 8, num_conv: 1, lq_size: 8, batch: 2, max_steps: 8, discriminator: unet, num_feat_d: 8, gan_weight: 0.1}'
corrupt sr_gan/checkpoints/step-000000004.safetensors sr-gan-checkpoint train sr_gan.yaml -o sr_gan -q --resume

"$root/scripts/draw_shapes.sh" shapes 6 8
begun diffusion 2 'task: diffusion' 'data: shapes' 'labels: true' \
    'diffusion: {size: 8, dim: 8, layers: 1, heads: 1, axes: [4, 2, 2], text_dim: 4, images: 16, batch: 4, samples: 1, sample_steps: 1, eval_every: 2}'
corrupt diffusion.safetensors diffusion-model eval diffusion.safetensors shapes --samples 4 --device cpu
corrupt diffusion/checkpoints/step-000000002.safetensors diffusion-checkpoint train diffusion.yaml -o diffusion -q --resume

begun vae 2 'task: vae' 'data: shapes' \
    'vae: {size: 16, base: 4, levels: 2, latent_channels: 1, attention: false, images: 16, batch: 4, samples: 1, eval_every: 2}'
corrupt vae.safetensors vae-model eval vae.safetensors shapes --samples 1 --device cpu
corrupt vae/checkpoints/step-000000002.safetensors vae-checkpoint train vae.yaml -o vae -q --resume
corrupt vae/checkpoints/step-000000002.safetensors vae-checkpoint-evaluated \
    eval vae/checkpoints/step-000000002.safetensors shapes --samples 1 --device cpu
finish
