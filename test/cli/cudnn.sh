#!/bin/sh
# conv: auto|cudnn|native, memory.workspace: whole GAN trainings through the library that stands in
# for cuDNN in the emulator, and what is said where there is none.
. "$(dirname "$0")/lib.sh"

pictures photos 8 20 14
gan_yaml 'size: 8, widths: [16, 8], images: 24, eval_samples: 0' 'checkpoint: {every: 1, keep: 100}' 'frames: {count: 0}'

run 69 imgtrain train gan.yaml device=cpu conv=cudnn -o none
err_has "conv: cudnn: cpu"
err_lines 1
run 1 test -e none
run 0 imgtrain train gan.yaml device=cpu conv=auto -q -o cpu
err_lacks "conv:"
run 78 imgtrain train gan.yaml device=cpu conv=blas -o none

run 0 imgtrain plan gan.yaml device=cpu --json
out_has '"workspace_cap": 0'

library=$(dirname "$program")/fake_cudnn.so
look_for_cuda
if [ ! -e "$library" ] || [ "$emulated" = 0 ]; then
    skip "trainings by cuDNN: only the emulator has a library that stands in for it"
    finish
fi

IMGTRAIN_CUDNN=/nowhere/libcudnn.so.9
export IMGTRAIN_CUDNN
run 69 imgtrain train gan.yaml device=cuda conv=cudnn -o none
err_has "conv: cudnn: no cuDNN: /nowhere/libcudnn.so.9"
err_lines 1
run 1 test -e none
run 0 imgtrain train gan.yaml device=cuda images=8 -o without
err_has "conv: own kernels (no cuDNN: /nowhere/libcudnn.so.9"

IMGTRAIN_CUDNN=$library
run 0 imgtrain plan gan.yaml device=cuda conv=cudnn --json
out_has '"workspace_cap": 64000000'
run 0 imgtrain plan gan.yaml device=cuda conv=cudnn memory.workspace=1MB
out_has '977 KiB'

# agree: the metrics of CPU and `run`, line by line
agree() {
    last="metrics of cpu and $1"
    if ! paste -d, cpu/metrics.csv "$1/metrics.csv" |
        awk -F, -v names="loss_d loss_g r1 r2 score_real score_fake" '
            NR == 1 { half = NF / 2; count = split(names, name, " ")
                      for (i = 1; i <= half; i++) for (k in name) if ($i == name[k]) at[k] = i
                      next }
            { for (k in at) { a = $at[k]; b = $(at[k] + half); size = a < 0 ? -a : a
                  if (size < 0.01) size = 0.01
                  if (!((a > b ? a - b : b - a) <= 2e-2 * size)) {
                      print "line " NR " " name[k] ": cpu " a ", cuda " b; bad = 1 } } }
            END { for (k in at) found++; exit bad || found != count || NR < 3 }' >"$out"; then
        flunk "$(head -n 3 "$out" | tr '\n' ';')"
    else
        pass
    fi
}

run 0 imgtrain train gan.yaml device=cuda conv=cudnn -o fused
err_has "conv: cuDNN 91000 for"
agree fused
export FAKE_CUDNN
FAKE_CUDNN=execute=150
run 0 imgtrain train gan.yaml device=cuda conv=cudnn deterministic=true -o failed
err_has "conv: our own kernel from now on"
agree failed
FAKE_CUDNN=none
run 0 imgtrain train gan.yaml device=cuda conv=cudnn images=8 -o engines
err_has "conv: cuDNN 91000 for 0 of"

# deterministic: whatever is at a time, and from the middle on with the engines of the checkpoint,
# though the library would now offer others.
FAKE_CUDNN=
run 0 imgtrain train gan.yaml device=cuda conv=cudnn deterministic=true -q -o same
agree same
run 0 imgtrain train gan.yaml device=cuda conv=cudnn deterministic=true -q -o again scheme=c
run 0 cmp same/model.safetensors again/model.safetensors
run 0 imgtrain info same/checkpoints/*1.safetensors
run 0 imgtrain train gan.yaml device=cuda deterministic=true images=8 -o clock
err_has "conv: own kernels, as deterministic leaves no choice to the clock"
finish
