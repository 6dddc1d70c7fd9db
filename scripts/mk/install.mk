# make install PREFIX=/usr/local DESTDIR=, make uninstall: the program, its man page, completions for
# bash and zsh, presets and documents. The same settings as for the build (CUDA=0, ...) name its folder.
PREFIX  ?= /usr/local
DESTDIR ?=
DATA    := $(PREFIX)/share
MANUALS := $(B)/imgtrain.1 $(B)/imgtrain.bash $(B)/_imgtrain
PRESETS := $(sort $(wildcard cfgs/*.yaml))

# Printed by the program from its tables of commands, options and keys.
$(B)/imgtrain.1: $(B)/imgtrain
	@$< help --man >$@.tmp && mv $@.tmp $@
$(B)/imgtrain.bash: $(B)/imgtrain
	@$< help --completion bash >$@.tmp && mv $@.tmp $@
$(B)/_imgtrain: $(B)/imgtrain
	@$< help --completion zsh >$@.tmp && mv $@.tmp $@

.PHONY: install install-files uninstall
install: imgtrain # the program, its man page, completions, presets: below DESTDIR PREFIX
	@$(MAKE) --no-print-directory install-files

# What was built already. INSTALL_ROWS: file, folder, name there, rights.
INSTALL_ROWS := \
    $(B)/imgtrain:$(PREFIX)/bin:imgtrain:755 \
    $(B)/imgtrain.1:$(DATA)/man/man1:imgtrain.1:644 \
    $(B)/imgtrain.bash:$(DATA)/bash-completion/completions:imgtrain:644 \
    $(B)/_imgtrain:$(DATA)/zsh/site-functions:_imgtrain:644 \
    $(foreach f,LICENSE README.md CHANGELOG.md,$f:$(DATA)/doc/imgtrain:$f:644) \
    $(foreach f,cfgs/README.md $(PRESETS),$f:$(DATA)/imgtrain/cfgs:$(notdir $f):644)
install-files:
	@set -e; for row in $(INSTALL_ROWS); do IFS=:; set -- $$row; unset IFS; \
	mkdir -p "$(DESTDIR)$$2"; install -m $$4 "$$1" "$(DESTDIR)$$2/$$3"; done
	@echo "installed $(DESTDIR)$(PREFIX)/bin/imgtrain; presets: $(DESTDIR)$(DATA)/imgtrain/cfgs"

# Folders that this leaves empty go where they are the program's own, or in a DESTDIR.
uninstall: # removes what install has put there
	@set -e; for row in $(INSTALL_ROWS); do IFS=:; set -- $$row; unset IFS; \
	rm -f "$(DESTDIR)$$2/$$3"; done
	@[ -z "$(DESTDIR)" ] || for row in $(INSTALL_ROWS); do IFS=:; set -- $$row; unset IFS; \
	(cd "$(DESTDIR)" 2>/dev/null && rmdir -p ".$$2" 2>/dev/null) || true; done
	@for d in doc/imgtrain imgtrain/cfgs imgtrain; do rmdir "$(DESTDIR)$(DATA)/$$d" 2>/dev/null || true; done

.PHONY: deb
deb: # build/imgtrain_VERSION_ARCHITECTURE.deb, by scripts/package/deb.sh; the same source gives the same bytes
	+@scripts/package/deb.sh build/imgtrain_$$(sed -n 's/^#define IMGTRAIN_VERSION "\(.*\)"/\1/p' src/base/version.h)-$(or $(DEB_REVISION),1)_$$(dpkg --print-architecture).deb
