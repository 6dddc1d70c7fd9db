#!/bin/sh
# report.html: in every run however it ended, well formed, without anything from a network, with the numbers
# of metrics.jsonl; several runs beside one another; a browser runs its script without a fault.
. "$(dirname "$0")/lib.sh"

cat >page.py <<'PYTHON'
# page.py FILE WORD...: the page is well formed and asks for nothing elsewhere; its text has every word.
import html.parser, sys
EMPTY = {"meta", "img", "input", "br", "path", "line"}
class Page(html.parser.HTMLParser):
    open, text, sources, ids, curves = [], [], [], set(), []
    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        for key in ("src", "href", "action", "srcset"):
            if key in a: self.sources.append(a[key])
        if "id" in a:
            assert a["id"] not in self.ids, a["id"]
            self.ids.add(a["id"])
        for key in a: assert not key.startswith("on"), key
        if a.get("class") == "curve": self.curves.append(a)
        if tag not in EMPTY: self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY: self.open.pop()
    def handle_endtag(self, tag):
        if tag in EMPTY: return
        last = self.open.pop()
        assert last == tag, (last, tag, self.getpos())
    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"): self.text.append(data)
whole = open(sys.argv[1], encoding="utf-8").read()
page = Page()
page.feed(whole)
page.close()
assert not page.open, page.open
assert all(s.startswith("data:image/jpeg;base64,") for s in page.sources), [s[:60] for s in page.sources]
assert "http:" not in whole and "https:" not in whole and "//" not in whole.replace("base64,//", "").split("<script>")[1]
text = " ".join(" ".join(page.text).split())
for word in sys.argv[2:]:
    if word.startswith("images="): assert len(page.sources) == int(word[7:]), len(page.sources)
    elif word.startswith("curve="):
        name, says = word[6:].split("=")
        assert any(c["data-name"] == name and says in c["data-says"].split(" ")[-1] for c in page.curves), word
    elif word.startswith("no="): assert word[3:] not in text, word
    else: assert word in text, word
PYTHON
page() { run 0 python3 page.py "$@"; }

picture picture.ppm 48 32
cat >tiny.yaml <<'YAML'
input_path: picture.ppm
num_gaussians: 40
max_steps: 8
eval_steps: 2
device: cpu
threads: 1
video: {enabled: false}
frames: {count: 4}
YAML

# ---- one run, by itself ----
hostile="a <script>alert(1)<b>&amp; 'x' \"y\""
run 0 imgtrain train tiny.yaml -o "$hostile"
page "$hostile/report.html" "finished" "8 of 8" "splat.num_gaussians 40" "$hostile" "images=4" "cpu" "start" "no=splat.gamma 1 "
psnr=$(sed -n 's/.*"psnr": \([0-9.]*\).*/\1/p' "$hostile/metrics.jsonl" | tail -n 1 | python3 -c 'print("%.5g" % float(input()))')
page "$hostile/report.html" "psnr $psnr" "curve==,8,$psnr"
run 0 python3 -c 'import json, sys
lines = [json.loads(l) for l in open(sys.argv[1] + "/processes.jsonl")]
assert [l["event"] for l in lines] == ["start", "end"] and lines[1]["status"] == 0 and lines[0]["total"] == 8, lines' "$hostile"
cp "$hostile/report.html" before.html
run 0 imgtrain train tiny.yaml -o "$hostile" --resume # a finished run is left alone
same before.html "$hostile/report.html"
rm "$hostile/report.html"
run 0 imgtrain train tiny.yaml -o "$hostile" --resume
has "$hostile/report.html"
run 0 imgtrain report "$hostile"
out_is "$hostile/report.html"
page "$hostile/report.html" "curve==,8,$psnr" resumed
run 0 imgtrain train tiny.yaml -o none report=false
has_not none/report.html

# ---- that a run was stopped or failed, and how it went on, is on the page ----
# a stop before anything was measured: the card has the step all the same
export IMGTRAIN_FAULTS=step=3:term
run 75 imgtrain train tiny.yaml max_steps=100000000 eval_steps=100000000 disable_lr_schedule=true -o early
unset IMGTRAIN_FAULTS
if [ -s early/metrics.jsonl ]; then flunk "it has measured"; else pass; fi
last="the card of early/report.html"
if grep -q '>3 of 100000000<' early/report.html; then pass; else flunk "has no step"; fi
run 75 imgtrain train tiny.yaml max_steps=100000000 disable_lr_schedule=true -o stopped --time-limit 0.3
page stopped/report.html stopped "time limit" "status 75"
run 74 sh -c 'ulimit -S -f 24; exec "$0" train tiny.yaml num_gaussians=300 -o failed' "$program"
run 0 imgtrain report failed
page failed/report.html failed "status 74"

# ---- the moves of the ladder ----
# shellcheck disable=SC2317  # called by run
squeezed() { IMGTRAIN_FAULTS=step=3:fail "$program" train tiny.yaml -o squeezed -q; }
run 0 squeezed
page squeezed/report.html "3 step 3 fails for a test" "warning: step 3: step 3 fails for a test"

# ---- several ----
run 0 imgtrain train tiny.yaml num_gaussians=20 max_steps=6 -o second
run 0 imgtrain report "$hostile" second none
out_is report.html
page report.html "3 runs" "splat.num_gaussians 40 20 40" "$hostile" "images=6" "curve=second=,6," "no=splat.gamma"
run 0 imgtrain report second none -o two.html
out_is two.html
page two.html "2 runs" "images=4"

# a key that the first run's version did not have
cp -R second older
sed -i '/^tensorboard:/d' older/config.yaml
run 0 imgtrain report older second -o versions.html
page versions.html "tensorboard false"
# four columns of a picture that is one pixel wide
picture narrow.ppm 1 2400
run 0 imgtrain train tiny.yaml input_path=narrow.ppm panes='[error, gaussians]' -o narrow
page narrow/report.html finished images=3

# ---- what is damaged or missing is left out; what is no run is named ----
cp -R second broken
rm broken/frames/*.json broken/memory.jsonl broken/log.txt broken/processes.jsonl
echo '{"step": 7, "loss"' >>broken/metrics.jsonl
: >broken/reference.png
run 0 imgtrain report broken
page broken/report.html "images=0" finished
cat >>broken/metrics.jsonl <<'LINES'

{"step": 1e308, "loss": -1e308, "psnr": 1e-308, "bytes": 1e300}
{"step": -1e308, "loss": 1e308, "psnr": 1e308, "bytes": -1e300, "<i>": 1}
LINES
run 0 imgtrain report broken
page broken/report.html "images=0"
echo '{"bytes": 5, "loss": 1}' >broken/metrics.jsonl # no line says a step
echo '{"event": "start", "memory": 1e300}' >broken/processes.jsonl
run 0 imgtrain report broken
page broken/report.html "images=0"
rm broken/metrics.jsonl broken/config.yaml
run 66 imgtrain report second broken -o three.html
err_has "broken: no run folder"
has_not three.html
run 66 imgtrain report missing
run 66 imgtrain report tiny.yaml
run 64 imgtrain report
run 73 imgtrain report second -o missing/page.html
ln -s /etc/passwd linked
rm second/log.txt && ln -s "$PWD/tiny.yaml" second/log.txt # links are not followed
run 0 imgtrain report second
page second/report.html "no=num_gaussians: 40"

# ---- a browser: the script puts both images under the slider, and says nothing of faults ----
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -n "$browser" ]; then
    cp "$hostile/report.html" page.html
    run 0 timeout 300 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --user-data-dir="$PWD/profile" \
        --dump-dom "file://$PWD/page.html"
    err_lacks CONSOLE
    cp "$out" dom.html
    run 0 sh -c 'test "$(grep -o "background-image: url(&quot;data:image/jpeg" dom.html | wc -l)" = 6'
else
    skip "no Chromium here to run the page's script"
fi
finish
