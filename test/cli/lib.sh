# shellcheck shell=sh
# Sourced by the tests of the command line, test/cli/NAME.sh (POSIX sh):
#
#   . "$(dirname "$0")/lib.sh"
#   run 78 imgtrain config bad.yaml      # runs a command in a temp folder; its exit status must be 78
#   err_has "bad.yaml:1:1: unknown key"  # ... and its stderr hold this text
#   out_is "exact stdout"
#   run_script ARGUMENT <<'PY'           # the Python program that follows, whose exit status must be 0
#   skip "why"                           # counts a test that cannot run here
#   picture a.ppm 48 32; pictures photos 12 16 16    # small ones to train on
#   splat_yaml "max_steps: 2"            # splat.yaml of these lines: a small fit to one of photos (gan_yaml)
#   settings "seed: 0" "grow: true"    # of `imgtrain config`, the last run: keys with or without their section
#   back_to RUN 4                        # its later checkpoints and its results go, for --resume
#   killed_at 5 a.yaml -o RUN            # imgtrain train, ended as by kill -9 before that step (from 0)
#   same_run RUN OTHER final.png         # the same metrics but for times, and the same files
#   trains_as_whole threads=2            # tiny.yaml once more, in another way: the same run as in whole, for $results
#   look_for_cuda                        # runs doctor: why there is none, and whether it is emulated
#   finish                               # last line: N passed, N failed, N skipped
#
# IMGTRAIN names the program under test (default: ./imgtrain at the top). $root is the top folder,
# $out and $err are files with what the last run printed. IMGTRAIN_* of the caller are removed.

root=$(cd "$(dirname "$0")/../.." && pwd)
program=${IMGTRAIN:-$root/imgtrain}
case $program in /*) ;; *) program=$PWD/$program ;; esac
for variable in $(env | sed -n 's/^\(IMGTRAIN[A-Z0-9_]*\)=.*/\1/p'); do unset "$variable"; done
# No GPU is checked, so nothing is kept in the user's folder: self_check.sh asks for it.
export IMGTRAIN_SELF_CHECK=0
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-cli-XXXXXX") || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# Of one process: what never ends is ended. (dash and bash have -t.)
# shellcheck disable=SC3045
ulimit -t 2000 2>/dev/null
mkdir "$work/cwd" && cd "$work/cwd" || exit 1
out=$work/out
err=$work/err
passed=0 failed=0 skipped=0 last=

imgtrain() { "$program" "$@"; }

# Two files with the same bytes, or not; files that are there, or not.
same() { if cmp -s "$1" "$2"; then pass; else flunk "$1 and $2 differ"; fi; }
differ() { if cmp -s "$1" "$2"; then flunk "$1 and $2 are the same"; else pass; fi; }
has() { for name in "$@"; do if [ -e "$name" ]; then pass; else flunk "$name is missing"; fi; done; }
has_not() { for name in "$@"; do if [ -e "$name" ]; then flunk "$name exists"; else pass; fi; done; }
# wait_for FILE: until it is there; the limit is for hangs
wait_for() {
    tries=0
    until [ -e "$1" ] || [ $tries -ge 6000 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    has "$1"
}

# wait_for_words FILE PID: until the process has written some, or is gone; the limit is for hangs
wait_for_words() {
    tries=0
    until [ -s "$1" ] || [ $tries -ge 6000 ] || ! kill -0 "$2" 2>/dev/null; do
        sleep 0.05
        tries=$((tries + 1))
    done
}

# Whether a test can give a program a terminal; where it cannot, that is skipped.
has_terminals() {
    python3 -c 'import pty; pty.openpty()' 2>/dev/null && return
    skip "no pseudo terminals here"
    false
}

# tool.py: models and pictures made and compared by another program than the one under test
tool() { python3 "$root/test/cli/tool.py" "$@"; }

# picture FILE WIDTH HEIGHT: a small one that differs everywhere, with rings around the middle
picture() {
    awk -v w="$2" -v h="$3" 'BEGIN { print "P3", w, h, 255
        for (y = 0; y < h; y++) for (x = 0; x < w; x++)
            print int(x * 240 / w), int(y * 240 / h), int(((2 * x - w) ^ 2 + (2 * y - h) ^ 2) * 208 / (w ^ 2 + h ^ 2)) }' >"$1"
}

# pictures FOLDER COUNT WIDTH HEIGHT: 1.ppm, 2.ppm, ..., each another one
pictures() {
    mkdir -p "$1"
    i=0
    while [ $i -lt "$2" ]; do
        i=$((i + 1))
        awk -v i=$i -v w="$3" -v h="$4" 'BEGIN { print "P3", w, h, 255
            for (y = 0; y < h; y++) for (x = 0; x < w; x++)
                print (x * i * 3) % 256, (y * 18 + i * 9) % 256, (x * y + 40 * i) % 256 }' >"$1/$i.ppm"
    done
}

# least_bytes PLAN.json: device memory of the smallest mode that `imgtrain plan --json` lists
least_bytes() {
    awk '{ while (match($0, /"device_bytes": *[0-9]+/)) { v = substr($0, RSTART, RLENGTH); sub(/.*: */, "", v)
        if (!m || v + 0 < m) m = v + 0; $0 = substr($0, RSTART + RLENGTH) } } END { print m }' "$1"
}

# back_to RUN STEP: as if it had been killed after the checkpoint of that step
back_to() {
    for checkpoint in "$1"/checkpoints/step-*.safetensors; do
        number=$(basename "$checkpoint" .safetensors)
        number=${number#step-}
        if [ "$(expr "$number" + 0)" -gt "$2" ]; then rm "$checkpoint"; fi
    done
    rm -f "$1"/*.safetensors "$1"/final.png
    has "$1/checkpoints/step-$(printf %09d "$2").safetensors"
}

# killed_at STEP ARGUMENT ...: imgtrain train, which ends as by kill -9 before that step. A clock would
# kill too late on a fast machine.
killed_at() {
    step=$1
    shift
    run 137 env IMGTRAIN_FAULTS="step=$step:kill" "$program" train "$@"
}

# same_run RUN OTHER FILE ...: the same metrics but for times, and the same files
same_run() {
    one=$1 other=$2
    shift 2
    for file in "$@"; do same "$one/$file" "$other/$file"; done
    for folder in "$one" "$other"; do sed 's/"seconds.*//' "$folder/metrics.jsonl" >"$folder.metrics"; done
    same "$one.metrics" "$other.metrics"
}

# trains_as_whole SETTING=VALUE ...: tiny.yaml with these is the same run as the one in folder whole, and the same
# $results
# shellcheck disable=SC2086
trains_as_whole() {
    rm -rf other
    run 0 imgtrain train tiny.yaml -o other -q "$@"
    same_run other whole $results
}

# splat_yaml LINE ...; gan_yaml "what gan has besides" LINE ...: small ones that learn from photos
splat_yaml() {
    printf '%s\n' 'task: splat' 'threads: 1' 'input_path: photos/3.ppm' 'num_gaussians: 40' 'video: {enabled: false}' \
        "$@" >splat.yaml
}
gan_yaml() {
    printf '%s\n' 'task: gan' 'data: photos' 'threads: 1' "gan: {batch: 8, gamma: 1, samples: 4, $1}" 'eval_steps: 1' \
        'video: {enabled: false}' >gan.yaml
    shift
    [ $# = 0 ] || printf '%s\n' "$@" >>gan.yaml
}

# settings "KEY: VALUE" ...: what the last run, `imgtrain config`, says of keys, with or without section
settings() {
    for line in "$@"; do
        if awk -v key="${line%%: *}" -v value="${line#*: }" '{ name = $1; sub(/^[a-z]*\./, "", name); rest = $0 " "
            sub(/^[^ ]* +/, "", rest) } ($1 == key || name == key) && index(rest, value " ") == 1 { found = 1 }
            END { exit !found }' "$out"; then pass; else flunk "not in the config: $line"; fi
    done
}

# has_spandrel: whether $python has it, which loads models of many programs; else a skip
has_spandrel() {
    python=${PYTHON:-python3}
    "$python" -c 'import spandrel, torch, PIL' 2>/dev/null && return
    skip "$python has no spandrel (PYTHON=... picks another)"
    return 1
}
# as_in_spandrel IMAGE RUN ...: it loads the runs' models, and makes of the image what RUN.png shows
as_in_spandrel() {
    run 0 "$python" "$root/test/cli/spandrel_beside.py" "$@"
    shift
    for name in "$@"; do out_has "$name True"; done
}

# look_for_cuda: $no_cuda is why there is none, or empty; $emulated is 0 where it is a real one
look_for_cuda() {
    run 0 imgtrain doctor
    no_cuda=$(sed -n 's/^cuda  *no: *//p' "$out")
    emulated=$(grep -c '^cuda .*emulated' "$out")
}

pass() { passed=$((passed + 1)); }
flunk() {
    failed=$((failed + 1))
    echo "FAILED ($(basename "$0")): $last: $1"
    sed 's/^/    stderr: /' "$err" | head -n 5
}
skip() {
    skipped=$((skipped + 1))
    echo "skipped ($(basename "$0")): $1"
}

# run STATUS COMMAND [ARGUMENT ...]
run() {
    wanted=$1
    shift
    last=$*
    "$@" >"$out" 2>"$err" </dev/null
    status=$?
    if [ "$status" = "$wanted" ]; then pass; else flunk "exit status $status, not $wanted"; fi
}

# run's own commands have no stdin.
run_script() {
    cat >"$work/script.py"
    run 0 python3 "$work/script.py" "$@"
}

out_has() { if grep -qF -- "$1" "$out"; then pass; else flunk "stdout lacks: $1"; fi; }
err_has() { if grep -qF -- "$1" "$err"; then pass; else flunk "stderr lacks: $1"; fi; }
out_lacks() { if grep -qF -- "$1" "$out"; then flunk "stdout has: $1"; else pass; fi; }
err_lacks() { if grep -qF -- "$1" "$err"; then flunk "stderr has: $1"; else pass; fi; }
out_is() {
    if [ "$(cat "$out")" = "$1" ]; then pass; else flunk "stdout is not: $1"; fi
}
err_is() {
    if [ "$(cat "$err")" = "$1" ]; then pass; else flunk "stderr is not: $1"; fi
}
# The number of lines on stderr: most errors are one.
err_lines() {
    if [ "$(wc -l <"$err")" = "$1" ]; then pass; else flunk "stderr has not $1 lines"; fi
}

finish() {
    echo "cli $(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}
