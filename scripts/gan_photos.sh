#!/bin/sh
# Makes a folder of photographs to train a GAN on: the 555 of star clusters, nebulae and galaxies in
# Debian's package stellarium-data, 128 to 1024 pixels wide. The package is GPL-2+; its pictures are of
# many photographers and observatories, free to be changed and handed on, most of them with a credit
# (public domain, CC-BY, CC-BY-SA and the like). FOLDER.credits says whose they are.
#
#   scripts/gan_photos.sh [FOLDER]           default: build/photos; 246 MB are fetched
#   imgtrain train cfgs/gan-32.yaml data=build/photos
#   PACKAGE=tuxpaint-stamps-default scripts/gan_photos.sh build/stamps
#
# The last takes the stamps of Tux Paint (GPL-2) instead: 785 cut-out photographs and drawings with alpha,
# without their mirrored forms; 161 MB are fetched. Nothing is installed; a folder that is there already is
# left as it is.
set -eu
case "${1:-}" in
-*)
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
folder=${1:-$(dirname "$0")/../build/photos}
package=${PACKAGE:-stellarium-data}
case $package in
stellarium-data) place=usr/share/stellarium/nebulae/default ;;
tuxpaint-stamps-default) place=usr/share/tuxpaint/stamps ;;
*)
    echo "$package: only of stellarium-data and tuxpaint-stamps-default is it known where pictures lie" >&2
    exit 64
    ;;
esac

if [ -d "$folder" ]; then
    echo "$folder: there already, $(find "$folder" -name '*.png' | wc -l) pictures"
    exit 0
fi
mkdir -p "$(dirname "$folder")"
temporary=$(mktemp -d "$folder.tmpXXXXXX")
trap 'rm -rf "$temporary"' EXIT
trap 'exit 130' INT TERM

# As root apt would drop to a user without access.
(cd "$temporary" && apt-get -qq -o APT::Sandbox::User=root download "$package") ||
    { echo "$package: cannot be downloaded (apt-get update may help)" >&2; exit 69; }
dpkg-deb -x "$temporary"/*.deb "$temporary/package"

# Folders of folders stay: they can serve as classes or tags.
(cd "$temporary/package/$place" && find . -type f -name '*.png' ! -name '*_mirror*' ! -name '*_flip*') |
    while IFS= read -r name; do
        mkdir -p "$temporary/pictures/$(dirname "$name")"
        cp "$temporary/package/$place/$name" "$temporary/pictures/$name"
    done
credits=$temporary/package/usr/share/doc/$package
for name in CREDITS.md.gz copyright; do
    [ -f "$credits/$name" ] || continue
    case $name in
    *.gz) gzip -dc "$credits/$name" ;;
    *) cat "$credits/$name" ;;
    esac >"$folder.credits"
    break
done
chmod -R u+rwX,go+rX "$temporary/pictures"
mv "$temporary/pictures" "$folder"
echo "$folder: $(find "$folder" -name '*.png' | wc -l) pictures of $package, whose they are: $folder.credits"
