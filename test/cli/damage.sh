#!/bin/sh
# Images that are damaged without losing a pixel: read to the pixels that Pillow reads, with one
# warning for each file, by every command. Damage that costs pixels stays an error.
. "$(dirname "$0")/lib.sh"

for python in python3 /usr/bin/python3; do
    "$python" "$root/test/cli/damage.py" >names 2>/dev/null
    status=$?
    [ $status = 0 ] && break
done
if [ $status = 77 ]; then
    skip "no Pillow to compare with (python3-pil)"
else
    run 0 test "$status" = 0
    run 0 test -s names
    while read -r name; do
        run 0 imgtrain eval "$name" "$name.pillow.png"
        out_has "psnr     inf: no difference"
        case $name in
        long* | ?TXt* | *-behind.jpg) err_lines 0 ;;
        *) err_has "warning: $name: " && err_lines 1 ;;
        esac
    done <names
fi

# Without Pillow: a PPM, as a PNG whose end is missing
printf 'P3 2 2 255 1 2 3 40 50 60 70 80 90 100 110 120\n' >two.ppm
cat >end.py <<'EOF'
import struct, zlib
def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
rows = b'\0\1\2\3\50\62\74' + b'\0\106\120\132\144\156\170'
data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 2, 2, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows))
open('noend.png', 'wb').write(data)
open('short.png', 'wb').write(data[:-9])
import os
os.mkdir('data')
for i in range(12):
    open('data/%d.png' % i, 'wb').write(data)
EOF
python3 end.py
run 0 imgtrain eval noend.png two.ppm
out_has "psnr     inf: no difference"
err_is "warning: noend.png: the end of this PNG is missing (all pixels are there)"
run 0 imgtrain eval noend.png noend.png
err_lines 1 # once, although it is read twice
run 65 imgtrain eval short.png two.ppm
err_has "short.png: broken PNG"
err_lines 1

# None of a GAN's images is left out for that.
cat >tiny.yaml <<'EOF'
task: gan
data: data
device: cpu
gan: {width: 16, height: 16, widths: [8, 8, 8], images: 16, batch: 8, samples: 4}
video: {enabled: false}
EOF
run 0 imgtrain train tiny.yaml -o run
err_has "12 images"
err_lacks skipped
finish
