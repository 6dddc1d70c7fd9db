#!/bin/sh
# The suites of CUDA in the emulator, again under what a real GPU has and the emulator's plain run has
# not: one at a time. Prints a table of suites and axes, "passed/failed" each; status 1 when a test
# failed. The emulated build must be there (make emu-matrix makes it).
#
#   scripts/emu_matrix.sh BUILD_FOLDER          all suites, all axes: an hour of processor time
#   scripts/emu_matrix.sh BUILD_FOLDER short    those that an axis may change: a few minutes
#   scripts/emu_matrix.sh BUILD_FOLDER SUITE... these, all axes
#
# What passed is kept in BUILD_FOLDER/matrix for as long as the program is the same: cut at any time, it goes on
# there. Each call of cuda_faults fails in turn: here one in about 40. Hours where other work has the machine: tests get
# ten times their limit.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1
shift
logs=$build/matrix/$(sha256sum <"$build/imgtrain-test" | cut -c 1-16)${SKIP_SLOW:+-$SKIP_SLOW}
mkdir -p "$logs" || exit 1
find "$build/matrix" -mindepth 1 -maxdepth 1 ! -name "${logs##*/}" -exec rm -rf {} +

# CUDA's errors of exp2f, sinf, powf and the like, once and four times; multiprocessors of an H100 and
# of a large Blackwell; the other order of blocks and threads, and one that is drawn. The short form asks for
# errors and an order at once; which of the two it was, each alone tells.
axes='ulp=1 ulp=4 multiprocessors=132 multiprocessors=188 order=1 order=2'
form=${1:-long}
[ "$form" != short ] || axes='ulp=4 multiprocessors=188 ulp=4+order=2'
case $form in
long | short) suites=$(basename -s .c test/cuda/cuda_*.c | tr '\n' ' ') ;;
*) suites=$* form=long ;;
esac

wanted() { # SUITE AXIS: does the short form run it?
    case $form:$2:$1 in
    long:* | short:ulp=4:cuda_splat_golden | short:ulp=4:cuda_splat_train | short:ulp=4:cuda_gan | \
        short:ulp=4:cuda_self_check | short:multiprocessors=188:cuda_device | short:ulp=4+order=2:cuda_splat | short:ulp=4+order=2:cuda_nn | \
        short:ulp=4+order=2:cuda_sr | short:ulp=4+order=2:cuda_gan_graph | \
        short:ulp=4+order=2:cuda_splat_task) return 0 ;;
    esac
    return 1
}

# One cell: its log, the seconds of processor time it took, and, last of all, its status.
run_cell='log=$2/$3.$4
[ "$4" != cuda_faults ] || export SKIP_SLOW=1
CK_TIMEOUT_MULTIPLIER=10 IMGTRAIN_EMU=$(echo "$3" | tr + " ") "$1/imgtrain-test" "$4" >"$log" 2>&1
status=$?
times >"$log.times"
echo $status >"$log.status"'
for axis in $axes; do
    for suite in $suites; do
        wanted "$suite" "$axis" || continue
        [ "$(cat "$logs/$axis.$suite.status" 2>/dev/null)" = 0 ] || echo "$axis $suite"
    done
done | xargs -r -P "${JOBS:-$(nproc 2>/dev/null || echo 2)}" -L 1 sh -c "$run_cell" sh "$build" "$logs"

passed=0 failed=0 skipped=0
printf '%-18s' suite
for axis in $axes; do printf ' %18s' "$axis"; done
echo
for suite in $suites; do
    printf '%-18s' "$suite"
    for axis in $axes; do
        log=$logs/$axis.$suite cell=-
        if [ -e "$log.status" ]; then
            # shellcheck disable=SC2046  # "unit tests: N passed, N failed, N skipped" as words
            set -- $(grep '^unit tests: ' "$log" | tail -n 1)
            p=${3:-0} f=${5:-0} s=${7:-0}
            [ "$(cat "$log.status")" = 0 ] || [ "$f" != 0 ] || f=1
            passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s)) cell=$p/$f
        fi
        printf ' %18s' "$cell"
    done
    echo
done
for axis in $axes; do
    for suite in $suites; do
        [ ! -e "$logs/$axis.$suite" ] || grep -HE '^skipped|:[FES]:|^cuda_emu: ' "$logs/$axis.$suite"
    done
done | sed "s|^$logs/||"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
