# imgtrain: `make` builds ./imgtrain with whatever is installed and says what it found.
#
#   make [-jN] [CUDA=auto|0|1|emu] [CUDA_ARCHS="75 90"] [VIDEO=auto|0|1] [WEBP=auto|0|1] [TIFF=auto|0|1] [SAN=address|undefined|thread] [CC=clang] [WERROR=1]
#   make demo | test | test-slow | check | bench | fuzz | info | clean
#   make emu-test | gpu-test | gpu-bench | gpu-kit          (cuda/README.md)

# All cores, unless the command line, MAKEFLAGS or a make above says how many: make before 4.4 tells
# its Makefile nothing of a -j.
ifeq ($(MAKELEVEL),0)
ifeq ($(shell { tr '\0' '\n' </proc/$$PPID/cmdline; printf '%s\n' $$MAKEFLAGS; } 2>/dev/null | grep -E '^(--jobs|-[bBdeikLnpqrRsStvw]*j)'),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
endif
# Nothing is built in a folder that is being removed.
ifneq ($(filter clean,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
VIDEO   ?= auto
WEBP    ?= auto
TIFF    ?= auto
CUDA    ?= auto
SAN     ?=
WERROR  ?= 0
ARCH    ?= $(shell uname -m)
H       := \#
comma   := ,

# ---- what is there: each probe compiles and links one line ----
probe    = $(shell d=$$(mktemp -d) && printf '%b' '$(1)' > $$d/p.c && $(CC) $$d/p.c -o $$d/p $(2) 2>/dev/null && echo 1; rm -rf $$d)
wanted   = $(if $(filter 0,$(1)),0,$(if $(filter 1,$(2)),1,$(if $(filter 1,$(1)),$(error $(3)),0)))

# Headers alone: libav is opened at run time (src/video/libav.h). Tests link it, to read videos back.
AV_FLAGS := $(shell pkg-config --cflags libavformat libavcodec libavutil 2>/dev/null)
AV_TEST_LIBS := $(shell pkg-config --libs libavformat libavcodec libswscale libavutil 2>/dev/null)
HAVE_VIDEO  := $(call wanted,$(VIDEO),$(call probe,$(H)include <libavcodec/avcodec.h>\n$(H)include <libavformat/avformat.h>\n int main(void){return LIBAVCODEC_VERSION_MAJOR+LIBAVFORMAT_VERSION_MAJOR==0;},$(AV_FLAGS)),VIDEO=1 but libavcodec's and libavformat's headers were not found: run scripts/setup.sh)

# Headers alone, too: these decoders are opened at the first picture of theirs (src/image/library.h).
HAVE_WEBP := $(call wanted,$(WEBP),$(call probe,$(H)include <webp/decode.h>\n int main(void){return MODE_RGBA==0;}),WEBP=1 but libwebp's headers were not found: run scripts/setup.sh)
HAVE_TIFF := $(call wanted,$(TIFF),$(call probe,$(H)include <tiffio.h>\n int main(void){return (int)sizeof(__typeof__(TIFFOpenOptionsSetMaxSingleMemAlloc)*)==0;}),TIFF=1 but the headers of libtiff 4.5 were not found: run scripts/setup.sh)

# CUDA: nvcc's part of the probe takes seconds, so its answer is kept for this nvcc and compiler. A
# build with a sanitizer has no CUDA unless asked: nvcc's objects would go unchecked.
# CUDA=emu runs the kernels on the CPU (test/cuda_emu), for the tests.
NVCC       ?= $(or $(shell command -v nvcc 2>/dev/null),/usr/local/cuda/bin/nvcc)
CUDA_LIBS  := -L$(abspath $(dir $(NVCC))../lib64) -lcudart_static -ldl -lrt -lpthread
# The objects must do without C++'s library: gcc links them.
NVCC_HOST  := -std=c++20 -Xcompiler -fno-exceptions,-fno-rtti,-fno-threadsafe-statics
probe_cuda  = $(shell k=build/probe/cuda-$$({ echo $(NVCC) $(CC); $(NVCC) --version; } 2>/dev/null | cksum | cut -d' ' -f1); \
    if [ ! -e $$k ]; then mkdir -p build/probe; d=$$(mktemp -d); \
    echo '__global__ void k(){} extern "C" int main(void){int v; k<<<1,1>>>(); return cudaRuntimeGetVersion(&v);}' > $$d/p.cu; \
    if $(NVCC) $(NVCC_HOST) -arch=sm_75 -c $$d/p.cu -o $$d/p.o && $(CC) $$d/p.o -o $$d/p $(CUDA_LIBS); then echo 1; fi > $$k 2>/dev/null; \
    rm -rf $$d; fi 2>/dev/null; cat $$k)
CUDA_KIND := $(if $(filter emu,$(CUDA)),emu,$(if $(and $(filter auto,$(CUDA)),$(SAN)),0,$(call wanted,$(CUDA),$(if $(filter 0,$(CUDA)),,$(probe_cuda)),CUDA=1 but nvcc of CUDA 13 was not found: set NVCC=)))
HAVE_CUDA := $(if $(filter 0,$(CUDA_KIND)),0,1)
# CUDA=1 is for every GPU; a build that found nvcc by itself is for this machine's, and where there
# is none, for few, so that it stays quick. PTX of sm_80, the least with bf16 on tensor cores, serves
# all others from there on.
CUDA_ARCHS ?= $(if $(filter 1,$(CUDA)),75 80 86 89 90 100 120,$(if $(wildcard /proc/driver/nvidia/version),native,75 90))

# ---- flags ----
FLAGSET := $(CC)-v$(HAVE_VIDEO)-w$(HAVE_WEBP)-t$(HAVE_TIFF)-c$(CUDA_KIND)$(if $(SAN),-$(SAN))$(if $(filter 1,$(WERROR)),-werror)
B       := build/$(FLAGSET)
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wmissing-prototypes \
           -Wstrict-prototypes -Wvla -Wformat=2 $(if $(filter 1,$(WERROR)),-Werror)
# IEEE arithmetic stays: no -ffast-math (a NaN check must not be compiled away), no contraction.
OPT     := -O3 -g -fno-math-errno -fno-trapping-math -ffp-contract=off -pthread
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer $(if $(filter memory,$(SAN)),-fsanitize-memory-track-origins) $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=all))
CPPFLAGS += -Isrc -I$(B)/gen -D_GNU_SOURCE -DHAVE_VIDEO=$(HAVE_VIDEO) -DHAVE_CUDA=$(HAVE_CUDA) $(if $(filter 1,$(HAVE_VIDEO)),$(AV_FLAGS)) $(if $(filter emu,$(CUDA_KIND)),-DCUDA_EMU=1)
CFLAGS  += -std=c11 $(OPT) $(WARN) $(SANFLAGS)
# The library that stands in for cuDNN (test/cuda_emu/fake_cudnn.c) finds the emulator in the program.
LDFLAGS += $(if $(filter emu,$(CUDA_KIND)),-rdynamic)
LDLIBS  := -lyaml -lcjson -lpng -ljpeg -lz -lm -lpthread $(if $(filter 1,$(CUDA_KIND)),$(CUDA_LIBS),-ldl)

# ---- sources: every .c below src, less the stand-ins for features that are (not) there ----
SRC := $(filter-out src/cpu/isa/%,$(sort $(wildcard src/*.c src/*/*.c src/*/*/*.c)))
SRC := $(filter-out $(if $(filter 1,$(HAVE_VIDEO)),src/video/encode_none.c,src/video/encode.c src/video/decode.c src/video/libav.c),$(SRC))
SRC := $(filter-out $(if $(filter 1,$(HAVE_WEBP)),src/image/webp_none.c,src/image/webp.c),$(SRC))
SRC := $(filter-out $(if $(filter 1,$(HAVE_TIFF)),src/image/tiff_none.c,src/image/tiff.c src/image/tiff_open.c),$(SRC))
# src/cpu/isa/*.c are compiled once for each instruction set and chosen at run time.
ISA_SRC := $(sort $(wildcard src/cpu/isa/*.c))
ISAS    := base $(if $(filter x86_64,$(ARCH)),avx2 avx512)
ISA_FLAGS_base   :=
ISA_FLAGS_avx2   := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512
# One more build of the convolutions: tensors in bf16.
ISA_FLAGS_bf16   := $(ISA_FLAGS_avx512) -mavx512bf16 -DISA_avx512=1 -DCONV_BF16=1
BF16_SRC := $(if $(filter x86_64,$(ARCH)),$(filter src/cpu/isa/conv_%,$(ISA_SRC)))
OBJ     := $(SRC:%.c=$(B)/%.o) $(foreach i,$(ISAS),$(ISA_SRC:src/cpu/isa/%.c=$(B)/isa/%_$(i).o)) $(BF16_SRC:src/cpu/isa/%.c=$(B)/isa/%_bf16.o) $(B)/gen/default_yaml.o

# cuda/*.cu: by nvcc, into one folder for all builds; or as C++ for the emulator. cuda/*.c: as all C.
CUDA_SRC := $(sort $(wildcard cuda/*.cu cuda/*/*.cu))
CUDA_C   := $(sort $(wildcard cuda/*.c cuda/*/*.c))
EMU_SRC  := $(sort $(wildcard test/cuda_emu/*.cc))
CUDA_WERROR := $(and $(filter 1,$(CUDA)),$(filter 1,$(WERROR)))
CUDA_B   := build/cuda-$(subst $() ,-,$(strip $(CUDA_ARCHS)))$(if $(CUDA_WERROR),-werror)
CUDA_OBJ_1   := $(CUDA_SRC:%.cu=$(CUDA_B)/%.o)
CUDA_OBJ_emu := $(CUDA_SRC:%.cu=$(B)/%.o) $(EMU_SRC:%.cc=$(B)/%.o)
OBJ     += $(CUDA_OBJ_$(CUDA_KIND)) $(if $(filter 0,$(CUDA_KIND)),,$(CUDA_C:%.c=$(B)/%.o))
LIB_OBJ := $(filter-out $(B)/src/main.o,$(OBJ))
GEN     := $(B)/gen/config_gen.h

.PHONY: all info test test-slow emu-test emu-run emu-msan emu-msan-run gpu-test gpu-run gpu-bench gpu-bench-run gpu-kit gpu-kit-run print-nvcc check demo bench fuzz clean FORCE
all: info imgtrain

imgtrain: $(B)/imgtrain
	@ln -sf $< $@

$(B)/imgtrain: $(OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(B)/gen/config_gen.h: default.yaml scripts/config_gen.awk
	@mkdir -p $(@D)
	@LC_ALL=C awk -f scripts/config_gen.awk default.yaml > $@.tmp && mv $@.tmp $@

# What nvcc compiled for, for `imgtrain doctor`.
$(B)/gen/cmd/cuda_archs.h: FORCE
	@mkdir -p $(@D)
	@echo '#define CUDA_ARCHS "$(if $(filter 1,$(CUDA_KIND)),$(strip $(CUDA_ARCHS)),$(CUDA_KIND:0=))"' > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@
$(B)/src/cmd/cmd_doctor.o: $(B)/gen/cmd/cuda_archs.h

# The text of default.yaml as a C array.
$(B)/gen/default_yaml.c: default.yaml
	@mkdir -p $(@D)
	@{ echo 'extern const char default_yaml[]; const char default_yaml[] = {'; od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '0};'; } > $@

$(B)/gen/default_yaml.o: $(B)/gen/default_yaml.c
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(B)/src/%.o: src/%.c | $(GEN)
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/cuda/%.o: cuda/%.c | $(GEN)
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) -I. $(CFLAGS) -MMD -MP -c $< -o $@

define isa_rule
$(B)/isa/%_$(1).o: src/cpu/isa/%.c | $(GEN)
	@mkdir -p $$(@D)
	@echo "cc $$< ($(1))"
	@$(CC) $(CPPFLAGS) -DISA=$(1) -DISA_$(1)=1 $(CFLAGS) $(ISA_FLAGS_$(1)) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS) bf16,$(eval $(call isa_rule,$(i))))

NVCC_FLAGS := $(NVCC_HOST) -O3 -lineinfo --compress-mode=size -Xcompiler -Wall,-Wextra,-Wno-unused-function,-Wno-deprecated-enum-float-conversion,-Wno-deprecated-enum-enum-conversion $(if $(CUDA_WERROR),-Werror all-warnings) \
    $(if $(filter native,$(CUDA_ARCHS)),-arch=native,$(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a$(comma)code=sm_$a) \
    -gencode arch=compute_80$(comma)code=compute_80)
$(CUDA_B)/cuda/%.o: cuda/%.cu
	@mkdir -p $(@D)
	@echo "nvcc $< ($(CUDA_ARCHS))"
	@$(NVCC) -Isrc -I. $(NVCC_FLAGS) -MMD -MP -c $< -o $@

# The emulator: g++ for gcc, clang++ for clang. Shared arrays get red zones from gcc alone.
EMU_CXX   := $(patsubst cc%,g++%,$(patsubst clang%,clang++%,$(patsubst gcc%,g++%,$(notdir $(CC)))))
EMU_FLAGS := -std=c++20 -O2 -g -fno-exceptions -fno-rtti -fno-threadsafe-statics -ffp-contract=off \
    -fno-strict-aliasing -Wall -Wextra -Wshadow -Wdouble-promotion -Wno-unknown-pragmas \
    -Wno-deprecated-enum-float-conversion -Wno-deprecated-enum-enum-conversion $(if $(filter 1,$(WERROR)),-Werror) $(SANFLAGS) \
    $(if $(findstring address,$(SAN)),$(if $(findstring g++,$(filter-out clang++%,$(EMU_CXX))),-fsanitize-sections=emu_shared))
$(B)/%.o: %.cu
	@mkdir -p $(@D)
	@echo "c++ $<"
	@$(EMU_CXX) -Isrc -I. -Itest -Itest/cuda_emu $(EMU_FLAGS) -MMD -MP -x c++ -c $< -o $@
$(B)/test/cuda_emu/%.o: test/cuda_emu/%.cc
	@mkdir -p $(@D)
	@echo "c++ $<"
	@$(EMU_CXX) -Isrc -I. -Itest/cuda_emu $(EMU_FLAGS) -MMD -MP -c $< -o $@

info:
	@echo "compiler  $(CC) $$($(CC) -dumpfullversion -dumpversion)"
	@echo "video     $(if $(filter 1,$(HAVE_VIDEO)),libavcodec $$(pkg-config --modversion libavcodec),no (VIDEO=$(VIDEO)))"
	@echo "pictures  $(if $(filter 1,$(HAVE_WEBP)),WebP (libwebp),no WebP (WEBP=$(WEBP))), $(if $(filter 1,$(HAVE_TIFF)),TIFF (libtiff),no TIFF (TIFF=$(TIFF)))"
	@echo "cuda      $(if $(filter 0,$(CUDA_KIND)),no (CUDA=$(CUDA)),$(if $(filter emu,$(CUDA_KIND)),emulated,yes, for $(CUDA_ARCHS)))"
	@echo "cpu       $(ISAS)"
	@echo "jobs      $(if $(filter -j,$(MAKEFLAGS)),no limit,$(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),1))"
	@echo "build     $(B)"

# ---- tests: every test/NAME.c provides `Suite *NAME_suite(void)` ----
TEST_SRC := $(sort $(filter-out test/fuzz/% test/cuda_emu/% test/cuda_bench/%,$(wildcard test/*/*.c)))
TEST_OBJ := $(TEST_SRC:%.c=$(B)/%.o) $(B)/test/main.o $(if $(filter emu,$(CUDA_KIND)),$(B)/test/cuda_emu/test_kernels.o)
CHECK_FLAGS := $(shell pkg-config --cflags --libs check 2>/dev/null)

$(B)/gen/suites.h: FORCE
	@mkdir -p $(@D)
	@printf 'SUITE(%s)\n' $(notdir $(TEST_SRC:.c=)) > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@

$(B)/test/%.o: test/%.c | $(GEN) $(B)/gen/suites.h
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) $(if $(filter emu,$(CUDA_KIND)),-DFAKE_CUDNN='"$(B)/fake_cudnn.so"') -Itest -I. $(CFLAGS) -MMD -MP -c $< -o $@
$(B)/test/main.o: $(B)/gen/suites.h

$(B)/imgtrain-test: $(LIB_OBJ) $(TEST_OBJ) $(if $(filter emu,$(CUDA_KIND)),| $(B)/fake_cudnn.so)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS) $(if $(filter 1,$(HAVE_VIDEO)),$(AV_TEST_LIBS)) $(CHECK_FLAGS)

test: imgtrain $(B)/imgtrain-test
	@test/run.sh $(B)

# The long forms of these, for minutes.
test-slow: imgtrain $(B)/imgtrain-test
	@TEST_SLOW=1 test/run.sh $(B) gan_learns gan_schemes

check:
	+@scripts/check.sh

# ---- CUDA: cuda/README.md ----
CUDA_SUITES := $(filter cuda_%,$(notdir $(TEST_SRC:.c=)))

# The kernels on the CPU, under sanitizers; every kernel must have run.
emu-test:
	@$(MAKE) --no-print-directory CUDA=emu SAN=address,undefined emu-run
emu-run: $(B)/imgtrain $(B)/imgtrain-test $(B)/fake_cudnn.so
	@COVERAGE=1 test/run.sh $(B) $(CUDA_SUITES) cuda cuda_fallback cudnn

# What stands in for cuDNN, opened at run time like it.
$(B)/fake_cudnn.so: test/cuda_emu/fake_cudnn.c test/cuda_emu/fake_graph.c test/cuda_emu/fake_cudnn.h cuda/cudnn/cudnn_api.h
	@mkdir -p $(@D)
	@echo "cc $@"
	@$(CC) $(CPPFLAGS) -I. $(CFLAGS) -shared -fPIC $(filter %.c,$^) -o $@ -lm

# Operations in the emulator under MemorySanitizer (clang): what is read before it was written, with
# its kernel and line. Without other libraries, which it would have to know too.
emu-msan:
	@$(MAKE) --no-print-directory CC=clang CUDA=emu SAN=memory VIDEO=0 emu-msan-run
MSAN_SUITES := $(filter cuda_nn cuda_splat,$(CUDA_SUITES))
MSAN_OBJ := $(filter $(B)/src/base/% $(B)/src/device/% $(B)/src/cpu/% $(B)/isa/% $(B)/cuda/% $(B)/test/cuda_emu/%,$(LIB_OBJ)) \
    $(MSAN_SUITES:%=$(B)/test/%.o) $(B)/msan/main.o
$(B)/msan/main.o: test/main.c
	@mkdir -p $(@D)
	@printf 'SUITE(%s)\n' $(MSAN_SUITES) > $(@D)/suites.h
	@$(CC) -I$(@D) -Itest $(CFLAGS) -c $< -o $@
$(B)/imgtrain-msan: $(MSAN_OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lm -lpthread $(CHECK_FLAGS)
emu-msan-run: $(B)/imgtrain-msan
	@OMP_NUM_THREADS=1 MSAN_OPTIONS=exitcode=1 $(B)/imgtrain-msan

# The same tests on a real GPU; they say why where there is none.
gpu-test:
	@$(MAKE) --no-print-directory CUDA=1 gpu-run
gpu-run: imgtrain $(B)/imgtrain-test
	@test/run.sh $(B) $(filter-out cuda_emu,$(CUDA_SUITES)) cuda cuda_fallback

# Times against what the GPU reaches with plain copies and arithmetic.
gpu-bench:
	@$(MAKE) --no-print-directory CUDA=1 gpu-bench-run
gpu-bench-run: $(B)/gpu-bench imgtrain
	@$(B)/gpu-bench && ./imgtrain bench --device cuda
$(B)/gpu-bench: $(B)/test/cuda_bench/bench.o $(LIB_OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# One archive for a machine where nothing can be installed.
gpu-kit:
	@$(MAKE) --no-print-directory CUDA=1 VIDEO=0 gpu-kit-run
gpu-kit-run: $(B)/imgtrain $(B)/imgtrain-test $(B)/gpu-bench
	@scripts/gpu_kit.sh $(B) build/imgtrain-gpu.tar.gz

print-nvcc:
	@echo $(NVCC)

# LONG=1: all comparisons, for minutes.
bench: imgtrain
	@scripts/bench.sh $(if $(LONG),--long)

# The main job on the photograph that scripts/setup.sh brought, or on a picture the program draws.
demo: imgtrain
	@scripts/demo.sh

# ---- fuzzing: every test/fuzz/fuzz_NAME.c for FUZZ_SECONDS each, with clang's libFuzzer ----
FUZZ_SECONDS ?= 20
FUZZERS := $(patsubst test/fuzz/%.c,$(B)/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))

fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=address,undefined,fuzzer-no-link fuzz-run

$(B)/fuzz_%: test/fuzz/fuzz_%.c $(LIB_OBJ)
	@echo "link $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer $^ -o $@ $(LDFLAGS) $(LDLIBS)

.PHONY: fuzz-run
fuzz-run: $(FUZZERS)
	@mkdir -p build/corpus
	@cd build && for f in $(FUZZERS:build/%=%); do n=$${f##*/fuzz_}; mkdir -p corpus/$$n; \
	echo "fuzz $$n for $(FUZZ_SECONDS) s"; \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $$f -max_total_time=$(FUZZ_SECONDS) -timeout=1 \
	-rss_limit_mb=512 -close_fd_mask=2 -print_final_stats=1 -artifact_prefix=corpus/$$n- \
	-verbosity=0 corpus/$$n $$(ls -d ../test/fuzz/seed_$$n 2>/dev/null) || exit 1; done

clean:
	rm -rf build imgtrain

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d)
