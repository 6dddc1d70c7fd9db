#!/bin/sh
# A GAN that begins with another one's weights (gan.init_from): of the same kind, of other classes, of another size.
. "$(dirname "$0")/lib.sh"

mkdir -p photos/a photos/b
pictures photos/a 6 16 16
pictures photos/b 6 20 16
run 0 rm photos/b/1.ppm
common="task=gan data=photos threads=1 device=cpu batch=8 gamma=1 samples=4 video.enabled=false frames.count=0 checkpoint.keep=1"
begin() { # STATUS RUN KEY=VALUE ...
    status=$1
    folder=$2
    shift 2
    rm -rf "$folder"
    # shellcheck disable=SC2086  # a list of keys
    run "$status" imgtrain train $common -o "$folder" "$@"
}
begin 0 one size=16 'widths=[16,8,8]' images=16
# the same network: all of it, whatever names it; a model has no D
for from in one one/checkpoints/step-000000002.safetensors; do
    begin 0 same size=16 'widths=[16,8,8]' max_steps=0 init_from=$from
    err_has "gan.init_from: of $from 38 of 38 tensors are taken (G 19 of 19, D 19 of 19)"
    same same/final.png one/final.png
done
begin 0 same size=16 'widths=[16,8,8]' max_steps=0 init_from=one/model.safetensors
err_has "19 of 38 tensors are taken (G 19 of 19, D 0 of 19); as they were drawn: d.rgb, d.s2.b0.w1"
err_has " and 11 more"
same same/final.png one/final.png
begin 0 same size=16 'widths=[16,8,8]' max_steps=0
differ same/final.png one/final.png

# classes came: the latent's columns of G's first layer, and what knows of no class
begin 0 classes size=16 'widths=[16,8,8]' embedding=8 images=16 labels=true init_from=one
err_has "36 of 40 tensors are taken (G 18 of 20, D 18 of 20), and g.linear for the latent; as they were drawn: g.embed, g.linear, d.linear, d.embed"
begin 0 same size=16 'widths=[16,8,8]' embedding=8 max_steps=0 labels=true init_from=one
python3 - <<'PY' && pass || flunk "g.linear's columns of the latent are not those of the model"
import json, struct
def linear(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    t = json.loads(data[8:8 + size])["g.linear"]
    rows, columns = t["shape"]
    values = struct.unpack_from("<%df" % (rows * columns), data, 8 + size + t["data_offsets"][0])
    return [values[i * columns:i * columns + 64] for i in range(rows)], columns
old, a = linear("one/model.safetensors")
new, b = linear("same/model.safetensors")
assert (a, b) == (64, 72) and old == new
PY
# classes of the same number are taken in their order, of another number not
begin 0 same size=16 'widths=[16,8,8]' embedding=8 max_steps=0 labels=true init_from=classes
err_has "40 of 40"
same same/final.png classes/final.png
mkdir photos3 && cp -R photos/a photos/b photos3 && cp -R photos/a photos3/c
begin 0 three size=16 'widths=[16,8,8]' embedding=8 max_steps=0 labels=true init_from=classes data=photos3
err_has "38 of 40 tensors are taken (G 19 of 20, D 19 of 20); as they were drawn: g.embed, d.embed"

# a larger size: the stages that are there, the new one is added
begin 0 large size=32 'widths=[16,8,8,8]' images=16 init_from=one
err_has "38 of 48 tensors are taken (G 19 of 24, D 19 of 24); as they were drawn: g.s3.b0.w1"
begin 0 wide size=16 'widths=[16,16,8]' max_steps=0 init_from=one
err_has "26 of 38 tensors are taken (G 13 of 19, D 13 of 19); as they were drawn: g.s1.b0.w1"

# a run that has begun so goes on without it, to the same bits
begin 0 whole size=16 'widths=[16,8,8]' images=32 init_from=one checkpoint.every=2
rm -rf killed
# shellcheck disable=SC2086
killed_at 3 $common -o killed size=16 'widths=[16,8,8]' images=32 init_from=one checkpoint.every=2
mv one gone
# shellcheck disable=SC2086
run 0 imgtrain train $common -o killed size=16 'widths=[16,8,8]' images=32 init_from=one checkpoint.every=2 --resume threads=2 micro_batch=8 scheme=block
same killed/model.safetensors whole/model.safetensors
same killed/final.png whole/final.png

# ---- more images than the run began with: schedules go on from where they are ----
# rates RUN: the learning rate of each step
rates() { awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "lr") k = i; next } { print $k }' "$1/metrics.csv"; }
short="size=8 widths=[8] eval_steps=1 checkpoint.every=1 eval_samples=0"
# shellcheck disable=SC2086  # lists of keys
begin 0 short $short images=32
rates short >before
run 0 cp -R short grown
# shellcheck disable=SC2086
run 0 imgtrain train $common -o grown $short images=64 --resume
err_has "gan.images: 64 in place of 32: schedules go on from 100 % of their way, which is their end"
rates grown >now
run 0 test "$(wc -l <now)" = 8 -a "$(head -n 4 now)" = "$(cat before)" -a "$(tail -n 4 now | sort -u)" = 0.00025
rm -rf grown
# shellcheck disable=SC2086
killed_at 2 $common -o grown $short images=32
# shellcheck disable=SC2086
run 0 imgtrain train $common -o grown $short max_steps=12 --resume
err_has "gan.images: 96 in place of 32: schedules go on from 50 % of their way"
rates grown >now
run 0 test "$(wc -l <now)" = 12 -a "$(head -n 3 now)" = "$(head -n 3 before)" -a "$(sort -gr now)" = "$(cat now)"
run 0 test "$(sort -u now | wc -l)" = 12
# killed within the longer run, and before its first step: the same bits
for step in 2 5; do
    rm -rf again
    # shellcheck disable=SC2086
    killed_at 2 $common -o again $short images=32
    # shellcheck disable=SC2086
    killed_at $step $common -o again $short images=96 --resume
    # shellcheck disable=SC2086
    run 0 imgtrain train $common -o again $short images=96 --resume threads=2 micro_batch=4
    same again/model.safetensors grown/model.safetensors
done
# fewer: it ends earlier
rm -rf again
# shellcheck disable=SC2086
killed_at 2 $common -o again $short images=64
# shellcheck disable=SC2086
run 0 imgtrain train $common -o again $short images=32 --resume
rates again >now
run 0 test "$(wc -l <now)" = 4

begin 66 bad size=16 init_from=one
err_has "gan.init_from: open one"
begin 65 bad size=16 init_from=photos/a/1.ppm
begin 78 bad size=16 'widths=[32,24,24]' 'blocks=[2]' z=8 init_from=gone
err_has "gan.init_from: no tensor of gone has the shape"
has_not bad
finish
