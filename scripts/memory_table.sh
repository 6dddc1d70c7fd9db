#!/bin/sh
# The table of src/splat/README.md of what a fit of 7680x4320 pixels by 30,000 Gaussians takes: predicted and
# measured memory of each configuration, and CPU time a step beside the first one's.
#
#   scripts/memory_table.sh [PICTURE [key=value ...]]   PICTURE: a photograph of that size; else drawn
#
# IMGTRAIN names the program. RSS is split as the kernel does: a process's own memory, and pages of
# mapped files, which it may drop at any time.
set -eu
cd "$(dirname "$0")/.."
IMGTRAIN=${IMGTRAIN:-$PWD/imgtrain}
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-memory-XXXXXX")
trap 'rm -rf "$work"' EXIT
picture=${1:-}
[ $# = 0 ] || shift
if [ -z "$picture" ]; then
    picture=$work/drawn.ppm
    python3 - "$picture" <<'PYTHON'
import math, sys
w, h = 7680, 4320
with open(sys.argv[1], 'wb') as f:
    f.write(b'P6\n%d %d\n255\n' % (w, h))
    for y in range(h):
        if y % 8 == 0:
            row = bytes(int(128 + 90 * math.sin(x / 90 + 3 * math.sin(y / 200) + c)) for x in range(w) for c in range(3))
        f.write(row)
PYTHON
fi

python3 - "$IMGTRAIN" "$picture" "$work" "$@" <<'PYTHON'
import json, os, re, sys, time
program, picture, work, more = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
STEPS, FIRST = 6, 2
COMMON = ['task=splat', 'device=cpu', 'threads=1', 'num_gaussians=30000', 'max_steps=%d' % STEPS,
          'eval_steps=%d' % FIRST, 'frames.count=3', 'input_path=' + picture]
ROWS = (('no optimisation', '~43 GB, out of memory on 48', ['use_amp=false', 'video_save_to_disk=false']),
        ('AMP', '25-28 GB', ['video_save_to_disk=false']),
        ('AMP + frames on disk', '22-25 GB', []),
        ('+ checkpointing', '18-22 GB', ['memory.use_gradient_checkpointing=true']),
        ('+ band streaming', 'not there', ['memory.use_gradient_checkpointing=true', 'memory.level=4']))
TICK = os.sysconf('SC_CLK_TCK')


def run(number, keys):
    folder = os.path.join(work, 'run%d' % number)
    log = os.open(os.path.join(work, 'log'), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    pid = os.fork()
    if pid == 0:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execv(program, [program, 'train'] + COMMON + keys + more + ['-q', '-o', folder])
    own, times, seen = 0, [], 0
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        try:
            with open('/proc/%d/status' % pid) as f:
                own = max(own, int(re.search(r'RssAnon:\s+(\d+)', f.read()).group(1)))
            with open('/proc/%d/stat' % pid) as f:
                fields = f.read().rsplit(')', 1)[1].split()
            with open(folder + '/metrics.jsonl') as f:
                lines = len(f.readlines())
            if lines > seen:
                times.append((lines * FIRST, (int(fields[11]) + int(fields[12])) / TICK))
                seen = lines
        except (OSError, AttributeError):
            pass
        time.sleep(0.02)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(open(os.path.join(work, 'log')).read())
    with open(folder + '/memory.jsonl') as f:
        memory = json.loads(f.readlines()[-1])
    (a, start), (b, end) = times[0], times[-1]
    return memory, own * 1024, usage.ru_maxrss * 1024, (end - start) / (b - a)


print('| configuration | reference project | device memory predicted | measured | whole process: own memory '
      '| with mapped files | time a step |')
print('|---|---|---|---|---|---|---|')
base = None
for number, (name, theirs, keys) in enumerate(ROWS):
    memory, own, peak, seconds = run(number, keys)
    base = base or seconds
    print('| %s | %s | %.0f MB | %.0f MB | %.0f MB | %.0f MB | %.2f |' % (
        name, theirs, memory['predicted'] / 1e6, memory['peak'] / 1e6, own / 1e6, peak / 1e6, seconds / base),
        flush=True)
print('\nseconds of one core a step, no optimisation: %.2f' % base)
PYTHON
