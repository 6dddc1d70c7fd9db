#!/usr/bin/env python3
"""Proof that a change of the source moved no result: two programs do the same, all is compared.

    scripts/compare_builds.py OLD NEW [--quick]

OLD and NEW are two builds of imgtrain. Compared are
  plans        `plan --json` of every preset in cfgs/ that OLD knows, byte by byte
  models       model.safetensors of short runs of each task, byte by byte, with 1 and 2 threads, at every
               memory level, in the portable, the AVX2 and the best code of this CPU; where NEW has keys that OLD
               has not, the config in a model's metadata and what is counted over it may differ
  checkpoints  every tensor's bytes, and all metadata but seconds, config, version, run and crc32*
  resume       a checkpoint written by OLD goes on in NEW to the model that OLD makes in one run

The last line is "N equal, M differ"; status 1 when any differs."""
import json, os, shutil, struct, subprocess, sys, tempfile, zlib

PASSED_OVER = {'seconds', 'config', 'version', 'run'}
equal = differ = 0


def say(same, what):
    global equal, differ
    if same:
        equal += 1
    else:
        differ += 1
    print(('equal    ' if same else 'DIFFERS  ') + what, flush=True)


def run(program, *words, env=None, status=(0,)):
    full = dict(os.environ, **(env or {}))
    done = subprocess.run([program, *words], capture_output=True, env=full)
    if done.returncode not in status:
        sys.exit('%s %s ended with %d: %s' % (program, ' '.join(words), done.returncode, done.stderr.decode()[-400:]))
    return done.stdout


def read(path):
    data = open(path, 'rb').read()
    length = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + length])
    body = data[8 + length:]
    metadata = {k: v for k, v in header.pop('__metadata__').items() if k not in PASSED_OVER and not k.startswith('crc32')}
    tensors = {n: (t['dtype'], t['shape'], body[t['data_offsets'][0]:t['data_offsets'][1]]) for n, t in header.items()}
    return metadata, tensors


def same_checkpoint(a, b):
    (ma, ta), (mb, tb) = read(a), read(b)
    faults = [k for k in sorted(set(ma) | set(mb)) if ma.get(k) != mb.get(k)]
    faults += [n for n in sorted(set(ta) | set(tb)) if ta.get(n) != tb.get(n)]
    return faults


def png(path, width, height, seed):
    """A picture of waves and blocks."""
    rows = b''
    for y in range(height):
        row = bytearray()
        for x in range(width):
            block = ((x // 9) * 7 + (y // 7) * 13 + seed * 29) % 97
            row += bytes(((x * 5 + seed * 31 + block) % 256, (y * 7 + x * seed + 2 * block) % 256, (x * y // 4 + 3 * block) % 256))
        rows += b'\0' + bytes(row)
    chunk = lambda n, d: struct.pack('>I', len(d)) + n + d + struct.pack('>I', zlib.crc32(n + d))
    open(path, 'wb').write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) +
                           chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def newest(run_dir):
    folder = os.path.join(run_dir, 'checkpoints')
    return os.path.join(folder, sorted(f for f in os.listdir(folder) if f.endswith('.safetensors'))[-1])


def tasks(work):
    splat = ['cfgs/tiny.yaml', 'input_path=%s/target.png' % work, 'max_steps=24', 'num_gaussians=300', 'frames.count=0',
             'video.enabled=false', 'relocate_every=6', 'eval_steps=8', 'checkpoint.every=12', 'checkpoint.keep=9']
    gan = ['cfgs/gan-16.yaml', 'data=%s/set' % work, 'images=96', 'batch=8', 'frames.count=0', 'video.enabled=false',
           'eval_steps=4', 'checkpoint.every=6', 'checkpoint.keep=9', 'gan.eval_every=6', 'gan.eval_samples=16']
    gan_labels = ['cfgs/gan-32.yaml', 'data=%s/set' % work, 'images=32', 'batch=8', 'frames.count=0', 'video.enabled=false',
                  'checkpoint.every=2', 'checkpoint.keep=9', 'gan.labels=true']
    sr = ['cfgs/sr-x2-tiny.yaml', 'dataroot_gt=%s/set' % work, 'max_steps=12', 'lq_size=8', 'batch=4', 'frames.count=0',
          'video.enabled=false', 'eval_steps=4', 'checkpoint.every=6', 'checkpoint.keep=9']
    return {'splat': splat, 'gan': gan, 'gan with labels': gan_labels, 'sr': sr}


def main():
    words = [w for w in sys.argv[1:] if not w.startswith('--')]
    quick = '--quick' in sys.argv
    if len(words) != 2:
        sys.exit(__doc__)
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
    old, new = (os.path.abspath(w) for w in words)
    work = tempfile.mkdtemp(prefix='imgtrain-compare-')
    png(work + '/target.png', 97, 70, 3)
    for label in range(2):
        os.makedirs('%s/set/class%d' % (work, label))
        for i in range(20):
            png('%s/set/class%d/%02d.png' % (work, label, i), 40, 36, 20 * label + i)

    unknown = []
    for preset in sorted(os.listdir('cfgs')):
        if not preset.endswith('.yaml'):
            continue
        shown = subprocess.run([old, 'config', 'cfgs/' + preset], capture_output=True, text=True)
        if shown.returncode == 78:
            print('passed over: OLD has not the keys of ' + preset)
            unknown.append('cfgs/' + preset)
            continue
        # only the plan of an image needs its size
        size = ['--size', '640x480'] if shown.stdout.split()[:2] == ['task', 'splat'] else []
        line = ['plan', 'cfgs/' + preset, 'device=cpu', 'memory.budget=4GB', *size, '--json']
        a, b = (run(p, *line, status=(0, 31)) for p in (old, new))
        say(a == b, 'plan --json of ' + preset)

    variants = [('', {}, 't%d' % t, ['threads=%d' % t]) for t in (1, 2)]
    variants += [('', {}, 'level %d' % level, ['threads=2', 'memory.level=%d' % level]) for level in range(1, 5)]
    variants += [(isa, {'IMGTRAIN_ISA': isa}, 't2', ['threads=2']) for isa in ('base', 'avx2')]
    if quick:
        variants = variants[1:2] + variants[-1:]
    for name, line in tasks(work).items():
        if line[0] in unknown:
            continue
        for isa, env, label, extra in variants:
            runs = []
            for which, program in (('old', old), ('new', new)):
                out = '%s/%s-%s-%s-%s' % (work, which, name.replace(' ', '-'), isa or 'best', label.replace(' ', ''))
                run(program, 'train', *line, *extra, 'device=cpu', '-o', out, '-q', env=env)
                runs.append(out)
            what = '%s, %s, %s' % (name, isa or 'best code', label)
            a, b = (open(r + '/model.safetensors', 'rb').read() for r in runs)
            ma, mb = (read(r + '/model.safetensors') for r in runs)
            say(a == b or (ma == mb and stable(a) == stable(b)), 'model of ' + what)
            names = [sorted(os.listdir(r + '/checkpoints')) for r in runs]
            faults = ['their names'] if names[0] != names[1] else []
            for f in names[0] if not faults else []:
                faults += ['%s of %s' % (x, f) for x in same_checkpoint(*(r + '/checkpoints/' + f for r in runs))]
            say(not faults, 'checkpoints of %s%s' % (what, ': ' + ', '.join(faults[:5]) if faults else ''))
            if label == 't2':
                # What OLD left half way, NEW ends.
                half = runs[0] + '-half'
                shutil.copytree(runs[0], half)
                for f in names[0][1:]:
                    os.remove(half + '/checkpoints/' + f)
                for f in ('model.safetensors', 'final.png'):
                    if os.path.exists(half + '/' + f):
                        os.remove(half + '/' + f)
                run(new, 'train', *line, *extra, 'device=cpu', '-o', half, '--resume', '-q', env=env)
                c = read(half + '/model.safetensors')
                say(c == ma and len(names[0]) > 1, 'NEW goes on from OLD\'s %s: %s' % (names[0][0], what))
    shutil.rmtree(work)
    print('%d equal, %d differ' % (equal, differ))
    return differ != 0


def stable(data):
    """A model's bytes without what names the program and its moment."""
    metadata, tensors = None, None
    length = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + length])
    header['__metadata__'] = {k: v for k, v in header['__metadata__'].items() if k not in PASSED_OVER and k != 'crc32'}
    return json.dumps(header), data[8 + length:]


sys.exit(main())
