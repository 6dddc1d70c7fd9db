#!/bin/sh
# The images of task sr: several folders, lists of names, and all that can be wrong with them: one
# line, the right status, no run folder.
. "$(dirname "$0")/lib.sh"

pictures a 3 64 48
pictures b 2 40 56
cat >tiny.yaml <<'YAML'
task: sr
device: cpu
sr: {num_feat: 16, num_conv: 1, lq_size: 12, batch: 4, max_steps: 3, lr_g: 0.002}
frames: {count: 0}
video: {enabled: false}
eval_steps: 1
YAML
bad() { # STATUS TEXT ARGUMENT ...
    wanted_status=$1 text=$2
    shift 2
    run "$wanted_status" imgtrain train tiny.yaml -o bad -q "$@"
    err_has "$text"
    has_not bad
}
learns() { # NAME ARGUMENT ...
    name=$1
    shift
    rm -rf "$name"
    run 0 imgtrain train tiny.yaml -o "$name" "$@"
}

# ---- several folders: as one that holds all of them ----
learns several 'dataroot_gt=a;b' val_gt=a
err_has "training data: a: 3 images"
err_has "training data: b: 2 images"
err_has "5 training images"
run 0 imgtrain train tiny.yaml -o half -q 'dataroot_gt=a;b' val_gt=a checkpoint.every=1 checkpoint.keep=9
back_to half 2
run 0 imgtrain train tiny.yaml -o half -q 'dataroot_gt=a;b' val_gt=a --resume
same half/model.safetensors several/model.safetensors
run 78 imgtrain train tiny.yaml -o half -q 'dataroot_gt=b;a' val_gt=a --resume
err_has "not the images that this run began with"
mkdir 'with;in'
cp a/*.ppm 'with;in'
learns named 'dataroot_gt=with;in'
err_has "training data: with;in: 3 images"
bad 66 "training data: " 'dataroot_gt=a;missing'

# ---- with LQ of their own ----
for folder in a b; do
    run 0 imgtrain upscale several/model.safetensors $folder -o gt_$folder/ --format ppm
done
learns paired 'dataroot_gt=gt_a;gt_b' 'dataroot_lq=a;b'
err_has "training data: gt_b: 2 images and their LQ in b"
bad 78 "sr.dataroot_gt names 2 folders and sr.dataroot_lq 1: each has its own" 'dataroot_gt=gt_a;gt_b' dataroot_lq=a
bad 65 "the images of gt_a are 2x as large as those of a: which is GT and which LQ is the wrong way round" \
    dataroot_gt=a dataroot_lq=gt_a
rm -rf half && mkdir half && cp gt_a/1.ppm half/
bad 65 "GT images (half) and 2 of 3 LQ images (a) have no partner" dataroot_gt=half dataroot_lq=a
cp gt_a/*.ppm half/ && picture half/2.ppm 127 96
bad 65 "2.ppm: GT 127x96 is not 2x LQ 64x48 (would be 128x96)" dataroot_gt=half dataroot_lq=a
learns cut dataroot_gt=half dataroot_lq=a fix_sizes=crop

# ---- lists of names ----
printf '1.ppm (64,48,3)\r\n\n3.ppm\n' >names.txt
learns listed dataroot_gt=a meta_info=names.txt val_gt=b
err_has "2 training images"
learns listed dataroot_gt=gt_a dataroot_lq=a meta_info=names.txt val_gt=b
err_has "2 training images"
# as editors write them: a mark before all, names with what is behind a name in others
mkdir odd
cp a/1.ppm 'odd/1 (2).ppm' && cp a/2.ppm 'odd/1, 2.ppm' && cp a/3.ppm odd/3.ppm
printf '\357\273\277' >names.txt
printf '1 (2).ppm (64,48,3)\n1, 2.ppm, LQ/1, 2.ppm' >>names.txt
learns listed dataroot_gt=odd meta_info=names.txt val_gt=b
err_has "2 training images"
printf '3.ppm\n\0' >names.txt
bad 65 "names.txt: no text in UTF-8" dataroot_gt=odd meta_info=names.txt
printf '1.ppm, 1.ppm\n7.ppm\nno such.ppm (1,2,3)\n' >names.txt
bad 65 "names.txt: 2 of 3 images are not in a" dataroot_gt=a meta_info=names.txt
err_has "7.ppm is not in a"
err_has "no such.ppm (1,2,3) is not in a"
echo >names.txt
bad 65 "no image is named" dataroot_gt=a meta_info=names.txt
bad 66 "sr.meta_info" dataroot_gt=a meta_info=missing.txt
bad 78 "sr.dataroot_gt names 2 folders and sr.meta_info 1" 'dataroot_gt=a;b' meta_info=names.txt

# ---- images of all kinds, and names of all kinds ----
mkdir kinds small
cp a/1.ppm 'kinds/with space.ppm'
cp a/2.ppm 'kinds/ä%s%n.ppm'
awk 'BEGIN { print "P2 64 48 255"; for (i = 0; i < 3072; i++) print i % 256 }' >kinds/grey.pgm
awk 'BEGIN { print "P3 64 48 65535"; for (i = 0; i < 9216; i++) print i * 7 % 65536 }' >kinds/sixteen.ppm
learns kinds_run dataroot_gt=kinds val_gt=kinds
err_has "4 training images"
# grey GT with RGB LQ, 8-bit GT with 16-bit LQ
mkdir gt lq
cp kinds/grey.pgm gt/1.pgm && picture lq/1.ppm 32 24
cp a/2.ppm gt/2.ppm
awk 'BEGIN { print "P3 32 24 65535"; for (i = 0; i < 2304; i++) print i * 7 % 65536 }' >lq/2.ppm
learns mixed dataroot_gt=gt dataroot_lq=lq val_gt=a
err_has "2 training images"
# ---- without a cache: the same bits, from all kinds of sets ----
uncached() { # ARGUMENT ...
    learns kept "$@"
    learns decoded cache=false "$@"
    err_has "without a cache: each is decoded when it is used"
    has_not decoded/cache
    same kept/model.safetensors decoded/model.safetensors
    same kept/best.safetensors decoded/best.safetensors
    same kept/final.png decoded/final.png
}
uncached dataroot_gt=kinds
uncached dataroot_gt=half dataroot_lq=a fix_sizes=crop threads=2
uncached dataroot_gt=gt_a data_mode=otf
err_has "of up to 36.0 KiB" # of 128 x 96, without an LQ that nobody reads
uncached dataroot_gt=gt dataroot_lq=lq val_gt=a
pairs="dataroot_gt=gt dataroot_lq=lq val_gt=a checkpoint.every=1 checkpoint.keep=9"
# shellcheck disable=SC2086
begun() { # KEY=VALUE ...: a run that was killed after its second step
    rm -rf stopped
    run 0 imgtrain train tiny.yaml -o stopped -q $pairs "$@"
    back_to stopped 2
}
# shellcheck disable=SC2086
goes_on() { # STATUS KEY=VALUE ...
    wanted_status=$1
    shift
    run "$wanted_status" imgtrain train tiny.yaml -o stopped -q $pairs --resume "$@"
}
begun cache=off
goes_on 0 cache=off
same stopped/model.safetensors decoded/model.safetensors
begun
goes_on 0 cache=off
same stopped/model.safetensors decoded/model.safetensors
cp -r gt other_gt && mv other_gt/2.ppm other_gt/3.ppm && cp -r lq other_lq && mv other_lq/2.ppm other_lq/3.ppm
run 78 imgtrain train tiny.yaml -o stopped -q dataroot_gt=other_gt dataroot_lq=other_lq val_gt=a cache=off --resume
err_has "not the images that this run began with"
# a checkpoint from before cache: false was there
begun
for checkpoint in stopped/checkpoints/*.safetensors; do tool older "$checkpoint" sr.listing; done
goes_on 78 cache=off
err_has "sr.cache: this run's checkpoint can be resumed with a cache alone"
goes_on 0
same stopped/model.safetensors decoded/model.safetensors
run 0 imgtrain train tiny.yaml dataroot_gt=gt dataroot_lq=lq val_gt=a cache=off --dry-run
# what can be seen of a file only when it is decoded ends the run; a bad head leaves it out
mkdir tail head
cp a/1.ppm tail/1.ppm && tool resave a/2.ppm whole.png && head -c 1500 whole.png >tail/cut.png
run 65 imgtrain train tiny.yaml -o ended -q dataroot_gt=tail val_gt=a cache=false max_steps=20
err_has "tail/cut.png"
run 65 imgtrain train tiny.yaml -o undegraded -q dataroot_gt=a val_gt=tail data_mode=otf cache=false
err_has "cut.png: cannot be degraded: tail/cut.png: "
cp a/*.ppm head && echo P6 >head/bad.ppm
learns rest dataroot_gt=head val_gt=a cache=false
err_has "bad.ppm"
err_has "3 training images"

# unreadable, cut, a link to itself
cp a/*.ppm small
head -c 4000 a/1.ppm >small/cut.ppm
ln -s loop.ppm small/loop.ppm
ln -s ../small small/again
learns rest dataroot_gt=small val_gt=a
err_has "cut.ppm"
err_has "3 training images"
if [ "$(id -u)" != 0 ]; then
    chmod 0 small/2.ppm
    learns rest dataroot_gt=small val_gt=a
    err_has "2.ppm"
fi
bad 66 "validation data: " dataroot_gt=a val_gt=missing
bad 65 "validation data: " dataroot_gt=a val_gt=gt_a val_lq=b
bad 66 "folders are written with /" 'dataroot_gt=C:\data\gt\'
bad 65 "the largest lq_size that fits is 24" dataroot_gt=a lq_size=26
bad 78 "dataroot_lq is not set" dataroot_gt=a data_mode=paired

finish
