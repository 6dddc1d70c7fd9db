"""watch_pty.py PROGRAM RUN: `imgtrain watch` on a pseudo terminal, as somebody who looks at it; RUN is a finished run."""
import fcntl, glob, json, os, pty, re, select, shutil, signal, struct, sys, termios, time, zlib, base64

PROGRAM, RUN = sys.argv[1:]
HANGS = 120  # seconds; nothing here takes one
ENTER, LEAVE = b'\033[?1049h', b'\033[?25h\033[?1049l'
PLAIN, KITTY, SIXEL = b'\033[?62;22c', b'\033_Gi=31;OK\033\\\033[?62;22c', b'\033[?62;4;22c'
COLOUR = {'TERM': 'xterm-256color', 'COLORTERM': 'truecolor', 'LANG': 'C.UTF-8', 'LC_ALL': '', 'NO_COLOR': ''}


def size(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, columns * 8, rows * 16))


def as_job():
    """Goes on in a job of a shell that lets it go on a while after each ^Z; its status: 10 for each, and that of the job."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job, stops = os.fork(), 0
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        return
    while os.WIFSTOPPED(how := os.waitpid(job, os.WUNTRACED)[1]):
        stops += 10
        time.sleep(1.3)
        os.kill(job, signal.SIGCONT)
    os._exit(stops + os.waitstatus_to_exitcode(how))


class Screen:
    """The command on a terminal of its own; `data` is all that it wrote."""

    def __init__(self, *words, columns=80, rows=24, answer=PLAIN, job=False, **env):
        self.data, self.answer, self.seen = b'', answer, 0
        main, side = pty.openpty()
        size(side, columns, rows)
        self.before = termios.tcgetattr(side)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            for number in signal.SIGINT, signal.SIGQUIT:  # a shell's job in the background ignores them
                signal.signal(number, signal.SIG_DFL)
            fcntl.ioctl(side, termios.TIOCSCTTY, 0)
            for fd in 0, 1, 2:
                os.dup2(side, fd)
            if job:
                as_job()
            os.execve(PROGRAM, ['imgtrain', 'watch', *words], {**os.environ, **COLOUR, **env})
        self.fd, self.side = main, side

    def read(self):
        if not select.select([self.fd], [], [], 1)[0]:
            return
        self.data += os.read(self.fd, 1 << 16)
        if self.answer and b'\033[c' in self.data:
            os.write(self.fd, self.answer)
            self.answer = None

    def until(self, *words):
        """Waits until it has written these behind those of the last call."""
        end = time.monotonic() + HANGS
        while any(w not in self.data[self.seen:] for w in words):
            assert time.monotonic() < end, (words, self.data[-2000:])
            self.read()
        self.seen = max(self.data.index(w, self.seen) + len(w) for w in words)

    def wait(self, options=0):
        """How it ended, or stopped. It is read meanwhile: whoever gives a terminal back waits until all is out."""
        limit, got = time.monotonic() + HANGS, 0
        while not got:
            assert time.monotonic() < limit, self.data[-2000:]
            self.read()
            got, how = os.waitpid(self.pid, os.WNOHANG | options)
        return how

    def end(self, status, *words):
        """It ends, by itself or by now, with that status (negative: by a signal), and leaves the terminal as it was."""
        how = self.wait()
        while select.select([self.fd], [], [], 0)[0]:
            self.read()
        assert os.waitstatus_to_exitcode(how) == status, (how, status, self.data[-600:])
        assert termios.tcgetattr(self.side) == self.before
        head, _, tail = self.data.rpartition(LEAVE)
        assert self.data.count(ENTER) == self.data.count(LEAVE) and ENTER in head, self.data[-300:]
        assert b'\033' not in tail, tail
        for word in words:
            assert word in tail, (word, tail)
        os.close(self.fd)
        os.close(self.side)


class Run:
    """A copy of the run in which this process trains, as far as anybody can see."""

    def __init__(self, name, end=None, locked=True):
        self.name = name
        shutil.rmtree(name, ignore_errors=True)
        shutil.copytree(RUN, name)
        self.events = open(RUN + '/processes.jsonl').read().splitlines()[:1]
        self.lock = open(name + '/lock', 'r+')
        if locked:
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.say(*([end] if end else []))

    def say(self, *events):
        self.events += [json.dumps(e) for e in events]
        with open(self.name + '/processes.jsonl', 'w') as file:
            file.write('\n'.join(self.events) + '\n')

    def end(self, **event):
        if event:
            self.say({'step': 8, 'event': 'end', **event})
        fcntl.flock(self.lock, fcntl.LOCK_UN)


def sixel_pixels(data):
    """How often each pixel of a picture is drawn."""
    width, height, rest = re.search(rb'\033P0;1q"1;1;(\d+);(\d+)((?:#\d+;2;\d+;\d+;\d+)+)', data).groups()
    width, height = int(width), int(height)
    counts = [[0] * width for _ in range(height)]
    body = data[data.index(rest) + len(rest):]
    x = y = 0
    for word in re.finditer(rb'#\d+|!(\d+)(.)|([?-~])|([$-])', body[:body.index(b'\033\\')]):
        length, run, one, move = word.groups()
        if move:
            x, y = 0, y + 6 * (move == b'-')
        elif run or one:
            for _ in range(int(length or 1)):
                for bit in range(6):
                    if ((run or one)[0] - 63) >> bit & 1:
                        counts[y + bit][x] += 1
                x += 1
    return width, height, counts


# ---- a run in progress: drawn, drawn anew, left by ^C, q and kill ----
run = Run('live')
screen = Screen('live')
screen.until(b'running', b'8 of 8', b'loss', '\u2580'.encode(), b'\033[0;38;2;', b'\033[24;1H')
size(screen.side, 40, 12)
screen.until(b'\033[2J')
screen.until(b'\033[?2026l')
drawn = screen.data[screen.data.rindex(b'\033[2J'):]
assert b'\033[12;1H' in drawn and b'\033[13;' not in drawn, drawn
with open('live/metrics.jsonl', 'a') as file:
    file.write('{"step": 9, "loss": 0.4321}\n{"step": 10, "lo')
screen.until(b'0.4321')
os.write(screen.fd, b'\003')
screen.end(-signal.SIGINT, b'running', b'0.4321')

screen = Screen('live')
screen.until(b'running')
os.write(screen.fd, b'q')
screen.end(0, b'running')

screen = Screen('live')
screen.until(b'running')
os.kill(screen.pid, signal.SIGTERM)
screen.end(-signal.SIGTERM)

screen = Screen('live')
screen.until(b'running')
os.kill(screen.pid, signal.SIGTSTP)  # ^Z: the shell has its terminal back
assert os.WIFSTOPPED(screen.wait(os.WUNTRACED))
screen.until(LEAVE)
assert termios.tcgetattr(screen.side) == screen.before
os.kill(screen.pid, signal.SIGCONT)
screen.until(ENTER, b'running')

# ---- it follows to the end, whichever that is ----
run.end(status=0)
screen.end(0, b'done')
for event, status, words in (({'status': 75}, 75, [b'stopped', b'--resume goes on']), ({}, 75, [b'was killed']),
                             ({'status': 74, 'message': 'disk\033]0;full'}, 74, [b'failed (74): disk?]0;full'])):
    run = Run('ends')
    screen = Screen('ends')
    screen.until(b'running')
    run.end(**event)
    screen.end(status, *words)
# an end while it is stopped by ^Z: it does not stop once more
run = Run('ends')
screen = Screen('ends', job=True)
screen.until(b'running')
os.write(screen.fd, b'\032')
screen.until(LEAVE)
run.end(status=0)
screen.end(10, b'done')
# an end that was said by the process before, and the next one has begun
run = Run('ends', end={'event': 'end', 'status': 75})
screen = Screen('ends')
screen.until(b'ending')
run.say({'event': 'start', 'total': 8})
screen.until(b'running', b'begun 2 times')
run.end(status=0)
screen.end(0)

# ---- one that comes later ----
screen = Screen('later')
screen.until(b'not begun')
os.mkdir('later')  # what its process does before it holds the lock
for _ in range(2):
    screen.until(b'not begun')
run = Run('later.part', locked=True)
os.rename('later.part', 'later')
run.name = 'later'
screen.until(b'running')
run.end(status=0)
run.lock.close()
screen.end(0, b'done')

# ---- graphics, when the terminal says that it has them ----
run = Run('live')
screen = Screen('live', answer=KITTY)
screen.until(b'\033_Ga=T', b'\033_Gm=0', b'\033[?2026l')
head = re.search(rb'\033_Ga=T,i=1,f=24,o=z,s=(\d+),v=(\d+),', screen.data)
packed = b''.join(re.findall(rb'\033_G[^;]*;([A-Za-z0-9+/=]*)\033\\', screen.data[head.start():]))
assert len(zlib.decompress(base64.b64decode(packed))) == 3 * int(head[1]) * int(head[2])
os.write(screen.fd, b'q')
screen.end(0)
assert b'\033_Ga=d,d=A,q=2\033\\\033[0m' + LEAVE in screen.data

screen = Screen('live', answer=SIXEL)
screen.until(b'\033P0;1q', b'\033[?2026l')
width, height, counts = sixel_pixels(screen.data)
assert 0 < width <= 32 * 8 and all(c == 1 for row in counts for c in row), (width, height)
os.write(screen.fd, b'q')
screen.end(0)

# ---- a caption that has no room ends after a whole value ----
newest = max(glob.glob('live/frames/*.json'))
with open(newest) as file:
    record = json.load(file)
record['caption'] = 'step 8  aaaaaaaaaa  bbbbbbbb  cccccccccc'
with open(newest, 'w') as file:
    json.dump(record, file)
screen = Screen('live')
screen.until(b'bbbbbbbb', b'\033[?2026l')
assert b'cc' not in screen.data, screen.data[-600:]
os.write(screen.fd, b'q')
screen.end(0)

# ---- and none where colours are unwanted, or there is no UTF-8 ----
for env in {'NO_COLOR': '1'}, {'LANG': 'C'}:
    screen = Screen('live', answer=KITTY, **env)
    screen.until(b'running')
    os.write(screen.fd, b'q')
    screen.end(0)
    assert '\u2580'.encode() not in screen.data and (b'\033_Ga=T' in screen.data) == ('LANG' in env)
    assert (b'\033[0;3' in screen.data) == ('LANG' in env)

# ---- runs of a batch ----
for number in 1, 2:
    Run('many-%03d' % number, end={'event': 'end', 'status': 0}, locked=False)
run = Run('many-003')
screen = Screen('many')
screen.until(b'3 runs: 1 running, 2 done', b'many-001', b'many-003', b'the batch goes on')
run.end(status=30, message='the loss is not finite')
screen.until(b'0 running, 2 done, 0 stopped, 1 failed', b'the batch goes on')
with open('many-summary.json', 'w') as file:
    json.dump({'runs': [{'run': 1, 'folder': 'many-001', 'state': 'done', 'status': 0},
                        {'run': 4, 'folder': None, 'state': 'failed', 'status': 66, 'message': 'no such image'}]}, file)
screen.end(30, b'4 runs: 0 running, 2 done, 0 stopped, 2 failed', b'many-004', b'(66) no such image')
print('watched')
