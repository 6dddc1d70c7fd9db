#!/bin/sh
# imgtrain train: whole runs, resume, signals, and every way that a run can be refused.
. "$(dirname "$0")/lib.sh"

# ---- a small image, and settings that take a second ----
picture picture.ppm 48 32
cat >tiny.yaml <<'YAML'
task: splat
input_path: picture.ppm
device: cpu
num_gaussians: 60
max_steps: 60
add_steps: 10
post_min_steps: 10
eval_steps: 20
frames: {count: 8}
video: {max_size: 64, hold: 0.1}
YAML
# start ARGUMENTS...: a run in the background that takes long; $pid is the program itself
start() {
    last="train $*"
    "$program" train tiny.yaml max_steps=100000000 disable_lr_schedule=true frames.every=50 \
        "$@" >"$out" 2>"$err" </dev/null &
    pid=$!
}
# ends STATUS: the run in the background; well before the limit, which is for hangs
ends() {
    (sleep 200 && kill -9 "$pid") 2>/dev/null &
    guard=$!
    wait "$pid" 2>/dev/null
    status=$?
    kill "$guard" 2>/dev/null
    wait "$guard" 2>/dev/null
    if [ "$status" = "$1" ]; then pass; else flunk "exit status $status, not $1"; fi
}

# ---- usage ----
run 64 imgtrain train
run 0 imgtrain train --help
out_has "example"
run 64 imgtrain train tiny.yaml --resum
err_has "did you mean --resume?"
run 78 imgtrain train tiny.yaml max_stepz=5
err_has "did you mean 'splat.max_steps'?"
run 66 imgtrain train missing.yaml
run 66 imgtrain train tiny.yaml input_path=missing.png
err_has "missing.png"
has_not runs
printf 'no picture' >text.png
run 65 imgtrain train tiny.yaml input_path=text.png
err_has "text.png"
run 69 imgtrain train tiny.yaml --device cuda:7
has_not runs

# ---- the forecast makes nothing ----
run 0 imgtrain train tiny.yaml --dry-run
out_has "parameters"
out_has "checkpoints"
has_not runs
run 31 imgtrain train tiny.yaml memory.limit=10000 --dry-run
err_has "memory.limit"
run 31 imgtrain train tiny.yaml memory.limit=10000
has_not runs

# ---- a whole run ----
run 0 imgtrain train tiny.yaml -o whole
out_has "whole/final.png"
out_has "whole/model.safetensors"
err_has "step 60/60 100% loss "
err_has " psnr "
has whole/config.yaml whole/log.txt whole/metrics.jsonl whole/metrics.csv whole/final.png \
    whole/model.safetensors whole/reference.png whole/frames/000000001.jpg \
    whole/frames/000000060.jpg whole/frames/000000060.json \
    whole/checkpoints/step-000000060.safetensors
run 0 cat whole/metrics.jsonl
for key in step loss psnr ssim gaussians seconds steps_per_second bytes; do
    out_has "\"$key\": "
done
out_lacks "null"
run 0 head -n 1 whole/metrics.csv
out_has "step,loss,psnr,ssim,gaussians"
if ! "$program" doctor | grep -q '^video *libavcodec'; then
    skip "video.mp4: no libav here"
else
    has whole/video.mp4
    run 0 imgtrain train tiny.yaml max_steps=9 -o cleaned video.cleanup=true
    out_has "cleaned/video.mp4"
    run 1 sh -c 'ls cleaned/frames | grep .'
    run 0 imgtrain train tiny.yaml max_steps=9 -o cleaned --resume video.cleanup=true
    err_lacks "warning"
fi
run 0 imgtrain config whole/config.yaml

# ---- a finished run; an existing folder ----
run 73 imgtrain train tiny.yaml -o whole
err_has "whole exists"
err_lines 1
run 0 imgtrain train tiny.yaml -o whole --resume
err_has "whole is finished (60 steps)"
rm whole/final.png
run 0 imgtrain train tiny.yaml -o whole --resume
has whole/final.png
run 78 imgtrain train tiny.yaml -o whole --resume seed=5 pos_lr=0.01
err_has "seed"
err_has "splat.pos_lr"
echo x >file
run 73 imgtrain train tiny.yaml -o file
run 73 imgtrain train tiny.yaml -o file/run
mkdir photos && echo x >photos/a.jpg
run 73 imgtrain train tiny.yaml -o photos --resume
err_has "no run folder"
mkdir locked && chmod a-w locked
if [ "$(id -u)" = 0 ]; then
    skip "unwritable folder: root writes everywhere"
else
    run 77 imgtrain train tiny.yaml -o locked/run
fi

# ---- names of run folders ----
run 0 imgtrain train tiny.yaml max_steps=3 -q video.enabled=false
err_lines 0
run 0 imgtrain train tiny.yaml max_steps=3 -q video.enabled=false
has runs/tiny-001/final.png runs/tiny-002/final.png
run 0 imgtrain train tiny.yaml max_steps=3 --resume
err_has "runs/tiny-002 is finished"
run 0 imgtrain train tiny.yaml max_steps=3 exp_name=mine log_root=out/a -q video.enabled=false
has out/a/mine/model.safetensors
run 0 imgtrain train tiny.yaml max_steps=3 -o "a b/größe" video.enabled=false
has "a b/größe/model.safetensors"
run 0 imgtrain train input_path=picture.ppm max_steps=2 num_gaussians=9 device=cpu video.enabled=false
has runs/picture-001/model.safetensors
run 0 imgtrain train tiny.yaml gaussians='[5, 9]' max_steps=2 -o batch video.enabled=false
has batch-001/model.safetensors batch-002/model.safetensors
# names that mean nothing elsewhere, that are no UTF-8, or come as other programs have them
latin=$(printf 'caf\351')
for name in null '~' "$latin"; do
    cp picture.ppm "$name"
    run 0 imgtrain train "input_path=$name" max_steps=2 num_gaussians=9 device=cpu video.enabled=false
    has "runs/$name-001/model.safetensors"
done
run 0 imgtrain train "input_path=$latin" max_steps=4 num_gaussians=9 device=cpu video.enabled=false --resume
err_has "continuing at step 2 of 4"
run 0 imgtrain train runs/"$latin"-001/config.yaml -o again video.enabled=false -q
run 0 imgtrain info again --json
run 0 imgtrain train --input_path=picture.ppm --max_steps=2 --num_gaussians=9 --device=cpu -o theirs -q
run 75 imgtrain train tiny.yaml max_steps=100000000 disable_lr_schedule=true -o slurm --time-limit 0:01 -q
run 0 env HOME=/nonexistent LANG=de_DE.UTF-8 "$program" train tiny.yaml max_steps=20 -o home \
    video.enabled=false
run 0 grep -q '"loss": 0\.' home/metrics.jsonl

# ---- the number of threads and being stopped change no bit ----
run 0 imgtrain train tiny.yaml threads=1 -o one video.enabled=false
same one/model.safetensors whole/model.safetensors
last="stop and resume"
stops=0
# the first stop comes at once: a fast machine does all 60 steps in 6 ms
run 75 imgtrain train tiny.yaml -o parts video.enabled=false --time-limit 0.000001
while [ $stops -lt 100 ]; do
    "$program" train tiny.yaml -o parts --resume video.enabled=false --time-limit 0.05 \
        >"$out" 2>"$err"
    status=$?
    [ $status = 75 ] || break
    stops=$((stops + 1))
done
if [ $status = 0 ]; then pass; else flunk "status $status after $stops stops"; fi
same parts/model.safetensors whole/model.safetensors
same parts/final.png whole/final.png
run 0 sh -c 'test "$(wc -l <parts/metrics.jsonl)" = "$(wc -l <whole/metrics.jsonl)"'

# ---- signals ----
for signal in TERM INT USR1; do
    # A shell starts background commands with SIGINT ignored: the program must listen all the same.
    start -o "stopped-$signal"
    wait_for "stopped-$signal/frames/000000050.json"
    kill -"$signal" "$pid"
    ends 75
    err_has "SIG$signal"
    err_has "state saved"
    run 0 sh -c "ls stopped-$signal/checkpoints/*.safetensors"
done
start -o saved checkpoint.interval=1h
wait_for saved/frames/000000050.json
kill -USR2 "$pid"
tries=0
while ! ls saved/checkpoints/*.safetensors >/dev/null 2>&1 && [ $tries -lt 2000 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
run 0 sh -c "ls saved/checkpoints/*.safetensors"

# ---- a second process in the same folder ----
run 73 timeout 100 "$program" train tiny.yaml max_steps=100000000 disable_lr_schedule=true \
    frames.every=50 -o saved --resume
err_has "in use by process $pid on "
kill -9 "$pid"
last="kill -9"
ends 137
run 0 imgtrain train tiny.yaml max_steps=60 disable_lr_schedule=true -o saved --resume frames.every=50 \
    video.enabled=false

# ---- the terminal and stdout ----
run 0 sh -c '"$0" train tiny.yaml max_steps=5 -o closed video.enabled=false >&-' "$program"
run 0 sh -c '"$0" train tiny.yaml max_steps=5 -o full video.enabled=false >/dev/full' "$program"
run 0 sh -c '"$0" train tiny.yaml max_steps=5 -o pipe video.enabled=false --json | true' "$program"
has closed/model.safetensors full/model.safetensors pipe/model.safetensors
run 0 imgtrain train tiny.yaml -o json --json video.enabled=false
out_has '{"event": "progress", "step": 60, '
out_has '{"event": "done", "step": 60, '
if command -v python3 >/dev/null; then
    cp "$out" events.jsonl
    run 0 python3 -c 'import json
for name in "events.jsonl", "json/metrics.jsonl", "json/frames/000000060.json":
    for line in open(name):
        json.loads(line)'
else
    skip "JSON is valid: no python3"
fi

# ---- PID 1 of a container ----
if unshare --pid --fork true 2>/dev/null; then
    run 75 unshare --pid --fork "$program" train tiny.yaml max_steps=100000000 -o pid1 \
        disable_lr_schedule=true --time-limit 1
    has pid1/checkpoints
else
    skip "PID 1: unshare is not allowed here"
fi

# ---- files that do not fit the disk: frames stop, the run goes on; then the checkpoint's turn ----
run 0 sh -c 'ulimit -S -f 100; exec "$0" train tiny.yaml max_steps=5 -o limited video.enabled=false' \
    "$program"
run 74 sh -c 'ulimit -S -f 1; exec "$0" train tiny.yaml max_steps=5 -o fullest video.enabled=false' \
    "$program"
run 0 imgtrain train tiny.yaml max_steps=5 -o fullest --resume video.enabled=false

# ---- doctor ----
run 0 imgtrain doctor
out_has "threads"
out_has "cpu"
finish
