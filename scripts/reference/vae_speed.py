"""Times a training step of an autoencoder in PyTorch (diffusers' AutoencoderKL) and here, in turns, on the same cores.

  vae_speed.py FOLDER [--size 64 --base 8 --levels 3 --latents 4 --groups 2 --batch 8] [--steps 20 --times 3]
               [--imgtrain ./imgtrain] [--train STEPS [--lr 2e-3 --mse 20]]

FOLDER has images of that size. Prints medians of a step's seconds of processor time on one thread: loss (L1, squares,
MS-SSIM, KL), gradients, clipping, Adam and the average. --train: trains in PyTorch as the task does and prints PSNR
of images that it has not seen, by the averaged network."""
import argparse
import glob
import math
import os
import resource
import statistics
import subprocess
import tempfile
import time

import numpy
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image

EXPONENTS = [.0448, .2856, .3001, .2363, .1333]
HELD = 64


def images(folder):
    files = sorted(f for f in glob.glob(folder + '/**/*', recursive=True) if f.endswith(('.ppm', '.png')))
    all_ = numpy.stack([numpy.asarray(Image.open(f).convert('RGB')) for f in files])
    all_ = torch.from_numpy(all_).permute(0, 3, 1, 2).float() / 127.5 - 1
    return all_[torch.randperm(len(all_), generator=torch.Generator().manual_seed(1))]


def network(o):
    widths = [o.base << min(level, 2) for level in range(o.levels)]
    net = AutoencoderKL(down_block_types=['DownEncoderBlock2D'] * o.levels, up_block_types=['UpDecoderBlock2D'] * o.levels,
                        block_out_channels=widths, layers_per_block=1, latent_channels=o.latents, norm_num_groups=o.groups,
                        use_quant_conv=False, use_post_quant_conv=False)
    with torch.no_grad():  # the first weights of the task
        for name, p in net.named_parameters():
            if 'norm' in name:
                continue
            p.zero_()
            if name.endswith('weight') and 'conv2' not in name and 'to_out' not in name:
                p.normal_(0, 1 / math.sqrt(p[0].numel()))
        net.encoder.conv_out.bias[o.latents:] = -6
    return net


def ms_ssim(x, y):
    window = torch.exp(-(torch.arange(11) - 5.) ** 2 / 4.5)
    window = (window / window.sum()).view(1, 1, 1, 11)
    scales = sum(x.shape[-1] >> s >= 11 for s in range(5))
    total, result = sum(EXPONENTS[:scales]), 1
    for s in range(scales):
        parts = torch.cat([x, y, x * x + y * y, x * y], 1)
        rows = window.expand(parts.shape[1], 1, 1, 11)
        mx, my, squares, product = F.conv2d(F.conv2d(parts, rows, groups=len(rows)), rows.transpose(2, 3),
                                            groups=len(rows)).chunk(4, 1)
        value = (2 * (product - mx * my) + .0009) / (squares - mx * mx - my * my + .0009)
        if s == scales - 1:
            value = value * (2 * mx * my + .0001) / (mx * mx + my * my + .0001)
        result = result * value.mean((2, 3)).clamp(min=1e-3) ** (EXPONENTS[s] / total)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result.mean(1)


class Training:
    def __init__(self, o):
        self.o, self.net, self.images = o, network(o), images(o.folder)
        self.parameters = list(self.net.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.adam = torch.optim.Adam(self.parameters, betas=(.9, .99))

    def step(self, share, of_average):
        o, net = self.o, self.net
        rate = o.lr * (.05 + .95 * .5 * (1 + math.cos(math.pi * share))) * min(1, (share + 1e-3) / .02)
        self.adam.param_groups[0]['lr'] = rate
        x = self.images[torch.randint(HELD, len(self.images), (o.batch,))]
        mean, log_variance = net.encoder(x).chunk(2, 1)
        log_variance = log_variance.clamp(-30, 20)
        made = net.decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean)) / 2 + .5
        right = x / 2 + .5
        kl = (mean * mean + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean() / 2
        loss = ((made - right).abs().mean() + o.mse * (made - right).square().mean() +
                1 - ms_ssim(made, right).mean() + 1e-6 * kl)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - of_average)

    @torch.no_grad()
    def psnr(self):
        own = [p.clone() for p in self.parameters]
        for p, a in zip(self.parameters, self.average):
            p.copy_(a)
        held = self.images[:HELD]
        made = self.net.decoder(self.net.encoder(held).chunk(2, 1)[0]).clamp(-1, 1)
        for p, a in zip(self.parameters, own):
            p.copy_(a)
        return (-10 * torch.log10(((made - held) / 2).square().mean((1, 2, 3)))).mean().item()


def train(o):
    torch.manual_seed(0)
    training, begin = Training(o), time.process_time()
    for step in range(o.train):
        half_life = .02 * .5 * (1 - math.cos(math.pi * step / o.train)) * o.train
        training.step(step / o.train, .5 ** (1 / half_life) if half_life > 0 else 0)
        if (step + 1) % max(1, o.train // 6) == 0 or step + 1 == o.train:
            print('step %d: %.2f dB, %.0f s of processor time' % (step + 1, training.psnr(), time.process_time() - begin),
                  flush=True)


def there(o, training):
    begin = time.process_time()
    for _ in range(o.steps):
        training.step(.5, .9)
    return (time.process_time() - begin) / o.steps


def here(o):
    def run(steps):
        with tempfile.TemporaryDirectory() as folder:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            keys = ('data=%s vae.size=%d vae.base=%d vae.levels=%d vae.latent_channels=%d vae.batch=%d vae.mse=%g max_steps=%d'
                    % (o.folder, o.size, o.base, o.levels, o.latents, o.batch, o.mse, steps))
            subprocess.run([o.imgtrain, 'train', '-q', '-o', folder + '/run', 'task=vae', 'device=cpu', 'threads=1',
                            'eval_steps=1000', 'frames.count=0', 'video.enabled=false', *keys.split()],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (run(o.steps + 2) - run(2)) / o.steps  # without what a run begins and ends with


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder')
    for name, value in (('size', 64), ('base', 8), ('levels', 3), ('latents', 4), ('groups', 2), ('batch', 8), ('steps', 20),
                        ('times', 3), ('train', 0)):
        parser.add_argument('--' + name, type=int, default=value)
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--mse', type=float, default=20)
    parser.add_argument('--imgtrain', default=os.path.join(os.path.dirname(__file__), '../../imgtrain'))
    o = parser.parse_args()
    torch.set_num_threads(1)
    if o.train:
        train(o)
        return
    training, pairs = Training(o), []
    there(o, training)
    for _ in range(o.times):
        pairs.append((there(o, training), here(o)))
    torch_, own = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    print('a step of %d images of %d px: PyTorch %s %.0f ms, imgtrain %.0f ms, ratio %.2f'
          % (o.batch, o.size, torch.__version__, 1e3 * torch_, 1e3 * own, torch_ / own))


main()
