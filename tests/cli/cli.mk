# make cli: the command line against real containers (needs root and busybox).
CHECKS += cli
.PHONY: cli
cli: $(O)/runsc
	PYTHONDONTWRITEBYTECODE=1 python3 tests/cli/run.py $(O)/runsc
