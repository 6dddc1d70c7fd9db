"""Times the networks that enlarge images in PyTorch and here, in turns, on the same cores.

  sr_speed.py step    [--nf 64 --nc 16 --scale 4 --patches 4 --size 64] [--threads 1] [--times 5]
  sr_speed.py upscale [--nf 64 --nc 16 --scale 4 --width 1920 --height 1080] [--threads 2] [--times 1]
  both: [--network compact|span|esrgan --nb 23] [--imgtrain ./imgtrain] [--isa avx2]

Prints the medians of seconds of processor time, which other work on the machine disturbs less than seconds on the
clock, and those too. upscale: of reading a PPM to writing one here, of the network alone there."""
import argparse
import json
import os
import resource
import statistics
import struct
import subprocess
import tempfile
import time

import numpy
import torch

import sr_torch


def save(net, path):
    header, data = {}, b''
    for name, value in (net.file() if hasattr(net, 'file') else net.state_dict()).items():
        array = value.float().contiguous().numpy()
        header[name] = {'dtype': 'F32', 'shape': list(array.shape), 'data_offsets': [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + data)


def timed(work):
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - clock


def timed_command(command, env):
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - clock


def environment(o):
    return dict(os.environ, **({'IMGTRAIN_ISA': o.isa} if o.isa else {}))


def report(what, there, here):
    for name, times in (('PyTorch ' + torch.__version__, there), ('imgtrain', here)):
        print('%s, %s: %.3f s of processor time, %.3f s on the clock'
              % (what, name, statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)))
    print('ratio: %.2f of processor time, %.2f on the clock'
          % tuple(statistics.median(t[i] for t in there) / statistics.median(t[i] for t in here) for i in (0, 1)))


def step(o, net):
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-4, betas=(0.9, 0.99))
    lq = torch.rand(o.patches, 3, o.size, o.size)
    gt = torch.rand(o.patches, 3, o.size * o.scale, o.size * o.scale)

    def torch_step():
        loss = torch.nn.functional.l1_loss(net(lq), gt)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    command = [o.imgtrain, 'bench', '--task', 'sr', '--device', 'cpu', '--json', '--threads', str(o.threads), '--size',
               str(o.size), '--patches', str(o.patches), '--network', o.network, '--features', str(o.nf), '--convs', str(o.nc), '--blocks', str(o.nb), '--enlarge',
               str(o.scale), '--steps', '3']
    there, here = [], []
    torch_step()
    for _ in range(o.times):
        there.append(timed(torch_step))
        line = json.loads(subprocess.run(command, check=True, env=environment(o), capture_output=True).stdout)[0]
        here.append((line['cpu_ms'] / 1e3, line['ms'] / 1e3))
    report('a step', there, here)


def upscale(o, net):
    image = (numpy.random.default_rng(1).random((o.height // 8 + 1, o.width // 8 + 1, 3)) * 255).astype('uint8')
    image = image.repeat(8, 0).repeat(8, 1)[:o.height, :o.width]
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    there, here = [], []

    def torch_upscale():
        with torch.inference_mode():
            net(x)

    with tempfile.TemporaryDirectory() as folder:
        model, small, large = (os.path.join(folder, n) for n in ('net.safetensors', 'small.ppm', 'large.ppm'))
        save(net, model)
        with open(small, 'wb') as file:
            file.write(b'P6 %d %d 255\n' % (o.width, o.height) + image.tobytes())
        command = [o.imgtrain, 'upscale', model, small, '-o', large, '--overwrite', '--device', 'cpu']
        env = dict(environment(o), OMP_NUM_THREADS=str(o.threads))
        for _ in range(o.times):
            here.append(timed_command(command, env))
            there.append(timed(torch_upscale))
    report('%dx%d enlarged %d times' % (o.width, o.height, o.scale), there, here)


parser = argparse.ArgumentParser()
parser.add_argument('what', choices=['step', 'upscale'])
for name, value in (('nf', 64), ('nc', 16), ('nb', 23), ('scale', 4), ('patches', 4), ('size', 64), ('width', 1920),
                    ('height', 1080), ('threads', 0), ('times', 0)):
    parser.add_argument('--' + name, type=int, default=value)
parser.add_argument('--network', choices=['compact', 'span', 'esrgan'], default='compact')
parser.add_argument('--imgtrain', default='./imgtrain')
parser.add_argument('--isa')
options = parser.parse_args()
options.threads = options.threads or (1 if options.what == 'step' else 2)
options.times = options.times or (5 if options.what == 'step' else 1)
if options.isa:
    os.environ['ONEDNN_MAX_CPU_ISA'] = options.isa.upper()
torch.manual_seed(1)
torch.set_num_threads(options.threads)
if options.network == 'compact':
    network = sr_torch.Compact(options.scale, options.nf, options.nc)
elif options.network == 'span':
    network = sr_torch.Span(options.scale, options.nf)
else:
    network = sr_torch.Esrgan(options.scale, options.nf, options.nb, unshuffle=max(1, 4 // options.scale))
(step if options.what == 'step' else upscale)(options, network)
