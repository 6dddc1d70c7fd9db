#!/usr/bin/env python3
"""Randomised runs of tiny tasks while memory is capped, allocations fail and another process takes
memory between steps. Each must finish, or end with 31 and its state saved; then, resumed without
faults, end with the same bits as a run that nothing befell. Every file that is left is opened.

    CASES=1000 SEED=1 JOBS=1 IMGTRAIN=./imgtrain test/torture/memory.py

A build without video (make VIDEO=0) starts faster, which is most of the time. ONLY=17 repeats one case and shows it. Last line: N passed, N failed, N skipped."""
import concurrent.futures
import filecmp
import glob
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get('IMGTRAIN', os.path.join(ROOT, 'imgtrain')))
CASES, SEED = int(os.environ.get('CASES', 1000)), int(os.environ.get('SEED', 1))
JOBS, ONLY = int(os.environ.get('JOBS', 1)), os.environ.get('ONLY')
FINISHED, NO_MEMORY = 0, 31
TIMEOUT = 300


class Wrong(Exception):
    """What a run did that it must not do."""


# ---- running the program ----

def clean_environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith('IMGTRAIN')}
    env.update(OMP_NUM_THREADS='1')
    env['ASAN_OPTIONS'] = 'detect_leaks=1:exitcode=99'
    env['LSAN_OPTIONS'] = 'exitcode=99'
    env['UBSAN_OPTIONS'] = 'print_stacktrace=1:halt_on_error=1:exitcode=99'
    return env


def imgtrain(words, faults=''):
    env = clean_environment()
    if faults:
        env['IMGTRAIN_FAULTS'] = faults
    done = subprocess.run([PROGRAM] + words, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors='replace', timeout=TIMEOUT)
    if 'Sanitizer' in done.stderr or 'was not given back' in done.stderr:
        raise Wrong('a leak or worse:\n' + done.stderr[-3000:])
    return done


def train(run, words, faults='', resume=False):
    return imgtrain(['train'] + words + ['-o', run] + (['--resume'] if resume else []), faults)


# ---- tiny tasks ----

def write_inputs(folder):
    rng = random.Random(5)
    for name, w, h in (('small', 13, 9), ('wide', 40, 17), ('tall', 24, 48)):
        with open(os.path.join(folder, name + '.ppm'), 'wb') as file:
            file.write(b'P6 %d %d 255\n' % (w, h))
            file.write(bytes((x * 255 // w + rng.randrange(40) * (y > h // 2)) % 256
                             for y in range(h) for x in range(w) for _ in range(3)))
    os.mkdir(os.path.join(folder, 'photos'))
    for n in range(4):
        with open(os.path.join(folder, 'photos', '%d.ppm' % n), 'wb') as file:
            file.write(b'P6 72 66 255\n' + bytes((x * (n + 2) + y * y // 9 + c * 40) % 256
                                                 for y in range(66) for x in range(72) for c in range(3)))
    os.mkdir(os.path.join(folder, 'data'))
    for n in range(14):
        with open(os.path.join(folder, 'data', '%d.pgm' % n), 'wb') as file:
            file.write(b'P5 16 16 255\n' + bytes((i * (n + 1) * 13 + i // 16 * n) % 256 for i in range(256)))


COMMON = ['device=cpu', 'threads=1', 'eval_steps=1', 'video.enabled=false', 'log_level=warning']


def splat_base(rng, folder):
    words = ['task=splat', 'input_path=' + os.path.join(folder, rng.choice(['small', 'wide', 'tall']) + '.ppm'),
             'num_gaussians=%d' % rng.choice([1, 17, 60, 200]), 'max_steps=%d' % rng.randint(3, 9),
             'add_steps=2', 'add_times=2', 'post_min_steps=1', 'topk=%d' % rng.choice([0, 1, 4, 10])]
    words += rng.choice([[], [], ['disable_topk_norm=true'], ['quantize=true'], ['downsample=true'], ['use_amp=false']])
    return words


def gan_base(rng, folder):
    batch = rng.choice([4, 6, 16, 24])
    words = ['task=gan', 'data=' + os.path.join(folder, 'data'), 'size=8', 'widths=[16]', 'samples=2', 'eval_samples=0',
             'batch=%d' % batch, 'images=%d' % (batch * rng.randint(2, 5)), 'use_amp=false']
    words += rng.choice([[], [], ['scheme=c'], ['flip=true'], ['augment_target=0.5'], ['micro_batch=16']])
    return words


def sr_base(rng, folder):
    words = ['task=sr', 'dataroot_gt=' + os.path.join(folder, 'photos'), 'scale=%d' % rng.choice([1, 2, 2, 3]),
             'num_feat=%d' % rng.choice([3, 16, 24]), 'num_conv=%d' % rng.randint(1, 4), 'lq_size=%d' % rng.choice([8, 10, 16]),
             'batch=%d' % rng.choice([1, 3, 4, 8]), 'max_steps=%d' % rng.randint(3, 9), 'val_every=%d' % rng.choice([1, 3])]
    words += rng.choice([[], [], ['l1_weight=1'], ['val_gt=' + os.path.join(folder, 'photos')], ['data_mode=otf'],
                         ['discriminator=unet', 'num_feat_d=8', 'gan_weight=0.1', 'net_d_iters=2', 'lq_size=16']])
    return words


class Base:
    """A configuration and its unbroken run."""

    def __init__(self, index, folder):
        rng = random.Random('base %d %d' % (SEED, index))
        make = (splat_base, sr_base, gan_base)[index % 3]
        self.words = make(rng, folder) + COMMON + ['frames.every=%d' % rng.choice([1, 2, 4])]
        self.run = os.path.join(folder, 'base-%d' % index)
        done = train(self.run, self.words)
        if done.returncode != FINISHED:
            sys.exit('the unbroken run of %s ended with %d: %s' % (self.words, done.returncode, done.stderr))
        check_files(self.run)
        records = read_records(os.path.join(self.run, 'metrics.jsonl'))
        self.steps = records[-1]['step']
        self.bytes = max(r['bytes'] for r in records)


# ---- what happens to a run ----

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
    if rng.random() < (0.5 if 'task=sr' in base.words else 0.15):
        words += ['memory.grow=true', 'memory.adjustment_frequency=1']
        if 'task=sr' in base.words:
            words += ['memory.min_size=%d' % rng.choice([0, 8]), 'memory.max_size=%d' % rng.choice([16, 24]),
                      'memory.min_batch_size=%d' % rng.choice([0, 2]), 'memory.max_batch_size=%d' % rng.choice([2, 12]),
                      'memory.grow_time=%d' % rng.choice([0, 2, 6])]
        same = False
    words.append('checkpoint.every=%d' % rng.choice([1, 2, 100]))
    return words, faults, same


# ---- what is left ----

def read_records(path):
    with open(path) as file:
        text = file.read()
    if text and not text.endswith('\n'):
        raise Wrong('%s ends within a line' % path)
    records = [json.loads(line) for line in text.splitlines()]
    steps = [r['step'] for r in records]
    if steps != sorted(steps):
        raise Wrong('%s: steps out of order: %s' % (path, steps))
    return records


def must_open(words, path):
    if imgtrain(words).returncode != 0:
        raise Wrong('%s cannot be read' % path)


def check_png(path):
    """Every chunk's checksum, and the samples as many as there must be."""
    with open(path, 'rb') as file:
        data = file.read()
    at, samples, head = 8, b'', b''
    while at < len(data):
        size, = struct.unpack('>I', data[at:at + 4])
        body = data[at + 4:at + 8 + size]
        if struct.pack('>I', zlib.crc32(body)) != data[at + 8 + size:at + 12 + size]:
            raise Wrong('%s: a broken chunk' % path)
        head = head or body
        samples += body[4:] if body[:4] == b'IDAT' else b''
        at += 12 + size
    w, h, bits, kind = struct.unpack('>IIBB', head[4:14])
    row = 1 + (w * bits * {0: 1, 2: 3, 4: 2, 6: 4}[kind] + 7) // 8
    if not body.startswith(b'IEND') or len(zlib.decompress(samples)) != row * h:
        raise Wrong('%s: cut short' % path)


def check_frames(run, frames):
    """All are decoded by one process: as a stack of textures, 64 channels at most."""
    for first in range(0, len(frames), 20):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(run)) as folder:
            for path in frames[first:first + 20]:
                os.link(path, os.path.join(folder, os.path.basename(path)))
            must_open(['train', 'input_path=' + folder, 'device=cpu', '--dry-run', 'log_level=error'], run + '/frames')


def check_files(run):
    """Opens every file of a run; returns the step of the newest checkpoint (None: none)."""
    newest, frames = None, []
    for folder, _, names in os.walk(run):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith('.safetensors'):
                must_open(['info', path], path)
                found = re.match(r'step-0*(\d+)\.', name)
                if found:
                    newest = max(newest or 0, int(found.group(1)))
            elif name.endswith('.png'):
                check_png(path)
            elif name.endswith('.jpg'):
                frames.append(path)
            elif name.endswith('.jsonl'):
                read_records(path)
            elif name.endswith('.json'):
                with open(path) as file:
                    json.load(file)
            elif name not in ('config.yaml', 'metrics.csv', 'log.txt', 'lock', 'run-id') and 'cache' not in folder:
                raise Wrong('%s was left behind' % path)
    check_frames(run, frames)
    return newest


def check_saved(run):
    """After 31: the newest checkpoint is of the last step that was done."""
    newest = check_files(run)
    path = os.path.join(run, 'metrics.jsonl')
    done = [r['step'] for r in read_records(path)] if os.path.exists(path) else []
    if newest is None and os.path.exists(os.path.join(run, 'memory.jsonl')):
        raise Wrong('no state was saved')
    if done and newest != done[-1]:
        raise Wrong('steps to %d are done, the newest checkpoint is of %s' % (done[-1], newest))


def metrics_without_time(run):
    return [{k: v for k, v in r.items() if k not in ('seconds', 'steps_per_second', 'bytes', 'units', 'level')}
            for r in read_records(os.path.join(run, 'metrics.jsonl'))]


def check_same(run, base):
    for name in ('model.safetensors', 'final.png'):
        if not filecmp.cmp(os.path.join(run, name), os.path.join(base.run, name), shallow=False):
            raise Wrong('%s differs from the unbroken run' % name)
    if metrics_without_time(run) != metrics_without_time(base.run):
        raise Wrong('metrics.jsonl differs from the unbroken run')
    frames = [sorted(os.path.basename(p) for p in glob.glob(r + '/frames/*')) for r in (run, base.run)]
    if frames[0] != frames[1]:
        raise Wrong('other frames: %s' % frames[0])


def was_mixed(run):
    """Whether steps were computed in mixed precision: the one mode that changes bits."""
    return any(r['choices']['amp'] for r in read_records(os.path.join(run, 'memory.jsonl')))


def check_replay(run, base):
    """What grew grows again by memory.schedule, to the same bits."""
    schedule = imgtrain(['info', run, '--schedule']).stdout.strip().replace(': ', '=', 1)
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
        if 'task=sr' in base.words and was_mixed(run):
            outcome += ', in mixed precision'
        elif same:
            check_same(run, base)
        elif 'task=sr' in base.words:
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
        bases = [Base(i, folder) for i in range(min(48, max(6, CASES // 4)))]
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
