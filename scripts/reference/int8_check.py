"""How far the velocity of a denoiser with weights of 8 or 16 bits is from that of full ones.

  int8_check.py IMGTRAIN FOLDER... [--size 64x64] [--seeds 4]

FOLDER: a model folder, such as zimage_check.py and flux_check.py write (random weights). With one step from noise z to
the state x the velocity is z - x; printed is the root of the mean square of its difference, relative to its own, over
all seeds; text encoders have those weights, too."""
import argparse
import os
import subprocess
import tempfile

import numpy as np

import tensorfile


def velocity(o, folder, dtype, seed):
    with tempfile.TemporaryDirectory() as place:
        dump = os.path.join(place, "dump.safetensors")
        subprocess.run([o.imgtrain, "generate", folder, "--prompt", "a red cat", "--size", o.size, "--steps", "1", "--seed",
                        str(seed), "--text-cache", "none", "--dtype", dtype, "--dump", dump, "-o",
                        os.path.join(place, "out.png")], check=True, capture_output=True)
        tensors, _ = tensorfile.load(dump)
    names = sorted(tensors)
    first, last = [tensors[n] for n in names if "noise" in n][0], [tensors[n] for n in names if "step" in n][-1]
    return np.asarray(first, np.float64).reshape(-1) - np.asarray(last, np.float64).reshape(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("imgtrain")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--seeds", type=int, default=4)
    o = parser.parse_args()
    for folder in o.folders:
        full = np.concatenate([velocity(o, folder, "f32", s) for s in range(o.seeds)])
        for dtype in ("bf16", "int8"):
            other = np.concatenate([velocity(o, folder, dtype, s) for s in range(o.seeds)])
            error = np.sqrt(((other - full) ** 2).mean() / (full**2).mean())
            print(f"{folder}: {dtype} {error:.2e}")


if __name__ == "__main__":
    main()
