# Which sources are compiled, and how: SRC OBJ LIB_OBJ GEN. Needs detect.mk.
# Every .c below src, less the stand-ins for features that are (not) there.
SRC := $(filter-out src/cpu/isa/%,$(sort $(wildcard src/*.c src/*/*.c src/*/*/*.c)))
SRC := $(filter-out $(if $(filter 1,$(HAVE_VIDEO)),src/video/encode_none.c,src/video/encode.c src/video/decode.c src/video/libav.c),$(SRC))
SRC := $(filter-out $(if $(filter 1,$(HAVE_WEBP)),src/image/webp_none.c,src/image/webp.c),$(SRC))
SRC := $(filter-out $(if $(filter 1,$(HAVE_TIFF)),src/image/tiff_none.c,src/image/tiff.c src/image/tiff_open.c),$(SRC))
SRC := $(filter-out $(if $(filter 1,$(HAVE_HTTP)),src/serve/http_none.c,src/serve/http_library.c src/serve/http_request.c src/serve/http_server.c),$(SRC))
# src/cpu/isa/*.c are compiled once for each instruction set and chosen at run time.
AMX_SRC := src/cpu/isa/gemm_amx.c
ISA_SRC := $(filter-out $(AMX_SRC),$(sort $(wildcard src/cpu/isa/*.c)))
ISAS    := base $(if $(filter x86_64,$(ARCH)),avx2 avx512)
ISA_FLAGS_base   :=
ISA_FLAGS_avx2   := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512
# One more build of the convolutions: tensors in bf16.
ISA_FLAGS_bf16   := $(ISA_FLAGS_avx512) -mavx512bf16 -DISA_avx512=1 -DCONV_BF16=1
BF16_SRC := $(if $(filter x86_64,$(ARCH)),$(filter src/cpu/isa/conv_%,$(ISA_SRC)))
# Tiles have no other build.
ISA_FLAGS_amx    := $(ISA_FLAGS_avx512) -mavx512bf16 -mamx-tile -mamx-bf16 -DISA_avx512=1
AMX_OBJ := $(if $(filter x86_64,$(ARCH)),$(AMX_SRC:src/cpu/isa/%.c=$(COMMON)/isa/%_amx.o))
# Sources that depend on which libraries there are; only they are told.
B_SRC   := src/registry/devices.c src/cmd/cmd_doctor.c src/video/% cuda/% test/cuda/% test/video/%
object_of = $(patsubst %.c,$(B)/%.o,$(filter $(B_SRC),$(1))) $(patsubst %.c,$(COMMON)/%.o,$(filter-out $(B_SRC),$(1)))
OBJ     := $(call object_of,$(SRC)) $(foreach i,$(ISAS),$(ISA_SRC:src/cpu/isa/%.c=$(COMMON)/isa/%_$(i).o)) $(BF16_SRC:src/cpu/isa/%.c=$(COMMON)/isa/%_bf16.o) $(AMX_OBJ) $(COMMON)/gen/default_yaml.o $(if $(filter 1,$(HAVE_HTTP)),$(COMMON)/gen/serve_page.o)

# cuda/*.cu: by nvcc, into one folder for all builds; or as C++ for the emulator. cuda/*.c: as all C.
CUDA_SRC := $(sort $(wildcard cuda/*.cu cuda/*/*.cu))
CUDA_C   := $(sort $(wildcard cuda/*.c cuda/*/*.c))
EMU_SRC  := $(sort $(wildcard test/cuda_emu/*.cc))
CUDA_WERROR := $(and $(filter 1,$(CUDA)),$(filter 1,$(WERROR)))
CUDA_B   := build/cuda$(NVCC_VERSION)-$(subst $() ,-,$(strip $(CUDA_ARCHS)))$(if $(CUDA_WERROR),-werror)
CUDA_OBJ_1   := $(CUDA_SRC:%.cu=$(CUDA_B)/%.o)
CUDA_OBJ_emu := $(CUDA_SRC:%.cu=$(B)/%.o) $(EMU_SRC:%.cc=$(B)/%.o)
OBJ     += $(CUDA_OBJ_$(CUDA_KIND)) $(if $(filter 0,$(CUDA_KIND)),,$(CUDA_C:%.c=$(B)/%.o))
MAIN_OBJ := $(COMMON)/src/main.o
LIB_OBJ := $(filter-out $(MAIN_OBJ),$(OBJ))
GEN     := $(COMMON)/gen/config_gen.h

$(B)/imgtrain: $(OBJ)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(COMMON)/gen/config_gen.h: default.yaml scripts/config_gen.awk
	@mkdir -p $(@D)
	@LC_ALL=C awk -f scripts/config_gen.awk default.yaml > $@.tmp && mv $@.tmp $@

# What nvcc compiled for, for `imgtrain doctor`.
$(B)/gen/cmd/cuda_archs.h: FORCE
	@mkdir -p $(@D)
	@echo '#define CUDA_ARCHS "$(if $(filter 1,$(CUDA_KIND)),$(strip $(CUDA_ARCHS)),$(CUDA_KIND:0=))"' > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@
$(B)/src/cmd/cmd_doctor.o: $(B)/gen/cmd/cuda_archs.h

# The texts of files as C arrays: text_rule NAME FILE.
define text_rule
$(COMMON)/gen/$(1).c: $(2)
	@mkdir -p $$(@D)
	@{ echo 'extern const char $(1)[]; const char $(1)[] = {'; od -An -v -tx1 $$< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '0};'; } > $$@

$(COMMON)/gen/$(1).o: $(COMMON)/gen/$(1).c
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c $$< -o $$@
endef
$(eval $(call text_rule,default_yaml,default.yaml))
$(eval $(call text_rule,serve_page,src/serve/serve_page.html))

$(B)/%.o: CPPFLAGS += $(B_FLAGS)
define source_rule
$(1)/src/%.o: src/%.c | $(GEN)
	@mkdir -p $$(@D)
	@echo "cc $$<"
	@$(CC) $$(CPPFLAGS) $(CFLAGS) -MMD -MP -c $$< -o $$@
endef
$(foreach folder,$(COMMON) $(B),$(eval $(call source_rule,$(folder))))

$(B)/cuda/%.o: cuda/%.c | $(GEN)
	@mkdir -p $(@D)
	@echo "cc $<"
	@$(CC) $(CPPFLAGS) -I. $(CFLAGS) -MMD -MP -c $< -o $@

# The one folder of src that names what is in cuda.
$(B)/src/registry/%.o: CPPFLAGS += -I.

define isa_rule
$(COMMON)/isa/%_$(1).o: src/cpu/isa/%.c | $(GEN)
	@mkdir -p $$(@D)
	@echo "cc $$< ($(1))"
	@$(CC) $(CPPFLAGS) -DISA=$(1) -DISA_$(1)=1 $(CFLAGS) $(HOT_LEVEL) $(HOT_GCOV) $(ISA_FLAGS_$(1)) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS) bf16 amx,$(eval $(call isa_rule,$(i))))
