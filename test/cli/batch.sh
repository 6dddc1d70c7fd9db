#!/bin/sh
# Batches: all runs are looked at before the first begins, what is wrong with one leaves the others
# alone, the exit status is that of the first that failed, and a stop ends the batch.
. "$(dirname "$0")/lib.sh"

awk 'BEGIN { print "P3 24 16 255"; for (i = 0; i < 384; i++) print i % 251, i * 7 % 256, i * i % 256 }' >a.ppm
cp a.ppm c.ppm
head -c 1500 a.ppm >short.ppm
printf 'text' >text.png
printf 'num_gaussians: 20\nmax_steps: 4\ndevice: cpu\nvideo: {enabled: false}\nframes: {count: 0}\n' >tiny.yaml
there() { for name in "$@"; do if [ -e "$name/model.safetensors" ]; then pass; else flunk "no $name"; fi; done; }
not_there() { for name in "$@"; do if [ -e "$name" ]; then flunk "$name exists"; else pass; fi; done; }
# before A B: the line of stderr with A comes before the first with B
before() {
    if awk -v a="$1" -v b="$2" 'index($0, a) && !x { x = NR } index($0, b) && !y { y = NR }
        END { exit !(x && y && x < y) }' "$err"; then pass; else flunk "'$1' does not come before '$2'"; fi
}

# ---- what is broken is named first, the rest is done ----
run 66 imgtrain train tiny.yaml input_path='[a.ppm, missing.ppm, text.png, c.ppm]' -o one
there one-001 one-004
not_there one-002 one-003
before "error: run 2 of 4: open missing.ppm" "one-001: 4 steps"
before "error: run 3 of 4: text.png" "one-001: 4 steps"
err_has "imgtrain: 2 of 4 runs failed, the first of them run 2: open missing.ppm"
run 65 imgtrain train tiny.yaml input_path='[short.ppm, missing.ppm, a.ppm]' -o two
there two-003
before "error: run 1 of 3: short.ppm" "two-003: 4 steps"
run 78 imgtrain train tiny.yaml input_path=a.ppm init_mode='[saliency, random]' -o three
there three-002
mkdir -p four-001
echo x >four-001/file
run 73 imgtrain train tiny.yaml input_path='[a.ppm, c.ppm]' -o four
there four-002
run 0 ls four-001
out_is "file"

# ---- one that fails while it runs: the others are done; again with --resume ----
run 74 sh -c 'ulimit -S -f 48; exec "$0" train tiny.yaml input_path=a.ppm num_gaussians="[300, 5]" -o five' "$program"
there five-002
before "run 1 of 2" "error: run 1 of 2: "
run 0 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[300, 5]' -o five --resume
there five-001 five-002
err_has "five-002 is finished"

# ---- resumed runs are compared before the first goes on ----
run 78 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[300, 6]' max_steps=6 -o five --resume
before "error: run 2 of 2: the run cannot be resumed with other values of splat.num_gaussians (5 then, 6 now)" \
    "five-001: continuing at step 4 of 6"

# ---- a stop ends the batch ----
run 75 imgtrain train tiny.yaml input_path='[a.ppm, missing.ppm, c.ppm]' max_steps=100000000 \
    disable_lr_schedule=true -o six --time-limit 1
err_has "error: run 2 of 3: open missing.ppm"
run 0 test -e six-001/checkpoints
not_there six-003
run 0 imgtrain train tiny.yaml input_path='[a.ppm, c.ppm]' --dry-run -o seven
not_there seven-001
run 66 imgtrain train tiny.yaml input_path='[missing.ppm, c.ppm]' --dry-run -o seven
out_has "seven-002"
# ---- several inputs by a pattern, a folder, a list; times another list; names in their order ----
mkdir photos
for name in c b a d; do cp a.ppm "photos/$name.ppm"; done
echo no image >photos/notes.txt
run 0 imgtrain train tiny.yaml input_path='photos/[ab].ppm' -o eight
there eight-001 eight-002
has_not eight-003 eight
run 0 grep -q 'input_path: "photos/a.ppm"' eight-001/config.yaml
run 0 imgtrain train tiny.yaml data_root=photos input_path='[d.ppm, "[ab].ppm"]' -o nine --dry-run
run 0 imgtrain train tiny.yaml input_path=photos --each num_gaussians='[20, 5]' -o ten
there ten-001 ten-008
has_not ten-009
run 0 grep -q 'input_path: "photos/d.ppm"' ten-008/config.yaml
run 0 grep -q 'num_gaussians: 5' ten-008/config.yaml
run 0 imgtrain train tiny.yaml input_path='photos/a*' -o alone # one match is a batch of one
there alone-001
run 66 imgtrain train tiny.yaml input_path='photos/*.png' -o none
err_is "imgtrain: photos/*.png matches nothing"
mkdir bare
run 66 imgtrain train tiny.yaml input_path=bare --each -o none
err_is "imgtrain: bare holds no image"
run 0 imgtrain train tiny.yaml input_path=a.ppm --each -o none
err_has "--each has no effect"

# ---- twelve with two bad ones, three at a time: ten are done, the summary says what became of each ----
mkdir many
for name in 0 1 2 3 4 5 6 7 8 9; do cp a.ppm many/$name.ppm; done
inputs='[missing.ppm, "many/*.ppm", short.ppm]'
run 66 imgtrain train tiny.yaml input_path="$inputs" -o dozen # in this process
cp dozen-summary.json in-process.json
for name in dozen-*; do mv "$name" "in-$name"; done
run 66 imgtrain train tiny.yaml input_path="$inputs" -o dozen --jobs 3
there dozen-002 dozen-003 dozen-004 dozen-005 dozen-006 dozen-007 dozen-008 dozen-009 dozen-010 dozen-011
not_there dozen-001 dozen-012
err_has "error: run 1 of 12: open missing.ppm"
err_has "error: run 12 of 12: short.ppm"
err_has "imgtrain: 2 of 12 runs failed, the first of them run 1: open missing.ppm"
err_has "run 10 of 12: done: dozen-010"
for name in 002 011; do same "dozen-$name/model.safetensors" "in-dozen-$name/model.safetensors"; done
cat >summary.py <<'PYTHON'
import csv, json, sys
prefix, done, failed, left = sys.argv[1], *map(int, sys.argv[2:5])
summary = json.load(open(prefix + ".json"))
assert (summary["done"], summary["failed"], summary["stopped"] + summary["waiting"]) == (done, failed, left), summary
rows = list(csv.DictReader(open(prefix + ".csv", newline="")))
assert len(rows) == len(summary["runs"]) == done + failed + left
page = open(prefix + ".html").read()
assert page.endswith("</html>\n") and "%d done, %d failed" % (done, failed) in page
for row, run in zip(rows, summary["runs"]):
    assert int(row["run"]) == run["run"] and row["state"] == run["state"]
    assert row["splat.input_path"] == run["settings"]["splat.input_path"]
    assert row["status"] == ("" if run["status"] is None else str(run["status"]))
    if run["state"] == "done":
        last = json.loads(open(run["folder"] + "/metrics.jsonl").read().splitlines()[-1])
        assert run["metrics"]["psnr"] == last["psnr"] and float(row["psnr"]) == last["psnr"] and run["status"] == 0
    if run["state"] == "failed": assert run["message"] and row["message"] == run["message"] and run["status"] in (65, 66, 74)
PYTHON
run 0 python3 summary.py dozen-summary 10 2 0
run 0 python3 -c 'import json
a, b = (json.load(open(n)) for n in ("in-process.json", "dozen-summary.json"))
for r, s in zip(a["runs"], b["runs"]):
    for run in r, s:
        run["peak_bytes"] = None # by the number of threads
        for key in "seconds", "steps_per_second", "bytes": run["metrics"].pop(key, None)
    assert r == s, (r, s)'
run 0 imgtrain report dozen-002 dozen-003 -o dozen.html
# killed, at a time when some have begun, and resumed: what was done stays, the two bad ones fail again
"$program" train tiny.yaml input_path="$inputs" max_steps=100000000 disable_lr_schedule=true \
    -o killed --jobs 2 2>"$err" &
pid=$!
wait_for killed-002/checkpoints
wait_for killed-003/checkpoints
kill -9 $pid
wait $pid 2>/dev/null
last="runs end where their batch is killed"
tries=0 # each ends by itself, as nobody watches it any more
until ! "$program" info killed-002 2>/dev/null | grep -q running || [ $tries -gt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
if [ $tries -le 600 ]; then pass; else flunk "killed-002 goes on"; fi
tries=0
until ! "$program" info killed-003 2>/dev/null | grep -q running || [ $tries -gt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
step=0
for name in killed-002 killed-003; do
    here=$("$program" info $name | sed -n 's/^  checkpoint *step \([0-9]*\),.*/\1/p')
    if [ "${here:-0}" -gt $step ]; then step=$here; fi
done
run 66 imgtrain train tiny.yaml input_path="$inputs" max_steps=$((step + 4)) disable_lr_schedule=true \
    -o killed --jobs 2 --resume
there killed-002 killed-003 killed-011
run 0 python3 summary.py killed-summary 10 2 0
# a stop reaches each of them
three="input_path=[a.ppm,c.ppm,a.ppm] max_steps=100000000 disable_lr_schedule=true"
# shellcheck disable=SC2086  # words
"$program" train tiny.yaml $three -o halted --jobs 2 >"$out" 2>"$err" &
pid=$!
wait_for halted-001/checkpoints
wait_for halted-002/checkpoints
kill -TERM $pid
wait $pid
status=$? last="a batch, stopped"
if [ $status = 75 ]; then pass; else flunk "exit status $status, not 75"; fi
err_has "stopped (SIGTERM)"
for name in 001 002; do run 0 grep -q '"status": 75' halted-$name/processes.jsonl; done
run 0 grep -q '"stopped": 2' halted-summary.json
# ... also one that hears no signals yet: a request and a stop come before main
cat >early.c <<'END'
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void wait_for_signals(void)
{
    char words[4096];
    sigset_t came;
    FILE *file = fopen("/proc/self/cmdline", "r");
    size_t bytes = file ? fread(words, 1, sizeof words - 1, file) : 0;
    if (file) fclose(file);
    words[bytes] = 0;
    for (char *word = words; word < words + bytes; word += strlen(word) + 1)
        if (strncmp(word, "-oearly-", 8) == 0) {
            close(open(word + 8, O_CREAT | O_WRONLY, 0600));
            while (sigpending(&came) == 0 && !(sigismember(&came, SIGTERM) && sigismember(&came, SIGUSR2)))
                usleep(10000);
        }
}
END
if ldd "$program" | grep -qE 'lib(asan|tsan)'; then
    skip "a stop before signals are heard: not with this sanitizer"
elif cc -shared -fPIC early.c -o early.so 2>/dev/null; then
    # shellcheck disable=SC2086  # words
    LD_PRELOAD=$PWD/early.so "$program" train tiny.yaml $three -o early --jobs 2 >"$out" 2>"$err" &
    pid=$!
    wait_for 001
    wait_for 002
    kill -USR2 $pid
    kill -TERM $pid
    wait $pid
    status=$? last="a batch, stopped before its runs hear signals"
    if [ $status = 75 ]; then pass; else flunk "exit status $status, not 75"; fi
    run 0 grep -q '"stopped": 2' early-summary.json
else
    skip "a stop before signals are heard: no compiler"
fi

# ---- shares of memory: each fits its own, and one that does not runs alone ----
run 0 imgtrain plan tiny.yaml input_path=a.ppm num_gaussians=2000 --json
large=$(least_bytes "$out")
run 0 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[2000, 20, 30]' -o shared --jobs 2 --memory-limit $((large * 3 / 2))
there shared-001 shared-002 shared-003
run 31 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[2000, 20, 30]' -o little --jobs 2 --memory-limit $((large * 2 / 3))
there little-002 little-003

# ---- a process says why it fails as the run itself does; its config is what this process has read ----
run 74 sh -c 'ulimit -S -f 48; exec "$0" train tiny.yaml input_path=a.ppm num_gaussians="[300, 5]" -o said --jobs 2' "$program"
there said-002
err_has "imgtrain: 1 of 2 runs failed, the first of them run 1: "
err_lacks "1 of 1"
run 0 sh -c 'cat tiny.yaml | IMGTRAIN_SEED=7 "$0" train /dev/stdin input_path="photos/[ab].ppm" seed=5 max_steps=3 \
    -o piped --jobs 2' "$program"
there piped-001 piped-002
run 0 grep -q 'num_gaussians: 20$' piped-002/config.yaml
run 0 grep -q '^seed: 5$' piped-002/config.yaml

# ---- more combinations than there may be, by what a pattern matches ----
mkdir crowd
(cd crowd && seq 2200 | xargs touch)
thousand="[$(seq -s ', ' 1000)]"
run 78 imgtrain train tiny.yaml input_path='crowd/*' seed="$thousand" num_gaussians="$thousand" -o crowd/run
err_has "more than 1000000 combinations"

# ---- parts of a batch for several machines ----
run 0 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[20, 21, 22, 23, 24]' -o part --shard 1/2
there part-002 part-004
not_there part-001 part-003 part-005
has part-summary-1-of-2.csv
run 0 env SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_STEP=4 SLURM_ARRAY_TASK_COUNT=3 \
    "$program" train tiny.yaml input_path=a.ppm num_gaussians='[20, 21, 22, 23, 24]' -o slurm --shard auto
there slurm-002 slurm-005
not_there slurm-001 slurm-003 slurm-004
run 0 env JOB_COMPLETION_INDEX=4 "$program" train tiny.yaml input_path=a.ppm num_gaussians='[20, 21, 22, 23, 24]' -o pod --shard 5
there pod-005
not_there pod-001 pod-004
run 0 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[20, 21, 22]' -o pick --only 3
there pick-003
not_there pick-001 pick-002
run 66 imgtrain train tiny.yaml input_path='[missing.ppm, a.ppm]' -o pick --only 1
err_has "imgtrain: run 1 of 2: open missing.ppm"
err_lacks "error:"
for bad in 2/2 a/2 1/0 0/ x -1/2 auto 3; do
    run 64 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[20, 21]' -o bad --shard=$bad
done
run 64 env SLURM_ARRAY_TASK_ID=x "$program" train tiny.yaml input_path=a.ppm num_gaussians='[20, 21]' -o bad --shard 2
# a part of an array that is submitted again: which part a task is cannot be known
run 64 env SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=1 \
    "$program" train tiny.yaml input_path=a.ppm num_gaussians='[20, 21]' -o bad --shard 2
err_has "say --shard I/2"
run 64 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[20, 21]' --jobs 2
err_has "give -o or exp_name"
run 64 imgtrain train tiny.yaml input_path=a.ppm num_gaussians='[20, 21]' -o bad --only 3
run 0 imgtrain train tiny.yaml input_path=a.ppm -o single --jobs 2 --shard 0/1
err_has "--jobs has no effect without a batch"
finish
