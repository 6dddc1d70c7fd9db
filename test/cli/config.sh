#!/bin/sh
# imgtrain config: resolution, origins, help of keys, and every kind of bad input.
. "$(dirname "$0")/lib.sh"

# ---- the program itself ----
run 64 imgtrain
err_has "imgtrain: no command given"
run 0 imgtrain --help
out_has "config"
run 0 imgtrain help config
out_has "usage: imgtrain config"
run 0 imgtrain config -h
out_has "--explain"
run 0 imgtrain --version
out_has "imgtrain 0."
run 64 imgtrain confg
err_is "imgtrain: unknown command 'confg': did you mean 'config'?"
run 64 imgtrain config --jsn
err_is "imgtrain: unknown option --jsn: did you mean --json?"
run 64 imgtrain config --json=1
run 64 imgtrain info ""
err_is "imgtrain: info: argument 1 is empty (usage: imgtrain info FILE|RUN|MODEL [--json] [--tensors] [--schedule])"
run 64 imgtrain video . -o ""
err_is "imgtrain: -o is empty: it needs FILE"
run 64 imgtrain train a.png --output=
err_is "imgtrain: --output is empty: it needs RUN"
run 64 imgtrain config --json --yaml
run 74 sh -c '"$0" config >/dev/full' "$program"
err_lines 1
run 74 sh -c '"$0" config >&-' "$program"

# ---- values and where they came from ----
# KEY  VALUE  ORIGIN, two blanks or more between them
line() { awk -v key="$1" -F '   *' '$1 == key { print $2 "|" $3 }' "$out"; }
origin_is() {
    got=$(line "$1")
    if [ "$got" = "$2" ]; then pass; else flunk "$1 is $got, not $2"; fi
}
printf 'seed: 7\nsplat:\n  topk: 5\n  pos_lr: 1e-3\nmax_steps: 1e4\nframes: {every: 3}\nexp_name: a b\n' >a.yaml
run 0 env IMGTRAIN_SEED=8 IMGTRAIN_SPLAT__FEAT_LR=0.25 "$program" config a.yaml topk=6 video.fps=24
origin_is seed "8|IMGTRAIN_SEED"
origin_is splat.topk "6|command line"
origin_is splat.pos_lr "0.001|a.yaml:4"
origin_is splat.max_steps "10000|a.yaml:5"
origin_is splat.feat_lr "0.25|IMGTRAIN_SPLAT__FEAT_LR"
origin_is frames.every "3|a.yaml:6"
origin_is exp_name '"a b"|a.yaml:7'
origin_is splat.gamma "1|default"
run 0 imgtrain config a.yaml topk=1 topk=2
out_has "splat.topk                         2 "
run 0 env LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 "$program" config gamma=0.5
origin_is splat.gamma "0.5|command line"
run 0 env IMGTRAIN_HOME=/x "$program" config
err_has "warning: IMGTRAIN_HOME has no effect"
run 0 env IMGTRAIN_ISA=base "$program" config
err_is ""
run 0 env IMGTRAIN_ISA=avx3 "$program" doctor
err_has "warning: IMGTRAIN_ISA=avx3 has no effect: this machine can do base to"
run 78 env IMGTRAIN_TOPK=x "$program" config
err_is "imgtrain: IMGTRAIN_TOPK: topk: expected a whole number, got 'x'"

# ---- what is printed loads again ----
run 0 imgtrain config --yaml a.yaml 'exp_name=q"\ü' seed=18446744073709551615 num_gaussians='[10, 20]'
cp "$out" once.yaml
run 0 imgtrain config --yaml once.yaml
out_is "$(cat once.yaml)"
run 0 imgtrain config --explain
cp "$out" all.yaml
run 0 imgtrain config --yaml all.yaml
cp "$out" resolved.yaml
run 0 imgtrain config --yaml
out_is "$(cat resolved.yaml)"
run 0 imgtrain config --json seed=18446744073709551615
out_has '"seed": {"value": "18446744073709551615", "origin": "command line"}'

# ---- a flat file as written for Image-GS, and its keys without meaning here ----
printf 'seed: 123\ndevice: "cuda:0"\neval: False\nlog_level: "INFO"\nsave_image_steps: 100000\ntopk: 10\nnum_gaussians: 10000\nquantize: False\ninput_path: "images/a.png"\n' >flat.yaml
run 0 imgtrain config flat.yaml
err_is "flat.yaml:3:1: 'eval' has no effect here: \`imgtrain render\` and \`imgtrain eval\` do this"
origin_is frames.save_image_steps "100000|flat.yaml:5"
origin_is log_level "info|flat.yaml:4"

# ---- keys of another task: an error on the command line, named in a file, silent at their default ----
run 78 imgtrain config task=gan topk=5
err_is "imgtrain: command line: 'topk=5': splat.topk is a key of task splat and has no effect on task gan"
run 78 imgtrain config images=5
err_is "imgtrain: command line: 'images=5': gan.images is a key of task gan and has no effect on task splat"
run 78 imgtrain config memory.min_batch_size=5
err_has "memory.min_batch_size is a key of task gan"
run 78 imgtrain config task=gan ckpt_file=nothere
err_has "splat.ckpt_file is a key of task splat"
run 0 imgtrain config task=gan smap_filter_size=5
err_has "'smap_filter_size' has no effect here"
printf 'task: gan\ntopk: 5\nsplat: {pos_lr: 1e-3, rot_lr: 1.6e-2}\ngan: {lr: 0.5}\nnum_gaussians: [5, 6]\n' >mixed.yaml
run 0 imgtrain config mixed.yaml
err_lines 3
err_has "warning: mixed.yaml:2:1: splat.topk has no effect on task gan: it is a key of task splat"
err_has "warning: mixed.yaml:3:9: splat.pos_lr has no effect on task gan"
err_has "warning: mixed.yaml:5:1: splat.num_gaussians has no effect on task gan"
origin_is gan.lr "0.5|mixed.yaml:4"
origin_is splat.topk "10|default"
out_lacks "a batch"
run 0 imgtrain config mixed.yaml task=splat
err_has "mixed.yaml:4:7: gan.lr has no effect on task splat"
origin_is splat.topk "5|mixed.yaml:2"
run 0 env IMGTRAIN_TOPK=3 "$program" config task=gan
err_has "warning: IMGTRAIN_TOPK: splat.topk has no effect on task gan"
run 0 imgtrain config --explain topk max_steps
out_has "task      splat"
out_has "same as   gan.images: this x gan.batch"

# ---- max_steps for every task: a GAN's images in another way ----
run 0 imgtrain config task=gan max_steps=10 batch=8
origin_is gan.images "80|max_steps x batch"
run 0 imgtrain config task=gan max_steps=0
origin_is gan.images "0|max_steps x batch"
printf 'task: gan\nimages: 500\n' >images.yaml
printf 'task: gan\nsteps: 5\n' >steps.yaml
run 0 imgtrain config images.yaml max_steps=10
origin_is gan.images "160|max_steps x batch"
run 0 imgtrain config steps.yaml images=7
origin_is gan.images "7|command line"
origin_is gan.max_steps "-1|default"
run 0 env IMGTRAIN_MAX_STEPS=2 "$program" config images.yaml
origin_is gan.images "32|max_steps x batch"
run 78 imgtrain config task=gan images=400000 max_steps=10
err_is "imgtrain: command line: 'max_steps=10': max_steps and images are two ways to say the same: give one (images is at command line: 'images=400000')"
printf 'task: gan\ngan: {images: 500, max_steps: 5}\n' >both.yaml
run 78 imgtrain config both.yaml
err_has "both.yaml:2:20: max_steps and images are two ways"
run 78 imgtrain config task=gan max_steps=1000000000 batch=65536
err_has "command line: 'max_steps=1000000000': images: 65536000000000 is out of range"
run 78 imgtrain config task=gan max_steps='[5, -1]'
err_has "max_steps: -1 among other values"
run 0 imgtrain config --yaml task=gan max_steps=7
cp "$out" total.yaml
out_has "images: 112"
out_lacks "max_steps: 7"
run 0 imgtrain config --yaml total.yaml
out_is "$(cat total.yaml)"
run 0 imgtrain config --yaml task=gan max_steps='[5, 6]' batch='[4, 8]'
cp "$out" total.yaml
run 0 imgtrain config --yaml total.yaml
out_is "$(cat total.yaml)"
out_has "max_steps: [5, 6]"

# ---- names of files: any bytes, and null and ~ as they are written; other programs' --KEY=VALUE ----
run 0 imgtrain config input_path=null data_root=~ ckpt_file=
origin_is splat.input_path '"null"|command line'
origin_is splat.data_root '"~"|command line'
origin_is splat.ckpt_file '""|command line'
printf 'input_path: "null"\nckpt_file: null\ndata_root: ~\n' >null.yaml
run 0 imgtrain config null.yaml
origin_is splat.input_path '"null"|null.yaml:1'
origin_is splat.ckpt_file '""|null.yaml:2'
run 78 imgtrain config topk=null
latin=$(printf 'caf\351.ppm')
run 0 imgtrain config "input_path=$latin"
origin_is splat.input_path '!!binary Y2Fm6S5wcG0=|command line'
run 0 imgtrain config --yaml "input_path=$latin"
cp "$out" latin.yaml
run 0 imgtrain config --yaml latin.yaml
out_is "$(cat latin.yaml)"
run 0 imgtrain config --json "input_path=$latin"
out_has '"value": "caf\ufffd.ppm"'
printf 'input_path: [!!binary Y2Fm6S5wcG0=, b.ppm]\n' >latin.yaml
run 0 imgtrain config latin.yaml
out_has "a batch of 2 runs"
printf 'exp_name: !!binary Y2Fm6S5wcG0=\n' >latin.yaml
run 78 imgtrain config latin.yaml
err_has "latin.yaml:1:11: exp_name: the value is not UTF-8"
for bad in 'Y2F' 'Y2Fm=A==' '====' 'Y2F*' 'AA=='; do
    printf 'input_path: !!binary "%s"\n' "$bad" >latin.yaml
    run 78 imgtrain config latin.yaml
done
run 0 imgtrain config --input_path=a.png --splat.topk=7 seed=2
origin_is splat.input_path '"a.png"|command line'
origin_is splat.topk "7|command line"
run 64 imgtrain config --input_path a.png
err_is "imgtrain: unknown option --input_path: write the key as input_path=a.png"
run 64 imgtrain config --quantize --json
err_is "imgtrain: unknown option --quantize: write the key as quantize=true"
run 64 imgtrain config --max-steps=5
err_is "imgtrain: unknown option --max-steps: write the key as max_steps=5"
run 64 imgtrain doctor --input_path=a.png

# ---- times as SLURM writes them ----
for time in 90=90 90s=90 1:30=90 0:05=5 90:00=5400 1:00:00=3600 100:00:01=360001 1-0=86400 1-12=129600 \
    1-12:30=131400 2-00:00:00=172800 0-0:00:01=1 3h50m=13800 1d=86400; do
    run 0 imgtrain config "time_limit=${time%=*}"
    origin_is time_limit "${time#*=}|command line"
done
for time in 1:60 1:00:60 1:60:00 1-24 1-0:60 1: :1 -1:00 1:-1 1-2-3 1:2:3:4 1- -1-0 1:0x 1.5:00 '1: 0'; do
    run 78 imgtrain config "time_limit=$time"
done

# ---- options that mean nothing beside the others say so ----
run 0 imgtrain config --explain topk --json --json
err_is "warning: --json has no effect with --explain"
run 0 imgtrain bench --task splat --size 16 --gaussians 5 --steps 1 --batch 4 --micro 2
err_has "warning: --batch has no effect with --task splat"
err_has "warning: --micro has no effect with --task splat"
run 0 imgtrain bench --task gan --size 8 --steps 1 --batch 4 --gaussians 5
err_has "warning: --gaussians has no effect with --task gan"
run 0 imgtrain plan num_gaussians='[10, 20]' --size 16x16 --device cpu
err_is "warning: a batch of 2 runs: this is the plan of the first"
printf 'P2 2 1 255 7 9\n' >two.pgm
run 0 imgtrain eval two.pgm two.pgm --samples 5
err_has "warning: --samples has no effect on images"
run 0 imgtrain train input_path=two.pgm num_gaussians=2 max_steps=1 device=cpu video.enabled=false --dry-run --json
err_is "warning: --json has no effect with --dry-run"
run 0 imgtrain train input_path=two.pgm num_gaussians=2 max_steps=1 device=cpu video.enabled=false -o two -q
run 0 imgtrain render two -o ellipses.png --gaussians --device cpu
err_is "warning: --device has no effect with --gaussians, which are drawn by the CPU"
run 65 imgtrain sample two -o folder --fps 5
err_has "warning: --fps has no effect without --interpolate"

# ---- batches ----
run 0 imgtrain config gaussians='[100, 200]' steps='[5,6,7]' input_path=a.png
out_has "a batch of 6 runs"
out_has "[100, 200]"
run 0 imgtrain config gaussians='[]'
origin_is splat.num_gaussians "10000|default"
run 78 imgtrain config num_gaussians='[]'
run 78 imgtrain config gaussians='[100, 0]'
err_has "num_gaussians: 0 is out of range 1..100000000|auto (Gaussians)"

# ---- help of keys ----
run 0 imgtrain config --explain topk seed
out_has "splat.topk"
out_has "0..32"
out_has "IMGTRAIN_SEED"
run 0 imgtrain config --explain quality
out_has "frames.quality"
out_has "video.quality"
run 64 imgtrain config --explain topq
err_is "imgtrain: unknown key 'topq': did you mean 'splat.topk'?"

# ---- bad input: the place, the reason, the status, one line each ----
bad() { # bad STATUS YAML MESSAGE
    printf "$2" >bad.yaml
    run "$1" imgtrain config bad.yaml
    err_is "imgtrain: $3"
}
bad 78 'seed: 1\nmax_stepz: 5\n' "bad.yaml:2:1: unknown key 'max_stepz': did you mean 'splat.max_steps'?"
bad 78 'splat:\n  tpok: 5\n' "bad.yaml:2:3: unknown key 'tpok' in section splat: did you mean 'topk'?"
bad 78 'splat:\n  fps: 5\n' "bad.yaml:2:3: unknown key 'fps' in section splat: did you mean 'video.fps'?"
bad 78 'splat: {seed: 6}\n' "bad.yaml:1:9: unknown key 'seed' in section splat: seed is a common key: write it at the top level, outside of sections"
bad 78 'task: gan\nframes: {max_steps: 6}\n' "bad.yaml:2:10: unknown key 'max_steps' in section frames: did you mean 'gan.max_steps'?"
bad 78 'quality: 5\n' "bad.yaml:1:1: key 'quality' is in several sections: write one of frames.quality, video.quality"
bad 78 'topk: many\n' "bad.yaml:1:7: topk: expected a whole number, got 'many'"
bad 78 'topk: 1_0\n' "bad.yaml:1:7: topk: expected a whole number, got '1_0'"
bad 78 'topk: 1.5\n' "bad.yaml:1:7: topk: expected a whole number, got '1.5'"
bad 78 'topk: 010\n' "bad.yaml:1:7: topk: expected a whole number, got '010'"
bad 78 'topk:\n' "bad.yaml:1:6: topk: no value given"
bad 78 'topk: {a: 1}\n' "bad.yaml:1:7: topk: expected a value, not a section"
bad 78 'topk: 33\n' "bad.yaml:1:7: topk: 33 is out of range 0..32 (Gaussians)"
bad 78 'seed: -1\n' "bad.yaml:1:7: seed: -1 is out of range 0..18446744073709551615"
bad 78 'gamma: 0\n' "bad.yaml:1:8: gamma: 0 is out of range 0.01..100"
bad 78 'gamma: .inf\n' "bad.yaml:1:8: gamma: expected a number, got '.inf'"
bad 78 'gamma: 0,5\n' "bad.yaml:1:8: gamma: expected a number, got '0,5'"
bad 78 'quantize: 1\n' "bad.yaml:1:11: quantize: expected true or false, got '1'"
bad 78 'task: splt\n' "bad.yaml:1:7: task: expected one of splat|gan|sr|diffusion|vae, got 'splt'"
bad 78 'time_limit: 5 minutes\n' "bad.yaml:1:13: time_limit: expected a time (90, 90s, 5m, 3h50m), got '5 minutes'"
bad 78 'limit: 8QB\n' "bad.yaml:1:8: limit: expected a size (1500, 512MB, 8GB, 8GiB), got '8QB'"
bad 78 'topk: 1\nsplat: {topk: 2}\n' "bad.yaml:2:9: 'topk' is set twice: first at bad.yaml:1:1"
bad 78 'steps: 1\nmax_steps: 2\n' "bad.yaml:2:1: 'max_steps' is set twice: first at bad.yaml:1:1"
bad 78 'video: {}\nvideo: {}\n' "bad.yaml:2:1: section 'video' appears twice"
bad 78 'video: 5\n' "bad.yaml:1:8: 'video' is a section: expected KEY: VALUE lines in it"
bad 78 'seed: &a 1\n' "bad.yaml:1:7: anchors and aliases (& and *) are not supported"
bad 78 'seed: !mine 1\n' "bad.yaml:1:7: tags (!) are not supported"
bad 78 'seed: !!set 1\n' "bad.yaml:1:7: tags (!) are not supported"
bad 78 'seed: !!int one\n' "bad.yaml:1:7: !!int: expected a whole number"
bad 78 'fps: !!float much\n' "bad.yaml:1:6: !!float: expected a number"
bad 78 'use_amp: !!bool perhaps\n' "bad.yaml:1:10: !!bool: expected true or false"
bad 78 'exp_name: !!null a\n' "bad.yaml:1:11: !!null: expected nothing"
printf 'seed: !!int 5\nuse_amp: !!bool false\nfps: !!float 2.4e1\nexp_name: !!str 5\ndevice: !!str cpu\n' >tags.yaml
run 0 imgtrain config tags.yaml
cp "$out" "$out.kept"
for line in 'seed +5 ' 'use_amp +false ' 'exp_name +"5" '; do run 0 grep -qE "^$line" "$out.kept"; done
bad 78 'seed: 1\n---\nseed: 2\n' "bad.yaml:2:1: a second document (---) is not supported"
bad 78 'nothing here\n' "bad.yaml:1:1: expected KEY: VALUE lines"
bad 78 'a: b: c\n' "bad.yaml:1:5: YAML syntax: mapping values are not allowed in this context"
bad 78 'exp_name: "a\\0b"\n' "bad.yaml:1:11: a text may not contain a zero byte"
bad 78 '\001\002\003' "bad.yaml: not a text file: control characters are not allowed at byte 0"
bad 78 'seed: \377\n' "bad.yaml: not a text file: invalid leading UTF-8 octet at byte 6"

printf 'topk: 99\nfoo_bar_baz: 1\ngamma: x\n' >bad.yaml
run 78 imgtrain config bad.yaml seed=x
err_lines 5
err_has "error: bad.yaml:1:7: topk: 99"
err_has "error: bad.yaml:2:1: unknown key 'foo_bar_baz'"
err_has "error: command line: 'seed=x'"
err_has "imgtrain: 4 errors in the configuration"
i=0
while [ $i -lt 100 ]; do echo "no$i: 1"; i=$((i + 1)); done >bad.yaml
run 78 imgtrain config bad.yaml
err_lines 21

run 66 imgtrain config missing.yaml
err_is "imgtrain: open missing.yaml: No such file or directory"
run 78 imgtrain config .
err_is "imgtrain: . is a folder"
: >empty.yaml
run 0 imgtrain config empty.yaml
echo '# nothing' >empty.yaml
run 0 imgtrain config empty.yaml
echo 'seed: 1' >secret.yaml && chmod 0 secret.yaml
if [ "$(id -u)" = 0 ]; then
    skip "unreadable file: root reads everything"
else
    run 77 imgtrain config secret.yaml
fi
run 78 imgtrain config /dev/zero
err_has "limit"
printf '\357\273\277seed: 5\n' >bom.yaml
run 0 imgtrain config bom.yaml
origin_is seed "5|bom.yaml:1"
printf '\377\376s\000e\000e\000d\000:\000 \0006\000\n\000' >utf16.yaml
run 0 imgtrain config utf16.yaml
origin_is seed "6|utf16.yaml:1"
head -c 65536 "$program" >binary.yaml
run 78 imgtrain config binary.yaml
err_lines 1

# 100,000 brackets in a moment (libyaml alone needs ten seconds of processor time).
{ printf 'eval: '; head -c 100000 /dev/zero | tr '\0' '['; echo; } >deep.yaml
# shellcheck disable=SC2016,SC3045  # for the inner shell, whose ulimit has -t
run 78 sh -c 'ulimit -t 3 && exec "$0" config deep.yaml' "$program"
err_is "imgtrain: deep.yaml:1:38: nested more than 32 deep"

for override in foo =1 topk topq=1 splat.=1 .topk=1 nosection.topk=1 'topk=[1' 'topk=[[1]]' \
    'topk="1' 'topk=[1]]' 'topk={1}' "topk=[a: 1]" 'topk=[&a 1]' 'exp_name="a" b"'; do
    run 78 imgtrain config empty.yaml "$override"
    err_lines 1
    err_has "command line: '$override': "
done
run 78 imgtrain config "$(printf 'k\377\033\302\233\303\274=3')" # no byte of these for a terminal
err_has "command line: 'k????ü=3': unknown key 'k????ü'"
run 78 imgtrain config "exp_name=$(printf '\377')"
err_has "not UTF-8"
run 78 imgtrain config splat.seed=6
err_has "seed is a common key: write it at the top level, outside of sections"
run 0 imgtrain config 'exp_name=C# & *x: [y' 'log_root=' 'input_path=["a b.png"]'
origin_is exp_name '"C# & *x: [y"|command line'

# ---- the generator names the line of a fault in default.yaml ----
generator() { # generator TEXT MESSAGE
    printf "$1" >gen.yaml
    run 1 env LC_ALL=C awk -f "$root/scripts/config_gen.awk" gen.yaml
    err_is "gen.yaml:$2"
}
generator 'a: 1 # int 0..5: x\nb: 9 # int 0..5: y\n' "2: b: default 9 is outside 0..5"
generator 'a: 1\n' "1: a: no '# TYPE: MEANING' behind the default"
generator 'a: 1 # number: x\n' "1: a: unknown type 'number'"
generator 'a: x # enum y|z: w\n' "1: a: default 'x' is not one of y|z"
generator 'a: 1 # int: x\na: 1 # int: x\n' "2: 'a' appears twice"
generator 's:\n    a: 1 # int: x\n' "2: neither 'SECTION:' nor 'KEY: DEFAULT  # TYPE: MEANING'"
generator 'default: 1 # int: x\n' "1: 'default' is a word of the C language"
generator 'task: x # enum x|y: t\na: 1 # int of z: x\n' "2: a: 'z' is no task"
generator 'a: 1 # int: x\nb: 1 # int = a / c: x\n' "2: b: TOTAL and EACH are whole numbers above it in its section"
generator 'a: 1 # int: x\nb: 1 # int = a / a: x\n' "2: b: another way to say a key is a whole number that is below 0 by default"
generator 'a: 1 # int; ending: x\nb: 1 # int; width: x\n' "2: b: 'width' is no mark of what may differ on resume"
generator 's: # any\n  a: 1 # int: x\n' "1: s: 'any' is no mark of what may differ on resume"
generator 'a: 1 # int 5..0: x\n' "1: range '5..0' is not LOW..HIGH"
printf 's: # environment\n  a: [1, 2]  # list 0..9 (things): x # y\n  b: "a # b" # string; input: z\nt:\n  c: 1 # int: w\n' >gen.yaml
for awk in awk mawk gawk 'busybox awk'; do
    if ! $awk 'BEGIN { exit }' </dev/null 2>/dev/null; then
        skip "generator with $awk: not installed"
        continue
    fi
    run 0 env LC_ALL=C $awk -f "$root/scripts/config_gen.awk" gen.yaml
    out_has "struct config_list a; /* x # y [things] */"
    out_has '"b", CONFIG_TYPE_STRING, offsetof(struct config, s.b), "a # b"'
    out_has '"x # y", "", "", "", CONFIG_RESUME_ENVIRONMENT'
    out_has '"z", "", "", "", CONFIG_RESUME_INPUT'
    out_has '"w", "", "", "", CONFIG_RESUME_SAME'
    cp "$out" "gen.${awk##* }"
    run 0 env LC_ALL=C $awk -f "$root/scripts/config_gen.awk" "$root/default.yaml"
    cp "$out" "default.h"
    [ -e first.h ] || cp default.h first.h
    run 0 cmp first.h default.h
done
finish
