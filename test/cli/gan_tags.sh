#!/bin/sh
# A GAN of images with several labels each (labels: tags): where they come from, the same bits for any split and through
# a stop, samples of tags, also such as were never seen together, and what commands make of such a model.
. "$(dirname "$0")/lib.sh"

mkdir -p photos/red/round photos/red/square photos/blue/round
pictures photos/red/round 9 12 12
pictures photos/red/square 9 12 12
pictures photos/blue/round 9 12 12
for n in 1 2 3 4; do
    printf 'big,\n red\n' >photos/red/round/$n.txt
    printf 'big, blue\n' >photos/blue/round/$n.txt
done
cat >tiny.yaml <<'YAML'
task: gan
device: cpu
threads: 1
data: photos
labels: tags
gan: {size: 8, widths: [16, 8], z: 8, embedding: 6, images: 96, batch: 16, gamma: 1, samples: 4, lr: 0.01, eval_every: 3, eval_samples: 20}
frames: {every: 3}
eval_steps: 3
video: {enabled: false}
checkpoint: {every: 2, keep: 1}
YAML
run 0 imgtrain train tiny.yaml -o whole
err_has "photos: 27 images with 5 sets of tags"
err_has "5 tags; G "

# the same bits in other threads, in micro-batches, and killed and resumed
results="model.safetensors final.png"
trains_as_whole threads=3
trains_as_whole micro_batch=8 memory.level=1
killed_at 5 tiny.yaml -q -o broken
run 0 imgtrain train tiny.yaml -q -o broken --resume
same_run broken whole model.safetensors final.png
# what is asked for is taken, to the byte, also before an image is decoded
bytes=$(sed -n 's/.*"bytes": \([0-9]*\),.*/\1/p' whole/metrics.jsonl | tail -1)
run 0 imgtrain plan tiny.yaml --json
out_has "\"device_bytes\": $bytes,"

# tags that were seen together are a label; others are drawn as well
for n in 1 2 3; do
    case $n in 1) tags='round, red,round' ;; 2) tags='blue,square' ;; 3) tags='' ;; esac
    run 0 imgtrain sample whole --tags "$tags" --grid 2x2 -o tags$n.ppm
done
for n in 0 1 2 3 4; do
    run 0 imgtrain sample whole --class $n --grid 2x2 -o class$n.ppm
done
# 0 to 4: "big, blue, round", "big, red, round", "blue, round", "red, round", "red, square"
run 0 cmp tags1.ppm class3.ppm
for n in 0 1 2 4; do
    run 1 cmp -s tags1.ppm class$n.ppm
done
run 1 cmp -s tags2.ppm tags3.ppm
run 64 imgtrain sample whole --tags 'red, rouge' -o x
err_has "--tags: no tag 'rouge'; there are big, blue, red, round, square"
run 64 imgtrain sample whole --tags red --class 1 -o x
err_has "--class and --tags exclude each other"
run 64 imgtrain sample whole --class 5 -o x
# sets of other tags than the tables have columns, or of none, are not believed
for sets in '' 'big, blue, red, round' 'big, blue, red, round, square, x'; do
    cp whole/model.safetensors lie.safetensors
    python3 "$root/test/cli/store_file.py" lie.safetensors set "gan.label_sets=$sets" || flunk "store_file.py"
    run 65 imgtrain sample lie.safetensors --seeds 0 -o x
    err_has "imgtrain: lie.safetensors: "
done
has_not x
run 64 imgtrain project whole photos/red/round/1.ppm --class 5 -o x
run 0 imgtrain project whole photos/red/round/1.ppm --class 4 --steps 2 --candidates 8 --tune 1 -o found
run 0 imgtrain sample found/model.safetensors --tags 'blue,square' --grid 1x1 -o tuned.ppm

run 0 imgtrain eval whole photos
out_has "coverage"
# what is wrong with other weights is said before samples are made
run 66 imgtrain eval whole photos --features absent.safetensors
run 65 imgtrain eval whole photos --features whole/model.safetensors
err_has "whole/model.safetensors: tensor Conv2d_1a_3x3.conv.weight is missing"
cp -r photos fewer
rm fewer/red/round/*.txt
run 65 imgtrain eval whole fewer
err_has "fewer has 4 classes, but the model 5"
for n in 1 2 3 4; do
    echo huge >fewer/red/round/$n.txt
done
run 65 imgtrain eval whole fewer
err_has "fewer has images with other tags than the model: '"
run 78 imgtrain train tiny.yaml data=fewer -o whole --resume
err_has "these are not the images that this run began with"

run 0 imgtrain export whole -o tags.onnx
err_has "z of 8 numbers and tags -> images of 8x8"
run 0 imgtrain info tags.onnx
out_has "input        tags float32 [N, 5]"
out_has "in this order: big, blue, red, round, square"
python=${PYTHON:-python3}
if "$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
    "$python" -c 'import numpy; numpy.save("z.npy", numpy.random.default_rng(1).normal(size=(4, 8)).astype("f4"))'
    run 0 imgtrain sample whole --latents z.npy --tags 'blue, square' --grid 4x1 -o drawn.ppm
    run 0 "$python" "$root/test/cli/onnx_beside.py" tags.onnx z.npy drawn.ppm 1,4
    out_has "4 of 4 images agree"
    run 0 "$python" "$root/test/cli/onnx_beside.py" tags.onnx z.npy drawn.ppm 2,4
    out_lacks "4 of 4 images agree"
else
    skip "onnxruntime's images of tags: $python has no numpy, onnx and onnxruntime (PYTHON=... picks another)"
fi

# other models and tasks
run 0 imgtrain train tiny.yaml -q labels=false -o plain
run 64 imgtrain sample plain --tags red -o x
err_has "--tags: this model was trained without tags"
mkdir bare
pictures bare 5 12 12
run 65 imgtrain train tiny.yaml data=bare -o x
err_has "bare: no image has a tag: a folder around it, or words between commas in a text NAME.txt beside it (1.ppm)"
run 78 imgtrain train task=diffusion data=photos labels=tags -o x
err_has "diffusion.labels: tags are for a GAN"
has_not x
finish
