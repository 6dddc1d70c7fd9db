#!/bin/sh
# scripts/setup.sh --cuda: which packages bring nvcc, by what the system offers and the driver takes; and
# what to do by hand where none does.
. "$(dirname "$0")/lib.sh"

if [ ! -e "$root/scripts/setup.sh" ]; then
    skip "no scripts/setup.sh"
    finish
fi
# A system on which all else is installed, and whose apt says what it was asked for.
mkdir -p bin build/demo scripts
cp "$root/scripts/setup.sh" scripts/
echo >build/demo/photo.jpg
cat >bin/apt-cache <<'SH'
#!/bin/sh
case $1 in
pkgnames) cat nvidia ;;
policy) printf 'nvidia-cuda-toolkit:\n  Installed: (none)\n  Candidate: %s\n' "$(cat debian)" ;;
esac
SH
printf '#!/bin/sh\necho "$*" >>asked\n' >bin/apt-get
printf '#!/bin/sh\necho installed\n' >bin/dpkg-query
printf '#!/bin/sh\n[ "$1" != -u ] || echo 0\n' >bin/id
chmod +x bin/*
PATH=$PWD/bin:$PATH
export NVCC=/none NVIDIA_VERSION=driver

system() { # DRIVER DEBIAN'S NVIDIA'S...: what is there
    rm -f asked driver
    touch asked
    [ "$1" = none ] || echo "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  $1  Release" >driver
    echo "$2" >debian
    shift 2
    printf '%s\n' "$@" >nvidia
    run 0 sh scripts/setup.sh --cuda
}
asked() { run 0 grep -E -- "$1" asked; }

system 580.65.06 '(none)' cuda-nvcc-11-8 cuda-nvcc-12-9 cuda-nvcc-13-0 cuda-nvcc-13-0-extra
asked 'install .*cuda-nvcc-13-0 cuda-cudart-dev-13-0$'
system 550.54.15 11.8.89-5 cuda-nvcc-12-4 cuda-nvcc-12-9 cuda-nvcc-13-0
asked 'install .*cuda-nvcc-12-9 '
system none '(none)' cuda-nvcc-12-9 cuda-nvcc-13-0
asked 'install .*cuda-nvcc-13-0 '
system none 12.4.131-1 cuda-nvcc-12-0
asked 'install .* nvidia-cuda-toolkit$'
for debian in 11.8.89-5 12.0.140-1 '(none)'; do
    system none "$debian" ''
    err_has "by hand: https://developer.nvidia.com/cuda-downloads"
    run 1 grep install asked
done

# an nvcc that is there: new enough, or not
printf '#!/bin/sh\necho "Cuda compilation tools, release 12.2, V12.2.140"\n' >bin/nvcc
chmod +x bin/nvcc
export NVCC="$PWD/bin/nvcc"
system none '(none)' ''
out_has "nvcc is there"
sed -i 's/12\.2/11.8/g' bin/nvcc
system none 12.4.131-1 ''
out_has "is older than CUDA 12.2"
asked 'nvidia-cuda-toolkit$'
finish
