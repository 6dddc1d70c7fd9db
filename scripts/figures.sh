#!/bin/sh
# Figures of the source that say how well one finds one's way in it: how long functions are, how many
# have a name that a backtrace or a search says nothing with, how large a folder and the README are.
# Of src and cuda; functions are found by universal-ctags. Status 1 where a figure is beyond its bound.
#
#   scripts/figures.sh [-v]                     -v lists the names that are in two files, too
#   ONE_WORD=3 TWICE=4 FOLDER=40 README=150 scripts/figures.sh      other bounds
set -eu
cd "$(dirname "$0")/.."

one_word=${ONE_WORD:-3} # percent of functions with a name of one word
twice=${TWICE:-4}       # percent of functions whose name another file has, too
folder=${FOLDER:-40}    # files in the largest folder, without those in its folders
readme=${README:-150}   # lines of README.md
verbose=no
[ "${1:-}" = -v ] && verbose=yes

if ! ctags --version 2>/dev/null | grep -q Universal; then
    echo "universal-ctags is not installed: run scripts/setup.sh --dev" >&2
    exit 69
fi

tags=$(mktemp)
trap 'rm -f "$tags"' EXIT
# Functions that a macro names (DEFINE_...) stand for many and are left out.
ctags --languages=C,C++ --langmap=C++:+.cu --kinds-C=f --kinds-C++=f --fields=+ne --sort=no \
    -I '__launch_bounds__+' -D 'FORMULA(name)=name' -f - -R src cuda |
    awk -F'\t' '!/^!/ && $1 !~ /^[A-Z0-9_]+$/ {
        begin = end = 0
        for (i = 4; i <= NF; i++) {
            if ($i ~ /^line:/) begin = substr($i, 6)
            if ($i ~ /^end:/) end = substr($i, 5)
        }
        if (end >= begin) print $1, $2, end - begin + 1
    }' >"$tags"
[ -s "$tags" ] || { echo "ctags found no function" >&2; exit 70; }

sort -n -k3,3 "$tags" | awk '{ lines[NR] = $3; name[NR] = $1 " of " $2 }
    END { printf "function lines    median %d, p90 %d, max %d (%s); %d functions\n",
          lines[int((NR + 1) / 2)], lines[int((NR * 9 + 9) / 10)], lines[NR], name[NR], NR }'

awk -v bound="$one_word" -v twice="$twice" -v verbose="$verbose" '
{ name[NR] = $1; file[NR] = $2 }
$1 !~ /_/ { one++; if (!($1 in said)) words = words " " $1; said[$1] }
!(($1, $2) in seen) { seen[$1, $2]; files[$1]++; where[$1] = where[$1] " " $2 }
END {
    for (i = 1; i <= NR; i++) if (files[name[i]] > 1) shared++
    printf "one-word names    %.1f %% (%d; at most %s %%):%s\n", 100 * one / NR, one, bound, words
    printf "in two files      %.1f %% (%d; at most %s %%)\n", 100 * shared / NR, shared, twice
    if (verbose == "yes") for (n in files) if (files[n] > 1) print "    " n ":" where[n]
    exit 100 * one / NR > bound || 100 * shared / NR > twice
}' "$tags" && status=0 || status=1

largest=$(find src cuda -type f | sed 's|/[^/]*$||' | sort | uniq -c | sort -rn | head -n 1)
# shellcheck disable=SC2086  # "55 src/gan" as words
set -- $largest
echo "largest folder    $1 files ($2; at most $folder)"
[ "$1" -le "$folder" ] || status=1

lines=$(wc -l <README.md)
echo "README.md         $lines lines (at most $readme)"
[ "$lines" -le "$readme" ] || status=1
exit $status
