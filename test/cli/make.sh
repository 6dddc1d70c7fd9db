#!/bin/sh
# make builds with all cores, and with as many jobs as it is told.
. "$(dirname "$0")/lib.sh"

if [ ! -e "$root/Makefile" ] || ! command -v make >/dev/null; then
    skip "no make, or no Makefile"
    finish
fi
# A `make test` has its own word for this in the environment.
unset MAKEFLAGS MFLAGS MAKELEVEL
cores=$(nproc)
# As many jobs as cores, when there is only one, would show nothing.
[ "$cores" != 1 ] || { skip "one core: the default is not to be told from one job"; }

info() { env CUDA=0 "$@" -C "$root" info; }
said() { # JOBS COMMAND: how many jobs make says it has
    jobs=$1
    shift
    run 0 info "$@"
    out_has "jobs      $jobs"
}
said "$cores" make
said "$cores" make -sk
said "$cores" make -C "$root/test/.."
said "$cores" env MAKEFLAGS=k make
said 1 make -j1
said 7 make -j7
said 7 make -j 7
said 7 make -kj7
said 7 make --jobs=7
said 7 env MAKEFLAGS=-j7 make
said "no limit" make -j

# make help names what there is; each of its targets exists.
run 0 make --no-print-directory -C "$root" help CUDA=0
cp "$out" help
for target in all test check test-slow emu-test gpu-test fuzz clean; do
    out_has "  $target "
done
for target in $(sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p' help); do
    # A dry run of check would run it, as it hands its jobs on.
    [ "$target" = check ] || run 0 make -n --no-print-directory -C "$root" "$target" CUDA=0
done

# A make below another has that one's jobs, and asks nobody else.
printf 'all:\n\t@$(MAKE) --no-print-directory -C %s info CUDA=0\n' "'$root'" >above.mk
for jobs in 1 3; do
    run 0 make -f above.mk -j$jobs
    out_has "jobs      $jobs"
    err_is ""
done
finish
