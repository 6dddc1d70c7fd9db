#!/bin/sh
# IMGTRAIN_TESTING=1: any run as a smoke test.
. "$(dirname "$0")/lib.sh"

awk 'BEGIN { print "P3 24 16 255"; for (i = 0; i < 384; i++) print i % 251, i * 7 % 256, i * i % 256 }' >picture.ppm
printf 'input_path: picture.ppm\nmax_steps: 5000\nnum_gaussians: 30\n' >fit.yaml
run 0 env IMGTRAIN_TESTING=1 "$program" train fit.yaml -o short
err_has "IMGTRAIN_TESTING is set"
last="a line for each step"
if [ "$(grep -c 'step [0-9]*/20 ' "$err")" = 20 ]; then pass; else flunk "not 20 lines"; fi
last="lines of metrics"
if [ "$(wc -l <short/metrics.jsonl)" = 4 ]; then pass; else flunk "not 4 evaluations"; fi
run 0 test -s short/final.png -a -s short/model.safetensors
run 0 env IMGTRAIN_TESTING=1 "$program" train fit.yaml max_steps=7 -o seven -q
run 0 imgtrain info seven --json
out_has '"step": 7'
run 0 env IMGTRAIN_TESTING=0 "$program" train fit.yaml --dry-run
err_lacks "IMGTRAIN_TESTING"
out_has "5000 steps"
mkdir data
for n in 1 2 3 4 5 6; do
    awk -v n=$n 'BEGIN { print "P2 8 8 255"; for (i = 0; i < 64; i++) print i * n * 13 % 256 }' >data/$n.pgm
done
run 0 env IMGTRAIN_TESTING=1 "$program" train task=gan data=data size=8 widths='[16]' samples=4 -o gan
err_has "step 16/16"
run 0 env IMGTRAIN_TESTING=1 "$program" train task=diffusion data=data diffusion.size=8 dim=16 layers=1 heads=1 'axes=[8, 4, 4]' text_dim=8 \
    batch=48 diffusion.samples=2 sample_steps=2 device=cpu -o diffusion
err_has "step 20/20"
finish
