#!/usr/bin/env python3
"""What tests have run of src: lines and branches of each folder and, with --files, of each file.

    scripts/coverage.py BUILD_FOLDER... [--files] [--missed FILE] [--save FILE] [--with FILE]

The build has counters (make coverage). A source that is compiled for several instruction sets counts once:
what any of them ran. --save keeps the counts in a file and prints nothing; --with adds what they were there:
runs that are made to fail also fail to write their counters, and take those of others along."""
import collections
import json
import os
import subprocess
import sys


def read_counts(builds):
    """{file: ({line: count}, {(line, n): count})} of all objects that have run."""
    lines, branches = collections.defaultdict(dict), collections.defaultdict(dict)
    found = [os.path.join(folder, name) for build in builds
             for folder, _, names in os.walk(build) for name in names if name.endswith('.gcno')]
    for first in range(0, len(found), 40):
        said = subprocess.run(['gcov', '--json-format', '--stdout', '--branch-probabilities'] + found[first:first + 40],
                              capture_output=True, text=True).stdout
        for text in said.splitlines():
            for source in json.loads(text)['files'] if text.startswith('{') else []:
                name = os.path.relpath(source['file'])
                if not name.startswith('src/'):
                    continue
                for line in source['lines']:
                    number = line['line_number']
                    lines[name][number] = max(lines[name].get(number, 0), line['count'])
                    for n, branch in enumerate(line['branches']):
                        if not branch['throw']:
                            key = number, n
                            branches[name][key] = max(branches[name].get(key, 0), branch['count'])
    return lines, branches


def save_counts(file, lines, branches):
    with open(file, 'w', encoding='utf-8') as to:
        json.dump([[name, list(lines[name].items()), list(branches[name].items())] for name in lines], to)


def add_saved(file, lines, branches):
    with open(file, encoding='utf-8') as saved:
        for name, some_lines, some_branches in json.load(saved):
            for number, count in some_lines:
                lines[name][number] = max(lines[name].get(number, 0), count)
            for key, count in some_branches:
                branches[name][tuple(key)] = max(branches[name].get(tuple(key), 0), count)


def share(counts):
    return '%6.1f %%' % (100 * sum(c > 0 for c in counts) / len(counts)) if counts else '       -'


def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    lines, branches = read_counts([word for word in sys.argv[1:] if os.path.isdir(word)])
    if option('--with'):
        add_saved(option('--with'), lines, branches)
    if option('--save'):
        save_counts(option('--save'), lines, branches)
        return
    if option('--missed'):
        name = option('--missed')
        print('lines', ' '.join(str(n) for n, c in sorted(lines[name].items()) if not c))
        print('branches', ' '.join(str(n[0]) for n, c in sorted(branches[name].items()) if not c))
        return
    of = (lambda name: name) if '--files' in sys.argv else os.path.dirname
    rows = collections.defaultdict(lambda: ([], []))
    for name in lines:
        for row in (of(name), 'all'):
            rows[row][0].extend(lines[name].values())
            rows[row][1].extend(branches[name].values())
    for row in sorted(rows, key=lambda name: (name == 'all', name)):
        print('%-44s %6d lines %s   branches %s' % (row, len(rows[row][0]), share(rows[row][0]), share(rows[row][1])))


main()
