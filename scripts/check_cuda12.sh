#!/bin/sh
# Does cuda/ compile for CUDA 12? No nvcc 12 is in Debian or on PyPI, but its headers, its libdevice and its
# ptxas are: clang's CUDA mode compiles host and device code with those headers, and that ptxas makes
# machine code of the result. clang's front end is not nvcc's: what holds here is names, types and
# instructions, neither registers nor warnings. (clang puts the host's constant tables of functions on the
# device too, which nvcc does not: they are taken out.)
#
#   scripts/check_cuda12.sh                  CUDA 12.2, sm_75, 80 and 90
#   VERSION=12.9 ARCHS="90 100 120" scripts/check_cuda12.sh [FILE.cu ...]
#   TOOLKIT=/usr/local/cuda-12.4 scripts/check_cuda12.sh       one that is installed
#
# Wheels of NVIDIA, 45 MB, go to build/cuda12-VERSION. Needs clang 17 or newer (CLANG=clang++-19: Debian has
# it) and python3 with pip. Status 1 when a file does not compile, 69 when a tool cannot be had.
set -eu
cd "$(dirname "$0")/.."
version=${VERSION:-12.2} archs=${ARCHS:-75 80 90}
toolkit=${TOOLKIT:-build/cuda12-$version}
[ $# -gt 0 ] || set -- cuda/*.cu cuda/*/*.cu

lacking() {
    echo "check_cuda12.sh: $*" >&2
    exit 69
}

clang=${CLANG:-}
for name in clang++ clang++-21 clang++-20 clang++-19 clang++-18 clang++-17; do
    [ -n "$clang" ] && break
    major=$("$name" -dumpversion 2>/dev/null | cut -d. -f1) || continue
    [ "${major:-0}" -ge 17 ] && clang=$name
done
[ -n "$clang" ] || lacking "no clang 17 or newer: apt-get install clang-19"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -x "$toolkit/bin/ptxas" ]; then
    python3 -m pip --version >/dev/null 2>&1 || lacking "python3 has no pip, which brings NVIDIA's wheels"
    for package in runtime nvcc; do
        python3 -m pip -q --disable-pip-version-check download --no-deps -d "$work" "nvidia-cuda-$package-cu12==$version.*" ||
            lacking "no nvidia-cuda-$package-cu12 of $version"
    done
    for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/wheels"; done
    mkdir -p "$work/toolkit/bin"
    cp -r "$work"/wheels/nvidia/cuda_nvcc/nvvm "$work"/wheels/nvidia/cuda_runtime/include "$work/toolkit/"
    cp -r "$work"/wheels/nvidia/cuda_nvcc/include/. "$work/toolkit/include/"
    cp "$work"/wheels/nvidia/cuda_nvcc/bin/ptxas "$work/toolkit/bin/"
    chmod +x "$work/toolkit/bin/ptxas"
    : >"$work/toolkit/bin/fatbinary" # clang wants to see it
    mkdir -p build
    rm -rf "$toolkit"
    mv "$work/toolkit" "$toolkit"
fi
echo "$("$clang" --version | head -n 1); ptxas $("$toolkit/bin/ptxas" --version | sed -n 's/.* V//p'); sm $archs"

compile() { # OPTION...
    "$clang" --cuda-path="$toolkit" -x cuda -std=c++20 -O3 -fno-exceptions -fno-rtti -Isrc -I. -Wno-unknown-cuda-version "$@"
}
failed=0 kernels=0
for file in "$@"; do
    if ! compile --cuda-host-only -fsyntax-only "$file" >"$work/log" 2>&1; then
        echo "FAILED: $file, the host's part"
        cat "$work/log"
        failed=$((failed + 1))
    fi
    for arch in $archs; do
        if ! { compile --cuda-device-only --cuda-gpu-arch="sm_$arch" -S "$file" -o "$work/all.ptx" &&
            sed '/^\.visible \.const .* = {.*_Z/d' "$work/all.ptx" >"$work/ptx" &&
            "$toolkit/bin/ptxas" -arch="sm_$arch" -v "$work/ptx" -o "$work/cubin"; } >"$work/log" 2>&1; then
            echo "FAILED: $file for sm_$arch"
            grep -v '^ptxas info' "$work/log" || true
            failed=$((failed + 1))
        fi
        kernels=$((kernels + $(grep -c 'Compiling entry' "$work/log" || true)))
    done
done
echo "$# files, $kernels kernels, $failed failed"
[ "$failed" = 0 ]
