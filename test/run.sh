#!/bin/sh
# Runs the unit tests and test/cli/*.sh and adds up what they counted. Every skip is printed with
# its reason; the last line is always "N passed, N failed, N skipped"; exit status 1 on a failure.
#
#   test/run.sh BUILD_FOLDER [NAME ...]     NAME: a unit suite or a CLI test; none = all
#   UNIT_ONLY=1 test/run.sh BUILD_FOLDER    without the CLI tests
#
# In a build that emulates CUDA, all kernels of cuda/ must have been launched by the unit tests; with
# names, only when COVERAGE=1.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
shift
log=$(mktemp "${TMPDIR:-/tmp}/imgtrain-tests-XXXXXX") || exit 1
trap 'rm -f "$log" "$log.kernels"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0
# Waiting threads sleep: tests share the machine.
export OMP_WAIT_POLICY=passive

count() { # the number before WORD in the last line of the log that has "N passed, N failed"
    sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p" "$log" | tail -n 1
}

# Adds up one program's counts. One that failed without saying so, or said nothing, is a failure.
add() { # NAME STATUS
    p=$(count passed) f=$(count failed) s=$(count skipped)
    if [ -z "$p" ] || { [ "$2" != 0 ] && [ "${f:-0}" = 0 ]; }; then
        echo "FAILED: $1 ended with status $2 without saying what failed"
        f=$((${f:-0} + 1))
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
}

wanted() { # NAME LIST...
    name=$1
    shift
    [ $# = 0 ] && return 0
    for one in "$@"; do [ "$one" = "$name" ] && return 0; done
    return 1
}

# Suites that are named and exist; all when no name was given.
suites=
for name in "$@"; do
    [ -e "test/$name.c" ] && suites="$suites $name"
done
if [ $# = 0 ] || [ -n "$suites" ]; then
    # shellcheck disable=SC2086  # a list of words
    IMGTRAIN_EMU_LOG=$log.kernels "$build/imgtrain-test" $suites >"$log" 2>&1
    status=$?
    cat "$log"
    add "the unit tests" "$status"
    case $build-$# in
    *-cemu*-0) COVERAGE=1 ;;
    esac
    if [ "${COVERAGE:-0}" = 1 ]; then
        test/cuda_emu/coverage.sh "$log.kernels" >"$log" 2>&1
        status=$?
        cat "$log"
        add "the list of kernels" "$status"
    fi
fi

if [ "${UNIT_ONLY:-0}" = 0 ]; then
    for script in test/cli/*.sh; do
        name=$(basename "$script" .sh)
        [ "$name" = lib ] && continue
        wanted "$name" "$@" || continue
        IMGTRAIN=$build/imgtrain sh "$script" >"$log" 2>&1
        status=$?
        cat "$log"
        add "$script" "$status"
    done
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
