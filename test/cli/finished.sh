#!/bin/sh
# A finished run of which a file is lost, empty or cut off: what can be made again is, to the same
# bits and with one line; what cannot is said, and nothing else is touched.
. "$(dirname "$0")/lib.sh"

picture picture.ppm 48 32
mkdir photos maps
pictures photos 12 16 16
cp photos/1.ppm photos/2.ppm photos/3.ppm maps/
common="device=cpu threads=1 frames.count=2 eval_steps=4 checkpoint.keep=1 video.max_size=64 video.hold=0.1 video.fps=8"
fit="input_path=picture.ppm num_gaussians=40 max_steps=8 vis_gaussians=true"
stack="input_path=maps num_gaussians=40 max_steps=8 vis_gaussians=true video.enabled=false"
gan="task=gan data=photos size=16 widths=[16,8,8] batch=4 images=32 samples=4 gan.eval_every=4"
checkpoint=checkpoints/step-000000008.safetensors
video=yes
imgtrain doctor 2>/dev/null | grep -q '^video *libavcodec' || video=no

train() { # RUN [--resume]
    # shellcheck disable=SC2086  # lists of keys
    run "$status" imgtrain train $keys $common -o "$@"
}

damage() { # FILE KIND: in a copy of the run
    rm -rf broken
    cp -Rp "$task" broken
    case $2 in
    gone) rm "broken/$1" ;;
    empty) : >"broken/$1" ;;
    half)
        size=$(($(wc -c <"$task/$1") / 2))
        head -c $size "$task/$1" >"broken/$1"
        # within a line, wherever the middle is
        [ -n "$(tail -c 1 "broken/$1" | tr -d '\n')" ] || head -c $((size - 1)) "$task/$1" >"broken/$1"
        ;;
    esac
}

again() { # FILE...: each is made again to the same bits, by the line of a file that is damaged
    for file in "$@"; do
        for kind in gone empty half; do
            status=0
            damage "$file" $kind
            train broken --resume
            last="$task/$file, $kind"
            if cmp -s "$task/$file" "broken/$file"; then pass; else flunk "it is not made again"; fi
            [ $kind = gone ] || err_has "broken/$file"
            [ $kind = gone ] || err_has "it is made again"
            if [ "$(grep -c "$file" "$err")" -le 1 ]; then pass; else flunk "more than one line about it"; fi
            for other in model.safetensors final.png metrics.jsonl $checkpoint; do
                cmp -s "$task/$other" "broken/$other" || flunk "$other has changed"
            done
        done
    done
}

kept() { # STATUS FILE...: the run ends like this, with the other files as they were
    status=$1
    shift
    for file in "$@"; do
        for kind in gone empty half; do
            damage "$file" $kind
            train broken --resume
            last="$task/$file, $kind"
            for other in model.safetensors final.png frames/000000008.json metrics.jsonl; do
                [ "$file" = "$other" ] || cmp -s "$task/$other" "broken/$other" || flunk "$other has changed"
            done
        done
    done
}

for task in fit stack gan; do
    eval "keys=\$$task"
    status=0
    train $task
    case $task in
    fit) again model.safetensors final.png reference.png gaussians.png ;;
    stack) again final.png final-002.png gaussians.png ;;
    gan) again model.safetensors best.safetensors final.png reference.png ;;
    esac
    [ $task = stack ] && continue
    if [ $video = yes ]; then again video.mp4; else skip "$task/video.mp4: no libav here"; fi

    # config.yaml: what the checkpoint was made with counts.
    for kind in gone empty half; do
        status=0
        damage config.yaml $kind
        train broken --resume
        err_has "broken/config.yaml is $([ $kind = gone ] && echo lost || echo "damaged or was changed"): it is made again"
        run 0 cmp $task/config.yaml broken/config.yaml
    done
    cp $task/config.yaml broken/config.yaml
    sed -i 's/^seed: .*/seed: 77/' broken/config.yaml
    # shellcheck disable=SC2086  # lists of keys
    run 78 imgtrain train $keys $common -o broken --resume seed=77
    err_has "seed (123 then, 77 now)"
    status=0
    train broken --resume
    run 0 cmp $task/config.yaml broken/config.yaml
    rm broken/config.yaml
    # shellcheck disable=SC2086
    run 78 imgtrain train $keys $common -o broken --resume seed=77
    err_has "seed (123 then, 77 now)"
    run 0 test ! -e broken/config.yaml

    # What only training makes.
    kept 0 frames/000000001.jpg metrics.csv log.txt lock
    # The last checkpoint: the result that is there stays, and nothing begins from the start.
    status=66
    damage $checkpoint gone
    train broken --resume
    err_has "broken has a model but no checkpoint any more"
    run 0 cmp $task/metrics.csv broken/metrics.csv
    run 0 cmp $task/model.safetensors broken/model.safetensors
    run 0 test -s broken/frames/000000001.jpg
    for kind in empty half; do
        status=65
        damage $checkpoint $kind
        train broken --resume
        run 0 cmp $task/metrics.csv broken/metrics.csv
    done
done

# ---- a video without frames cannot be made again; a reference is made before the video of a new end ----
task=fit keys=$fit status=0
if [ $video = yes ]; then
    damage video.mp4 half
    rm broken/frames/*
    train broken --resume
    err_has "broken/video.mp4 is cut off or damaged: there are no frames to make it from"
    out_lacks "video.mp4"
    damage video.mp4 empty
    : >broken/reference.png
    run 0 imgtrain video broken
    err_has "broken/reference.png"
    run 0 test -s broken/video.mp4
    train broken --resume
    err_has "broken/reference.png is empty: it is made again"
fi

# ---- what a resume is asked for in addition ----
keys="$fit vis_gaussians=false"
train plain
keys=$fit
train plain --resume
run 0 cmp fit/gaussians.png plain/gaussians.png

finish
