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
    tries=0
    until [ -s url ] || [ $tries -ge 1200 ] || ! kill -0 $server 2>/dev/null; do
        sleep 0.05
        tries=$((tries + 1))
    done
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
stops TERM

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
