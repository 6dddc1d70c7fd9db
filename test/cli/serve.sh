#!/bin/sh
# imgtrain serve: the pictures of the command line over HTTP, to the byte; who may ask; what is refused; how it ends.
. "$(dirname "$0")/lib.sh"

run 0 imgtrain doctor
if grep -q '^HTTP *\(no\|not\)' "$out"; then
    run 69 imgtrain serve absent
    err_has "no HTTP server"
    skip "no libmicrohttpd in this build, or here"
    finish
fi

# serve [VARIABLE=VALUE ...] ARGUMENT ...: in the background; $url is where
serve() {
    rm -f url
    while case $1 in *=*) true ;; *) false ;; esac do
        case $1 in [A-Z]*) export "${1?}"; shift ;; *) break ;; esac
    done
    "$program" serve "$@" --port 0 >url 2>said &
    server=$!
    wait_for_words url $server
    url=$(cat url)
}
# stops SIGNAL: the server's exit status is 0
stops() {
    last="serve, stopped by $1"
    kill -"$1" $server
    if wait $server; then pass; else flunk "exit status $?: $(tail -n 3 said)"; fi
}
# ask STATUS METHOD PATH [BODY|@FILE] [-k KEY] [-o FILE]
ask() {
    answer=$1
    shift
    run 0 python3 "$root/test/cli/http_client.py" "$url" "$@"
    if [ "$(head -n 1 "$out")" = "$answer" ]; then pass; else flunk "status $(head -n 1 "$out"), not $answer: $(tail -n 1 "$out")"; fi
}

# ask_lines COUNT [-k KEY]... <LINES: STATUS METHOD PATH [BODY] each
ask_lines() {
    count=$1
    shift
    last="lines of requests"
    python3 "$root/test/cli/http_client.py" "$url" --lines "$@" >"$out" 2>"$err"
    if [ "$(cat "$out")" = "$count asked" ]; then pass; else flunk "$(cat "$out")"; fi
}

pictures data/a 12 8 8
pictures data/b 13 8 8
tiny="task=gan size=8 widths=[16] batch=8 images=16 samples=4 frames.count=0 video.enabled=false report=false"
# shellcheck disable=SC2086  # a list of words
run 0 imgtrain train $tiny data=data -q -o gan
# shellcheck disable=SC2086
run 0 imgtrain train $tiny data=data labels=true -q -o classes

# ---- what cannot start ----
run 64 imgtrain serve
run 66 imgtrain serve absent
run 64 imgtrain serve gan gan/model.safetensors
err_has "two models are named gan: NAME="
run 64 imgtrain serve gan --host 0.0.0.0
err_has "without a key in IMGTRAIN_API_KEY the server listens on loopback only"
run 64 imgtrain serve gan --host here
run 78 timeout 300 "$program" serve gan --device gpu
err_has "device: gpu is none of auto, cpu, cuda"
run 64 env PORT=x "$program" serve gan
run 65 imgtrain serve data/a/1.ppm

# ---- the same bytes as on the command line ----
serve gan second=classes
run 0 imgtrain sample gan --seeds 0-5 -o out
run 0 imgtrain sample gan --grid 3x2 -o grid.png
run 0 imgtrain sample classes --seeds 7 --class 1 -o one
ask 200 POST /sample '{"seed": 4}' -o got.png
out_has "X-Seed: 4"
same got.png out/seed-00004.png
ask 200 POST /v1/images/generations '{"prompt": "a cat", "n": 3, "seed": 3, "quality": "hd"}' -o got.png
same got.png.1 out/seed-00004.png
same got.png.2 out/seed-00005.png
ask 200 POST /v1/images/generations '{"prompt": "1", "model": "second", "seed": "7", "size": "8x8"}' -o got.png
same got.png one/seed-00007.png
ask 200 POST /sample '{"grid": "3x2", "seed": 0, "response_format": "png"}' -o got.png
same got.png grid.png
ask 200 POST /v1/images/generations '{"prompt": "x", "user": "me"}'
out_has '"ignored": "user, prompt"'

# ---- what is refused, as OpenAI's API says it ----
ask 400 POST /sample '{"n": 0}'
out_has '{"error": {"message": "n 0: a whole number from 1 to 64", "type": "invalid_request_error", "param": "n", "code": null}}'
ask_lines 27 <<'LINES'
400 POST /sample
400 POST /sample {
400 POST /sample []
400 POST /sample {} {}
400 POST /sample {"n": 2}
400 POST /sample {"seed": 1.5}
400 POST /sample {"seed": -1}
400 POST /sample {"seed": 1e300}
400 POST /sample {"what": 1}
400 POST /sample {"size": "16x16"}
400 POST /sample {"seed": 1, "seed": 1}
400 POST /sample {"class": 0}
400 POST /sample {"class": 2, "model": "second"}
400 POST /sample {"prompt": ["x"]}
400 POST /sample {"grid": "9x9"}
400 POST /v1/images/generations {"n": 11}
400 POST /v1/images/generations {"response_format": "url"}
404 POST /sample {"model": "third"}
404 GET /render
405 GET /sample
405 DELETE /v1/models
404 GET /etc/passwd
404 GET /../../etc/passwd
404 GET /gan/model.safetensors
404 GET /%2e%2e/%2e%2e/etc/passwd
404 GET /render/../gan
404 GET //etc/passwd
LINES
head -c 1100000 /dev/zero | tr '\0' ' ' >large
ask 413 POST /sample @large
# a page of another site, or another name for this machine
ask 403 POST /sample '{}' -H "Origin:http://elsewhere"
ask 403 GET /v1/models -H "Host:elsewhere"

# ---- about itself ----
ask 200 GET /healthz
ask 200 GET /
out_has "Content-Security-Policy: default-src 'none'"
ask 200 GET /v1/models
out_has '{"id": "second", "object": "model", "owned_by": "imgtrain", "task": "gan"}'
ask 200 GET /metrics
out_has 'imgtrain_requests_total{endpoint="/sample",status="200"} 2'
out_has 'imgtrain_images_total 7'
out_has 'imgtrain_models_loaded 2'
less_than_both=$(awk '/^imgtrain_device_memory_bytes/ { print int($2 * 3 / 4) }' "$out")
stops TERM

# ---- the other tasks ----
splat_yaml "max_steps: 2" "report: false"
pictures photos 3 24 16
run 0 imgtrain train splat.yaml -o fit -q
tool compact net.safetensors 16 3 3
"$root/scripts/draw_shapes.sh" shapes 2 8
cat >tiny.yaml <<'YAML'
task: diffusion
data: shapes
labels: true
device: cpu
report: false
diffusion: {size: 8, dim: 16, layers: 1, heads: 1, axes: [8, 4, 4], text_dim: 8, images: 8, batch: 4, samples: 2, sample_steps: 2}
video: {enabled: false}
YAML
run 0 imgtrain train tiny.yaml -o d -q
mkdir uploads
temporary=${TMPDIR:-/tmp}
mkdir texts
for shape in circle cross; do
    cp shapes/$shape/0000.ppm texts/$shape.ppm
    echo "a $shape" >texts/$shape.txt
done
run 0 imgtrain train tiny.yaml -o told data=texts labels=false captions=true images=4 batch=2 -q
serve TMPDIR="$PWD/uploads" fit net.safetensors d told --max-pixels 4000
run 0 imgtrain render fit -o r.png --size 48x32 --crop 5,6,20,10
ask 200 GET '/render?size=48x32&crop=5,6,20,10' -o got.png
same got.png r.png
run 0 imgtrain render fit -o r.png
ask 200 GET '/render' -o got.png
same got.png r.png
picture small.ppm 21 16
run 0 imgtrain upscale net.safetensors small.ppm -o u.png
ask 200 POST /upscale @small.ppm -o got.png
same got.png u.png
run 0 imgtrain upscale net.safetensors small.ppm -o u2.png --scale 2.5 --alpha none
ask 200 POST '/upscale?scale=2.5&alpha=none&model=net' @small.ppm -o got.png
same got.png u2.png
run 0 imgtrain generate d --label circle --seed 5,6 -o g
ask 200 POST /v1/images/generations '{"prompt": "circle", "seed": 5, "n": 2}' -o got.png
same got.png g/seed-00005.png
same got.png.1 g/seed-00006.png
run 0 imgtrain generate d --label none --seed 5 --steps 3 --size 16x8 -o g.png
ask 200 POST /sample '{"seed": 5, "steps": 3, "size": "16x8"}' -o got.png
same got.png g.png
# a text is never the name of a file
echo circle >label
run 0 imgtrain generate told --prompt circle -o g.png
ask 200 POST /sample '{"model": "told", "prompt": "circle", "seed": 0}' -o got.png
same got.png g.png
ask 200 POST /sample '{"model": "told", "prompt": "@label", "seed": 0}' -o got.png
run 0 grep -q '@label' got.png # as a PNG says what it is of
ask_lines 17 <<'LINES'
400 POST /sample {"prompt": "@label"}
400 POST /sample {"class": "@label"}
400 POST /sample {"size": "7x8"}
400 POST /sample {"size": "4000x8"}
400 POST /sample {"steps": 0}
400 POST /sample {"steps": "x"}
400 POST /sample {"grid": "2x2"}
400 POST /sample {"model": "fit"}
400 GET /render?size=100x100
400 GET /render?size=1000x1000&crop=990,990,20,20
400 GET /render?size=0x5
400 GET /render?scale=2
400 GET /render?crop=1,2,3
400 POST /upscale
400 POST /upscale P6 9999 9999 255
400 POST /upscale /etc/passwd
400 POST /upscale?scale=x P5 1 1 255 x
LINES
out_is "17 asked"
stops TERM
run 0 rmdir uploads # nothing is left of them
export TMPDIR="$temporary"

# ---- more than may wait, and a stop: what was asked for is finished ----
cat >crowd.py <<'PYTHON'
import os, signal, socket, sys, threading, time
sys.path.insert(0, sys.argv[1] + '/test/cli')
from http_client import ask
url, server, answers = sys.argv[2], int(sys.argv[3]), []
def listens():
    try: socket.create_connection(('127.0.0.1', int(url.rsplit(':', 1)[1]))).close()
    except ConnectionError: return False
    return True
def post(steps): answers.append(ask(url, 'POST', '/sample', '{"seed": 1, "steps": %d}' % steps))
crowd = [threading.Thread(target=post, args=(300,)) for _ in range(8)]
for one in crowd: one.start()
for one in crowd: one.join()
got = [status for status, _, _ in answers]
assert set(got) == {200, 503} and got.count(200) >= 2, got
assert all(int(head['Retry-After']) >= 1 and b'queue_full' in body for status, head, body in answers if status == 503), answers
assert len({body for status, _, body in answers if status == 200}) == 1
answers.clear()
last = threading.Thread(target=post, args=(600,))
last.start()
while b'imgtrain_requests_active 2' not in ask(url, 'GET', '/metrics')[2]: time.sleep(.01)
os.kill(server, signal.SIGTERM)
while listens(): time.sleep(.01)
assert not answers, 'it listens until it ends'
last.join()
assert answers[0][0] == 200, answers
PYTHON
serve d --queue 1
run 0 python3 crowd.py "$root" "$url" $server
last="serve, stopped while it works"
if wait $server; then pass; else flunk "exit status $?"; fi
serve d --timeout 1
ask 504 POST /v1/images/generations '{"seed": 1, "steps": 1000, "size": "64x64", "n": 10}'
stops TERM

# ---- memory: the other model goes, and what does not fit is said ----
serve gan classes --memory-limit "$less_than_both"
for model in gan classes gan; do ask 200 POST /sample "{\"model\": \"$model\", \"seed\": 4}" -o got.png; done
same got.png out/seed-00004.png
stops TERM
if grep -q "gan: unloaded for classes" said; then pass; else flunk "nothing was unloaded: $(cat said)"; fi
serve gan --memory-limit 1KB
ask 503 POST /sample '{"seed": 4}'
out_has '"code": "out_of_memory"'
ask 200 GET /healthz
stops TERM

# what there was too little of for a while is tried again; a network stays open from one picture to the next
serve IMGTRAIN_TESTING=1 IMGTRAIN_FAULTS=alloc=1 gan
for seed in 4 5; do ask 200 POST /sample "{\"seed\": $seed}" -o got.png; done
same got.png out/seed-00005.png
stops TERM
if grep -q "going on with 8 images at a time" said && grep -q "gan: the device again, with 16 images" said; then pass; else flunk "$(cat said)"; fi
first=0 # of the allocations that one picture does without
until IMGTRAIN_FAULTS=alloc=$((first += 1))+ "$program" upscale net.safetensors small.ppm -o one.png 2>"$err" || [ $first = 50 ]; do :; done
serve IMGTRAIN_FAULTS=alloc=$first+ net.safetensors
for path in /upscale '/upscale?scale=2.5&alpha=none'; do ask 200 POST "$path" @small.ppm -o got.png; done
same got.png u2.png
stops TERM
unset IMGTRAIN_TESTING IMGTRAIN_FAULTS

# ---- clients that send a byte now and then do not keep others out ----
cat >slow.py <<'PYTHON'
import resource, socket, sys, threading, time
sys.path.insert(0, sys.argv[1] + '/test/cli')
from http_client import ask
port, slow = int(sys.argv[2].rsplit(':', 1)[1]), []
for _ in range(400):
    s = socket.create_connection(('127.0.0.1', port))
    s.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    s.setblocking(False)
    slow.append(s)
def is_open(s):
    try: s.send(b'a')
    except OSError: return False
    try: return s.recv(100) != b''
    except BlockingIOError: return True
    except OSError: return False
assert ask(sys.argv[2], 'GET', '/healthz')[0] == 200
end = time.monotonic() + 100
while slow and time.monotonic() < end:
    slow = [s for s in slow if is_open(s)]
    time.sleep(.5)
assert len(slow) < 384, '%d are still there' % len(slow)
assert ask(sys.argv[2], 'GET', '/healthz')[0] == 200
PYTHON
serve gan
run 0 python3 slow.py "$root" "$url"
stops TERM

# ---- hostile requests: a short form of test/torture/serve_hostile.py ----
run 0 env COUNT=56 python3 "$root/test/torture/serve_hostile.py" "$program" gan fit net.safetensors told
out_has "56 requests"

# ---- a browser shows the page, and an image on it ----
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -n "$browser" ]; then
    serve gan fit
    run 0 timeout 300 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --user-data-dir="$PWD/profile" \
        --virtual-time-budget=20000 --dump-dom "$url/#make"
    err_lacks CONSOLE
    out_has 'seed 0 8x8</figcaption>'
    out_has '<option value="fit">fit (splat)</option>'
    stops TERM
else
    skip "no Chromium here to load the page"
fi

# ---- a key ----
serve IMGTRAIN_API_KEY=secret gan
unset IMGTRAIN_API_KEY
case $url in http://0.0.0.0:*) pass ;; *) flunk "listens at $url" ;; esac
url=http://127.0.0.1:${url##*:}
ask_lines 28 -k '' -k secre -k secrets -k 'secret x' <<'LINES'
401 POST /sample {}
401 POST /v1/images/generations {}
401 GET /render
401 POST /upscale x
401 GET /v1/models
401 GET /metrics
401 GET /x
LINES
ask 200 GET /healthz
ask 200 POST /sample '{"seed": 4}' -k secret -o got.png
same got.png out/seed-00004.png
stops INT
finish
