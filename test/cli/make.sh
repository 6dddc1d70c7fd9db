#!/bin/sh
# make builds with all cores, and with as many jobs as it is told.
. "$(dirname "$0")/lib.sh"

if [ ! -e "$root/Makefile" ] || ! command -v make >/dev/null; then
    skip "no make, or no Makefile"
    finish
fi
# A `make test` has its own word for this in the environment.
unset MAKEFLAGS MFLAGS MAKELEVEL CUDA_ARCHS
# What is probed for takes most of the time, and matters to nothing here.
export VIDEO=0 WEBP=0 TIFF=0 HTTP=0
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
has_nvcc=no
if make -s -C "$root" info CUDA=1 >/dev/null 2>&1; then has_nvcc=yes; fi
for target in $(sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p' help); do
    case $target-$has_nvcc in
    check-*) continue ;; # a dry run would run it, as it hands its jobs on
    gpu-*-no)
        run 2 make -n --no-print-directory -C "$root" "$target" CUDA=0
        err_has "nvcc of CUDA 12.2 or newer was not found: scripts/setup.sh --cuda"
        ;;
    *) run 0 make -n --no-print-directory -C "$root" "$target" CUDA=0 ;;
    esac
done

# nvcc: of CUDA 12.2 or newer, for the GPUs that it knows; what an older one says is no build with CUDA.
toolkit() { # VERSION LISTED FLAG-IT-LACKS: a folder with an nvcc that says so
    mkdir -p "$1/bin" "$1/lib64"
    ar rcs "$1/lib64/libcudart_static.a"
    cat >"$1/bin/nvcc" <<SH
#!/bin/sh
case \$* in
*--version*) echo "Cuda compilation tools, release $1, V$1.140" ;;
*--list-gpu-arch*) printf 'compute_%s\n' $2 ;;
*"$3"*) exit 1 ;;
*) while [ "\$1" != -o ]; do shift; done; echo 'int main(void) { return 0; }' | cc -x c -c - -o "\$2" ;;
esac
SH
    chmod +x "$1/bin/nvcc"
}
toolkit 12.2 '60 75 80 86 89 90' --compress-mode
toolkit 12.9 '75 80 86 89 90 100 120' -none
toolkit 11.8 '75 80 86 89 90' -none
nvcc_info() { make --no-print-directory -C "$root" info CUDA="$2" NVCC="$PWD/$1/bin/nvcc"; }
nvcc_line() { make --no-print-directory -C "$root" -n -B CUDA=1 WERROR=0 NVCC="$PWD/$1/bin/nvcc" "build/cuda$1-$2/cuda/ceilings.o"; }
run 0 nvcc_info 12.2 1
out_has "cuda      by nvcc 12.2, for 75 80 86 89 90"
out_lacks "90 100"
run 0 nvcc_line 12.2 75-80-86-89-90
out_has "-Xfatbin=-compress-all"
run 0 nvcc_info 12.9 1
out_has "cuda      by nvcc 12.9, for 75 80 86 89 90 100 120"
run 0 nvcc_line 12.9 75-80-86-89-90-100-120
out_has "--compress-mode=size"
run 2 nvcc_info 11.8 1
err_has "CUDA=1 but nvcc of CUDA 12.2 or newer was not found: scripts/setup.sh --cuda; or set NVCC="
run 0 nvcc_info 11.8 auto
out_has "cuda      no (CUDA=auto)"

# A make below another has that one's jobs, and asks nobody else.
printf 'all:\n\t@$(MAKE) --no-print-directory -C %s info CUDA=0\n' "'$root'" >above.mk
for jobs in 1 3; do
    run 0 make -f above.mk -j$jobs
    out_has "jobs      $jobs"
    err_is ""
done
finish
