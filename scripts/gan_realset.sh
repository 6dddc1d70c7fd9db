#!/bin/sh
# Makes a folder of real pictures to train a GAN on: the icons of Debian's and Ubuntu's package
# oxygen-icon-theme (LGPL-3+), each once, at the largest size it comes in: over 1000 pictures with
# alpha, 16 to 256 pixels wide. Its sub-folders (actions, apps, ...) can serve as classes.
#
#   scripts/gan_realset.sh [FOLDER]          default: build/icons
#   imgtrain train cfgs/gan-16.yaml data=build/icons
#   imgtrain train cfgs/gan-16.yaml data=build/icons labels=true
#
# They have alpha, and so do the samples; figures of src/gan/README.md are of them over white:
# channels=rgb.
#
# Nothing is installed; a folder that is there already is left as it is. PACKAGE=name takes the
# icons of another package.
set -eu
case "${1:-}" in
-*)
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
folder=${1:-$(dirname "$0")/../build/icons}
package=${PACKAGE:-oxygen-icon-theme}

if [ -d "$folder" ]; then
    echo "$folder: there already, $(find "$folder" -name '*.png' | wc -l) pictures"
    exit 0
fi
mkdir -p "$(dirname "$folder")"
temporary=$(mktemp -d "$folder.tmpXXXXXX")
trap 'rm -rf "$temporary"' EXIT
trap 'exit 130' INT TERM

# The package's files, wherever it keeps icons; as root apt would drop to a user without access.
(cd "$temporary" && apt-get -qq -o APT::Sandbox::User=root download "$package") ||
    { echo "$package: cannot be downloaded (apt-get update may help)" >&2; exit 69; }
dpkg-deb -x "$temporary"/*.deb "$temporary/package"

# .../THEME/[base/]64x64/apps/konqueror.png -> "64 PATH apps/konqueror.png"; the largest of each
# name, and of equal files the first.
find "$temporary/package" -type f -path '*/icons/*' -name '*.png' |
    awk -F/ '{
        for (i = NF - 1; i > 1; i--) if ($i ~ /^[0-9]+x[0-9]+$/) break
        if (i <= 1) next
        split($i, size, "x")
        name = $NF
        for (j = NF - 1; j > i; j--) name = $j "/" name
        print size[1] "\t" $0 "\t" name
    }' | LC_ALL=C sort -t "$(printf '\t')" -k 3,3 -k 1,1nr -k 2,2 |
    awk -F '\t' '$3 != last { print $2 "\t" $3; last = $3 }' >"$temporary/list"

mkdir "$temporary/icons"
while IFS="$(printf '\t')" read -r from name; do
    sum=$(md5sum <"$from")
    grep -qxF "$sum" "$temporary/sums" 2>/dev/null && continue
    echo "$sum" >>"$temporary/sums"
    mkdir -p "$temporary/icons/$(dirname "$name")"
    cp "$from" "$temporary/icons/$name"
done <"$temporary/list"

chmod -R u+rwX,go+rX "$temporary/icons"
mv "$temporary/icons" "$folder"
echo "$folder: $(find "$folder" -name '*.png' | wc -l) pictures of $package"
