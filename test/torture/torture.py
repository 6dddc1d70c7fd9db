#!/usr/bin/env python3
"""Whole runs of every task (tiny_tasks.py) while something goes wrong, row by row: each must lose
nothing that was saved, and end, resumed, with the bits of a run that nothing befell.

    test/torture/torture.py                 the short form, of tens of seconds: what CI runs
    LONG=1 test/torture/torture.py          all of it: hours; make torture
    test/torture/torture.py damage kill     these rows; TASKS=vae,gan: of these tasks
    CASES=50 test/torture/torture.py calls  so many cases of each row and task, evenly among all
    SOAK=600 test/torture/torture.py soak   seconds of the long run
    JOBS=2 IMGTRAIN=./imgtrain              as many at a time; the program
    TABLE=FILE                              writes the results between two marks of a file

Last line: N passed, N failed, N skipped."""
import concurrent.futures
import datetime
import errno
import filecmp
import functools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tiny_runs import (FINISHED, KILLED, NO_MEMORY, PROGRAM, ROOT, STOPPED, Wrong, check_files, check_same,
                       clean_environment, digest_of, imgtrain, newest_checkpoint, steps_done, train, was_mixed)
from tiny_tasks import TASKS, steps, write_inputs

LONG = os.environ.get('LONG', '') not in ('', '0')
JOBS = int(os.environ.get('JOBS', os.cpu_count() or 1))
CASES = int(os.environ.get('CASES', 0))
SOAK = float(os.environ.get('SOAK', 0 if not LONG else 60 if CASES else 1200)) # seconds of the long run
STEPS, INTERVAL = 6, 2 # of a short run, and between its checkpoints
OUT_OF_MEMORY, DIVERGED = 71, 30
# data, input, system, output, read or write, permission: one line each, and nothing lost
ORDERLY = (65, 66, OUT_OF_MEMORY, 73, 74, 77)

numbers, number_lock = iter(range(1, 1 << 30)), threading.Lock()


class Skip(Exception):
    """Why a row cannot be run here."""


class Work:
    """A task's unbroken run, and the same one as kill -9 left it before its last checkpoint."""

    def __init__(self, folder, task):
        self.folder, self.task, self.traces, self.resumed = folder, task, {}, set()
        self.words = steps(task, folder, STEPS) + ['threads=1', 'checkpoint.every=%d' % INTERVAL]
        self.run, self.half = os.path.join(folder, task), os.path.join(folder, task + '-half')
        began = time.monotonic()
        self.must_end(train(self.run, self.words), FINISHED)
        self.seconds = time.monotonic() - began
        check_files(self.run)
        self.must_end(train(self.half, self.words, faults='step=%d:kill' % (STEPS - 1)), KILLED)

    def must_end(self, done, *statuses):
        if done.returncode not in statuses:
            raise Wrong('%s: exit status %d, not %s: %s' %
                        (self.task, done.returncode, ' or '.join(map(str, statuses)), done.stderr[-1500:]))

    def new(self, copy_of=None):
        """The path of a new run, which is a copy of another or not there."""
        with number_lock:
            path = os.path.join(self.folder, '%s-%d' % (self.task, next(numbers)))
        if copy_of:
            shutil.copytree(copy_of, path)
        return path

    def ends_the_same(self, run, after=None, aside=None, **how):
        """Nothing befalls it from here on. after: the process that something befell; if it did not come to begin a run,
        this one would be the unbroken run again. aside: a file that the resumed run must put aside."""
        if after and after.returncode != FINISHED and not os.path.exists(run):
            return
        digest = digest_of(run) # the same bytes would go on to the same end again
        if digest not in self.resumed:
            self.go_on(run, aside, **how)
            self.resumed.add(digest)
        shutil.rmtree(run)

    def go_on(self, run, aside, **how):
        self.must_end(train(run, self.words, resume=True), FINISHED)
        if aside:
            os.remove(aside)
        check_files(run)
        check_same(run, self.run, **how)


def spread(work, cases, short):
    """All of them, or so many evenly among them."""
    work.places = len(cases)
    count = CASES or (len(cases) if LONG else short)
    if count >= len(cases):
        return cases
    return [cases[int((i + 0.5) * len(cases) / count)] for i in range(count)]


# ---- kill -9 at any time ----

def row_kill(work):
    rng = random.Random(5)
    return [rng.random() for _ in range(CASES or (200 if LONG else 3))]


def case_kill(work, moment):
    run = work.new()
    child = subprocess.Popen([PROGRAM, 'train'] + work.words + ['-o', run], env=clean_environment(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(moment * work.seconds)
    child.kill() # which one that has ended takes as well
    child.wait()
    loses_little(run)
    work.ends_the_same(run)


def loses_little(run):
    """At most what was done since the last checkpoint but one was due."""
    if os.path.isdir(run):
        check_files(run, ended=False)
        lost = max(steps_done(run), default=0) - (newest_checkpoint(run) or 0)
        if lost > INTERVAL:
            raise Wrong('%d steps are lost' % lost)


# ---- at every system call ----

# What changes files, and what else may fail; the errors of each.
CHANGES = {'openat': 'ENOSPC', 'write': 'ENOSPC', 'pwrite64': 'ENOSPC', 'writev': 'ENOSPC', 'ftruncate': 'EIO',
           'fallocate': 'ENOSPC', 'fsync': 'EIO', 'fdatasync': 'EIO', 'rename': 'EIO', 'link': 'EIO', 'unlink': 'EIO',
           'mkdir': 'ENOSPC', 'rmdir': 'EIO'}
READS = {'read': 'EIO', 'pread64': 'EIO', 'newfstatat': 'EIO', 'lseek': 'EIO', 'flock': 'ENOLCK', 'getdents64': 'EIO',
         'mmap': 'ENOMEM', 'close': 'EIO'}


def calls_made(log, start, mark):
    """[(name, k, whether `mark` has been named by then, whether it tells of a step that is not saved yet)] of the calls
    that start(around) makes."""
    strace = ['strace', '-f', '--seccomp-bpf', '-o', log, '-e', 'trace=' + ','.join(sorted({**CHANGES, **READS}))]
    try:
        done = start(strace)
    except FileNotFoundError:
        raise Skip('no strace')
    if done.returncode == 1 and not done.stderr.startswith('imgtrain: '):
        raise Skip('strace cannot trace here')
    if done.returncode != FINISHED:
        raise Wrong('exit status %d: %s' % (done.returncode, done.stderr[-1500:]))
    counts, found, begun = {}, {}, False
    with open(log, errors='replace') as file:
        for line in file:
            call = re.match(r'(\d+) +(\w+)\(', line)
            if not call:
                continue
            thread, name = call.groups()
            counts[thread, name] = k = counts.get((thread, name), 0) + 1
            begun = begun or mark in line
            # The k-th call of any thread fails: not one of those that load libraries.
            row = re.search(r'"\{\\"step\\": (\d+), \\"loss', line)
            found.setdefault((name, k), (begun, bool(row) and int(row[1]) % INTERVAL > 0))
    os.remove(log)
    return [call + when for call, when in found.items()]


def traced(work, resumed):
    """Those of a run."""
    if resumed not in work.traces:
        run = work.new(work.half if resumed else None)
        work.traces[resumed] = calls_made(
            run + '.calls', lambda around: train(run, work.words, resume=resumed, around=around), os.path.basename(run))
        shutil.rmtree(run)
    return work.traces[resumed]


def calls_of(work, names, resumed):
    """(name, k) of the calls that a run makes, from where it turns to its folder on."""
    return [(name, k) for name, k, late, _ in traced(work, resumed) if late and name in names]


def injector(work, name, what, number, k):
    """Not strace, which stops at every call, or, with --seccomp-bpf, injects nothing (version 6.1)."""
    return [built(work.folder, 'inject'), name, what, '%d' % number, str(k)]


def injected(work, run, resumed, *how):
    return train(run, work.words, resume=resumed, around=injector(work, *how))


def built(folder, name, *options):
    """A program or library of C beside this file."""
    path = os.path.join(folder, name)
    with number_lock:
        if not os.path.exists(path):
            source = os.path.join(ROOT, 'test', 'torture', name + '.c')
            if subprocess.run([os.environ.get('CC', 'cc'), *options, '-O2', source, '-o', path]).returncode != 0:
                raise Skip('no compiler')
    return path


def row_calls(work):
    return spread(work, [(resumed, name, k) for resumed in (False, True) for name, k in calls_of(work, CHANGES, resumed)], 6)


def case_calls(work, case):
    resumed, name, k = case
    run = work.new(work.half if resumed else None)
    done = injected(work, run, resumed, name, 'signal', signal.SIGKILL, k)
    work.must_end(done, KILLED)
    loses_little(run)
    work.ends_the_same(run, done)


def row_errors(work):
    errors = dict(CHANGES, **READS)
    found = [(resumed, name, k, errors[name]) for resumed in (False, True) for name, k in calls_of(work, errors, resumed)]
    ever = [(resumed, name, '%d+' % k, error) for resumed, name, k, error in found
            if error == 'ENOSPC' or name == 'fsync']
    return spread(work, found + ever, 8)


def case_errors(work, case):
    resumed, name, k, error = case
    run = work.new(work.half if resumed else None)
    before = newest_checkpoint(run) if resumed else None
    done = injected(work, run, resumed, name, 'error', getattr(errno, error), k)
    work.must_end(done, FINISHED, NO_MEMORY, *ORDERLY)
    nothing_is_lost(run, before)
    work.ends_the_same(run, done, said=done.stderr)


def nothing_is_lost(run, before):
    if before is not None and (newest_checkpoint(run) or 0) < before:
        raise Wrong('the checkpoint of step %d is gone' % before)


# ---- signals ----

SIGNALS = ('TERM', 'INT', 'USR1', 'HUP')


def row_signals(work):
    """From the program's first call on, which comes long before its handlers. The short form's two: while a step is not
    saved, for which places evenly among all come too early."""
    found = [(resumed, name, k) for resumed in (False, True) for name, k, _, unsaved in traced(work, resumed)
             if LONG or CASES or unsaved]
    first = list(TASKS).index(work.task) # so that few cases have all signals among them, too
    return spread(work, [(SIGNALS[(first + n + call[0]) % len(SIGNALS)],) + call for n, call in enumerate(found)], 2)


def made_steps(work, run):
    """Whether it has lines but those that were there before: with other times, if of the same steps."""
    path, before = (os.path.join(folder, 'metrics.jsonl') for folder in (run, work.half))
    return steps_done(run) and not filecmp.cmp(path, before, shallow=False)


def case_signals(work, case):
    number, resumed, name, k = case
    run = work.new(work.half if resumed else None)
    ended_by = -getattr(signal, 'SIG' + number)
    done = injected(work, run, resumed, name, 'signal', -ended_by, k)
    # the calls of each thread are counted: a second SIGINT ends it at once
    work.must_end(done, FINISHED, STOPPED, ended_by, *((130,) if number == 'INT' else ()))
    if done.returncode == ended_by and not resumed and os.path.exists(run):
        raise Wrong('there is a run, and no handler yet')
    loses_little(run)
    if done.returncode == STOPPED and made_steps(work, run) and max(steps_done(run)) > (newest_checkpoint(run) or 0):
        raise Wrong('the last step is not saved')
    work.ends_the_same(run, done)


# ---- a loss that is no number ----

def row_nan(work):
    return spread(work, [(step, ever) for step in range(STEPS) for ever in ('', '+')], 2)


def case_nan(work, case):
    step, ever = case
    run = work.new()
    done = train(run, work.words, faults='step=%d:nan%s' % (step, ever))
    work.must_end(done, DIVERGED if ever else FINISHED)
    for text in ['going back to the last good state'] + (['training diverged'] if ever else []):
        if text not in done.stderr:
            raise Wrong('says: %s' % done.stderr[-500:])
    if ever and (newest_checkpoint(run) or 0) > step:
        raise Wrong('a state after the step that failed is saved')
    work.ends_the_same(run)


# ---- memory ----

@functools.cache
def is_sanitized():
    linked = subprocess.run(['ldd', PROGRAM], capture_output=True, text=True).stdout
    return bool(re.search('lib([alt]|ub)san', linked)) or 'Sanitizer' in linked


def malloc_fails(work, how):
    """The environment that counts allocations or lets one fail."""
    if is_sanitized():
        raise Skip('a sanitizer has its own malloc')
    return dict(how, LD_PRELOAD=built(work.folder, 'malloc_fails', '-shared', '-fPIC'))


VIDEO = ['video.enabled=true', 'video.max_size=64', 'video.hold=0.1']


def allocations(work, resumed, more):
    run = work.new(work.half if resumed else None)
    done = train(run, work.words + more, resume=resumed, more_env=malloc_fails(work, {'MALLOC_COUNT': run + '.count'}))
    work.must_end(done, FINISHED)
    with open(run + '.count') as file:
        count = int(file.read())
    shutil.rmtree(run)
    return range(1, count + 1)


def row_malloc(work):
    """Each of a run; every tenth, too, of a resume, of a run that makes a video, and with all behind it. The report, which
    knows no task, is made in one task's."""
    plain = [] if work.task == next(iter(TASKS)) else ['report=false']
    ways = [(False, plain, '%d', 1), (False, plain, '%d+', 10), (True, plain, '%d', 10), (True, plain, '%d+', 10)]
    if LONG or CASES:
        ways.append((False, plain + VIDEO, '%d', 10))
    found = [(resumed, more, form % k) for resumed, more, form, every in ways
             for k in allocations(work, resumed, more)[::every]]
    return spread(work, found, 10)


def case_malloc(work, case):
    resumed, more, k = case
    run = work.new(work.half if resumed else None)
    before = newest_checkpoint(run) if resumed else None
    done = train(run, work.words + more, resume=resumed, more_env=malloc_fails(work, {'MALLOC_FAILS': k}))
    work.must_end(done, FINISHED, OUT_OF_MEMORY, NO_MEMORY)
    if done.returncode != FINISHED and 'imgtrain: ' not in done.stderr:
        raise Wrong('says: %s' % done.stderr[-500:])
    nothing_is_lost(run, before)
    work.ends_the_same(run, done, said=done.stderr)


# ---- a run that is only looked at ----

LOOKS = (['info', 'checkpoint'], ['info', 'run'], ['verify', 'run'])


def look(work, words, **how):
    """At the run that a kill has left, or at its last checkpoint."""
    return imgtrain([words[0], checkpoint_of(work.half) if words[1] == 'checkpoint' else work.half], **how)


def row_looks(work):
    """The allocations of verify, which reads configs, are many."""
    errors, found = dict(CHANGES, **READS), []
    for words in LOOKS:
        log = work.new() + '.calls'
        found += [(words, 'error', name, k) for name, k, late, _ in
                  calls_made(log, lambda around: look(work, words, around=around), os.path.basename(work.half)) if late]
        counted = malloc_fails(work, {'MALLOC_COUNT': log})
        if look(work, words, more_env=counted).returncode != FINISHED:
            raise Wrong('%s fails' % words)
        with open(log) as file:
            count = int(file.read())
        found += [(words, 'malloc', form, k) for form in ('%d', '%d+')
                  for k in range(1, count + 1, 100 if words[0] == 'verify' else 1)]
    return spread(work, found, 6)


def case_looks(work, case):
    words, kind, name, k = case
    before = digest_of(work.half)
    if kind == 'error':
        done = look(work, words, around=injector(work, name, 'error', getattr(errno, {**CHANGES, **READS}[name]), k))
    else:
        done = look(work, words, more_env=malloc_fails(work, {'MALLOC_FAILS': name % k}))
    work.must_end(done, FINISHED, *ORDERLY)
    if digest_of(work.half) != before:
        raise Wrong('it has changed the run')
    if kind == 'malloc' and 'DAMAGED' in done.stdout:
        raise Wrong('says: %s' % done.stdout)


# ---- damaged checkpoints ----

def row_damage(work):
    path = checkpoint_of(work.half)
    bytes_, rng = os.path.getsize(path), random.Random(7)
    cuts = list(range(0, min(bytes_, 8192 if LONG else 0))) + [rng.randrange(bytes_) for _ in range(1000 if LONG else 4)]
    flips = [(rng.randrange(bytes_), rng.randrange(8)) for _ in range(10000 if LONG else 12)]
    found = spread(work, [('cut', at, 0) for at in cuts] + [('flip', at, bit) for at, bit in flips], 16)
    if not LONG:
        return [[damage] for damage in found]
    many = [damage for n, damage in enumerate(found) if n % 64]
    return [[damage] for damage in found[::64]] + [many[n:n + 50] for n in range(0, len(many), 50)]


def checkpoint_of(run):
    return os.path.join(run, 'checkpoints', 'step-%09d.safetensors' % newest_checkpoint(run))


def damage(path, kind, at, bit):
    with open(path, 'r+b') as file:
        if kind == 'cut':
            file.truncate(at)
        else:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))


def case_damage(work, case):
    """Refused by itself; a run with an older one goes on from that. Those of a list are only refused, which takes less."""
    run = work.new(work.half if len(case) == 1 else None)
    if len(case) == 1:
        paths = [checkpoint_of(run)]
    else:
        os.mkdir(run)
        paths = [shutil.copy(checkpoint_of(work.half), os.path.join(run, '%d.safetensors' % n)) for n in range(len(case))]
    for path, (kind, at, bit) in zip(paths, case):
        damage(path, kind, at, bit)
    done = imgtrain(['verify'] + paths)
    work.must_end(done, 65)
    taken = [how for path, how in zip(paths, case) if not re.search('DAMAGED +%s' % re.escape(path), done.stdout)]
    if taken:
        raise Wrong('not refused: %s' % taken)
    if len(case) == 1:
        work.ends_the_same(run, aside=paths[0] + '.bad')
    else:
        shutil.rmtree(run)


# ---- resumed at any step, computed in any way ----

def row_steps(work):
    return spread(work, [(step, way) for step in range(1, 20) for way in range(3 if LONG else 1)], 4)


MORE = threading.Lock()


def longer_run(work):
    """20 steps, of which all checkpoints are kept."""
    with MORE:
        work.longer = getattr(work, 'longer', None) or os.path.join(work.folder, work.task + '-longer')
        words = steps(work.task, work.folder, 20) + ['checkpoint.every=1', 'checkpoint.keep=100']
        if not os.path.exists(work.longer):
            work.must_end(train(work.longer, words + ['threads=1']), FINISHED)
    return words


def case_steps(work, case):
    step, way = case
    words, run = longer_run(work), work.new()
    shutil.copytree(work.longer, run, ignore=lambda folder, names: [
        n for n in names if n == 'final.png' or n.endswith('.safetensors') and
        (not n.startswith('step-') or int(n[5:14]) > step)])
    how = ['threads=%d' % (1 + (step + way) % 3), 'memory.level=%d' % ((step + way) % 3)]
    work.must_end(train(run, words + how, resume=True), FINISHED)
    check_files(run)
    if not was_mixed(run):
        check_same(run, work.longer)
    shutil.rmtree(run)


# ---- a long run ----

def row_soak(work):
    return [SOAK] if SOAK else []


def process_use(pid):
    """Bytes of memory and open files."""
    with open('/proc/%d/statm' % pid) as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE'), len(os.listdir('/proc/%d/fd' % pid))


def case_soak(work, seconds):
    run, use = work.new(), []
    words = steps(work.task, work.folder, 10 ** 8) + ['threads=1', 'checkpoint.every=50', 'frames.every=1000']
    words = [w for w in words if not w.startswith('eval_steps')] + ['eval_steps=1000']
    child = subprocess.Popen([PROGRAM, 'train'] + words + ['-o', run], env=clean_environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end and child.poll() is None:
        time.sleep(min(1, seconds / 60))
        if child.poll() is None:
            use.append(process_use(child.pid))
    child.send_signal(signal.SIGTERM)
    said = child.communicate()[1]
    if child.returncode != STOPPED:
        raise Wrong('exit status %d: %s' % (child.returncode, said[-1500:]))
    third = len(use) // 3
    # At its most, and, as files are open while they are written, at its least.
    (early, few), (late, more) = [(max(u[0] for u in part), min(u[1] for u in part))
                                  for part in (use[third:2 * third], use[2 * third:])]
    if late > early * 1.02 + (1 << 20) or more > few:
        raise Wrong('from %d bytes and %d files to %d and %d' % (early, few, late, more))
    shutil.rmtree(run)


# ---- all of it ----

# name of functions: (row of the table, what must hold)
ROWS = {
    'kill': ('kill -9 at any time', 'resumed to the same bits, one interval lost at most'),
    'calls': ('kill -9 at every call that changes files, of a run and of a resume', 'the same'),
    'errors': ('an error at every call that may fail: full disk, EIO, no memory', 'an orderly end, no checkpoint deleted'),
    'damage': ('a checkpoint cut anywhere, a bit flipped anywhere', 'refused; the older one is resumed'),
    'signals': ('SIGTERM, SIGINT, SIGUSR1 or SIGHUP at every call of a run and of a resume, from the first on',
                'state saved and status 75, or its end while no run has begun'),
    'nan': ('a loss that is no number, once and ever after', 'back to the last good state once, then status 30; no later state saved'),
    'malloc': ('the k-th allocation of anybody fails, once and ever after', 'status 0, 31 or 71, nothing lost'),
    'looks': ('an error or no memory at every call while `info` or `verify` looks at a run', 'an orderly end, no file changed'),
    'steps': ('resumed at each of 20 steps, in other threads and levels', 'the same bits'),
    'soak': ('a long run', 'memory and open files stay as they are'),
}


def run_row(row, works, pool):
    """(cases, of so many places, failures, reason of a skip)"""
    cases, failed, began = 0, 0, time.monotonic()
    for work in works:
        work.places = 0
    try:
        listed = list(pool.map(lambda work: [(work, case) for case in globals()['row_' + row](work)], works))
    except Skip as skip:
        print('skipped: %s: %s' % (row, skip), flush=True)
        return 0, 0, 0, str(skip)
    asked = [(work, case, pool.submit(globals()['case_' + row], work, case)) for some in listed for work, case in some]
    for work, case, done in asked:
        cases += len(case) if isinstance(case, list) else 1
        try:
            done.result()
        except (Wrong, OSError, ValueError, subprocess.TimeoutExpired) as wrong:
            failed += 1
            print('FAILED: %s of %s: %s: %s' % (row, work.task, case, wrong), flush=True)
    print('%s: %d cases, %d failed (%.0f s)' % (row, cases, failed, time.monotonic() - began), flush=True)
    return cases, max(cases, sum(work.places for work in works)), failed, ''


def write_table(path, results):
    """Rows that were not run keep their lines."""
    with open(path) as file:
        text = file.read()
    begin, end = '<!-- torture -->\n', '<!-- /torture -->'
    before, rest = text.split(begin)
    old, after = rest.split(end)
    lines = {row: line for row in ROWS for line in old.splitlines() if line.startswith('| %s |' % ROWS[row][0])}
    for row, (cases, places, failed, skip) in results.items():
        many = '%d of %g s' % (cases, SOAK) if row == 'soak' else '%d of %d' % (cases, places) if cases < places else '%d' % cases
        figures = ('-', skip) if skip else (many, '%d' % failed)
        lines[row] = '| %s | %s | %s | %s | %s |' % (ROWS[row] + figures + (datetime.date.today().isoformat(),))
    with open(path, 'w') as file:
        file.write(before + begin + '| what happens | what must hold | cases | failures | on |\n|---|---|---|---|---|\n' +
                   ''.join(lines[row] + '\n' for row in ROWS if row in lines) + end + after)


def main():
    rows = sys.argv[1:] or list(ROWS)
    if set(rows) - set(ROWS):
        sys.exit('%s: rows are %s' % (' '.join(rows), ' '.join(ROWS)))
    wanted = os.environ.get('TASKS', ','.join(TASKS)).split(',')
    folder = tempfile.mkdtemp(prefix='imgtrain-torture-')
    results = {}
    try:
        write_inputs(folder)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            works = list(pool.map(lambda task: Work(folder, task), wanted))
            for row in rows:
                results[row] = run_row(row, works, pool)
    finally:
        if os.environ.get('KEEP'):
            print('left in', folder)
        else:
            shutil.rmtree(folder)
    if os.environ.get('TABLE'):
        write_table(os.environ['TABLE'], results)
    cases, failed = sum(r[0] for r in results.values()), sum(r[2] for r in results.values())
    print('%d passed, %d failed, %d skipped' % (cases - failed, failed, sum(bool(r[3]) for r in results.values())))
    sys.exit(failed > 0)


main()
