#!/bin/sh
# Stops at the wrong moment: before the run is in place, while an open or a read does not return; and
# the signals of lost terminals and limits.
. "$(dirname "$0")/lib.sh"

LIMIT=200 # seconds, for a stop that is never heard: the runs below would take longer

printf 'P6\n48 32\n255\n' >picture.ppm
head -c 4608 /dev/zero | tr '\0' 'z' >>picture.ppm
cat >tiny.yaml <<'END'
input_path: picture.ppm
num_gaussians: 30
max_steps: 100000000
lr_end: 1
disable_lr_schedule: true
device: cpu
threads: 1
video: {enabled: false}
frames: {every: 50}
END

# start NAME ARGUMENT ...: in the background; returns when signals are heard.
start() {
    name=$1
    shift
    "$program" train "$@" >"$name.out" 2>"$name.err" </dev/null &
    pid=$!
    eval "pid_$name=$pid"
    tries=0
    until heard "$pid" || [ $tries -ge 6000 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
}

# in_mask SigCgt|SigIgn PID NUMBER: whether the process catches, or ignores, the signal
in_mask() {
    mask=$(sed -n "s/^$1:.*\(........\)\$/\1/p" "/proc/$2/status" 2>/dev/null)
    [ -n "$mask" ] && [ $((0x$mask >> ($3 - 1) & 1)) = 1 ]
}

# Whether the program, and not the shell that becomes it, catches SIGTERM.
heard() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = imgtrain ] && in_mask SigCgt "$1" 15; }

# ends STATUS NAME: within LIMIT seconds of now.
ends() {
    eval "pid=\$pid_$2"
    last="$2 ends"
    cp "$2.err" "$err"
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt $((LIMIT * 10)) ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -9 "$pid" 2>/dev/null
    wait "$pid"
    status=$?
    cp "$2.err" "$err"
    if [ "$status" = "$1" ]; then pass; else flunk "exit status $status, not $1"; fi
}


# ---- an open or a read that does not return ----
mkfifo silent silent.yaml
start open tiny.yaml input_path=silent -o from-fifo
start config silent.yaml
start limited tiny.yaml input_path=silent -o from-limited --time-limit 1
mkdir data && for i in 1 2 3 4; do cp picture.ppm data/$i.ppm; done
mkfifo data/fifo.png
printf 'task: gan\ndata: data\nsize: 16\nwidths: [8, 8, 8]\nimages: 100000000\nvideo: {enabled: false}\n' >gan.yaml
start folder gan.yaml device=cpu -o from-folder
sleep 0.3
for name in open config folder; do
    eval "kill -TERM \$pid_$name"
done
for name in open config limited folder; do
    ends 75 $name
done
for name in open config; do
    cp $name.err "$err"
    err_has "stopped (SIGTERM)"
done
cp limited.err "$err"
err_has "stopped (time limit)"
run 1 test -e from-fifo
# A disk that has gone: reads of one file never come back.
cat >gone.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
static void wait_for_ever(int fd)
{
    char link[32] = "/proc/self/fd/", name[4096];
    int digits = 14;
    for (int unit = 10000; unit > 0; unit /= 10)
        if (fd >= unit || unit == 1) link[digits++] = (char)('0' + fd / unit % 10);
    ssize_t bytes = readlink(link, name, sizeof name - 1);
    if (bytes < 8 || memcmp(name + bytes - 8, "gone.ppm", 8) != 0) return;
    for (;;) pause();
}
ssize_t read(int fd, void *to, size_t bytes)
{
    ssize_t (*real)(int, void *, size_t) = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    wait_for_ever(fd);
    return real(fd, to, bytes);
}
ssize_t pread(int fd, void *to, size_t bytes, off_t at)
{
    ssize_t (*real)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
    wait_for_ever(fd);
    return real(fd, to, bytes, at);
}
END
cp picture.ppm gone.ppm
if ldd "$program" | grep -qE 'lib(asan|tsan)'; then
    skip "a read that does not return: not with this sanitizer"
elif cc -shared -fPIC gone.c -o gone.so -ldl 2>/dev/null; then
    LD_PRELOAD=$PWD/gone.so "$program" train tiny.yaml input_path=gone.ppm -o gone --time-limit 1 \
        >gone.out 2>gone.err </dev/null &
    pid_gone=$!
    ends 75 gone
    err_has "stopped (time limit) while something did not return"
else
    skip "a read that does not return: no compiler"
fi

# ---- a signal that comes before the run is in place ----
for try in 1 2 3 4 5 6 7 8; do
    start early tiny.yaml -o "early-$try"
    kill -TERM "$pid"
    ends 75 early
done
start asked tiny.yaml -o asked checkpoint.interval=1h
kill -USR2 "$pid"
wait_for asked/frames/000000050.json
run 0 sh -c 'tries=0
    until ls asked/checkpoints/*.safetensors || [ $tries -ge 600 ]; do sleep 0.1; tries=$((tries + 1)); done
    ls asked/checkpoints/*.safetensors'

# ---- one that was held back before the program began, as by a parent that blocks it ----
run 75 python3 -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getpid(), signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])' "$program" train tiny.yaml max_steps=3 -o held
err_has "SIGTERM"

# ---- a lost terminal, a limit of processor time ----
for number in 1 24; do
    signal=$(kill -l $number)
    if in_mask SigIgn $$ $number; then # under nohup: the program leaves it so
        skip "SIG$signal stops a run: whoever started this test ignores it"
        continue
    fi
    start late tiny.yaml -o "late-$signal"
    wait_for "late-$signal/frames/000000050.json"
    kill -$signal "$pid"
    ends 75 late
    err_has "SIG$signal"
    err_has "state saved"
    run 0 sh -c "ls late-$signal/checkpoints/*.safetensors"
done

# ---- what was ignored stays ignored ----
trap '' HUP USR1
start nohup tiny.yaml -o nohup
trap - HUP USR1
wait_for nohup/frames/000000050.json
kill -HUP "$pid"
kill -USR1 "$pid"
wait_for nohup/frames/000000250.json
sleep 0.3
run 0 kill -0 "$pid"
kill -TERM "$pid"
ends 75 nohup
err_has "SIGTERM"

kill -TERM "$pid_asked"
ends 75 asked
finish
