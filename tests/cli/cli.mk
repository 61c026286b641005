# make cli: the command line against real containers (needs root and busybox).
# make cli T=exec: those tests with that in their name.
CHECKS += cli
.PHONY: cli
cli: $(O)/runsc
	PYTHONDONTWRITEBYTECODE=1 python3 tests/cli/run.py $(if $(T),-k "$(T)") $(O)/runsc
