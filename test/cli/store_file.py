"""Changes a safetensors file, with CRCs that are right again. Standard library only.

  store_file.py FILE set KEY=VALUE | unset KEY | fill TENSOR VALUE     (VALUE: of every element, F32)
  store_file.py FILE remove TENSOR | copy TENSOR NAME | reshape TENSOR N,N,...
  store_file.py FILE strip          takes all CRCs away
  store_file.py FILE drop TENSOR    takes the CRC of one tensor away
  store_file.py FILE new KEY=VALUE...    writes one without any tensor and without CRCs
"""
import json
import struct
import sys
import zlib


def read(path):
    with open(path, 'rb') as file:
        data = file.read()
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    meta = {k: v for k, v in header.pop('__metadata__', {}).items() if not k.startswith('crc32')}
    tensors = {n: (t['dtype'], t['shape'], data[8 + size + t['data_offsets'][0]:8 + size + t['data_offsets'][1]])
               for n, t in header.items()}
    return meta, tensors


def write(path, meta, tensors, crcs=True, without=None):
    header, data = {'__metadata__': {'crc32': '00000000', **meta} if crcs else dict(meta)}, b''
    for name, (dtype, shape, values) in tensors.items():
        if crcs and name != without:
            header['__metadata__']['crc32.' + name] = '%08x' % zlib.crc32(values)
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    front = struct.pack('<Q', len(text)) + text
    if crcs:
        digits = b'%08x' % zlib.crc32(front)
        front = front.replace(b'"crc32":"00000000"', b'"crc32":"' + digits + b'"', 1)
    with open(path, 'wb') as file:
        file.write(front + data)


def main(path, verb, *words):
    meta, tensors = ({}, {}) if verb == 'new' else read(path)
    if verb in ('set', 'new'):
        meta.update(word.split('=', 1) for word in words)
    elif verb == 'unset':
        for word in words:
            del meta[word]
    elif verb == 'fill':
        dtype, shape, values = tensors[words[0]]
        tensors[words[0]] = (dtype, shape, struct.pack('<f', float(words[1])) * (len(values) // 4))
    elif verb == 'remove':
        del tensors[words[0]]
    elif verb == 'copy':
        tensors[words[1]] = tensors[words[0]]
    elif verb == 'reshape':
        tensors[words[0]] = (tensors[words[0]][0], [int(n) for n in words[1].split(',')], tensors[words[0]][2])
    elif verb not in ('strip', 'drop'):
        sys.exit(__doc__)
    write(path, meta, tensors, verb not in ('strip', 'new'), words[0] if verb == 'drop' else None)


main(*sys.argv[1:])
