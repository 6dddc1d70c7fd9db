#!/bin/sh
# In a container of Debian or Ubuntu, as root: installs what a build needs, builds, and leaves below OUT what the
# container that runs it gets: the program below usr/local, and in usr/local/lib/imgtrain the scripts it is set up and
# started by, with the list of the packages that it needs.
#
#   scripts/package/container_build.sh OUT [MAKE-VARIABLE=VALUE ...]
set -eu
out=$1
shift
cd "$(dirname "$0")/../.."
optional="avcodec avformat avutil swscale webp tiff microhttpd" # libraries that are opened at run time
packages="gcc make pkg-config libyaml-dev libcjson-dev libutf8proc-dev libpng-dev libjpeg-dev zlib1g-dev"
for library in $optional; do packages="$packages lib$library-dev"; done
case " $* " in *" CUDA=1 "*) packages="$packages g++" ;; esac # nvcc wants it
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # lists of words
apt-get install -y -qq --no-install-recommends $packages >/dev/null

make VIDEO=1 WEBP=1 TIFF=1 HTTP=1 "$@" PREFIX=/usr/local DESTDIR="$out" install
make clean # a layer less of objects

# The packages that hold the libraries: of any name that this system gives them.
own=$out/usr/local/lib/imgtrain
mkdir -p "$own"
{
    ldd "$out/usr/local/bin/imgtrain" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p'
    for library in $optional; do ls /usr/lib/*/"lib$library.so"; done
} | while read -r file; do
    file=$(readlink -f "$file")
    folder=${file%/*} # packages say /lib where /usr/lib is meant
    echo "*/${folder##*/}/${file##*/}"
done | xargs dpkg-query -S | sed 's/:.*//' | sort -u >"$own/packages"
cp scripts/package/container_install.sh scripts/package/container_start.sh "$own"
