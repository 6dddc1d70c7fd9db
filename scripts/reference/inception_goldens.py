"""FID and KID by torchvision's Inception v3, and by TensorFlow's network of it as pytorch-fid has it, with weights by
formula (s3dit_goldens.py), for the images that test/metrics/inception_test.c draws.

    inception_goldens.py > test/golden/inception.h

Needs torch, torchvision, pytorch-fid and scipy. A minute.
"""
import numpy as np
import pytorch_fid.inception as tensorflow
import torch
import torchvision.models.inception as torchvision
from scipy import linalg

from s3dit_goldens import drawn

REAL, FAKE, HEIGHT, WIDTH = 3, 2, 23, 31


def network(is_tensorflow):
    net = torchvision.Inception3(num_classes=10, aux_logits=False, transform_input=False, init_weights=False)
    if is_tensorflow:
        for name, channels in (("Mixed_5b", 192), ("Mixed_5c", 256), ("Mixed_5d", 288)):
            setattr(net, name, tensorflow.FIDInceptionA(channels, 32 if channels == 192 else 64))
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            setattr(net, name, tensorflow.FIDInceptionC(768, channels_7x7=width))
        net.Mixed_7b = tensorflow.FIDInceptionE_1(1280)
        net.Mixed_7c = tensorflow.FIDInceptionE_2(2048)
    scales = {"bn.weight": (0.3, 1), "bn.bias": (0.3, 0), "bn.running_mean": (0.3, 0), "bn.running_var": (0.5, 1)}
    for name, tensor in net.state_dict().items():
        if name.endswith("conv.weight"):
            tensor.copy_(drawn(name, tensor.shape, np.sqrt(6 / tensor[0].numel())))
        elif ".bn." in name and "num_batches" not in name:
            scale, offset = scales[name[name.index("bn."):]]
            tensor.copy_(drawn(name, tensor.shape, scale, offset))
    return net.eval()


def images(name, count, spread):
    bytes_ = np.round(127.5 + spread * drawn(name, (count, HEIGHT, WIDTH, 3)).double().numpy())
    return torch.from_numpy(bytes_.astype(np.float32) / 255).permute(0, 3, 1, 2)


def features(net, x):
    out = []
    hook = net.Mixed_7c.register_forward_hook(lambda module, inputs, output: out.append(output.mean((2, 3))))
    with torch.no_grad():
        net(2 * torch.nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1)
    hook.remove()
    return out[0].double().numpy()


def distances(a, b):
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    fid = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(np.trace(c) for c in covariances) - 2 * np.trace(root).real
    kernel = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
    within = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return fid, sum(within) - 2 * kernel(a, b).mean()


def main():
    net = network(False)
    print("/* Made by scripts/reference/inception_goldens.py: convolutions, and FID and KID with torchvision's and")
    print(" * TensorFlow's network. */\n/* clang-format off */\n#ifdef INCEPTION_CONV")
    for name, tensor in net.state_dict().items():
        if name.endswith(".conv.weight"):
            print("INCEPTION_CONV(%s, %d, %d, %d, %d)" % ((name.removesuffix(".conv.weight"),) + tuple(tensor.shape)))
    print("#else")
    for is_tensorflow in (False, True):
        net = network(is_tensorflow)
        print("{%.9g, %.9g}," % distances(*(features(net, images(*of)) for of in (("real", REAL, 127.5), ("fake", FAKE, 40)))))
    print("#endif\n/* clang-format on */")


if __name__ == "__main__":
    main()
