#!/bin/sh
# WebP and TIFF: the pixels that Pillow reads, for every way that a TIFF is laid out; and what is not
# read is called by its name.
. "$(dirname "$0")/lib.sh"

imgtrain doctor >doctor 2>&1
have=
for kind in WebP TIFF; do
    if grep -q "^$kind  *lib" doctor; then
        have="$have $(echo $kind | tr '[:upper:]' '[:lower:]')"
    else
        skip "no $kind: $(grep "^$kind" doctor)"
    fi
done
status=0
for python in python3 /usr/bin/python3; do
    # shellcheck disable=SC2086  # a list of words
    "$python" "$root/test/cli/formats.py" $have >names 2>/dev/null
    status=$?
    [ $status = 0 ] && break
done
if [ $status = 77 ]; then
    skip "no Pillow to compare with (python3-pil)"
elif [ -n "$have" ]; then
    run 0 test "$status" = 0
    run 0 test -s names
    while read -r name reference; do
        run 0 imgtrain eval "$name" "$reference" --range -1:9
        out_has "psnr     inf: no difference"
        err_lines 0
    done <names
fi

# By the first bytes, whatever the name.
bytes() { printf "$2" >"$1"; }
words() { # NAME BYTES WORDS: as a picture, and as a model
    bytes "$1" "$2"
    run 65 imgtrain eval "$1" "$1"
    err_has "$1: $3, not a PNG, JPEG"
    err_lines 1
    run 65 imgtrain render "$1" -o out.png
    err_has "$1: $3, not a model (.safetensors)"
    err_lines 1
}
words a.jpg 'GIF89a\001\000\001\000' "a GIF image"
words b.jpg '\000\000\000\034ftypheic\000\000\000\000mif1heic' "a HEIC image"
words c.jpg '\000\000\000\034ftypavif\000\000\000\000mif1avif' "an AVIF image"
words d.png 'BM\066\000\000\000\000\000\000\000\066\000' "a BMP image"
words e.png '<?xml version="1.0"?>\n<svg xmlns="x"/>' "an SVG drawing"
words f.png '8BPS\000\001\000\000\000\000' "a Photoshop (PSD) image"
words g.png '\166\057\061\001\002\000\000\000ch' "an OpenEXR image"
words h.png '\000\000\000\014JXL \r\n\207\n' "a JPEG XL image"
words i.png '\000\000\000\014jP  \r\n\207\n' "a JPEG 2000 image"
words j.png 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' "a Git LFS pointer instead of the file itself"
err_has 'git lfs pull'
words k.png '<!DOCTYPE html>\n<html>' "an HTML page"
cp k.png l.safetensors
run 65 imgtrain info l.safetensors
err_has "l.safetensors: an HTML page, not a model (.safetensors)"
words m.pth 'PK\003\004\000\000\010\010\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\020\000\000\000archive/data.pkl' "a PyTorch file (.pth, .pt)"
words n.pth '\200\002}q\000(X\005\000\000\000' "a Python pickle (.pth, .pkl)"
words o.png '\037\213\010\000\000\000\000\000\000\003' "a gzip archive"
: >empty.png
run 65 imgtrain eval empty.png empty.png
err_has "empty.png: the file is empty"
: >empty.safetensors
run 65 imgtrain render empty.safetensors -o out.png
err_has "empty.safetensors: the file is empty"
mkdir folder
run 65 imgtrain eval folder folder
err_has "folder: no images in this folder"

# An image as a model or a config, a model as an image.
printf 'P3 2 2 255 1 2 3 40 50 60 70 80 90 100 110 120\n' >two.ppm
python3 "$root/test/cli/tool.py" model plain >/dev/null
cp plain.safetensors model.png
run 65 imgtrain render two.ppm -o out.png
err_has "two.ppm: a PNM or PFM image, not a model (.safetensors)"
run 65 imgtrain info two.ppm
err_has "two.ppm: a PNM or PFM image, not a model"
run 78 imgtrain train two.ppm
err_has "two.ppm: a PNM or PFM image, not a config (YAML): an image is given by input_path=FILE"
run 78 imgtrain train plain.safetensors
err_has "plain.safetensors: a safetensors file, not a config (YAML)"
run 65 imgtrain train input_path=model.png --dry-run
err_has "model.png: a safetensors file, not a PNG"
run 0 imgtrain eval model.png plain.safetensors # told by its contents
out_has "psnr     inf"

# In a GAN's folder: named, and what it is.
mkdir data
for i in 1 2 3; do cp two.ppm data/$i.ppm; done
cp a.jpg data/a.jpg
cp j.png data/j.png
cp b.jpg data/b.heic
cat >tiny.yaml <<'EOF'
task: gan
data: data
device: cpu
gan: {width: 16, height: 16, widths: [8, 8, 8], images: 16, batch: 8, samples: 4}
video: {enabled: false}
EOF
run 0 imgtrain train tiny.yaml -o run
err_has "a.jpg: a GIF image, not a PNG"
err_has "j.png: a Git LFS pointer"
rm data/*
cp b.jpg data/b.heic
run 65 imgtrain train tiny.yaml -o other
err_has "only 1 of other formats (heic): convert them to PNG"
finish
