#!/bin/sh
# imgtrain video: from the frames of a real run, and every way that it can be refused or stopped.
. "$(dirname "$0")/lib.sh"

run 0 imgtrain video --help
out_has "imgtrain video RUN"
run 64 imgtrain video
run 64 imgtrain video a b
run 66 imgtrain video absent
err_has "absent"
mkdir nothing
run 66 imgtrain video nothing
err_has "nothing/frames"
err_lines 1

if ! imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec'; then
    skip "videos: no libav here"
    finish
fi

picture picture.ppm 48 32
run 0 imgtrain train input_path=picture.ppm device=cpu num_gaussians=40 max_steps=30 frames.count=6 \
    video.enabled=false video.max_size=200 video.hold=0.2 -o "a run"
if [ -e "a run/video.mp4" ]; then flunk "there is a video"; else pass; fi

run 0 imgtrain video "a run"
out_is "a run/video.mp4"
err_has "200x" # as the run's own configuration says
run 0 imgtrain video "a run" --max-size 320 --fps 12 --quality 30 --hold 0 --no-captions \
    --no-reference --encoder mjpeg -o "ein Vidéo.mp4"
out_is "ein Vidéo.mp4"
err_has "mjpeg"

# ---- the codec that the run's configuration wants; where there is none such, another and a line ----
cp "a run/config.yaml" kept.yaml
sed 's/  codec: .*/  codec: mpeg4/' kept.yaml >"a run/config.yaml"
run 0 imgtrain video "a run"
err_has "s, mpeg4"
sed 's/  codec: .*/  codec: av1/' kept.yaml >"a run/config.yaml"
run 0 imgtrain video "a run" --max-size 60
err_has "libsvtav1 "
err_has "instead"
run 64 imgtrain video "a run" --encoder libsvtav1 --max-size 60
err_lines 1
cp kept.yaml "a run/config.yaml"
run 0 imgtrain video "a run"

# ---- frames that cannot be read are left out; what is there stays ----
cp "a run/video.mp4" before.mp4
for frame in "a run"/frames/*.jpg; do
    echo broken >"$frame"
    break
done
run 0 imgtrain video "a run"
err_has "frame skipped"
for frame in "a run"/frames/*.json; do echo '{' >"$frame"; done
cp before.mp4 "a run/video.mp4"
run 65 imgtrain video "a run"
run 64 imgtrain video "a run" --fps 0
run 64 imgtrain video "a run" --max-size 100000
run 64 imgtrain video "a run" --quality 52
run 64 imgtrain video "a run" --hold 2h
run 64 imgtrain video "a run" --colour
if cmp -s before.mp4 "a run/video.mp4"; then pass; else flunk "the old video is gone"; fi
for frame in "a run"/frames/*.json; do echo '{}' >"$frame"; done
run 64 imgtrain video "a run" --encoder none
run 73 imgtrain video "a run" -o absent/video.mp4
err_has "absent/video.mp4"
run 78 sh -c 'echo "video: {fps: many}" >"a run/config.yaml"; exec "$0" video "a run"' "$program"
rm "a run/config.yaml"

# ---- a stop leaves nothing behind ----
# shellcheck disable=SC2034  # flunk prints it
last="video, stopped"
"$program" video "a run" --hold 60 --fps 240 --max-size 200 -o long.mp4 >"$out" 2>"$err" &
pid=$!
tries=0
while [ $tries -lt 10000 ] && ! ls long.mp4.* >/dev/null 2>&1; do
    sleep 0.02
    tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
status=$?
if [ $status = 75 ]; then pass; else flunk "exit status $status, not 75"; fi
err_has "stopped"
if ls long.mp4* >/dev/null 2>&1; then flunk "something is left behind"; else pass; fi

# ---- a run's video is made by a process of its own: what ends that does not end the run, and it ends with the run ----
# making_video RUN: begins one whose video takes minutes; $pid is the run, $maker makes the video. What it says is in
# files of its own, as several are made at a time
making_video() {
    run=$1
    last="$1 makes its video"
    "$program" train input_path=picture.ppm device=cpu num_gaussians=40 max_steps=30 frames.count=6 video.max_size=800 \
        video.hold=60 video.fps=240 -o "$1" >"$1.out" 2>"$1.err" &
    pid=$!
    tries=0
    until ls "$1"/video.mp4.tmp* >/dev/null 2>&1 || [ $tries -ge 10000 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
    # others end meanwhile: awk would stop at the first file that is gone
    maker=$(cat /proc/[0-9]*/stat 2>/dev/null | awk -v parent=$pid '$4 == parent { print $1 }')
}
ended() {
    wait $pid
    status=$?
    cp "$run.out" "$out" && cp "$run.err" "$err"
    if [ $status = "$1" ]; then pass; else flunk "exit status $status, not $1"; fi
    tries=0
    while kill -0 "$maker" 2>/dev/null && [ $tries -lt 10000 ]; do # not a second after the run; the limit is for hangs
        sleep 0.02
        tries=$((tries + 1))
    done
    if kill -0 "$maker" 2>/dev/null; then flunk "its video is still being made"; else pass; fi
    has_not "$2"/video.mp4*
}
making_video hangs # as a library does that waits for itself; its end, a minute later, is looked at below
kill -STOP "$maker"
hangs=$pid hung=$maker
making_video aborts # as a library does that gets no memory
kill -ABRT "$maker"
ended 0 aborts
err_has "warning: video: the process was ended by signal 6; \`imgtrain video aborts\` tries again"
out_is "aborts/final.png
aborts/model.safetensors"
making_video stops
kill -TERM $pid
ended 75 stops
has stops/model.safetensors
making_video killed
kill -KILL $pid
ended 137 no-file # a temporary one stays, until the next video
run 0 imgtrain train input_path=picture.ppm video.hold=0.1 video.max_size=64 device=cpu num_gaussians=40 max_steps=30 \
    frames.count=6 -o killed --resume
out_has killed/video.mp4
if ls killed/*.tmp* >/dev/null 2>&1; then flunk "something is left behind"; else pass; fi
pid=$hangs maker=$hung run=hangs last="hangs makes its video"
ended 0 hangs
err_has "warning: video: its process did nothing for a minute"
err_has "tries again"

finish
