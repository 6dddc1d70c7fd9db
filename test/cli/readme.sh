#!/bin/sh
# What the READMEs promise: commands and keys exist, links lead somewhere, the Python renders what the
# program does, and the first one stays short.
. "$(dirname "$0")/lib.sh"
readme=$root/README.md
model_file=$root/src/store/README.md

# a first reader's page: at most 150 lines
last="length of README.md"
if [ "$(wc -l <"$readme")" -le 150 ]; then pass; else flunk "$(wc -l <"$readme") lines"; fi

# links of every README to files, and to headings of other READMEs, lead somewhere
heading_of() { # FILE ANCHOR
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g' | grep -qx -- "$2"
}
find "$root" -path "$root/build" -prune -o -path "$root/runs" -prune -o -name '*.md' -print | sort >pages
count=0
while read -r page; do
    sed 's/`[^`]*`//g' "$page" | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//' | grep -v '^[a-z]*:' >links
    while read -r link; do
        count=$((count + 1))
        last="link in ${page#"$root"/} to $link"
        file=${link%%#*}
        if [ -n "$file" ]; then file=$(dirname "$page")/$file; else file=$page; fi
        if [ -d "$file" ]; then file=$file/README.md; fi
        if [ ! -e "$file" ]; then
            flunk "no such file"
        elif [ "$link" != "${link#*#}" ] && ! heading_of "$file" "${link#*#}"; then
            flunk "no such heading"
        fi
    done <links
done <pages
last="links of READMEs"
if [ "$count" -gt 20 ]; then pass; else flunk "only $count found"; fi

# every command of the program stands in the table, and the other way round
"$program" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' | sort -u >commands
sed -n 's/^| `imgtrain \([a-z]*\) .*/\1/p; s/^| `imgtrain \([a-z]*\)`.*/\1/p' "$readme" | sort -u >documented
last="commands of --help and of README.md"
if diff commands documented >"$err"; then pass; else flunk "differ"; cat "$err"; fi
while read -r command; do
    run 0 imgtrain "$command" --help
    out_has "example"
done <commands

# the exit statuses of the README are those of the man page, which prints the program's own table
"$program" help --man | sed -n '/^\.SH EXIT STATUS/,$p' | sed -n 's/^\\fB\([0-9]*\)\\fR$/\1/p' | sort -n >statuses
sed -n '/^## Exit codes/,/^## Limits/p' "$readme" | grep '^| [0-9]' | tr '|' '\n' | grep -E '^[ *0-9,]+$' | grep -oE '[0-9]+' |
    sort -n >documented
last="exit statuses of the man page and of README.md"
if [ "$(wc -l <statuses)" -gt 12 ] && diff statuses documented >"$err"; then pass; else flunk "differ"; cat "$err"; fi

# the keys named for users of Image-GS exist, bare
sed -n '/^## For users of Image-GS/,/^- Different/p' "$root/cfgs/README.md" | grep -v '^- Different' | tr '`' '\n' |
    grep -E '^[a-z0-9]+(_[a-z0-9]+)+$' | sort -u >keys
run 0 sh -c 'test "$(wc -l <keys)" -gt 40'
# shellcheck disable=SC2046  # a list of words
run 0 imgtrain config --explain $(cat keys)

# presets that are named exist, and the other way round
for preset in "$root"/cfgs/*.yaml; do
    name=$(basename "$preset" .yaml)
    run 0 grep -qF "\`$name\`" "$root/cfgs/README.md"
done
sed -n '/^## Presets/,/^`scripts/p' "$root/cfgs/README.md" | tr '`' '\n' | grep -E '^(tiny|demo|photo|8?4?k|8k-plus|additive|image-gs|gan-[0-9]+(gb)?)$' >named
run 0 sh -c 'test "$(wc -l <named)" -ge 15'
while read -r name; do run 0 test -e "$root/cfgs/$name.yaml"; done <named

# the Python
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, safetensors' 2>/dev/null; then
    skip "the Python of src/store/README.md: $python has no numpy or no safetensors (PYTHON=... picks another)"
    finish
fi
picture picture.ppm 48 32
run 0 imgtrain train input_path=picture.ppm device=cpu threads=1 num_gaussians=80 max_steps=20 gamma=1.5 -q \
    video.enabled=false -o fit
run 0 imgtrain render fit -o fit.ppm --device cpu
block() { awk -v wanted="$1" '/^```/ { inside = 0 } inside && n == wanted; /^```python/ { n++; inside = 1 }' "$model_file"; }
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
