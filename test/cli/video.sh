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

finish
