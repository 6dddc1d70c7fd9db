#!/bin/sh
# A run that is killed at any moment is resumed to the same model, bit for bit. KILLS=200 for more.
. "$(dirname "$0")/lib.sh"

picture picture.ppm 40 30
cat >tiny.yaml <<'YAML'
task: splat
input_path: picture.ppm
device: cpu
threads: 1
num_gaussians: 40
max_steps: 40
add_steps: 8
post_min_steps: 8
eval_steps: 10
frames: {every: 10}
video: {enabled: false}
checkpoint: {every: 4, keep: 1}
YAML
run 0 imgtrain train tiny.yaml -o whole

# ends_the_same RUN WHAT: resumes it and compares everything that is a function of the config.
ends_the_same() {
    last=$2
    if ! "$program" train tiny.yaml -o "$1" --resume -q >"$out" 2>"$err"; then
        flunk "resume ended with status $?"
    elif ! cmp -s "$1/model.safetensors" whole/model.safetensors; then
        flunk "the models differ"
    elif ! cmp -s "$1/final.png" whole/final.png; then
        flunk "the pictures differ"
    elif [ "$(cut -d, -f1-5 "$1/metrics.csv")" != "$(cut -d, -f1-5 whole/metrics.csv)" ]; then
        flunk "metrics.csv differs"
    elif [ "$(cd "$1" && find . -type f | sort)" != "$(cd whole && find . -type f | sort)" ]; then
        flunk "other files: $(cd "$1" && find . -type f | tr '\n' ' ')"
    else
        pass
    fi
    rm -rf "$1"
}

# ---- at random steps; the seed makes them the same ones every time ----
for step in $(awk -v n="${KILLS:-10}" 'BEGIN { srand(5); for (i = 0; i < n; i++) print int(rand() * 40) }'); do
    killed_at "$step" tiny.yaml -o random -q
    ends_the_same random "kill -9 before step $step"
done

# ---- at every rename, fsync, unlink and ftruncate of the first saves ----
if ! command -v strace >/dev/null || ! strace -o /dev/null -e inject=rename:signal=KILL:when=999 true 2>/dev/null; then
    skip "kill at each system call: no strace"
    finish
fi
for call in rename fsync ftruncate unlink; do
    for when in 1 2 3 5 8 13; do
        strace -f -o /dev/null -e "inject=$call:signal=KILL:when=$when" \
            "$program" train tiny.yaml -o injected -q >"$out" 2>"$err"
        ends_the_same injected "killed at $call $when"
    done
done
# A disk that fails while the first checkpoint is saved: the run ends, and what it had is sound.
strace -f -o /dev/null -e inject=fsync:error=EIO:when=3+ \
    "$program" train tiny.yaml -o failing -q >"$out" 2>"$err"
status=$?
last="fsync fails"
if [ "$status" = 74 ]; then pass; else flunk "exit status $status"; fi
ends_the_same failing "after a failing disk"
finish
