# Fuzz targets: tests/fuzz/X_fuzz.c with its corpus in tests/fuzz/X_corpus (README.md).
#
#   make fuzz               a short run of each (FUZZ_RUNS inputs, the same ones every time)
#   make fuzz FUZZ_SEED=7   other ones      make fuzz T=config   those so named
#   make libfuzzer          build-fuzz/tests/fuzz/X_libfuzzer, by clang, instrumented for coverage
#   make libfuzz T=config   runs one of them for FUZZ_SECONDS and adds what is new to its corpus
CHECKS += fuzz
FUZZ_RUNS ?= 10000
FUZZ_SEED ?= 1
FUZZ_SECONDS ?= 300

FUZZ_SRC := $(wildcard tests/fuzz/*$(T)*_fuzz.c)
FUZZ := $(FUZZ_SRC:%.c=$(O)/%)

.PHONY: fuzz libfuzzer libfuzz libfuzzer-here
fuzz: $(FUZZ)
	$(call some,$(FUZZ),no fuzz target is named so: T=$(T))
	@status=0; for t in $(FUZZ); do \
		name=$$(basename $$t _fuzz); echo "== $${name}_fuzz"; \
		(cd $(O)/tests/fuzz && timeout 600 ./$${name}_fuzz -n $(FUZZ_RUNS) -s $(FUZZ_SEED) \
			$(CURDIR)/tests/fuzz/$${name}_corpus) && echo "ok fuzz/$$name" || \
			{ status=1; echo "FAIL $$t"; }; \
	done; exit $$status

# All objects as an archive: only what a target uses is pulled in.  env.c is a sentry for targets.
$(O)/tests/fuzz/all.a: $(LIBOBJ) $(O)/tests/fuzz/env.o
	@mkdir -p $(@D)
	@rm -f $@
	ar rcsT $@ $^

$(O)/tests/fuzz/%_fuzz: $(O)/tests/fuzz/%_fuzz.o $(O)/tests/fuzz/all.a
	$(CC) $(LDMODE) $(LDHARDEN) -pthread -o $@ $^ $(LIBS)

# The same for libFuzzer: all objects once more, in a tree of their own.
libfuzzer:
	@$(MAKE) --no-print-directory SAN=fuzz CC=clang O=build-fuzz T=$(T) libfuzzer-here

libfuzz: libfuzzer
	$(call some,$(FUZZ),no fuzz target is named so: T=$(T))
	@T=$(T) SECONDS_EACH=$(FUZZ_SECONDS) sh tests/fuzz/libfuzz.sh build-fuzz/tests/fuzz tests/fuzz

libfuzzer-here: $(FUZZ_SRC:%_fuzz.c=$(O)/%_libfuzzer)

$(O)/tests/fuzz/%_libfuzzer: $(O)/tests/fuzz/%_fuzz.o $(O)/tests/fuzz/all.a
	$(CC) $(LDMODE) -fsanitize=fuzzer $(LDHARDEN) -pthread -o $@ $^ $(LIBS)

-include $(FUZZ:=.d) $(O)/tests/fuzz/env.d

# Hostile guests in the sandbox: tests/fuzz/guest.
#
#   make hostile                  HOSTILE_SECONDS of random calls and as many of races, shared by
#                                 root and nobody and by both platforms; and the bombs
#   make hostile HOSTILE="--rounds 20 --seconds 30 --seed 7 race_fuzz"    a long run
#   make tsan-hostile             races on systrap, with a sentry that has ThreadSanitizer
#   make asan-hostile             and with one that has AddressSanitizer; both take HOSTILE too
CHECKS += hostile
HOSTILE_SECONDS ?= 30
HOSTILE_BIN := $(addprefix $(O)/tests/fuzz/guest/,syscall_fuzz race_fuzz bombs net_bombs)
HOSTILE_CFLAGS := -std=gnu17 -O1 -g -pthread -static $(WARN) -Wno-unused-result

.PHONY: hostile
hostile: $(O)/runsc $(HOSTILE_BIN)
	PYTHONDONTWRITEBYTECODE=1 python3 tests/fuzz/sandbox.py --runsc $(O)/runsc \
		--bin $(O)/tests/fuzz/guest --platform systrap,ptrace \
		--seconds $$((($(HOSTILE_SECONDS) + 3) / 4)) $(HOSTILE)

DEEP_CHECKS += asan-hostile tsan-hostile
.PHONY: tsan-hostile asan-hostile
tsan-hostile asan-hostile: %-hostile:
	$(MAKE) --no-print-directory SAN=$* O=$(O)-$* \
		HOSTILE="--platform systrap $(or $(HOSTILE),race_fuzz)" hostile

# They are guests: neither the sanitizers nor the hardening of the sentry.
$(O)/tests/fuzz/guest/syscall_fuzz: tests/fuzz/guest/syscall_fuzz.c tests/fuzz/guest/scenarios.c \
		tests/fuzz/guest/fuzz.h
	@mkdir -p $(@D)
	$(CC) $(HOSTILE_CFLAGS) -o $@ $(filter %.c,$^)

# It takes names and types of system calls from the table.
$(O)/tests/fuzz/guest/race_fuzz: $(wildcard tests/fuzz/guest/race*.[ch]) syscalls/table.def \
		syscalls/sys.h
	@mkdir -p $(@D)
	$(CC) $(HOSTILE_CFLAGS) -I. -o $@ $(filter %.c,$^)

$(O)/tests/fuzz/guest/bombs $(O)/tests/fuzz/guest/net_bombs: $(O)/%: %.c
	@mkdir -p $(@D)
	$(CC) $(HOSTILE_CFLAGS) -o $@ $<
