#!/bin/sh
# One name for one thing, and every older name of it still works: --memory-limit, --seeds, gan.scheme
# (in files, on the command line, in the environment, in checkpoints), presets by name.
. "$(dirname "$0")/lib.sh"
export OMP_NUM_THREADS=1 # workspaces grow with the number of threads

cat >gan.yaml <<'YAML'
task: gan
device: cpu
threads: 1
gan: {data: photos, size: 8, widths: [16], images: 64, batch: 32, samples: 4, eval_samples: 0}
frames: {count: 0}
video: {enabled: false}
YAML
pictures photos 8 8 8
picture picture.ppm 60 1600
run 0 imgtrain train gan.yaml -q -o gan
run 0 imgtrain train input_path=picture.ppm max_steps=2 num_gaussians=200 device=cpu threads=1 frames.count=0 \
    video.enabled=false -q -o fit
gives() { # FILE: what stdout was
    cp "$out" result
    same result "$1"
}

# ---- --memory-limit, --max-vram, --budget ----
run 0 imgtrain plan gan.yaml --json
cp "$out" free.json
run 0 imgtrain plan gan.yaml --json --memory-limit 2MB
cp "$out" wanted.json
differ free.json wanted.json
for name in memory-limit max-vram budget; do
    run 0 imgtrain plan gan.yaml --json --$name 2MB
    gives wanted.json
    run 0 imgtrain plan gan.yaml --json --$name=2MB
    gives wanted.json
    run 64 imgtrain plan gan.yaml --$name much
    err_has "--$name: 'much' is no amount of memory"

    run 0 imgtrain train gan.yaml --$name 2MB -q -o gan-$name
    grep -o '"level.*"predicted": [0-9]*' gan-$name/memory.jsonl >picked
    [ -e picked.first ] || cp picked picked.first
    same picked picked.first
    run 0 grep -q '^  limit: 2000000$' gan-$name/config.yaml
    same gan/model.safetensors gan-$name/model.safetensors
    run 31 imgtrain train gan.yaml memory.limit=1GB --$name 1kB -q -o none

    run 0 imgtrain render fit --device cpu --$name 215kB -o $name.ppm
    err_has "rows at a time"
    run 0 imgtrain render fit --device cpu -o all.ppm
    err_lacks "rows at a time"
    same all.ppm $name.ppm

    run 0 imgtrain eval fit picture.ppm --device cpu
    cp "$out" scores
    run 0 imgtrain eval fit picture.ppm --device cpu --$name 215kB
    err_has "rows at a time"
    gives scores
    run 0 imgtrain eval gan photos --device cpu
    cp "$out" figures
    run 0 imgtrain eval gan photos --device cpu --$name 1MB
    err_has "samples at a time"
    gives figures

    run 0 imgtrain sample gan --seeds 0-15 --device cpu --$name 1MB -o few-$name
    err_has "images at a time"
    run 0 imgtrain sample gan --seeds 0-15 --device cpu -o many
    same few-$name/seed-00015.png many/seed-00015.png

    run 0 imgtrain bench --task gan --size 8 --batch 8 --steps 1 --device cpu --$name 1GB
    run 31 imgtrain bench --task gan --size 8 --batch 8 --steps 1 --device cpu --$name 1kB
done
level_of() { grep -o '"level": [0-9]' "$1" | head -n 1; }
last="a run and its plan pick the same"
if [ "$(level_of picked.first)" != '"level": 0' ]; then pass; else flunk "the limit shows nowhere"; fi

# ---- --seeds, --seed ----
run 0 imgtrain sample gan --seeds 3,4 --device cpu -o seeds
run 0 imgtrain sample gan --seed 3,4 --device cpu -o seed
for file in seed-00003.png seed-00004.png; do same seeds/$file seed/$file; done

# ---- other names stand in the help, the man page and behind no completion of options ----
for command in train plan render sample eval bench; do
    run 0 imgtrain $command --help
    out_has "--memory-limit BYTES"
    out_has "other names: --max-vram --budget"
    run 0 sh -c 'exec "$0" help --man | sed -n "/^\.SS $1\$/,/^\.S[SH]/p" | grep -qxF "Other names: \\-\\-max\\-vram \\-\\-budget."' "$program" $command
done

# ---- gan.scheme: none and block, of old a and c ----
for pair in none:a block:c; do
    new=${pair%:*} old=${pair#*:}
    for value in "$new" "$old"; do
        sed "s/images: 64/images: 64, scheme: $value/" gan.yaml >scheme.yaml
        run 0 imgtrain config scheme.yaml --yaml
        out_has "  scheme: $new"
        run 0 imgtrain config gan.yaml gan.scheme="$value" --yaml
        out_has "  scheme: $new"
        run 0 env IMGTRAIN_GAN__SCHEME="$value" "$program" config gan.yaml --yaml
        out_has "  scheme: $new"
        run 0 imgtrain plan gan.yaml scheme="$value" --json --memory-limit 1GB
        [ "$value" = "$new" ] && cp "$out" "$new.json"
        gives "$new.json"
        run 0 imgtrain bench --task gan --size 8 --batch 8 --steps 1 --device cpu --scheme "$value"
    done
done
differ none.json block.json
run 78 imgtrain config gan.yaml scheme=d
err_has "scheme: expected one of auto|none|block, got 'd'"
run 64 imgtrain bench --task gan --scheme d
err_has "--scheme d is neither none nor block"
run 0 imgtrain config --explain gan.scheme
out_has "a = none, c = block"
# what an older version has written goes on to the same model
if command -v python3 >/dev/null; then
    run 0 imgtrain train gan.yaml scheme=block checkpoint.every=1 -q -o old
    same gan/model.safetensors old/model.safetensors
    rm old/model.safetensors old/final.png old/checkpoints/*2.safetensors
    for checkpoint in old/checkpoints/*.safetensors; do
        run 0 python3 "$root/test/cli/store_file.py" "$checkpoint" set \
            "config=$(sed 's/^  scheme: block$/  scheme: c/' old/config.yaml)"
    done
    sed -i 's/^  scheme: block$/  scheme: c/' old/config.yaml
    run 0 grep -qx '  scheme: c' old/config.yaml
    run 0 imgtrain train gan.yaml scheme=block -q -o old --resume
    err_lacks "scheme"
    same gan/model.safetensors old/model.safetensors
fi

# ---- presets: files in cfgs, by name from anywhere; a file or a mistake of the user comes first ----
for name in tiny tiny.yaml cfgs/tiny.yaml; do
    run 0 imgtrain config $name
    out_has "$root/cfgs/tiny.yaml"
done
run 0 imgtrain plan gan-16 device=cpu
run 0 imgtrain train tiny input_path=picture.ppm device=cpu threads=1 max_steps=2 video.enabled=false -q
run 0 test -d runs/tiny-001
mkdir photo # a folder is no config
run 0 imgtrain config photo
out_has "$root/cfgs/photo.yaml"
echo 'max_steps: 7' >demo
run 0 imgtrain config demo
out_lacks "$root/cfgs"
run 66 imgtrain config pohto
err_has "pohto: no such file, and no preset of this name"
run 66 imgtrain config pohto.yaml
run 66 imgtrain config elsewhere/tiny.yaml
# beside the program
mkdir -p "$work/bin/cfgs"
cp "$program" "$work/bin/imgtrain"
echo 'max_steps: 8' >"$work/bin/cfgs/mine.yaml"
run 0 "$work/bin/imgtrain" config mine
out_has "bin/cfgs/mine.yaml"
ln -s "$work/bin/imgtrain" linked
run 0 ./linked config mine
out_has "bin/cfgs/mine.yaml"
run 66 "$work/bin/imgtrain" config tiny
# nothing of them is compiled in
for preset in "$root"/cfgs/*.yaml; do
    run 1 grep -qF -- "$(head -n 1 "$preset")" "$program"
done
finish
