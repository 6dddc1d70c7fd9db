#!/bin/sh
# imgtrain eval: figures, channels that differ, and what it refuses.
. "$(dirname "$0")/lib.sh"

# grey NAME VALUE: 2x2; rgb NAME R G B; pam NAME CHANNELS VALUES...: 1x1
grey() { printf 'P2 2 2 255 %d %d %d %d\n' "$2" "$2" "$2" "$2" >"$1"; }
rgb() { printf 'P3 2 2 255 %s %s %s %s\n' "$2" "$2" "$2" "$2" >"$1"; }

grey "a b.pgm" 0
grey b.pgm 255
run 0 imgtrain eval "a b.pgm" b.pgm
out_has "size     2x2, 1 channel"
out_has "psnr     0.0000 dB"
out_has "ssim     0.000100"
out_has "ms-ssim  -: a side is below 161 pixels"
out_has "flip     "
run 0 imgtrain eval "a b.pgm" b.pgm --json
out_has '{"a": "a b.pgm", "b": "b.pgm", "width": 2, "height": 2, "channels": 1, "identical": false, "psnr": 0, '
out_has '"ms_ssim": null, "flip": '
run 0 imgtrain eval b.pgm b.pgm
out_has "psnr     inf: no difference"
out_has "ssim     1.000000"
out_has "flip     0.000000"
run 0 imgtrain eval b.pgm b.pgm --json
out_has '"identical": true, "psnr": null, "ssim": 1, '

# one step of 16 bits: 20 log10(65535) and 10 log10(4) for one sample of four
printf 'P2 2 2 65535 0 0 0 40000\n' >deep.pgm
printf 'P2 2 2 65535 0 0 0 40001\n' >deeper.pgm
run 0 imgtrain eval deep.pgm deeper.pgm
out_has "psnr     102.3501 dB"

# grey against RGB, alpha over black where only one has it, as a channel where both do
rgb same.ppm "255 255 255"
run 0 imgtrain eval b.pgm same.ppm
out_has "3 channels"
out_has "psnr     inf"
head='P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nENDHDR\n'
printf "$head"'\377\063' >veiled.pam
printf "$head"'\144\063' >dimmer.pam
printf 'P5 1 1 255 \063' >fifth.pgm
run 0 imgtrain eval veiled.pam fifth.pgm
out_has "psnr     1" # the float product is 51 / 255 up to its last bit
run 0 imgtrain eval veiled.pam dimmer.pam
out_has "2 channels"
out_has "psnr     7.3345 dB" # 155 of 255 in one of two samples

# refused
grey small.pgm 0
printf 'P2 1 2 255 0 0\n' >other.pgm
run 65 imgtrain eval b.pgm other.pgm
err_has "sizes differ: b.pgm is 2x2, other.pgm is 1x2"
err_lines 1
mkdir stack
rgb stack/a.ppm "1 2 3"
rgb stack/b.ppm "1 2 3"
run 0 imgtrain eval stack stack
out_has "6 channels"
out_has "flip     -: more than 4 channels"
run 65 imgtrain eval stack b.pgm
err_has "channels differ: stack has 6, b.pgm has 1"
run 66 imgtrain eval absent.png b.pgm
err_has "absent.png"
run 66 imgtrain eval absent.safetensors b.pgm
run 65 imgtrain eval /dev/null b.pgm
: >empty.png
run 65 imgtrain eval empty.png b.pgm
err_has "empty.png: the file is empty"
run 64 imgtrain eval b.pgm
run 74 sh -c '"$0" eval b.pgm b.pgm >/dev/full' "$program"
run 0 imgtrain eval --help
out_has "imgtrain eval render.png photo.png"
finish
