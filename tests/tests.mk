# Tests.  `make check` runs everything in CHECKS; other *.mk files add to it.  `make check-deep`
# runs what is in DEEP_CHECKS: what takes too long for every change, or needs more than one build.
#
#   make unit            all unit tests      make unit T=lib_lock   those so named
#   make quick           the first signal: layers, rules, table, unit tests, a dozen of guest
#                        programs on one platform: half a minute of a warm build
#   make layers          the include ranks of docs/ARCHITECTURE.md
#   make rules           rules of the source that a script can check: lifetimes, wait queues, guards
#   make globals         state of the kernel that lies outside the arena
#   make analysis        which lock guards what (lib/compiler.h), by clang's thread-safety analysis
#   make lint            clang-tidy with a short list of checks
#   make coverage        what unit tests, fuzz targets and guest programs run of each folder, by gcov
#   make format          .clang-format applied to everything; format-check: does anything differ?
#   make compile_commands.json   for clangd
#   make table           table.def against the handlers that exist
#   make poorhost        some guest programs as on a host without FSGSBASE, BMI2 and a steady TSC;
#                        poorhost-all (in check-deep): all of them, on both platforms
#   make docs            docs/SYSCALLS.md from table.def, the table of host calls in
#                        docs/SECURITY.md from filter.def files (docs-current checks both)

# $(call some,list,message): a filter that matches nothing fails.
some = $(if $(strip $(1)),,@echo "FAIL $(2)"; exit 1)

CHECKS += format-check lint layers rules analysis table docs-current unit
# Sanitizers add data of their own to each object.
CHECKS += $(if $(SAN),,globals)
include $(wildcard tests/*/*.mk)

.PHONY: quick quick-guest format format-check check check-deep unit layers rules globals analysis table docs docs-current
check: $(O)/runsc
	@python3 tests/check.py O=$(O) CC="$(CC)" SAN=$(SAN) DEBUG=$(DEBUG) $(CHECKS)

check-deep: $(O)/runsc
	@python3 tests/check.py O=$(O) CC="$(CC)" SAN=$(SAN) DEBUG=$(DEBUG) $(DEEP_CHECKS)

# Without systrap_test, which takes as long as all the rest; the guest programs run on systrap.
QUICK_T ?= exec fork futex mmap open pipe poll rw signal threads unix_stream wait
QUICK_P ?= systrap
quick: $(O)/runsc
	@python3 tests/check.py O=$(O) CC="$(CC)" SAN=$(SAN) DEBUG=$(DEBUG) T= \
		UNIT_LEAVE=systrap_test layers rules table unit quick-guest

quick-guest:
	@$(MAKE) --no-print-directory guest P="$(QUICK_P)" T="$(QUICK_T)"

# Of version 14: others format otherwise.
C_FILES = $(shell find lib platform sentry syscalls gofer runsc-cli tests bench -name '*.[ch]')
format:
	@clang-format -i $(C_FILES)

format-check:
	@clang-format --dry-run -Werror $(C_FILES)
	@echo "ok format: $(words $(C_FILES)) files"

# clang-tidy (14) with .clang-tidy's checks.
LINT_C = $(filter %.c,$(SRC))
.PHONY: lint
lint: $(O)/gen/vdso.so $(VERSION_H) compile_commands.json
	@printf '%s\n' $(LINT_C) | xargs -P $$(nproc) -n 8 clang-tidy -quiet -p . 2>/dev/null
	@echo "ok lint: $(words $(LINT_C)) files"

layers:
	python3 tests/layers.py

rules:
	python3 tests/rules.py

globals: $(filter $(O)/sentry/% $(O)/syscalls/%,$(OBJ))
	@python3 tests/globals.py $(O) $^

# A few files to each clang, so that it is not the start-up that takes the time.
ANALYSIS_SRC := $(SRC) $(wildcard tests/unit/*.c tests/fuzz/*.c)
ANALYSE := clang -fsyntax-only -std=gnu17 -D_GNU_SOURCE -I. -I$(O)/gen -Wthread-safety -Werror
analysis: $(O)/runsc
	@$(ANALYSE) -Xclang -verify tests/analysis.c
	@printf '%s\n' $(ANALYSIS_SRC) | xargs -P $$(nproc) -n 8 $(ANALYSE)
	@echo "ok analysis: $(words $(ANALYSIS_SRC)) files"

table:
	python3 tests/table.py

docs: $(O)/runsc
	$(O)/runsc help --format markdown syscalls >docs/SYSCALLS.md
	python3 tests/host_calls.py

docs-current: $(O)/runsc
	@$(O)/runsc help --format markdown syscalls | diff -u docs/SYSCALLS.md - || \
		{ echo "FAIL docs/SYSCALLS.md is out of date: make docs"; exit 1; }
	@echo "ok docs/SYSCALLS.md"
	@python3 tests/host_calls.py --check

# A unit test links an archive of the folders (or files without .c) that its
# OBJS comment names, so only what it uses is pulled in.
UNIT_SRC := $(wildcard tests/unit/*$(T)*_test.c)
UNIT := $(UNIT_SRC:%.c=$(O)/%)
UNIT_LEAVE ?=
UNIT_RUN = $(filter-out $(UNIT_LEAVE:%=$(O)/tests/unit/%),$(UNIT))

# The platforms are tested twice: as the host is, and as on one without these.
POOR_HOST := -fsgsbase,-bmi2,-tsc

unit: $(UNIT)
	$(call some,$(UNIT),no unit test is named so: T=$(T))
	@status=0; for t in $(UNIT_RUN); do \
		echo "== $$(basename $$t)"; timeout 300 $$t || { status=1; echo "FAIL $$t"; }; \
	done; \
	for t in $(if $(UNIT_LEAVE),,$(filter %/systrap_test %/ptrace_test,$(UNIT))); do \
		echo "== $$(basename $$t), as on a poor host"; \
		HOST_FEATURES=$(POOR_HOST) timeout 300 $$t || { status=1; echo "FAIL $$t"; }; \
	done; exit $$status

# The same tests with ThreadSanitizer.  Those that cannot run so say why (TSAN: in their head).
DEEP_CHECKS += tsan-unit
.PHONY: tsan-unit unit-programs
unit-programs: $(UNIT)
tsan-unit:
	$(MAKE) --no-print-directory SAN=tsan O=$(O)-tsan unit-programs
	@python3 tests/tsan.py --unit $(UNIT:$(O)/%=$(O)-tsan/%)

# $(call unit_rule,source): which objects the test's archive holds.  (It is made anew with the
# source, whose comment names them.)
unit_dirs = $(shell sed -n '1,30s,^ \* *,,;1,30p' $(1) | tr '\n' ' ' | \
	sed -n 's,.*OBJS: *\([a-z/ -]*[a-z]\).*,\1,p')
define unit_rule
$(O)/$(1:.c=.a): $(1) $(if $(call unit_dirs,$(1)),$(filter $(foreach d,$(call unit_dirs,$(1)),$(O)/$(d)%),$(LIBOBJ)),$(LIBOBJ))
$(O)/$(1:.c=): $(O)/$(1:.c=.o) $(O)/$(1:.c=.a) lib/sections.lds
	$$(CC) $$(LDMODE) $$(LDHARDEN) -pthread -o $$@ $(O)/$(1:.c=.o) $(O)/$(1:.c=.a) $$(LIBS)
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit_rule,$(t))))

# For clangd and clang-tidy; of everything that `make check` compiles.
ALL_BIN = all guest-programs $(UNIT) $(FUZZ) $(GOFER_BIN) $(HOSTILE_BIN) $(O)/tests/stress/stress \
	$(O)/bench/microbench
.PHONY: compile_commands.json
compile_commands.json:
	@mkdir -p $(O)
	@python3 -B tests/compile_commands.py CC=clang O=$(O) all-bin >$(O)/$@.new
	@mv $(O)/$@.new $@

.PHONY: all-bin
all-bin: $(ALL_BIN)

$(O)/tests/unit/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	ar rcsT $@ $(filter %.o,$^)

.SECONDARY:
-include $(UNIT:=.d)

# Counts what unit tests, fuzz targets and guest programs on COVERAGE_P run; COVERAGE_RUN=guest: these
# alone.  A sandbox that is killed is not counted (lib/coverage.h).
.PHONY: coverage
COVERAGE_O ?= build-cov
COVERAGE_RUN ?= unit fuzz guest
COVERAGE_P ?= systrap
coverage:
	@find $(COVERAGE_O) -name '*.gcda' -delete 2>/dev/null; true
	@rm -rf $(COVERAGE_O)/guest && mkdir -p $(COVERAGE_O)/guest
	@$(MAKE) --no-print-directory SAN=cov O=$(COVERAGE_O) P=$(COVERAGE_P) all $(COVERAGE_RUN)
	@python3 -B tests/coverage.py $(COVERAGE_O)
