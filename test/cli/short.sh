#!/bin/sh
# Both tasks from the plan to the last file, stopped and resumed, in few steps. scripts/check.sh runs it
# in builds with sanitizers too, whose reports change the exit status: of gcc and of clang.
. "$(dirname "$0")/lib.sh"

mkdir photos photos/a photos/b
for i in 1 2 3 4 5 6 7 8; do
    folder=a
    [ $i -gt 4 ] && folder=b
    awk -v i=$i 'BEGIN { print "P3 40 28 255"
        for (y = 0; y < 28; y++) for (x = 0; x < 40; x++)
            print (x * i * 2) % 256, (y * 9 + i * 9) % 256, (x * y + 40 * i) % 256 }' >photos/$folder/$i.ppm
done
cat >splat.yaml <<'YAML'
task: splat
input_path: photos/a/3.ppm
num_gaussians: 80
max_steps: 30
add_steps: 5
relocate_every: 4
post_min_steps: 8
eval_steps: 6
vis_gaussians: true
frames: {count: 5}
video: {hold: 0.2}
YAML
cat >gan.yaml <<'YAML'
task: gan
data: photos
eval_every: 16
eval_samples: 24
gan: {width: 20, height: 16, widths: [16, 8, 8], images: 48, batch: 8, samples: 4, labels: true}
frames: {count: 3}
video: {hold: 0.2}
YAML

clean() { # no report of a sanitizer in what was just said
    last="a report"
    err_lacks "Sanitizer"
    err_lacks "runtime error"
}
works() {
    run 0 "$@"
    clean
}

for device in cpu cuda; do
    if [ $device = cuda ] && ! imgtrain doctor 2>/dev/null | grep -q '^cuda *cuda:'; then continue; fi
    for task in splat gan; do
        folder=$task-$device
        works imgtrain plan $task.yaml device=$device
        works imgtrain train $task.yaml device=$device --dry-run
        works imgtrain train $task.yaml device=$device threads=2 -o $folder
        # Stopped before the first step, and resumed on another number of threads
        run 75 imgtrain train $task.yaml device=$device threads=1 -o $folder-again --time-limit 0.000001s
        clean
        works imgtrain train $task.yaml device=$device threads=3 -o $folder-again --resume
        [ $device = cuda ] || same $folder/model.safetensors $folder-again/model.safetensors
        works imgtrain info $folder
        works imgtrain video $folder
        # The least memory there is a way for
        works imgtrain train $task.yaml device=$device memory.level=4 -o $folder-least -q
    done
    works imgtrain train splat.yaml device=$device input_path=photos/a quantize=true downsample=true -o stack-$device -q
    works imgtrain render splat-$device -o twice.png --scale 2 --device $device
    works imgtrain render splat-$device -o ellipses.png --gaussians --device $device
    works imgtrain eval splat-$device photos/a/3.ppm --device $device
    works imgtrain sample gan-$device -o samples-$device --seeds 0-5 --device $device
    works imgtrain sample gan-$device -o walk.png --grid 3x2 --seeds 0-5 --device $device
    works imgtrain eval gan-$device/model.safetensors photos --device $device
done
works imgtrain doctor
works imgtrain config gan.yaml
finish
