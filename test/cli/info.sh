#!/bin/sh
# imgtrain info: files and run folders, sound and broken.
. "$(dirname "$0")/lib.sh"

# tensors NAME: a file of one F32 tensor xy [1, 2] = (1.5, -2) with foreign metadata.
tensors() {
    json='{"__metadata__":{"format":"imgtrain","kind":"checkpoint","task":"splat","step":"7"}'
    json="$json,\"xy\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}"
    printf "\\$(printf %o ${#json})\\0\\0\\0\\0\\0\\0\\0%s\\0\\0\\300\\077\\0\\0\\0\\300" "$json" >"$1"
}

tensors "a file.safetensors"
run 0 imgtrain info "a file.safetensors"
out_has "a file.safetensors: checkpoint of task splat"
out_has "Gaussians    1"
out_has "CRCs not there"
out_has "-2 .. 1.5"
run 0 imgtrain info --json "a file.safetensors"
out_has '"gaussians": 1, '
out_has '{"name": "xy", "dtype": "F32", "shape": [1, 2], "min": -2, "max": 1.5, "nonfinite": 0}'
run 74 sh -c '"$0" info "a file.safetensors" >/dev/full' "$program"

run 64 imgtrain info
run 64 imgtrain info a b
run 66 imgtrain info absent.safetensors
err_has "absent.safetensors"
err_lines 1
head -c 100 "a file.safetensors" >cut.safetensors
run 65 imgtrain info cut.safetensors
err_has "cut.safetensors"
err_lines 1
: >empty.safetensors
run 65 imgtrain info empty.safetensors
run 65 imgtrain info /dev/null

# ---- runs ----
mkdir -p "my run/checkpoints" "my run/frames" nothing
run 66 imgtrain info nothing
err_has "nothing: no run folder"
tensors "my run/checkpoints/step-000000007.safetensors"
cp cut.safetensors "my run/checkpoints/step-000000010.safetensors"
: >"my run/frames/000000001.jpg"
printf '{"step": 6, "psnr": 31.25}\n{"step": 7, "psnr": 32.5, "x": null}\n{"step": 8' >"my run/metrics.jsonl"
run 0 imgtrain info "my run"
err_has "checkpoint of step 10 is not used"
out_has "my run: run, stopped"
out_has "step 7, newest of 2"
out_has "frames       1"
out_has "metrics      step 7 psnr 32.5"
run 0 imgtrain info "my run" --json
out_has '"metrics": {"step":7,"psnr":32.5,"x":null}'
out_has '"checkpoint": {"step": 7, '
rm "my run/checkpoints/step-000000007.safetensors"
run 0 imgtrain info "my run"
out_has "all broken"
finish
