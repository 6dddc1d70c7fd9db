#!/bin/sh
# Writes test/cuda_emu/kernel_limits.h: registers of a thread and static shared memory of each kernel, the most of all
# its instances on sm_75 and sm_90. By them the emulator refuses launches that a GPU would refuse. Needs nvcc; minutes.
#
#   scripts/kernel_limits.sh [NVCC]
set -eu
cd "$(dirname "$0")/.."
nvcc=${1:-nvcc} to=test/cuda_emu/kernel_limits.h
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# A file may have no kernel; one that does not compile ends it all.
compile='log=$2/$(basename "$3").log
"$1" -Isrc -I. -std=c++20 -O3 -Xptxas -v -gencode arch=compute_75,code=sm_75 -gencode arch=compute_80,code=sm_90 \
    -c -o "$log.o" "$3" >"$log" 2>&1 || { cat "$log" >&2; exit 255; }'
printf '%s\n' cuda/*.cu cuda/*/*.cu | xargs -P "$(nproc)" -I{} sh -c "$compile" sh "$nvcc" "$logs" {}
{
    echo "/* KERNEL_LIMIT(kernel, registers of a thread, bytes of static shared memory): the most on sm_75 and"
    echo " * sm_90. Written by scripts/kernel_limits.sh with nvcc $("$nvcc" --version | sed -n 's/.* release \([0-9.]*\),.*/\1/p'). */"
    echo 'KERNEL_LIMIT(emu_large_kernel, 200, 0) /* of test_kernels.cu */'
    # "_Z12dense_kernelI...": the name behind its length
    cat "$logs"/*.log | sed -n "s/.*Compiling entry function '_Z\([0-9]*\)\([^']*\)'.*/\1 \2/p; s/.*Used \([0-9]* registers.*\)/used \1/p" | awk '
        $1 != "used" { kernel = substr($2, 1, $1); next }
        { shared = 0; for (i = 3; i < NF; i++) if ($i == "bytes" && $(i + 1) ~ /^smem/) shared = $(i - 1)
          if ($2 > registers[kernel]) registers[kernel] = $2
          if (shared >= most[kernel]) most[kernel] = shared }
        END { for (k in registers) printf "KERNEL_LIMIT(%s, %d, %d)\n", k, registers[k], most[k] }' | LC_ALL=C sort
} >"$logs/list"
mv "$logs/list" "$to"
