#!/bin/sh
# A Debian package of what `make install` puts in place: dependencies as dpkg-shlibdeps finds them, libraries that are
# opened at run time as recommendations. The same source gives the same bytes, wherever and whenever it is built.
#
#   make deb                 of this system's libraries; CUDA=0, VIDEO=0, ...: as for the build
#   scripts/package/deb.sh OUT.deb [MAKE-VARIABLE=VALUE ...]
#   DEB_MAINTAINER="Name <address>"  DEB_REVISION=1
#
# SOURCE_DATE_EPOCH dates what is in it; without it the last commit does, or where there is none CHANGELOG.md.
set -eu
flags=${MAKEFLAGS:-}
case ${flags%% *} in
*[!A-Za-z]*) ;;
*n*) exit 0 ;; # make -n, which runs what has a make in it
esac
umask 022
case $1 in
/*) out=$1 ;;
*) out=$PWD/$1 ;;
esac
shift
cd "$(dirname "$0")/../.."
for tool in dpkg-deb dpkg-shlibdeps; do
    command -v "$tool" >/dev/null || { echo "deb.sh: $tool is not installed (Debian: dpkg-dev)" >&2; exit 69; }
done

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
LC_ALL=C TZ=UTC
export SOURCE_DATE_EPOCH LC_ALL TZ
version=$(sed -n 's/^#define IMGTRAIN_VERSION "\(.*\)"/\1/p' src/base/version.h)-${DEB_REVISION:-1}
maintainer=${DEB_MAINTAINER:-the imgtrain authors <imgtrain@localhost>}
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/debian/imgtrain

make --no-print-directory "$@" PREFIX=/usr DESTDIR="$tree" install >/dev/null
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$tree/usr/bin/imgtrain"

# ---- where Debian wants it ----
share=$tree/usr/share
mkdir -p "$share/zsh/vendor-completions"
mv "$share/zsh/site-functions/_imgtrain" "$share/zsh/vendor-completions/"
rmdir "$share/zsh/site-functions"
gzip -9n "$share/man/man1/imgtrain.1"
doc=$share/doc/imgtrain
{
    echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
    echo "Upstream-Name: imgtrain"
    echo
    echo "Files: *"
    sed -n 's/^Copyright (c) /Copyright: /p' LICENSE
    echo "License: Expat"
    sed -n '/^Permission/,$p' LICENSE | sed 's/^$/./; s/^/ /'
} >"$doc/copyright"
rm "$doc/LICENSE"
gzip -9nc "$doc/CHANGELOG.md" >"$doc/changelog.gz"
rm "$doc/CHANGELOG.md"
{
    echo "imgtrain ($version) unstable; urgency=medium"
    echo
    echo "  * Built from the source: changelog.gz has what is new."
    echo
    echo " -- $maintainer  $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')"
} | gzip -9n >"$doc/changelog.Debian.gz"

# ---- what it needs ----
# Libraries that are opened when they are first needed, by the major version that was built with: their packages here.
opened() {
    for library in libavcodec libavformat libavutil libswscale libwebp libtiff libmicrohttpd; do
        path=$(readlink -f "$(gcc -print-file-name=$library.so)")
        dpkg-query -S "$path" "/usr$path" "${path#/usr}" 2>/dev/null | head -n 1 | cut -d: -f1
    done | sort -u | paste -sd, | sed 's/,/, /g'
}
mkdir "$tree/DEBIAN"
printf 'Source: imgtrain\n\nPackage: imgtrain\nArchitecture: any\n' >"$work/debian/control"
needs=$(cd "$work" && dpkg-shlibdeps -O debian/imgtrain/usr/bin/imgtrain | sed -n 's/^shlibs:Depends=//p')
recommends=$(opened)
{
    echo "Package: imgtrain"
    echo "Version: $version"
    echo "Architecture: $architecture"
    echo "Maintainer: $maintainer"
    echo "Installed-Size: $(find "$tree/usr" -type f -printf '%s\n' | awk '{ k += int(($1 + 1023) / 1024) } END { print k }')"
    echo "Depends: $needs"
    [ -z "$recommends" ] || echo "Recommends: $recommends"
    echo "Section: graphics"
    echo "Priority: optional"
    echo "Description: trainer of image models, on the CPU or CUDA"
    echo " Fits 2D Gaussians to an image, trains GANs, networks that enlarge images and"
    echo " diffusion models; one program without Python or a framework. It says before"
    echo " the first step how much memory and disk a run takes; a run can be stopped and"
    echo " resumed at any moment without changing a bit of the result."
} >"$tree/DEBIAN/control"
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$(dirname "$out")"
dpkg-deb --root-owner-group -Zxz --build "$tree" "$out" >/dev/null
echo "$out"
