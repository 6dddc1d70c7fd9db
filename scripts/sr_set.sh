#!/bin/sh
# A set of photographs for super-resolution, from Debian's packages of desktop backgrounds: fetched with apt,
# unpacked, not installed, no root needed. 45 photographs of about 1280 px, 48 megapixels, 170 MB to fetch.
#
#   scripts/sr_set.sh FOLDER            # writes FOLDER/PACKAGE-NAME.png
#   DEBS=FOLDER scripts/sr_set.sh ...   # keeps the packages there, and takes those that are there already
#
# Each is reduced by a whole factor, at least 2 (Lanczos), which takes JPEG's traces away; drawings (flat: a
# mean difference between neighbours below 1 of 255) are left out. Needs apt-get, dpkg-deb and a Python with
# Pillow (PYTHON=...). Exit status 1 when a package could not be had: the others' photographs are made.
set -eu
if [ $# != 1 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
python=${PYTHON:-python3}
for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null || {
        echo "sr_set.sh: there is no $tool here: the photographs come from Debian's packages" >&2
        exit 69
    }
done
"$python" -c 'import PIL.Image' 2>/dev/null || {
    echo "sr_set.sh: $python has no Pillow: apt-get install python3-pil, or PYTHON=venv/bin/python after pip install pillow" >&2
    exit 69
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$1" "$work/unpacked" "${DEBS:-$work/debs}" "$work/lists/partial" "$work/cache/archives/partial"
out=$(cd "$1" && pwd)
debs=$(cd "${DEBS:-$work/debs}" && pwd)

# Where the machine has no lists of packages (a fresh container), or old ones, new lists are fetched to a
# folder of our own, which needs no root.
own="-o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User= -o Debug::NoLocking=1"
fetch() {
    # shellcheck disable=SC2086
    (cd "$debs" && apt-get -q $2 download "$1") >"$work/log" 2>&1
}
updated=
missing=
for package in lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds plasma-workspace-wallpapers; do
    if ! ls "$debs/${package}_"*.deb >/dev/null 2>&1; then
        echo "fetching $package"
        if ! fetch $package ""; then
            # shellcheck disable=SC2086
            [ "$updated" ] || apt-get -q $own update >"$work/update" 2>&1 || true
            updated=yes
            if ! fetch $package "$own"; then
                echo "sr_set.sh: $package cannot be fetched: $(grep -m 1 '^E:' "$work/log" || tail -n 1 "$work/log")" >&2
                missing="$missing $package"
                continue
            fi
        fi
    fi
    if ! dpkg-deb -x "$debs/${package}_"*.deb "$work/unpacked/$package" 2>"$work/log"; then
        echo "sr_set.sh: $package cannot be unpacked: $(tail -n 1 "$work/log")" >&2
        missing="$missing $package"
    fi
done

"$python" - "$work/unpacked" "$out" <<'END'
import glob, os, sys
from PIL import Image, ImageChops, ImageStat

Image.MAX_IMAGE_PIXELS = None
unpacked, out = sys.argv[1:]
PLACES = ["mate-backgrounds/usr/share/backgrounds/mate/nature/*.jpg",
          "mate-backgrounds/usr/share/backgrounds/mate/abstract/Elephants_3840x2160.jpg",
          "lomiri-wallpapers-16.04/usr/share/backgrounds/*.jpg",
          "lomiri-wallpapers-20.04/usr/share/backgrounds/*.jpg",
          "plasma-workspace-wallpapers/usr/share/wallpapers/*/contents/images/*x*.jpg",
          "plasma-workspace-wallpapers/usr/share/wallpapers/*/contents/images/*x*.png"]
seen, count, pixels, flat = set(), 0, 0, 0
for place in PLACES:
    for path in sorted(glob.glob(os.path.join(unpacked, place))):
        real = os.path.realpath(path)
        if real in seen or "720x1440" in path or "1080x1920" in path:  # a picture's forms for phones
            continue
        seen.add(real)
        parts = os.path.relpath(path, unpacked).split(os.sep)
        name = os.path.splitext(parts[-1])[0]
        if parts[3] == "wallpapers":  # a folder for each, the file is called by its size
            name = parts[4] + "-" + name
        with Image.open(path) as image:
            image = image.convert("RGB")
        side = max(image.size)
        factor = max(2, round(side / 1280)) if side > 1400 else 1
        if factor > 1:
            image = image.resize((image.width // factor, image.height // factor), Image.LANCZOS)
        image = image.crop((0, 0, image.width // 4 * 4, image.height // 4 * 4))
        grey = image.convert("RGB", (1 / 3, 1 / 3, 1 / 3, 0) * 3).getchannel(0)
        left, right = grey.crop((0, 0, grey.width - 1, grey.height)), grey.crop((1, 0, grey.width, grey.height))
        change = ImageStat.Stat(ImageChops.difference(left, right)).mean[0]
        if change < 1:
            flat += 1
            continue
        image.save(os.path.join(out, "%s-%s.png" % (parts[0], name)))
        count += 1
        pixels += image.width * image.height
print("%d photographs of %.1f megapixels in %s, %d flat ones left out" % (count, pixels / 1e6, out, flat))
END
if [ "$missing" ]; then
    echo "sr_set.sh: the set is not whole, without:$missing" >&2
    exit 1
fi
