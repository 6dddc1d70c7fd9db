# What is there, and the flags that follow: CC VIDEO WEBP TIFF HTTP CUDA SAN WERROR ARCH -> HAVE_* CUDA_KIND
# B COMMON CPPFLAGS B_FLAGS CFLAGS LDFLAGS LDLIBS.
CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
VIDEO   ?= auto
WEBP    ?= auto
TIFF    ?= auto
HTTP    ?= auto
CUDA    ?= auto
SAN     ?=
WERROR  ?= 0
ARCH    ?= $(shell uname -m)
H       := \#
comma   := ,

# ---- what is there: each probe compiles and links one line ----
probe    = $(shell d=$$(mktemp -d) && printf '%b' '$(1)' > $$d/p.c && $(CC) $$d/p.c -o $$d/p $(2) 2>/dev/null && echo 1; rm -rf $$d)
found    = $(if $(filter 0,$(1)),0,$(call wanted,$(1),$(call probe,$(2),$(3)),$(4)))
wanted   = $(if $(filter 0,$(1)),0,$(if $(filter 1,$(2)),1,$(if $(filter 1,$(1)),$(error $(3)),0)))

# Headers alone: libav is opened at run time (src/video/libav.h). Tests link it, to read videos back.
AV_FLAGS := $(shell pkg-config --cflags libavformat libavcodec libavutil 2>/dev/null)
AV_TEST_LIBS := $(shell pkg-config --libs libavformat libavcodec libswscale libavutil 2>/dev/null)
HAVE_VIDEO  := $(call found,$(VIDEO),$(H)include <libavcodec/avcodec.h>\n$(H)include <libavformat/avformat.h>\n int main(void){return LIBAVCODEC_VERSION_MAJOR+LIBAVFORMAT_VERSION_MAJOR==0;},$(AV_FLAGS),VIDEO=1 but libavcodec's and libavformat's headers were not found: run scripts/setup.sh)

# Headers alone, too: these decoders are opened at the first picture of theirs (src/image/library.h).
HAVE_WEBP := $(call found,$(WEBP),$(H)include <webp/decode.h>\n int main(void){return MODE_RGBA==0;},,WEBP=1 but libwebp's headers were not found: run scripts/setup.sh)
HAVE_TIFF := $(call found,$(TIFF),$(H)include <tiffio.h>\n int main(void){return (int)sizeof(__typeof__(TIFFOpenOptionsSetMaxSingleMemAlloc)*)==0;},,TIFF=1 but the headers of libtiff 4.5 were not found: run scripts/setup.sh)

# And these: libmicrohttpd is opened by `imgtrain serve` (src/serve/http_library.h).
HAVE_HTTP := $(call found,$(HTTP),$(H)include <microhttpd.h>\n int main(void){return MHD_USE_EPOLL_INTERNAL_THREAD==0;},,HTTP=1 but libmicrohttpd's headers were not found: run scripts/setup.sh)

# CUDA: nvcc's part of the probe takes seconds, so its answer is kept for this nvcc and compiler: its
# version (12.2 to 13), the GPUs that it knows, the flag that keeps its code small. A build with a
# sanitizer has no CUDA unless asked: nvcc's objects would go unchecked.
# CUDA=emu runs the kernels on the CPU (test/cuda_emu), for the tests.
NVCC       ?= $(or $(shell command -v nvcc 2>/dev/null),/usr/local/cuda/bin/nvcc)
CUDA_LIBS  := -L$(abspath $(dir $(NVCC))../lib64) -L$(abspath $(dir $(NVCC))../lib) -lcudart_static -ldl -lrt -lpthread
# The objects must do without C++'s library: gcc links them.
NVCC_HOST  := -std=c++20 -Xcompiler -fno-exceptions,-fno-rtti,-fno-threadsafe-statics
probe_cuda  = $(shell k=build/probe/cuda-$$({ echo $(NVCC) $(CC); $(NVCC) --version; } 2>/dev/null | cksum | cut -d' ' -f1)-2; \
    if [ ! -e $$k ]; then mkdir -p build/probe; d=$$(mktemp -d); \
    echo '__global__ void k(){} extern "C" int main(void){int v; k<<<1,1>>>(); return cudaRuntimeGetVersion(&v);}' > $$d/p.cu; \
    version=$$($(NVCC) --version | sed -n 's/.* release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p'); set -- $${version:-0 0}; \
    if [ $$(($$1 * 100 + $$2)) -ge 1202 ] && $(NVCC) $(NVCC_HOST) -arch=sm_75 -c $$d/p.cu -o $$d/p.o && $(CC) $$d/p.o -o $$d/p $(CUDA_LIBS); then \
    small=-Xfatbin=-compress-all; $(NVCC) $(NVCC_HOST) --compress-mode=size -arch=sm_75 -c $$d/p.cu -o $$d/p.o && small=--compress-mode=size; \
    echo version=$$1.$$2 $$small $$($(NVCC) --list-gpu-arch | sed 's/compute_/gpu=/'); fi > $$k 2>/dev/null; \
    rm -rf $$d; fi 2>/dev/null; cat $$k)
NVCC_IS   := $(if $(or $(filter 0 emu,$(CUDA)),$(and $(filter auto,$(CUDA)),$(SAN))),,$(probe_cuda))
CUDA_KIND := $(if $(filter emu,$(CUDA)),emu,$(call wanted,$(CUDA),$(if $(NVCC_IS),1),CUDA=1 but nvcc of CUDA 12.2 or newer was not found: scripts/setup.sh --cuda; or set NVCC=))
HAVE_CUDA := $(if $(filter 0,$(CUDA_KIND)),0,1)
NVCC_VERSION := $(patsubst version=%,%,$(filter version=%,$(NVCC_IS)))
NVCC_SMALL   := $(filter -%,$(NVCC_IS))
# CUDA=1 is for every GPU that this nvcc knows; a build that found nvcc by itself is for this machine's,
# and where there is none, for few, so that it stays quick. PTX of sm_80, the least with bf16 on tensor
# cores, serves all others from there on.
CUDA_ARCHS ?= $(if $(filter 1,$(CUDA)),$(filter $(patsubst gpu=%,%,$(filter gpu=%,$(NVCC_IS))),75 80 86 89 90 100 120),$(if $(wildcard /proc/driver/nvidia/version),native,75 90))

# ---- flags ----
KIND    := $(if $(SAN),-$(SAN))$(if $(GCOV),-gcov$(GCOV:1=))$(if $(filter 1,$(WERROR)),-werror)$(if $(SOURCE_DATE_EPOCH),-dated)
B       := build/$(CC)-v$(HAVE_VIDEO)-w$(HAVE_WEBP)-t$(HAVE_TIFF)$(if $(filter 0,$(HAVE_HTTP)),-h0)-c$(CUDA_KIND)$(KIND)
# What is the same whatever libraries there are: nearly all objects, for all such builds.
COMMON  := build/$(CC)$(KIND)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wmissing-prototypes \
           -Wstrict-prototypes -Wvla -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror)
# IEEE arithmetic stays: no -ffast-math (a NaN check must not be compiled away), no contraction.
OPT_LEVEL := -O3
# Of src/cpu/isa: many times as slow where its parts are not inlined.
HOT_LEVEL := $(OPT_LEVEL)
# GCOV=1 counts all that runs, GCOV=-calls all but these loops, which take ten times as long when they are counted.
HOT_GCOV := $(if $(filter -calls,$(GCOV)),-fno-profile-arcs -fno-test-coverage)
OPT     := $(OPT_LEVEL) -g -fno-math-errno -fno-trapping-math -ffp-contract=off -pthread
# Who asks for a build that is the same anywhere and at any time says SOURCE_DATE_EPOCH: no path of this folder is in it.
SAMEFLAGS := $(if $(SOURCE_DATE_EPOCH),-ffile-prefix-map=$(CURDIR)=.)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer $(if $(filter memory,$(SAN)),-fsanitize-memory-track-origins) $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=all))
CPPFLAGS += -Isrc -I$(COMMON)/gen -D_GNU_SOURCE
# Of the objects in B alone.
B_FLAGS := -I$(B)/gen -DHAVE_VIDEO=$(HAVE_VIDEO) -DHAVE_CUDA=$(HAVE_CUDA) $(AV_FLAGS) $(if $(filter emu,$(CUDA_KIND)),-DCUDA_EMU=1)
CFLAGS  += -std=c11 $(OPT) $(SAMEFLAGS) $(WARN) $(SANFLAGS) $(if $(GCOV),--coverage -fprofile-update=atomic)
# The library that stands in for cuDNN (test/cuda_emu/fake_cudnn.c) finds the emulator in the program.
LDFLAGS += -Wl,--build-id=sha1 $(if $(filter emu,$(CUDA_KIND)),-rdynamic)
LDLIBS  := -lyaml -lcjson -lutf8proc -lpng -ljpeg -lz -lm -lpthread $(if $(filter 1,$(CUDA_KIND)),$(CUDA_LIBS),-ldl)
LDLIBS  += $(if $(GCOV),-Wl$(comma)--wrap=_exit$(comma)--wrap=raise$(comma)--wrap=__gcov_execve test/coverage_end.c)
