#!/bin/sh
# Which kernels of cuda/ did the emulated tests run? Prints the list; status 1 when one is missing.
#
#   test/cuda_emu/coverage.sh LOG      LOG: what IMGTRAIN_EMU_LOG named while the tests ran
set -eu
cd "$(dirname "$0")/../.."

# NAME of every "__global__ ... NAME(", over line ends, without comments and launch bounds.
kernels=$(find cuda -name '*.cu' -o -name '*.h' | sort | xargs cat | tr '\n' ' ' | sed -E 's@/\*([^*]|\*+[^*/])*\*+/@@g' |
    grep -oE '__global__[^{;]*\{' | sed 's/__launch_bounds__([^)]*)//; s/ *(.*//; s/.*[ *]//' | sort -u)
[ -n "$kernels" ] || { echo "coverage: no __global__ found in cuda/"; exit 1; }
run=$(sort -u "$1")
missing=0
for kernel in $kernels; do
    printf '%s\n' "$run" | grep -qx "$kernel" && continue
    echo "FAILED: no test has launched $kernel"
    missing=$((missing + 1))
done
total=$(printf '%s\n' "$kernels" | wc -l)
echo "kernels run by the emulator ($((total - missing)) of $total): $(echo "$kernels" | tr '\n' ' ')"
if [ "$missing" = 0 ]; then
    echo "coverage: 1 passed, 0 failed, 0 skipped"
else
    echo "coverage: 0 passed, 1 failed, 0 skipped"
    exit 1
fi
