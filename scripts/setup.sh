#!/bin/sh
# Installs what imgtrain needs on Debian 12 or Ubuntu 24.04 (with sudo, or as root), and brings a
# photograph for `make demo`. Does nothing, and needs no network, when all is there already.
#
#   ./scripts/setup.sh          what building, running and testing need
#   ./scripts/setup.sh --dev    also what `make check` needs: Pillow, g++, clang, clang-format, shellcheck, strace, ctags
set -eu
cd "$(dirname "$0")/.."

required="gcc make pkg-config libyaml-dev libcjson-dev libpng-dev libjpeg-dev zlib1g-dev check
          libsubunit-dev python3"
# A build does without these: VIDEO=0 WEBP=0 TIFF=0.
optional="libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libwebp-dev libtiff-dev"
dev="python3-pil g++ clang clang-format shellcheck libclang-rt-dev strace universal-ctags man-db groff-base mandoc zsh"
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
