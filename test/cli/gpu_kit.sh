#!/bin/sh
# The archive for a machine with a GPU, and its run from start to end, with the emulator's programs and
# small sizes: all parts, a kernel mended there, suites that fail, time that is over.
. "$(dirname "$0")/lib.sh"

build=$(dirname "$(readlink -f "$program")")
case $build in "$root"/build/*) build=${build#"$root"/} ;; esac
# one of an older program names objects that are no longer all
if [ -z "$(find "$root/$build/kit.settings" -newer "$program" 2>/dev/null)" ]; then
    skip "the kit's rehearsal: there is no new $build/kit.settings, as of make CUDA=emu $build/kit.settings"
    finish
fi
look_for_cuda
if [ "$emulated" = 0 ]; then
    skip "the kit's rehearsal: only the emulator's programs can rehearse it here"
    finish
fi
run 0 env SMALL=yes "$root/scripts/gpu_kit.sh" "$build" "$PWD/kit.tar.gz"
out_has "kit.tar.gz: "
run 0 tar -xzf kit.tar.gz
cd imgtrain-gpu || exit 1
run 0 grep -E '^a: [0-9.]+ dB, SSIM 0\.[0-9]+$' reference.txt

# what such a machine has beside the driver
mkdir "$work/bin"
cat >"$work/bin/compute-sanitizer" <<'SH'
#!/bin/sh
[ "$1 $3 $4" = "--tool --error-exitcode 9" ] || exit 2
shift 4
"$@" && echo "========= ERROR SUMMARY: 0 errors"
SH
printf '#!/bin/sh\necho a GPU\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin"/*
PATH=$work/bin:$PATH

run 0 ./run.sh -s -t 3000
has results.tar.gz results/summary.txt results/splat-a-kernels.txt
cp results/summary.txt summary
for line in 'cuda  *cuda:0: emulated' 'splat: loss after 10 steps: .*: ok' 'gan: loss_d after 10 steps: .*: ok' \
    'sr: loss after 10 steps: .*: ok' \
    'cuda_splat_golden: ok' 'ceilings: ' '  3x3 .* GFLOP/s' '  relocation  .* median .* mean ' '  frame  .* median' \
    '  ssim_kernel.*%' '  a: .* s in all, .* dB, .*; the CPU: .* dB' '  relocation in all .* s, 5 frames .* s' \
    '  b: .*; the CPU: ' '  8x8 .* images/s' 'memcheck: ok' 'racecheck: ok' 'SUMMARY: 0 errors' ': .* s in all, nothing failed, 0 left out'; do
    run 0 grep -E -- "$line" summary
done
run 1 grep -E 'FAILED|^left out' summary

# a kernel that was changed there is in the program
run 0 sed -i 's/%d multiprocessors/%d mended multiprocessors/' cuda/device_cuda.cu
run 0 ./mend.sh cuda/device_cuda.cu
run 0 ./imgtrain doctor
out_has "mended multiprocessors"
run 0 env CK_FORK=no ./imgtrain-test cuda_splat_golden

# suites that fail: status 1, and they alone run again
run 1 env IMGTRAIN_EMU=fail_launch=3 ./run.sh -s -o bad tests failures
for line in 'cuda_splat_golden: FAILED' cuda_splat_golden-forked cuda_splat_golden-blocking cuda_splat_golden-memcheck \
    's in all, [1-9] failed'; do
    run 0 grep -E "$line" bad/summary.txt
done
# no GPU: a skip by itself is no pass
run 1 env IMGTRAIN_EMU=devices=0 ./run.sh -s -o none tests
run 0 grep -E 'cuda_splat_golden: FAILED: something was skipped' none/summary.txt
# no time: nothing begins
run 0 ./run.sh -s -t 1 -o late tests ops
run 0 grep -E 'left out: ops: no time' late/summary.txt
run 0 grep -E 'nothing failed, 2 left out' late/summary.txt
run 1 test -s late/failed.txt
# a second run in the same folder counts its own
run 0 ./run.sh -s -t 600 -o bad machine
run 0 grep -E 's in all, nothing failed, 0 left out' bad/summary.txt
run 1 env IMGTRAIN_EMU=spoil=compare_kernel ./run.sh -s -o bad quick
run 0 grep -E 'splat: loss after 10 steps: .*: FAILED: they differ' bad/summary.txt
run 0 grep -E 's in all, 1 failed, 0 left out' bad/summary.txt
run 64 ./run.sh paint
finish
