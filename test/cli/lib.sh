# shellcheck shell=sh
# Sourced by the tests of the command line, test/cli/NAME.sh (POSIX sh):
#
#   . "$(dirname "$0")/lib.sh"
#   run 78 imgtrain config bad.yaml      # runs a command in a temp folder; its exit status must be 78
#   err_has "bad.yaml:1:1: unknown key"  # ... and its stderr hold this text
#   out_is "exact stdout"
#   skip "why"                           # counts a test that cannot run here
#   finish                               # last line: N passed, N failed, N skipped
#
# IMGTRAIN names the program under test (default: ./imgtrain at the top). $root is the top folder,
# $out and $err are files with what the last run printed. IMGTRAIN_* of the caller are removed.

root=$(cd "$(dirname "$0")/../.." && pwd)
program=${IMGTRAIN:-$root/imgtrain}
case $program in /*) ;; *) program=$PWD/$program ;; esac
for variable in $(env | sed -n 's/^\(IMGTRAIN[A-Z0-9_]*\)=.*/\1/p'); do unset "$variable"; done
work=$(mktemp -d "${TMPDIR:-/tmp}/imgtrain-cli-XXXXXX") || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/cwd" && cd "$work/cwd" || exit 1
out=$work/out
err=$work/err
passed=0 failed=0 skipped=0 last=

imgtrain() { "$program" "$@"; }

pass() { passed=$((passed + 1)); }
flunk() {
    failed=$((failed + 1))
    echo "FAILED ($(basename "$0")): $last: $1"
    sed 's/^/    stderr: /' "$err" | head -n 5
}
skip() {
    skipped=$((skipped + 1))
    echo "skipped ($(basename "$0")): $1"
}

# run STATUS COMMAND [ARGUMENT ...]
run() {
    wanted=$1
    shift
    last=$*
    "$@" >"$out" 2>"$err" </dev/null
    status=$?
    if [ "$status" = "$wanted" ]; then pass; else flunk "exit status $status, not $wanted"; fi
}

out_has() { if grep -qF -- "$1" "$out"; then pass; else flunk "stdout lacks: $1"; fi; }
err_has() { if grep -qF -- "$1" "$err"; then pass; else flunk "stderr lacks: $1"; fi; }
out_lacks() { if grep -qF -- "$1" "$out"; then flunk "stdout has: $1"; else pass; fi; }
err_lacks() { if grep -qF -- "$1" "$err"; then flunk "stderr has: $1"; else pass; fi; }
out_is() {
    if [ "$(cat "$out")" = "$1" ]; then pass; else flunk "stdout is not: $1"; fi
}
err_is() {
    if [ "$(cat "$err")" = "$1" ]; then pass; else flunk "stderr is not: $1"; fi
}
# The number of lines on stderr: most errors are one.
err_lines() {
    if [ "$(wc -l <"$err")" = "$1" ]; then pass; else flunk "stderr has not $1 lines"; fi
}

finish() {
    echo "cli $(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}
