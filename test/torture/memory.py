#!/usr/bin/env python3
"""Randomised runs of tiny tasks while memory is capped, allocations fail and another process takes
memory between steps. Each must finish, or end with 31 and its state saved; then, resumed without
faults, end with the same bits as a run that nothing befell. Every file that is left is opened.

    CASES=1000 SEED=1 JOBS=1 IMGTRAIN=./imgtrain test/torture/memory.py

A build without video (make VIDEO=0) starts faster, which is most of the time. ONLY=17 repeats one case and shows it. Last line: N passed, N failed, N skipped."""
import concurrent.futures
import filecmp
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile

from tiny_runs import (FINISHED, NO_MEMORY, Wrong, check_files, check_same, imgtrain, read_records, steps_done, train,
                       was_mixed)
from tiny_tasks import COMMON, TASKS, write_inputs

CASES, SEED = int(os.environ.get('CASES', 1000)), int(os.environ.get('SEED', 1))
JOBS, ONLY = int(os.environ.get('JOBS', 1)), os.environ.get('ONLY')


# ---- configurations, and what happens to a run ----

class Base:
    """A configuration and its unbroken run."""

    def __init__(self, index, folder):
        rng = random.Random('base %d %d' % (SEED, index))
        name = list(TASKS)[index % len(TASKS)]
        self.task, self.sr = TASKS[name], name == 'sr'
        self.words = ['task=' + name] + self.task.any(rng, folder) + COMMON + ['threads=1', 'frames.every=%d' % rng.choice([1, 2, 4])]
        self.run = os.path.join(folder, 'base-%d' % index)
        done = train(self.run, self.words)
        if done.returncode != FINISHED:
            sys.exit('the unbroken run of %s ended with %d: %s' % (self.words, done.returncode, done.stderr))
        check_files(self.run)
        records = read_records(os.path.join(self.run, 'metrics.jsonl'))
        self.steps = records[-1]['step']
        self.bytes = max(r['bytes'] for r in records)


def draw_faults(rng, base):
    """IMGTRAIN_FAULTS: one to three clauses."""
    most = max(1, base.bytes)
    kinds = {
        'alloc': lambda: 'alloc=%d' % rng.randint(1, 14),
        'alloc+': lambda: 'alloc=%d+' % rng.randint(1, 30),
        'fail': lambda: 'step=%d:fail' % rng.randrange(base.steps),
        'take': lambda: 'step=%d:take=%d' % (rng.randrange(base.steps), rng.randrange(2 * most)),
        'give': lambda: 'step=%d:give' % rng.randrange(base.steps),
        'cotenant': lambda: 'cotenant=%d:%d' % (rng.randrange(1000), rng.randrange(1, 2 * most)),
    }
    return ','.join(kinds[rng.choice(sorted(kinds))]() for _ in range(rng.randint(1, 3)))


def draw_pressure(rng, base):
    """The words and faults of one case, and whether its result must be the unbroken one."""
    words, faults, same = [], '', True
    if rng.random() < 0.6:
        words.append('memory.limit=%d' % int(base.bytes * rng.uniform(0.3, 1.6)))
    if rng.random() < 0.8:
        faults = draw_faults(rng, base)
    if rng.random() < 0.3:
        words.append('memory.adjustment_frequency=%d' % rng.choice([1, 2, 3]))
    if rng.random() < 0.15:
        words.append('memory.level=%s' % rng.choice('01234'))
    if rng.random() < (0.5 if base.sr else 0.15):
        words += ['memory.grow=true', 'memory.adjustment_frequency=1']
        if base.sr:
            words += ['memory.min_size=%d' % rng.choice([0, 8]), 'memory.max_size=%d' % rng.choice([16, 24]),
                      'memory.min_batch_size=%d' % rng.choice([0, 2]), 'memory.max_batch_size=%d' % rng.choice([2, 12]),
                      'memory.grow_time=%d' % rng.choice([0, 2, 6])]
        same = False
    words.append('checkpoint.every=%d' % rng.choice([1, 2, 100]))
    return words, faults, same


# ---- what is left ----

def check_saved(run):
    """After 31: the newest checkpoint is of the last step that was done."""
    newest = check_files(run)
    done = steps_done(run)
    if newest is None and os.path.exists(os.path.join(run, 'memory.jsonl')):
        raise Wrong('no state was saved')
    if done and newest != done[-1]:
        raise Wrong('steps to %d are done, the newest checkpoint is of %s' % (done[-1], newest))


def check_replay(run, base):
    """What grew grows again by memory.schedule, to the same bits."""
    told = imgtrain(['info', run, '--schedule'])
    if told.returncode != FINISHED:
        raise Wrong('info --schedule ended with %d: %s' % (told.returncode, told.stderr))
    schedule = told.stdout.strip().replace(': ', '=', 1)
    if not schedule: # nothing grew
        return check_same(run, base.run)
    again = run + '-again'
    done = train(again, base.words + [schedule, 'frames.count=0'])
    if done.returncode != FINISHED:
        raise Wrong('%s ended with %d: %s' % (schedule, done.returncode, done.stderr[-2000:]))
    if not filecmp.cmp(os.path.join(run, 'model.safetensors'), os.path.join(again, 'model.safetensors'), shallow=False):
        raise Wrong('%s makes another model' % schedule)
    shutil.rmtree(again)


def one_case(number, bases, folder):
    """"survived" or "31, resumed"; raises Wrong."""
    rng = random.Random('case %d %d' % (SEED, number))
    base = bases[rng.randrange(len(bases))]
    words, faults, same = draw_pressure(rng, base)
    run = os.path.join(folder, 'run-%d' % number)
    if ONLY:
        print(' '.join(base.words + words), '\nIMGTRAIN_FAULTS=' + faults)
    try:
        done = train(run, base.words + words, faults)
        if ONLY:
            print(done.returncode, done.stderr)
        outcome = 'survived'
        free = not any(w.startswith(('memory.limit', 'memory.level')) for w in words)
        if done.returncode == NO_MEMORY and free and re.fullmatch(r'step=\d+:fail', faults):
            raise Wrong('one failure with memory to spare ended the run')
        if done.returncode == NO_MEMORY:
            outcome = 'ended with 31, resumed'
            if os.path.exists(run):
                check_saved(run)
            unpressed = [w for w in words if not w.startswith('memory.limit')]
            done = train(run, base.words + unpressed, resume=True)
        if done.returncode != FINISHED:
            raise Wrong('exit status %d: %s' % (done.returncode, done.stderr[-2000:]))
        check_files(run)
        if was_mixed(run):
            outcome += ', in mixed precision'
        elif same:
            check_same(run, base.run)
        elif base.task.replays:
            check_replay(run, base)
        if not ONLY:
            shutil.rmtree(run)
        return outcome
    except (Wrong, OSError, ValueError, subprocess.TimeoutExpired) as wrong:
        raise Wrong('case %d: %s\n    %s\n    IMGTRAIN_FAULTS=%s' %
                    (number, wrong, ' '.join(base.words + words), faults))


def main():
    folder = tempfile.mkdtemp(prefix='imgtrain-torture-')
    outcomes, failed = {}, 0
    try:
        write_inputs(folder)
        bases = [Base(i, folder) for i in range(min(60, max(2 * len(TASKS), CASES // 4)))]
        numbers = [int(ONLY)] if ONLY else range(CASES)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for work in [pool.submit(one_case, n, bases, folder) for n in numbers]:
                try:
                    outcome = work.result()
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
                except Wrong as wrong:
                    failed += 1
                    print('FAILED:', wrong, flush=True)
    finally:
        if ONLY:
            print('left in', folder)
        else:
            shutil.rmtree(folder)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print('; '.join('%d %s' % (n, what) for what, n in sorted(outcomes.items())),
          '; %.0f s of processor time' % (used.ru_utime + used.ru_stime))
    print('%d passed, %d failed, 0 skipped' % (sum(outcomes.values()), failed))
    sys.exit(failed > 0)


main()
