#!/bin/sh
# scripts/gan_photos.sh: which pictures of a package it takes, and whose it says they are. apt-get is a
# stand-in: nothing is fetched.
. "$(dirname "$0")/lib.sh"

run 64 "$root/scripts/gan_photos.sh" --help
err_has "scripts/gan_photos.sh [FOLDER]"
run 64 env PACKAGE=hello "$root/scripts/gan_photos.sh" out
err_has "hello: only of stellarium-data and tuxpaint-stamps-default"
command -v dpkg-deb >/dev/null || {
    skip "no dpkg-deb"
    finish
}
mkdir bin debs
cat >bin/apt-get <<END
#!/bin/sh
for package; do :; done
cp "$PWD/debs/\$package"_1_all.deb . 2>/dev/null || { echo "E: Unable to locate package" >&2; exit 100; }
END
chmod +x bin/apt-get
PATH=$PWD/bin:$PATH
export PATH

# package NAME: the debs folder gets it, of what lies in root
package() {
    mkdir -p root/DEBIAN
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: drawn\n' "$1" >root/DEBIAN/control
    dpkg-deb --root-owner-group -b root "debs/${1}_1_all.deb" >/dev/null 2>&1
    rm -rf root
}
# file NAME ...: each holds its name
file() { for name in "$@"; do mkdir -p "root/usr/share/$(dirname "$name")"; echo "$name" >"root/usr/share/$name"; done; }

run 69 "$root/scripts/gan_photos.sh" out
err_has "stellarium-data: cannot be downloaded"
has_not out out.credits

file stellarium/nebulae/default/m31.png stellarium/nebulae/default/m42.png stellarium/nebulae/default/textures.json \
    stellarium/textures/earth.png doc/stellarium-data/copyright doc/stellarium-data/CREDITS.md
gzip root/usr/share/doc/stellarium-data/CREDITS.md
package stellarium-data
run 0 "$root/scripts/gan_photos.sh" out
out_has "out: 2 pictures of stellarium-data, whose they are: out.credits"
has out/m31.png out/m42.png
run 0 grep -qx doc/stellarium-data/CREDITS.md out.credits
run 0 test "$(find out -type f | wc -l)" = 2
# what is there stays
run 0 "$root/scripts/gan_photos.sh" out
out_has "out: there already, 2 pictures"

file tuxpaint/stamps/food/pear.png tuxpaint/stamps/food/pear_mirror.png tuxpaint/stamps/food/pear_flip.png \
    tuxpaint/stamps/food/pear.svg tuxpaint/stamps/town/bus.png doc/tuxpaint-stamps-default/copyright
package tuxpaint-stamps-default
run 0 env PACKAGE=tuxpaint-stamps-default "$root/scripts/gan_photos.sh" "two words/stamps"
has "two words/stamps/food/pear.png" "two words/stamps/town/bus.png"
run 0 test "$(find "two words/stamps" -type f | wc -l)" = 2
run 0 grep -qx doc/tuxpaint-stamps-default/copyright "two words/stamps.credits"
# nothing else is left behind
run 0 test "$(find . -name '*tmp*' | wc -l)" = 0
finish
