#!/bin/sh
# mend.sh of the kit: compiles one changed kernel again and links the programs with it, where nvcc and
# gcc are but none of the libraries' headers.
#
#   ./mend.sh cuda/splat/splat_tile.cu        CUDA=/usr/local/cuda ARCH=sm_100 ./mend.sh ...
set -eu
cd "$(dirname "$0")"
. ./mend.settings
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
PATH=${CUDA:-/usr/local/cuda}/bin:$PATH
for file in "$@"; do
    # shellcheck disable=SC2086  # words
    $compile ${ARCH:+-arch=$ARCH} -c "$file" -o "objects/${file%.cu}.o"
done
export LD_LIBRARY_PATH="$PWD/lib"
for program in imgtrain imgtrain-test gpu-bench; do
    rm -f $program.new
    # shellcheck disable=SC2046,SC2086
    $cc $link_flags objects/main/$program.o $([ $program = imgtrain-test ] && echo objects/test.a) \
        $(find objects/cuda -name '*.o' | sort) objects/host.a lib/*.a lib/*.so* $([ $program = imgtrain-test ] && echo $test_flags $test_libraries) -L"${CUDA:-/usr/local/cuda}/lib64" $libraries -o $program.new &
done
wait
for program in imgtrain imgtrain-test gpu-bench; do mv $program.new $program; done
echo "imgtrain, imgtrain-test and gpu-bench are linked anew"
