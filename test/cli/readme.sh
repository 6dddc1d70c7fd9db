#!/bin/sh
# What README.md promises: its commands and keys exist, and its Python renders what the program does.
. "$(dirname "$0")/lib.sh"
readme=$root/README.md

# every command of the program stands in the table, and the other way round
"$program" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' | sort -u >commands
sed -n 's/^| `imgtrain \([a-z]*\) .*/\1/p; s/^| `imgtrain \([a-z]*\)`.*/\1/p' "$readme" | sort -u >documented
last="commands of --help and of README.md"
if diff commands documented >"$err"; then pass; else flunk "differ"; cat "$err"; fi
while read -r command; do
    run 0 imgtrain "$command" --help
    out_has "example"
done <commands

# the keys named for users of Image-GS exist, bare
sed -n '/^## For users of Image-GS/,/^- Different/p' "$readme" | grep -v '^- Different' | tr '`' '\n' |
    grep -E '^[a-z0-9]+(_[a-z0-9]+)+$' | sort -u >keys
run 0 sh -c 'test "$(wc -l <keys)" -gt 40'
# shellcheck disable=SC2046  # a list of words
run 0 imgtrain config --explain $(cat keys)

# presets that are named exist
for preset in tiny demo photo 4k 8k 8k-plus additive image-gs; do run 0 test -e "$root/cfgs/$preset.yaml"; done

# the Python
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, safetensors' 2>/dev/null; then
    skip "README's Python: $python has no numpy or no safetensors (PYTHON=... picks another)"
    finish
fi
awk 'BEGIN { print "P3 48 32 255"
    for (y = 0; y < 32; y++) for (x = 0; x < 48; x++) print x * 5, y * 7, (x * y) % 256 }' >picture.ppm
run 0 imgtrain train input_path=picture.ppm device=cpu threads=1 num_gaussians=80 max_steps=20 gamma=1.5 -q \
    video.enabled=false -o fit
run 0 imgtrain render fit -o fit.ppm --device cpu
block() { awk -v wanted="$1" '/^```/ { inside = 0 } inside && n == wanted; /^```python/ { n++; inside = 1 }' "$readme"; }
block 1 >render.py
cat >>render.py <<'PYTHON'
wanted = np.frombuffer(open(sys.argv[2], "rb").read()[-W * H * 3:], np.uint8).reshape(H, W, 3) / 255
assert np.abs(picture - wanted).max() <= 1 / 255, np.abs(picture - wanted).max()
PYTHON
run 0 "$python" render.py fit/model.safetensors fit.ppm
{
    printf '%s\n' 'import numpy as np' 'class Tensor(np.ndarray):' \
        '    def numpy(self): return np.asarray(self)' \
        'state = {k: np.full((9, n), .4).view(Tensor) for k, n in (("xy", 2), ("scale", 2), ("rot", 1), ("feat", 3))}'
    block 2
} >convert.py
run 0 "$python" convert.py
run 0 imgtrain render model.safetensors -o converted.png --device cpu
finish
