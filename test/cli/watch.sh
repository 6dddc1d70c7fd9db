#!/bin/sh
# imgtrain watch: a print of a run of each task, whatever state it is in and whatever is damaged; on a pseudo terminal
# it draws, follows, and leaves the terminal as it was (watch_pty.py). It changes nothing in a run.
. "$(dirname "$0")/lib.sh"
unset NO_COLOR COLORTERM LC_ALL LC_CTYPE
export LANG=C

picture picture.ppm 48 32
cat >tiny.yaml <<'YAML'
input_path: picture.ppm
num_gaussians: 40
max_steps: 8
eval_steps: 2
device: cpu
threads: 1
report: false
video: {enabled: false}
frames: {count: 4}
YAML
run 0 imgtrain train tiny.yaml -o run -q
find run -type f -exec ls -l --time-style=full-iso {} + >before
run 0 imgtrain watch run
for word in "run  splat  done" "100 %  step 8 of 8" "psnr " "memory " "level 0" "loss"; do out_has "$word"; done
psnr=$(sed -n 's/.*"psnr": \([0-9.]*\).*/\1/p' run/metrics.jsonl | tail -n 1)
out_has "psnr $(printf %.4g "$psnr")"
if LC_ALL=C grep -q '[^ -~]' "$out"; then flunk "other bytes than ASCII in a print"; else pass; fi
LANG=C.UTF-8 run 0 imgtrain watch run --once
find run -type f -exec ls -l --time-style=full-iso {} + >after
same before after

# ---- states, on paper ----
run 75 imgtrain train tiny.yaml max_steps=100000000 disable_lr_schedule=true -o stopped -q --time-limit 0.3
run 0 imgtrain watch stopped
out_has "stopped: --resume goes on"
killed_at 5 tiny.yaml -o killed -q
run 0 imgtrain watch killed
out_has "killed: --resume goes on"
run 0 imgtrain train tiny.yaml -o killed -q --resume
run 0 imgtrain watch killed
out_has "done, begun 2 times"
# shellcheck disable=SC2317  # called by run
squeezed() { IMGTRAIN_FAULTS=step=3:fail "$program" train tiny.yaml -o squeezed -q; }
run 0 squeezed
run 0 imgtrain watch squeezed
out_has "step 3: level"
run 66 imgtrain watch none
err_is "imgtrain: none: no such run"
run 66 imgtrain watch none/none
run 66 imgtrain watch tiny.yaml
err_is "imgtrain: tiny.yaml is no run folder"
mkdir empty
run 66 imgtrain watch empty
run 64 imgtrain watch run --graphics ascii
run 0 imgtrain watch run --graphics none
err_has "--graphics has no effect on a print"

# ---- several: a row each ----
run 0 imgtrain watch .
out_has "4 runs: 0 running, 3 done, 1 stopped"
run 66 imgtrain train tiny.yaml 'input_path=[picture.ppm, none.ppm]' -o batch -q
run 0 imgtrain watch batch
out_has "2 runs: 0 running, 1 done, 0 stopped, 1 failed"
out_has "batch-002"
out_has "failed    (66) open none.ppm"

# ---- a number too long for its place has fewer digits, not another beginning ----
cp -R run long
printf '{"step": %s, "loss": %s, "psnr": 40}\n' 1 0.0008431 8 0.0000540512 >long/metrics.jsonl
run 0 imgtrain watch long
out_has "5.41e-05"

# ---- what is damaged ----
cp -R run broken
rm broken/frames/*.json broken/memory.jsonl broken/log.txt broken/processes.jsonl
cat >>broken/metrics.jsonl <<'LINES'

{"step": 1e308, "loss": -1e308, "psnr": 1e-308, "bytes": 1e300, "steps_per_second": 1e-300, "seconds": -1}
{"step": -1e308, "loss": 1e308, "psnr": 1e308, "bytes": -1e300, "<i>": 1}
{"step": "x", "loss": [1]}
not JSON
{"step": 7, "loss"
LINES
awk 'BEGIN { for (i = 0; i < 400; i++) printf "{\"step\": %d, \"c%d\": 1}\n", i, i }' >>broken/metrics.jsonl
run 0 imgtrain watch broken
head -c 20000 /dev/urandom | tee broken/processes.jsonl broken/memory.jsonl broken/log.txt broken/config.yaml >broken/metrics.jsonl
run 0 imgtrain watch broken
cp -R run odd
printf '{"step": 8, "event": "end", "status": 74, "message": "\\u001b]0;x\\u0007 \377"}\n' >>odd/processes.jsonl
printf '%s warning: \033[2J\n' now >>odd/log.txt
run 0 imgtrain watch odd
if LC_ALL=C grep -q '[^ -~]' "$out"; then flunk "a file's bytes reach the terminal"; else pass; fi

# ---- a process that ends, or begins, while its files are read ----
cat >meanwhile.py <<'PYTHON'
# meanwhile.py PROGRAM ends|begins: at the first look at the lock, which strace makes long
import fcntl, glob, os, subprocess, sys, time
program, what = sys.argv[1:]
first, *rest = open('run/processes.jsonl').readlines()
lock = open('meanwhile/lock', 'r+')
with open('meanwhile/processes.jsonl', 'w') as file:
    file.write(first if what == 'ends' else '')
if what == 'ends': fcntl.flock(lock, fcntl.LOCK_EX)
hold = 'inject=flock:delay_%s=1000000:when=1' % ('enter' if what == 'ends' else 'exit')
strace = subprocess.Popen(['strace', '-o', '/dev/null', '-e', 'trace=flock', '-e', hold, program, 'watch', 'meanwhile'])
def looks():
    for fd in glob.glob('/proc/[0-9]*/fd/*'):
        try:
            if os.readlink(fd) == os.path.abspath('meanwhile/lock') and int(fd.split('/')[2]) != os.getpid(): return True
        except OSError: pass
while strace.poll() is None and not looks(): pass
if what == 'begins':
    time.sleep(.2)
    fcntl.flock(lock, fcntl.LOCK_EX)
with open('meanwhile/processes.jsonl', 'a') as file:
    file.writelines(rest if what == 'ends' else [first])
if what == 'ends': fcntl.flock(lock, fcntl.LOCK_UN)
sys.exit(strace.wait())
PYTHON
if strace -o /dev/null -e inject=flock:delay_enter=1 true 2>/dev/null; then
    for what in ends begins; do
        rm -rf meanwhile
        cp -R run meanwhile
        run 0 python3 -B meanwhile.py "$program" $what
        out_has "meanwhile  splat"
        out_lacks killed
    done
else
    skip "a process that ends or begins while its files are read: no strace"
fi

# ---- on a terminal ----
if has_terminals; then
    run 0 python3 "$root/test/cli/watch_pty.py" "$program" run
    out_is watched
    sed -n '/Error/,$p' "$err"
fi

finish
