#!/bin/sh
# imgtrain train with task vae: the files of a run, the same bits for any split, number of threads and level
# and through kill -9, and bad input.
. "$(dirname "$0")/lib.sh"

"$root/scripts/draw_shapes.sh" shapes 8 16
cat >tiny.yaml <<'YAML'
task: vae
data: shapes
device: cpu
vae: {size: 16, base: 4, levels: 2, latent_channels: 2, images: 72, batch: 8, samples: 4, eval_every: 4}
frames: {every: 4}
eval_steps: 2
video: {enabled: false}
checkpoint: {every: 3, keep: 9}
YAML
run 0 imgtrain train tiny.yaml --dry-run
out_has "task           vae, 9 steps"
run 0 imgtrain plan tiny.yaml
out_has "level"
run 0 imgtrain train tiny.yaml -o whole threads=1
err_has "to latents of 8 x 8 x 2"
has whole/vae/config.json whole/vae/diffusion_pytorch_model.safetensors whole/model.safetensors whole/final.png whole/reference.png whole/frames/000000004.jpg
run 0 grep -q '"l1": [0-9].*"ssim": [-0-9].*"kl": [0-9].*"held_psnr": [0-9]' whole/metrics.jsonl
run 0 imgtrain info whole/model.safetensors --tensors
out_has "decoder.mid_block.attentions.0.to_out.0.weight"

run 0 imgtrain eval whole shapes --samples 6
out_has "images           6"
out_has "psnr "
run 0 imgtrain eval whole/model.safetensors shapes --json
out_has '"latent_deviation": '
run 66 imgtrain eval whole missing

results="final.png model.safetensors"
trains_as_whole threads=3 memory.level=1
trains_as_whole threads=2 memory.level=2
trains_as_whole threads=1 memory.level=4

for step in 2 7; do
    rm -rf killed
    killed_at $step tiny.yaml -o killed -q threads=1
    run 0 imgtrain train tiny.yaml -o killed -q --resume memory.level=2 threads=2
    same_run killed whole $results
done
for step in 3 6; do
    rm -rf half
    cp -R whole half
    back_to half $step
    run 0 imgtrain train tiny.yaml -o half -q --resume memory.level=$((step % 2 * 4)) threads=$((step / 3))
    same_run half whole $results
done
# ---- of what a run has saved, before it ends; no latents to learn from yet ----
killed_at 7 tiny.yaml -o early -q threads=1
run 0 imgtrain eval early shapes --samples 2
out_has "psnr "
err_has "the averaged network of a checkpoint, after 6 steps"
newest=$(echo early/checkpoints/step-000000006*)
run 65 imgtrain train tiny.yaml -o bad task=diffusion diffusion.space=latent diffusion.data=shapes diffusion.size=16 diffusion.vae="$newest"
err_has "a checkpoint of a run that has not ended"

# ---- what is learnt ----
# The loss counts squares as told; colours are there after few steps, not outlines alone.
first_loss() { # first_loss MSE
    rm -rf weighed
    run 0 imgtrain train tiny.yaml -o weighed -q threads=1 max_steps=1 eval_steps=1 mse="$1"
    loss=$(sed -n '2s/^[^,]*,\([^,]*\),.*/\1/p' weighed/metrics.csv)
}
first_loss 0
plain=$loss
first_loss 1
if awk -v a="$plain" -v b="$loss" 'BEGIN { exit !(b > a + 0.01 && b < a + 0.5) }'; then pass; else flunk "a loss of $plain, with squares $loss"; fi
"$root/scripts/draw_shapes.sh" many 100 16
run 0 imgtrain train "$root/cfgs/vae-64.yaml" data=many device=cpu -o learns -q threads=1 vae.size=16 vae.levels=2 max_steps=160 video.enabled=false frames.count=0
psnr=$(sed -n 's/.*"held_psnr": \([0-9.]*\).*/\1/p' learns/metrics.jsonl | tail -n 1)
if awk -v psnr="$psnr" 'BEGIN { exit !(psnr > 19) }'; then pass; else flunk "held-out images of 16 pixels at $psnr dB after 160 steps"; fi

run 78 imgtrain train tiny.yaml -o killed --resume kl=0.5
err_has "vae.kl"
run 78 imgtrain train tiny.yaml -o killed --resume images=400
err_has "cannot be made longer or shorter"
cp shapes/circle/0000.ppm shapes/cross/0000.ppm
rm killed/final.png killed/model.safetensors
run 78 imgtrain train tiny.yaml -o half --resume
err_has "these are not the images that this run began with"

# ---- bad input: one line, the right status, no folder ----
# refused STATUS TEXT KEY=VALUE ...
refused() {
    run "$1" imgtrain train tiny.yaml -o bad "$3" ${4:+"$4"}
    err_has "$2"
    err_lines 1
    has_not bad
}
refused 78 "data is not set" data=
refused 66 "missing" data=missing
refused 78 "vae.size is 30, but with 3 levels it must be a multiple of 4" vae.size=30 vae.levels=3
refused 78 "vae.levels" vae.levels=0
run 31 imgtrain train tiny.yaml -o bad memory.limit=100KB
err_has "memory.limit is 97.7 KiB"
finish
