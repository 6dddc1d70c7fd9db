#!/bin/sh
# What a run writes, where writing is interrupted, fails for a moment, or is cut off: what a checkpoint
# counts on is on the disk before it, what could not be written is written later, nothing is left over.
. "$(dirname "$0")/lib.sh"

if ! command -v strace >/dev/null || ! strace -o /dev/null -e inject=rename:signal=KILL:when=999 true 2>/dev/null; then
    skip "what is written, call by call: no strace"
    finish
fi

picture picture.ppm 40 30
cat >tiny.yaml <<'YAML'
task: splat
input_path: picture.ppm
device: cpu
threads: 1
num_gaussians: 40
max_steps: 40
eval_steps: 5
frames: {every: 10}
video: {enabled: false}
checkpoint: {every: 20, keep: 3}
YAML
run 0 imgtrain train tiny.yaml -o whole -q
is() { # WHAT FOUND WANTED
    last=$1
    if [ "$2" = "$3" ]; then pass; else flunk "$2, not $3"; fi
}

# ---- the order: folders, frames and lines, then the checkpoint that counts on them ----
run 0 strace -f -y -o trace -e trace=mkdir,fsync,fdatasync,rename \
    "$program" train tiny.yaml -o new/deep/run -q
# before NAME PATTERN CHECKPOINT: a call like PATTERN comes before the checkpoint gets its name
before() {
    last="order: $1 before $3"
    awk -v wanted="$2" -v end="rename.*$3.safetensors\"" '
        $0 ~ wanted { seen = NR }
        $0 ~ end { ended = 1; exit !(seen > 0) }
        END { if (!ended || !seen) exit 1 }' trace && pass || flunk "no call like $2"
}
here=$(pwd -P)
before "the first parent's entry" "fsync\\(.*<$here>\\)" step-000000020
before "the second parent's entry" "fsync\\(.*<$here/new>\\)" step-000000020
before "the run folder's entry" "fsync\\(.*<$here/new/deep>\\)" step-000000020
for name in frames/000000010.jpg frames/000000010.json frames metrics.jsonl metrics.csv memory.jsonl; do
    before "$name" "fsync\\(.*<$here/new/deep/run/$name>\\)" step-000000020
done
before "the folder of these" "fsync\\(.*<$here/new/deep/run>\\)" step-000000020
for name in frames/000000030.jpg frames/000000040.json; do
    before "$name" "fsync\\(.*<$here/new/deep/run/$name>\\)" step-000000040
done

# ---- calls that a signal interrupts ----
for call in fsync ftruncate rename mkdir flock fallocate; do
    for when in 1 2 1+2; do
        rm -rf again
        run 0 strace -f -o /dev/null -e "inject=$call:error=EINTR:when=$when" \
            "$program" train tiny.yaml -o again -q
        is "$call interrupted" "$(cd again && find . -type f | sort | tr '\n' ' ')" \
            "$(cd whole && find . -type f | sort | tr '\n' ' ')"
    done
done
for pair in again/lock:openat again/metrics.jsonl:openat tiny.yaml:openat picture.ppm:openat \
    again/metrics.jsonl:close again/log.txt:close; do
    rm -rf again
    cp -r whole again
    run 0 strace -f -o /dev/null -P "${pair%:*}" -e "trace=${pair#*:}" \
        -e "inject=${pair#*:}:error=EINTR:when=1" \
        "$program" train tiny.yaml -o again --resume max_steps=41 -q
    err_lacks "nterrupted"
done

# ---- a line or a frame that cannot be written once ----
for name in metrics.jsonl metrics.csv; do
    rm -rf again
    run 0 strace -f -o /dev/null -P "$here/again/$name" -e trace=write \
        -e inject=write:error=ENOSPC:when=2..3 "$program" train tiny.yaml -o again
    err_has "again/$name: No space left on device; lines are kept and written later"
    is "$name has all lines" "$(cut -d, -f1-4 "again/$name")" "$(cut -d, -f1-4 "whole/$name")"
done
rm -rf again
# Each thread counts for itself: the seventh rename is one of a frame, as no other thread has as many.
run 0 strace -f -o /dev/null -e inject=rename:error=ENOSPC:when=7 \
    "$program" train tiny.yaml -o again checkpoint.every=1000
err_has "warning: frame 30: "
err_has "it is left out, training goes on"
err_has "frames: 1 frame could not be written and will be missing in the video"
last="the frames before and after it"
if [ -e again/frames/000000020.json ] && [ ! -e again/frames/000000030.jpg ] &&
    [ -e again/frames/000000040.json ]; then pass; else flunk "$(ls again/frames | tr '\n' ' ')"; fi

# ---- temporary files: gone when a signal ends the program, or when writing fails ----
rest() { ls -A pictures | tr '\n' ' '; }
mkdir pictures
for signal in TERM INT HUP QUIT XCPU USR1; do
    strace -f -o /dev/null -e "inject=fsync:signal=$signal:when=1" \
        "$program" render whole -o pictures/out.png >"$out" 2>"$err"
    is "render ended by SIG$signal leaves" "$(rest | sed 's/out.png //')" ""
    rm -f pictures/*
done
run 74 strace -f -o /dev/null -e inject=fsync:error=EIO:when=1 "$program" render whole -o pictures/out.png
is "a failing disk leaves" "$(rest)" ""
# shellcheck disable=SC2016 # of the inner shell
run 74 sh -c 'ulimit -S -f 1 && exec "$0" "$@"' "$program" render whole -o pictures/out.png --scale 9
is "a file that may not be as large leaves" "$(rest)" ""
strace -f -o /dev/null -e inject=fsync:signal=KILL:when=1 "$program" render whole -o pictures/out.png >"$out" 2>"$err"
run 0 imgtrain render whole -o pictures/out.png
is "a render after one that was killed leaves" "$(rest)" "out.png "
touch pictures/out.png.tmp12345 pictures/other.png.tmp12345
run 0 imgtrain render whole -o pictures/out.png
is "only its own" "$(rest)" "other.png.tmp12345 out.png "

# Two containers with one folder: both are process 1, on machines of one name.
if unshare --pid --fork --mount-proc true 2>/dev/null; then
    rm -f pictures/*
    for i in 1 2 3 4 5 6; do
        unshare --pid --fork --mount-proc "$program" render whole -o pictures/out.png --scale 20 \
            >"$out.$i" 2>&1 || echo "$i failed" >>failed &
    done
    wait
    is "six at a time fail" "$(cat failed 2>/dev/null)" ""
    is "six at a time leave" "$(rest)" "out.png "
else
    skip "two processes that are process 1: no unshare"
fi
finish
