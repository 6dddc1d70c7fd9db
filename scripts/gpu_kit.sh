#!/bin/sh
# Packs what the tests and measurements on a GPU need for a machine where nothing can be installed:
# programs, their shared libraries, test data, and run.sh (scripts/gpu_run.sh). Called by `make
# gpu-kit`.
#
#   scripts/gpu_kit.sh BUILD_FOLDER ARCHIVE.tar.gz
set -eu
cd "$(dirname "$0")/.."
build=$1 archive=$2
kit=$(mktemp -d)
trap 'rm -rf "$kit"' EXIT
mkdir -p "$kit/imgtrain-gpu/lib" "$kit/imgtrain-gpu/test"
to=$kit/imgtrain-gpu

for program in imgtrain imgtrain-test gpu-bench; do
    cp "$build/$program" "$to/$program"
    strip --strip-debug "$to/$program"
done
# Without the C library, which belongs to the machine (and must be as new as this one's), and CUDA.
for program in "$to/imgtrain" "$to/imgtrain-test" "$to/gpu-bench"; do ldd "$program"; done |
    sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u |
    grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so' |
    while IFS= read -r library; do cp -L "$library" "$to/lib/"; done
cp -r test/golden "$to/test/"
cp -r cfgs "$to/"
mkdir "$to/test/cli"
cp test/cli/cuda.sh test/cli/lib.sh "$to/test/cli/"
cp cuda/README.md "$to/README.md"

cp scripts/gpu_run.sh "$to/run.sh"
suites=$(for f in test/cuda/cuda_*.c; do basename "$f" .c; done | grep -v cuda_emu | tr '\n' ' ')
sed -i "s/^suites=.*/suites='${suites% }'/" "$to/run.sh"
chmod +x "$to/run.sh"
tar -C "$kit" -czf "$archive" imgtrain-gpu
bytes=$(wc -c <"$archive")
echo "$archive: $((bytes / 1000000)) MB"
[ "$bytes" -lt 60000000 ] || { echo "gpu-kit: more than 60 MB" >&2; exit 1; }
