#!/bin/sh
# GPUs that cannot be used: under device=cuda one line that says why, and 69; under auto the same line,
# and the CPU. Memory that a driver lets spill into the system's: doctor says from where on.
. "$(dirname "$0")/lib.sh"

look_for_cuda
if [ "$emulated" = 0 ]; then
    skip "GPUs that cannot be used: only the emulator has them all"
    finish
fi
picture tiny.ppm 16 12
fit="input_path=tiny.ppm num_gaussians=4 max_steps=2 frames.count=0 video.enabled=false"

# unusable WHY VARIABLE=VALUE...
unusable() {
    why=$1
    shift
    rm -rf fit
    # shellcheck disable=SC2086  # a list of keys
    run 69 env "$@" "$program" train $fit device=cuda -o fit
    err_is "imgtrain: device cuda: $why"
    has_not fit
    # shellcheck disable=SC2086
    run 0 env "$@" "$program" train $fit device=auto -o fit
    err_has "device: the CPU ($why)"
    has fit/model.safetensors
    run 0 env "$@" "$program" doctor
    out_has "no: device cuda: $why"
}
unusable "there is no CUDA driver" IMGTRAIN_EMU=driver=0
unusable "the driver is too old: it is for CUDA 12.8, needed is 13.0" IMGTRAIN_EMU=driver=12080
unusable "the driver's library and its kernel module are of two versions: load the module anew, or restart" \
    IMGTRAIN_EMU=mismatch=1
unusable "there is no CUDA device: no /dev/nvidia* is here (a container needs --gpus all)" IMGTRAIN_EMU=nodes=0
unusable "there is no CUDA device (nvidia-smi -L: a GPU in MIG mode needs an instance)" IMGTRAIN_EMU=devices=0
unusable "there is no CUDA device: CUDA_VISIBLE_DEVICES is empty" CUDA_VISIBLE_DEVICES=
unusable "there is no CUDA device: CUDA_VISIBLE_DEVICES=7 names none" CUDA_VISIBLE_DEVICES=7
unusable "there is no CUDA device: CUDA_VISIBLE_DEVICES=GPU-1 names none" CUDA_VISIBLE_DEVICES=GPU-1
unusable "CUDA device 0 is taken: another process has it alone, or its compute mode (nvidia-smi -q -d COMPUTE) lets none in" \
    IMGTRAIN_EMU=busy=1

# one of two that is hidden; one that is there; an instance of a GPU in MIG mode
# shellcheck disable=SC2086
run 69 env IMGTRAIN_EMU=devices=2 CUDA_VISIBLE_DEVICES=1 "$program" train $fit device=cuda:1 -o none
err_is "imgtrain: device cuda:1: there is no CUDA device 1: 1 found in CUDA_VISIBLE_DEVICES"
run 0 env IMGTRAIN_EMU=devices=2 CUDA_VISIBLE_DEVICES=1 "$program" doctor
out_has "cuda:0: emulated GPU,"
run 0 env "IMGTRAIN_EMU=mig=1 memory=100000000" "$program" doctor
out_has "cuda:0: emulated GPU MIG 1g.1gb, 4 multiprocessors, sm_90, 95.4 MiB"

# memory that spills, and memory that does not
run 0 env "IMGTRAIN_EMU=memory=268435456 spill=134217728" "$program" doctor
err_has "cuda: of "
err_has "are the device's own: what lies beyond spills into the system's memory"
run 0 awk -v most=134217728 '/only about/ { for (i = 1; i < NF; i++) if ($i == "about") mib = $(i + 1)
    bad = !(mib * 1048576 <= most && mib * 1048576 > most - 32 * 1048576) } END { exit bad }' "$err"
run 0 env "IMGTRAIN_EMU=memory=268435456 spill=268435456" "$program" doctor
err_is ""
run 0 env IMGTRAIN_EMU=memory=268435456 "$program" doctor
err_is ""
finish
