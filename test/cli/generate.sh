#!/bin/sh
# imgtrain generate: the three modes, the same bits whatever is beside an image and however weights are
# placed, --like, lines for what has no effect, and bad input. The numbers: test/diffusion.
. "$(dirname "$0")/lib.sh"

"$root/scripts/draw_shapes.sh" shapes 5 16
cat >tiny.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
diffusion: {size: 16, dim: 32, layers: 1, heads: 1, axes: [16, 8, 8], text_dim: 8, images: 40, batch: 20, samples: 2, sample_steps: 3}
video: {enabled: false}
YAML
run 0 imgtrain train tiny.yaml -o run -q
has run/model/model_index.json run/model/imgtrain.json
m="generate run --device cpu"

# ---- what is made ----
run 0 imgtrain $m --label circle -o a.png
out_is a.png
err_has "16x16, 3 steps of 3"
run 0 imgtrain $m --label 0 -o b.png
same a.png b.png
run 0 imgtrain $m --label cross -o b.png
differ a.png b.png
run 0 imgtrain $m --label none
has generated/seed-00000.png
run 0 imgtrain $m --label circle --seed 0-2,9 -o out
has out/seed-00000.png out/seed-00001.png out/seed-00002.png out/seed-00009.png
same out/seed-00000.png a.png
run 0 imgtrain $m --label circle --rng philox -o b.png
differ a.png b.png
run 0 imgtrain generate run/model --label circle --size 24x8 -o b.png --json
out_has '"width": 24, "height": 8'
out_has '"stages": ['
IMGTRAIN_MODELS=run run 0 imgtrain generate model --label circle -o b.jpg
err_has "only a PNG"

# ---- the same bits: threads, batch, ways ----
run 0 imgtrain $m --label circle -n 4 --seed 9 -o one --offload none --max-vram 1GB --json
same_images() {
    rm -rf two
    run 0 imgtrain $m --label circle -n 4 --seed 9 -o two "$@"
    for seed in 9 10 11 12; do same "one/seed-$(printf %05d $seed).png" "two/seed-$(printf %05d $seed).png"; done
}
# what all weights take on the device, less 50 kB: they pass by then
bytes=$(sed -n 's/.*"predicted_bytes": \([0-9]*\).*/\1/p' "$out" | head -n 1)
less=$((bytes - 50000))
same_images --batch 4
same_images --batch 3 --offload none
same_images --max-vram $less
err_has "sequential"
same_images --offload sequential --prefetch 0 --max-vram $less
same_images --offload sequential --batch 2
same_images --read --max-vram $less
# an allocation that fails: the stage goes on in another way, to the same bits
for k in 1 2; do
    IMGTRAIN_FAULTS=alloc=$k same_images --max-vram 1GB
    err_has "goes on in way"
done
IMGTRAIN_FAULTS=alloc=1+ run 31 imgtrain $m --label circle -o no.png --max-vram 1GB
run 31 imgtrain $m --label circle -o no.png --max-vram 1MB
err_has "sequential"
err_has "denoise"
run 31 imgtrain $m --label circle -o no.png --max-vram $less --offload none
run 31 imgtrain $m --label circle -o no.png --max-vram $less --offload model
run 31 imgtrain $m --label circle -o no.png --max-vram 1MB --preset auto
err_has "going on with 512x512"
has_not no.png

# ---- from an image; a part of one ----
run 0 imgtrain $m --label cross --init-image a.png --strength 0.34 --steps 6 -o i.png
err_has "begins at sigma 0.5 with step 4"
run 0 imgtrain $m --label cross --init-image a.png --strength 0.01 -o i.png
err_has "less than one"
printf 'P2 16 16 255\n' >mask.pgm
awk 'BEGIN { for (i = 0; i < 256; i++) print (i % 16 > 7 ? 255 : 100) }' >>mask.pgm
run 0 imgtrain $m --label cross --init-image a.png --mask mask.pgm --seed 3 -o p.png
run 0 imgtrain $m --label cross --init-image a.png --mask mask.pgm --invert-mask --no-composite --seed 3 -o q.png
err_has "--no-composite has no effect"
# kept to the bit: the left half of one, the right one of the other
for image in a p q; do
    tool rows $image.png >$image.rows
    cut -d' ' -f1-24 $image.rows >$image.left
    cut -d' ' -f25-48 $image.rows >$image.right
done
same p.left a.left
differ p.right a.right
differ q.left a.left
same q.right a.right
run 0 imgtrain $m --label cross --init-image a.png --size 24x32 -o r.png
err_has "resized from 16x16 to 24x32"
run 0 imgtrain $m --label cross --init-image shapes/circle/0001.ppm -o r.png
run 0 imgtrain $m --label cross --init-image mask.pgm -o r.png
err_has "grey, taken as colour"
python3 - <<'PY'
import struct, zlib
def part(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = b"".join(b"\0" + bytes((9, 99, 199, 16 * y)) * 16 for y in range(16))
open("clear.png", "wb").write(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 6, 0, 0, 0))
                              + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))
open("deep.ppm", "wb").write(b"P6 16 16 65535\n" + bytes(range(256)) * 6)
PY
run 0 imgtrain $m --label cross --init-image clear.png --mask deep.ppm --steps 1 -o r.png
err_has "its alpha is laid over white"
err_has "colour, its brightness is the mask"

# ---- again ----
run 0 imgtrain $m --label cross --init-image a.png --mask mask.pgm --invert-mask --strength 0.7 --steps 5 --guidance 2.5 \
    --seed 77 --rng philox -o p.png
run 0 imgtrain generate --like p.png -o again.png
same p.png again.png
run 0 imgtrain generate --like p.png --label circle -o other.png
differ p.png other.png
run 0 imgtrain generate --like p.png --dtype int8 -o eight.png
differ p.png eight.png
run 0 imgtrain generate --like eight.png -o again.png
same eight.png again.png
run 0 env IMGTRAIN_ISA=avx512 "$program" generate --like p.png --dtype bf16 -o sixteen.png
err_has "--dtype bf16: products of f32, as cpu: "
run_script <<'PY'
import struct, zlib
png = open("p.png", "rb").read()
at = png.index(b"tEXtdtype\0")
size, = struct.unpack(">I", png[at - 4:at])
chunk = b"tEXtdtype\0auto"
open("auto.png", "wb").write(png[:at - 4] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
                             + png[at + 4 + size + 4:])
PY
run 0 imgtrain generate --like auto.png -o again.png # as from another processor
err_has "--like: made by products of bf16"
same p.png again.png
run 0 imgtrain generate --like out/seed-00002.png -o again.png
same out/seed-00002.png again.png
run 0 imgtrain generate --like out/seed-00002.png -n 2 -o again
same out/seed-00002.png again/seed-00002.png
run 65 imgtrain generate --like run/final.png -o no.png
err_has "no settings"
run 65 imgtrain generate --like mask.pgm -o no.png
run 66 imgtrain generate --like none.png -o no.png
cp -r run/model other
sed -i 's/"steps": 3/"steps": 4/' other/imgtrain.json
sed -i 's/"shift": 1/"shift": 2/' other/scheduler/scheduler_config.json
run 0 imgtrain generate other --like out/seed-00002.png -o again.png
err_has "another model"
differ out/seed-00002.png again.png

# ---- what is between the stages ----
run 0 imgtrain $m --label circle --init-image a.png -n 2 -o dumped --dump dump.safetensors
for name in sigmas ids text noise z0 step-003 picture image-1.step-003 image-1.picture; do
    run 0 grep -qF "\"$name\"" dump.safetensors
done

# ---- testing; what has no effect says so ----
run 0 imgtrain $m --label circle --testing -o b.png
err_has "4 steps of 4"
IMGTRAIN_TESTING=1 run 0 imgtrain $m --label circle -o b.png
err_has "4 steps of 4"
TESTING=true run 0 imgtrain $m --label circle -o b.png
err_has "TESTING=true"
err_has "4 steps of 4"
has_no_effect() {
    said=$1
    shift
    run 0 imgtrain $m --label circle -o b.png "$@"
    err_has "$said"
}
has_no_effect "--vae-tiling has no effect" --vae-tiling blend
has_no_effect "--offload model has no effect" --offload model
has_no_effect "--prefetch has no effect" --prefetch 1 --offload none
has_no_effect "--negative has no effect" --negative cross --guidance 0
has_no_effect "--invert-mask has no effect" --invert-mask
has_no_effect "--no-composite has no effect" --no-composite
has_no_effect "--attention-slicing has no effect" --attention-slicing
has_no_effect "--vae-slicing has no effect" --vae-slicing
has_no_effect "computed as bf16" --dtype f16
has_no_effect "low 32 bits" --seed 4294967296
run 0 imgtrain $m --label none --guidance 2 -o b.png
err_has "--guidance has no effect"
sed 's/"steps": 3/"steps": 0/' run/model/imgtrain.json >other/imgtrain.json
sed -i 's/"shift": 2/"shift": 3/' other/scheduler/scheduler_config.json
run 0 imgtrain generate other --device cpu --label circle --steps 9 -o b.png
err_has "that is 8 here"
run 0 imgtrain generate other --device cpu --label circle -o b.png
err_has "8 steps of 8"

# ---- bad input: one line, nothing written ----
refused() {
    status=$1 said=$2
    shift 2
    run "$status" imgtrain generate "$@" --device cpu -o no.png
    err_has "$said"
    has_not no.png
}
refused 64 "no class: add --label" run
refused 64 "circle, cross, square, triangle" run --label oval
refused 64 "exclude each other" run --label circle --prompt circle
refused 64 "names no class" run --prompt ""
refused 64 "--size 15x16" run --label circle --size 15x16
refused 64 "16x16 or 18x16" run --label circle --size 17x16
refused 64 "16x16 or 20x20" run --label circle --size 18x18
refused 64 "--size" run --label circle --size 0x16
refused 64 "--size" run --label circle --size 16xy
refused 64 "--size" run --label circle --size 4294967312
refused 64 "too large" run --label circle --size 100000x100000
refused 64 "too large" run --label circle --size 2000x16
refused 64 "none of fast" run --label circle --preset best
refused 64 "--negative: oval: no class" run --label circle --negative oval
run 64 imgtrain $m --label circle -o b.webp
err_has "-o b.webp: .png"
refused 64 "--prompt: oval: no class" run --prompt oval
run 0 imgtrain $m --label circle --preset fast --testing -o b.png
err_has "--preset has no effect with --testing"
err_has "16x16, 4 steps"
# ---- of what a run has saved, before it has a model/ ----
run 0 imgtrain $m --label circle -o b.ppm
mv run/model gone
run 0 imgtrain $m --label circle -o file.ppm
same file.ppm b.ppm
run 0 imgtrain plan run
mv run/model.safetensors model.safetensors
run 0 imgtrain $m --label circle -o file.ppm
same file.ppm b.ppm
err_has "run: the averaged network of a checkpoint, after"
run 0 imgtrain info run
out_has "4 classes"
for file in model.safetensors run/checkpoints/*.safetensors run/best.safetensors; do
    run 0 imgtrain generate $file --device cpu --label circle -o file.ppm
    [ $file = run/best.safetensors ] || same file.ppm b.ppm
done
mkdir empty-run && cp -R run/checkpoints empty-run
for file in empty-run/checkpoints/*; do head -c 3000 run/best.safetensors >"$file"; done
refused 66 "a run without a checkpoint that can be read" empty-run --label circle
mv model.safetensors run
mv gone run/model
picture fit.ppm 16 16
run 0 imgtrain train input_path=fit.ppm num_gaussians=20 max_steps=2 video.enabled=false device=cpu -q -o fit
refused 65 "fit: task is splat, expected diffusion" fit --label circle
refused 64 "needs an --init-image" run --label circle --strength 0.5
refused 64 "needs an --init-image" run --label circle --mask mask.pgm
for strength in 0 -1 1.5 nan; do refused 64 "strength" run --label circle --init-image a.png --strength $strength; done
for steps in 0 1000000 1.5; do refused 64 "--steps $steps" run --label circle --steps $steps; done
for guidance in -1 nan 1e9; do refused 64 "--guidance $guidance" run --label circle --guidance $guidance; done
refused 64 "--seed 18446744073709551616" run --label circle --seed 18446744073709551616
refused 64 "need a folder" run --label circle -n 2
refused 64 "lists 3" run --label circle --seed 1,2,3 -n 2
refused 64 "--offload most" run --label circle --offload most
refused 64 "--dtype" run --label circle --dtype f8
printf 'P2 16 16 255\n' >empty.pgm
awk 'BEGIN { for (i = 0; i < 256; i++) print 0 }' >>empty.pgm
refused 64 "is empty" run --label circle --init-image a.png --mask empty.pgm
run 0 imgtrain $m --label circle --init-image a.png --mask empty.pgm --invert-mask -o b.png
err_has "covers everything"
picture odd.ppm 15 17
refused 64 "14x16 or 16x18" run --label circle --init-image odd.ppm
refused 64 "16x16" run --label circle --init-image a.png --mask odd.ppm
refused 66 "none.png" run --label circle --init-image none.png
refused 65 "tiny.yaml" run --label circle --init-image a.png --mask tiny.yaml
refused 66 "nowhere" nowhere --label circle
refused 65 "a single file" run/model/text_encoder/model.safetensors --label circle
refused 66 "model_index.json" shapes --label circle
refused 64 "no model"
mv other/tokenizer/tokenizer.json tokenizer.json
truncate -s 200M other/tokenizer/tokenizer.json
refused 65 "tokenizer.json" other --label circle
mv tokenizer.json other/tokenizer
rm other/transformer/diffusion_pytorch_model.safetensors
refused 66 "diffusion_pytorch_model" other --label circle

# ---- sample calls it ----
run 0 imgtrain sample run --class 1 --seeds 0-2,9 -o sampled --device cpu
run 0 imgtrain $m --label 1 --seed 9 -o b.png
same sampled/seed-00009.png b.png
run 64 imgtrain sample run --grid 2x2 -o no.png
err_has "of GANs"

# ---- what a folder holds ----
run 0 imgtrain info run/model
out_has "run/model: model, ZImagePipeline"
out_has "ZImageTransformer2DModel"
out_has "F32"
out_has "yes, by --label: circle, cross, square, triangle"
out_has "no file says"
echo free >other/LICENSE
run 0 imgtrain info other --json
out_has '"licence": "LICENSE"'
out_has '"generates": "no: other/transformer'
out_has '"text_encoder": {"class": "Qwen3Model", "files": 1, "tensors": 13'
run 65 imgtrain info other/LICENSE

# ---- output that cannot be written ----
run 73 imgtrain $m --label circle -o shapes/circle/0001.ppm/a.png
touch file
run 73 imgtrain $m --label circle -n 2 -o file
# a full disk: nothing is left in part
for kind in "-o full -n 2" "-o full/a.png" "-o full/a.png --dump full/dump.safetensors"; do
    rm -rf full
    mkdir full
    # shellcheck disable=SC2016,SC2086
    run 74 sh -c 'ulimit -S -f 1; trap "" XFSZ; exec "$0" "$@"' "$program" $m --label circle --size 64x64 --steps 1 $kind
    err_has "full/"
    last="what $kind leaves on a full disk"
    if [ -z "$(ls -A full)" ]; then pass; else flunk "$(ls -A full)"; fi
done

# ---- texts ----
mkdir texts
for i in 1 2 3 4 5 6 7 8; do
    cp "shapes/circle/000$((i % 5)).ppm" "texts/$i.ppm" 2>/dev/null || cp "$(ls shapes/circle/* | head -n 1)" "texts/$i.ppm"
    echo "circle $i" >"texts/$i.txt"
done
run 0 imgtrain train tiny.yaml -o told -q data=texts captions=true labels=false batch=8 images=16
t="generate told --device cpu"
run 0 imgtrain $t --prompt "circle 1" -o t.png
printf 'circle 1\n' >prompt.txt
run 0 imgtrain $t --prompt @prompt.txt -o b.png
same t.png b.png
run 0 imgtrain $t --prompt "" -o b.png
err_has "told nothing"
run 0 imgtrain $t --prompt "<|im_end|>" -o b.png
run 0 imgtrain $t --prompt "   " --negative "a" --guidance 1 -o b.png
run 0 imgtrain $t --prompt "$(printf 'e\314\201\360\237\221\250\342\200\215\360\237\221\251')" -o b.png
run 0 imgtrain generate --like b.png -o again.png
same b.png again.png
run 0 imgtrain $t --prompt "$(printf 'a\377b')" -o b.png
err_has "U+FFFD"
run 0 imgtrain generate --like b.png --device cpu -o again.png
same b.png again.png
printf '@file' >at.txt
run 0 imgtrain $t --prompt @at.txt -o b.png
run 0 imgtrain generate --like b.png --device cpu -o again.png # the text, not a file of that name
same b.png again.png
printf 'a\000b' >zero.txt
refused 65 "zero bytes" told --prompt @zero.txt
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "word " }' >long.txt
run 0 imgtrain $t --prompt @long.txt -o b.png
err_has "are lost"
refused 64 "no prompt" told
refused 64 "has no classes" told --label circle
refused 66 "missing.txt" told --prompt @missing.txt
finish
