#!/bin/sh
# The rules of the house: who may include whom below src/, where #ifdef may stand, no two files of one
# name in src and cuda, no circles among the files of src. One line a fault; status 1 if any.
# test/cli/rules.sh breaks each rule once.
set -eu
cd "$(dirname "$0")/.."

# FOLDER: the folders whose headers its files may include (its own always).
rules='
base:
math: base
device: math base
memory: device base
config: base
store: base
image: base math
metrics: nn device store image math base
data: image math base
video: image base
cpu: device math base
cuda: device math base
task: base
check: device math base
registry: splat gan sr diffusion placement task config check device cpu cuda base
nn: config device memory store math base
placement: device memory store math base
splat: task nn data metrics config store memory device image math base
gan: task nn data metrics config store memory device image math base
sr: task nn data metrics config store memory device image math base
diffusion: task nn placement data metrics config store memory device image math base
report: video config store image base
versioning: base
run: task report versioning config store memory device image video base
serve: image base
cmd: serve run report registry check task splat gan sr diffusion placement nn data metrics config store memory device image video cpu math base
.: cmd base
'

# A module is STEM.c, STEM.h and STEM_internal.h; it depends on the modules whose headers it includes.
# Modules that depend on one another in a circle cannot be read, tested or replaced one by one. These
# circles were there before the rule: the list may only shrink. A line is a circle's modules, sorted.
known_circles='
'

faults=$(mktemp)
trap 'rm -f "$faults" "$faults".*' EXIT

find src cuda -name '*.[ch]' -o -name '*.cu' | sort | RULES=$rules xargs awk '
BEGIN {
    count = split(ENVIRON["RULES"], lines, "\n")
    for (i = 1; i <= count; i++) {
        at = index(lines[i], ":")
        if (at) allowed[substr(lines[i], 1, at - 1)] = substr(lines[i], at + 1) " " substr(lines[i], 1, at - 1) " "
    }
}
FNR == 1 {
    folder = FILENAME
    sub(/^src\//, "", folder)
    if (!sub(/\/.*/, "", folder)) folder = "."
    if (!(folder in allowed)) print FILENAME ": folder " folder " has no rule in scripts/check_includes.sh"
}
folder in allowed && /^[[:space:]]*#[[:space:]]*include "/ {
    split($0, quoted, "\"")
    from = quoted[2]
    if (from == "config_gen.h") next
    if (!sub(/\/.*/, "", from)) print FILENAME ":" FNR ": \"" from "\" needs its folder: \"FOLDER/NAME.h\""
    else if (!index(allowed[folder], " " from " ")) print FILENAME ":" FNR ": " folder " may not include " quoted[2]
}' >>"$faults"

# ---- what libraries there are is known to few: all other objects are shared by builds (B_SRC in scripts/mk/build.mk) ----
grep -srnE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif).*(HAVE_CUDA|HAVE_VIDEO|CUDA_EMU)' --include='*.[ch]' src test |
    grep -vE '^(src/registry/devices\.c|src/video/[^:]*|test/(cuda|cuda_emu|video)/[^:]*):' |
    sed 's|$| : a feature test belongs where a device is opened|' >>"$faults" || true

# ---- names: a stem has one folder in src and one in cuda; a .c and a .cu of one stem mirror each other ----
find src cuda -type f ! -name README.md | sort | awk -F/ '
{
    stem = $NF
    sub(/\.[^.]*$/, "", stem)
    folder = $0
    sub(/\/[^\/]*$/, "", folder)
    place = $1 SUBSEP stem
    if ((place in home) && home[place] != folder)
        print $0 ": " first[place] " has this name too: a stem has one folder"
    else if ($NF in same && same[$NF] != $0)
        print $0 ": " same[$NF] " has this name too"
    if (!(place in home)) { home[place] = folder; first[place] = $0 }
    if (!($NF in same)) same[$NF] = $0
}' >>"$faults"

# ---- circles: strongly connected sets of modules, by the algorithm of Tarjan ----
(cd src && grep -rE '^[[:space:]]*#[[:space:]]*include "' --include='*.[ch]' .) |
    sed -nE 's|^\./([^:]*):.*"([^"]*)".*|\1 \2|p' | awk '
function visit(v,   n, to, i, w, set, size) {
    found[v] = low[v] = ++visits
    stack[++depth] = v
    open[v] = 1
    n = split(edges[v], to, " ")
    for (i = 1; i <= n; i++) {
        w = to[i]
        if (!(w in found)) {
            visit(w)
            if (low[w] < low[v]) low[v] = low[w]
        } else if (open[w] && found[w] < low[v])
            low[v] = found[w]
    }
    if (low[v] != found[v]) return
    do {
        w = stack[depth--]
        open[w] = 0
        set = set " " w
        size++
    } while (w != v)
    if (size > 1) print substr(set, 2)
}
{
    for (i = 1; i <= 2; i++) sub(/(_internal)?\.[ch]$/, "", $i)
    modules[$1]
    if ($1 != $2) edges[$1] = edges[$1] " " $2
}
END { for (v in modules) if (!(v in found)) visit(v) }' | while IFS= read -r circle; do
    printf '%s\n' "$circle" | tr ' ' '\n' | LC_ALL=C sort | paste -sd ' ' -
done | LC_ALL=C sort >"$faults.circles"
printf '%s' "$known_circles" | sed '/^$/d' | LC_ALL=C sort >"$faults.known"
LC_ALL=C comm -23 "$faults.circles" "$faults.known" | sed 's/^/src: a circle of modules: /' >>"$faults"
LC_ALL=C comm -13 "$faults.circles" "$faults.known" |
    sed 's/^/scripts\/check_includes.sh: no circle any more, take it off the list: /' >>"$faults"

cat "$faults"
[ ! -s "$faults" ]
