#!/bin/sh
# imgtrain generate with a model that has a VAE: the three modes, what is kept of an image, the same bits however
# the VAE works, lines for what has no effect, and bad input. The numbers: test/diffusion/pipeline_vae_test.c.
. "$(dirname "$0")/lib.sh"

"$root/scripts/draw_shapes.sh" shapes 5 16
cat >tiny.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
diffusion: {size: 16, dim: 32, layers: 1, heads: 1, axes: [16, 8, 8], text_dim: 8, images: 20, batch: 20, samples: 2, sample_steps: 3}
video: {enabled: false}
YAML
cat >vae.yaml <<'YAML'
task: vae
data: shapes
device: cpu
vae: {size: 16, base: 8, levels: 2, latent_channels: 3, images: 20, batch: 20}
video: {enabled: false}
YAML
run 0 imgtrain train tiny.yaml -o run -q
run 0 imgtrain train vae.yaml -o vae -q
cp -r run/model model
cp -r vae/vae model/vae
sed -i 's/\[null, null\]/["diffusers", "AutoencoderKL"]/' model/model_index.json
m="generate model --device cpu --label circle"

# ---- what is made ----
run 0 imgtrain $m -o a.png --json
out_has '"stage": "denoise"'
out_has '"stage": "decode", "component": "decoder"'
run 1 grep -q '"stage": "encode"' "$out"

run 0 imgtrain $m -o i.png --init-image a.png --strength 0.7 -n 1 --json
out_has '"stage": "encode", "component": "encoder"'
run 0 imgtrain info model
out_has "AutoencoderKL"
out_has "yes, by --label"

# ---- the same bits: threads, batch, ways, bands; each stage as it was predicted ----
printf 'P2 16 16 255\n' >mask.pgm
awk 'BEGIN { for (i = 0; i < 256; i++) print (i % 16 > 7 ? 255 : 0) }' >>mask.pgm
run 0 imgtrain $m --init-image a.png --mask mask.pgm -n 3 -o one --json --offload none --max-vram 1GB
cp "$out" one.json
run 0 python3 - <<'PY'
import json
stages = json.load(open("one.json"))["stages"]
assert [s["stage"] for s in stages] == ["encode"] + ["denoise", "decode"] * 3, stages
for s in stages:
    for key in ("bytes", "host_bytes", "copies", "copied_bytes"):
        assert s["device_bytes" if key == "bytes" else key] == s["predicted_" + key], (s, key)
assert [s["copies"] for s in stages[3:]] == [0] * 4 # they are there already
PY
same_images() {
    rm -rf two
    run 0 imgtrain $m --init-image a.png --mask mask.pgm -n 3 -o two "$@"
    for seed in 0 1 2; do same "one/seed-0000$seed.png" "two/seed-0000$seed.png"; done
}
same_images --batch 3 --vae-tiling bands
same_images --offload model --vae-tiling off
same_images --offload sequential --prefetch 0 --max-vram 1GB --batch 2
same_images --read --max-vram 1GB
for k in 2 4 6; do
    IMGTRAIN_FAULTS=alloc=$k same_images --max-vram 1GB
    err_has "goes on in way"
done
run 31 imgtrain $m -o no.png --max-vram 100KB
err_has "decode"
IMGTRAIN_FAULTS=alloc=3+ run 31 imgtrain $m -o no.png --max-vram 1GB
has_not no.png

# ---- kept pixels: the image's own, or what the VAE makes of them ----
cat >kept.py <<'PY'
import sys
def pixels(path):
    data = open(path, "rb").read()
    return data[-16 * 16 * 3:]
a, b = map(pixels, sys.argv[1:])
left = [i for i in range(16 * 16 * 3) if i // 3 % 16 < 8]
print(all(a[i] == b[i] for i in left), all(a[i] == b[i] for i in set(range(768)) - set(left)))
PY
run 0 imgtrain $m -o a.ppm
run 0 imgtrain $m --init-image a.ppm --mask mask.pgm --seed 3 -o p.ppm
run 0 python3 kept.py a.ppm p.ppm
out_is "True False"
run 0 imgtrain $m --init-image a.ppm --mask mask.pgm --seed 3 -o q.ppm --no-composite
run 0 python3 kept.py a.ppm q.ppm
out_is "False False"

# ---- again, with all that makes other pixels ----
run 0 imgtrain $m --init-image a.png --mask mask.pgm --no-composite -o p.png
run 0 imgtrain generate --like p.png --device cpu -o again.png
same p.png again.png
run 0 imgtrain generate --like p.png --device cpu --composite -o again.png
differ p.png again.png
run 64 imgtrain $m --init-image a.png --mask mask.pgm --composite --no-composite -o no.png
err_has "exclude each other"
sed -i 's/"sample_size": 16/"sample_size": 8/' model/vae/config.json
run 0 imgtrain $m -o whole.png
run 0 imgtrain $m -o tiles.png --vae-tiling blend
differ whole.png tiles.png
run 0 imgtrain generate --like tiles.png --device cpu -o again.png
same tiles.png again.png
run 0 imgtrain $m -o tiles-i.png --vae-tiling blend --init-image a.png
run 0 imgtrain $m -o dumped.png --init-image a.png --dump dump.safetensors
for name in noise z0 step-003 picture; do run 0 grep -qF "\"$name\"" dump.safetensors; done

# ---- what has no effect says so ----
has_no_effect() {
    said=$1
    shift
    run 0 imgtrain $m -o b.png "$@"
    err_has "$said"
}
has_no_effect "blend has no effect: one tile (8 pixels)" --vae-tiling blend --size 8x8
sed -i 's/"sample_size": 8/"sample_size": null/' model/vae/config.json
has_no_effect "blend has no effect: the VAE does not say" --vae-tiling blend
has_no_effect "bands has no effect: the image is one band" --vae-tiling bands --size 64x4
has_no_effect "--vae-slicing has no effect" --vae-slicing
has_no_effect "--no-composite has no effect" --no-composite
run 0 imgtrain $m -o b.png --offload model
run 1 grep -q "no effect" "$err"

# ---- bad input: one line, nothing written ----
refused() {
    status=$1 said=$2
    shift 2
    run "$status" imgtrain generate "$@" --device cpu -o no.png
    err_has "$said"
    has_not no.png
}
refused 64 "none of auto, off, bands and blend" model --label circle --vae-tiling tiles
refused 64 "4096x16 pixels, 2 to one of the network's: 2048x8 is too large" model --label circle --size 4096x16
refused 64 "is no multiple of 4: 16x16 or 20x16" model --label circle --size 18x16
picture odd.ppm 18 16
refused 64 "16x16 or 20x16" model --label circle --init-image odd.ppm
printf 'P2 16 16 255\n' >fine.pgm
awk 'BEGIN { for (i = 0; i < 256; i++) print (i == 17 ? 255 : 0) }' >>fine.pgm
refused 64 "too fine" model --label circle --init-image a.png --mask fine.pgm
w=model/vae/diffusion_pytorch_model.safetensors
cp $w whole.safetensors
head -c 3000 whole.safetensors >$w
refused 65 $w model --label circle
rm $w
refused 66 diffusion_pytorch_model model --label circle
cp whole.safetensors $w
sed -i 's/"latent_channels": 3/"latent_channels": 4/' model/vae/config.json
refused 65 "encoder.conv_out.weight" model --label circle
sed -i 's/AutoencoderKL/AutoencoderTiny/' model/model_index.json
refused 65 "vae is a AutoencoderTiny" model --label circle
finish
