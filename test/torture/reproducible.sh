#!/bin/sh
# Two builds of one source in two folders, one after the other, under other umasks, time zones, languages and homes,
# without a compiler's cache: the program and, where dpkg is, the Debian package must be the same bytes.
#
#   test/torture/reproducible.sh [MAKE-VARIABLE=VALUE ...]        OPT_LEVEL=-O0: minutes less
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
CCACHE_DISABLE=1
export SOURCE_DATE_EPOCH CCACHE_DISABLE

copy() { # FOLDER: the source without what was built
    mkdir -p "$1"
    tar -cf - --exclude=./build --exclude=./.git --exclude=./imgtrain --exclude=./runs --exclude=./shared . | tar -xf - -C "$1"
}
built() { # FOLDER [MAKE-VARIABLE=VALUE ...]: leaves FOLDER/out/imgtrain and, where it can be made, FOLDER/out/imgtrain.deb
    folder=$1
    shift
    mkdir "$folder/out"
    (
        cd "$folder"
        make --no-print-directory -j"$(nproc)" "$@" imgtrain >/dev/null
        if command -v dpkg-shlibdeps >/dev/null; then scripts/package/deb.sh out/imgtrain.deb "$@" >/dev/null; fi
        cp -L imgtrain out/
    )
}

copy "$work/a"
copy "$work/another/longer-path/b"
(umask 022 && TZ=UTC LANG=C HOME=$work built "$work/a" "$@")
(umask 077 && TZ=Asia/Kolkata LANG=C.UTF-8 HOME=$work/another built "$work/another/longer-path/b" "$@")
for file in "$work"/a/out/*; do
    name=$(basename "$file")
    if cmp "$file" "$work/another/longer-path/b/out/$name"; then
        echo "$name: the same $(stat -c %s "$file") bytes from two folders"
    else
        echo "$name: not the same bytes" >&2
        exit 1
    fi
done
