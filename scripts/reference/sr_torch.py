"""The networks that enlarge images, in PyTorch, written from their papers' formulas.

State dicts have the names that model files have everywhere, so a file of one program is a file of the
others. Images are N C H W, 0..1.
"""
import torch
import torch.nn.functional as F
from torch import nn


class Compact(nn.Module):
    """SRVGGNetCompact: convolutions and PReLUs by turns, plus the input enlarged by nearest neighbour."""

    def __init__(self, scale, features, convs):
        super().__init__()
        self.scale = scale
        body = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convs):
            body += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        self.body = nn.ModuleList(body + [nn.Conv2d(features, 3 * scale * scale, 3, padding=1)])

    def forward(self, x):
        y = x
        for layer in self.body:
            y = layer(y)
        return F.pixel_shuffle(y, self.scale) + F.interpolate(x, scale_factor=self.scale, mode="nearest")


class Conv3XC(nn.Module):
    """Three convolutions in a row beside a fourth; one 3x3 convolution where `merged`."""

    def __init__(self, cin, cout, merged):
        super().__init__()
        if merged:
            self.eval_conv = nn.Conv2d(cin, cout, 3, padding=1)
            return
        self.sk = nn.Conv2d(cin, cout, 1)
        self.conv = nn.Sequential(nn.Conv2d(cin, 2 * cin, 1), nn.Conv2d(2 * cin, 2 * cout, 3),
                                  nn.Conv2d(2 * cout, cout, 1))

    def forward(self, x):
        if hasattr(self, "eval_conv"):
            return self.eval_conv(x)
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)

    @torch.no_grad()
    def one(self):
        """Weights and bias of the one convolution: what it makes of each input that is 1 at one place."""
        if hasattr(self, "eval_conv"):
            return self.eval_conv.weight, self.eval_conv.bias
        cin = self.sk.in_channels
        zero = torch.zeros(1, cin, 5, 5, dtype=self.sk.weight.dtype)
        bias = self(zero)[0, :, 2, 2]
        places = zero.repeat(cin, 1, 1, 1)
        for i in range(cin):
            places[i, i, 2, 2] = 1
        weight = (self(places) - bias[None, :, None, None])[:, :, 1:4, 1:4]
        return weight.flip(2, 3).transpose(0, 1).contiguous(), bias


class Block(nn.Module):
    def __init__(self, features, merged):
        super().__init__()
        self.c1_r = Conv3XC(features, features, merged)
        self.c2_r = Conv3XC(features, features, merged)
        self.c3_r = Conv3XC(features, features, merged)

    def forward(self, y):
        a = F.silu(self.c1_r(y))
        o = self.c3_r(F.silu(self.c2_r(a)))
        return (o + y) * (torch.sigmoid(o) - 0.5), a


class Span(nn.Module):
    def __init__(self, scale, features, norm=False, merged=False):
        super().__init__()
        self.scale, self.norm = scale, norm
        self.conv_1 = Conv3XC(3, features, merged)
        for k in range(1, 7):
            setattr(self, f"block_{k}", Block(features, merged))
        self.conv_2 = Conv3XC(features, features, merged)
        self.conv_cat = nn.Conv2d(4 * features, features, 1)
        self.upsampler = nn.Sequential(nn.Conv2d(features, 3 * scale * scale, 3, padding=1),
                                       nn.PixelShuffle(scale))

    def forward(self, x):
        if self.norm:
            x = (x - x.new_tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)) * 255
        first = y = self.conv_1(x)
        for k in range(1, 7):
            y, a = getattr(self, f"block_{k}")(y)
            if k == 1:
                after_first = y
        return self.upsampler(self.conv_cat(torch.cat([first, self.conv_2(y), after_first, a], 1)))

    def file(self):
        """The state dict as files have it: the parts, what they make, and `no_norm`."""
        out = {k: v.detach() for k, v in self.state_dict().items()}
        for name, module in self.named_modules():
            if isinstance(module, Conv3XC):
                weight, bias = module.one()
                out[name + ".eval_conv.weight"], out[name + ".eval_conv.bias"] = weight, bias
        if not self.norm:
            out["no_norm"] = torch.zeros(1, dtype=self.conv_cat.weight.dtype)
        return out


class DenseBlock(nn.Module):
    def __init__(self, features, growth):
        super().__init__()
        for k in range(1, 6):
            setattr(self, f"conv{k}", nn.Conv2d(features + (k - 1) * growth, growth if k < 5 else features, 3, padding=1))

    def forward(self, x):
        values = [x]
        for k in range(1, 5):
            values.append(F.leaky_relu(getattr(self, f"conv{k}")(torch.cat(values, 1)), 0.2))
        return x + 0.2 * self.conv5(torch.cat(values, 1))


class DenseBlocks(nn.Module):
    def __init__(self, features, growth):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x):
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class Esrgan(nn.Module):
    """RRDBNet, by the names of Real-ESRGAN. unshuffle: so many pixels a side become channels first."""

    def __init__(self, scale, features, blocks, growth=32, unshuffle=1):
        super().__init__()
        self.scale, self.unshuffle, self.doublings = scale, unshuffle, (scale * unshuffle).bit_length() - 1
        self.conv_first = nn.Conv2d(3 * unshuffle**2, features, 3, padding=1)
        self.body = nn.Sequential(*(DenseBlocks(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        for k in range(1, self.doublings + 1):
            setattr(self, f"conv_up{k}", nn.Conv2d(features, features, 3, padding=1))
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, x):
        h, w = x.shape[2:]
        fill = [-w % self.unshuffle, -h % self.unshuffle]
        if any(fill):
            x = F.pad(x, (0, fill[0], 0, fill[1]), mode="reflect")
        first = self.conv_first(F.pixel_unshuffle(x, self.unshuffle))
        y = first + self.conv_body(self.body(first))
        for k in range(1, self.doublings + 1):
            y = F.interpolate(y, scale_factor=2, mode="nearest")
            y = F.leaky_relu(getattr(self, f"conv_up{k}")(y), 0.2)
        y = self.conv_last(F.leaky_relu(self.conv_hr(y), 0.2))
        return y[:, :, : h * self.scale, : w * self.scale]

    def file(self, names="new"):
        """The state dict by the names of Real-ESRGAN, of ESRGAN's first program or of its second one."""
        out = {}
        blocks = len(self.body)
        for name, value in self.state_dict().items():
            stem, end = name.rsplit(".", 1)
            parts = stem.split(".")
            up = int(stem[7:]) if stem.startswith("conv_up") else 0
            if names == "trunk":
                stem = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}.get(stem, stem)
                if parts[0] == "body":
                    stem = f"RRDB_trunk.{parts[1]}.RDB{parts[2][3:]}.{parts[3]}"
                if up:
                    stem = f"upconv{up}"
            if names == "old":
                number = {"conv_first": 0, "conv_hr": 3 * self.doublings + 2, "conv_last": 3 * self.doublings + 4}
                stem = f"model.{number.get(stem, 3 * up)}"
                if parts[0] == "body":
                    stem = f"model.1.sub.{parts[1]}.RDB{parts[2][3:]}.{parts[3]}.0"
                if parts[0] == "conv_body":
                    stem = f"model.1.sub.{blocks}"
            out[f"{stem}.{end}"] = value.detach()
        return out
