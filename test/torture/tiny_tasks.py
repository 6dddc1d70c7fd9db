"""Every task as the torture programs run it: a new task enters here, as one line of TASKS."""
import collections
import os
import random

COMMON = ['device=cpu', 'eval_steps=1', 'video.enabled=false', 'log_level=warning']


def write_inputs(folder):
    """The pictures that all of them learn from."""
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
    for kind in ('data', 'data/light', 'data/dark'):
        os.mkdir(os.path.join(folder, kind))
    for n in range(14):
        with open(os.path.join(folder, 'data', ('light', 'dark')[n % 2], '%d.pgm' % n), 'wb') as file:
            file.write(b'P5 16 16 255\n' + bytes((i * (n + 1) * 13 + i // 16 * n) % 256 for i in range(256)))


# ---- any configuration, by chance: for runs that lack memory ----

def any_splat(rng, folder):
    words = ['input_path=' + os.path.join(folder, rng.choice(['small', 'wide', 'tall']) + '.ppm'),
             'num_gaussians=%d' % rng.choice([1, 17, 60, 200]), 'max_steps=%d' % rng.randint(3, 9),
             'add_steps=2', 'add_times=2', 'post_min_steps=1', 'topk=%d' % rng.choice([0, 1, 4, 10])]
    return words + rng.choice([[], [], ['disable_topk_norm=true'], ['quantize=true'], ['downsample=true'], ['use_amp=false']])


def any_gan(rng, folder):
    batch = rng.choice([4, 6, 16, 24])
    words = ['data=' + os.path.join(folder, 'data'), 'size=8', 'widths=[16]', 'samples=2', 'eval_samples=0',
             'batch=%d' % batch, 'images=%d' % (batch * rng.randint(2, 5)), 'use_amp=false']
    return words + rng.choice([[], [], ['scheme=c'], ['flip=true'], ['augment_target=0.5'], ['micro_batch=16']])


def any_sr(rng, folder):
    words = ['dataroot_gt=' + os.path.join(folder, 'photos'), 'scale=%d' % rng.choice([1, 2, 2, 3]),
             'num_feat=%d' % rng.choice([3, 16, 24]), 'num_conv=%d' % rng.randint(1, 4), 'lq_size=%d' % rng.choice([8, 10, 16]),
             'batch=%d' % rng.choice([1, 3, 4, 8]), 'max_steps=%d' % rng.randint(3, 9), 'val_every=%d' % rng.choice([1, 3])]
    return words + rng.choice([[], [], ['l1_weight=1'], ['val_gt=' + os.path.join(folder, 'photos')], ['data_mode=otf'],
                               ['discriminator=unet', 'num_feat_d=8', 'gan_weight=0.1', 'net_d_iters=2', 'lq_size=16']])


def any_diffusion(rng, folder):
    batch = rng.choice([2, 5, 8])
    words = ['data=' + os.path.join(folder, 'data'), 'size=8', 'dim=16', 'layers=%d' % rng.choice([1, 1, 3]), 'heads=1',
             'axes=[8,4,4]', 'text_dim=8', 'batch=%d' % batch, 'images=%d' % (batch * rng.randint(3, 7)), 'samples=2',
             'sample_steps=%d' % rng.choice([1, 3]), 'eval_every=%d' % rng.choice([1, 3])]
    return words + rng.choice([[], ['labels=true'], ['labels=true']])


def any_vae(rng, folder):
    batch = rng.choice([1, 4, 6])
    return ['data=' + os.path.join(folder, 'data'), 'size=16', 'base=%d' % rng.choice([4, 8]), 'levels=2',
            'latent_channels=%d' % rng.choice([1, 2]), 'batch=%d' % batch, 'images=%d' % (batch * rng.randint(3, 7)),
            'samples=2', 'eval_every=%d' % rng.choice([1, 3])]


# ---- one configuration each, of STEPS steps ----

def steps(task, folder, count):
    """The shortest run of so many steps that does all that the task can do."""
    data = 'data=' + os.path.join(folder, 'data')
    words = {
        'splat': ['input_path=' + os.path.join(folder, 'small.ppm'), 'num_gaussians=17', 'max_steps=%d' % count,
                  'add_steps=2', 'add_times=2', 'post_min_steps=1'],
        'gan': [data, 'size=8', 'widths=[16]', 'samples=2', 'eval_samples=0', 'batch=4', 'images=%d' % (4 * count)],
        'sr': ['dataroot_gt=' + os.path.join(folder, 'photos'), 'scale=2', 'num_feat=3', 'num_conv=1', 'lq_size=8',
               'batch=1', 'max_steps=%d' % count, 'val_every=3'],
        'diffusion': [data, 'labels=true', 'size=8', 'dim=16', 'layers=1', 'heads=1', 'axes=[8,4,4]', 'text_dim=8',
                      'batch=4', 'images=%d' % (4 * count), 'samples=2', 'sample_steps=1', 'eval_every=3'],
        'vae': [data, 'size=16', 'base=4', 'levels=2', 'latent_channels=2', 'batch=4', 'images=%d' % (4 * count),
                'samples=2', 'eval_every=3'],
    }
    return ['task=' + task] + words[task] + COMMON + ['frames.every=2']


# any: words by chance; replays: what grew grows again by memory.schedule, to the same bits
Task = collections.namedtuple('Task', 'any replays')
TASKS = {
    'splat': Task(any_splat, False),
    'sr': Task(any_sr, True),
    'gan': Task(any_gan, False),
    'diffusion': Task(any_diffusion, False),
    'vae': Task(any_vae, False),
}
