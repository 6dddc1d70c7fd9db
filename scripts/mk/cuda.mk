# cuda/*.cu by nvcc, or as C++ for the emulator; their tests (cuda/README.md). Needs build.mk, test.mk.
.PHONY: emu-test emu-run emu-matrix emu-matrix-run emu-msan emu-msan-run gpu-test gpu-run gpu-bench gpu-bench-run gpu-kit gpu-kit-run print-nvcc

# PTX of 8.0 makes the same code for 8.6, 8.9 and 9.0 as their own, to the bit; nvcc's front end takes longer than ptxas.
NVCC_FLAGS := $(NVCC_HOST) -O3 -lineinfo $(NVCC_SMALL) -Xcompiler -Wall,-Wextra,-Wno-unused-function,-Wno-deprecated-enum-float-conversion,-Wno-deprecated-enum-enum-conversion $(if $(CUDA_WERROR),-Werror all-warnings) \
    $(if $(filter native,$(CUDA_ARCHS)),-arch=native,$(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(patsubst 86,80,$(patsubst 89,80,$(patsubst 90,80,$a)))$(comma)code=sm_$a) \
    -gencode arch=compute_80$(comma)code=compute_80)
$(CUDA_B)/cuda/%.o: cuda/%.cu
	@mkdir -p $(@D)
	@echo "nvcc $< ($(CUDA_ARCHS))"
	@$(NVCC) -Isrc -I. $(NVCC_FLAGS) -MMD -MP -c $< -o $@

# The emulator: g++ for gcc, clang++ for clang. Shared arrays get red zones from gcc alone. Without a sanitizer's library,
# the emulator itself says which kernel reads an address that is not a multiple of its type's alignment.
EMU_CXX   := $(patsubst cc%,g++%,$(patsubst clang%,clang++%,$(patsubst gcc%,g++%,$(notdir $(CC)))))
EMU_FLAGS := -std=c++20 -O2 -g -fno-exceptions -fno-rtti -fno-threadsafe-statics -ffp-contract=off \
    -fno-strict-aliasing -Wall -Wextra -Wshadow -Wdouble-promotion -Wno-unknown-pragmas \
    -Wno-deprecated-enum-float-conversion -Wno-deprecated-enum-enum-conversion $(if $(filter 1,$(WERROR)),-Werror) $(or $(SANFLAGS),-fsanitize=alignment -fno-sanitize-recover=alignment -Wno-maybe-uninitialized -DEMU_ALIGNMENT=1) \
    $(if $(findstring address,$(SAN)),$(if $(findstring g++,$(filter-out clang++%,$(EMU_CXX))),-fsanitize-sections=emu_shared))
$(B)/%.o: %.cu
	@mkdir -p $(@D)
	@echo "c++ $<"
	@$(EMU_CXX) -Isrc -I. -Itest -Itest/cuda_emu $(EMU_FLAGS) -MMD -MP -x c++ -c $< -o $@
$(B)/test/cuda_emu/%.o: test/cuda_emu/%.cc
	@mkdir -p $(@D)
	@echo "c++ $<"
	@$(EMU_CXX) -Isrc -I. -Itest/cuda_emu $(EMU_FLAGS) -MMD -MP -c $< -o $@

# ---- tests ----
CUDA_SUITES := $(filter cuda_%,$(notdir $(TEST_SRC:.c=)))
CUDA_SCRIPTS = $(basename $(notdir $(shell grep -lx look_for_cuda test/cli/*.sh)))

emu-test: # the kernels of cuda/ on the CPU, under sanitizers; every kernel must have run
	@$(MAKE) --no-print-directory CUDA=emu SAN=address,undefined emu-run
emu-run: $(B)/imgtrain $(B)/imgtrain-test $(B)/fake_cudnn.so $(B)/kit.settings
	@COVERAGE=1 test/run.sh $(B) $(CUDA_SUITES) $(CUDA_SCRIPTS)

# What stands in for cuDNN, opened at run time like it.
$(B)/fake_cudnn.so: test/cuda_emu/fake_cudnn.c test/cuda_emu/fake_graph.c test/cuda_emu/fake_cudnn.h cuda/cudnn/cudnn_api.h
	@mkdir -p $(@D)
	@echo "cc $@"
	@$(CC) $(CPPFLAGS) -I. $(CFLAGS) -shared -fPIC $(filter %.c,$^) -o $@ -lm

# FORM: short, long, or names of suites.
FORM ?= long
emu-matrix: # the suites of CUDA with errors of CUDA's functions, other numbers of SMs, other orders
	@$(MAKE) --no-print-directory CUDA=emu SAN= emu-matrix-run
emu-matrix-run: $(B)/imgtrain $(B)/imgtrain-test $(B)/fake_cudnn.so
	@scripts/emu_matrix.sh $(B) $(FORM)

# Operations in the emulator under MemorySanitizer (clang): what is read before it was written, with
# its kernel and line. Without other libraries, which it would have to know too.
emu-msan: # operations in the emulator under MemorySanitizer (clang)
	@$(MAKE) --no-print-directory CC=clang CUDA=emu SAN=memory VIDEO=0 emu-msan-run
MSAN_SUITES := $(filter cuda_nn cuda_splat,$(CUDA_SUITES))
MSAN_OBJ := $(filter $(COMMON)/src/base/% $(COMMON)/src/device/% $(COMMON)/src/check/% $(COMMON)/src/cpu/% $(COMMON)/isa/% $(B)/cuda/% $(B)/test/cuda_emu/%,$(LIB_OBJ)) \
    $(COMMON)/src/splat/least_important.o $(MSAN_SUITES:%=$(B)/test/cuda/%.o) $(B)/msan/main.o
$(B)/msan/main.o: test/main.c
	@mkdir -p $(@D)
	@printf 'SUITE(%s)\n' $(MSAN_SUITES) > $(@D)/suites.h
	@$(CC) -I$(@D) $(CPPFLAGS) -I. $(CFLAGS) -c $< -o $@
$(B)/imgtrain-msan: $(MSAN_OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lm -lpthread $(CHECK_FLAGS)
emu-msan-run: $(B)/imgtrain-msan
	@{ for i in 0 1 2 3; do echo "$$i/4 cuda_nn"; done; echo "0/1 $(filter-out cuda_nn,$(MSAN_SUITES))"; } | \
	    xargs -P "$$(nproc)" -L 1 sh -c 'share=$$1 && shift && SKIP_SLOW=1 TEST_SHARE=$$share OMP_NUM_THREADS=1 \
	    MSAN_OPTIONS=exitcode=1 $(B)/imgtrain-msan "$$@"' sh

gpu-test: # the same tests on a GPU; they say why where there is none
	@$(MAKE) --no-print-directory CUDA=1 gpu-run
gpu-run: imgtrain $(B)/imgtrain-test
	@test/run.sh $(B) $(filter-out cuda_emu,$(CUDA_SUITES)) cuda cuda_fallback

gpu-bench: # times against what the GPU reaches with plain copies and arithmetic
	@$(MAKE) --no-print-directory CUDA=1 gpu-bench-run
gpu-bench-run: $(B)/gpu-bench imgtrain
	@$(B)/gpu-bench && ./imgtrain bench --device cuda
$(B)/gpu-bench: $(B)/test/cuda_bench/bench.o $(LIB_OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(B)/gpu-draw: $(B)/test/cuda_bench/draw.o $(LIB_OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# For sm_90 and, by its PTX of sm_80, what is newer than that, unless CUDA_ARCHS says more; CUDA=emu:
# the same archive with the emulator's programs, to rehearse its run.
KIT_ARCHS := $(if $(filter command environment,$(firstword $(origin CUDA_ARCHS))),$(CUDA_ARCHS),90)
KIT       ?= build/imgtrain-gpu$(if $(filter emu,$(CUDA)),-emu).tar.gz
gpu-kit: # one archive for a machine where nothing can be installed (CUDA=emu: a rehearsal's)
	@$(MAKE) --no-print-directory CUDA=$(if $(filter emu,$(CUDA)),emu,1) CUDA_ARCHS="$(KIT_ARCHS)" VIDEO=0 KIT=$(KIT) gpu-kit-run
gpu-kit-run: $(B)/kit.settings
	@SMALL=$(if $(filter emu,$(CUDA_KIND)),yes) scripts/gpu_kit.sh $(B) $(KIT)

# What scripts/gpu_kit.sh and scripts/gpu_mend.sh want to know of the build.
KIT_LIBS      := -lyaml -lcjson -lutf8proc -lpng -ljpeg -lz
KIT_DEVICE    := $(if $(filter 1,$(CUDA_KIND)),$(CUDA_OBJ_1),$(CUDA_SRC:%.cu=$(B)/%.o))
KIT_COMPILE   := $(if $(filter 1,$(CUDA_KIND)),nvcc -Isrc -I. $(NVCC_FLAGS),$(EMU_CXX) -Isrc -I. -Itest -Itest/cuda_emu $(EMU_FLAGS) -x c++)
$(B)/kit.settings: $(B)/imgtrain $(B)/imgtrain-test $(B)/gpu-bench $(B)/gpu-draw scripts/mk/cuda.mk
	@printf "%s='%s'\n" cc '$(CC)' compile '$(KIT_COMPILE)' link_flags '$(CFLAGS) $(LDFLAGS)' \
	    libraries '$(filter-out -L% $(KIT_LIBS),$(LDLIBS))' test_libraries '$(if $(filter 1,$(HAVE_VIDEO)),$(AV_TEST_LIBS)) -lsubunit' \
	    check_library '$(shell $(CC) -print-file-name=libcheck_pic.a)' device_objects '$(KIT_DEVICE)' \
	    host_objects '$(filter-out $(KIT_DEVICE),$(LIB_OBJ))' test_objects '$(filter-out $(TEST_MAIN),$(TEST_OBJ))' \
	    main_object '$(MAIN_OBJ)' test_main_object '$(TEST_MAIN)' test_flags '$(FAILING_FLAGS)' >$@

print-nvcc:
	@echo $(NVCC)
