#!/bin/sh
# imgtrain verify: run folders and single files, sound, and damaged in each kind of file that a run writes.
. "$(dirname "$0")/lib.sh"

video=yes
imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec' || video=no
picture picture.ppm 48 32
run 0 imgtrain train input_path=picture.ppm num_gaussians=40 max_steps=8 save_ckpt_steps=4 frames.count=2 \
    video.max_size=64 video.hold=0.1 device=cpu threads=1 -o run
old=run/checkpoints/step-000000004.safetensors
new=run/checkpoints/step-000000008.safetensors
find run -type f -exec cksum {} + | sort >before.txt
run 0 imgtrain verify run
out_has "sound    $new: checkpoint"
out_has "sound    run/model.safetensors: model, "
out_has "sound    run/final.png: image 48x32"
out_has "sound    run/frames: $(find run/frames -type f | wc -l) files"
[ $video = no ] || out_has "sound    run/video.mp4: video"
out_has "run: a resume goes on from step 8"
out_lacks DAMAGED
find run -type f -exec cksum {} + | sort >after.txt
same before.txt after.txt
run 0 imgtrain verify --json run run/model.safetensors
cp "$out" said.json
run 0 python3 -c 'import json; r = json.load(open("said.json")); assert r["damaged"] == 0 and r["sound"] == len(r["files"]) > 10, r'

damaged() { # FILE: a copy of the run in which that one is damaged is refused, by a line that names it
    run 65 imgtrain verify "broken run"
    [ "$(grep -c ^DAMAGED "$out")" = 1 ] && grep ^DAMAGED "$out" | grep -qF "broken run/$1" && pass ||
        flunk "$(grep ^DAMAGED "$out") is not one line that names $1"
    err_has "damaged or not readable: 1 of"
}

flip() { # FILE PLACE: other bits in one byte
    python3 -c 'import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 16]))' "$1" "$2"
}

for file in checkpoints/step-000000008.safetensors model.safetensors reference.png final.png \
    frames/000000008.jpg frames/000000008.json metrics.jsonl config.yaml memory.jsonl video.mp4; do
    [ -e "run/$file" ] || continue
    rm -rf "broken run"
    cp -R run "broken run"
    case $file in
    *.safetensors | *.png) flip "broken run/$file" $(($(wc -c <"run/$file") - 40)) ;;
    *.jsonl) echo '{"step": ' >>"broken run/$file" ;;
    *.yaml) echo 'gan: [' >>"broken run/$file" ;;
    *)
        size=$(($(wc -c <"run/$file") / 2))
        head -c $size "run/$file" >"broken run/$file"
        ;;
    esac
    damaged "$file"
    case $file in
    checkpoints/*) out_has "a resume goes on from step 4" ;;
    *) out_has "a resume goes on from step 8" ;;
    esac
done

# JSON with something behind it, which a reader that stops at its end does not see: another file's rest, or the
# zeros of blocks that were not written.
for rest in '{"step": 1}' '\000\000'; do
    for file in frames/000000008.json metrics.jsonl; do
        rm -rf "broken run"
        cp -R run "broken run"
        { printf '%s' "$(cat "run/$file")" && printf "$rest\n"; } >"broken run/$file"
        damaged "$file"
    done
done

# A checkpoint under another step's name, and one of another run.
rm -rf "broken run"
cp -R run "broken run"
cp "$old" "broken run/checkpoints/step-000000008.safetensors"
damaged checkpoints/step-000000008.safetensors
out_has "is of step 4"
rm -rf "broken run"
cp -R run "broken run"
echo 0123456789abcdef0123456789abcdef >"broken run/run-id"
run 65 imgtrain verify "broken run"
out_has "is of another run"
out_has "no checkpoint to resume from"

# What a process that was killed may leave is no damage; what makes a reader wait is passed by.
rm -rf "broken run"
cp -R run "broken run"
printf '{"step": 9' >>"broken run/metrics.jsonl"
mv "broken run/checkpoints/step-000000008.safetensors" "broken run/checkpoints/step-000000008.safetensors.bad"
mkfifo "broken run/pipe.png"
ln -s /dev/zero "broken run/zero.json"
run 0 imgtrain verify "broken run"
out_has "and one that was not written to its end"
out_has "1 damaged checkpoint was set aside"
out_has "a resume goes on from step 4"

# Checkpoints that stay for good are saved at their steps whatever the others go by.
run 0 imgtrain train input_path=picture.ppm num_gaussians=40 max_steps=8 checkpoint.keep=1 checkpoint.keep_every=3 \
    frames.count=0 video.enabled=false device=cpu threads=1 -o kept
run 0 imgtrain verify kept
[ "$(grep -o 'step-[0-9]*' "$out" | tr '\n' ' ')" = "step-000000008 step-000000006 step-000000003 " ] && pass ||
    flunk "not those of steps 3, 6 and 8"

# Model folders, in a run and by themselves; those of download caches are full of links.
rm -rf "broken run"
cp -R run "broken run"
mkdir -p "broken run/model/transformer" "broken run/cache/deep/deeper"
cp run/model.safetensors "broken run/model/transformer/x.safetensors"
echo '{}' >"broken run/model/model_index.json"
run 0 imgtrain verify "broken run"
out_has "sound    broken run/model/transformer/x.safetensors"
cp -R "broken run/model" model
ln -s ../../run/model.safetensors model/transformer/y.safetensors
run 0 imgtrain verify model
out_has "sound    model/transformer/y.safetensors"
out_lacks resume
flip "broken run/model/transformer/x.safetensors" 3000
damaged model/transformer/x.safetensors

run 64 imgtrain verify
run 66 imgtrain verify absent.safetensors
out_has "absent.safetensors"
mkdir empty
run 66 imgtrain verify empty
err_has "empty: no run folder"
run 65 imgtrain verify picture.ppm run/model.safetensors
out_has "sound    run/model.safetensors"
run 74 sh -c '"$0" verify run >/dev/full' "$program"
finish
