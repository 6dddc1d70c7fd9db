"""Pictures that are damaged without losing a pixel, and what Pillow reads of them.

  damage.py    writes NAME.jpg, NAME.png and, as Pillow decodes it, NAME.pillow.png into the current
               folder; one NAME a line on stdout. Ends with 77 where there is no Pillow.
"""
import io
import struct
import sys
import zlib

try:
    from PIL import Image, ImageFile
except ImportError:
    sys.exit(77)
ImageFile.LOAD_TRUNCATED_IMAGES = True  # what it would refuse otherwise: a missing end, a wrong CRC


def picture():
    image = Image.new('RGB', (61, 43))
    image.putdata([((5 * x + y * y // 7) % 256, (x * y // 5) % 256, 255 - 4 * y) for y in range(43) for x in range(61)])
    return image


def encoded(image, kind, **options):
    to = io.BytesIO()
    image.save(to, kind, **options)
    return to.getvalue()


def chunk(name, data, crc=0):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data) ^ crc)


def profile(orientation, packed):
    tiff = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01' + struct.pack('>HH', orientation, 0) + b'\0\0\0\0'
    text = b'\nexif\n%8d\n%s\n' % (len(tiff), tiff.hex().encode())
    if packed == 'zTXt':
        return chunk(b'zTXt', b'Raw profile type exif\0\0' + zlib.compress(text))
    return chunk(b'iTXt', b'Raw profile type exif\0\1\0\0\0' + zlib.compress(text))


def with_exif(jpeg, kind, orientation):
    value = struct.pack('<I', orientation)
    tiff = b'II*\0\x08\0\0\0\x01\0\x12\x01' + struct.pack('<HI', kind, 1) + value + b'\0\0\0\0'
    body = b'Exif\0\0' + tiff
    return jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body + jpeg[2:]


def made():
    image = picture()
    for name, options in (('plain', {}), ('progressive', {'progressive': True}), ('grey', {})):
        source = image.convert('L') if name == 'grey' else image
        jpeg = encoded(source, 'JPEG', quality=88, **options)
        yield name + '-no-eoi.jpg', jpeg[:-2]
        yield name + '-half-eoi.jpg', jpeg[:-1]
        yield name + '-zeros.jpg', jpeg[:-2] + bytes(20) + jpeg[-2:]
        yield name + '-text.jpg', jpeg[:-2] + b'several stray bytes' + jpeg[-2:]
        at = jpeg.find(b'\xff\xdb')
        yield name + '-segment.jpg', jpeg[:at] + b'stray' + jpeg[at:]
        yield name + '-behind.jpg', jpeg + b'stray'
    jpeg = encoded(image, 'JPEG', quality=88)
    for orientation in (1, 3, 6, 8):
        yield 'long%d.jpg' % orientation, with_exif(jpeg, 4, orientation)
    for name, source in (('rgb', image), ('palette', image.convert('P')), ('alpha', image.convert('RGBA'))):
        png = encoded(source, 'PNG')
        yield name + '-no-iend.png', png[:-12]
        yield name + '-cut-iend.png', png[:-5]
        yield name + '-behind.png', png + b'stray bytes'
        yield name + '-crc.png', png[:33] + chunk(b'tEXt', b'Title\0ours', crc=1) + png[33:]
    png = encoded(image, 'PNG')
    for kind in ('zTXt', 'iTXt'):
        for orientation in (2, 5, 6):
            yield '%s%d.png' % (kind, orientation), png[:33] + profile(orientation, kind) + png[33:]


def turned(image):
    """Upright by the EXIF data, a zTXt or iTXt profile of which Pillow knows as text."""
    try:
        from PIL import ImageOps
        return ImageOps.exif_transpose(image)
    except (ImportError, AttributeError):
        return image


for name, data in made():
    with open(name, 'wb') as file:
        file.write(data)
    image = Image.open(io.BytesIO(data))
    image.load()
    image = turned(image)
    if image.mode == 'P':
        image = image.convert('RGB')
    image.save(name + '.pillow.png')
    print(name)
