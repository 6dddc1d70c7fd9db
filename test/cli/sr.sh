#!/bin/sh
# imgtrain train with task sr, and imgtrain upscale: the files of a run, the same bits however it is
# computed and through kill -9, the same picture whatever the tile, and every kind of bad input.
. "$(dirname "$0")/lib.sh"

pictures photos 6 64 48
cat >tiny.yaml <<'YAML'
task: sr
dataroot_gt: photos
device: cpu
sr: {num_feat: 16, num_conv: 2, lq_size: 12, batch: 5, max_steps: 12, lr_g: 0.002}
frames: {every: 6}
eval_steps: 4
video: {enabled: false}
checkpoint: {every: 4, keep: 1}
YAML
run 0 imgtrain train tiny.yaml --dry-run
out_has "task           sr, 12 steps"
run 0 imgtrain plan tiny.yaml
run 0 imgtrain train tiny.yaml -o whole threads=1
err_has "held out: "
has whole/final.png whole/model.safetensors whole/best.safetensors whole/frames/000000006.jpg
run 0 grep -q '"columns": \["LQ", "result", "GT"\]' whole/frames/000000006.json
run 0 grep -q '"step": 12, .*"psnr_y": [0-9].*"colour_shift": [0-9]' whole/metrics.jsonl
run 0 imgtrain info whole/model.safetensors
out_has "Enlarges by  2"
out_has "body.6.bias"
run 0 imgtrain eval whole photos
out_has "mean "
run 0 imgtrain eval whole photos --json

# ---- eval of a model, and of the files that upscale makes with it: the same figures ----
mkdir flat # whose reduction is known: flat
awk 'BEGIN { print "P3 24 24 255"; for (i = 0; i < 576; i++) print "90 140 30" }' >flat/a.ppm
awk 'BEGIN { print "P3 12 12 255"; for (i = 0; i < 144; i++) print "90 140 30" }' >reduced.ppm
run 0 imgtrain upscale whole reduced.ppm -o enlarged.ppm
run 0 imgtrain eval whole flat --json
last="the colour shift of a flat image, and that of its enlargement's bytes"
shift=$(sed 's/.*"colour_shift": \([0-9.e-]*\).*/\1/' "$out")
mean=$(tail -c 1728 enlarged.ppm | od -An -v -tu1 -w3 | awk '{ for (c = 1; c <= 3; c++) s[c] += $c }
    END { d[1] = s[1] / NR - 90; d[2] = s[2] / NR - 140; d[3] = s[3] / NR - 30
        for (c in d) { if (d[c] < 0) d[c] = -d[c]; if (d[c] > m) m = d[c] } print m }')
if awk -v a="$shift" -v b="$mean" 'BEGIN { d = a - b; exit !(a > .05 && d < .6 && d > -.6) }'; then pass; else flunk "$shift, $mean"; fi
figures() { sed 's/"identical": [a-z]*,//' "$out" | tr '{' '\n' | grep -o '"\(psnr\|ssim\)\(_y\)*": [0-9.e-]*' | sort -u; }
for border in 2 5; do
    option=
    [ $border = 2 ] || option="--crop-border $border" # 2, the scale, is what a network's are measured by
    # shellcheck disable=SC2086
    run 0 imgtrain eval whole flat --json $option
    figures >of_model
    run 0 imgtrain eval enlarged.ppm flat/a.ppm --y --crop-border $border --json
    figures >of_files
    if [ "$(wc -l <of_files)" = 4 ]; then pass; else flunk "not four figures"; fi
    same of_model of_files
    mv of_files of_$border
done
differ of_2 of_5
run 0 imgtrain bench --task sr --device cpu --size 8 --patches 2 --features 16 --convs 1 --steps 2

# ---- a model has the tensors that other programs expect, and no more ----
if command -v python3 >/dev/null; then
    run 0 python3 -c "
import json, struct
f = open('whole/model.safetensors', 'rb')
h = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
h.pop('__metadata__')
print(sorted((k, v['shape'], v['dtype']) for k, v in h.items()) == sorted(
    [('body.0.weight', [16, 3, 3, 3], 'F32'), ('body.0.bias', [16], 'F32'), ('body.1.weight', [16], 'F32'),
     ('body.2.weight', [16, 16, 3, 3], 'F32'), ('body.2.bias', [16], 'F32'), ('body.3.weight', [16], 'F32'),
     ('body.4.weight', [16, 16, 3, 3], 'F32'), ('body.4.bias', [16], 'F32'), ('body.5.weight', [16], 'F32'),
     ('body.6.weight', [12, 16, 3, 3], 'F32'), ('body.6.bias', [12], 'F32')]))"
    out_is True
fi

# ---- no choice of how it is computed changes a bit ----
trains_the_same() {
    last="train $*"
    rm -rf other
    if ! "$program" train tiny.yaml -o other -q "$@" >"$out" 2>"$err"; then
        flunk "ended with status $?"
    elif ! cmp -s other/final.png whole/final.png; then
        flunk "the pictures differ"
    elif ! cmp -s other/model.safetensors whole/model.safetensors; then
        flunk "the models differ"
    elif ! cmp -s other/best.safetensors whole/best.safetensors; then
        flunk "the best models differ"
    else
        pass
    fi
}
trains_the_same threads=2
trains_the_same threads=7
for level in 0 1 2 4; do trains_the_same threads=1 memory.level=$level; done
# the least that its plan can do with
imgtrain plan tiny.yaml --json >plan.json
grep -v '"amp": true' plan.json >plain.json
trains_the_same memory.limit="$(least_bytes plain.json)"
run 31 imgtrain train tiny.yaml -o small -q memory.limit=$(($(least_bytes plan.json) - 64))
has_not small

# ---- mixed precision: another result, a near one, the same bits however it is computed ----
mixed_files() { same other/model.safetensors half/model.safetensors && same other/final.png half/final.png; }
mixed_least=$(grep '"amp": true' plan.json >mixed.json && least_bytes mixed.json)
run 0 imgtrain plan tiny.yaml --json deterministic=true
if grep -q '"amp": true' "$out"; then flunk "deterministic, and yet mixed"; else pass; fi
if [ -z "$mixed_least" ]; then
    skip "mixed precision: this processor has no bf16"
else
    run 0 imgtrain train tiny.yaml -o half -q memory.level=3
    run 0 grep -q '"level": 3' half/metrics.jsonl
    differ half/model.safetensors whole/model.safetensors
    for run in half whole; do sed -n '$s/.*"psnr_y": \([0-9.]*\).*/\1/p' $run/metrics.jsonl; done >psnr
    last="PSNR-Y of both: $(cat psnr)"
    if awk '{ p[NR] = $1 } END { d = p[1] - p[2]; exit !(NR == 2 && d < .1 && d > -.1) }' psnr; then pass; else flunk "far off"; fi
    # less than any mode of full precision takes: nothing else fits
    [ "$mixed_least" -ge "$(least_bytes plain.json)" ] || limit=memory.limit=$mixed_least
    for setting in memory.level=3 ${limit:-}; do
        rm -rf other
        run 0 imgtrain train tiny.yaml -o other -q threads=2 "$setting"
        mixed_files
    done
    rm -rf other
    run 0 imgtrain train tiny.yaml -o other -q memory.level=3 checkpoint.keep=9
    back_to other 4
    run 0 imgtrain train tiny.yaml -o other -q memory.level=3 --resume threads=2
    mixed_files
fi

# ---- killed before a step ----
for step in 2 4 7 11; do
    rm -rf other
    killed_at $step tiny.yaml -o other -q
    run 0 imgtrain train tiny.yaml -o other --resume -q threads=2
    same other/model.safetensors whole/model.safetensors
    same other/best.safetensors whole/best.safetensors
    same other/final.png whole/final.png
done
run 78 imgtrain train tiny.yaml -o whole --resume max_steps=20
err_has "a plan over all steps"
cp -r photos others && rm others/3.ppm
run 78 imgtrain train tiny.yaml -o whole --resume dataroot_gt=others
err_has "not the images that this run began with"

# ---- upscale: every tile gives the same file ----
picture large.ppm 101 67
upscale_is() { # FILE ARGUMENT ...: the same bytes as FILE
    wanted_file=$1
    shift
    run 0 imgtrain upscale whole large.ppm -o tiled.ppm --overwrite "$@"
    same "$wanted_file" tiled.ppm
}
run 0 imgtrain upscale whole large.ppm -o once.ppm --tile 1000
run 0 imgtrain upscale whole/model.safetensors large.ppm -o model.ppm
same once.ppm model.ppm
for tile in 4 16 30 64 auto; do upscale_is once.ppm --tile $tile; done
upscale_is once.ppm --device cpu --memory-limit 400KB
run 31 imgtrain upscale whole large.ppm -o none.ppm --memory-limit 4KB
run 0 imgtrain upscale whole large.ppm -o mixed.ppm --amp --tile 1000
for tile in 4 30 auto; do upscale_is mixed.ppm --amp --tile $tile; done
if [ -n "$mixed_least" ]; then
    differ mixed.ppm once.ppm
    run 0 tool difference mixed.ppm once.ppm
    if awk '{ exit !($1 * 255 <= 2.5) }' "$out"; then pass; else flunk "--amp is far off: $(cat "$out")"; fi
else
    same mixed.ppm once.ppm
    err_has "has no bf16"
fi
has_not none.ppm
run 0 imgtrain upscale whole photos -o lq/ --suffix x2 --format ppm
has lq/1x2.ppm lq/6x2.ppm
run 73 imgtrain upscale whole photos -o lq/ --suffix x2 --format ppm
err_has "6 of 6 results are there already"
rm lq/2x2.ppm
run 0 imgtrain upscale whole photos -o lq/ --suffix x2 --format ppm --skip-existing
has lq/2x2.ppm
err_has "5 results were there already"
run 73 imgtrain upscale whole large.ppm -o once.ppm
err_lines 1
run 64 imgtrain upscale whole photos -o photos/lq/
err_has "lies within"
run 64 imgtrain upscale whole large.ppm
run 64 imgtrain upscale whole large.ppm -o none.gif
run 64 imgtrain upscale whole large.ppm -o none.ppm --tile 0
run 64 imgtrain upscale whole large.ppm -o none.ppm --alpha some
run 66 imgtrain upscale whole missing.ppm -o none.ppm
run 66 imgtrain upscale missing large.ppm -o none.ppm
cp "$root/test/fuzz/seed_torch/archive" model.pth
run 65 imgtrain upscale model.pth large.ppm -o none.ppm
err_has "imgtrain convert FILE"
run 65 imgtrain upscale large.ppm large.ppm -o none.ppm
has_not none.ppm none.gif
# one bad file does not end a batch
mkdir mixed
cp photos/1.ppm photos/2.ppm mixed
head -c 200 photos/3.ppm >mixed/3.ppm
run 65 imgtrain upscale whole mixed -o results
err_has "1 of 3 images could not be enlarged"
has results/1.ppm results/2.ppm
same results/1.ppm lq/1x2.ppm
# thin pictures, grey, alpha, 16 bits
printf 'P2 1 1 255 200\n' >dot.pgm
run 0 imgtrain upscale whole dot.pgm -o dot2.pgm
run 0 sh -c 'head -c 9 dot2.pgm | tr "\n" " "'
out_has "P5 2 2 25"
awk 'BEGIN { print "P3 1 70 255"; for (i = 0; i < 70; i++) print i * 3, 90, 255 - i }' >thin.ppm
run 0 imgtrain upscale whole thin.ppm -o thin2.ppm
run 0 imgtrain upscale whole thin.ppm -o thin3.ppm --tile 8
same thin2.ppm thin3.ppm
if command -v python3 >/dev/null; then
    mkdir made && (cd made && tool pictures "$root/test/fuzz/seed_image")
    for kind in grey.png grey_alpha.png rgb.png alpha.png deep.png; do
        run 0 imgtrain upscale whole "made/$kind" -o "large-$kind"
        last="depth and channels of $kind"
        if [ "$(tool png "made/$kind" | cut -d' ' -f2-)" = "$(tool png "large-$kind" | cut -d' ' -f2-)" ]; then
            pass
        else
            flunk "$(tool png "made/$kind") became $(tool png "large-$kind")"
        fi
    done
fi

# ---- paired data, checked before the first step and before the run folder ----
paired() { # GT LQ [ARGUMENT ...]
    gt=$1 lq=$2
    shift 2
    imgtrain train tiny.yaml -o paired dataroot_gt="$gt" dataroot_lq="$lq" "$@"
}
mkdir gt
for i in 1 2 3 4 5 6; do cp lq/${i}x2.ppm gt/$i.ppm; done
run 0 paired gt photos max_steps=2 -q
has paired/model.safetensors
mv paired first
run 0 paired gt photos max_steps=2 -q filename_tmpl='{}' threads=2
same paired/model.safetensors first/model.safetensors
rm -rf paired
mkdir named
for i in 1 2 3 4 5 6; do cp photos/$i.ppm "named/ä $i%_lr.ppm"; cp gt/$i.ppm "gt/ä $i%.ppm"; rm gt/$i.ppm; done
run 0 paired gt named filename_tmpl='{}_lr' --dry-run
for i in 1 2 3 4 5 6; do mv "gt/ä $i%.ppm" gt/$i.ppm; done
mv gt/5.ppm kept.ppm
run 65 paired gt photos
err_has "training data: photos/5.ppm has no GT partner in gt"
mv kept.ppm gt/5.ppm
mv photos/4.ppm kept.ppm
run 65 paired gt photos
err_has "training data: gt/4.ppm has no LQ partner photos/4.*"
err_has "1 of 6 GT images (gt) and 0 of 5 LQ images (photos) have no partner"
mv kept.ppm photos/4.ppm
cp gt/4.ppm gt/4.pnm
run 65 paired gt photos
err_has "training data: gt/4.pnm and 4.ppm both have the LQ partner photos/4.ppm"
rm gt/4.pnm
mkdir tinies
picture tinies/a.ppm 64 64
picture tinies/b.ppm 1 1
run 0 imgtrain train tiny.yaml -o tinies-run dataroot_gt=tinies max_steps=1 -q
err_has "training data: tinies/b.ppm: smaller than a pixel of LQ: skipped"
run 65 paired photos gt
err_has "GT 64x48 is not 2x LQ 128x96 (would be 256x192)"
err_has "which is GT and which LQ is the wrong way round"
picture gt/3.ppm 127 96
run 65 paired gt photos
err_has "training data: 3.ppm: GT 127x96 is not 2x LQ 64x48 (would be 128x96)"
run 0 paired gt photos fix_sizes=crop --dry-run
cp lq/3x2.ppm gt/3.ppm
run 65 paired gt photos val_gt=photos val_lq=gt
err_has "validation data: "
run 78 paired gt "" data_mode=paired
err_has "dataroot_lq is not set"
run 66 paired gt missing
err_has "training data: "
has_not paired

# ---- begin with a network that is there ----
begun() { # DIRECTORY [ARGUMENT ...]
    begun=$1
    shift
    imgtrain train tiny.yaml -o "$begun" -q max_steps=1 lr_g=0 ema=0 "$@"
}
run 0 begun begun-model pretrain_g=whole/model.safetensors
same_weights() { # FILE FILE: the bytes of the tensors
    tail -c 20000 "$1" >one.bytes
    tail -c 20000 "$2" >other.bytes
    same one.bytes other.bytes
}
same_weights begun-model/model.safetensors whole/model.safetensors
run 0 begun begun-run pretrain_g=whole
same_weights begun-run/model.safetensors whole/model.safetensors
run 65 begun begun-none pretrain_g=whole num_conv=3
err_has "sr.pretrain_g: whole/model.safetensors is a compact 16-2 of 2x, and compact 16-3 of 2x is to be trained"
run 0 imgtrain train tiny.yaml -o begun-more max_steps=1 pretrain_g=whole scale=4 strict_load=false
err_has "tensor body.6.weight"
err_has "9 of 11 tensors are taken"
run 65 begun begun-none pretrain_g=whole num_feat=24 scale=1 strict_load=false
err_has "none of its tensors fits"
run 66 begun begun-none pretrain_g=missing.safetensors
run 65 begun begun-none pretrain_g=model.pth
err_has "imgtrain convert FILE"
has_not begun-none

# ---- option files of other trainers ----
options() { # of traiNNer-redux, and in part of older ones
    cat <<'YAML'
name: 2x_Compact
scale: 2
use_amp: true
num_gpu: auto
manual_seed: 0
datasets:
  train:
    name: photographs
    type: PairedImageDataset
    dataroot_gt: [gt]
    dataroot_lq: [lqs]
    filename_tmpl: '{}'
    io_backend:
      type: disk
    gt_size: 24
    use_hflip: true
    use_rot: false
    batch_size_per_gpu: 2
    accum_iter: 3
  val:
    type: pairedimagedataset
    dataroot_gt: nowhere
    dataroot_lq: nowhere
network_g:
  type: SRVGGNetCompact
  num_in_ch: 3
  num_feat: 16
  num_conv: 2
  upscale: 2
  act_type: prelu
path:
  pretrain_network_g: ~
  strict_load_g: true
train:
  ema_decay: 0.99
  ema_power: 0.75
  grad_clip: false
  optim_g:
    type: AdamW
    lr: !!float 1e-3
    weight_decay: 0
    betas: [0.9, 0.98]
  scheduler:
    type: MultiStepLR
    milestones: [2, 3]
    gamma: 0.5
  total_iter: !!float 4
  warmup_iter: -1
  losses:
    - type: L1Loss
      loss_weight: !!float 2.5
    - type: ganloss
      loss_weight: 0
val:
  val_enabled: false
  val_freq: !!float 2
  metrics:
    psnr: {type: calculate_psnr, crop_border: 3, test_y_channel: false}
    ssim: {type: calculate_ssim, crop_border: 3}
logger:
  print_freq: 2
  save_checkpoint_freq: 4
  use_tb_logger: true
training_automations:
  enabled: true
  DynamicBatchSizeOptimizer:
    enabled: true
    min_lq_size: 32
    target_vram_usage: 0.7
YAML
}
rm -rf gt lqs
mkdir gt lqs
for i in 1 2 3 4 5 6; do cp lq/${i}x2.ppm gt/$i.ppm; cp photos/$i.ppm lqs; done
options >theirs.yml
run 0 imgtrain config theirs.yml
settings "task: sr" "seed: 0" "exp_name: \"2x_Compact\"" "data_mode: paired" "dataroot_gt: \"gt\"" "lq_size: 12" "batch: 6" \
    "flip: true" "rot: false" "num_feat: 16" "num_conv: 2" "l1_weight: 2.5" "charbonnier_weight: 0" "max_steps: 4" \
    "lr_g: 0.001" "b1: 0.9" "b2: 0.98" "schedule: steps" "milestones: [2, 3]" "warmup: 0" "ema: 0.99" "val_gt: \"\"" \
    "crop_border: 3" "eval_steps: 2" "val_every: 2" "grow: true" "target_vram_usage: 0.7"
run 0 imgtrain config theirs.yml
err_has "theirs.yml:4:1: 'num_gpu' has no effect here"
err_has "'train.ema_power' has no effect here"
run 0 imgtrain train theirs.yml -o theirs device=cpu video.enabled=false -q
has theirs/model.safetensors
refused() { # SED-EXPRESSION TEXT
    options | sed "$1" >other.yml
    run 78 imgtrain train other.yml -o refused
    err_has "$2"
    has_not refused
}
refused 's/PairedImageDataset/pairedvideodataset/' "other.yml:9:11: datasets.train.type: pairedvideodataset is none of"
refused 's/\[gt\]/[gt, lqs]/' "sr.dataroot_gt names 2 folders and sr.dataroot_lq 1: each has its own"
refused 's/\[gt\]/[gt, [lqs]]/' "other.yml:10:18: datasets.train.dataroot_gt: a list may hold only single values"
refused 's/SRVGGNetCompact/dat/' "network_g.type: dat is none of compact"
refused 's/type: ganloss/type: ldlloss/; s/loss_weight: 0/loss_weight: 0.1/' "train.losses.1.type: ldlloss is none of the losses"
refused 's/upscale: 2/upscale: 4/' "network_g.upscale: is another one than scale"
refused 's/type: disk/type: lmdb/' "images are read from folders"
refused 's/gt_size: 24/gt_size: 25/' "expected a multiple of scale"
refused 's/AdamW/Lion/' "train.optim_g.type: is none of Adam and AdamW"
refused 's/pretrain_network_g: ~/resume_state: x/' "a run goes on with --resume"
refused 's/type: PairedImageDataset/&\n    use_moa: true/' "datasets.train.use_moa"
options | sed 's/grad_clip: false/grad_clip: true/' >other.yml
run 0 imgtrain config other.yml
settings "grad_clip: 1"
options | sed 's/^  enabled: true/  enabled: false/' >other.yml
run 0 imgtrain config other.yml
settings "grow: false"
echo 'name = "x"' >neo.toml
run 78 imgtrain train neo.toml
err_has "neo.toml: TOML is not read"

# ---- the demonstration ----
mkdir -p tree/scripts tree/cfgs
cp "$root/scripts/demo.sh" tree/scripts
cp "$root/cfgs/sr-x2-tiny.yaml" tree/cfgs
ln -s "$program" tree/imgtrain
run 0 tree/scripts/demo.sh sr photos max_steps=3 lq_size=8 device=cpu
has tree/runs/sr-demo-001/large.png tree/runs/sr-demo-001/model.safetensors
out_has "runs/sr-demo-001/large.png"
run 0 sh -c 'tree/scripts/demo.sh --draw 3 | head -c 15'
out_has "P3 640 428 255"

# ---- other bad input: one line, the right status, no run folder ----
bad() { # STATUS TEXT ARGUMENT ...
    wanted_status=$1 text=$2
    shift 2
    run "$wanted_status" imgtrain train tiny.yaml -o bad -q "$@"
    err_has "$text"
    has_not bad
}
mkdir empty
bad 66 "training data: " dataroot_gt=missing
bad 65 "no image in this folder" dataroot_gt=empty
bad 78 "dataroot_gt is not set" dataroot_gt=
# that there is no GPU is said of what goes on, not before an error
run 78 imgtrain train "$root/cfgs/sr-x2-tiny.yaml" device=auto
err_is "imgtrain: dataroot_gt is not set: the folder of images to learn from"
bad 66 "folders are written with /" 'dataroot_gt=C:\datasets\gt'
bad 78 "sr.scale: 5 is none of 1, 2, 3, 4 and 8" scale=5
bad 78 "lq_size" lq_size=0
bad 78 "odd" lq_size=13
bad 65 "the largest lq_size that fits is 24" lq_size=26
bad 78 "batch" batch=0
bad 78 "all 0" charbonnier_weight=0
bad 78 "data_mode: expected one of auto|paired|otf|bicubic" data_mode=video
ln -s ../photos photos/loop
run 0 imgtrain train tiny.yaml --dry-run
rm photos/loop
run 0 imgtrain train tiny.yaml --dry-run schedule=steps milestones='[5, 1000]'
# small ones are left out and named, unreadable ones too
picture photos/small.ppm 20 20
head -c 300 photos/1.ppm >photos/cut.ppm
run 0 imgtrain train tiny.yaml -o rest -q max_steps=2
err_has "small.ppm: 20x20 is smaller than a patch of 24 x 24: left out"
err_has "cut.ppm"
rm photos/small.ppm photos/cut.ppm

finish
