#!/bin/sh
# imgtrain bench: its figures are there and mean what they say.
. "$(dirname "$0")/lib.sh"

run 64 imgtrain bench --task paint
err_has "--task paint"
run 64 imgtrain bench --size 16
run 64 imgtrain bench --task gan --scheme b
run 64 imgtrain bench --task gan --batch 8 --micro 9
run 64 imgtrain bench --task gan --conv blas
err_has "--conv blas is none of auto, native, cudnn"
run 69 imgtrain bench --task gan --conv cudnn --size 8 --device cpu
err_has "--conv cudnn: cpu"

# any size, Gaussians that cover it; what comes between steps has its own lines
run 0 imgtrain bench --device cpu --task splat --width 96 --height 40 --gaussians 50 --steps 2
out_has "splats: 96x40, 50 Gaussians of 2.47 px"
cp "$out" lines
for line in "topk 10, L1 . SSIM" "topk 10, L1 " additive relocation frame; do
    run 0 grep -E "^$line.* median .* mean .* best " lines
done

# a photograph as well
awk 'BEGIN { print "P2 30 20 255"; for (i = 0; i < 600; i++) print i * 7 % 256 }' >photo.pgm
run 0 imgtrain bench --device cpu --task splat --size 40 --gaussians 20 --steps 1 --photograph photo.pgm
out_has "photograph: topk 10, L1 + SSIM"
run 66 imgtrain bench --device cpu --task splat --size 40 --gaussians 20 --steps 1 --photograph missing.png
err_has missing.png

run 0 imgtrain bench --device cpu --task diffusion --size 8 --images 2 --dim 16 --heads 1 --layers 1 --steps 1
out_has "diffusion, "
out_has " 2 images of 8: median "
run 64 imgtrain bench --task diffusion --dim 60 --heads 8

# one JSON document whatever is measured
run 0 imgtrain bench --device cpu --task splat --size 64 --gaussians 50 --steps 1 --json
cp "$out" splat.json
for scheme in a c; do
    run 0 imgtrain bench --device cpu --task gan --size 16 --batch 16 --steps 1 --scheme $scheme --json
    cp "$out" $scheme.json
done
run 0 imgtrain bench --device cpu --task sr --size 16 --steps 1 --json
cp "$out" sr.json
run 0 imgtrain bench --device cpu --task diffusion --size 8 --images 2 --dim 16 --heads 1 --layers 1 --steps 1 --json
cp "$out" diffusion.json
run_script <<'END'
import json
splat, a, c = (json.load(open(name + ".json")) for name in ("splat", "a", "c"))
assert len(splat) == 5 and all(x["ms"] > 0 and x["mean_ms"] > 0 for x in splat), splat
assert all(x["gpairs_per_s"] > 0 for x in splat[:3]), splat
assert [x["name"] for x in splat[3:]] == ["relocation", "frame"], splat
a, c = a[0], c[0]
assert 3.9 < a["units_d"] <= 4.1 and 4.5 < c["units_d"] < 6, (a, c)
for x in a, c:
    assert x["plan_bytes"] == x["peak_bytes"], x  # as predicted
    assert abs(x["images_per_s"] * x["ms"] / 1e3 - 16) < 0.1, x
assert c["activation_bytes"] < a["activation_bytes"], (a, c)
for name in "sr", "diffusion":
    (x,) = json.load(open(name + ".json"))
    assert x["name"] == name and x["ms"] > 0 and x["gflops"] > 0 and x["plan_bytes"] > 0, x
END

# it times the networks that the presets train: those that follow from the size alone
mkdir pictures
for i in 1 2; do printf 'P6 1 1 255\nabc' >pictures/$i.ppm; done
for size in 16 32 64 128 256; do
    run 0 imgtrain train "$root/cfgs/gan-$size.yaml" data=pictures --device cpu --dry-run
    out_has "parameters"
    grep -E '^ *(parameters|activations) ' "$out" >preset
    run 0 imgtrain train "$root/cfgs/gan-$size.yaml" data=pictures --device cpu --dry-run widths='[]'
    grep -E '^ *(parameters|activations) ' "$out" >own
    run 0 diff preset own
done
finish
