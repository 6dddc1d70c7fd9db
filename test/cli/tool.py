"""What the tests of the command line need beyond a shell. Standard library only.

  tool.py pictures SEEDS        sound and hostile pictures into the current folder; SEEDS: JPEGs to alter
  tool.py measure COMMAND...    runs it, then prints "SECONDS MIB": CPU time and most memory; its status
  tool.py terminal TEXT COMMAND...  runs it on a terminal until it has shown TEXT, then kills it
  tool.py model NAME            a model file written by hand, NAME.safetensors; see models()
  tool.py compact FILE NF NC SCALE   a network that enlarges images, of random weights, as others write it
  tool.py vgg FILE              weights in VGG19's shapes and by its names, the same numbers again and again
  tool.py draw MODEL WxH X,Y,W,H OUT.pfm    an independent renderer
  tool.py difference A B [TIMES] prints the greatest and the mean difference of two PFM or PPM files;
                                TIMES: A is averaged down so many times first
  tool.py resave P3.ppm OUT.png the same samples as a PNG
  tool.py older FILE PREFIX     takes the metadata whose names begin so out of a checkpoint
  tool.py png FILE              prints "WIDTHxHEIGHT BITS COLOUR" out of a PNG's header
  tool.py rows FILE             prints the samples of a PNG of 8 bits, a row a line
"""
import json
import math
import os
import pty
import signal
import struct
import sys
import zlib


# ---- images ----

def value(x, y, w, h, c):
    """A smooth picture, channel c, 0..1."""
    return (0.5 + 0.4 * math.sin(6 * x / w + c), y / max(h - 1, 1), 0.5 + 0.5 * math.cos(9 * (x + y) / (w + h)),
            0.2 + 0.8 * x / w)[c]


def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def png(path, w, h, colour, bits, rows, extra=b'', interlace=0, data=None):
    body = zlib.compress(b''.join(b'\0' + row for row in rows)) if data is None else data
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, bits, colour, 0, 0, interlace))
                   + extra + chunk(b'IDAT', body) + chunk(b'IEND', b''))


def sample_rows(xs, ys, w, h, channels, bits):
    pack = (lambda v: struct.pack('>H', round(v * 65535))) if bits == 16 else (lambda v: bytes([round(v * 255)]))
    return [b''.join(pack(value(x, y, w, h, c)) for x in xs for c in channels) for y in ys]


def plain(path, w, h, channels, bits=8):
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[len(channels)]
    png(path, w, h, colour, bits, sample_rows(range(w), range(h), w, h, channels, bits))


def adam7(path, w, h, bits):
    rows = []
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                           (0, 1, 1, 2)):
        xs, ys = range(x0, w, dx), range(y0, h, dy)
        if xs and ys:
            rows += sample_rows(xs, ys, w, h, (0, 1, 2), bits)
    png(path, w, h, 2, bits, rows, interlace=1)


def repeat_last_scan(data, times):
    last = data.rfind(b'\xff\xda')
    return data[:-2] + data[last:-2] * times + b'\xff\xd9'


def with_orientation(data, orientation):
    """A JPEG with an EXIF block of its own behind SOI."""
    tiff = b'II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0' + struct.pack('<HH', orientation, 0) + b'\0\0\0\0'
    app1 = b'Exif\0\0' + tiff
    return data[:2] + b'\xff\xe1' + struct.pack('>H', len(app1) + 2) + app1 + data[2:]


def write(path, data):
    with open(path, 'wb') as file:
        file.write(data)


def pictures(seeds):
    def seed(name):
        with open(os.path.join(seeds, name), 'rb') as file:
            return file.read()

    plain('rgb.png', 48, 32, (0, 1, 2))
    plain('alpha.png', 48, 32, (0, 1, 2, 3))
    plain('grey.png', 48, 32, (1,))
    plain('grey_alpha.png', 48, 32, (1, 3))
    plain('deep.png', 48, 32, (0, 1, 2), 16)
    plain('dot.png', 1, 1, (0, 1, 2))
    plain('line.png', 1, 65535, (0, 1, 2))
    plain('wide.png', 65535, 1, (0,))
    plain('odd.png', 13, 7, (0, 1, 2))
    adam7('adam7.png', 48, 32, 16)
    palette = b''.join(bytes([i, 255 - i, i // 2]) for i in range(256))
    png('palette.png', 48, 32, 3, 8, [bytes((5 * x + 3 * y) % 256 for x in range(48)) for y in range(32)],
        chunk(b'PLTE', palette))
    os.makedirs('stack', exist_ok=True)
    for i in range(3):
        plain('stack/%d.png' % i, 24, 16, (i, (i + 1) % 3, (i + 2) % 3))
    os.makedirs('uneven', exist_ok=True)
    plain('uneven/a.png', 24, 16, (0, 1, 2))
    plain('uneven/b.png', 24, 17, (0, 1, 2))
    os.makedirs('nothing', exist_ok=True)
    write('cmyk.jpg', seed('cmyk.jpg'))
    for orientation in range(1, 9):
        write('exif%d.jpg' % orientation, with_orientation(seed('grey.jpg'), orientation))

    os.makedirs('bad', exist_ok=True)
    png('bad/bomb_small.png', 50000, 50000, 2, 8, [], data=zlib.compress(bytes(100000)))
    png('bad/bomb_full.png', 50000, 50000, 2, 8, [], data=zlib.compress(bytes(1 << 20)) + bytes(7300000))
    png('bad/bomb_wide.png', 2000000, 2000000, 6, 16, [], data=zlib.compress(bytes(100000)))
    write('bad/scans.jpg', repeat_last_scan(seed('progressive.jpg'), 2000))
    with open('rgb.png', 'rb') as file:
        whole = file.read()
    write('bad/truncated.png', whole[:len(whole) // 2])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    write('bad/flipped.png', bytes(flipped))
    write('bad/header.png', whole[:20])
    write('bad/truncated.jpg', seed('cmyk.jpg')[:-100])
    write('bad/empty.png', b'')
    write('bad/text.png', b'not a picture\n')
    write('bad/none.ppm', b'P6\n0 0\n255\n')
    write('bad/short.ppm', b'P6\n1000 1000\n255\nabc')
    write('bad/huge.pfm', b'PF\n100000 100000\n-1\n' + bytes(100))
    write('bad/nan.pfm', b'PF\n2 1\n-1\n' + struct.pack('<6f', 0, 1, math.nan, 0, 0, 0))


# ---- running ----

def measure(command):
    pid = os.fork()
    if pid == 0:
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    print('%.2f %d' % (usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024))
    return os.waitstatus_to_exitcode(status)


def terminal(text, command):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ['TERM'] = 'xterm'
        os.execv(command[0], command)
    shown = b''
    while text.encode() not in shown:
        try:
            part = os.read(fd, 4096)
        except OSError:  # it has ended
            part = b''
        if not part:
            break
        shown += part
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 0 if text.encode() in shown else 1


# ---- models ----

# Broad Gaussians (x, y in 0..1, sigmas in pixels of 48x32, angle, colour), so that pixels hardly matter.
GAUSSIANS = ((0.3, 0.4, 9.0, 6.0, 0.5, (0.9, 0.2, 0.1)), (0.7, 0.6, 7.0, 12.0, -0.8, (0.1, 0.8, 0.3)),
             (0.5, 0.1, 14.0, 5.0, 0.0, (0.2, 0.3, 0.9)), (0.1, 0.9, 8.0, 8.0, 1.2, (0.7, 0.7, 0.2)),
             (0.95, 0.2, 6.0, 6.0, 0.0, (0.5, 0.5, 0.5)))


def write_model(path, width=48, height=32, tensors=None, metadata=None, gaussians=GAUSSIANS):
    n = len(gaussians)
    values = {
        'xy': ([n, 2], [v for g in gaussians for v in g[0:2]]),
        'scale': ([n, 2], [1 / v for g in gaussians for v in g[2:4]]),
        'rot': ([n, 1], [g[4] for g in gaussians]),
        'feat': ([n, 3], [v for g in gaussians for v in g[5]]),
    }
    values.update(tensors or {})
    meta = {'format': 'imgtrain', 'kind': 'model', 'task': 'splat', 'step': '1', 'width': str(width),
            'height': str(height), 'channels': '3', 'topk': '3', 'blend': 'normalised', 'scale': 'inverse',
            'gamma': '1', 'sample_bits': '8', 'alpha': 'none', 'cut': '4.3'}
    meta.update(metadata or {})
    header, data = {'__metadata__': {k: v for k, v in meta.items() if v is not None}}, b''
    for name, (shape, numbers) in values.items():
        packed = struct.pack('<%df' % len(numbers), *numbers)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    write(path, struct.pack('<Q', len(text)) + text + data)


def models(name):
    scaled = [v for g in GAUSSIANS for v in g[2:4]]
    nan = {'xy': ([5, 2], [0.5] * 9 + [math.nan])}
    known = {
        'plain': {},
        'sigma': {'tensors': {'scale': ([5, 2], scaled)}, 'metadata': {'scale': 'sigma'}},
        'additive': {'metadata': {'blend': 'additive', 'cut': '3.5'}},
        'all': {'metadata': {'topk': '0'}},
        'gamma': {'metadata': {'gamma': '2.2'}},
        'deep': {'metadata': {'sample_bits': '16'}},
        'negative': {'tensors': {'scale': ([5, 2], [-1 / v for v in scaled])}},  # as Image-GS may have it
        'nan': {'tensors': nan},
        'shape': {'tensors': {'feat': ([5, 2], [0.5] * 10)}},
        'rows': {'tensors': {'rot': ([4, 1], [0.0] * 4)}},
        'width': {'metadata': {'width': None}},
        'large': {'metadata': {'width': '999999999'}},
        'topk': {'metadata': {'topk': '33'}},
        'bad_gamma': {'metadata': {'gamma': '0'}},
        'huge': {'metadata': {'width': '131072', 'height': '131072'}},  # says five Gaussians
        'weighted': {'tensors': {'weight': ([5, 1], [0.0, 1.0, 2.5, 0.3, 12.0])}},
        'square': {'width': 1024, 'height': 1024, 'gaussians': [g[:2] + (20 * g[2], 20 * g[3]) + g[4:] for g in GAUSSIANS]},
        'gan': {'metadata': {'task': 'gan'}},
        'foreign': {'metadata': {'format': None}},
        'flat': {'tensors': {'scale': ([5, 2], [0.0] * 10)}},
    }
    write_model(name + '.safetensors', **known[name])


def compact(path, features, convs, scale):
    random = __import__('random').Random(7)
    header, data = {}, b''

    def add(number, kind, shape, low, high):
        nonlocal data
        count = math.prod(shape)
        values = struct.pack('<%df' % count, *(random.uniform(low, high) for _ in range(count)))
        header['body.%d.%s' % (number, kind)] = {
            'dtype': 'F32', 'shape': shape, 'data_offsets': [len(data), len(data) + len(values)]}
        data += values

    channels = 3
    for layer in range(convs + 2):
        last = layer > convs
        out = 3 * scale * scale if last else features
        bound = (0.5 if last else 1.7) / math.sqrt(9 * channels)
        add(2 * layer, 'weight', [out, channels, 3, 3], -bound, bound)
        add(2 * layer, 'bias', [out], -bound, bound)
        if not last:
            add(2 * layer + 1, 'weight', [out], 0.1, 0.4)
        channels = out
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    write(path, struct.pack('<Q', len(text)) + text + data)


def read_model(path):
    with open(path, 'rb') as file:
        data = file.read()
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    meta = header.pop('__metadata__')
    tensors = {}
    for name, t in header.items():
        a, b = t['data_offsets']
        numbers = struct.unpack('<%df' % ((b - a) // 4), data[8 + size + a:8 + size + b])
        columns = t['shape'][1]
        tensors[name] = [numbers[i:i + columns] for i in range(0, len(numbers), columns)]
    return tensors, meta


def draw(path, size, window, out):
    """The definition, pixel by pixel and in double."""
    tensors, meta = read_model(path)
    width, height = int(meta['width']), int(meta['height'])
    full_w, full_h = (int(v) for v in size.split('x'))
    x0, y0, w, h = (int(v) for v in window.split(','))
    topk, cut, additive = int(meta['topk']), float(meta['cut']), meta['blend'] == 'additive'
    power = 1 / float(meta['gamma'])
    splats = []
    weights = tensors.get('weight') or [[0.0]] * len(tensors['xy'])
    for (x, y), (sx, sy), (angle,), colour, (weight,) in zip(*(tensors[k] for k in ('xy', 'scale', 'rot', 'feat')),
                                                             weights):
        if meta['scale'] == 'sigma':
            sx, sy = 1 / sx, 1 / sy
        splats.append((x * width, y * height, sx, sy, math.cos(angle), math.sin(angle), colour, weight))
    pixels = []
    for i in range(y0, y0 + h):
        for j in range(x0, x0 + w):
            px, py = (j + 0.5) * width / full_w, (i + 0.5) * height / full_h
            found = []
            for x, y, sx, sy, c, s, colour, weight in splats:
                u, v = ((px - x) * c + (py - y) * s) * sx, ((py - y) * c - (px - x) * s) * sy
                q = u * u + v * v
                if q <= cut * cut:
                    found.append((math.exp(-q / 2) * 2 ** -weight, colour))
            found.sort(reverse=True)
            if topk and not additive:
                found = found[:topk]
            total = 1 if additive else sum(a for a, _ in found) + 1e-4
            for k in range(3):
                pixels.append(max(sum(a * colour[k] for a, colour in found) / total, 0) ** power)
    rows = [pixels[i * w * 3:(i + 1) * w * 3] for i in range(h)]
    write(out, b'PF\n%d %d\n-1.0\n' % (w, h) + b''.join(struct.pack('<%df' % len(r), *r) for r in reversed(rows)))


# ---- comparing ----

def read_picture(path):
    """Rows of tuples of floats, of a PFM or PPM file; samples of the latter as 0..1."""
    with open(path, 'rb') as file:
        data = file.read()
    words, at = [], 0
    while len(words) < 4:
        end = at
        while not data[end:end + 1].isspace():
            end += 1
        words.append(data[at:end])
        at = end + 1
    w, h, n = int(words[1]), int(words[2]), 3 if words[0] in (b'PF', b'P6') else 1
    if words[0] in (b'PF', b'Pf'):
        order = '<' if float(words[3]) < 0 else '>'
        numbers = struct.unpack('%s%df' % (order, w * h * n), data[at:])
    else:
        most = int(words[3])
        kind = '>%dH' if most > 255 else '>%dB'
        numbers = [v / most for v in struct.unpack(kind % (w * h * n), data[at:])]
    rows = [[numbers[(i * w + j) * n:(i * w + j + 1) * n] for j in range(w)] for i in range(h)]
    return rows[::-1] if words[0] in (b'PF', b'Pf') else rows


def average(rows, times):
    return [[tuple(sum(rows[i * times + a][j * times + b][k] for a in range(times) for b in range(times)) / times ** 2
                   for k in range(len(rows[0][0]))) for j in range(len(rows[0]) // times)]
            for i in range(len(rows) // times)]


def vgg(path):
    channels = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    numbers = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    header, at, parts, before = {}, 0, [], 3
    waves = [math.sin(i * i * 0.7) for i in range(4099)]
    for number, c in zip(numbers, channels):
        for name, shape in (('weight', [c, before, 3, 3]), ('bias', [c])):
            count = math.prod(shape)
            scale = 2 / math.sqrt(9 * before) if name == 'weight' else 0.05
            pattern = struct.pack('<4099f', *(v * scale for v in waves))
            parts.append((pattern * (count // 4099 + 1))[:4 * count])
            header['features.%d.%s' % (number, name)] = {'dtype': 'F32', 'shape': shape,
                                                         'data_offsets': [at, at + 4 * count]}
            at += 4 * count
        before = c
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    write(path, struct.pack('<Q', len(text)) + text + b''.join(parts))


def difference(a, b, times=1):
    a, b = average(read_picture(a), times) if times > 1 else read_picture(a), read_picture(b)
    if (len(a), len(a[0]), len(a[0][0])) != (len(b), len(b[0]), len(b[0][0])):
        sys.exit('sizes differ: %dx%d and %dx%d' % (len(a[0]), len(a), len(b[0]), len(b)))
    differences = [abs(u - v) for p, q in zip(a, b) for s, t in zip(p, q) for u, v in zip(s, t)]
    print('%.6f %.6f' % (max(differences), sum(differences) / len(differences)))


def show_png(path):
    with open(path, 'rb') as file:
        w, h, bits, colour = struct.unpack('>IIBB', file.read(26)[16:])
    print('%dx%d %d %s' % (w, h, bits, {0: 'grey', 2: 'rgb', 4: 'grey+alpha', 6: 'rgba'}[colour]))


def show_rows(path):
    with open(path, 'rb') as file:
        data = file.read()
    (w, h, bits, colour), at, body = struct.unpack('>IIBB', data[16:26]), 8, b''
    assert bits == 8, path
    while at < len(data):
        n, = struct.unpack('>I', data[at:at + 4])
        body += data[at + 8:at + 8 + n] if data[at + 4:at + 8] == b'IDAT' else b''
        at += n + 12
    n = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    body, last = zlib.decompress(body), bytes(w * n)
    for y in range(h):
        kind, row = body[y * (w * n + 1)], bytearray(body[y * (w * n + 1) + 1:(y + 1) * (w * n + 1)])
        for i in range(w * n if kind else 0):
            a, b, c = row[i - n] if i >= n else 0, last[i], last[i - n] if i >= n else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
        print(*row)
        last = row


def resave(path, out):
    _, width, height, _, *samples = open(path).read().split()
    w, h = int(width), int(height)
    data = bytes(int(v) for v in samples)
    png(out, w, h, 2, 8, [data[3 * w * y:3 * w * (y + 1)] for y in range(h)])


def older(path, prefix):
    with open(path, 'rb') as file:
        data = file.read()
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    meta = header['__metadata__']
    kept = {k: v for k, v in meta.items() if not k.startswith(prefix)}
    assert len(kept) < len(meta), 'nothing begins with ' + prefix
    kept['crc32'] = '00000000'
    header['__metadata__'] = kept
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    text += b' ' * (-len(text) % 8)
    crc = zlib.crc32(struct.pack('<Q', len(text)) + text)
    text = text.replace(b'"crc32":"00000000"', b'"crc32":"%08x"' % crc, 1)
    write(path, struct.pack('<Q', len(text)) + text + data[8 + size:])


def main(verb, *words):
    if verb == 'pictures':
        pictures(*words)
    elif verb == 'measure':
        sys.exit(measure(words))
    elif verb == 'terminal':
        sys.exit(terminal(words[0], words[1:]))
    elif verb == 'model':
        models(*words)
    elif verb == 'compact':
        compact(words[0], *(int(v) for v in words[1:]))
    elif verb == 'draw':
        draw(*words)
    elif verb == 'vgg':
        vgg(words[0])
    elif verb == 'difference':
        difference(words[0], words[1], *(int(v) for v in words[2:]))
    elif verb == 'resave':
        resave(*words)
    elif verb == 'older':
        older(*words)
    elif verb == 'png':
        show_png(*words)
    elif verb == 'rows':
        show_rows(*words)
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
