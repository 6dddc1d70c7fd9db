#!/bin/sh
# scripts/sr_set.sh: what it needs, what it says when a package cannot be had, what it makes. apt-get is a
# stand-in: nothing is fetched.
. "$(dirname "$0")/lib.sh"

run 64 "$root/scripts/sr_set.sh"
err_has "scripts/sr_set.sh FOLDER"
command -v dpkg-deb >/dev/null || {
    skip "no dpkg-deb"
    run 69 "$root/scripts/sr_set.sh" out
    finish
}
mkdir bin debs
cat >bin/apt-get <<'END'
#!/bin/sh
echo "E: Unable to locate package" >&2
exit 100
END
chmod +x bin/apt-get
PATH=$PWD/bin:$PATH
export PATH
run 69 env PYTHON=/bin/false "$root/scripts/sr_set.sh" out
err_has "has no Pillow"
err_lines 1
python=${PYTHON:-python3}
"$python" -c 'import PIL' 2>/dev/null || {
    skip "$python has no Pillow (PYTHON=... picks another)"
    finish
}
PYTHON=$python
export PYTHON

# package NAME PATH: the debs folder gets a package with the file `photo` at that path
package() {
    mkdir -p "root/DEBIAN" "root/$(dirname "$2")"
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: drawn\n' "$1" >root/DEBIAN/control
    cp photo "root/$2"
    [ -e flat ] && cp flat "root/$(dirname "$2")/flat.jpg"
    dpkg-deb --root-owner-group -b root "debs/${1}_1_all.deb" >/dev/null 2>&1
    rm -rf root
}
"$python" -c '
from PIL import Image
Image.effect_noise((1503, 901), 90).convert("RGB").save("photo", "PNG")
Image.new("RGB", (200, 100), (90, 9, 200)).save("flat", "PNG")'
package lomiri-wallpapers-16.04 usr/share/backgrounds/rings.jpg
rm flat
package mate-backgrounds usr/share/backgrounds/mate/nature/rings.jpg
run 1 env DEBS=debs "$root/scripts/sr_set.sh" "made of packages"
out_has "2 photographs of 0.7 megapixels in"
out_has "1 flat ones left out"
err_has "sr_set.sh: lomiri-wallpapers-20.04 cannot be fetched: E: Unable to locate package"
err_has "sr_set.sh: plasma-workspace-wallpapers cannot be fetched"
err_has "sr_set.sh: the set is not whole, without: lomiri-wallpapers-20.04 plasma-workspace-wallpapers"
err_lines 3
has "made of packages/lomiri-wallpapers-16.04-rings.png" "made of packages/mate-backgrounds-rings.png"
run 0 imgtrain eval "made of packages/mate-backgrounds-rings.png" "made of packages/lomiri-wallpapers-16.04-rings.png"
out_has "size     748x448, 3 channels"
package lomiri-wallpapers-20.04 usr/share/backgrounds/rings.jpg
package plasma-workspace-wallpapers usr/share/wallpapers/Rings/contents/images/20x12.png
run 0 env DEBS=debs "$root/scripts/sr_set.sh" whole
err_lines 0
has whole/plasma-workspace-wallpapers-Rings-20x12.png
finish
