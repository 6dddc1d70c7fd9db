#!/bin/sh
# imgtrain train with task diffusion: the files of a run, the same bits for any split, number of threads
# and level and through kill -9, texts in place of classes, and every kind of bad input.
. "$(dirname "$0")/lib.sh"

"$root/scripts/draw_shapes.sh" shapes 10 8
cat >tiny.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
diffusion: {size: 8, dim: 16, layers: 1, heads: 1, axes: [8, 4, 4], text_dim: 8, images: 200, batch: 20, samples: 6, sample_steps: 2, eval_every: 4}
frames: {every: 4}
eval_steps: 2
video: {enabled: false}
checkpoint: {every: 3, keep: 9}
YAML
run 0 imgtrain train tiny.yaml --dry-run
out_has "task           diffusion, 10 steps"
run 0 imgtrain train tiny.yaml --dry-run max_steps=3
out_has "task           diffusion, 3 steps"
run 0 imgtrain plan tiny.yaml
out_has "level"
run 78 imgtrain train tiny.yaml --dry-run topk=3
run 0 imgtrain train tiny.yaml -o whole threads=1
err_has "4 classes"
out_has "whole/final.png"
out_has "whole/model.safetensors"
has whole/model/model_index.json whole/model/transformer/diffusion_pytorch_model.safetensors whole/reference.png whole/frames/000000004.jpg whole/best.safetensors
tool rows whole/reference.png >reference # 3 x 2 images of 4 classes: the first and the fifth are of one
sed -n 1,176p reference | cut -d' ' -f1-528 >first
sed -n 177,352p reference | cut -d' ' -f529-1056 >fifth
run 0 test -s fifth
differ first fifth
run 0 grep -q '"held_loss": [0-9].*"loss_9": [0-9]' whole/metrics.jsonl
run 0 imgtrain info whole/model.safetensors --tensors
out_has "diffusion"
out_has "layers.0.attention.to_q.weight"
out_has "4 classes"
run 0 imgtrain info whole
out_has "  layers                       F32     15 tensors"
out_has "(--tensors: each of them)"
out_lacks "layers.0"

run 0 imgtrain eval whole shapes --samples 8
out_has "right      "
run 0 imgtrain eval whole/model.safetensors shapes --samples 8 --json
out_has '"right": '
mkdir two && cp -R shapes/circle shapes/cross two
run 65 imgtrain eval whole two
err_has "two has 2 classes, but the model 4"

# ---- no choice of how it is computed changes a bit ----
results="final.png model.safetensors best.safetensors"
trains_as_whole threads=2
trains_as_whole threads=3 memory.level=1
trains_as_whole threads=2 memory.level=2
trains_as_whole threads=1 memory.level=4
trains_as_whole max_steps=10
# mixed precision is another result, and about the same loss
run 0 imgtrain train tiny.yaml -o mixed -q memory.level=3
differ mixed/model.safetensors whole/model.safetensors

# ---- stopped anywhere and resumed in another way ----
for step in 0 3 5 9; do
    rm -rf killed
    killed_at $step tiny.yaml -o killed -q threads=1
    run 0 imgtrain train tiny.yaml -o killed -q --resume memory.level=2 threads=2
    same_run killed whole $results
done
for step in 3 6 9; do
    rm -rf half
    cp -R whole half
    back_to half $step
    run 0 imgtrain train tiny.yaml -o half -q --resume memory.level=$((step % 2 * 4)) threads=$((step / 3))
    same_run half whole $results
done
run 78 imgtrain train tiny.yaml -o killed --resume lr=0.5
err_has "diffusion.lr"
run 78 imgtrain train tiny.yaml -o killed --resume images=400
err_has "cannot be made longer or shorter"
cp shapes/circle/0000.ppm shapes/cross/0000.ppm
rm killed/final.png killed/model.safetensors
run 78 imgtrain train tiny.yaml -o half --resume
err_has "these are not the images that this run began with"

# ---- a batch that grows with the memory: resumed to the same bits ----
grows="memory.grow=true memory.adjustment_frequency=2 batch=8 images=160"
# shellcheck disable=SC2086  # a list of words
run 0 imgtrain train tiny.yaml -o grown -q $grows
run 0 grep -q '"batch": 32' grown/memory.jsonl
cp -R grown grown2
back_to grown2 3
# shellcheck disable=SC2086
run 0 imgtrain train tiny.yaml -o grown2 -q --resume $grows
same grown2/model.safetensors grown/model.safetensors

# ---- a stop does not wait for the final image, which the next run makes ----
long="frames.every=0 frames.count=0 images=40 samples=64 sample_steps=400"
# shellcheck disable=SC2086
"$program" train tiny.yaml -o long -q $long >"$out" 2>"$err" &
pid=$!
wait_for long/checkpoints/step-000000002.safetensors
sleep 0.1
kill -TERM "$pid"
wait "$pid"
if [ $? = 75 ]; then pass; else flunk "a stop while the final image is drawn"; fi
has_not long/final.png
# shellcheck disable=SC2086
run 0 imgtrain train tiny.yaml -o long -q --resume $long
has long/final.png

# ---- texts ----
mkdir texts
for shape in circle cross; do
    for number in 0 1 2 3 4 5; do
        cp shapes/$shape/000$number.ppm texts/$shape-$number.ppm
        printf 'a %s\n' $shape >texts/$shape-$number.txt
    done
done
run 0 imgtrain train tiny.yaml -o told data=texts captions=true labels=labels.csv threads=1 batch=8 images=32
err_has "12 images with 2 texts"
err_has "diffusion.labels has no effect with captions"
run 0 imgtrain train tiny.yaml -o told2 data=texts captions=true threads=2 batch=8 images=32 memory.level=2
same told/final.png told2/final.png
rm texts/cross-5.txt
printf '%0300d' 1 >texts/circle-0.txt
run 0 imgtrain train tiny.yaml -o told3 data=texts captions=true batch=8 images=16
err_has "1 of 12 images have no description (cross-5.ppm)"
err_has "1 texts are longer than 256 bytes"
rm texts/*.txt
run 65 imgtrain train tiny.yaml -o bad data=texts captions=true
err_has "no image has a description"

# ---- without classes ----
run 0 imgtrain train tiny.yaml -o none labels=false images=40
err_has "0 classes"

# ---- grey images, larger patches: the same bits again, and a model of that kind ----
for kind in "channels=1" "patch=4"; do
    rm -rf kind other
    run 0 imgtrain train tiny.yaml -o kind -q images=40 threads=1 "$kind"
    run 0 imgtrain train tiny.yaml -o other -q images=40 threads=2 memory.level=2 "$kind"
    same kind/final.png other/final.png
    same kind/model.safetensors other/model.safetensors
    run 0 imgtrain eval kind shapes --samples 8
    run 0 imgtrain generate kind --label circle --testing -o "$kind.png"
done
run 0 imgtrain train tiny.yaml -o grey -q images=40 channels=1
run 0 python3 -c "
import json
print(json.load(open('grey/model/transformer/config.json'))['in_channels'],
      json.load(open('kind/model/transformer/config.json'))['all_patch_size'])"
out_has "1 [4]"

# ---- classes out of a file, and the same images in folders ----
mkdir flat
for shape in circle cross square triangle; do
    for number in 0 1 2 3 4 5 6 7 8 9; do
        cp shapes/$shape/000$number.ppm flat/$shape-000$number.ppm
        echo "$shape-000$number,$shape"
    done
done >labels.csv
run 0 imgtrain train tiny.yaml -o listed -q data=flat labels=labels.csv threads=1
run 0 imgtrain train tiny.yaml -o sorted -q threads=1
same listed/final.png sorted/final.png
run 0 imgtrain eval listed flat --samples 8
run 0 imgtrain generate listed --label triangle --testing -o listed.png
mv labels.csv moved.csv
rm listed/final.png
run 0 imgtrain train tiny.yaml -o listed -q data=flat labels=moved.csv --resume
run 66 imgtrain train tiny.yaml -o bad data=flat labels=labels.csv
err_has "labels.csv"
sed -i 's/^cross-0003,.*/cross-0003/' moved.csv
run 65 imgtrain train tiny.yaml -o bad data=flat labels=moved.csv
err_has "moved.csv:14:11: NAME,CLASS is expected"
err_lines 1
has_not bad

# ---- begun with a model: its weights, of classes those of the same names ----
run 0 imgtrain train tiny.yaml -o deep -q images=20 layers=2
for from in deep deep/model deep/best.safetensors deep/checkpoints/step-000000001.safetensors; do
    rm -rf begun
    run 0 imgtrain train tiny.yaml -o begun layers=2 max_steps=0 init_from=$from
    err_has "diffusion.init_from: the weights of $from"
    same begun/final.png deep/final.png
done
rm -rf begun
run 0 imgtrain train tiny.yaml -o begun -q layers=2 max_steps=2 checkpoint.every=1 init_from=deep
mv deep deeper
back_to begun 1
run 0 imgtrain train tiny.yaml -o begun -q layers=2 max_steps=2 checkpoint.every=1 init_from=deep --resume
mkdir new && cp -R shapes/circle new && cp -R shapes/cross new/hexagon
run 0 imgtrain train tiny.yaml -o begun2 layers=2 max_steps=0 data=new init_from=deeper
err_has "diffusion.init_from: 1 of 2 classes are not in deeper and are learnt anew"
sed -i 's/"n_layers": 2/"n_layers": 1/' deeper/model/transformer/config.json
run 65 imgtrain generate deeper --label circle
err_has "tensor layers.1."
err_has "n_layers is 1 in config.json"

# ---- what its rKID is worth ----
run 0 imgtrain eval whole shapes --samples 24 --json
cp "$out" figures.json
run 0 python3 -c "
import json
f = json.load(open('figures.json'))
assert f['rkid_noise'] > 1 and f['rkid_mean'] > 0.1 and f['rkid_held'] is None, f"

# ---- whatever a model lies in, its figures are the same ----
sed 's/^.*"samples"/"samples"/' figures.json >figures
for model in whole/model whole/model.safetensors whole/checkpoints/step-000000010.safetensors; do
    run 0 imgtrain eval $model shapes --samples 24 --json
    sed 's/^.*"samples"/"samples"/' "$out" >others
    same figures others
done
has_not whole/model/cache

# ---- samples measured while it trains: no bit of the network depends on that ----
run 0 imgtrain train tiny.yaml -o measured -q eval_samples=12 threads=1 data=shapes
run 0 imgtrain train tiny.yaml -o measured2 -q eval_samples=12 threads=2 memory.level=2
same_run measured2 measured $results
same measured/final.png sorted/final.png
run 0 grep -q '"rkid": [0-9-].*"precision": [0-9].*"nn_ratio": [0-9]' measured/metrics.jsonl

# ---- bad input: one line, the right status, no folder ----
mkdir empty one broken
cp shapes/circle/0001.ppm one
echo "no picture" >broken/a.png
# refused STATUS TEXT KEY=VALUE ...
refused() {
    run "$1" imgtrain train tiny.yaml -o bad "$3" ${4:+"$4"}
    err_has "$2"
    err_lines 1
    has_not bad
}
refused 78 "data is not set" data=
refused 66 "missing" data=missing
refused 65 "no image" data=empty labels=auto
refused 65 "only one image" data=one labels=auto
refused 65 "labels=true" data=one
mkdir nameless && cp -R shapes/circle nameless && cp -R shapes/cross 'nameless/<none>'
run 65 imgtrain train tiny.yaml -o bad data=nameless
err_has "class <none>: this name is that of no class"
has_not bad
refused 78 "sides are multiples of 4: 12 x 12 is" diffusion.size=10
refused 78 "sides are multiples of 12: 12 x 12 is" patch=3
refused 78 "diffusion.channels: 2: images have 1 (grey) or 3 (colours)" channels=2
refused 78 "diffusion.init_from: deeper/model.safetensors has 2 for diffusion.layers, this config 1" init_from=deeper/model.safetensors
refused 66 "diffusion.init_from: nowhere" init_from=nowhere
refused 78 "diffusion.axes: 2 values" 'axes=[8, 8]'
refused 78 "diffusion.dim, heads, axes" 'axes=[8, 4, 2]'
refused 78 "diffusion.dim, heads, axes" heads=3
refused 78 "lr: expected a number" lr=nan
run 31 imgtrain train tiny.yaml -o bad memory.limit=100KB
err_has "memory.limit is 97.7 KiB"
run 65 imgtrain train tiny.yaml -o bad data=broken labels=auto
err_has "broken"
has_not bad
finish
