#!/bin/sh
# run.sh of the kit: checks and measurements on this machine's GPU, in the order of what matters most
# in a short session.
#
#   ./run.sh [-o FOLDER] [-t SECONDS] [-s] [PART ...]     PARTS of the first command, without any named:
#       machine quick tests ops splat fits gan sr cudnn sanitizer failures
#   ./run.sh -t 240 failures profile                      and of a second one: what failed again, alone;
#                                                         the kernels by ncu; more: trainings
#
# Each step has a file in FOLDER (results), written as it goes, and lines in FOLDER/summary.txt; one
# that crashes or hangs is not the end of the others. FOLDER.tar.gz is all of it. No step begins after
# SECONDS (400). Status 1 if any failed. -s: small sizes, for a rehearsal. On the machine that makes
# the kit, `./run.sh reference` writes what the CPU reaches in the same fits.
cd "$(dirname "$0")" || exit 1
suites='cuda_nn cuda_splat'
out=results most=400 small=
while getopts o:t:s option; do
    case $option in
    o) out=$OPTARG ;;
    t) most=$OPTARG ;;
    s) small=yes ;;
    *) exit 64 ;;
    esac
done
shift $((OPTIND - 1))
parts=${*:-machine quick tests ops splat fits gan sr cudnn sanitizer failures}
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
begin=$(date +%s)
failed=0 left_out=0 # of this run; the summary may have others before it

# Libraries of the kit; and those of cuDNN, where Python has it and the system has not.
nvidia=$(python3 -c 'import nvidia; print(*nvidia.__path__)' 2>/dev/null)
for folder in "$PWD/lib" ${nvidia:+"$nvidia"/*/lib}; do
    [ -d "$folder" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH
# What is off is said by `doctor --check` and the tests; it is measured all the same.
export IMGTRAIN_SELF_CHECK=0

say() { echo "$*" | tee -a "$out/summary.txt"; }

leave_out() { # WHY
    say "left out: $*"
    left_out=$((left_out + 1))
}

# Tests that cannot be made in one process, or by a real GPU, say so. Any other skip is a failure.
by_design='needs a process of its own|does not emulate|only the emulat|no cudnn\.h'

# step SECONDS NAME COMMAND...: the command's status, or NO_TIME
NO_TIME=75
step() {
    limit=$1 name=$2
    shift 2
    now=$(date +%s)
    left=$((begin + most - now))
    if [ "$left" -lt 5 ]; then
        leave_out "$name: no time"
        return $NO_TIME
    fi
    [ "$limit" -le "$left" ] || limit=$left
    echo "== $name: $*"
    timeout -k 5 "$limit" "$@" >"$out/$name.txt" 2>&1
    code=$?
    tail -n 15 "$out/$name.txt"
    result=ok
    grep '^skipped' "$out/$name.txt" | grep -qvE "$by_design" && result='FAILED: something was skipped' code=1
    [ "$code" = 124 ] && result="FAILED: still ran after $limit s"
    [ "$code" = 0 ] || [ "$result" != ok ] || result="FAILED with status $code"
    say "$name: $result, $(($(date +%s) - now)) s"
    [ "$code" = 0 ] || failed=$((failed + 1))
    return "$code"
}

# figures NAME REGEX: these lines of a step belong into the summary
figures() { [ -e "$out/$1.txt" ] && grep -E "$2" "$out/$1.txt" | sed 's/^/    /' | tee -a "$out/summary.txt" >/dev/null; }

have() { command -v "$1" >/dev/null 2>&1 || { leave_out "$1 is not on this machine"; false; }; }

bench() { # SECONDS NAME OPTION...
    limit=$1 name=$2
    shift 2
    step "$limit" "$name" ./imgtrain bench --device cuda ${small:+--steps 1} "$@"
    figures "$name" 'median|^conv|%$'
}

# sanitized SECONDS NAME TOOL SUITE...: in one process, since the tool sees no other
sanitized() {
    limit=$1 name=$2 tool=$3
    shift 3
    step "$limit" "$name" env CK_FORK=no compute-sanitizer --tool "$tool" --error-exitcode 9 ./imgtrain-test "$@"
    figures "$name" 'SUMMARY'
}

# ---- the parts ----
machine() {
    { date; uname -a; ldd --version 2>/dev/null | head -n 1; env | grep '^CUDA'; } >"$out/machine.txt"
    have nvidia-smi && step 20 driver nvidia-smi -q -d MEMORY,CLOCK,ECC,PERFORMANCE
    step 30 doctor ./imgtrain doctor
    figures doctor '^cuda |^CUDA '
    [ -z "$small" ] || return
    step 40 check ./imgtrain doctor --check
    figures check 'off|FAILED|wrong'
}

# Does anything run at all: ten steps of each task, beside the CPU's
agree() { # TASK COLUMN TOLERANCE
    paste -d, "$work/$1-cpu/metrics.csv" "$work/$1-cuda/metrics.csv" | awk -F, -v name="$2" -v most="$3" -v task="$1" '
        NR == 1 { half = NF / 2; for (i = 1; i <= half; i++) if ($i == name) at = i; next }
        { a = $at; b = $(at + half); seen = 1 }
        END { d = a > b ? a - b : b - a; size = a < 0 ? -a : a; bad = !(seen && at && d <= most * (size > 0.01 ? size : 0.01))
              printf "    %s: %s after 10 steps: the CPU %s, CUDA %s: %s\n", task, name, a, b, bad ? "FAILED: they differ" : "ok"
              exit bad }' >"$work/line" || failed=$((failed + 1))
    tee -a "$out/summary.txt" <"$work/line"
}
quick() {
    for device in cuda cpu; do
        step 60 "quick-splat-$device" ./imgtrain train "input_path=$PWD/pictures/small.png" num_gaussians=40 max_steps=10 \
            eval_steps=5 frames.count=0 video.enabled=false device=$device -q -o "$work/splat-$device" || break
        [ $device = cuda ] || agree splat loss 2e-3
    done
    for device in cuda cpu; do
        step 60 "quick-gan-$device" ./imgtrain train task=gan "data=$PWD/pictures/set" gan.width=20 gan.height=16 \
            'widths=[16, 8, 8]' images=80 batch=8 gamma=1 samples=4 eval_steps=5 conv=native frames.count=0 \
            video.enabled=false device=$device -q -o "$work/gan-$device" || break
        [ $device = cuda ] || agree gan loss_d 2e-2
    done
    for device in cuda cpu; do
        step 60 "quick-sr-$device" ./imgtrain train task=sr "dataroot_gt=$PWD/pictures/set" num_feat=16 num_conv=2 \
            lq_size=6 sr.batch=4 max_steps=10 eval_steps=5 frames.count=0 video.enabled=false device=$device -q \
            -o "$work/sr-$device" || break
        [ $device = cuda ] || agree sr loss 2e-3
    done
}

# One process a suite: with forks each test would open the GPU anew.
tests() {
    : >"$out/failed.txt"
    for suite in $suites; do
        CK_FORK=no CK_LOG_FILE_NAME=$out/$suite.log step 60 "$suite" ./imgtrain-test "$suite"
        case $? in 0 | "$NO_TIME") ;; *) echo "$suite" >>"$out/failed.txt" ;; esac
    done
}

ops() {
    step 60 ops ./gpu-bench ${small:+-s}
    figures ops ' us | ceilings|^ceilings'
}

splat() {
    a='--gaussians 10000' b='--width 7680 --height 4320 --gaussians 30000'
    [ -z "$small" ] || a='--size 48 --gaussians 40' b='--width 64 --height 36 --gaussians 50'
    # shellcheck disable=SC2086  # options
    {
        bench 30 splat-a-amp --task splat $a --amp
        bench 40 splat-b-amp --task splat $b --amp
        bench 30 splat-a-kernels --task splat $a --amp --steps 2 --kernels
        [ -n "$small" ] && return
        bench 40 splat-b-kernels --task splat $b --amp --steps 2 --kernels
        bench 30 splat-a-fp32 --task splat $a
        bench 40 splat-b-fp32 --task splat $b
    }
}

# ---- whole fits, whose CPU results are in reference.txt ----
fit() { # NAME PICTURE KEY=VALUE...: seconds of the whole, PSNR, SSIM; also into $work/NAME.seconds
    fit=$1 file=$PWD/pictures/$2
    shift 2
    from=$(date +%s.%N)
    step "$fit_limit" "fit-$fit" ./imgtrain train "input_path=$file" video.enabled=false "device=$fit_device" "$@" -o "$work/$fit" || return
    seconds=$(awk -v a="$from" -v b="$(date +%s.%N)" 'BEGIN { printf "%.2f", b - a }')
    echo "$seconds" >"$work/$fit.seconds"
    quality=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["psnr"] != "" { psnr = $at["psnr"]; ssim = $at["ssim"] }
        END { printf "%.2f dB, SSIM %.4f\n", psnr, ssim }' "$work/$fit/metrics.csv")
    say "    $fit: $seconds s in all, $quality$(sed -n "s/^$fit: /; the CPU: /p" reference.txt 2>/dev/null)"
    echo "$fit: $quality" >>"$work/reference"
    rm -rf "${work:?}/$fit/checkpoints"
}
fits_a='num_gaussians=10000 max_steps=2000 eval_steps=500' picture_a=a.jpg
fits_b='num_gaussians=30000 max_steps=300 eval_steps=100' picture_b=b.jpg
[ -z "$small" ] || fits_a='num_gaussians=40 max_steps=20 eval_steps=10 relocate_every=2' fits_b=$fits_a
fit_device=cuda fit_limit=60
fits() {
    # shellcheck disable=SC2086  # keys
    {
        fit a $picture_a $fits_a frames.count=0
        fit a-no-relocation $picture_a $fits_a frames.count=0 relocate_every=0
        fit a-frames $picture_a $fits_a frames.count=5
        awk '{ t[NR] = $1 } END { if (NR == 3)
            printf "    relocation in all %.2f s, 5 frames %.2f s\n", t[1] - t[2], t[3] - t[1] }' \
            "$work/a.seconds" "$work/a-no-relocation.seconds" "$work/a-frames.seconds" 2>/dev/null | tee -a "$out/summary.txt"
        fit a-fp32 $picture_a $fits_a frames.count=0 use_amp=false
        fit b $picture_b $fits_b frames.count=0
    }
}
reference() {
    fit_device=cpu fit_limit=3600 most=7200
    rm -f reference.txt
    # shellcheck disable=SC2086
    {
        fit a $picture_a $fits_a frames.count=0
        fit a-no-relocation $picture_a $fits_a frames.count=0 relocate_every=0
        fit b $picture_b $fits_b frames.count=0
    }
    mv "$work/reference" reference.txt
}

gan() {
    [ -z "$small" ] || return
    for size in 64 256; do
        for batch in 64 16; do bench 30 "gan-$size-$batch" --task gan --size $size --batch $batch --amp; done
    done
    bench 30 gan-64-kernels --task gan --size 64 --batch 64 --amp --steps 2 --kernels
}

# Compact 64-16, 16 patches of 64 px, enlarged 2 and 4 times
sr() {
    [ -z "$small" ] || return
    for times in 2 4; do bench 30 "sr-x$times" --task sr --enlarge $times; done
    bench 30 sr-kernels --task sr --enlarge 4 --steps 2 --kernels
}

# Our own convolutions against cuDNN's, which may try engines for a while
cudnn() {
    if [ -n "$small" ]; then
        bench 200 gan-8-cudnn --task gan --size 8 --batch 8 --conv auto --learn 5s --kernels
        return
    fi
    for size in 64 256; do
        bench 60 "gan-$size-cudnn" --task gan --size $size --batch 64 --amp --conv auto --learn 30s
    done
}

sanitizer() {
    have compute-sanitizer || return
    set -- cuda_nn cuda_splat cuda_splat_train
    [ -z "$small" ] || set -- cuda_splat_golden
    for tool in memcheck racecheck; do sanitized 60 "$tool" "$tool" "$@"; done
}

# What failed, alone: in forks (each test its own process), with blocking launches, under memcheck.
failures() {
    [ -s "$out/failed.txt" ] || return
    for suite in $(cat "$out/failed.txt"); do
        CK_LOG_FILE_NAME=$out/$suite-forked.log step 120 "$suite-forked" ./imgtrain-test "$suite"
        CK_FORK=no CUDA_LAUNCH_BLOCKING=1 step 60 "$suite-blocking" ./imgtrain-test "$suite"
        have compute-sanitizer && sanitized 120 "$suite-memcheck" memcheck "$suite"
    done
}

trainings() { step 180 trainings sh test/cli/cuda.sh; }

# The kernels one by one, in their places of a graph: microseconds, shares of what is possible.
profile() {
    have ncu || return
    metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    metrics=$metrics,sm__throughput.avg.pct_of_peak_sustained_elapsed,launch__registers_per_thread
    metrics=$metrics,sm__warps_active.avg.pct_of_peak_sustained_active
    metrics=$metrics,l1tex__data_bank_conflicts_pipe_lsu.sum,l1tex__data_pipe_lsu_wavefronts.sum
    for task in splat gan; do
        case $task in
        splat) set -- --task splat --amp ;;
        gan) set -- --task gan --size 64 --batch 64 --amp ;;
        esac
        step 100 "profile-$task" ncu --clock-control none --graph-profiling node --csv --metrics "$metrics" \
            --launch-skip 200 --launch-count 24 ./imgtrain bench --device cuda --steps 2 "$@"
    done
}

for part in $parts; do
    case $part in
    machine | quick | tests | ops | splat | fits | gan | sr | cudnn | sanitizer | failures | trainings | profile | reference) ;;
    *) echo "run.sh: there is no part $part"; exit 64 ;;
    esac
done
for part in $parts; do "$part"; done
[ "$failed" = 0 ] && status=0 || status=1
[ "$parts" = reference ] && exit $status
[ "$failed" != 0 ] || failed=nothing
say "$(date +%Y-%m-%d): $(($(date +%s) - begin)) s in all, $failed failed, $left_out left out"
tar -C "$(dirname "$out")" -czf "$out.tar.gz" "$(basename "$out")"
echo "$out.tar.gz: hand it back; $out/summary.txt is its summary"
exit $status
