"""WebP and TIFF pictures of many kinds and, as Pillow decodes them, NAME.pillow.png or .pfm.

  formats.py    one "NAME REFERENCE" a line on stdout. Ends with 77 where there is no Pillow.
"""
import shutil
import struct
import subprocess
import sys

try:
    from PIL import Image, ImageOps, features
except ImportError:
    sys.exit(77)

W, H = 61, 43
TURNS = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
         6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}
COLOURS = [((5 * x + y * y // 7) % 256, (x * y // 5) % 256, 255 - 4 * y, (x * 9 + y) % 256) for y in range(H) for x in range(W)]


def bands(mode, count):
    image = Image.new(mode, (W, H))
    image.putdata([c[:count] if count > 1 else c[0] for c in COLOURS])
    return image


def inks(image):
    out = Image.new('RGB', image.size)
    out.putdata([tuple(((255 - v) * (255 - p[3]) + 127) // 255 for v in p[:3]) for p in image.getdata()])
    return out


def reference(name, made=None):
    image = Image.open(name)
    image.load()
    if name.endswith('.webp'):
        image = ImageOps.exif_transpose(image)
    if image.mode == 'F':
        with open(name + '.pfm', 'wb') as file:
            file.write(b'Pf\n%d %d\n-1\n' % image.size)
            for y in reversed(range(image.size[1])):
                file.write(struct.pack('<%df' % image.size[0], *[image.getpixel((x, y)) for x in range(image.size[0])]))
        print(made or name, name + '.pfm')
        return
    image = inks(image) if image.mode == 'CMYK' else image.convert({'P': 'RGB', '1': 'L'}.get(image.mode, image.mode))
    image.save(name + '.pillow.png')
    print(made or name, name + '.pillow.png')


def tiffs():
    deep = Image.new('I;16', (W, H))
    deep.frombytes(struct.pack('<%dH' % (W * H), *[c[0] * 256 + c[1] for c in COLOURS]))
    light = Image.new('F', (W, H))
    light.putdata([c[0] / 255 * 3.5 - 0.25 for c in COLOURS])
    kinds = {'rgb': bands('RGB', 3), 'grey': bands('L', 1), 'map': bands('RGB', 3).convert('P'), 'bits': bands('L', 1).convert('1'),
             'veil': bands('LA', 2), 'alpha': bands('RGBA', 4), 'ink': bands('CMYK', 4), 'deep': deep, 'float': light}
    ways = {'plain': None, 'lzw': 'tiff_lzw', 'zip': 'tiff_adobe_deflate', 'pack': 'packbits'}
    copies = (['-t', '-w', '16', '-l', '32'], ['-p', 'separate'], ['-r', '7'], ['-r', '1000'], ['-8'], ['-B'],
              ['-p', 'separate', '-t', '-w', '32', '-l', '16', '-c', 'zip:2'], ['-f', 'lsb2msb'])
    for kind, image in kinds.items():
        for way, compression in ways.items():
            name = '%s-%s.tif' % (kind, way)
            image.save(name, compression=compression)
            reference(name)
            if way == 'plain' and shutil.which('tiffcp'):
                for i, options in enumerate(copies):
                    copy = '%s-copy%d.tif' % (kind, i)
                    if subprocess.run(['tiffcp'] + options + [name, copy], capture_output=True).returncode == 0:
                        reference(name, copy)
    kinds['rgb'].save('photo.tif', compression='jpeg')
    reference('photo.tif')
    kinds['bits'].save('fax.tif', compression='group4')
    reference('fax.tif')
    for orientation in range(1, 9):
        name = 'turned%d.tif' % orientation
        kinds['rgb'].save(name, tiffinfo={274: orientation})
        upright = kinds['rgb'] if orientation == 1 else kinds['rgb'].transpose(TURNS[orientation])
        upright.save(name + '.pillow.png')  # not every Pillow turns a TIFF
        print(name, name + '.pillow.png')


def webps():
    for kind, image in (('rgb', bands('RGB', 3)), ('alpha', bands('RGBA', 4))):
        image.save(kind + '-lossy.webp', quality=70)
        image.save(kind + '-lossless.webp', lossless=True, exact=True)
        reference(kind + '-lossy.webp')
        reference(kind + '-lossless.webp')
    for orientation in (3, 5, 6):
        exif = Image.Exif()
        exif[274] = orientation
        bands('RGB', 3).save('turned%d.webp' % orientation, lossless=True, exif=exif.tobytes())
        reference('turned%d.webp' % orientation)


if 'webp' in sys.argv[1:] and features.check('webp'):
    webps()
if 'tiff' in sys.argv[1:]:
    tiffs()
