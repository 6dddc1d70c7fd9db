#!/bin/sh
# The configs in cfgs/: every one is accepted without a remark that would puzzle; those of task splat
# forecast a run, and the smallest one trains.
. "$(dirname "$0")/lib.sh"

picture picture.ppm 64 48

for preset in "$root"/cfgs/*.yaml; do
    run 0 imgtrain config "$preset"
    err_is ""
    # A comment on the first line says what the preset is for.
    run 0 sh -c 'head -n 1 "$0" | grep -q "^# [A-Za-z\`]"' "$preset"
    if grep -Eq '^task: (gan|sr|diffusion|vae)' "$preset"; then continue; fi
    run 0 imgtrain train "$preset" input_path=picture.ppm device=cpu --dry-run
    out_has "task           splat, "
    out_has "checkpoints"
done
if [ -e runs ]; then flunk "--dry-run made a folder"; else pass; fi

# planned PRESET BYTES [OPTION ...]: the way that its plan picks fits into so many bytes
planned() {
    preset=$1 bytes=$2
    shift 2
    run 0 imgtrain plan "$root/cfgs/$preset.yaml" device=cpu threads=2 --json "$@"
    takes=$(awk '/"chosen"/ { match($0, /"chosen": *-?[0-9]+/); split(substr($0, RSTART, RLENGTH), c, ": *") }
        { all = all $0 } END { n = split(all, rows, /"device_bytes": */); i = c[2] + 2
            if (c[2] < 0 || i > n) print "none"; else print rows[i] + 0 }' "$out")
    last="the plan of $preset"
    case $takes in
    none) flunk "nothing fits" ;;
    *) if awk -v a="$takes" -v b="$bytes" 'BEGIN { exit !(a > b / 8 && a <= b) }'; then pass; else
        flunk "takes $takes bytes, $bytes are there"; fi ;;
    esac
}
# Four fifths of the memory they are named after, and a good part of it
for gb in 2 4 8 12 24; do planned "gan-${gb}gb" "${gb}000000000"; done
for gb in 4 8 12 24; do planned "sr-${gb}gb" "${gb}000000000"; done
planned sr-x2-compact 2000000000
planned sr-x4-compact 2000000000
planned photo 300000000 --size 2000x2000
planned 4k 500000000 --size 3840x2160
planned 8k 1000000000 --size 7680x4320
planned 8k-plus 512000000 --size 20000x20000 --budget 512MB threads=1

run 0 imgtrain train "$root/cfgs/tiny.yaml" input_path=picture.ppm device=cpu
out_has "runs/tiny-001/final.png"
out_has "runs/tiny-001/model.safetensors"

# Image-GS's own default.yaml: keys that have no meaning here get one line each.
{
    cat "$root/cfgs/image-gs.yaml"
    printf '%s\n' 'device: "cuda:0"' 'eval: False' 'render_height: 2048' 'save_image_format: "jpg"' \
        'save_plot_format: "jpg"' 'data_root: "."' 'input_path: "picture.ppm"' 'smap_filter_size: 20' \
        'disable_tiles: False' 'log_root: "results"' 'exp_name: "test/picture"'
} >default.yaml
run 0 imgtrain train default.yaml --device cpu max_steps=3 num_gaussians=50 video.enabled=false -q
err_has "default.yaml"
err_has "'smap_filter_size' has no effect here"
err_lines 6
out_has "results/test/picture/model.safetensors"
# save_ckpt_steps beyond the end does not switch checkpoints off
run 0 imgtrain train default.yaml --device cpu exp_name=timed -q max_steps=12 num_gaussians=50 \
    video.enabled=false checkpoint.interval=0.000001
run 0 sh -c 'test "$(ls results/timed/checkpoints/*.safetensors | wc -l)" = 2'
# The small ones trained at their sizes, within the memory they are made for, as their plans predict
if [ "${SKIP_SLOW:-}" ]; then
    skip "presets trained for two steps: SKIP_SLOW is set"
else
    run 0 env IMGTRAIN="$program" "$root/scripts/presets_memory.sh" photo 4k gan-16 gan-64 gan-2gb sr-x2-tiny
fi
finish
