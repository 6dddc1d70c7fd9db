#!/usr/bin/env python3
"""A tiny run of every task (tiny_tasks.py) in two threads, its resume after kill -9, and a look at what it left, by
a program with a sanitizer or under valgrind: none of them reports anything.

    IMGTRAIN=B/imgtrain test/torture/checked.py            B: make SAN=thread, SAN=address,undefined, CC=clang ...
    IMGTRAIN=B/imgtrain test/torture/checked.py valgrind   of a build without a sanitizer
    TASKS=vae,gan                                          these tasks

make checked runs all of them. Last line: N passed, N failed, N skipped."""
import os
import shutil
import subprocess
import sys
import tempfile

from tiny_runs import FINISHED, KILLED, Wrong, check_same, imgtrain, train
from tiny_tasks import TASKS, steps, write_inputs

STEPS = 4
VALGRIND = ['valgrind', '-q', '--error-exitcode=99', '--leak-check=full', '--errors-for-leak-kinds=definite',
            '--child-silent-after-fork=yes']


def check_task(folder, task, around):
    words = steps(task, folder, STEPS) + ['threads=2', 'checkpoint.every=2']
    run, half = os.path.join(folder, task), os.path.join(folder, task + '-half')
    ends = [(train(run, words, around=around), FINISHED),
            (train(half, words, faults='step=3:kill', around=around), KILLED),
            (train(half, words, resume=True, around=around), FINISHED),
            (imgtrain(['verify', run], around=around), FINISHED),
            (imgtrain(['info', run], around=around), FINISHED)]
    for done, status in ends:
        if done.returncode != status:
            raise Wrong('exit status %d, not %d: %s' % (done.returncode, status, done.stderr[-3000:]))
    check_same(half, run)


def main():
    around = VALGRIND if sys.argv[1:] == ['valgrind'] else []
    if around and not shutil.which('valgrind'):
        print('skipped: no valgrind\n0 passed, 0 failed, 1 skipped')
        return
    folder, failed = tempfile.mkdtemp(prefix='imgtrain-checked-'), 0
    tasks = os.environ.get('TASKS', ','.join(TASKS)).split(',')
    try:
        write_inputs(folder)
        for task in tasks:
            try:
                check_task(folder, task, around)
            except (Wrong, OSError, subprocess.TimeoutExpired) as wrong:
                failed += 1
                print('FAILED: %s: %s' % (task, wrong), flush=True)
    finally:
        shutil.rmtree(folder)
    print('%d passed, %d failed, 0 skipped' % (len(tasks) - failed, failed))
    sys.exit(failed > 0)


main()
