#!/bin/sh
# What the program needs to start, and a machine without the libraries that it opens later: videos
# are left out with a line that says so, everything else is as ever, and `imgtrain video` makes them
# up when the libraries are there.
. "$(dirname "$0")/lib.sh"

: >"$err"
last="libraries that are loaded before main"
if ! ldd "$program" >"$out" 2>/dev/null; then
    skip "libraries before main: no ldd, or it cannot read the program"
else
    for library in libav libsw libx264 libcuda libcudnn libcublas; do out_lacks "$library"; done
    if [ "$(wc -l <"$out")" -le 40 ]; then pass; else flunk "they are $(wc -l <"$out")"; fi
fi

# ---- libav ----
run 0 imgtrain doctor
major=$(sed -n 's/^video .*built for [a-z ]*\([0-9][0-9]*\)\..*/\1/p' "$out")
if [ -z "$major" ]; then
    skip "a machine without libav: this build has no video"
    finish
fi
there=yes
grep -q '^video *libavcodec' "$out" || there=no

# A library that is cut off, in place of the real one.
mkdir broken
: >"broken/libavcodec.so.$major"
without() { LD_LIBRARY_PATH="$PWD/$libraries" "$program" "$@"; }
libraries=broken
run 0 without doctor
out_has "video        no: FFmpeg cannot be used: "
out_has "libavcodec.so.$major"
out_has "(built for libavcodec $major."

picture picture.ppm 48 32
pictures photos 6 16 16
fit="input_path=picture.ppm num_gaussians=40 max_steps=12"
gan="task=gan data=photos size=16 widths=[16,8,8] batch=4 images=16 samples=4"
for task in fit gan; do
    eval "keys=\$$task"
    # shellcheck disable=SC2086  # a list of keys
    run 0 without train $keys device=cpu frames.count=4 video.max_size=128 video.hold=0.1 video.cleanup=true -o $task
    err_has "video: FFmpeg cannot be used: "
    err_has "imgtrain video $task"
    out_has "$task/final.png"
    run 0 test -s $task/model.safetensors
    run 0 test ! -e $task/video.mp4
    if [ "$(grep -c FFmpeg "$err")" -le 1 ]; then pass; else flunk "it says so more than once"; fi
    run 69 without video $task
    err_lines 1
    run 0 test ! -e $task/video.mp4
    if [ $there = yes ]; then
        run 0 imgtrain video $task
        run 0 test -s $task/video.mp4
    else
        skip "imgtrain video $task: no libav here"
    fi
done

# Another library of that name (libavformat has counted with libavcodec for ten years).
libraries=stub
mkdir stub
if echo 'int av_stub(void); int av_stub(void) { return 0; }' |
    cc -shared -fPIC -Wl,-soname,"libavformat.so.$major" -x c - -o "stub/libavformat.so.$major" 2>/dev/null; then
    run 0 without doctor
    out_has "video        no: FFmpeg cannot be used: "
    [ $there = no ] || out_has "libavformat.so.$major has no av"
    run 69 without video fit
    err_lines 1
else
    skip "a library without its functions: no cc"
fi

finish
