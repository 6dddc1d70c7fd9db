#!/bin/sh
# Packs what the tests and measurements on a GPU need for a machine where nothing can be installed:
# programs, their shared libraries, test data, pictures, what the CPU makes of them, run.sh
# (scripts/gpu_run.sh); and objects and sources for mend.sh (scripts/gpu_mend.sh). Called by `make
# gpu-kit`.
#
#   scripts/gpu_kit.sh BUILD_FOLDER ARCHIVE.tar.gz      BUILD_FOLDER/kit.settings: what make knows
#
# SMALL=yes: small pictures, for a rehearsal. The fits on the CPU take minutes; their results are kept
# in build/ for as long as pictures and settings stay the same; REFERENCE=FILE takes them from there.
set -eu
cd "$(dirname "$0")/.."
build=$1 archive=$2 small=${SMALL:-}
cc='' compile='' link_flags='' libraries='' test_libraries='' check_library='' device_objects='' host_objects='' test_objects='' main_object='' test_main_object='' test_flags=''
# shellcheck disable=SC1090  # the file is made by make
. "./$build/kit.settings"
kit=$(mktemp -d)
trap 'rm -rf "$kit"' EXIT
to=$kit/imgtrain-gpu
mkdir -p "$to/lib" "$to/test/cli" "$to/pictures/set" "$to/objects/main"

for program in imgtrain imgtrain-test gpu-bench; do
    cp "$build/$program" "$to/$program"
    strip --strip-debug "$to/$program"
done
# Without the C library, which belongs to the machine (and must be as new as this one's), and CUDA. A
# rehearsal is on this machine: it may do with those of imgtrain alone.
for program in imgtrain $([ -n "$small" ] || echo imgtrain-test gpu-bench); do ldd "$to/$program"; done |
    sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u |
    grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so' |
    while IFS= read -r library; do cp -L "$library" "$to/lib/"; done
cp -r test/golden "$to/test/"
cp -r cfgs "$to/"
cp test/cli/cuda.sh test/cli/lib.sh "$to/test/cli/"
cp cuda/README.md "$to/README.md"

cp scripts/gpu_run.sh "$to/run.sh"
# What matters most first; not what the emulator alone can do.
first='cuda_nn cuda_splat cuda_splat_golden cuda_splat_train cuda_splat_task cuda_gan cuda_gan_graph cuda_sr cuda_device'
[ -z "$small" ] || first=cuda_splat_golden
suites=$first
for file in test/cuda/cuda_*.c; do
    suite=$(basename "$file" .c)
    case " $first cuda_emu cuda_faults cuda_cudnn cuda_self_check " in *" $suite "*) ;; *) [ -n "$small" ] || suites="$suites $suite" ;; esac
done
sed -i "s/^suites=.*/suites='$suites'/" "$to/run.sh"
chmod +x "$to/run.sh"

# ---- pictures, and what the CPU makes of them ----
draw() { "$build/gpu-draw" "$1" "$2" "$to/pictures/$3"; }
draw 64 48 small.png
for i in 1 2 3 4 5 6 7 8; do draw $((20 + i)) $((14 + i)) "set/$i.png"; done
if [ -n "$small" ]; then
    draw 64 48 a.jpg
    draw 80 44 b.jpg
else
    draw 2048 2048 a.jpg
    draw 7680 4320 b.jpg
fi
key=$({ cat "$to/pictures/a.jpg" "$to/pictures/b.jpg"; sed -n '/^fit() {/,/^gan() {/p' "$to/run.sh"; } | cksum | cut -d' ' -f1)
kept=build/kit-reference-$key
[ -z "$small" ] || kept=$kit/none
if [ -n "${REFERENCE:-}" ]; then
    cp "$REFERENCE" "$to/reference.txt"
elif [ -s "$kept" ]; then
    cp "$kept" "$to/reference.txt"
else
    echo "gpu-kit: the same fits on the CPU"
    (cd "$to" && ./run.sh ${small:+-s} -o "$kit/reference" reference) >"$kit/log" 2>&1 || { cat "$kit/log" >&2; exit 1; }
    [ -n "$small" ] || cp "$to/reference.txt" "$kept"
fi

# ---- a kernel compiled again there ----
cp scripts/gpu_mend.sh "$to/mend.sh"
chmod +x "$to/mend.sh"
[ -n "$small" ] || test_libraries=''
printf "%s='%s'\n" cc "$cc" compile "$compile" link_flags "$link_flags" libraries "$libraries" \
    test_flags "$test_flags" test_libraries "$test_libraries" >"$to/mend.settings"
find src cuda ${small:+test} -name '*.h' -o -name '*.cu' | tar -cf - -T - | tar -C "$to" -xf -
for object in $device_objects; do
    name=objects/cuda/${object#*/cuda/}
    mkdir -p "$to/$(dirname "$name")"
    cp "$object" "$to/$name"
done
# shellcheck disable=SC2086  # lists of words
ar qcs "$to/objects/host.a" $host_objects
# shellcheck disable=SC2086
ar qcs "$to/objects/test.a" $test_objects
cp "$check_library" "$to/lib/"
cp "$main_object" "$to/objects/main/imgtrain.o"
cp "$test_main_object" "$to/objects/main/imgtrain-test.o"
cp "$build/test/cuda_bench/bench.o" "$to/objects/main/gpu-bench.o"
find "$to/objects" -name '*.[oa]' -exec strip --strip-debug {} +

mkdir -p "$(dirname "$archive")"
tar -C "$kit" -czf "$archive" imgtrain-gpu
bytes=$(wc -c <"$archive")
echo "$archive: $((bytes / 1000000)) MB"
[ "$bytes" -lt 60000000 ] || { echo "gpu-kit: more than 60 MB" >&2; exit 1; }
