#!/usr/bin/env python3
"""serve_hostile.py PROGRAM MODEL...: COUNT (1000) hostile requests to `imgtrain serve MODEL...`, each of a kind below.
Status 1 where the server dies, hands out a byte of a file that lies beside it or of /etc/passwd, answers without its key,
or is not well afterwards; what came of them is printed."""
import collections, json, os, random, socket, struct, subprocess, sys, tempfile, zlib

KEY, CANARY = 'the-right-key', b'canary-3f9a71c2'
ENDPOINTS = ['/sample', '/v1/images/generations', '/render', '/upscale', '/v1/models', '/metrics']

def request(method, path, body=b'', key=KEY, headers=(), length=None):
    lines = ['%s %s HTTP/1.1' % (method, path), 'Host: localhost', 'Connection: close']
    if key is not None: lines.append('Authorization: Bearer ' + key)
    lines += list(headers)
    if body or length is not None: lines.append('Content-Length: %d' % (len(body) if length is None else length))
    return '\r\n'.join(lines).encode('latin-1', 'replace') + b'\r\n\r\n' + body

def png(width, height, data, colour=2):
    def chunk(kind, what): return struct.pack('>I', len(what)) + kind + what + struct.pack('>I', zlib.crc32(kind + what))
    head = struct.pack('>IIBBBBB', width, height, 8, colour, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b'')

# ---- the kinds: each makes (bytes, whether they show the key) ----

def traversal(r):
    up = r.choice(['../', '..%2f', '%2e%2e/', '..\\', '....//', '%252e%252e%252f', '..%c0%af', './'])
    name = r.choice(['etc/passwd', 'canary.txt', 'model.safetensors', 'proc/self/environ', 'canary.txt%00.png'])
    path = r.choice(['/', '//', '/render/', '/sample/', '/static/', '/healthz/', '']) + up * r.randrange(9) + name
    return request(r.choice(['GET', 'POST', 'HEAD', 'PUT']), path), True

def names_of_files(r):
    name = r.choice(['@canary.txt', '@/etc/passwd', '/etc/passwd', 'file:///etc/passwd', '../canary.txt', '/proc/self/environ'])
    key = r.choice(['prompt', 'negative_prompt', 'model', 'class', 'size', 'steps', 'guidance', 'grid', 'seed', 'init_image', 'mask'])
    return request('POST', r.choice(ENDPOINTS[:2]), json.dumps({key: name, 'n': 1}).encode()), True

def names_in_queries(r):
    name = r.choice(['@canary.txt', '/etc/passwd', '../canary.txt', '%2fetc%2fpasswd', '%00', 'a' * 5000, '%ff%fe'])
    key = r.choice(['model', 'size', 'crop', 'scale', 'alpha', 'path', 'output', 'response_format'])
    path = '%s?%s=%s' % (r.choice(ENDPOINTS[2:4]), key, name)
    return request('POST' if 'upscale' in path else 'GET', path, b'x' if 'upscale' in path else b''), True

def numbers(r):
    value = r.choice(['1e400', '-1', '99999999999999999999', '0.5', 'NaN', 'null', 'true', '[]', '{}', '"\\u0000"', '"%n%s"', '1e-300'])
    key = r.choice(['n', 'seed', 'steps', 'guidance', 'class', 'size', 'grid', 'scale', 'crop', 'model'])
    return request('POST', r.choice(ENDPOINTS[:2]), ('{"%s": %s}' % (key, value)).encode()), True

def large_sizes(r):
    side = r.choice(['131072x131072', '1x131072', '65536x65536', '2147483647x2147483647', '0x0', '-5x5', '999999999x1'])
    crop = r.choice(['', '&crop=0,0,131072,131072', '&crop=-1,-1,5,5', '&crop=2147483647,0,1,1', '&crop=99999999999,0,1,1', '&crop=0,0,16,16,'])
    if r.random() < .5: return request('GET', '/render?size=%s%s' % (side, crop)), True
    return request('POST', '/sample', json.dumps({'size': side, 'n': r.choice([1, 64])}).encode()), True

def nested(r):
    depth = r.choice([900, 5000, 200000])
    return request('POST', '/sample', r.choice([b'[' * depth, b'{"a":' * depth, b'{"n":' + b'[' * depth + b']' * depth + b'}'])), True

def mutated(r):
    body = bytearray(b'{"prompt": "a cat", "n": 2, "seed": 7, "size": "64x64", "response_format": "b64_json", "class": 1}')
    for _ in range(r.randrange(1, 12)): body[r.randrange(len(body))] = r.randrange(256)
    return request('POST', r.choice(ENDPOINTS[:2]), bytes(body)), True

def noise(r):
    return r.randbytes(r.randrange(1, 4000)), False

def broken_lines(r):
    return r.choice([b'GET\r\n\r\n', b'GET / HTTP/9.9\r\n\r\n', b'GET /metrics HTTP/1.0\r\n\r\n', b'\r\n\r\n\r\n', b'GET  /  HTTP/1.1\r\n\r\n',
        b'A' * 70000 + b' / HTTP/1.1\r\n\r\n', b'GET /' + b'a' * 70000 + b' HTTP/1.1\r\n\r\n', b'GET / HTTP/1.1\r\nHost\r\n\r\n',
        b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 9000 + b'\r\n', b'GET /metrics HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n',
        b'CONNECT localhost:22 HTTP/1.1\r\n\r\n', b'GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n']), False

def lengths(r):
    length = r.choice([10 ** 12, -1, 2 ** 63, 2 ** 64 + 5, 33 << 20, 1])
    return request('POST', r.choice(ENDPOINTS[:4]), b'{}', length=length), True

def chunks(r):
    body = r.choice([b'ffffffffffffffff\r\n{}\r\n0\r\n\r\n', b'-1\r\n{}\r\n', b'2\r\n{}\r\n0\r\n\r\n', b'zz\r\n', b'2;' + b'a' * 9000 + b'\r\n{}\r\n0\r\n\r\n'])
    both = ['Content-Length: 2'] if r.random() < .5 else []
    return request('POST', '/sample', headers=['Transfer-Encoding: chunked'] + both) + body, True

def bad_pictures(r):
    small = png(4, 4, b'\0' * 13 * 4)
    mutant = bytearray(small)
    mutant[r.randrange(len(mutant))] = r.randrange(256)
    bomb = png(20000, 20000, b'\0' * 5000000)
    which = r.choice([bytes(mutant), small[:r.randrange(len(small))], bomb, png(0, 5, b''), png(2 ** 31 - 1, 1, b''), b'P6 99999 99999 255 ', b'P5 1 1 255 ',
        b'RIFF\xff\xff\xff\xffWEBPVP8 ' + r.randbytes(90), b'\xff\xd8\xff\xe0' + r.randbytes(200), b'II*\0' + r.randbytes(200), b'GIF89a' + r.randbytes(20), b'/etc/passwd'])
    return request('POST', '/upscale', which), True

def without_key(r):
    key = r.choice([None, '', 'the-right-ke', 'the-right-key2', 'THE-RIGHT-KEY', KEY * 2, '\xff' * 13, "' or 1=1"])
    way = r.choice(['', '', 'Authorization: Basic ' + KEY, 'X-Api-Key: ' + KEY, 'Cookie: key=' + KEY])
    path = r.choice(ENDPOINTS)
    return request('GET' if path in ('/render', '/v1/models', '/metrics') else 'POST', path + r.choice(['', '?key=' + KEY]), b'{}', key, [way] if way else []), False

def many_at_once(r):
    one = request('GET', '/metrics', key='wrong')
    return one * r.randrange(2, 30), False

KINDS = [traversal, names_of_files, names_in_queries, numbers, large_sizes, nested, mutated, noise, broken_lines, lengths, chunks,
         bad_pictures, without_key, many_at_once]
UNFINISHED = [noise, broken_lines, lengths, chunks] # the server waits for more, 30 seconds long

def send(port, data, patience=60):
    """What the server answers until it hangs up, or for a second says no more."""
    answer = b''
    with socket.create_connection(('127.0.0.1', port), timeout=patience) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while block := s.recv(65536):
                answer += block
                s.settimeout(1)
        except OSError: pass
    return answer

def statuses(answer):
    return [int(part[9:12]) for part in (b'\n' + answer).split(b'\nHTTP/1.1 ')[1:] for part in [b'HTTP/1.1 ' + part] if part[9:12].isdigit()]

def run(port, server, r, count):
    seen, faults = collections.Counter(), []
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        data, shows_key = kind(r)
        answer = send(port, data, 3 if kind in UNFINISHED else 60)
        got = statuses(answer)
        seen.update(got or ['closed'])
        if server.poll() is not None: return seen, faults + ['%s ended it: %d: %r' % (kind.__name__, server.returncode, data[:200])]
        if CANARY in answer or b'root:' in answer or KEY.encode() in answer: faults.append('%s got a file: %r' % (kind.__name__, data[:200]))
        if not shows_key and any(s == 200 for s in got) and b'<!DOCTYPE html>' not in answer: faults.append('%s was answered without the key: %r' % (kind.__name__, data[:200]))
        if 500 in got: faults.append('%s: status 500: %r: %r' % (kind.__name__, data[:200], answer[-200:]))
    return seen, faults

def main(program, models):
    count = int(os.environ.get('COUNT', 1000))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        models = [os.path.abspath(m) for m in models]
        with open(os.path.join(folder, 'canary.txt'), 'wb') as canary: canary.write(CANARY)
        environment = dict(os.environ, IMGTRAIN_API_KEY=KEY, IMGTRAIN_SELF_CHECK='0')
        server = subprocess.Popen([os.path.abspath(program), 'serve', *models, '--port', '0', '--host', '127.0.0.1', '--timeout', '60',
            '--max-pixels', '1000000'], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log)
        port = int(server.stdout.readline().decode().rsplit(':', 1)[1])
        seen, faults = run(port, server, random.Random(7), count)
        well = server.poll() is None and statuses(send(port, request('GET', '/v1/models'))) == [200]
        server.terminate()
        status = server.wait(120)
        log.seek(0)
        if status != 0: faults.append('it ends with %d: %s' % (status, log.read()[-500:].decode(errors='replace')))
        if not well: faults.append('it is not well afterwards')
        print('%d requests; answers: %s' % (count, ', '.join('%s: %d' % pair for pair in sorted(seen.items(), key=str))))
        for fault in faults[:20]: print('FAULT', fault)
        return 1 if faults else 0

if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2:]))
