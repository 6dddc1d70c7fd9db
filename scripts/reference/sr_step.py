"""Processor time of a training step of a network that enlarges images, in PyTorch on one thread; and of ours
beside it, by `imgtrain bench`: CPU seconds, which other work on the machine changes least.

  sr_step.py compact FEATURES CONVS SCALE PATCHES SIDE
  sr_step.py span FEATURES SCALE PATCHES SIDE
  sr_step.py esrgan FEATURES BLOCKS SCALE PATCHES SIDE        (ROUNDS=10 steps each, three times by turns)
"""
import os
import re
import subprocess
import sys
import time

import torch

from sr_torch import Compact, Esrgan, Span

ROUNDS = int(os.environ.get("ROUNDS", "10"))
PROGRAM = os.environ.get("IMGTRAIN", os.path.join(os.path.dirname(__file__), "../../imgtrain"))


def theirs(net, scale, patches, side):
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4)
    lq, gt = torch.rand(patches, 3, side, side), torch.rand(patches, 3, side * scale, side * scale)
    begin = 0
    for step in range(ROUNDS + 2):
        if step == 2:
            begin = time.process_time()
        optimiser.zero_grad()
        (net(lq) - gt).abs().mean().backward()
        optimiser.step()
    return (time.process_time() - begin) / ROUNDS * 1e3


def ours(network, options, scale, patches, side):
    command = [PROGRAM, "bench", "--task", "sr", "--device", "cpu", "--threads", "1", "--network", network, "--enlarge", scale,
               "--patches", patches, "--size", side, "--steps", ROUNDS, *options]
    out = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"CPU ([0-9.]+)", out).group(1))


def main(network, *numbers):
    numbers = [int(n) for n in numbers]
    *sizes, scale, patches, side = numbers
    if network == "compact":
        net, options = Compact(scale, *sizes), ["--features", sizes[0], "--convs", sizes[1]]
    elif network == "span":
        net, options = Span(scale, *sizes), ["--features", sizes[0]]
    else:
        net = Esrgan(scale, *sizes, unshuffle=max(1, 4 // scale))
        options = ["--features", sizes[0], "--blocks", sizes[1]]
    torch.set_num_threads(1)
    for _ in range(3):
        a, b = theirs(net, scale, patches, side), ours(network, options, scale, patches, side)
        print(f"PyTorch {a:.0f} ms, imgtrain {b:.0f} ms a step: {a / b:.1f} times as fast", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
