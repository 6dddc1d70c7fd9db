# http_client.py URL METHOD PATH [BODY|@FILE] [-k KEY] [-H NAME:VALUE]... [-o FILE]: one request, as curl makes it.
# Prints status and headers, then the body, or writes it; images within JSON go to FILE, FILE.1, ...
# http_client.py URL --lines [-k KEY]...: each line of stdin is STATUS METHOD PATH [BODY], for each key once; prints
# those that are answered with another status, and how many were asked.
import base64, http.client, json, sys, urllib.parse

def ask(url, method, path, body=None, headers=None, timeout=600):
    """One request on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=timeout)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    result = answer.status, answer.headers, answer.read()
    connection.close()
    return result

def ask_lines(url, words):
    keys, count = [words[i + 1] for i in range(0, len(words), 2)] or [None], 0
    for line in sys.stdin:
        for key in keys:
            status, method, path, body = (line.rstrip('\n').split(' ', 3) + [None])[:4]
            headers = {'Authorization': 'Bearer ' + key} if key else {}
            got, _, data = ask(url, method, path, body.encode() if body is not None else None, headers)
            count += 1
            if got != int(status): print(got, line.strip(), key, data.decode(errors='replace'))
            if got >= 400: assert json.loads(data)['error']['message'], data
    print(count, 'asked')

def main(words):
    if words[1] == '--lines': return ask_lines(words[0], words[2:])
    place, headers, file = [], {}, None
    while words:
        word = words.pop(0)
        if word == '-o': file = words.pop(0)
        elif word == '-k': headers['Authorization'] = 'Bearer ' + words.pop(0)
        elif word == '-H':
            name, value = words.pop(0).split(':', 1)
            headers[name] = value
        else: place.append(word)
    body = place[3] if len(place) > 3 else None
    body = open(body[1:], 'rb').read() if body and body[0] == '@' else body.encode() if body else None
    status, got, data = ask(*place[:3], body, headers)
    print(status, '\n'.join('%s: %s' % pair for pair in got.items()), sep='\n')
    if not file: return sys.stdout.write('\n' + data.decode(errors='replace'))
    if got['Content-Type'] != 'application/json': return open(file, 'wb').write(data)
    for i, image in enumerate(json.loads(data)['data']):
        open(file + ('.%d' % i if i else ''), 'wb').write(base64.b64decode(image['b64_json']))

if __name__ == '__main__':
    main(sys.argv[1:])
