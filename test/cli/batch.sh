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
run 74 sh -c 'ulimit -f 24; exec "$0" train tiny.yaml input_path=a.ppm num_gaussians="[300, 5]" -o five' "$program"
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
finish
