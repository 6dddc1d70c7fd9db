#!/bin/sh
# --device: the CPU where there is no CUDA, with the reason; where there is (a GPU, or the emulated
# one of a build with CUDA=emu), one short training of each task, held against the CPU's step by step.
. "$(dirname "$0")/lib.sh"

pictures photos 8 20 14
splat_yaml 'max_steps: 24' 'add_steps: 4' 'use_amp: false' 'eval_steps: 3' 'frames: {count: 1}'
gan_yaml 'width: 20, height: 16, widths: [16, 8, 8], images: 48, conv: native'

look_for_cuda
if [ -n "$no_cuda" ]; then
    run 69 imgtrain train splat.yaml device=cuda -o none
    err_has "$no_cuda"
    err_lines 1
    run 1 test -e none
    run 0 imgtrain train splat.yaml device=auto -o auto max_steps=2
    err_has "device: the CPU (${no_cuda#device cuda: })"
    skip "trainings on CUDA: $no_cuda"
    finish
fi

# agree TOLERANCE COLUMN ...: these columns of both metrics.csv, line by line
agree() {
    tolerance=$1
    shift
    last="metrics of $task on cpu and cuda"
    if ! paste -d, "$task-cpu/metrics.csv" "$task-cuda/metrics.csv" |
        awk -F, -v tolerance="$tolerance" -v names="$*" '
            NR == 1 { half = NF / 2; count = split(names, name, " ")
                      for (i = 1; i <= half; i++) for (k in name) if ($i == name[k]) at[k] = i
                      next }
            { for (k in at) { a = $at[k]; b = $(at[k] + half); size = a < 0 ? -a : a
                  if (size < 0.01) size = 0.01
                  if (!((a > b ? a - b : b - a) <= tolerance * size)) {
                      print "line " NR " " name[k] ": cpu " a ", cuda " b; bad = 1 } } }
            END { for (k in at) found++; exit bad || found != count || NR < 3 }' >"$out"; then
        flunk "$(head -n 3 "$out" | tr '\n' ';')"
    else
        pass
    fi
}

# no sample of two images differs by more than 1
nearly_same() {
    last="$1 and $2: no sample differs by more than 1"
    if cmp -l "$1" "$2" | awk '{ a = int($2 / 100) * 64 + int($2 / 10) % 10 * 8 + $2 % 10
            b = int($3 / 100) * 64 + int($3 / 10) % 10 * 8 + $3 % 10
            if (a - b > 1 || b - a > 1) bad = 1 } END { exit bad }'; then pass; else flunk "some do"; fi
}

for task in splat gan; do
    for device in cpu cuda; do run 0 imgtrain train $task.yaml device=$device -o $task-$device -q; done
    case $task in
    splat) agree 2e-3 loss psnr ;;
    gan) agree 2e-2 loss_d loss_g r1 r2 score_real score_fake ;;
    esac
done
# latents that draw an image, a generator tuned to it, images of latents, of classes and of mixtures of these
mkdir classes classes/a classes/b
cp photos/[1-4].ppm classes/a
cp photos/[5-8].ppm classes/b
run 0 imgtrain train gan.yaml device=cpu data=classes labels=true max_steps=2 -o classed -q
for device in cpu cuda; do
    run 0 imgtrain project gan-cpu photos/1.ppm photos/2.ppm -o found-$device --steps 6 --candidates 8 --tune 2 --device $device
    run 0 imgtrain sample found-$device/model.safetensors --latents found-$device/latents.npy --grid 2x1 --device cpu -o found-$device.ppm
    run 0 imgtrain sample gan-cpu --latents found-cpu/latents.npy --truncation 0.7 --grid 2x1 --device $device -o latent-$device.ppm
    run 0 imgtrain sample classed --seeds 3,4 --class 0:0.7,1:0.3 --grid 2x1 --device $device -o mixed-$device.ppm
done
for drawn in found latent mixed; do nearly_same $drawn-cpu.ppm $drawn-cuda.ppm; done
# by cuDNN, where it is: a GPU's own, or what stands in for it in the emulator
fake=$(dirname "$program")/fake_cudnn.so
[ ! -e "$fake" ] || export IMGTRAIN_CUDNN="$fake"
last="train gan.yaml device=cuda conv=cudnn"
imgtrain train gan.yaml device=cuda conv=cudnn deterministic=true -o cudnn -q >"$out" 2>"$err"
status=$?
if [ $status = 69 ] && grep -q 'no cuDNN' "$err"; then
    skip "a training by cuDNN: $(sed 's/.*no cuDNN: //' "$err")"
else
    if [ $status = 0 ]; then pass; else flunk "exit status $status, not 0"; fi
    cp cudnn/metrics.csv gan-cuda/metrics.csv
    task=gan
    agree 2e-2 loss_d loss_g r1 r2 score_real score_fake
fi
run 0 imgtrain train splat.yaml device=cuda -o again -q
run 0 cmp splat-cuda/model.safetensors again/model.safetensors

# the time of each kernel: as many launches as steps, of which most are within a graph, and what
# comes between steps; the shares of a table are the whole
run 0 imgtrain bench --device cuda --task splat --size 48 --gaussians 30 --steps 1 --kernels
cp "$out" kernels
run 0 awk '
    $1 == "kernel" { tables++; next }
    $NF !~ /%$/ { next }
    { share[tables] += $NF
      if (tables == 1 && $1 == "ssim_kernel<float>") steps = $(NF - 3) }
    END { for (t in share) if (!(share[t] > 99 && share[t] < 101)) bad = 1
          exit bad || tables != 5 || steps != 48 }' kernels
run 0 imgtrain bench --device cuda --task gan --size 8 --batch 8 --steps 1 --kernels
out_has "group_f32<T>"
run 0 env IMGTRAIN_KERNELS=1 "$program" train splat.yaml device=cuda -o clocked -q
err_has "ssim_kernel"
run 0 cmp splat-cuda/model.safetensors clocked/model.safetensors

# networks that enlarge: trained, measured and used; by itself it is CUDA that is taken
pictures scenes 6 48 40
cat >sr.yaml <<'YAML'
task: sr
dataroot_gt: scenes
sr: {num_feat: 24, num_conv: 2, lq_size: 12, batch: 5, max_steps: 12, lr_g: 0.002}
frames: {every: 6}
eval_steps: 3
video: {enabled: false}
checkpoint: {every: 4, keep: 1}
YAML
task=sr
for device in cpu cuda; do run 0 imgtrain train sr.yaml device=$device -o sr-$device -q; done
agree 2e-3 loss l1 psnr_y ssim_y
run 0 imgtrain train sr.yaml -o sr-auto -q
same sr-auto/model.safetensors sr-cuda/model.safetensors
for level in 1 2 4; do
    rm -rf other
    run 0 imgtrain train sr.yaml device=cuda -o other -q memory.level=$level
    for file in model.safetensors best.safetensors final.png; do same other/$file sr-cuda/$file; done
done
rm -rf other
run 75 imgtrain train sr.yaml device=cuda -o other -q time_limit=0.0001
run 0 imgtrain train sr.yaml device=cuda -o other -q --resume
for file in model.safetensors best.safetensors final.png; do same other/$file sr-cuda/$file; done
# patches that the host degrades while the device is at the step before
otf="data_mode=otf max_steps=6"
# shellcheck disable=SC2086
{
    run 0 imgtrain train sr.yaml device=cuda $otf -o otf -q threads=1
    run 75 imgtrain train sr.yaml device=cuda $otf -o otf-other -q time_limit=0.0001
    run 0 imgtrain train sr.yaml device=cuda $otf -o otf-other -q --resume threads=3 memory.level=4
}
same otf-other/model.safetensors otf/model.safetensors
run 0 imgtrain upscale sr-cuda scenes/1.ppm -o once.ppm --device cuda --tile 1000
for tile in 8 20 auto; do
    run 0 imgtrain upscale sr-cuda scenes/1.ppm -o tiled.ppm --overwrite --device cuda --tile $tile
    same once.ppm tiled.ppm
done
run 0 imgtrain upscale sr-cuda scenes/1.ppm -o cpu.ppm --device cpu
nearly_same cpu.ppm once.ppm
for device in cpu cuda; do
    run 0 imgtrain eval sr-cuda scenes --device $device
    cp "$out" eval-$device
done
same eval-cpu eval-cuda
run 0 imgtrain bench --task sr --device cuda --size 8 --patches 2 --features 16 --convs 1 --steps 1 --kernels
err_has "dense_kernel"

# ---- images of a diffusion model: the same whatever way weights are placed; the CPU's but for rounding ----
"$root/scripts/draw_shapes.sh" shapes 5 16
cat >diffusion.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
diffusion: {size: 16, dim: 32, layers: 1, heads: 1, axes: [16, 8, 8], text_dim: 8, images: 40, batch: 20, samples: 2}
video: {enabled: false}
YAML
run 0 imgtrain train diffusion.yaml -o shaped -q
for way in none sequential; do run 0 imgtrain generate shaped --label circle --steps 2 --offload $way --device cuda -o $way.ppm; done
same none.ppm sequential.ppm
run 0 imgtrain generate shaped --label circle --steps 2 --device cpu -o cpu.ppm
nearly_same cpu.ppm none.ppm

# ---- of latents: an autoencoder encodes what is trained on, and an init image, and decodes what is made ----
cat >vae.yaml <<'YAML'
task: vae
data: shapes
device: cpu
vae: {size: 16, base: 4, levels: 2, latent_channels: 4, images: 40, batch: 8, samples: 4}
frames: {count: 0}
video: {enabled: false}
YAML
run 0 imgtrain train vae.yaml -o vae -q
task=latent
sed -e '/^device/d' -e '/^diffusion:/d' diffusion.yaml >latent.yaml
cat >>latent.yaml <<'YAML'
diffusion: {space: latent, vae: vae, size: 16, dim: 16, layers: 1, heads: 1, axes: [8, 4, 4], text_dim: 8, images: 6, batch: 3, samples: 1, eval_every: 100}
frames: {count: 0}
eval_steps: 1
YAML
for device in cpu cuda; do
    run 0 imgtrain train latent.yaml device=$device -o latent-$device -q
    run 0 imgtrain generate latent-cpu --label circle --steps 2 --init-image cpu.ppm --device $device -o latent-$device.ppm
done
agree 1e-5 loss grad_norm
nearly_same latent-cpu.ppm latent-cuda.ppm
finish
