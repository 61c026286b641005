# Stress: `make stress` (10 s a platform), by hand `make stress STRESS_SECONDS=60 STRESS_SEED=7`.
CHECKS += stress
STRESS_SECONDS ?= 10
STRESS_SEED ?= 1

.PHONY: stress
stress: $(O)/runsc $(O)/tests/stress/stress
	PYTHONDONTWRITEBYTECODE=1 python3 tests/stress/run.py --runsc $(O)/runsc --bin $(O)/tests/stress \
		--seconds $(STRESS_SECONDS) --seed $(STRESS_SEED)

# A guest: neither the sanitizers nor the hardening of the sentry.
$(O)/tests/stress/stress: tests/stress/stress.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O1 -g -pthread -static $(WARN) -o $@ $<
