#!/bin/sh
# Runs the unit suites and test/cli/*.sh, as many at a time as there are cores, and adds up what they
# counted. Every skip is printed with its reason; the last line is always "N passed, N failed, N
# skipped"; exit status 1 on a failure.
#
#   test/run.sh BUILD_FOLDER [NAME ...]     NAME: a unit suite or a CLI test; none = all
#   UNIT_ONLY=1 test/run.sh BUILD_FOLDER    without the CLI tests
#   WITHOUT="conv memory" test/run.sh BUILD_FOLDER   without these
#   JOBS=1 test/run.sh BUILD_FOLDER         one after the other
#   SCRIPT_SECONDS=7200 test/run.sh BUILD_FOLDER   how long a CLI test may take before it counts as hanging: 3600
#   LONGEST=20 test/run.sh BUILD_FOLDER     then names the 20 tests that took most processor time
#
# Tests that take more than 20 s of processor time are named, and fail nothing; TEST_SLOW=1 (make
# test-slow) adds the long forms of some.
#
# In a build that emulates CUDA, all kernels of cuda/ must have been launched by the unit tests; with
# names, only when COVERAGE=1.
set -u
cd "$(dirname "$0")/.." || exit 1
# Check forks; a child may make threads though its parent had some (base/threads.h).
export TSAN_OPTIONS="die_after_fork=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}"

seconds() { date +%s; }

# One job: SUITE or cli/NAME. Its output goes to a file, and is shown when it has ended.
if [ "$1" = --one ]; then
    build=$2 job=$3 log=$TEST_LOGS/$(basename "$3").${3%%/*} begin=$(seconds)
    case $job in
    # Suites have limits of their own; a script that hangs would hold all the others up.
    cli/*) IMGTRAIN=$build/imgtrain timeout --foreground "${SCRIPT_SECONDS:-3600}" sh "test/$job.sh" ;;
    *) TEST_TIMES=$log.times "$build/imgtrain-test" "$job" ;;
    esac >"$log" 2>&1
    echo "$?" >"$log.status"
    # Of a script, what its commands took; of a suite, what each test did.
    case $job in cli/*)
        times >"$log.used"
        awk 'NR == 2 { gsub(/[ms]/, " "); printf "%.2f the script\n", $1 * 60 + $2 + $3 * 60 + $4 }' \
            "$log.used" >"$log.times"
        ;;
    esac
    [ ! -e "$log.times" ] || sed -i "s|^[^ ]*|& $job|" "$log.times"
    flock "$TEST_LOGS" sed -e '/^Running suite/d; /^100%: Checks/d' \
        -e "s|^unit tests: |$job: |; s/\([0-9]* skipped\)\$/\1  ($(($(seconds) - begin)) s)/" "$log"
    exit 0
fi

build=$1
shift
export TEST_LOGS
TEST_LOGS=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-tests-XXXXXX") || exit 1
trap 'rm -rf "$TEST_LOGS"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0

count() { # WORD LOG: the number before WORD in the last line that has "N passed, N failed"
    sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p" "$2" | tail -n 1
}

# Adds up one job's counts. One that failed without saying so, or said nothing, is a failure.
add() { # NAME LOG STATUS
    p=$(count passed "$2") f=$(count failed "$2") s=$(count skipped "$2")
    if [ -z "$p" ] || { [ "$3" != 0 ] && [ "${f:-0}" = 0 ]; }; then
        echo "FAILED: $1 ended with status $3 without saying what failed"
        f=$((${f:-0} + 1))
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
}

wanted() { # NAME LIST...: in the list, or there is none
    name=$1
    shift
    [ $# = 0 ] && return 0
    for one in "$@"; do [ "$one" = "$name" ] && return 0; done
    return 1
}

suites='' scripts=''
for file in test/*/*.c test/cli/*.sh; do
    name=$(basename "$file")
    case $file in */lib.sh | test/fuzz/* | test/cuda_emu/* | test/cuda_bench/* | test/cpu_bench/* | test/torture/*) continue ;; esac
    wanted "${name%.*}" "$@" || continue
    # shellcheck disable=SC2086  # a list of words
    [ -z "${WITHOUT:-}" ] || ! wanted "${name%.*}" $WITHOUT || continue
    case $file in
    *.c) suites="$suites ${name%.c}" ;;
    *) [ "${UNIT_ONLY:-0}" = 1 ] || scripts="$scripts cli/${name%.sh}" ;;
    esac
done

[ -n "$suites$*" ] || { echo "FAILED: no unit suite was found"; failed=1; }
for name in "$@"; do
    [ -n "$(find test -name "$name.c")" ] || [ -e "test/cli/$name.sh" ] && continue
    echo "FAILED: no test is called $name"
    failed=$((failed + 1))
done

# Long ones first, so that no core waits for a late one.
long=''
for name in gan_learns cli/gan cli/kill conv memory cuda_nn; do
    # shellcheck disable=SC2086  # a list of words
    [ -n "$suites$scripts" ] && wanted "$name" $suites $scripts && long="$long $name"
done
case $build in *-cemu*) export IMGTRAIN_EMU_LOG="$TEST_LOGS/kernels" ;; esac
# shellcheck disable=SC2086
printf '%s\n' $long $scripts $suites | awk 'NF && !seen[$0]++' |
    xargs -r -P "${JOBS:-$(nproc 2>/dev/null || echo 2)}" -n 1 test/run.sh --one "$build"

for job in $suites $scripts; do
    log=$TEST_LOGS/$(basename "$job").${job%%/*}
    add "$job" "$log" "$(cat "$log.status")"
done

[ $# = 0 ] && case $build in *-cemu*) COVERAGE=1 ;; esac
if [ "${COVERAGE:-0}" = 1 ]; then
    test/cuda_emu/coverage.sh "$TEST_LOGS/kernels" >"$TEST_LOGS/coverage" 2>&1
    status=$?
    cat "$TEST_LOGS/coverage"
    add "the list of kernels" "$TEST_LOGS/coverage" "$status"
fi

cat "$TEST_LOGS"/*.times 2>/dev/null | LC_ALL=C sort -rn >"$TEST_LOGS/longest"
awk -v n="${LONGEST:-0}" '$1 > 20 || NR <= n {
    printf "%7.2f s of processor time%s:%s\n", $1, ($1 > 20 ? ", which is more than 20" : ""), substr($0, length($1) + 1) }' \
    "$TEST_LOGS/longest"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
