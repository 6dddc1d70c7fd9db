#!/bin/sh
# The rules of the house hold (scripts/check_includes.sh), and each of them is seen to fail once: in a
# copy of the source with one fault put in.
. "$(dirname "$0")/lib.sh"

if [ ! -e "$root/scripts/check_includes.sh" ]; then
    skip "no source here"
    
# Figures of the source: each bound is one that fails.
if ! ctags --version 2>/dev/null | grep -q Universal; then
    skip "figures of the source: no universal-ctags"
    finish
fi
wide="ONE_WORD=100 TWICE=100 FOLDER=100000 README=100000"
figures() { # BOUND=NUMBER...
    # shellcheck disable=SC2086  # a list of words
    env $wide "$@" "$root/scripts/figures.sh"
}
run 0 figures
out_has "function lines    median "
for bound in ONE_WORD TWICE FOLDER README; do
    run 1 figures $bound=0
done
finish
fi

# fault TEXT: the check of the copy fails and says TEXT; then the copy is as it was.
copy() {
    rm -rf house
    mkdir house
    cp -r "$root/src" "$root/cuda" house
    mkdir house/scripts
    cp "$root/scripts/check_includes.sh" house/scripts
}
fault() {
    run 1 house/scripts/check_includes.sh
    out_has "$1"
}
copy
run 0 house/scripts/check_includes.sh
out_is ""

# All at once, as the check takes seconds: each fault has a line of its own.
echo '#include "gan/gan.h"' >>house/src/base/error.c
echo '#include "error.h"' >>house/src/base/format.c
echo '#if HAVE_CUDA' >>house/src/memory/plan.c
mkdir house/src/nowhere
echo '#include "base/log.h"' >house/src/nowhere/lost.c
: >house/src/splat/ladder.c
: >house/src/math/core.h
: >house/cuda/nn/splat_tile.cu
cp house/src/base/clock.h house/cuda/clock.h
# base/spelling and base/log know nothing of one another; memory/arena and memory/governor neither.
printf '#include "base/spelling.h"\n' >>house/src/base/clock.h
printf '#include "base/clock.h"\n' >>house/src/base/spelling.c
fault "src/base/error.c:"
out_has "base may not include gan/gan.h"
out_has '"error.h" needs its folder'
out_has "a feature test belongs where a device is opened"
out_has "folder nowhere has no rule"
out_has "src/splat/ladder.c: src/memory/ladder.c has this name too"
out_has "src/math/core.h: src/gan/core.c has this name too"
out_has "cuda/splat/splat_tile.cu: cuda/nn/splat_tile.cu has this name too"
out_has "src/base/clock.h: cuda/clock.h has this name too"
out_has "src: a circle of modules: base/clock base/spelling"

# The list of known circles may only shrink: one that is gone has to leave it.
copy
sed -i "s|^known_circles='|&\\nbase/clock base/spelling|" house/scripts/check_includes.sh
fault "no circle any more, take it off the list: base/clock base/spelling"

# Figures of the source: each bound is one that fails.
if ! ctags --version 2>/dev/null | grep -q Universal; then
    skip "figures of the source: no universal-ctags"
    finish
fi
wide="ONE_WORD=100 TWICE=100 FOLDER=100000 README=100000"
figures() { # BOUND=NUMBER...
    # shellcheck disable=SC2086  # a list of words
    env $wide "$@" "$root/scripts/figures.sh"
}
run 0 figures
out_has "function lines    median "
for bound in ONE_WORD TWICE FOLDER README; do
    run 1 figures $bound=0
done
finish
