#!/bin/sh
# imgtrain plan: what it says is what a run then takes; budgets, sizes without an image, bad input.
. "$(dirname "$0")/lib.sh"

if ! command -v python3 >/dev/null; then
    skip "all of it: python3, which reads the JSON, is not here"
    finish
fi
cat >gan.yaml <<'YAML'
task: gan
device: cpu
threads: 1
gan: {width: 20, height: 16, widths: [16, 8, 8], images: 64, batch: 64, samples: 4}
frames: {count: 0}
video: {enabled: false}
YAML
cat >splat.yaml <<'YAML'
task: splat
device: cpu
threads: 1
num_gaussians: 500
max_steps: 3
frames: {count: 0}
video: {enabled: false}
YAML
picture picture.ppm 70 50
pictures photos 6 20 16

# check EXPRESSION: true of the JSON on stdout, called p; rows its configurations, row the chosen one
check() {
    if python3 -c 'import json, sys
p = json.load(sys.stdin); rows = p["configurations"]; row = rows[p["chosen"]] if p["chosen"] >= 0 else None
sys.exit(not eval(sys.argv[1]))' "$1" <"$out" 2>"$err"; then pass; else flunk "not so: $1"; fi
}

run 0 imgtrain plan gan.yaml --json
check 'list(rows[0]) == "level amp checkpointing micro_batch bands offload workspace_cap device_bytes host_bytes relative_time fits".split()'
check 'p["chosen"] == 0 and row["level"] == 0 and row["micro_batch"] == 64 and p["budget_bytes"] > 0'
check 'sorted({r["level"] for r in rows}) == [0, 1, 2, 4]'
check 'all(r["fits"] == (r["device_bytes"] <= p["budget_bytes"]) for r in rows)'
run 0 imgtrain plan gan.yaml 'gan.widths=[]' --json --budget 8GB
check 'p["largest"]["size"] > 64 and p["largest"]["batch"] >= 64'
run 0 imgtrain plan gan.yaml --json --budget 5MB
check 'p["budget_bytes"] == 5000000 and row["level"] == 2 and row["fits"] and not rows[0]["fits"]'
check 'row["relative_time"] == min(r["relative_time"] for r in rows if r["fits"])'
check 'p["largest"]["gaussians"] == 0'
run 0 imgtrain plan gan.yaml --json --budget 1kB
check 'p["chosen"] == -1'
run 0 imgtrain plan gan.yaml --budget 1kB
out_has "nothing fits"
run 0 imgtrain plan gan.yaml --json memory.level=1
check 'row["level"] == 1 and row["checkpointing"]'
run 0 imgtrain plan gan.yaml --budget 5MB
out_has "the fastest that fits; the next faster one lacks"

# memory.level picks the mode; keys that allow some modes only say in one line what they come to
run 0 imgtrain plan gan.yaml
out_lacks "memory modes"
run 0 imgtrain plan gan.yaml scheme=none
out_has "gan.scheme none leaves 8 of 12 memory modes"
run 0 imgtrain plan gan.yaml scheme=c micro_batch=16
out_has "gan.scheme block, gan.micro_batch 16 leave 2 of 12 memory modes"
run 0 imgtrain plan gan.yaml scheme=none use_gradient_checkpointing=true
out_has "memory.use_gradient_checkpointing leaves 8 of 12 memory modes; gan.scheme none has no effect"
run 0 imgtrain plan gan.yaml scheme=none memory.level=1
out_has "memory.level 1 has no mode here: the nearest one is taken"
run 0 imgtrain plan gan.yaml memory.level=1
out_lacks "has no mode here"
run 0 imgtrain plan splat.yaml --size 70x50 use_gradient_checkpointing=true
out_has "memory.use_gradient_checkpointing has no effect"
run 0 imgtrain train gan.yaml data=photos scheme=block memory.level=0 -o restricted
err_has "gan.scheme block leaves 8 of 12 memory modes"
err_has "memory.level 0 has no mode here: the nearest one is taken"
if [ "$(grep -c 'memory modes' "$err")" = 1 ]; then pass; else flunk "said more than once"; fi

# a run takes what the plan says, in every level
for level in 0 1 2 4; do
    run 0 imgtrain plan gan.yaml data=photos memory.level=$level --json
    cp "$out" plan.json
    run 0 imgtrain train gan.yaml data=photos memory.level=$level -q -o gan-$level
    cp plan.json "$out"
    check "row['level'] == $level and [(m['predicted'], m['allocated'], m['peak'], m['level']) for m in map(json.loads, open('gan-$level/memory.jsonl'))] == [(row['device_bytes'],) * 3 + ($level,)]"
done

run 0 imgtrain plan splat.yaml input_path=picture.ppm --json
cp "$out" picture.json
check 'row["level"] == 0 and p["largest"]["batch"] == 0 and p["largest"]["gaussians"] >= 500'
run 0 imgtrain plan splat.yaml --size 70x50 --json
check 'rows == json.load(open("picture.json"))["configurations"]'
run 0 imgtrain plan splat.yaml --size 7680x4320 num_gaussians=30000 --json
check 'row["device_bytes"] < 1.3e9'
run 0 imgtrain plan splat.yaml --size 70x50 --json --budget 2MB
check '0 < p["largest"]["size"] and 0 < p["largest"]["gaussians"]'

run 78 imgtrain plan splat.yaml
err_has "--size WxH"
run 64 imgtrain plan splat.yaml --size 70
run 64 imgtrain plan splat.yaml --size 70x50 --budget much
run 64 imgtrain plan gan.yaml --size 70x50
run 66 imgtrain plan gan.yaml data=missing
run 64 imgtrain plan
finish
