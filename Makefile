# imgtrain: `make` builds ./imgtrain with whatever is installed and says what it found. `make help` has
# the rest. The parts: scripts/mk/detect.mk (what is there, flags), build.mk (sources to objects),
# install.mk (man page, completions), test.mk (test/README.md), cuda.mk (cuda/README.md).

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

.DEFAULT_GOAL := all
.PHONY: all help info test check bench demo clean FORCE

include scripts/mk/detect.mk
include scripts/mk/build.mk
include scripts/mk/install.mk
include scripts/mk/test.mk
include scripts/mk/cuda.mk

all: info imgtrain # ./imgtrain, and a line for each library found

imgtrain: $(B)/imgtrain $(MANUALS)
	@ln -sf $< $@

help: # this list
	@echo 'make [-jN] [VARIABLE=VALUE ...] [TARGET ...]'
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):[^#]* # \(.*\)/  \1|\2/p' Makefile scripts/mk/*.mk | awk -F'|' '{ printf "%-12s  %s\n", $$1, $$2 }'
	@echo
	@echo '  CUDA=auto|0|1|emu  VIDEO=auto|0|1  WEBP=auto|0|1  TIFF=auto|0|1  HTTP=auto|0|1   with it or without (emu: kernels on the CPU)'
	@echo '  CUDA_ARCHS="75 90"  NVCC=/path/nvcc                               the GPUs to build for, and by what'
	@echo '  PREFIX=/usr/local  DESTDIR=                                       where to install'
	@echo '  CC=clang  WERROR=1  SAN=address|undefined|thread                  compiler, warnings are errors, sanitizers'

info: # what this build has, and its folder
	@echo "compiler  $(CC) $$($(CC) -dumpfullversion -dumpversion)"
	@echo "video     $(if $(filter 1,$(HAVE_VIDEO)),libavcodec $$(pkg-config --modversion libavcodec),no (VIDEO=$(VIDEO)))"
	@echo "pictures  $(if $(filter 1,$(HAVE_WEBP)),WebP (libwebp),no WebP (WEBP=$(WEBP))), $(if $(filter 1,$(HAVE_TIFF)),TIFF (libtiff),no TIFF (TIFF=$(TIFF)))"
	@echo "server    $(if $(filter 1,$(HAVE_HTTP)),HTTP (libmicrohttpd),no HTTP (HTTP=$(HTTP)))"
	@echo "cuda      $(if $(filter 0,$(CUDA_KIND)),no (CUDA=$(CUDA)),$(if $(filter emu,$(CUDA_KIND)),emulated,by nvcc $(NVCC_VERSION)$(comma) for $(CUDA_ARCHS)))"
	@echo "cpu       $(ISAS)"
	@echo "jobs      $(if $(filter -j,$(MAKEFLAGS)),no limit,$(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),1))"
	@echo "build     $(B)"

test: imgtrain $(B)/imgtrain-test # unit tests and those of the command line: minutes
	@test/run.sh $(B)

check: # all that CI runs: both compilers, sanitizers, rules of the house, format; many minutes
	+@scripts/check.sh

bench: imgtrain # times beside a reference; LONG=1: all comparisons, for minutes
	@scripts/bench.sh $(if $(LONG),--long)

demo: imgtrain # the main job on the photograph that scripts/setup.sh brought, or on a drawn picture
	@scripts/demo.sh

clean: # removes all that was built
	rm -rf build imgtrain

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(wildcard $(B)/test/cuda_bench/*.d)
