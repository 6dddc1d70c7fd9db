#!/bin/sh
# plan and bench of a diffusion model: what each way to place its weights takes, predicted and measured.
. "$(dirname "$0")/lib.sh"

# ---- plan: nothing is loaded, so a model of 12 GB is no matter ----
run 0 imgtrain plan --arch z-image-turbo --size 1024x1024 --memory-limit 12GB
out_has "6154908736 parameters, 83819683 of its VAE, 3532578560 of its text encoder"
out_has "runs with --offload sequential"
out_has " text "
run 0 imgtrain plan --arch z-image-turbo --memory-limit 500MB
out_has "nothing fits: denoise in way sequential"
run 0 imgtrain plan --arch s3dit-1m
out_has "runs with --offload none"
run 0 imgtrain plan --arch s3dit-1m --json
cp "$out" plan.json
# workspaces grow with the number of threads: a limit that six tenths of the weights fit into
limit=$(python3 -c 'import json; w = json.load(open("plan.json"))["ways"][1]; print(w["working_bytes"] + w["weight_bytes"] * 6 // 10)')
run 0 imgtrain plan --arch s3dit-1m --memory-limit "$limit" --json
cp "$out" plan.json
run_script "$limit" <<'PY'
import json, sys
plan, limit = json.load(open("plan.json")), int(sys.argv[1])
assert plan["way"] == "sequential", plan["way"]
fits = {way["way"]: way["fits"] for way in plan["ways"]}
assert fits == {"none": False, "model": False, "sequential": True}, fits
assert all(way["device_bytes"] == way["weight_bytes"] + way["kept_bytes"] + way["working_bytes"] for way in plan["ways"])
assert plan["ways"][2]["device_bytes"] <= limit < plan["ways"][1]["device_bytes"]
assert [way["chosen"] for way in plan["ways"]] == [False, False, True]
PY
run 64 imgtrain plan --arch flux9
err_has "--arch flux9 is none of s3dit-1m, s3dit-1m-latent, s3dit-42m, s3dit-42m-latent, z-image-20th, z-image-turbo"
# the ladder of a 12 GB card: the whole model, one component at a time, block by block, at smaller sizes
run 0 imgtrain plan --arch z-image-turbo --sizes 1024,768,512 --memory-limit 12GB
out_has "8 steps, budget 11.2 GiB"
run 0 imgtrain plan --arch z-image-turbo --sizes 1024,768,512 --memory-limit 12GB --json
cp "$out" ladder.json
run_script <<'PY'
import json
rows = json.load(open("ladder.json"))["rows"]
sizes = [rows[i:i + 4] for i in (0, 4, 8)]
gib = 1 << 30
for none, model, sequential, least in sizes:
    assert [r["fits"] for r in (none, model, sequential, least)] == [False, False, True, True]
    assert (12.31 + 7.07 + .19) * 1e9 < none["predicted_bytes"] < 20.5 * gib, none
    assert 12.31e9 < model["predicted_bytes"] < 12.3 * gib, model
    assert model["predicted_copied_bytes"] == none["predicted_copied_bytes"]
    assert sequential["predicted_bytes"] <= 12e9 and sequential["residents"] > 60, sequential
    assert least["predicted_bytes"] < 2.5 * gib and least["residents"] < sequential["residents"], least
for above, below in zip(sizes, sizes[1:]):
    assert below[3]["predicted_bytes"] < above[3]["predicted_bytes"]
assert "image" not in rows[2]
PY
# FLUX.1: 23.8 GB of denoiser, 9.4 of text encoders beside their tables
run 0 imgtrain plan --arch flux-1-dev --sizes 1024 --memory-limit 12GB --json
cp "$out" flux.json
run_script <<'PY'
import json
none, model, sequential, least = json.load(open("flux.json"))["rows"]
assert [r["fits"] for r in (none, model, sequential, least)] == [False, False, True, True]
assert (23.8 + 9.43 + .1) * 1e9 < none["predicted_bytes"] < 36e9, none
assert 23.8e9 < model["predicted_bytes"] < 24.5e9, model
assert sequential["predicted_bytes"] <= 12e9 and sequential["residents"] > 50, sequential
assert least["predicted_bytes"] < 2e9, least
PY
# weights of 8 bits: half of it, and a float a row
run 0 imgtrain plan --arch flux-1-dev --sizes 1024 --dtype int8 --json
cp "$out" eight.json
run_script <<'PY'
import json
full, eight = (json.load(open(f"{name}.json"))["rows"][0]["predicted_copied_bytes"] for name in ("flux", "eight"))
assert .5 < eight / full < .52, (full, eight)
PY
run 64 imgtrain plan --arch flux-1-dev --dtype int4
err_has "--dtype int4 is none of auto, f32, bf16, int8"
# at 1024 px a card of 8 GB or 4 GB holds some blocks, one of 1 GB not all that a stage needs at once
for arch in z-image-turbo flux-1-dev; do
    for card in 8GB 4GB; do
        run 0 imgtrain plan --arch $arch --memory-limit $card
        out_has "runs with --offload sequential"
    done
    run 0 imgtrain plan --arch $arch --memory-limit 1GB
    out_has "more than the 954 MiB there are"
done
run 0 imgtrain plan --arch flux-1-schnell --size 512
out_has "4 steps, guidance 0"
for stage in clip text denoise decode; do out_has " $stage "; done
run 64 imgtrain plan --arch s3dit-1m --sizes 16 --size 16
err_has "--sizes is of all ways"
run 64 imgtrain plan --arch s3dit-1m --size 15x16
err_has "16x16 is the nearest"
run 64 imgtrain plan --arch s3dit-1m --size 1024
err_has "too large"
run 64 imgtrain plan --arch s3dit-1m --offload disk
run 64 imgtrain plan --arch s3dit-1m steps=3
run 64 imgtrain plan
err_has "a CONFIG or a MODEL is needed"

# ---- bench: the ladder ----
cat >check.py <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
sizes = {}
for row in rows:
    if row["fits"]:
        for key in ("bytes", "copies", "copied_bytes"):
            measured = row["device_bytes" if key == "bytes" else key]
            assert measured == row["predicted_" + key], (row["way"], key)
    sizes.setdefault((row["width"], row["height"]), []).append(row)
for size, ways in sizes.items():
    assert len(ways) == 4
    images = {row["image"] for row in ways if row["fits"]}
    assert len(images) == 1, (size, images)
    for above, below in zip(ways, ways[1:]):
        assert below["predicted_bytes"] <= above["predicted_bytes"], size
print(len(sizes), sum(row["fits"] for row in rows))
PY
run 0 imgtrain bench --arch s3dit-1m --steps 2 --json
cp "$out" whole.json
run 0 python3 check.py whole.json
out_is "3 12"
run 0 imgtrain bench --arch s3dit-1m --steps 2 --sizes 16,24x8 --memory-limit "$limit" --json
cp "$out" capped.json
run 0 python3 check.py capped.json
out_is "2 4"
run 0 imgtrain bench --arch s3dit-1m --steps 1 --sizes 16 --task gan
out_has "sequential, least"
err_has "--task has no effect on a MODEL"
# where ended processes are not waited for, as with SIGCHLD ignored, which a program hands on; the limit is for hangs
run 0 timeout 300 python3 -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' "$program" bench --arch s3dit-1m --steps 1 --sizes 16
out_has "sequential, least"
# with a VAE: a stage more, whose bands change no bit
run 0 imgtrain bench --arch s3dit-1m-latent --steps 2 --sizes 64,32x40 --json
cp "$out" latent.json
run 0 python3 check.py latent.json
out_is "2 8"
run 0 imgtrain bench --arch s3dit-1m-latent --from-image --steps 1 --sizes 64 --json
cp "$out" latent.json
run 0 python3 check.py latent.json
out_is "1 4"
run 0 imgtrain plan --arch s3dit-1m-latent --from-image
out_has " encode "
run 0 imgtrain plan --arch s3dit-1m --from-image
err_has "--from-image has no effect"
run 0 imgtrain plan --arch s3dit-1m-latent --size 64 --json
cp "$out" stages.json
run_script stages.json <<'PY'
import json, sys
ways = json.load(open(sys.argv[1]))["ways"]
assert [(way["way"], way["stage"]) for way in ways] == [(w, s) for w in ("none", "model", "sequential") for s in ("denoise", "decode")]
PY
# with a text encoder: its stage comes first
run 0 imgtrain bench --arch z-image-20th --steps 1 --sizes 64 --json
cp "$out" text.json
run 0 python3 check.py text.json
out_is "1 4"
run 0 imgtrain bench --arch flux-20th --steps 1 --sizes 64 --json
cp "$out" flux.json
run 0 python3 check.py flux.json
out_is "1 4"
run 64 imgtrain plan --arch s3dit-1m-latent --size 66
err_has "64x64 is the nearest"
run 64 imgtrain bench --arch s3dit-1m --sizes 16,17
run 64 imgtrain bench --arch s3dit-1m s3dit-1m

# ---- a model of one's own: a run's folder, and its model/ ----
"$root/scripts/draw_shapes.sh" shapes 2 8
cat >tiny.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
diffusion: {size: 8, dim: 16, layers: 1, heads: 1, axes: [8, 4, 4], text_dim: 8, images: 4, batch: 4, samples: 1, sample_steps: 2}
video: {enabled: false}
YAML
run 0 imgtrain train tiny.yaml -o own -q
run 0 imgtrain plan own --size 8x8 --json
run 0 imgtrain plan own # as generate would make an image of it
out_has "8x8, 2 steps, guidance 1"
cp -r own/model bare # and where the model does not say
rm bare/imgtrain.json
run 0 imgtrain plan bare --size 8x8
out_has "8x8, 20 steps, guidance 0"
run 0 imgtrain generate bare --label circle --size 8x8 -o bare.png
err_has "8x8, 20 steps of 20"
sed -i 's/"shift": 1/"shift": 3/' bare/scheduler/scheduler_config.json
run 0 imgtrain plan bare --size 8x8
out_has "8x8, 8 steps, guidance 0"
run 0 imgtrain generate bare --label circle --size 8x8 -o bare.png
err_has "8x8, 8 steps of 8"
run 0 imgtrain plan own/model --size 8x8
out_has "runs with --offload none"
run 0 imgtrain bench own --sizes 8,8x16 --steps 2 --json
cp "$out" own.json
run 0 python3 check.py own.json
out_is "2 8"
run 66 imgtrain bench nowhere
run 66 imgtrain plan nowhere
finish
