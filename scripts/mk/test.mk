# The unit tests, one program: every test/FOLDER/NAME.c provides `Suite *NAME_suite(void)`. Needs build.mk.
.PHONY: test-slow gemm-speed torture checked checked-run coverage coverage-run fuzz fuzz-run

TEST_SRC := $(sort $(filter-out test/fuzz/% test/cuda_emu/% test/cuda_bench/% test/cpu_bench/% test/torture/%,$(wildcard test/*/*.c)))
FUZZ_SRC := $(sort $(wildcard test/fuzz/fuzz_*.c))
TEST_MAIN := $(COMMON)/test/main.o
TEST_OBJ := $(call object_of,$(TEST_SRC)) $(TEST_MAIN) $(COMMON)/test/failing_calls.o $(call object_of,$(FUZZ_SRC)) $(if $(filter emu,$(CUDA_KIND)),$(B)/test/cuda_emu/test_kernels.o)
CHECK_FLAGS := $(shell pkg-config --cflags --libs check 2>/dev/null)

$(COMMON)/gen/suites.h: FORCE
	@mkdir -p $(@D)
	@printf 'SUITE(%s)\n' $(notdir $(TEST_SRC:.c=)) > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@

# The fuzz targets, which have one name for libFuzzer, side by side for the suite fuzz_seeds.
$(COMMON)/gen/fuzz_targets.h: FORCE
	@mkdir -p $(@D)
	@printf 'FUZZ(%s)\n' $(FUZZ_SRC:test/fuzz/fuzz_%.c=%) > $@.tmp; cmp -s $@.tmp $@ && rm $@.tmp || mv $@.tmp $@
$(foreach folder,$(COMMON) $(B),$(eval $(folder)/test/fuzz/fuzz_%.o: \
    CPPFLAGS += -DLLVMFuzzerTestOneInput=$$(notdir $$*)_take -DLLVMFuzzerCustomMutator=$$(notdir $$*)_mutate))

# What tests let fail (test/failing_calls.h).
FAILING_CALLS := malloc calloc realloc strdup vasprintf fopencookie mmap stat lstat fstat fstatat read pread write pwrite lseek \
    ftruncate posix_fallocate fsync flock madvise rename linkat unlink unlinkat mkdir fdopendir readdir open close getrandom
FAILING_FLAGS := $(FAILING_CALLS:%=-Wl$(comma)--wrap=%)

define test_rule
$(1)/test/%.o: test/%.c | $(GEN) $(COMMON)/gen/suites.h $(COMMON)/gen/fuzz_targets.h
	@mkdir -p $$(@D)
	@echo "cc $$<"
	@$(CC) $$(CPPFLAGS) -Itest -I. $(CFLAGS) -MMD -MP -c $$< -o $$@
endef
$(foreach folder,$(COMMON) $(B),$(eval $(call test_rule,$(folder))))
$(B)/test/cuda/%.o: CPPFLAGS += $(if $(filter emu,$(CUDA_KIND)),-DFAKE_CUDNN='"$(B)/fake_cudnn.so"')
$(TEST_MAIN): $(COMMON)/gen/suites.h

$(B)/imgtrain-test: $(LIB_OBJ) $(TEST_OBJ) $(if $(filter emu,$(CUDA_KIND)),| $(B)/fake_cudnn.so)
	@echo "link $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $(FAILING_FLAGS) $^ -o $@ $(LDLIBS) $(if $(filter 1,$(HAVE_VIDEO)),$(AV_TEST_LIBS)) $(CHECK_FLAGS)

test-slow: imgtrain $(B)/imgtrain-test # the long forms of some tests: many minutes
	@TEST_SLOW=1 test/run.sh $(B) gan_learns gan_schemes

gemm-speed: $(B)/gemm_speed # matrix products beside OpenBLAS, one thread: minutes; ROUNDS=9, SHAPES=544,3840,3840
	@$< $(or $(ROUNDS),5) $(SHAPES)
$(B)/gemm_speed: test/cpu_bench/gemm_speed.c $(LIB_OBJ)
	@echo "link $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# All tests with the loops of src/cpu/isa uncounted, then the unit suites of these loops with them: what any of both ran.
COVERAGE := CC=gcc CUDA=0 SAN= WERROR=0 OPT_LEVEL=-O1
LOOP_SUITES := op_cases conv gemm attention token_ops nn_ops splat_ops splat_fit splat_mask_test splat_importance
coverage: # which lines and branches of src the tests run, by folder: an hour; SUITES="store kill" CASES=20: these tests, fewer of torture
	@$(MAKE) --no-print-directory $(COVERAGE) HOT_LEVEL=-O3 GCOV=-calls coverage-run
	@SKIP_SLOW=1 $(MAKE) --no-print-directory $(COVERAGE) GCOV=1 SUITES="$(or $(SUITES),$(LOOP_SUITES))" CASES= coverage-run
coverage-run: $(B)/imgtrain $(B)/imgtrain-test
	@find $(B) $(COMMON) -name '*.gcda' -delete
	@test/run.sh $(B) $(SUITES) || echo "tests failed: what they would have run is missing below"
	@[ "$(GCOV)" = 1 ] || scripts/coverage.py $(B) $(COMMON) --save build/tests-ran.json
	@[ "$(GCOV)" = 1 ] || IMGTRAIN=$(B)/imgtrain CASES=$(or $(CASES),100) test/torture/torture.py malloc errors signals nan looks || echo "torture failed: likewise"
	@[ "$(GCOV)" != 1 ] || scripts/coverage.py $(B) $(COMMON) $(subst -gcov,-gcov-calls,$(B) $(COMMON)) --with build/tests-ran.json

# CASES=1000: of each row and task, evenly among all.
torture: imgtrain # runs of every task, killed, cut, without memory or disk at every place: hours; CASES=50: minutes
	@LONG=1 TABLE=test/README.md test/torture/torture.py
	@CASES=$(or $(CASES),1000) JOBS=$$(nproc) test/torture/memory.py
	@test/torture/reproducible.sh

checked: # tiny runs of every task under valgrind and the sanitizers of gcc and clang: many minutes
	@$(MAKE) --no-print-directory SAN= CUDA=0 WERROR=0 CHECKER=valgrind checked-run
	@$(MAKE) --no-print-directory SAN=thread CUDA=0 WERROR=0 OPT_LEVEL=-O1 checked-run
	@for c in gcc clang; do \
	$(MAKE) --no-print-directory CC=$$c SAN=address,undefined CUDA=0 WERROR=0 OPT_LEVEL=-O1 checked-run || exit 1; done
checked-run: $(B)/imgtrain
	@echo "checked: $(B) $(CHECKER)" && IMGTRAIN=$< test/torture/checked.py $(CHECKER)

# Every test/fuzz/fuzz_NAME.c for FUZZ_SECONDS each, with clang's libFuzzer.
FUZZ_SECONDS ?= 20
FUZZERS := $(FUZZ_SRC:test/fuzz/%.c=$(B)/%)

fuzz: # parsers against random files; FUZZ_SECONDS=20 for each
	@$(MAKE) --no-print-directory CC=clang SAN=address,undefined,fuzzer-no-link fuzz-run

$(B)/fuzz_%: test/fuzz/fuzz_%.c test/fuzz/fuzz.h $(LIB_OBJ)
	@echo "link $@"
	@$(CC) $(CPPFLAGS) -I. $(CFLAGS) -fsanitize=fuzzer $(filter-out %.h,$^) -o $@ $(LDFLAGS) $(LDLIBS)

fuzz-run: $(FUZZERS)
	@mkdir -p build/corpus
	@cd build && for f in $(FUZZERS:build/%=%); do n=$${f##*/fuzz_}; mkdir -p corpus/$$n; \
	echo "fuzz $$n for $(FUZZ_SECONDS) s"; \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $$f -max_total_time=$(FUZZ_SECONDS) -timeout=1 \
	-rss_limit_mb=512 -close_fd_mask=2 -print_final_stats=1 -artifact_prefix=corpus/$$n- \
	-verbosity=0 corpus/$$n $$(ls -d ../test/fuzz/seed_$$n 2>/dev/null) || exit 1; done
