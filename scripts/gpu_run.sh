#!/bin/sh
# run.sh of the kit: all checks and measurements on this machine's GPU, what matters most first.
#
#   ./run.sh [-o FOLDER] [-t SECONDS] [tests|trainings|bench|profile|sanitizer ...]    none: all
#
# Each step has a file in FOLDER (results), written as it goes, and a line in FOLDER/summary.txt; one
# that crashes or hangs is not the end of the others. A suite that fails runs again with blocking
# launches and under memcheck. No step begins after SECONDS (1400). Status 1 if any failed.
cd "$(dirname "$0")" || exit 1
suites=cuda_device
out=results most=1400
while getopts o:t: option; do
    case $option in
    o) out=$OPTARG ;;
    t) most=$OPTARG ;;
    *) exit 64 ;;
    esac
done
shift $((OPTIND - 1))
parts=${*:-tests trainings bench profile sanitizer}
mkdir -p "$out" || exit 1
begin=$(date +%s)
status=0

# Libraries of the kit; and those of cuDNN, where Python has it and the system has not.
nvidia=$(python3 -c 'import nvidia; print(*nvidia.__path__)' 2>/dev/null)
for folder in "$PWD/lib" ${nvidia:+"$nvidia"/*/lib}; do
    [ -d "$folder" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH

# step SECONDS NAME COMMAND...
step() {
    limit=$1 name=$2
    shift 2
    now=$(date +%s)
    left=$((begin + most - now))
    if [ "$left" -lt 5 ]; then
        echo "left out: $name: no time" | tee -a "$out/summary.txt"
        return 1
    fi
    [ "$limit" -le "$left" ] || limit=$left
    echo "== $name: $*"
    timeout -k 5 "$limit" "$@" >"$out/$name.txt" 2>&1
    code=$?
    tail -n 15 "$out/$name.txt"
    result=ok
    grep -q '^skipped' "$out/$name.txt" && result='FAILED: something was skipped' code=1
    [ "$code" = 124 ] && result="FAILED: still ran after $limit s"
    [ "$code" = 0 ] || [ "$result" != ok ] || result="FAILED with status $code"
    echo "$name: $result, $(($(date +%s) - now)) s" | tee -a "$out/summary.txt"
    [ "$code" = 0 ] || status=1
    return "$code"
}

have() { command -v "$1" >/dev/null 2>&1 || { echo "skipped: $1 is not on this machine" | tee -a "$out/summary.txt"; false; }; }

# sanitized SECONDS NAME TOOL SUITE...: in one process, since the tool sees no other
sanitized() {
    limit=$1 name=$2 tool=$3
    shift 3
    step "$limit" "$name" env CK_FORK=no compute-sanitizer --tool "$tool" --error-exitcode 9 ./imgtrain-test "$@"
}

tests() {
    for suite in $suites; do
        CK_LOG_FILE_NAME=$out/$suite.log step 240 "$suite" ./imgtrain-test "$suite" && continue
        CUDA_LAUNCH_BLOCKING=1 CK_LOG_FILE_NAME=$out/$suite-blocking.log step 120 "$suite-blocking" ./imgtrain-test "$suite"
        have compute-sanitizer && sanitized 120 "$suite-memcheck" memcheck "$suite"
    done
}

trainings() { step 180 trainings sh test/cli/cuda.sh; }

bench() {
    step 120 ops ./gpu-bench
    step 60 splat-2048 ./imgtrain bench --device cuda --task splat --amp
    step 90 splat-5760 ./imgtrain bench --device cuda --task splat --size 5760 --gaussians 30000 --sigma 9.4 --amp
    for size in 64 256; do
        step 120 "gan-$size" ./imgtrain bench --device cuda --task gan --size "$size" --batch 64 --amp
    done
}

# The kernels one by one, in their places of a graph: microseconds, shares of what is possible.
profile() {
    have ncu || return
    metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    metrics=$metrics,sm__throughput.avg.pct_of_peak_sustained_elapsed,launch__registers_per_thread
    metrics=$metrics,sm__warps_active.avg.pct_of_peak_sustained_active
    metrics=$metrics,l1tex__data_bank_conflicts_pipe_lsu.sum,l1tex__data_pipe_lsu_wavefronts.sum
    for task in splat gan; do
        case $task in
        splat) set -- --task splat ;;
        gan) set -- --task gan --size 64 --batch 64 --amp ;;
        esac
        step 150 "profile-$task" ncu --clock-control none --graph-profiling node --csv --metrics "$metrics" \
            --launch-skip 200 --launch-count 600 ./imgtrain bench --device cuda --steps 2 "$@"
    done
}

sanitizer() {
    have compute-sanitizer || return
    for tool in memcheck racecheck synccheck initcheck; do
        sanitized 150 "$tool" "$tool" cuda_device cuda_nn cuda_splat
    done
}

{ date; uname -a; ldd --version 2>/dev/null | head -n 1; env | grep '^CUDA'; } >"$out/machine.txt"
step 30 driver nvidia-smi -q -d MEMORY,CLOCK,ECC,PERFORMANCE
step 60 doctor ./imgtrain doctor
for part in $parts; do
    case $part in
    tests | trainings | bench | profile | sanitizer) "$part" ;;
    *) echo "run.sh: there is no part $part"; exit 64 ;;
    esac
done
tar -czf "$out.tar.gz" "$out"
echo "$out.tar.gz: hand it back"
exit $status
