#!/bin/sh
# imgtrain render: models written by hand against an independent renderer (tool.py), sizes and crops,
# file formats, broken models.
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    skip "all of it: models are written and checked by python3, which is not here"
    finish
fi
render() { imgtrain render "$@" --device cpu; }
# close_to A B MOST MEAN [TIMES]: differences of two images
close_to() {
    run 0 tool difference "$1" "$2" ${5:-}
    if awk -v most="$3" -v mean="$4" '{ exit !($1 <= most && $2 <= mean) }' "$out"; then pass; else
        flunk "$1 and $2: $(cat "$out")"
    fi
}

# ---- every kind of model, whole and an enlarged part ----
for kind in plain sigma additive all gamma negative weighted; do
    tool model $kind
    run 0 render $kind.safetensors -o $kind.pfm
    err_is ""
    out_is ""
    tool draw $kind.safetensors 48x32 0,0,48,32 wanted.pfm
    close_to $kind.pfm wanted.pfm 2e-5 1e-5
    run 0 render $kind.safetensors --size 110x70 --crop 10,20,50,31 -o part.pfm
    tool draw $kind.safetensors 110x70 10,20,50,31 wanted.pfm
    close_to part.pfm wanted.pfm 2e-5 1e-5
done
same plain.pfm negative.pfm
close_to sigma.pfm plain.pfm 1e-5 1e-6
# the comparison sees what it should
run 0 tool difference plain.pfm all.pfm
if awk '{ exit !($1 > 1e-4) }' "$out"; then pass; else flunk "top 3 and all look alike"; fi

# ---- half-pixel centres: no shift between sizes. Half a pixel of shift shows ----
run 0 render plain.safetensors --scale 2 -o double.pfm
close_to double.pfm plain.pfm 0.1 0.001 2
run 0 render plain.safetensors --scale 2 --crop 1,0,94,64 -o shifted.pfm
run 0 render plain.safetensors --crop 0,0,47,32 -o unshifted.pfm
run 0 tool difference shifted.pfm unshifted.pfm 2
if awk '{ exit !($2 > 0.003) }' "$out"; then pass; else flunk "a shift does not show: $(cat "$out")"; fi
run 0 render plain.safetensors --scale 3 -o triple.pfm
close_to triple.pfm plain.pfm 0.1 0.001 3
run 0 render plain.safetensors --scale 0.5 -o half.pfm
close_to plain.pfm half.pfm 1e-5 1e-6 2

# ---- a crop is the part of the whole, byte for byte ----
run 0 render plain.safetensors --scale 2 -o whole.ppm
run 0 render plain.safetensors --scale 2 --crop 7,13,40,9 -o crop.ppm
run 0 sh -c 'for row in 13 14 15 16 17 18 19 20 21; do
    tail -c +$((14 + (row * 96 + 7) * 3)) whole.ppm | head -c 120; done >cut.bytes; tail -c 1080 crop.ppm | cmp - cut.bytes'
run 0 render plain.safetensors --crop 0,0,48,32 -o all.ppm
run 0 render plain.safetensors -o plain.ppm
same all.ppm plain.ppm

# ---- a small image of a huge one costs what the small one costs, and is an average all the same ----
# costs MIB SECONDS COMMAND...: not more of either
costs() {
    most=$1 seconds=$2
    shift 2
    run 0 tool measure "$program" render "$@" --device cpu
    if awk -v most="$most" -v seconds="$seconds" '{ exit !($1 <= seconds && $2 <= most) }' "$out"; then pass; else
        flunk "seconds and MiB: $(cat "$out")"
    fi
}
slow=1
if grep -q __asan_init "$program"; then slow=10; fi # a sanitizer's own memory
tool model huge
costs $((80 * slow)) 5 huge.safetensors --size 16x16 -o small.png
costs $((80 * slow)) 5 huge.safetensors --size 16x16 --memory-limit 512MB -o small.png
# ever fewer rows, of an image as wide as it says; a single thread would need no more than these at once
export OMP_NUM_THREADS=2
costs $((200 * slow)) 30 huge.safetensors --crop 0,0,131072,48 --memory-limit 60MB -o part.png
err_has "at a time"
run 0 render huge.safetensors --crop 0,0,131072,48 -o other.png
same part.png other.png
unset OMP_NUM_THREADS
tool model square
run 0 render square.safetensors -o whole.pfm
run 0 render square.safetensors --size 32x32 -o small.pfm
close_to whole.pfm small.pfm 0.002 0.0002 32

# ---- a long one shows how far it is ----
run 0 env IMGTRAIN_TESTING=1 "$program" render plain.safetensors --scale 4 -o long.png --device cpu
err_has "row 128/128 100%"
run 0 render plain.safetensors --scale 4 -o long.png
err_lacks "row "
has_terminals && run 0 tool terminal "] row " "$program" render huge.safetensors -o never.png --device cpu

# ---- formats ----
tool model deep
run 0 render deep.safetensors -o deep.png
run 0 tool png deep.png
out_is "48x32 16 rgb"
run 0 render plain.safetensors -o plain.png
run 0 tool png plain.png
out_is "48x32 8 rgb"
run 0 render deep.safetensors -o deep.jpg
run 0 render plain.safetensors --gaussians -o ellipses.png --scale 4
run 0 tool png ellipses.png
out_is "192x128 8 rgb"
run 0 render plain.safetensors --scale 0.001 -o dot.png
run 0 tool png dot.png
out_is "1x1 8 rgb"
close_to plain.pfm plain.ppm 0.00197 0.00197 # half a step of 8 bits: rounded, not cut

# ---- a run, a checkpoint, a stack ----
tool pictures "$root/test/fuzz/seed_image"
run 0 imgtrain train input_path=stack -o layers num_gaussians=30 max_steps=3 device=cpu threads=1 \
    video.enabled=false -q
run 0 render layers -o all.png
run 0 sh -c 'ls all-001.png all-002.png all-003.png'
same all-002.png layers/final-002.png
run 0 render layers/checkpoints/step-000000003.safetensors -o again.png
same all-003.png again-003.png
run 0 imgtrain train input_path=alpha.png -o clear num_gaussians=30 max_steps=3 device=cpu threads=1 \
    video.enabled=false -q
run 0 render clear -o clear.png
same clear.png clear/final.png

# ---- broken models: status 65, one line with the file's name, nothing written ----
rm -f none.png
for kind in nan shape rows width large topk bad_gamma gan foreign; do
    tool model $kind
    run 65 render $kind.safetensors -o none.png
    err_has "imgtrain: $kind.safetensors: "
    err_lines 1
    if [ -e none.png ]; then flunk "a picture of a broken model"; else pass; fi
done
head -c 300 layers/model.safetensors >cut.safetensors
run 65 render cut.safetensors -o none.png
{ head -c -101 layers/model.safetensors; printf 'x'; tail -c 100 layers/model.safetensors; } >flipped.safetensors
run 65 render flipped.safetensors -o none.png
err_has "CRC"
run 65 render rgb.png -o none.png
run 66 render nothing -o none.png
run 66 render absent.safetensors -o none.png
tool model flat # sigma without end: every Gaussian everywhere
run 0 render flat.safetensors -o flat.png

# ---- usage ----
run 64 render plain.safetensors
err_has "-o FILE"
for size in 0x5 10 5x 10x10x10 200000x1 -5x5; do run 64 render plain.safetensors -o none.png --size=$size; done
for scale in 0 -1 nan inf 1e9 x; do run 64 render plain.safetensors -o none.png --scale=$scale; done
for crop in 0,0,49,32 1,2,3 -1,0,5,5 0,0,0,5 48,0,1,1 2147483647,0,5,5; do
    run 64 render plain.safetensors -o none.png --crop=$crop
    err_lines 1
done
run 64 render plain.safetensors -o none.png --size 5x5 --scale 2
run 64 render plain.safetensors -o none.gif
run 64 render plain.safetensors -o none.pgm
run 73 render plain.safetensors -o absent/none.png
run 69 imgtrain render plain.safetensors -o none.png --device cuda:7
if ls none.* >/dev/null 2>&1; then flunk "something was written"; else pass; fi
run 0 imgtrain render --help
out_has "imgtrain render runs/photo-001"
finish
