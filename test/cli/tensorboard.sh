#!/bin/sh
# Event files: whole records with the numbers of metrics.csv and the frames, read by a reader of our own and,
# where it is installed, by TensorBoard; one that went on from an earlier step. The text file for Prometheus.
. "$(dirname "$0")/lib.sh"

picture picture.ppm 48 32
cat >tiny.yaml <<'YAML'
input_path: picture.ppm
num_gaussians: 40
max_steps: 12
eval_steps: 2
device: cpu
threads: 1
video: {enabled: false}
frames: {count: 4}
checkpoint: {every: 4, keep: 9}
tensorboard: true
YAML

cat >events.py <<'PYTHON'
# events.py RUN: what a run's event files say is what metrics.csv and frames/ say
import csv, glob, os, struct, sys
run = sys.argv[1]

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
assert crc32c(b"123456789") == 0xE3069283
def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128: return value, at
def fields(data):
    at, all = 0, {}
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0: value, at = varint(data, at)
        elif key & 7 == 1: value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif key & 7 == 5: value, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            assert key & 7 == 2
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
            assert len(value) == length
        all.setdefault(key >> 3, []).append(value)
    return all

scalars, frames = {}, {}
for name in sorted(glob.glob(glob.escape(run) + "/events.out.tfevents.*"), key=os.path.getmtime):
    data, at = open(name, "rb").read(), 0
    first = True
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8)[0] == masked(data[at:at + 8])
        event = data[at + 12:at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(event)
        at += 16 + length
        event = fields(event)
        step = event[2][0]
        if first: assert event[3] == [b"brain.Event:2"]
        first = False
        if 7 in event: # begins again: what came after is forgotten
            for steps in list(scalars.values()) + [frames]:
                for old in [s for s in steps if s >= step]: del steps[old]
        for value in fields(event[5][0])[1] if 5 in event else []:
            value = fields(value)
            if 4 in value: frames[step] = fields(value[4][0])
            else: scalars.setdefault(value[1][0].decode(), {})[step] = value[2][0]
rows = list(csv.DictReader(open(run + "/metrics.csv", newline="")))
close = lambda a, b: abs(a - b) <= 1e-6 * abs(b)
def compare(tags, get):
    count = 0
    assert {"loss", "psnr", "ssim", "gaussians", "bytes"} <= set(tags), tags
    for tag in tags:
        wanted = {int(r["step"]): float(r[tag]) for r in rows if r[tag]}
        got = get(tag)
        assert sorted(got) == sorted(wanted), (tag, got, wanted)
        for step in wanted: assert close(got[step], wanted[step]), (tag, step, got[step], wanted[step])
        count += len(wanted)
    return count
count = compare(scalars, scalars.get)
files = {int(os.path.basename(n)[:-4]): open(n, "rb").read() for n in glob.glob(glob.escape(run) + "/frames/*.jpg")}
assert len(files) > 2 and {s: f[4][0] for s, f in frames.items()} == files
assert all(f[1] == [32] and f[2] == [48] and f[3] == [3] for f in frames.values())
print(count, "numbers,", len(files), "frames")
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("no tensorboard")
    sys.exit()
reader = EventAccumulator(run, size_guidance={"scalars": 0, "images": 0})
reader.Reload()
tags = reader.Tags()
assert compare(tags["scalars"], lambda tag: {e.step: e.value for e in reader.Scalars(tag)}) == count
assert {e.step: e.encoded_image_string for e in reader.Images("frame")} == files
print("TensorBoard reads the same")
PYTHON
python=${PYTHON:-python3}
same_events() {
    run 0 "$python" events.py "$1"
    if grep -q "no tensorboard" "$out"; then
        skip "$python has no tensorboard (PYTHON=... picks another): $1 is read by the test's own reader alone"
    else
        out_has "TensorBoard reads the same"
    fi
}

run 0 imgtrain train tiny.yaml -o "a run"
same_events "a run"
run 0 imgtrain train tiny.yaml -o plain tensorboard=false
has_not plain/events.*
for file in final.png model.safetensors; do same "a run/$file" plain/$file; done

# the frames are there twice, which the forecast of the disk says
for twice in true false; do
    run 0 imgtrain train tiny.yaml tensorboard=$twice frames.count=8 max_steps=1000 --dry-run -o forecast
    sed -n 's/^frames *//p' "$out" >frames.$twice
done
run 0 awk '{ bytes[FILENAME] = $1 * ($2 == "MiB" ? 1024 : $2 == "KiB" ? 1 : 0) }
    END { ratio = bytes["frames.true"] / bytes["frames.false"]; exit !(1.9 < ratio && ratio < 2.1) }' frames.true frames.false

# ---- killed after step 8 or later, and on from an earlier checkpoint ----
cp -R "a run" again
back_to again 4
run 0 imgtrain train tiny.yaml -o again --resume
last="event files of two processes"
if [ "$(find again -name 'events.*' | wc -l)" = 2 ]; then pass; else flunk "not two"; fi
same_events again

# ---- a disk that is full: training goes on, and what is there can be read ----
run 0 "$python" -c 'import subprocess, resource, sys
limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (26000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
end = subprocess.run(sys.argv[1:], preexec_fn=limit, stderr=subprocess.PIPE, text=True)
print(end.stderr[-1500:])
sys.exit(end.returncode)' "$program" train tiny.yaml num_gaussians=4 max_steps=200 eval_steps=1 frames.count=0 report=false -o full
out_has "events are left out, training goes on"
run 0 "$python" -c 'import glob, struct
data, at, count = open(glob.glob("full/events.*")[0], "rb").read(), 0, 0
while at < len(data):
    at += 16 + struct.unpack_from("<Q", data, at)[0]
    count += 1
assert at == len(data) <= 26000 and 100 < count < 202, (at, len(data), count)'

# ---- Prometheus ----
mkdir collected
run 0 imgtrain train tiny.yaml tensorboard=false prometheus=collected -o 'b "run"'
cp 'collected/imgtrain-b "run".prom' page.prom
cat >page.py <<'PYTHON'
import json, re, sys
lines = open("page.prom").read().splitlines()
values, known = {}, {}
for line in lines:
    match = re.fullmatch(r'# (HELP|TYPE) ([a-zA-Z_][a-zA-Z0-9_]*) (.+)', line)
    if match:
        assert match[2] not in values
        known.setdefault(match[2], []).append(match[1])
        continue
    name, run, value = re.fullmatch(r'([a-zA-Z_][a-zA-Z0-9_]*)\{run="((?:[^"\\]|\\.)*)",task="splat"\} (\S+)', line).groups()
    assert known[name] == ["HELP", "TYPE"] and run == r'b \"run\"' and name not in values
    values[name] = float(value)
last = json.loads(open('b "run"/metrics.jsonl').read().splitlines()[-1])
for key, name in ("step", "step"), ("psnr", "psnr"), ("loss", "loss"):
    assert abs(values["imgtrain_" + name] - last[key]) <= 1e-8 * abs(last[key]), (key, values)
assert values["imgtrain_running"] == 0 and values["imgtrain_exit_status"] == 0 and values["imgtrain_steps_wanted"] == 12
PYTHON
run 0 "$python" page.py
run 0 imgtrain train tiny.yaml tensorboard=false prometheus=collected -o slash/
has collected/imgtrain-slash.prom
mkdir here
run 0 sh -c 'cd here && "$0" train ../tiny.yaml input_path=../picture.ppm tensorboard=false prometheus=../collected -o .' "$program"
has collected/imgtrain-here.prom
run 0 grep -q 'run="here"' collected/imgtrain-here.prom
run 75 imgtrain train tiny.yaml max_steps=100000000 disable_lr_schedule=true prometheus=one.prom -o stopped --time-limit 0.3
run 0 grep -q '^imgtrain_exit_status{.*} 75$' one.prom
run 0 imgtrain train tiny.yaml prometheus=missing/one.prom -o warned
err_has "prometheus: "
err_has "training goes on"
last="warnings of a page that cannot be written"
if [ "$(grep -c prometheus: "$err")" = 1 ]; then pass; else flunk "not one"; fi
finish
