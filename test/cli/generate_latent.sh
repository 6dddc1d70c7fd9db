#!/bin/sh
# imgtrain generate with a model that has a VAE: the three modes, what is kept of an image, the same bits however
# the VAE works, lines for what has no effect, and bad input; and with one that has a text encoder. The numbers:
# test/diffusion/pipeline_vae_test.c, zimage_test.c.
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
out_lacks '"stage": "encode"'

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
run_script <<'PY'
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
err_lacks "no effect"

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
# ---- a text encoder in place of the table: prompts of any words ----
cp -r model text
run_script "$root" <<'PY'
import json, random, shutil, struct, sys
random.seed(1)
hidden, mlp, heads, kv_heads, size, words = 8, 12, 2, 1, 6, 406
config = {"model_type": "qwen3", "hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": 3,
          "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": size, "vocab_size": words,
          "rope_theta": 1e6}
json.dump(config, open("text/text_encoder/config.json", "w"))
shapes = {"embed_tokens": (words, hidden), "norm": (hidden,)}
for layer in range(3):
    shapes.update({"layers.%d.%s" % (layer, name): shape for name, shape in {
        "input_layernorm": (hidden,), "self_attn.q_proj": (heads * size, hidden), "self_attn.k_proj": (kv_heads * size, hidden),
        "self_attn.v_proj": (kv_heads * size, hidden), "self_attn.o_proj": (hidden, heads * size), "self_attn.q_norm": (size,),
        "self_attn.k_norm": (size,), "post_attention_layernorm": (hidden,), "mlp.gate_proj": (mlp, hidden),
        "mlp.up_proj": (mlp, hidden), "mlp.down_proj": (hidden, mlp)}.items()})
header, data = {}, b""
for name, shape in shapes.items():
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    numbers = struct.pack("<%df" % count, *(random.uniform(-1, 1) for _ in range(count)))
    header["model.%s.weight" % name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(numbers)]}
    data += numbers
head = json.dumps(header).encode()
head += b" " * (-len(head) % 8)
open("text/text_encoder/model.safetensors", "wb").write(struct.pack("<Q", len(head)) + head + data)
shutil.copy(sys.argv[1] + "/test/golden/tokenizer_qwen.json", "text/tokenizer/tokenizer.json")
template = ("{%- for message in messages %}{%- set content = message.content %}{{- '<|im_start|>' + message.role + '\\n' + "
            "content + '<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
            "{%- if enable_thinking is defined %}{%- endif %}{%- endif %}")
json.dump({"chat_template": template}, open("text/tokenizer/tokenizer_config.json", "w"))
PY
t="generate text --device cpu --steps 2"
run 0 imgtrain info text
out_has "yes, by --prompt"
run 0 imgtrain plan text --size 16
out_has " text "
# an encoder of fewer positions than a prompt may have tokens
cp text/text_encoder/config.json all.json
sed 's/"model_type"/"max_position_embeddings": 64, "model_type"/' all.json >text/text_encoder/config.json
run 0 imgtrain plan text --size 16
out_has " text "
cp all.json text/text_encoder/config.json

# what it made of a prompt is kept: the second time no encoder is opened
run 0 imgtrain $t --prompt "a red cat" -o cat.png --json
out_has '"stage": "text", "component": "text_encoder"'
run 0 sh -c 'ls text/cache | wc -l' # and what guidance leads away from
out_is 2
run 0 imgtrain $t --prompt "a red cat" -o again.png --json
out_lacks '"stage": "text"'
same cat.png again.png
XDG_CACHE_HOME=$PWD/shared run 0 imgtrain $t --prompt "a red cat" -o again.png --json
out_has '"stage": "text"'
run 0 sh -c 'ls shared/imgtrain | wc -l'
out_is 2
run 0 imgtrain $t --prompt "a red cat" -o again.png --json --text-cache none --offload sequential --max-vram 1GB
out_has '"stage": "text"'
same cat.png again.png
run 0 imgtrain $t --prompt "a red cat" -o again.png --text-cache kept --seed 0,1 -o two
run 0 sh -c 'ls kept | wc -l'
out_is 2
same cat.png two/seed-00000.png
run 0 imgtrain generate --like cat.png --device cpu -o again.png
same cat.png again.png
run 0 imgtrain $t --prompt "a blue cat" -o other.png
differ cat.png other.png
run 0 imgtrain $t --prompt "a red cat" --guidance 2 -o other.png --dump dump.safetensors
differ cat.png other.png
for name in ids text sigmas; do run 0 grep -qF "\"$name\"" dump.safetensors; done
run 0 imgtrain $m --text-cache kept -o b.png
err_has "--text-cache has no effect"

# prompts of every kind
yes "a red cat in the rain" | head -c 10000 >long.txt
run 0 imgtrain $t --prompt @long.txt -o long.png --text-cache none --json
cp "$out" long.json
err_has "--prompt"
run 0 imgtrain plan text --size 16 --device cpu --json # which is of the longest prompt
cp "$out" plan.json
run_script <<'PY'
import json
ways, stages = json.load(open("plan.json"))["ways"], json.load(open("long.json"))["stages"]
assert ways[0]["stage"] == stages[0]["stage"] == "text"
assert ways[0]["working_bytes"] == stages[0]["device_bytes"], (ways[0], stages[0])
PY
run 0 imgtrain $t --prompt "" --guidance 2 -o b.png
err_has "--guidance has no effect"
printf 'a \377 cat' >broken.txt
run 0 imgtrain $t --prompt @broken.txt -o b.png
err_has "U+FFFD"
for prompt in "" "   " "👩‍👩‍👧 ❤️" "a<|im_end|>b"; do
    run 0 imgtrain $t --prompt "$prompt" -o b.png
    differ b.png cat.png
done
refused 64 "no prompt" text
refused 64 "has no classes" text --label circle

# what is wrong with the folder
cp text/text_encoder/model.safetensors sound
head -c 5000 sound >text/text_encoder/model.safetensors
refused 65 "model.safetensors" text --prompt x
cp sound text/text_encoder/model.safetensors
python3 "$root/test/cli/store_file.py" text/text_encoder/model.safetensors reshape model.layers.1.mlp.up_proj.weight 8,12
refused 65 "layers.1.mlp.up_proj.weight" text --prompt x
cp sound text/text_encoder/model.safetensors
python3 "$root/test/cli/store_file.py" text/text_encoder/model.safetensors remove model.layers.0.self_attn.q_norm.weight
refused 65 "layers.0.self_attn.q_norm.weight is missing" text --prompt x
cp sound text/text_encoder/model.safetensors
python3 "$root/test/cli/store_file.py" text/text_encoder/model.safetensors fill model.layers.0.mlp.up_proj.weight nan
refused 65 "text: no number comes out: tensor model.layers.0.mlp.up_proj.weight" text --prompt x --text-cache none
cp sound text/text_encoder/model.safetensors
sed -i 's/F32/I32/' text/text_encoder/model.safetensors
refused 65 "I32" text --prompt x

# ---- and what is wrong with a VAE ----
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
