#!/bin/sh
# doctor --check, and what a training does on a device whose operations are wrong: those of the
# emulated GPU, a kernel of which leaves a block out. cuda_self_check.c has more of them.
. "$(dirname "$0")/lib.sh"

HOME=$work/home IMGTRAIN_SELF_CHECK=all
export HOME
unset XDG_CACHE_HOME
mkdir "$HOME"

run 64 imgtrain doctor cpu
err_has "a device is for --check: cpu"
run 0 imgtrain doctor --check cpu
out_has "conv_dgrad"
out_has "splat.render"
out_lacks "FAILED"
run 78 imgtrain doctor --check gpu
has_not "$HOME/.cache"

look_for_cuda
if [ -n "$no_cuda" ]; then
    run 69 imgtrain doctor --check cuda
    err_has "$no_cuda"
    skip "faulty kernels: $no_cuda"
    finish
fi
if [ "$emulated" = 0 ]; then
    run 0 imgtrain doctor --check
    skip "faulty kernels: only the emulator has them"
    finish
fi

library=$(dirname "$program")/fake_cudnn.so
pictures photos 8 20 14
splat_yaml 'max_steps: 2' 'frames: {count: 0}'
gan_yaml 'size: 8, widths: [16, 8], images: 8, eval_samples: 0' 'frames: {count: 0}'
kept() { # COUNT: results in the cache
    last="results in the cache"
    found=$(find "$HOME" -type f | wc -l)
    if [ "$found" = "$1" ]; then pass; else flunk "$found, not $1"; fi
}

# a plan opens no check; a training does, once
run 0 imgtrain plan splat.yaml device=cuda
kept 0
for turn in 1 2; do
    run 0 env IMGTRAIN_EMU_LOG="$work/kernels$turn" "$program" train splat.yaml device=cuda -q -o "good$turn"
    kept 1
done
run 0 grep -q quantize_kernel "$work/kernels1" # which this training does not call
run 1 grep -q quantize_kernel "$work/kernels2"
same good1/model.safetensors good2/model.safetensors
run 0 imgtrain render good1 -o one.png --device cuda
kept 1
run 0 imgtrain train splat.yaml device=cpu -q -o cpu

# a fault: 69, or the CPU, by one line that names operation and shape
rm -r "$HOME/.cache"
IMGTRAIN_EMU=spoil=gather_kernel
export IMGTRAIN_EMU
for turn in 1 2; do
    run 69 imgtrain train splat.yaml device=cuda -q -o none
    err_lines 1
    err_has "device cuda: cuda:0: emulated GPU fails its self-check: splat.step 22x18, 14 Gaussians"
    err_has "is allowed"
    has_not none
    kept 1
done
run 0 imgtrain train splat.yaml device=auto -q -o "auto"
err_has "device: the CPU (cuda:0: emulated GPU fails its self-check: splat.step 22x18"
same auto/model.safetensors cpu/model.safetensors
run 0 imgtrain train auto/config.yaml max_steps=3 --resume -o auto -q
err_has "device: the CPU (cuda:0"
run 0 imgtrain render good1 -o cpu.png
err_has "device: the CPU (cuda:0"
run 69 imgtrain bench --task splat --device cuda --size 32 --gaussians 10 --steps 1
err_has "fails its self-check"

# all of it aloud: each operation has its line, the wrong one its number; then it is as good as new
run 69 imgtrain doctor --check cuda
out_has "FAILED"
out_has "splat.fake_quantize"
err_lines 1
err_has "fails its self-check: splat.step"
first=$(sed 's/.*self-check: //' "$err") # of several: which is also what its line has, and what is kept
out_has "    $first"
unset IMGTRAIN_EMU
run 69 imgtrain train splat.yaml device=cuda -q -o none
err_has "$first"
run 0 env IMGTRAIN_CUDNN="$library" "$program" doctor --check cuda
out_has "conv_wgrad by cuDNN"
run 0 imgtrain train splat.yaml device=cuda -q -o good3

# the device is lost within an operation
rm -r "$HOME/.cache"
run 0 env IMGTRAIN_EMU=crash=fir_up_kernel "$program" train gan.yaml device=auto -q -o lost
err_has "fails its self-check: fir_up"
err_has "illegal memory access"
run 69 env IMGTRAIN_EMU=crash=point_f32 "$program" doctor --check cuda # the first operation
err_has "illegal memory access"

# a folder that cannot be written to: checked, and no word about it
rm -rf "$HOME/.cache"
: >"$HOME/.cache"
run 0 imgtrain train splat.yaml device=cuda -o readonly
err_lacks "cache"

# conv: auto takes a library that passes
rm -rf "$HOME/.cache"
IMGTRAIN_CUDNN=$library
export IMGTRAIN_CUDNN
run 0 env FAKE_CUDNN=wrong "$program" train gan.yaml device=cuda -o wrong
err_has "conv: own kernels, as cuDNN 91000 fails its self-check: conv_forward"
run 0 imgtrain train gan.yaml device=cuda -o known
err_has "conv: own kernels, as cuDNN 91000 fails its self-check: conv_forward"
rm -rf "$HOME/.cache"
run 0 imgtrain train gan.yaml device=cuda -o by-library
err_lacks "own kernels, as"
finish
