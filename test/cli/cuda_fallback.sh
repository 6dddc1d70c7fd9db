#!/bin/sh
# imgtrain sample, render and eval from the GPU down to the CPU: no memory to open the device, allocations
# that fail (the first, a later one, in the middle of an image), a limit; every step announced, and
# the image that of the CPU or of the GPU alone. What is no lack of memory stays an error.
. "$(dirname "$0")/lib.sh"

look_for_cuda
if [ -n "$no_cuda" ]; then
    skip "from the GPU to the CPU: $no_cuda"
    finish
fi

awk 'BEGIN { print "P3 64 150 255"; for (i = 0; i < 9600; i++) print i % 251, i * 7 % 256, i * i % 256 }' >tall.ppm
run 0 imgtrain train input_path=tall.ppm max_steps=3 num_gaussians=4000 frames.count=0 device=cpu -q -o fit
mkdir data
for n in 1 2 3 4 5 6; do
    awk -v n=$n 'BEGIN { print "P2 16 16 255"; for (i = 0; i < 256; i++) print i * n * 13 % 256 }' >data/$n.pgm
done
run 0 imgtrain train task=gan data=data size=16 batch=4 images=8 samples=4 frames.count=0 video.enabled=false \
    device=cpu -q -o gan

# remove_after STATUS: of a command that failed
remove_after() {
    rm -f "$picture"
    return "$1"
}
# make WHAT PICTURE OPTIONS...: an image, or figures, by one of the commands. 12 images, 16 at a time at first.
make() {
    what=$1 picture=$2
    shift 2
    rm -rf "$picture" walk
    case $what in
    render) imgtrain render fit -o "$picture" "$@" ;;
    sample) imgtrain sample gan --grid 4x3 -o "$picture" "$@" ;;
    eval) imgtrain eval fit tall.ppm "$@" >"$picture" || remove_after $? ;;
    score) imgtrain eval gan data "$@" >"$picture" || remove_after $? ;;
    walk) imgtrain sample gan --interpolate 1,2 --frames 20 -o walk "$@" && cat walk/*.png >"$picture" ;;
    esac
}
with() ( # VARIABLE=VALUE COMMAND...
    export "${1?}"
    shift
    "$@"
)
steps_are() {
    last="the steps of $what"
    steps=$(sed -n 's/.*: going on with \(the CPU\|[0-9][0-9]*\).*/\1/p' "$err" | tr '\n' ' ')
    if [ "$steps" = "$1" ]; then pass; else flunk "$steps, not $1"; fi
}

for what in render eval sample score walk; do
    for device in cpu cuda; do
        run 0 make $what $what-$device.png --device $device
        steps_are ""
    done
    case $what in render | eval) slices="80 48 32 16" ;; *) slices="8 4 2 1" ;; esac

    # a limit that nothing fits: ever smaller slices, then the CPU, which has none
    for device in cuda auto; do
        run 0 make $what x.png --device $device --memory-limit 1kB
        steps_are "$slices the CPU "
        err_has "do not fit: 0 B of memory.limit 1.0 KiB are used: going on with"
        same x.png $what-cpu.png
    done
    # the k-th allocation fails, once: fewer at a time, on the same device
    for k in 1 2 3 4; do
        case $what-$k in render-3 | eval-3) break ;; esac # it has two
        run 0 with IMGTRAIN_FAULTS=alloc=$k make $what x.png --device cuda
        steps_are "${slices%% *} "
        same x.png $what-cuda.png
    done
    # on and on, up to the last one before the CPU
    run 0 with IMGTRAIN_FAULTS=alloc=1,alloc=2,alloc=3,alloc=4,alloc=5 make $what x.png --device cuda
    steps_are "$slices the CPU "
    same x.png $what-cpu.png
    # and then the CPU's as well: nothing is left
    run 31 with IMGTRAIN_FAULTS=alloc=1+ make $what x.png --device cuda
    steps_are "$slices the CPU $slices "
    run 1 test -e x.png
done

# in the middle of an image: 2 MB are too little for one of the slices of 48 rows. Those of 32 take
# two allocations each, 11 to 16.
run 0 make render x.png --device cuda --memory-limit 2MB
steps_are "80 48 32 "
same x.png render-cuda.png
run 0 make eval x.png --device cuda --memory-limit 2MB
steps_are "80 48 32 "
same x.png eval-cuda.png
for k in 12 13 16; do
    run 0 with IMGTRAIN_FAULTS=alloc=$k make eval x.png --device cuda --memory-limit 2MB
    steps_are "80 48 32 16 "
    same x.png eval-cuda.png
    run 0 with IMGTRAIN_FAULTS=alloc=$k make render x.png --device cuda --memory-limit 2MB
    steps_are "80 48 32 16 "
    same x.png render-cuda.png
    run 0 with IMGTRAIN_FAULTS=alloc=$k,alloc=$((k + 1)) make render x.png --device cuda --memory-limit 2MB
    steps_are "80 48 32 16 the CPU "
    same x.png render-cpu.png
    run 31 with IMGTRAIN_FAULTS=alloc=$k+ make render x.png --device cuda --memory-limit 2MB
    run 1 test -e x.png
done

if [ "$emulated" = 0 ]; then
    skip "a GPU that has no memory, or breaks: only the emulated one does that when asked"
    finish
fi
for what in render eval sample score walk; do
    # the device itself has no memory: to be opened, or for the first allocation behind that
    for emu in fail_alloc=1 fail_alloc=2 memory=100000; do
        for device in cuda auto; do
            run 0 with IMGTRAIN_EMU=$emu make $what x.png --device $device
            err_has "out of memory"
            same x.png $what-cpu.png
        done
        run 0 with IMGTRAIN_EMU=$emu make $what x.png --device cuda
        steps_are "the CPU "
    done
    case $what in render | eval) first=80 ;; *) first=8 ;; esac
    for emu in fail_alloc=3 fail_alloc=4; do
        run 0 with IMGTRAIN_EMU=$emu make $what x.png --device cuda
        steps_are "$first "
    done
    # no device, or one that breaks: no lack of memory, so nothing takes over where it was asked for
    for emu in devices=0 driver=12000 fail_launch=2 lose=1 lose=2; do
        run 69 with IMGTRAIN_EMU=$emu make $what x.png --device cuda
        [ $what = score ] || err_lines 1 # before that it says what its pictures are
        run 1 test -e x.png
    done
    for emu in devices=0 driver=12000; do
        run 0 with IMGTRAIN_EMU=$emu make $what x.png --device auto
        err_has "device: the CPU ("
        same x.png $what-cpu.png
    done
done
finish
