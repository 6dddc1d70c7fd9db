#!/bin/sh
# imgtrain generate, info, plan and serve with a folder of FLUX.1: prompts by two text encoders, guidance as a number,
# lines for what has no effect, and bad input. The numbers: test/diffusion/flux_test.c.
. "$(dirname "$0")/lib.sh"

cat >vae.yaml <<'YAML'
task: vae
data: shapes
device: cpu
vae: {size: 16, base: 8, levels: 2, latent_channels: 4, images: 5, batch: 5}
video: {enabled: false}
YAML
"$root/scripts/draw_shapes.sh" shapes 5 16
run 0 imgtrain train vae.yaml -o vae -q
run_script "$root" <<'PY'
import json, os, random, shutil, struct, sys
random.seed(1)
golden = sys.argv[1] + "/test/golden/"

def write(folder, stem, config, shapes):
    header, data = {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        low = 0.5 if "norm" in name and "bias" not in name else -0.5
        numbers = struct.pack("<%df" % count, *(random.uniform(low, low + 1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(numbers)]}
        data += numbers
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    os.makedirs(folder)
    open("%s/%s.safetensors" % (folder, stem), "wb").write(struct.pack("<Q", len(head)) + head + data)
    json.dump(config, open(folder + "/config.json", "w"))

def linear(name, out, into):
    return {name + ".weight": (out, into), name + ".bias": (out,)}

def clip(width, mlp, words):
    shapes = {"embeddings.token_embedding.weight": (words, width), "embeddings.position_embedding.weight": (77, width)}
    for layer in range(2):
        p = "encoder.layers.%d." % layer
        for name in ("q", "k", "v", "out"):
            shapes.update(linear(p + "self_attn.%s_proj" % name, width, width))
        shapes.update(linear(p + "mlp.fc1", mlp, width) | linear(p + "mlp.fc2", width, mlp))
        for name in ("layer_norm1", "layer_norm2"):
            shapes.update({p + name + ".weight": (width,), p + name + ".bias": (width,)})
    return shapes | {"final_layer_norm.weight": (width,), "final_layer_norm.bias": (width,)}

def t5(width, mlp, inner, words):
    shapes = {"shared.weight": (words, width), "encoder.final_layer_norm.weight": (width,),
              "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (32, 2)}
    for layer in range(2):
        p = "encoder.block.%d.layer." % layer
        for name in "qkv":
            shapes[p + "0.SelfAttention.%s.weight" % name] = (inner, width)
        shapes.update({p + "0.SelfAttention.o.weight": (width, inner), p + "0.layer_norm.weight": (width,),
                       p + "1.layer_norm.weight": (width,), p + "1.DenseReluDense.wi_0.weight": (mlp, width),
                       p + "1.DenseReluDense.wi_1.weight": (mlp, width), p + "1.DenseReluDense.wo.weight": (width, mlp)})
    return shapes

def flux(dim, head, text, pooled, into, guided):
    shapes = linear("x_embedder", dim, into) | linear("context_embedder", dim, text)
    for name, width in [("timestep", 256), ("text", pooled)] + [("guidance", 256)] * guided:
        p = "time_text_embed.%s_embedder.linear_" % name
        shapes.update(linear(p + "1", dim, width) | linear(p + "2", dim, dim))
    p = "transformer_blocks.0."
    shapes.update(linear(p + "norm1.linear", 6 * dim, dim) | linear(p + "norm1_context.linear", 6 * dim, dim))
    for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
        shapes.update(linear(p + "attn." + name, dim, dim))
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        shapes[p + "attn.%s.weight" % name] = (head,)
    for name in ("ff", "ff_context"):
        shapes.update(linear(p + name + ".net.0.proj", 4 * dim, dim) | linear(p + name + ".net.2", dim, 4 * dim))
    p = "single_transformer_blocks.0."
    shapes.update(linear(p + "norm.linear", 3 * dim, dim) | linear(p + "proj_mlp", 4 * dim, dim))
    shapes.update(linear(p + "proj_out", dim, 5 * dim))
    for name in "qkv":
        shapes.update(linear(p + "attn.to_" + name, dim, dim))
    shapes.update({p + "attn.norm_q.weight": (head,), p + "attn.norm_k.weight": (head,)})
    return shapes | linear("norm_out.linear", 2 * dim, dim) | linear("proj_out", into, dim)

for name, guided in (("dev", True), ("schnell", False)):
    write(name + "/text_encoder", "model", {
        "model_type": "clip_text_model", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 664, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5, "eos_token_id": 2}, clip(8, 12, 664))
    write(name + "/text_encoder_2", "model", {
        "model_type": "t5", "d_model": 8, "d_kv": 6, "d_ff": 12, "num_layers": 2, "num_heads": 2, "vocab_size": 224,
        "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128}, t5(8, 12, 12, 224))
    write(name + "/transformer", "diffusion_pytorch_model", {
        "_class_name": "FluxTransformer2DModel", "in_channels": 16, "num_layers": 1, "num_single_layers": 1,
        "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 8, "pooled_projection_dim": 8,
        "guidance_embeds": guided, "axes_dims_rope": [4, 2, 2], "patch_size": 1, "out_channels": None},
        flux(16, 8, 8, 8, 16, guided))
    for part, kind in (("tokenizer", "clip"), ("tokenizer_2", "t5")):
        os.makedirs("%s/%s" % (name, part))
        shutil.copy(golden + "tokenizer_%s.json" % kind, "%s/%s/tokenizer.json" % (name, part))
    os.makedirs(name + "/scheduler")
    json.dump({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0 if guided else 1.0,
               "use_dynamic_shifting": guided}, open(name + "/scheduler/scheduler_config.json", "w"))
    shutil.copytree("vae/vae", name + "/vae")
    json.dump({"_class_name": "FluxPipeline", "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
               "text_encoder": ["transformers", "CLIPTextModel"], "text_encoder_2": ["transformers", "T5EncoderModel"],
               "tokenizer": ["transformers", "CLIPTokenizer"], "tokenizer_2": ["transformers", "T5TokenizerFast"],
               "transformer": ["diffusers", "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]},
              open(name + "/model_index.json", "w"))
PY
g="generate dev --device cpu --text-length 8 --size 16"

# ---- what is made ----
run 0 imgtrain info dev
out_has "dev: model, FluxPipeline"
out_has "text_encoder_2   T5EncoderModel"
out_has "yes, by --prompt"
mkdir -p hub/models--owner--dev/refs hub/models--owner--dev/snapshots
echo abc >hub/models--owner--dev/refs/main
cp -r dev hub/models--owner--dev/snapshots/abc
TRANSFORMERS_CACHE=$PWD/hub run 0 imgtrain info owner/dev # as in the hub's cache
out_has "snapshots/abc: model, FluxPipeline"
run 66 imgtrain info owner/dev
err_has "owner/dev: No such file"
run 0 imgtrain $g --prompt "a red cat" -o a.png --json --dump a.safetensors
out_has '"steps": 28'
out_has '"guidance": 3.5'
out_has '"stage": "clip"'
out_has '"stage": "text"'
err_lacks "no effect"
for name in ids text pooled sigmas; do run 0 grep -qF "\"$name\"" a.safetensors; done
run 0 imgtrain $g --prompt "a red cat" -o again.png --json # no encoder is opened
out_lacks '"stage": "text"'
out_lacks '"stage": "clip"'
same a.png again.png
run 0 imgtrain $g --prompt "a red cat" -o again.png --offload sequential --memory-limit 1GB --text-cache none
same a.png again.png
run 0 imgtrain generate --like a.png --device cpu -o again.png # which knows the text's length, too
same a.png again.png
run 0 imgtrain $g --prompt "a red cat" --guidance 1 -o other.png
differ a.png other.png
run 0 imgtrain $g --prompt "a red cat" --text-length 9 -o other.png
differ a.png other.png
run 0 imgtrain $g --prompt "a blue cat" -o other.png
differ a.png other.png
run 0 imgtrain $g --prompt "a red cat" --init-image a.png --strength 0.5 --steps 4 -o other.png
err_has "2 steps of 4"
printf 'P2 16 16 255\n' >mask.pgm
awk 'BEGIN { for (i = 0; i < 256; i++) print (i < 128 ? 255 : 0) }' >>mask.pgm
run 0 imgtrain $g --prompt "a red cat" --init-image a.png --mask mask.pgm --steps 10 -o other.png
err_has "6 steps of 10" # at strength .6, as the reference has it
run 0 imgtrain generate schnell --device cpu --text-length 8 --size 16 --prompt "a red cat" -o s.png --json
out_has '"steps": 4'
out_has '"guidance": 0'
run 0 imgtrain plan dev --size 16
out_has "clip"
out_has "text"
out_has "denoise"

# ---- what has no effect ----
run 0 imgtrain generate schnell --device cpu --text-length 8 --size 16 --prompt "a red cat" --guidance 3 -o again.png
err_has "--guidance has no effect"
same s.png again.png
run 0 imgtrain generate --like s.png --device cpu -o again.png
err_lacks "no effect"
same s.png again.png
run 0 imgtrain $g --prompt "a red cat" --negative rain -o again.png
err_has "--negative has no effect"
same a.png again.png

# ---- bad input: one line, nothing written ----
refused() {
    status=$1 said=$2
    shift 2
    run "$status" imgtrain generate dev --device cpu -o no.png "$@"
    err_has "$said"
    has_not no.png
}
refused 64 "--text-length 0" --prompt a --size 16 --text-length 0
refused 64 "--text-length 513" --prompt a --size 16 --text-length 513
refused 64 "no prompt" --size 16
refused 64 "no size" --prompt a
refused 64 "16x16 or 20x16" --prompt a --size 18x16
refused 64 "--guidance -1" --prompt a --size 16 --guidance -1
refused 31 "" --prompt a --size 16 --memory-limit 1KB
refused 73 "vae.yaml" --prompt a --size 16 --dump vae.yaml/none.safetensors
refused 73 "vae: a folder" --prompt a --size 16 --dump vae
broken() { # FILE FROM TO SAYS
    cp "dev/$1" kept
    sed "s/$2/$3/" kept >"dev/$1"
    refused 65 "$4" --prompt a --size 16
    cp kept "dev/$1"
}
broken model_index.json FluxPipeline FluxFillPipeline "_class_name is FluxFillPipeline"
broken model_index.json T5EncoderModel UMT5EncoderModel "text_encoder_2 is a UMT5EncoderModel; T5EncoderModel"
broken transformer/config.json '"out_channels": null' '"out_channels": 64' "out_channels another"
broken transformer/config.json '"in_channels": 16' '"in_channels": 18' "no multiple of 4"
broken transformer/config.json '"patch_size": 1' '"patch_size": 2' "patch_size is 2"
broken transformer/config.json '"num_layers": 1' '"num_layers": 0' "num_layers is 0 in config.json"
broken transformer/config.json '"num_single_layers": 1' '"num_single_layers": 2' "single_transformer_blocks.1."
broken transformer/config.json '"joint_attention_dim": 8' '"joint_attention_dim": 9' context_embedder.weight
broken transformer/config.json '"guidance_embeds": true' '"guidance_embeds": 1' "guidance_embeds"
mv dev/text_encoder_2/model.safetensors kept
refused 66 text_encoder_2 --prompt a --size 16
mv kept dev/text_encoder_2/model.safetensors

# ---- the images API: the same pictures, of prompts in turn; an image that cannot be is a line ----
ask() { # STATUS BODY [-o FILE]
    answer=$1
    shift
    run 0 python3 "$root/test/cli/http_client.py" "$(cat url)" POST /v1/images/generations "$@"
    out_has "$answer"
}
run 0 imgtrain doctor
if grep -q '^HTTP *\(no\|not\)' "$out"; then
    skip "no libmicrohttpd in this build, or here"
else
    "$program" serve dev schnell --device cpu --port 0 >url 2>said &
    server=$!
    wait_for_words url $server
    run 0 imgtrain generate dev --device cpu --size 16 --steps 2 --prompt "a red cat" --seed 5,6 -o served
    ask 200 '{"prompt": "a red cat", "size": "16x16", "steps": 2, "seed": 5, "n": 2}' -o got.png
    same got.png served/seed-00005.png
    same got.png.1 served/seed-00006.png
    run 0 imgtrain generate dev --device cpu --size 16 --steps 2 --prompt "a blue cat" --guidance 1 -o served.png
    ask 200 '{"prompt": "a blue cat", "size": "16x16", "steps": 2, "seed": 0, "guidance": 1}' -o got.png
    same got.png served.png
    run 0 imgtrain generate schnell --device cpu --size 16 --prompt "a red cat" -o served.png
    ask 200 '{"model": "schnell", "prompt": "a red cat", "size": "16x16", "seed": 0, "guidance": 3}' -o got.png
    same got.png served.png
    ask 200 '{"model": "schnell", "prompt": "x", "size": "16x16", "negative_prompt": "y", "guidance": 3}'
    out_has '"ignored": "negative_prompt, guidance"'
    ask 400 '{"prompt": "a red cat", "size": "18x16"}'
    out_has "16x16 or 20x16"
    ask 400 '{"size": "16x16"}'
    out_has "no prompt: add prompt TEXT"
    ask 400 '{"prompt": "a\u0000 cat", "size": "16x16"}'
    out_has "zero byte"
    kill -TERM $server
    wait $server
fi

# a request
refused 64 "no multiple of 4: 4x4 is the least" --prompt a --size 3x4
for size in 0x16 16xy 100000x100000; do refused 64 "" --prompt a --size $size; done
for strength in 0 -1 1.5 nan; do refused 64 strength --prompt a --init-image a.png --strength $strength; done
for steps in 0 1000000 1.5; do refused 64 "--steps $steps" --prompt a --size 16 --steps $steps; done
for guidance in nan 1e9; do refused 64 "--guidance $guidance" --prompt a --size 16 --guidance $guidance; done
refused 64 "--seed 18446744073709551616" --prompt a --size 16 --seed 18446744073709551616
refused 64 "needs an --init-image" --prompt a --size 16 --mask mask.pgm
refused 64 "has no classes" --label circle --size 16
refused 31 "in way none takes" --prompt a --size 16 --memory-limit 100KB --offload none --text-cache none
picture odd.ppm 18 16
refused 64 "16x16 or 20x16" --prompt a --init-image odd.ppm
refused 64 "16x16" --prompt a --init-image a.png --mask odd.ppm
sed 's/^255$/0/' mask.pgm >empty.pgm
refused 64 "is empty" --prompt a --init-image a.png --mask empty.pgm
refused 65 vae.yaml --prompt a --init-image vae.yaml
run 0 imgtrain $g --prompt a --init-image a.png --mask empty.pgm --invert-mask -o b.png --steps 2
err_has "covers everything"
run 0 imgtrain $g --prompt a --init-image mask.pgm --strength 0.01 -o b.png --steps 2
err_has "grey, taken as colour"
err_has "1 steps of 2"

# prompts of every kind
printf 'a \377 cat' >broken.txt
run 0 imgtrain $g --prompt @broken.txt -o b.png --steps 1
err_has "U+FFFD"
head -c 400000 /dev/zero | tr '\0' '\377' >broken.txt # 1.2 MB of U+FFFD
refused 65 "1200000 bytes, with U+FFFD" --prompt @broken.txt --size 16
printf 'a\0b' >zero.txt
refused 65 "zero bytes" --prompt @zero.txt --size 16
yes "a red cat in the rain" | head -c 10000 >long.txt
run 0 imgtrain $g --prompt @long.txt --text-length 512 -o b.png --steps 1
err_has "reads 512 tokens"
err_has "its first 77 tokens alone"
for prompt in "" "   " "👩‍👩‍👧 ❤️" "a<|endoftext|>b</s>c"; do
    run 0 imgtrain $g --prompt "$prompt" -o b.png --steps 1
    differ b.png a.png
done

# what an encoder made of a prompt lies where nothing can be written: it is made anew
run 0 imgtrain $g --prompt "a red cat" -o again.png --text-cache vae.yaml/none
err_has "are not kept"
same a.png again.png

# files: official_refused_test.c has those of each component
for words in tokenizer tokenizer_2; do
    cp dev/$words/tokenizer.json kept
    printf '{"model": {"type": "WordPiece", "vocab": {}}}' >dev/$words/tokenizer.json
    refused 65 "dev/$words/tokenizer.json" --prompt a --size 16
    head -c 100 kept >dev/$words/tokenizer.json
    refused 65 "dev/$words/tokenizer.json" --prompt a --size 16
    cp kept dev/$words/tokenizer.json
done
mv dev/tokenizer kept-1 && mv dev/tokenizer_2 dev/tokenizer && mv kept-1 dev/tokenizer_2
refused 65 "tokenizer_2: a tokenizer of kind BPE; T5 has one of kind Unigram" --prompt a --size 16
mv dev/tokenizer kept-1 && mv dev/tokenizer_2 dev/tokenizer && mv kept-1 dev/tokenizer_2
cp dev/tokenizer_2/tokenizer.json kept
printf '{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "b"}}' >dev/tokenizer_2/tokenizer.json
refused 65 "of kind names of classes" --label a --size 16
cp kept dev/tokenizer_2/tokenizer.json
echo '{"width": 16}' >dev/imgtrain.json
refused 65 "imgtrain.json: width 16, height 0: both or none" --prompt a
echo '{"width": 16, "height": 16, "guidance": 0}' >dev/imgtrain.json
run 0 imgtrain generate dev --device cpu --prompt a --steps 1 -o b.png --json
out_has '"guidance": 0'
rm dev/imgtrain.json
broken text_encoder/config.json '"hidden_size": 8' '"hidden_size": 2147483648' hidden_size
broken text_encoder/config.json quick_gelu gelu "hidden_act is gelu"
broken text_encoder/config.json '"num_attention_heads": 2' '"num_attention_heads": 3' num_attention_heads
broken text_encoder_2/config.json '"d_kv": 6' '"d_kv": 2147483648' d_kv
broken text_encoder_2/config.json gated-gelu relu "feed_forward_proj is relu"
broken text_encoder_2/config.json '"num_heads": 2' '"num_heads": 3' "SelfAttention"
broken scheduler/scheduler_config.json '"shift"' '"use_karras_sigmas": true, "shift"' karras

# ---- info: what of a damaged folder can be read, or no JSON at all ----
weights=dev/vae/diffusion_pytorch_model.safetensors
cp $weights kept
head -c 1000 kept >$weights
run 65 imgtrain info dev
out_has FluxTransformer2DModel
err_has "$weights"
run 65 imgtrain info dev --json
if [ -s "$out" ]; then flunk "a part of JSON was printed"; else pass; fi
cp kept $weights

# ---- what trains and compares here is another network ----
run 65 imgtrain eval dev shapes --device cpu
err_has "no S3-DiT"
finish
