"""Runs of ./imgtrain for the torture programs, and what must be true of the files that they leave."""
import filecmp
import glob
import json
import os
import re
import struct
import subprocess
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get('IMGTRAIN', os.path.join(ROOT, 'imgtrain')))
FINISHED, NO_MEMORY, STOPPED, KILLED = 0, 31, 75, -9
TIMEOUT = 3600 # for what hangs: at the lowest priority a run of seconds takes minutes


class Wrong(Exception):
    """What a run did that it must not do."""


# ---- running the program ----

def clean_environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith('IMGTRAIN')}
    env.update(OMP_NUM_THREADS='1', IMGTRAIN_SELF_CHECK='0')
    env['ASAN_OPTIONS'] = 'detect_leaks=1:exitcode=99'
    env['LSAN_OPTIONS'] = 'exitcode=99'
    env['TSAN_OPTIONS'] = 'exitcode=99'
    env['UBSAN_OPTIONS'] = 'print_stacktrace=1:halt_on_error=1:exitcode=99'
    return env


def imgtrain(words, faults='', around=(), more_env=None):
    """around: a command that starts the program, such as strace with its options."""
    env = clean_environment()
    env.update(more_env or {})
    if faults:
        env['IMGTRAIN_FAULTS'] = faults
    done = subprocess.run(list(around) + [PROGRAM] + words, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors='replace', timeout=TIMEOUT)
    if 'Sanitizer' in done.stderr or 'was not given back' in done.stderr:
        raise Wrong('a leak or worse:\n' + done.stderr[-3000:])
    return done


def train(run, words, faults='', resume=False, around=(), more_env=None):
    return imgtrain(['train'] + words + ['-o', run] + (['--resume'] if resume else []), faults, around, more_env)


# ---- what is left ----

def read_records(path):
    with open(path) as file:
        text = file.read()
    if text and not text.endswith('\n'):
        raise Wrong('%s ends within a line' % path)
    records = [json.loads(line) for line in text.splitlines()]
    steps = [r['step'] for r in records]
    if steps != sorted(steps) and not path.endswith('processes.jsonl'): # which a resume continues
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


def newest_checkpoint(run):
    """Its step; None: there is none."""
    steps = [int(re.search(r'step-0*(\d+)\.', name).group(1))
             for name in glob.glob(os.path.join(run, 'checkpoints', 'step-*.safetensors'))]
    return max(steps, default=None)


def digest_of(run):
    """Of all that a run's folder holds."""
    found = []
    for folder, _, names in os.walk(run):
        for path in (os.path.join(folder, name) for name in names):
            with open(path, 'rb') as file:
                found.append((os.path.relpath(path, run), hash(file.read())))
    return tuple(sorted(found))


SOUND = set() # hashes of files that opened: most runs leave the same


def is_sound(path, found):
    """Whether a file of these bytes has opened before; else it will have after this check, which `found` collects."""
    with open(path, 'rb') as file:
        digest = hash(file.read())
    found.append(digest)
    return digest in SOUND


def check_files(run, ended=True):
    """Opens every file of a run; returns the step of the newest checkpoint (None: none). ended: by
    itself, so that it has tidied up."""
    frames, models, found = [], [], []
    for folder, _, names in os.walk(run):
        for name in names:
            path = os.path.join(folder, name)
            if '.tmp' in name: # what a killed process was writing
                pass
            elif name.endswith(('.safetensors', '.png', '.jpg')) and is_sound(path, found):
                pass
            elif name.endswith('.safetensors'):
                models.append(path)
            elif name.endswith('.png'):
                check_png(path)
            elif name.endswith('.jpg'):
                frames.append(path)
            elif name.endswith('.jsonl'):
                read_records(path)
            elif name.endswith('.json'):
                with open(path) as file:
                    json.load(file)
            if ended and ('.tmp' in name or name.endswith('.bad')):
                raise Wrong('%s was left behind' % path)
    for path in models:
        must_open(['info', path], path)
    check_frames(run, frames)
    SOUND.update(found)
    return newest_checkpoint(run)


def steps_done(run):
    path = os.path.join(run, 'metrics.jsonl')
    return [r['step'] for r in read_records(path)] if os.path.exists(path) else []


def metrics_without_time(run):
    return [{k: v for k, v in r.items() if k not in ('seconds', 'steps_per_second', 'bytes', 'units', 'level')}
            for r in read_records(os.path.join(run, 'metrics.jsonl'))]


def files_of(run):
    """What a run leaves, in the order of names; its checkpoints are another matter."""
    return sorted(os.path.relpath(os.path.join(folder, name), run) for folder, _, names in os.walk(run)
                  for name in names if os.path.basename(folder) != 'checkpoints')


def without_key(name):
    """A cache that the first start could not write is made by a resume, which knows what channels were chosen: this is
    part of its key."""
    return re.sub(r'^(cache/pictures-\d+x\d+-)[0-9a-f]{16}', r'\1KEY', name)


def check_same(run, whole, said=''):
    """The same result as that of the unbroken run, the same metrics but for times, the same files. said:
    warnings; a run does without a frame or a line of metrics when it says so."""
    for name in [n for n in files_of(whole) if os.path.basename(n) in
                 ('model.safetensors', 'diffusion_pytorch_model.safetensors', 'best.safetensors', 'final.png')]:
        if not os.path.exists(os.path.join(run, name)):
            raise Wrong('%s is missing' % name)
        if not filecmp.cmp(os.path.join(run, name), os.path.join(whole, name), shallow=False):
            raise Wrong('%s differs from the unbroken run' % name)
    lines, right = metrics_without_time(run), metrics_without_time(whole)
    if lines != (right if 'lacks a line' not in said else [line for line in right if line in lines]):
        raise Wrong('metrics.jsonl differs from the unbroken run')
    other = [name for name in set(map(without_key, files_of(run))) ^ set(map(without_key, files_of(whole)))
             if name != 'video.mp4' and ('frame' not in said or not name.startswith('frames/'))]
    if other:
        raise Wrong('other files: %s' % ' '.join(sorted(other)))


def was_mixed(run):
    """Whether steps were computed in mixed precision: the one mode that changes bits."""
    return any(r['choices']['amp'] for r in read_records(os.path.join(run, 'memory.jsonl')))
