#!/bin/sh
# imgtrain eval: figures, channels that differ, and what it refuses.
. "$(dirname "$0")/lib.sh"

# grey NAME VALUE: 2x2; rgb NAME R G B; pam NAME CHANNELS VALUES...: 1x1
grey() { printf 'P2 2 2 255 %d %d %d %d\n' "$2" "$2" "$2" "$2" >"$1"; }
rgb() { printf 'P3 2 2 255 %s %s %s %s\n' "$2" "$2" "$2" "$2" >"$1"; }

grey "a b.pgm" 0
grey b.pgm 255
grey small.pgm 0
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
out_has "psnr     21.3139 dB" # a fifth of 155 of 255 in one of two samples
rgba='P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nENDHDR\n'
printf "$rgba"'\377\012\310\000' >hidden.pam # alpha 0 over two colours
printf "$rgba"'\000\377\001\000' >also.pam
printf "$head"'\377\000' >none.pam
run 0 imgtrain eval hidden.pam also.pam
out_has "4 channels"
out_has "psnr     inf: no difference"
out_has "ssim     1.000000"
run 0 imgtrain eval none.pam hidden.pam # grey with alpha against RGB with alpha
out_has "4 channels"
out_has "psnr     inf: no difference"
mkdir four # four maps are no colour with alpha
for i in 1 2 3 4; do printf 'P2 1 1 255 %d\n' $((i * 9)) >four/$i.pgm; done
mkdir fore
for i in 1 2 3; do printf 'P2 1 1 255 0\n' >fore/$i.pgm; done
printf 'P2 1 1 255 36\n' >fore/4.pgm
run 0 imgtrain eval four fore
out_has "psnr     23.6053 dB" # 10 log10(4 * 255^2 / (9^2 + 18^2 + 27^2))
out_has "flip     -: not grey or RGB"

# A fit's own PSNR and eval's are one number, whatever colours alpha 0 hides.
python3 -c '
import sys
w, h = 40, 30
sys.stdout.buffer.write(b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (w, h))
for y in range(h):
    for x in range(w):
        seen = (x - 20) ** 2 + (y - 15) ** 2 < 100
        pixel = (200, 60, 90, 255) if seen else (x * 91 % 256, y * 57 % 256, x * y % 256, 0)
        sys.stdout.buffer.write(bytes(pixel))' >logo.pam
run 0 imgtrain train input_path=logo.pam num_gaussians=60 max_steps=60 device=cpu video.enabled=false -o logo -q
run 0 imgtrain eval logo logo.pam --json
cp "$out" "$out.kept"
run 0 python3 -c '
import json, sys
fit = [json.loads(line) for line in open("logo/metrics.jsonl")][-1]["psnr"]
measured = json.load(open(sys.argv[1]))["psnr"]
sys.exit(not (fit > 15 and abs(fit - measured) < 0.3))' "$out.kept"

# High dynamic range: what is cut is counted, a range of one's own cuts nothing, ratios count in log-psnr.
python3 -c '
import struct
def pfm(name, values):
    open(name, "wb").write(b"Pf\n4 1\n-1\n" + struct.pack("<4f", *values))
pfm("sun.pfm", (0.25, 0.5, 16, 64)); pfm("sun2.pfm", (0.25, 0.5, 32, 64)); pfm("dark.pfm", (-0.5, 0, 0.5, 1))
pfm("moon.pfm", (0, 0.5, 0.5, 1))'
run 0 imgtrain eval sun.pfm sun2.pfm
out_has "psnr     inf: no difference" # all that lies in 0..1
out_has "log-psnr 24.0824 dB"         # 20 log10(8 stops of range) + 10 log10(4) for one stop in one of four
err_has "warning: sun.pfm: 2 of 4 samples lie outside 0..1 (0.25 to 64) and are cut; --range LO:HI measures another range"
err_has "warning: sun2.pfm: 2 of 4"
err_lines 2
run 0 imgtrain eval sun.pfm sun2.pfm --range 0:64
out_has "psnr     18.0618 dB" # a quarter, in one of four
err_lines 0
run 0 imgtrain eval sun.pfm sun2.pfm --range 0:64 --json
out_has '"log_psnr": 24.082'
out_has '"range": [0, 64], "outside": [0, 0]'
run 0 imgtrain eval sun.pfm sun2.pfm --range 0:20
err_has "sun.pfm: 1 of 4 samples lie outside 0..20"
run 0 imgtrain eval dark.pfm moon.pfm
err_has "dark.pfm: 1 of 4 samples lie outside 0..1 (-0.5 to 1)"
err_lines 1
out_lacks "log-psnr" # no light beyond 1
run 0 imgtrain eval b.pgm b.pgm --range 0:2
out_has "psnr     inf"
for range in 1 1:1 2:1 a:b 0:inf 0:1x; do
    run 64 imgtrain eval sun.pfm sun2.pfm --range "$range"
    err_has "LO:HI is wanted"
done
run 0 imgtrain train input_path=sun.pfm num_gaussians=2 max_steps=2 device=cpu video.enabled=false -o sun -q
run 0 imgtrain train input_path=sun.pfm num_gaussians=2 max_steps=2 device=cpu video.enabled=false -o sun3
err_has "sun.pfm: 2 of 4 samples lie outside 0..1 (0.25 to 64): they are fitted as they are"
run 0 imgtrain train input_path=moon.pfm num_gaussians=2 max_steps=2 device=cpu video.enabled=false -o moon
err_lacks outside

# A mask: means by how light it is there; half of the squares at a third of the weight
printf 'P2 2 2 255 0 0 255 255\n' >half.pgm
printf 'P2 2 2 255 0 0 9 9\n' >below.pgm
printf 'P2 2 2 255 85 85 255 255\n' >dim.pgm
run 0 imgtrain eval half.pgm b.pgm --mask below.pgm
out_has "psnr     inf: no difference"
out_has "ms-ssim  -: not with a mask"
run 0 imgtrain eval half.pgm b.pgm --mask dim.pgm
out_has "psnr     6.0206 dB"
run 65 imgtrain eval half.pgm b.pgm --mask small.pgm
err_has "small.pgm is black: no pixel counts"
printf 'P2 1 2 255 0 9\n' >narrow.pgm
run 65 imgtrain eval half.pgm b.pgm --mask narrow.pgm
err_has "narrow.pgm is 1x2, but the image 2x2"
run 64 imgtrain eval half.pgm b.pgm --mask dim.pgm --crop-border 1
err_has "--mask and --crop-border"

# As papers on super-resolution measure: without a border, of 8 bits, of Y. Noise at the border, 255
# against 0 within: Y 235 against 16, 20 log10(255 / 219). Grey is R = G = B.
python3 - <<'END'
def write(name, magic, top, inside, noise):
    channels = 3 if magic == "P3" else 1
    with open(name, "w") as f:
        print(magic, 30, 24, top, file=f)
        for y in range(24):
            for x in range(30):
                border = x < 3 or y < 3 or x > 26 or y > 20
                print(*[x * noise % (top + 1) if border else inside] * channels, file=f)
write("white.ppm", "P3", 255, 255, 7)
write("black.pgm", "P2", 255, 0, 13)
write("deep1.pgm", "P2", 65535, 30000, 7000)
write("deep2.pgm", "P2", 65535, 30010, 9000)
END
run 0 imgtrain eval white.ppm black.pgm --y --crop-border 3
out_has "size     24x18, 3 channels"
out_has "psnr     0.0000 dB"
out_has "psnr-y   1.3219 dB"
out_has "ssim-y   0.135643" # (2 235 16 + 6.5025) / (235^2 + 16^2 + 6.5025), both are flat
run 0 imgtrain eval white.ppm black.pgm --crop-border 3 --json
out_has '"psnr": 0, '
out_has '"psnr_y": null'
run 0 imgtrain eval white.ppm black.pgm --y
out_lacks "psnr     0.0000"
run 0 imgtrain eval deep1.pgm deep2.pgm --crop-border 3
out_has "psnr     76.3295 dB" # 20 log10(65535 / 10)
run 0 imgtrain eval deep1.pgm deep2.pgm --crop-border 3 --y # the same 8 bits
out_has "psnr     inf"
out_has "psnr-y   inf: no difference"
out_has "ssim-y   1.000000"
run 64 imgtrain eval white.ppm black.pgm --crop-border 12
err_has "--crop-border 12 leaves nothing of white.ppm, which is 30x24"
run 64 imgtrain eval veiled.pam dimmer.pam --y
err_has "--y is of grey and RGB; veiled.pam and dimmer.pam have 2 channels"
err_lines 1

# refused
printf 'P2 1 2 255 0 0\n' >other.pgm
run 65 imgtrain eval b.pgm other.pgm
err_has "sizes differ: b.pgm is 2x2, other.pgm is 1x2"
err_lines 1
mkdir stack
rgb stack/a.ppm "1 2 3"
rgb stack/b.ppm "1 2 3"
run 0 imgtrain eval stack stack
out_has "6 channels"
out_has "flip     -: not grey or RGB"
run 65 imgtrain eval stack b.pgm
err_has "channels differ: stack has 6, b.pgm has 1"
run 66 imgtrain eval absent.png b.pgm
err_has "absent.png"
run 66 imgtrain eval absent.safetensors b.pgm
run 65 imgtrain eval /dev/null b.pgm
: >empty.png
run 65 imgtrain eval empty.png b.pgm
err_has "empty.png: the file is empty"
run 0 imgtrain eval b.pgm b.pgm --features absent
err_has "--features has no effect on images"
run 64 imgtrain eval b.pgm
run 74 sh -c '"$0" eval b.pgm b.pgm >/dev/full' "$program"
run 0 imgtrain eval --help
out_has "imgtrain eval render.png photo.png"
finish
