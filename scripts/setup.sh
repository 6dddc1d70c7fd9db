#!/bin/sh
# Installs what imgtrain needs on Debian 12 or 13 or Ubuntu 24.04 (with sudo, or as root), and brings a
# photograph for `make demo`. Does nothing, and needs no network, when all is there already.
#
#   ./scripts/setup.sh          what building, running and testing need
#   ./scripts/setup.sh --dev    also what `make check` needs: Pillow, g++, clang, clang-format, shellcheck, strace, ctags, git-lfs
#   ./scripts/setup.sh --cuda   also nvcc, from the packages of this system or, where it is set up, of NVIDIA's
#                               repository; where there is none, what to install by hand
set -eu
cd "$(dirname "$0")/.."

required="gcc make pkg-config libyaml-dev libcjson-dev libutf8proc-dev libpng-dev libjpeg-dev zlib1g-dev check
          libsubunit-dev python3"
# A build does without these: VIDEO=0 WEBP=0 TIFF=0 HTTP=0.
optional="libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libwebp-dev libtiff-dev
          libmicrohttpd-dev"
dev="python3-pil python3-yaml g++ clang clang-format shellcheck libclang-rt-dev strace universal-ctags git git-lfs man-db groff-base mandoc zsh"
[ "${1:-}" = --dev ] || dev=""

say() { echo "setup: $*"; }

installed() { # PACKAGE: there, under this name or provided by another
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

missing() { # PACKAGES...: those that are not installed
    for package in "$@"; do
        installed "$package" || echo "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    else
        say "needs root or sudo for: $*" >&2
        return 1
    fi
}

updated=no
update_lists() {
    [ "$updated" = yes ] && return 0
    as_root apt-get update -qq || say "apt-get update failed: trying with the lists that are here"
    updated=yes
}

install_packages() {
    as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# ---- nvcc: 12.2 or newer; one of CUDA 13 wants a driver 580, one of CUDA 12 any from 525 on ----
cuda_by_hand() {
    say "$1; by hand: https://developer.nvidia.com/cuda-downloads (or cuda-toolkit-archive), the packages" >&2
    say "cuda-nvcc-MAJOR-MINOR and cuda-cudart-dev-MAJOR-MINOR of 13 for a driver 580 or newer (nvidia-smi" >&2
    say "says which), of 12.2 to 12.9 for one from 525 on; then: make NVCC=/usr/local/cuda/bin/nvcc" >&2
}

cuda_version_of() { # NVCC: 12.2 as 1202
    "$1" --version 2>/dev/null | sed -n 's/.* release \([0-9]*\)\.\([0-9]*\),.*/\1 \2/p' | awk '{ print $1 * 100 + $2 }'
}

# The newest that the driver takes (any, where there is none), as MAJOR-MINOR.
cuda_offered() {
    driver=$(grep -oE '[0-9]{3}\.[0-9.]+' "${NVIDIA_VERSION:-/proc/driver/nvidia/version}" 2>/dev/null | head -n 1 | cut -d. -f1)
    apt-cache pkgnames cuda-nvcc- 2>/dev/null | sed -n 's/^cuda-nvcc-\([0-9]*\)-\([0-9]*\)$/\1 \2/p' |
        awk -v driver="${driver:-999}" '{ v = $1 * 100 + $2 }
            v >= 1202 && v < 1400 && (v < 1300 || driver >= 580) && v > best { best = v; name = $1 "-" $2 } END { print name }'
}

cuda_setup() {
    for nvcc in "${NVCC:-$(command -v nvcc || true)}" "${NVCC:-/usr/local/cuda/bin/nvcc}"; do
        [ -x "$nvcc" ] || continue
        if [ "$(cuda_version_of "$nvcc")" -ge 1202 ]; then
            say "nvcc is there: $nvcc"
            return
        fi
        say "$nvcc is older than CUDA 12.2"
    done
    update_lists
    offered=$(cuda_offered)
    if [ -n "$offered" ]; then
        say "installing nvcc of CUDA $offered from NVIDIA's repository"
        install_packages g++ "cuda-nvcc-$offered" "cuda-cudart-dev-$offered" ||
            cuda_by_hand "NVIDIA's packages could not be installed"
        return
    fi
    version=$(apt-cache policy nvidia-cuda-toolkit 2>/dev/null | sed -n 's/.*Candidate: \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | awk '{ print $1 * 100 + $2 }')
    if [ "${version:-0}" -ge 1202 ]; then
        say "installing nvidia-cuda-toolkit"
        install_packages g++ nvidia-cuda-toolkit || cuda_by_hand "nvidia-cuda-toolkit could not be installed"
    elif [ "${version:-0}" -gt 0 ]; then
        cuda_by_hand "this system's nvidia-cuda-toolkit is older than CUDA 12.2"
    else
        cuda_by_hand "no package of this system has nvcc (Debian: non-free)"
    fi
}

if ! command -v dpkg-query >/dev/null; then
    say "no dpkg here: install by hand, under your system's names: $required $optional" >&2
    exit 0
fi

# shellcheck disable=SC2086  # lists of words
needed=$(missing $required)
if [ -n "$needed" ]; then
    update_lists
    # shellcheck disable=SC2086
    say "installing" $needed
    # shellcheck disable=SC2086
    install_packages $needed
fi
# shellcheck disable=SC2086
for package in $(missing $optional $dev); do
    update_lists
    say "installing $package"
    install_packages "$package" || say "no $package here: going on without it"
done

[ "${1:-}" != --cuda ] || cuda_setup

# ---- a photograph for the demo: the first of these packages that has its file ----
demo=build/demo
photos="python3-sklearn:usr/lib/python3/dist-packages/sklearn/datasets/images/china.jpg
        python-matplotlib-data:usr/share/matplotlib/mpl-data/sample_data/grace_hopper.jpg
        xplanet-images:usr/share/xplanet/images/earth.jpg"

fetch_photo() { # PACKAGE FILE: the file out of the downloaded package, nothing is installed
    if [ -s "/$2" ]; then
        cp "/$2" "$demo/photo.jpg"
        return
    fi
    folder=$(mktemp -d)
    if ! (cd "$folder" && apt-get download -qq "$1" >/dev/null 2>&1); then
        update_lists
        (cd "$folder" && apt-get download -qq "$1" >/dev/null 2>&1) || true
    fi
    found=no
    for deb in "$folder"/*.deb; do
        [ -e "$deb" ] || continue
        dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$folder" "./$2" 2>/dev/null || true
        if [ -s "$folder/$2" ]; then
            cp "$folder/$2" "$demo/photo.jpg.part"
            mv "$demo/photo.jpg.part" "$demo/photo.jpg"
            found=yes
        fi
    done
    rm -rf "$folder"
    [ "$found" = yes ]
}

if [ ! -s "$demo/photo.jpg" ]; then
    mkdir -p "$demo"
    for photo in $photos; do
        if fetch_photo "${photo%%:*}" "${photo#*:}"; then
            say "the demo's photograph: ${photo#*:} of the package ${photo%%:*}"
            break
        fi
    done
    [ -s "$demo/photo.jpg" ] || say "no photograph to be had: the demo draws a picture instead"
fi
say "ready"
