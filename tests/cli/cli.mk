# make cli: the command line against real containers (needs root and busybox).
# make cli T=exec: those tests with that in their name.
CHECKS += cli
.PHONY: cli
cli: $(O)/runsc $(O)/tests/cli/waits $(O)/tests/cli/uds $(O)/tests/cli/shared
	PYTHONDONTWRITEBYTECODE=1 WAITS=$(abspath $(O))/tests/cli/waits \
		UDS=$(abspath $(O))/tests/cli/uds SHARED=$(abspath $(O))/tests/cli/shared \
		python3 tests/cli/run.py $(if $(T),-k "$(T)") $(O)/runsc

$(O)/tests/cli/%: tests/cli/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(GUEST_CFLAGS) -o $@ $<
