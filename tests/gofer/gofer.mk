# The gofer: tests/gofer/X_test.c are programs like unit tests, each starts real gofers, sealed.
#
#   make gofer-test                        all of them
#   make gofer-test GOFER_RACE_SECONDS=60  the race test for a minute
#   make gofer-rtt                         measures round trips
CHECKS += gofer-test

GOFER_SRC := $(wildcard tests/gofer/*_test.c) tests/gofer/rtt.c
GOFER_BIN := $(GOFER_SRC:%.c=$(O)/%)
GOFER_TESTS := $(filter %_test,$(GOFER_BIN))
export GOFER_RACE_SECONDS

.PHONY: gofer-test gofer-rtt
gofer-test: $(GOFER_TESTS)
	$(call some,$(GOFER_TESTS),tests/gofer has no test)
	@status=0; for t in $(GOFER_TESTS); do \
		echo "== $$(basename $$t)"; timeout 300 $$t || { status=1; echo "FAIL $$t"; }; \
	done; \
	echo "== ops_test in a user namespace"; \
	GOFER_TEST_USERNS=1 $(O)/tests/gofer/ops_test || status=1; \
	exit $$status

gofer-rtt: $(O)/tests/gofer/rtt
	$<

$(O)/tests/gofer/all.a: $(filter $(O)/lib/% $(O)/gofer/%,$(LIBOBJ))
	@mkdir -p $(@D)
	@rm -f $@
	ar rcsT $@ $^

$(filter-out %/takeover_test,$(GOFER_BIN)): $(O)/%: $(O)/%.o $(O)/tests/gofer/all.a
	$(CC) $(LDMODE) $(LDHARDEN) -pthread -o $@ $^ $(LIBS)

# With a sentry.
$(O)/tests/gofer/takeover_test: $(O)/tests/gofer/takeover_test.o $(O)/tests/fuzz/all.a
	$(CC) $(LDMODE) $(LDHARDEN) -pthread -o $@ $^ $(LIBS)

-include $(GOFER_BIN:=.d)
