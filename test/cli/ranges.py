"""Every number that a file holds, corrupted in turn, with checksums that are right.

  ranges.py PROGRAM FILE KIND COMMAND...

FILE is rewritten for each case and put back in the end; COMMAND (in which FILE takes part) must end
with 65 and one line with FILE's name and the number's. KIND names the table of the file's numbers.
Prints a line for each that fails, then "N cases, M failed"; a number that stands in no table fails.
Standard library only.
"""
import collections
import json
import re
import struct
import subprocess
import sys
import zlib

NOT_FINITE = ('nan', '1e999')
NO_NUMBER = ('', '1x')
SUMS = 7  # of half a step of a GAN: GAN_SUMS
WHOLE = ('1.5', '-99999999999999999999', '9223372036854775807')


def whole(*bad):
    return NO_NUMBER + WHOLE + tuple(str(b) for b in bad)


def real(*bad):
    return NO_NUMBER + NOT_FINITE + tuple(str(b) for b in bad)


def real_or_nan(*bad):
    return NO_NUMBER + ('inf', '1e999') + tuple(str(b) for b in bad)


# Metadata: what each key may not be.
SPLAT = {
    'width': whole(0, -1, 131073), 'height': whole(0, -1, 131073), 'channels': whole(0, 65, -3),
    'gaussians': whole(0, 59, 61, -1), 'topk': whole(-1, 33), 'sample_bits': whole(0, 7, 9, 64),
    'gamma': real(0, -1, 0.001, 1e9), 'blend': ('x', ''), 'scale': ('x', ''), 'alpha': ('x', ''),
}
SPLAT_STATE = {
    'updates': whole(-1, 2147483647, 2147483648, 4294967301), 'grown_at': whole(-2, 1000000001),
    'grow_first': whole(0, -5, 61), 'grow_every': whole(-1, 1000000001), 'grow_times': whole(-1, 1000000001),
    'relocated_at': whole(-1, 1000000001), 'psnr': real_or_nan(1e9), 'ssim': real_or_nan(3, -3),
    'schedule.best_psnr': real(-1e10, 1e4), 'schedule.best_ssim': real(-2, 3),
    'schedule.last_gain': whole(-1, 1000000001), 'schedule.decays': whole(-1, 3000000000),
    'schedule.factor': real(-0.1, 1.1), 'schedule.finished': whole(2, -1),
    'input.width': whole(0, -1, 1 << 31), 'input.height': whole(0, -1, 1 << 31), 'input.channels': whole(0, 65, -1),
    'input.sample_bits': whole(7, 33, -1), 'splat.pending': whole(0, -1, 29, 31), 'splat.loss': real(),
    'pending': whole(2, -1),
}
RUN = {
    'step': whole(-1, 999999999999999999), 'seconds': real(-1, 1e13), 'memory.level': whole(-1, 5, 99),
    'task_finished': whole(2, -1), 'run': ('', 'x', 'g' * 32, '0' * 31),
}
GAN = {
    'gan.stages': whole(0, -1, 99), 'gan.base_width': whole(0, -1, 4097), 'gan.base_height': whole(0, -1, 4097),
    'gan.z': whole(0, -1, 4097), 'gan.classes': whole(-1, 2000000), 'gan.embedding': whole(-1, 4097),
    'gan.channels': whole(2, 5),
    'gan.widths': ('', 'x', '0', '16,-8,8', '16,99999999999,8', '16;8;8', '16'),
    'gan.blocks': ('', 'x', '0,1,1', '1,-1,1', '1,99999999999,1'),
}
GAN_STATE = {
    'gan.v_missing_g': real(-0.1, 1.1), 'gan.v_missing_d': real(-0.1, 1.1), 'gan.augment_even': real(-0.1, 1.1),
    'gan.augment_odd': real(-0.1, 1.1), 'gan.sign': real(-3, 3), 'gan.batch': whole(0, -1, 65537),
    'gan.batch_step': whole(-1, 1000000000001), 'gan.batch_images': whole(-1, 1000000000000000000),
    'gan.owed': whole(-1, 1000000000001), 'gan.rkid': real(), 'gan.best_step': whole(0, -1, 1000000000001),
    'gan.stretch_images': whole(0, -1, 1000000000001), 'gan.stretch_t': real(-0.1, 1.1),
    'gan.best_rkid': real(), 'gan.pending': whole(0, -1, 1000000000001), 'pending': whole(2, -1),
    **{'gan.report.' + name: real() for name in ('loss_d', 'loss_g', 'r1', 'r2', 'score_real', 'score_fake', 'units',
                                                 'gamma', 'lr', 'augment', 'gap')},
    **{'gan.half.%d' % i: real() for i in range(SUMS)}, 'gan.half.macs': real(-1),
}
SR_STATE = {
    'sr.v_missing': real(-0.1, 1.1), 'sr.m_missing': real(-0.1, 1.1), 'sr.best_step': whole(0, -1, 1000000000001),
    'sr.best_psnr_y': real(), 'sr.pending': whole(0, -1, 1000000000001), 'pending': whole(2, -1),
    **{'sr.report.' + name: real() for name in ('l1', 'charbonnier', 'mse', 'loss', 'lr')},
}
SR_GAN_STATE = {
    **SR_STATE, 'sr.d.v_missing': real(-0.1, 1.1), 'sr.d.m_missing': real(-0.1, 1.1),
    **{'sr.report.' + name: real() for name in ('gan', 'feature', 'd_loss', 'd_real', 'd_fake')},
}
DIFFUSION = {
    'diffusion.width': whole(0, -1, 4097), 'diffusion.height': whole(0, -1, 4097), 'diffusion.conditions': whole(0, -1),
    'diffusion.text_rows': whole(0, -1, 4097), 'diffusion.dim': whole(0, -1), 'diffusion.layers': whole(0, -1),
    'diffusion.refiner_layers': whole(0, -1), 'diffusion.heads': whole(0, -1), 'diffusion.text_dim': whole(0, -1),
    **{'diffusion.axis_%d' % i: whole(0, -1) for i in range(3)}, 'diffusion.captions': ('', 'x', '2'),
    'diffusion.channels': whole(0, -1), 'diffusion.patch': whole(0, -1), 'diffusion.factor': whole(0, -1, 64),
    'diffusion.shift': real(0, -1, 1e9),
}
# A checkpoint has 5 MB, so few values are tried; those of the run itself are read as in all others.
DIFFUSION_STATE = {
    'diffusion.v_missing': ('nan', '1.1'), 'diffusion.m_missing': ('nan', '-0.1'),
    'diffusion.best_step': ('0', '1x'), 'diffusion.best_held_loss': ('-1', 'nan'),
    'diffusion.pending': ('0', '3'), 'pending': ('2',), 'diffusion.batch': ('0', '65537'),
    'diffusion.batch_step': ('-1', '3'), 'diffusion.batch_images': ('-1', '1000000000000000000'),
    **{'diffusion.report.' + name: ('nan',) for name in ('loss', 'grad_norm', 'lr', 'ema')},
}
VAE = {
    'vae.levels': whole(0, -1, 7), 'vae.blocks': whole(0, -1, 9), 'vae.latent_channels': whole(0, -1, 257),
    'vae.groups': whole(0, -1, 4097), 'vae.width.0': whole(0, -1, 4097), 'vae.width.1': whole(0, -1, 4097),
    'vae.attention': whole(2, -1), 'vae.scaling_factor': real(0, -1, 1e31), 'vae.shift_factor': real(),
    'vae.size': whole(0, -1, 1025),
}
VAE_STATE = {
    'vae.v_missing': ('nan', '1.1'), 'vae.m_missing': ('nan', '-0.1'), 'vae.pending': ('0', '3'), 'pending': ('2',),
    **{'vae.report.' + name: ('nan',) for name in ('loss', 'l1', 'ssim', 'kl', 'grad_norm', 'lr', 'ema')},
}
# Text, and what is there for other programs only.
TEXT = {'input.samples', 'input.maps', 'gan.pictures', 'format', 'version', 'kind', 'task', 'config', 'cut', 'finished', 'gan.fingerprint', 'gan.amp', 'gan.conv',
        'sr.fingerprint', 'sr.listing', 'sr.scale', 'sr.network', 'diffusion.fingerprint', 'vae.fingerprint',
        *('diffusion.class.%d' % i for i in range(4))}
# What a checkpoint has besides where a measurement or a step was stopped; and what older ones have instead.
MORE = {
    'splat-checkpoint': ({'pending': '1', 'splat.pending': '30', 'splat.loss': '1'},),
    'gan-checkpoint': ({'pending': '1', 'gan.pending': '2',
                        **{k: '0' for k in GAN_STATE if k.startswith('gan.report.')}},
                       {k: '0' for k in GAN_STATE if k.startswith('gan.half.')}, {'gan.owed': '2', 'gan.stretch_images': '1', 'gan.stretch_t': '0.5'}),
    'sr-checkpoint': ({'pending': '1', 'sr.pending': '4',
                       **{k: '0' for k in SR_STATE if k.startswith('sr.report.')}},),
    'diffusion-checkpoint': ({'pending': '1', 'diffusion.pending': '2',
                              **{k: '0' for k in DIFFUSION_STATE if k.startswith('diffusion.report.')}},),
    'vae-checkpoint': ({'pending': '1', 'vae.pending': '2',
                        **{k: '0' for k in VAE_STATE if k.startswith('vae.report.')}},),
    'sr-gan-checkpoint': ({'pending': '1', 'sr.pending': '4',
                           **{k: '0' for k in SR_GAN_STATE if k.startswith('sr.report.')}},),
}
F = 'f'
# Tensors by their names: what no element may be.
SPLAT_TENSORS = {
    r'xy': (F, ('nan', 'inf', -2, 3)), r'rot': (F, ('nan', 'inf', 1e20)), r'feat': (F, ('nan', '-inf')),
    r'scale': (F, ('nan', 'inf', 1e20)), r'weight': (F, ('nan', -0.5, 12.5)),
}
STATE_TENSORS = {
    r'scale': (F, ('nan', 'inf', 0, 1e20)), r'adam\.first\..*': (F, ('nan', 'inf')),
    r'adam\.second\..*': (F, ('nan', 'inf', -1)), r'born': ('i', (-2147483648, -1, 2147483647)),
    r'adam\.axes': (F, ('nan', 'inf', -1.5, 1.5)), r'adam\.moments': (F, ('nan', 'inf')),
}
GAN_TENSORS = {r'(ema\.|best\.)?[gd]\..*': (F, ('nan', 'inf', '-inf'))}
GAN_STATE_TENSORS = {r'v\.[gd]\..*': (F, ('nan', 'inf', -1))}
SR_TENSORS = {r'(ema\.|best\.|m\.)?body\..*': (F, ('nan', 'inf', '-inf')), r'v\.body\..*': (F, ('nan', 'inf', -1))}
SR_GAN_TENSORS = {r'd\.(m\.)?conv.*': (F, ('nan', 'inf', '-inf')), r'd\.v\.conv.*': (F, ('nan', 'inf', -1))}

# All are read by one function: a few of them stand for the rest.
DIFFUSION_SOME = r'(condition\.table|layers\.0\.feed_forward\.w2\.weight)'
DIFFUSION_TENSORS = {r'.*': (F, ()), r'(ema\.|best\.|m\.)?' + DIFFUSION_SOME: (F, ('nan',)),
                     r'v\.' + DIFFUSION_SOME: (F, (-1,))}
VAE_SOME = r'decoder\.conv_in\.weight'
VAE_TENSORS = {r'.*': (F, ()), r'(ema\.|m\.)?' + VAE_SOME: (F, ('nan',)), r'v\.' + VAE_SOME: (F, (-1,))}

KINDS = {
    'splat-model': (SPLAT, SPLAT_TENSORS, {'step'}),
    'splat-checkpoint': ({**SPLAT, **SPLAT_STATE, **RUN}, {**SPLAT_TENSORS, **STATE_TENSORS}, set()),
    'gan-model': (GAN, GAN_TENSORS, {'step'}),
    # resumed with the config's design; sampled with the file's, and its averaged generator alone
    'gan-checkpoint': ({**GAN_STATE, **RUN}, {**GAN_TENSORS, **GAN_STATE_TENSORS}, set(GAN)),
    'gan-checkpoint-sampled': (GAN, {r'ema\.g\..*': GAN_TENSORS[r'(ema\.|best\.)?[gd]\..*'],
                                     r'(v\.|best\.)?[gd]\..*': (F, ())}, {*GAN_STATE, *RUN}),
    'diffusion-model': (DIFFUSION, DIFFUSION_TENSORS, {'step'}),
    # resumed with the config's design; generate reads the file's by the function that reads a model's
    'diffusion-checkpoint': (DIFFUSION_STATE, DIFFUSION_TENSORS, {*RUN, *DIFFUSION}),
    'vae-model': (VAE, VAE_TENSORS, {'step'}),
    # resumed with the config's design; evaluated with the file's, and its averaged network alone
    'vae-checkpoint': (VAE_STATE, VAE_TENSORS, {*RUN, *VAE}),
    'vae-checkpoint-evaluated': ({**VAE, 'step': RUN['step']}, {r'.*': (F, ()), r'ema\.' + VAE_SOME: (F, ('nan',))},
                                 {*VAE_STATE, *RUN}),
    'sr-model': ({}, SR_TENSORS, {'step'}),
    'sr-checkpoint': ({**SR_STATE, **RUN}, SR_TENSORS, set()),
    'sr-gan-checkpoint': ({**SR_GAN_STATE, **RUN}, {**SR_TENSORS, **SR_GAN_TENSORS}, set()),
}


def read(path):
    with open(path, 'rb') as file:
        data = file.read()
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    meta = header.pop('__metadata__')
    tensors = {}
    for name, t in header.items():
        a, b = t['data_offsets']
        tensors[name] = (t['dtype'], t['shape'], data[8 + size + a:8 + size + b])
    return {k: v for k, v in meta.items() if not k.startswith('crc32')}, tensors


def write(path, meta, tensors):
    """As the program does: a CRC of each tensor, and at the front one of the header."""
    header = {'__metadata__': {'crc32': '00000000', **meta}}
    data = b''
    for name, (dtype, shape, values) in tensors.items():
        header['__metadata__']['crc32.' + name] = '%08x' % zlib.crc32(values)
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    front = struct.pack('<Q', len(text)) + text
    at = len(b'{"__metadata__":{"crc32":"') + 8
    front = front[:at] + b'%08x' % zlib.crc32(front) + front[at + 8:]
    with open(path, 'wb') as file:
        file.write(front + data)


def cases(kind, meta, tensors):
    numbers, ranges, skipped = KINDS[kind]
    for key in meta:
        if key in numbers:
            for value in numbers[key]:
                yield key, value, {**meta, key: value}, tensors
        elif key not in TEXT and key not in skipped:
            yield key, None, None, None
    for more in MORE.get(kind, ()):
        for key in more:
            for value in numbers[key]:
                yield key, value, {**meta, **more, key: value}, tensors
    turn = collections.Counter()
    for name, (dtype, shape, values) in tensors.items():
        found = [pattern for pattern in ranges if re.fullmatch(pattern, name)]
        if not found or not values:
            yield name, None, None, None
            continue
        form, bad = ranges[found[-1]]
        count = len(values) // 4
        # Of those that one line of the table is about, the first gets every value, the others one each in turn.
        n = turn[found[-1]]
        turn[found[-1]] += 1
        for k, value in enumerate(bad):
            if n and k != n % len(bad):
                continue
            at = 4 * (0, count - 1, count // 2)[k % 3]
            packed = struct.pack('<' + form, float(value) if form == F else value)
            changed = {**tensors, name: (dtype, shape, values[:at] + packed + values[at + 4:])}
            yield name, value, meta, changed


def main(program, path, kind, command):
    with open(path, 'rb') as file:
        sound = file.read()
    meta, tensors = read(path)
    write(path, meta, tensors)
    count = failed = 0
    for name, value, changed, arrays in cases(kind, meta, tensors):
        count += 1
        if changed is None:
            print('%s: stands in no table of ranges.py' % name)
            failed += 1
            continue
        write(path, changed, arrays)
        done = subprocess.run([program] + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=600, check=False)
        text = done.stderr.decode(errors='replace')
        lines = [line for line in text.splitlines() if path.split('/')[-1] in line and name in line]
        if done.returncode != 65 or not lines:
            failed += 1
            print('%s = %s: status %d: %s' % (name, value, done.returncode, text.strip()[-300:]))
    with open(path, 'wb') as file:
        file.write(sound)
    print('%d cases, %d failed' % (count, failed))
    return failed > 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
