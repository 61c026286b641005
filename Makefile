# runsc: build, test and run.  `make help` lists the targets.
#
#   O=dir          output folder (default build)
#   CC=gcc|clang   compiler
#   SAN=asan       AddressSanitizer + UndefinedBehaviorSanitizer build (O=build-asan)
#   SAN=fuzz       the same for libFuzzer, by clang: see tests/fuzz/README.md (O=build-fuzz)
#   SAN=tsan       ThreadSanitizer build (O=build-tsan; gcc: clang's finds symbols by a program)
#   SAN=cov        counts what runs, for `make coverage` (O=build-cov)
#   DEBUG=1        lock-order checks, no optimization beyond -Og (O=build-debug)

SAN ?=
DEBUG ?=
O ?= build$(if $(SAN),-$(SAN))$(if $(DEBUG),-debug)
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-unused-parameter -Wno-missing-field-initializers
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
LDHARDEN := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code \
	-Wl,-T,lib/sections.lds
CPPFLAGS += -I. -I$(O)/gen -D_GNU_SOURCE
CFLAGS_BASE := -std=gnu17 -g -fPIE -fno-omit-frame-pointer -fno-strict-aliasing -pthread $(WARN) $(HARDEN)
LIBS := -lseccomp -ljansson -lcapstone -lm

ifeq ($(SAN),asan)
  CFLAGS_BASE += -O1 -fsanitize=address,undefined -fsanitize-undefined-trap-on-error -DSAN_ASAN -DSAN_RUNTIME
  LDMODE := -pie -fsanitize=address,undefined
else ifeq ($(SAN),fuzz)
  CFLAGS_BASE += -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
	-DSAN_ASAN -DSAN_RUNTIME -DLIBFUZZER
  LDMODE := -pie -fsanitize=address,undefined
else ifeq ($(SAN),tsan)
  # It does not see fences (-Wtsan): what only they order is named in tests/tsan.supp.  Our locks
  # are atomic operations that it does see.
  CFLAGS_BASE += -O1 -fsanitize=thread -DSAN_TSAN -DSAN_RUNTIME -Wno-tsan \
	-Wno-maybe-uninitialized
  LDMODE := -pie -fsanitize=thread
else ifeq ($(SAN),cov)
  # lib/coverage.c, which registers the objects of the section, is linked into everything.
  CFLAGS_BASE += -O1 --coverage -fprofile-update=atomic -fprofile-info-section=gcov_info \
	-fno-builtin-fork -Wno-maybe-uninitialized -DSAN_COV -DCOVERAGE_DIR='"$(abspath $(O))/guest"'
  LDMODE := -static-pie --coverage -Wl,-u,coverage_write
else ifneq ($(DEBUG),)
  CFLAGS_BASE += -Og -D_FORTIFY_SOURCE=2 -DLOCK_DEBUG
  LDMODE := -static-pie
else
  CFLAGS_BASE += -O2 -D_FORTIFY_SOURCE=3
  LDMODE := -static-pie
endif
ifeq ($(findstring clang,$(CC)),)
  CFLAGS_BASE += -Wshadow=local
else
  CFLAGS_BASE += -Wthread-safety -Wno-gnu-statement-expression
endif
CFLAGS_ALL := $(CFLAGS_BASE) $(CFLAGS)

MAIN := runsc-cli/main.c
SRC := $(wildcard lib/*.c lib/*/*.c platform/*.c platform/*/*.c sentry/*/*.c sentry/*/*/*.c \
	syscalls/*.c gofer/*.c runsc-cli/*.c runsc-cli/*/*.c)
ASM := $(wildcard lib/*.S platform/*/*.S sentry/*/*.S sentry/*/*/*.S)
OBJ := $(SRC:%.c=$(O)/%.o) $(ASM:%.S=$(O)/%.o)
# Everything but main(): what unit tests and fuzz targets link.
LIBOBJ := $(filter-out $(O)/$(MAIN:.c=.o),$(OBJ))

.PHONY: all
all: $(O)/runsc

include $(wildcard sentry/mm/vdso/vdso.mk)
include $(wildcard tests/tests.mk bench/bench.mk)

$(O)/runsc: $(OBJ) lib/sections.lds
	$(CC) $(LDMODE) $(LDHARDEN) -pthread -o $@ $(OBJ) $(LIBS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(O)/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# What `runsc --version` tells: the last tag vX.Y.Z and how far we are from it.  Where git knows of
# none it is this version, as yet without a tag.
VERSION_DEFAULT := 0.1.0
VERSION = $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null)),\
	$(VERSION_DEFAULT))
COMMIT = $(or $(shell git describe --always --exclude '*' --dirty 2>/dev/null),unknown)
VERSION_H := $(O)/gen/runsc-cli/version.h

.PHONY: FORCE
$(VERSION_H): FORCE
	@mkdir -p $(@D)
	@printf '#define RUNSC_VERSION "%s"\n#define RUNSC_COMMIT "%s"\n' '$(VERSION)' '$(COMMIT)' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(O)/runsc-cli/version.o: $(VERSION_H)

# Compiles (only) what lies below D: `make objs D=sentry/vfs`.
.PHONY: objs
objs: $(filter $(O)/$(D)/%,$(OBJ))

# --- for people on a fresh machine (as root) ---

DEPS := gcc make libc6-dev libseccomp-dev libjansson-dev libcapstone-dev python3 busybox-static \
	debootstrap procps iproute2 ethtool util-linux diffutils ca-certificates clang clang-format clang-tidy
# For `make libfuzzer` alone: `make deps DEPS='$(FUZZ_DEPS)'`, or by apt-get.
FUZZ_DEPS := libclang-rt-14-dev

# Installs what building and testing need, on Debian 12.
.PHONY: deps
deps:
	@missing=""; for p in $(DEPS); do \
		dpkg-query -W -f='$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

# Builds, makes a bundle from busybox and shows a container from inside.
.PHONY: run
run: deps
	$(MAKE) --no-print-directory -j$$(nproc) $(O)/runsc
	python3 -B tests/demo.py $(O)/runsc

.PHONY: help
help:
	@echo "make             build $(O)/runsc      make run      build and show a container from inside"
	@echo "make check       all tests            make deps     install what is needed (Debian 12)"
	@echo "make quick       the first signal, in half a minute of a warm build"
	@echo "make unit T=x    unit tests named x   make guest T=x  guest programs, natively and sandboxed"
	@echo "make cli         command line tests   make bench    figures beside native, runc and gVisor"
	@echo "make bench-programs  whole programs beside native, runc and gVisor"
	@echo "make check-deep  slower tests: data races (make tsan, tsan-unit), lock order, a poor host, ..."
	@echo "make SAN=asan, SAN=tsan, DEBUG=1, CC=clang      build variants"

.PHONY: clean
clean:
	rm -rf build build-*

-include $(OBJ:.o=.d)
