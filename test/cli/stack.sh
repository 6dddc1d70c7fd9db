#!/bin/sh
# A stack of 64 KiB (`ulimit -s 64`) is enough for whole runs with videos, and for a stop: threads of
# the program and of libraries get more than the limit says.
. "$(dirname "$0")/lib.sh"

if grep -q __asan_init "$program"; then
    skip "a small stack: AddressSanitizer needs more itself"
    finish
fi
# shellcheck disable=SC3045  # dash and bash have ulimit -s
small() { (ulimit -s 64 && exec "$program" "$@"); }
: >"$err"

picture picture.ppm 48 32
pictures photos 6 16 16
fit="input_path=picture.ppm num_gaussians=40 max_steps=12"
gan="task=gan data=photos size=16 widths=[16,8,8] batch=4 images=16 samples=4"
rest="device=cpu threads=2 frames.count=4 video.max_size=320 video.hold=0.1"
for task in fit gan; do
    eval "keys=\$$task"
    # shellcheck disable=SC2086  # a list of keys
    run 0 small train $keys $rest -o $task
    for file in final.png model.safetensors video.mp4; do
        [ $file = video.mp4 ] && ! imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec' && continue
        run 0 test -s $task/$file
    done
    # shellcheck disable=SC2086  # the same bits as with a large one
    run 0 imgtrain train $keys $rest video.enabled=false -o large
    run 0 cmp large/model.safetensors $task/model.safetensors
    rm -rf large
done
if imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec'; then
    for encoder in libx264 libvpx-vp9 libsvtav1 libx265 mpeg4 mjpeg; do
        last="imgtrain video --encoder $encoder"
        small video fit --encoder $encoder --max-size 1200 -o $encoder.mp4 >"$out" 2>"$err"
        status=$?
        # 64: this libavcodec has no such encoder
        if [ $status = 0 ] || [ $status = 64 ]; then pass; else flunk "exit status $status"; fi
    done
fi
run 0 small render fit -o fit.png --scale 3
run 0 small eval fit picture.ppm
run 0 small sample gan -o grid.png --seeds 0-8 --grid 3x3
run 64 small nonsense
err_lines 1

# ---- a stop reaches the run, which waits on another thread than the first ----
# shellcheck disable=SC2086,SC3045
(ulimit -s 64 && exec "$program" train $fit device=cpu max_steps=1000000 video.enabled=false frames.count=0 -o long) >"$out" 2>"$err" &
pid=$!
tries=0
while [ $tries -lt 15000 ] && ! grep -q 'steps on' "$err"; do
    sleep 0.02
    tries=$((tries + 1))
done
last="train, stopped"
kill -TERM $pid
wait $pid
status=$?
if [ $status = 75 ]; then pass; else flunk "exit status $status, not 75"; fi
err_has "state saved"

finish
