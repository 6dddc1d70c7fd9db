#!/bin/sh
# Disks that fail, are full, or hold links of somebody else's: no file is taken for damaged that is
# not, nothing outside of the run folder is touched, and what a checkpoint counts on is synced first.
. "$(dirname "$0")/lib.sh"

picture picture.ppm 40 30
cat >tiny.yaml <<'YAML'
task: splat
input_path: picture.ppm
device: cpu
threads: 1
num_gaussians: 40
max_steps: 40
eval_steps: 5
frames: {every: 10}
video: {enabled: false}
checkpoint: {every: 10, keep: 3}
YAML
run 0 imgtrain train tiny.yaml -o whole -q
newest=checkpoints/step-000000040.safetensors
files_in() { (cd "$1" && find . | sort | tr '\n' ' '); }
# untouched WHAT FILE COPY
untouched() {
    last=$1
    if cmp -s "$2" "$3"; then pass; else flunk "$2 is another one, or gone"; fi
}

# ---- a damaged checkpoint: the older one is used, the damaged one is kept ----
cp -r whole broken
truncate -s 3000 "broken/$newest"
cp "broken/$newest" broken-bytes
run 0 imgtrain train tiny.yaml -o broken --resume max_steps=60 -q
untouched "a damaged checkpoint" "broken/$newest.bad" broken-bytes
run 0 imgtrain info broken
out_has "set aside    1 damaged checkpoint"
run 0 imgtrain info broken --json
out_has '"bad_checkpoints": 1'
cp -r whole broken-all
for file in broken-all/checkpoints/*; do truncate -s 3000 "$file"; done
before=$(files_in broken-all/checkpoints)
run 65 imgtrain train tiny.yaml -o broken-all --resume -q
last="no sound checkpoint"
if [ "$(files_in broken-all/checkpoints)" = "$before" ]; then pass; else flunk "files changed"; fi

# ---- links in a run folder of somebody else's ----
mkdir victim
echo precious >victim/text
cp victim/text victim-copy
cp whole/frames/000000010.jpg victim/000000999.jpg
for name in lock log.txt metrics.jsonl metrics.csv memory.jsonl; do
    cp -r whole linked
    rm "linked/$name"
    ln -s ../victim/text "linked/$name"
    run 77 imgtrain train tiny.yaml -o linked --resume max_steps=60 -q
    err_has "linked/$name is a link"
    untouched "$name is a link" victim/text victim-copy
    rm "linked/$name"
    ln -s ../victim/new "linked/$name"
    run 77 imgtrain train tiny.yaml -o linked --resume max_steps=60 -q
    if [ -e victim/new ]; then flunk "a file was made at the end of the link"; else pass; fi
    rm -f victim/new "linked/$name"
    mkfifo "linked/$name"
    run 73 timeout -s KILL 200 "$program" train tiny.yaml -o linked --resume max_steps=60 -q
    err_has "not a regular file"
    rm -r linked
done
cp -r whole linked
rm linked/config.yaml
mkfifo linked/config.yaml
run 0 timeout -s KILL 200 "$program" train tiny.yaml -o linked --resume max_steps=60 -q
rm -r linked
for name in frames checkpoints; do
    cp -r whole linked
    rm -r "linked/$name"
    ln -s ../victim "linked/$name"
    before=$(files_in victim)
    run 77 imgtrain train tiny.yaml -o linked --resume -q
    err_has "linked/$name is a link"
    if [ "$(files_in victim)" = "$before" ]; then pass; else flunk "files at its end changed"; fi
    rm -r linked
done
cp -r whole linked
rm "linked/$newest" linked/model.safetensors
ln -s "../../whole/$newest" "linked/$newest"
run 77 imgtrain train tiny.yaml -o linked --resume -q
run 77 imgtrain info linked
ln -s ../whole/model.safetensors linked/model.safetensors
run 77 imgtrain render linked -o linked.png
run 0 imgtrain render linked/model.safetensors -o linked.png # named by the user himself

# ---- a folder that is there, but empty ----
mkdir -p mounted/lost+found used
touch mounted/.gitkeep used/notes.txt
run 0 imgtrain train tiny.yaml -o mounted max_steps=5 -q
if [ -d mounted/lost+found ] && [ -e mounted/.gitkeep ]; then pass; else flunk "what was there is gone"; fi
run 73 imgtrain train tiny.yaml -o mounted max_steps=5 -q
run 73 imgtrain train tiny.yaml -o used max_steps=5 -q
run 73 imgtrain train tiny.yaml -o used --resume max_steps=5 -q
mkdir -p again/lost+found
run 0 imgtrain train tiny.yaml -o again --resume max_steps=5 -q
# A process that was killed before its config.yaml was there leaves a folder that can be resumed.
for file in lock run-id run-id.tmp-host-1-0123456789ab config.yaml.tmp-host-1-0123456789ab reference.png; do
    mkdir "killed-$file" && touch "killed-$file/$file"
    run 0 imgtrain train tiny.yaml -o "killed-$file" --resume max_steps=5 -q
done

if ! command -v strace >/dev/null || ! strace -o /dev/null -e inject=rename:signal=KILL:when=999 true 2>/dev/null; then
    skip "calls that fail: no strace"
    finish
fi
# failing CALL=ERROR[:when=N] PATH ... COMMAND: strace that fails this call for this path
failing() {
    call=${1%%=*} error=${1#*=} path=$2
    shift 2
    strace -f -o /dev/null -P "$path" -e "trace=$call" -e "inject=$call:error=$error" "$@"
}

# ---- a sound checkpoint that cannot be opened for the moment ----
cp -r whole kept
for pair in EIO:74 ESTALE:74 ENXIO:74 EMFILE:71 ENFILE:71 ENOMEM:71 EACCES:77 EPERM:77; do
    run "${pair#*:}" failing "openat=${pair%:*}" "kept/$newest" \
        "$program" train tiny.yaml -o kept --resume max_steps=60 -q
    untouched "$pair" "kept/$newest" "whole/$newest"
    run "${pair#*:}" failing "openat=${pair%:*}" "kept/$newest" "$program" info kept
done
run 74 failing getdents64=EIO "$PWD/kept/checkpoints" \
    "$program" train tiny.yaml -o kept --resume max_steps=60 -q
untouched "a folder that cannot be listed" "kept/$newest" "whole/$newest"
cp kept/config.yaml config-copy
run 74 failing openat=EIO kept/config.yaml \
    "$program" train tiny.yaml -o kept --resume max_steps=70 -q
untouched "a config that cannot be read" kept/config.yaml config-copy
for pair in EIO:74 EMFILE:71 EACCES:77 ENOENT:66; do
    for path in picture.ppm tiny.yaml; do
        run "${pair#*:}" failing "openat=${pair%:*}" "$path" "$program" train tiny.yaml -o none -q
    done
    run "${pair#*:}" failing "openat=${pair%:*}" picture.ppm "$program" eval picture.ppm picture.ppm
    run "${pair#*:}" failing "openat=${pair%:*}" whole/model.safetensors \
        "$program" render whole/model.safetensors -o none.png
done

# A folder of images: what can never be read is left out, what cannot be read now ends the run, as
# the set would be another one.
mkdir photos photos/sub
pictures photos 6 16 16
cp photos/1.ppm photos/plain
cp photos/2.ppm photos/sub/7.ppm
cat >gan.yaml <<'YAML'
task: gan
data: photos
device: cpu
gan: {width: 16, height: 16, widths: [16, 8, 8], images: 16, batch: 4, samples: 4}
YAML
for path in photos/3.ppm photos/plain photos/sub; do
    for pair in EIO:74 EMFILE:71 EACCES:0; do
        run "${pair#*:}" failing "openat=${pair%:*}" "$path" "$program" train gan.yaml --dry-run
    done
done
run 74 failing "getdents64=EIO" "$PWD/photos" "$program" train gan.yaml --dry-run
run 74 failing "newfstatat=EIO" photos/4.ppm "$program" train gan.yaml --dry-run

# ---- no inodes are left, or the quota is used up ----
for error in ENOSPC EDQUOT; do
    run 74 failing "mkdir=$error" full "$program" train tiny.yaml -o full -q
    run 74 failing "openat=$error" full/lock "$program" train tiny.yaml -o full -q
    rm -rf full
done
finish
