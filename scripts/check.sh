#!/bin/sh
# All that CI runs. Each part is a line "ok: NAME", "FAILED: NAME" with its output, or "skipped:
# NAME: reason", with the seconds it took and those of CPU time; tests add their own counts. The last
# line is "N passed, N failed, N skipped".
#
#   scripts/check.sh           everything
#   scripts/check.sh --quick   without clang and the sanitizers
#   TESTED=1 scripts/check.sh  after `make test`, in CI: without running the same tests again, and without the
#                              long lesson, MemorySanitizer and whole runs on CUDA under AddressSanitizer, for
#                              which CI has no time
set -u
cd "$(dirname "$0")/.." || exit 1
quick=no
[ "${1:-}" = --quick ] && quick=yes
log=$(mktemp "${TMPDIR:-/tmp}/imgtrain-check-XXXXXX") || exit 1
beside_pid=
trap '[ -z "$beside_pid" ] || kill "$beside_pid"; rm -f "$log" "$log.times" "$log.beside"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0

# Sets `took` to what passed since the last call, as "(60 s, 110 s of CPU)".
wall=0 cpu=0
stopwatch() {
    times >"$log.times"
    now=$(date +%s)
    used=$(awk 'NR == 2 { gsub(/[ms]/, " "); printf "%.0f", $1 * 60 + $2 + $3 * 60 + $4 }' "$log.times")
    took="($((now - wall)) s, $((used - cpu)) s of CPU)"
    wall=$now cpu=$used
}
stopwatch

part() { # NAME COMMAND...: one check
    name=$1
    shift
    if "$@" >"$log" 2>&1; then
        stopwatch
        echo "ok: $name $took"
        passed=$((passed + 1))
    else
        stopwatch
        echo "FAILED: $name $took"
        tail -n 60 "$log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
}

skip() { # NAME REASON
    echo "skipped: $1: $2"
    skipped=$((skipped + 1))
}

tests() { # NAME COMMAND...: a run of tests that ends with its own totals
    name=$1
    shift
    "$@" >"$log" 2>&1
    tested $?
}

# What does not keep two cores busy, beside what stands before joined: one such at a time.
beside() { # NAME COMMAND...: as tests
    beside=$1
    shift
    "$@" >"$log.beside" 2>&1 &
    beside_pid=$!
}
joined() {
    wait "$beside_pid"
    status=$? name=$beside beside_pid=
    mv "$log.beside" "$log"
    tested $status
}

tested() { # STATUS: counts what $log says of the tests called $name
    status=$1
    stopwatch
    # The last line of what ran: make says after it what failed and which folder it leaves.
    totals=$(grep -avE '^make(\[[0-9]+\])?: ' "$log" | tail -n 1 |
        grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$')
    if [ -z "$totals" ]; then
        echo "FAILED: $name ended with status $status and without totals"
        tail -n 60 "$log" | sed 's/^/    /'
        failed=$((failed + 1))
        return
    fi
    echo "$name: $totals $took"
    grep -aiE '^skipped|^FAILED|:[FES]:|^child [0-9]+: ' "$log" | sed 's/^/    /'
    # shellcheck disable=SC2086  # "1 passed, 2 failed, 3 skipped" as words
    set -- $totals
    passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
    if [ "$status" != 0 ] && [ "$3" = 0 ]; then
        echo "FAILED: $name: exit status $status"
        failed=$((failed + 1))
    fi
}

has() { command -v "$1" >/dev/null 2>&1; }

build_folder() { # FLAGS...: where make puts the build
    make -s info "$@" | sed -n 's/^build *//p'
}

check_setup() {
    sh -n scripts/setup.sh && pkg-config --exists yaml-0.1 libcjson libutf8proc libpng libjpeg zlib check
}

check_format() {
    git ls-files '*.c' '*.h' '*.cu' '*.cc' ':!test/golden' | xargs -n 50 -P "$(nproc)" clang-format --dry-run -Werror
}

check_shell() {
    git ls-files '*.sh' .ci/run | xargs -n 5 -P "$(nproc)" shellcheck --severity=warning -e SC1091,SC2034,SC2154
}

# What a library costs at every start, or keeps the program from starting, is opened when it is used.
check_start() {
    ! ldd "$1" | grep -E 'libcuda|libcudart|libcudnn|libcublas' && "$1" doctor | grep '^cuda '
}
check_needed() {
    ! readelf -d "$1" | grep NEEDED | grep -E 'libav|libsw|libpostproc|libx26' && [ "$(ldd "$1" | wc -l)" -le 40 ]
}

build() { # FLAGS...: into its folder; ./imgtrain stays what it is
    into=$(build_folder "$@")
    make "$@" "$into/imgtrain" "$into/imgtrain-test"
}

# One build with both sanitizers, which also runs the kernels of cuda/ on the CPU. Without -Werror:
# with a sanitizer, gcc warns of things that cannot happen. Vector code is optimised: it runs many times as long where
# its parts are not inlined; the rest compiles for -O1 in less than half the time.
sanitized() { # KINDS NAME
    part "build with $2" build SAN="$1" CUDA="$emulated" WERROR=0 OPT_LEVEL=-O1 HOT_LEVEL=-O2
    folder=$(build_folder SAN="$1" CUDA="$emulated" WERROR=0)
    [ -x "$folder/imgtrain-test" ] || return
    without=
    if [ "${TESTED:-0}" = 1 ] && [ "$emulated" != 0 ]; then
        without='cuda_sr cuda_gan cuda_gan_graph cuda_splat_task'
        skip "$without under $2" "make check without TESTED=1, or make emu-test; they ran as on other GPUs"
    fi
    tests "unit tests under $2" env UNIT_ONLY=1 WITHOUT="$without" SKIP_SLOW=1 CK_TIMEOUT_MULTIPLIER=10 \
        ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
        test/run.sh "$folder"
    commands=$folder # in CI of the plain emulator: a fourth of the time
    [ "${TESTED:-0}" != 1 ] || commands=$(build_folder CC=gcc CUDA=emu WERROR=1)
    # shellcheck disable=SC2046  # a list of words
    [ "$emulated" = 0 ] || tests "command line with CUDA emulated" env SKIP_SLOW=1 test/run.sh "$commands" \
        short $(basename -s .sh $(grep -lx look_for_cuda test/cli/*.sh) | grep -v gpu_kit) # run above, without them
    case $1 in *address*) torture "$folder" 12 ;; esac
}

# The archive for a machine with a GPU, packed and run from start to end with the emulator's programs, mostly on one
# core; beside it, what the GPUs have that the emulator's plain run has not.
emulated_gpus() {
    folder=$(build_folder CC=gcc CUDA=emu WERROR=1)
    part "build of the kit with CUDA emulated" make CC=gcc CUDA=emu WERROR=1 "$folder/kit.settings"
    [ -f "$folder/kit.settings" ] || return
    beside "the kit's rehearsal" test/run.sh "$folder" gpu_kit
    tests "emulated CUDA as on other GPUs" make CC=gcc WERROR=1 FORM=short emu-matrix
    joined
}

# clang's warnings, and its sanitizers, which see what gcc's do not, and the other way round; here in short runs of
# all tasks. Seconds of runs: optimising for them takes longer; what CUDA and the tests add is only compiled.
by_clang() {
    set -- CC=clang SAN=address,undefined WERROR=1
    folder=$(build_folder "$@" CUDA=0)
    part "build with clang -Werror and its sanitizers" make "$@" CUDA=0 OPT_LEVEL=-O0 "$folder/imgtrain"
    part "build of the tests with clang -Werror" build "$@" CUDA=$cuda OPT_LEVEL=-O0
    [ -x "$folder/imgtrain" ] || return
    tests "short runs under clang's sanitizers" env UBSAN_OPTIONS=print_stacktrace=1 test/run.sh "$folder" short
}

# Whole runs while memory fails: FOLDER CASES. make torture does it at length, and what torture_all does.
torture() {
    if ! has python3; then
        skip "runs without memory" "no python3"
        return
    fi
    tests "runs without memory ($(basename "$1"))" env IMGTRAIN="$1/imgtrain" CASES="$2" JOBS="$(nproc)" test/torture/memory.py
}

# Killed, cut, out of memory, at a few of all places.
torture_all() {
    if ! has python3; then
        skip "runs to which something happens" "no python3"
        return
    fi
    tests "runs to which something happens" env IMGTRAIN="$1/imgtrain" test/torture/torture.py
}

part "what setup.sh installs is there" check_setup
part "include rules, names of files, circles" scripts/check_includes.sh
if has ctags; then part "figures of the source" scripts/figures.sh; else skip "figures of the source" "no ctags"; fi
if ! has git || ! git rev-parse >/dev/null 2>&1; then
    skip "format and shell scripts" "no git checkout"
else
    if has clang-format; then part "format" check_format; else skip "format" "no clang-format"; fi
    if has shellcheck; then part "shell scripts" check_shell; else skip "shell scripts" "no shellcheck"; fi
fi

# With every kernel, for every GPU unless CUDA_ARCHS says fewer, in a binary that starts where no CUDA library is.
cuda=0
if [ -x "$(make -s print-nvcc)" ]; then cuda=1; else skip "build with CUDA" "no nvcc"; fi
part "build with gcc -Werror$([ $cuda = 0 ] || echo ', CUDA')" build CC=gcc WERROR=1 CUDA=$cuda
main=$(build_folder CC=gcc WERROR=1 CUDA=$cuda)
[ $cuda = 0 ] || part "needs no CUDA library to start" check_start "$main/imgtrain"
part "needs no libav and few libraries to start" check_needed "$main/imgtrain"
part "build without video and CUDA" make CC=gcc WERROR=1 VIDEO=0 CUDA=0 \
    "$(build_folder CC=gcc WERROR=1 VIDEO=0 CUDA=0)/imgtrain"
if [ "${TESTED:-0}" = 1 ]; then
    echo "tests: just run"
elif [ -x "$main/imgtrain-test" ]; then
    tests "tests" test/run.sh "$main"
fi
if [ -x "$main/imgtrain-test" ]; then
    if [ "${TESTED:-0}" = 1 ]; then
        skip "the long lesson" "make check without TESTED=1, or make test-slow"
    else
        tests "the long lesson" env TEST_SLOW=1 CK_RUN_CASE=slow test/run.sh "$main" gan_learns
    fi
    tests "long tests" env TEST_SLOW=1 test/run.sh "$main" gan_schemes
fi
torture "$main" 40
torture_all "$main"

if [ "$quick" = yes ]; then
    skip "clang" "--quick"
    skip "sanitizers" "--quick"
else
    if has clang; then
        # It takes four minutes, which CI has not.
        if [ "${TESTED:-0}" = 1 ]; then
            skip "emulated CUDA kernels under MemorySanitizer" "make check without TESTED=1, or make emu-msan"
        else
            part "emulated CUDA kernels under MemorySanitizer" make WERROR=0 emu-msan
        fi
        by_clang
    else
        skip "clang and its sanitizers" "no clang"
    fi
    emulated=emu
    has g++ || { emulated=0; skip "emulated CUDA kernels" "no g++"; }
    [ "$emulated" = 0 ] || emulated_gpus
    sanitized address,undefined "AddressSanitizer and UndefinedBehaviorSanitizer"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
