# Stress: a minute on the default platform, one there as on a poor host (make poorhost), and 10 s on
# each other one; by hand
# `make stress STRESS_SECONDS=600 STRESS_SEED=7 [STRESS_PLATFORM=ptrace|systrap:poorhost]`.
CHECKS += stress
STRESS_SECONDS ?= 60
STRESS_OTHERS ?= 10
STRESS_SEED ?= 1
STRESS_PLATFORM ?=

.PHONY: stress
stress: $(O)/runsc $(O)/tests/stress/stress
	PYTHONDONTWRITEBYTECODE=1 python3 tests/stress/run.py --runsc $(O)/runsc --bin $(O)/tests/stress \
		--seconds $(STRESS_SECONDS) --others $(STRESS_OTHERS) --seed $(STRESS_SEED) \
		$(if $(STRESS_PLATFORM),--platform $(STRESS_PLATFORM))

# A guest: neither the sanitizers nor the hardening of the sentry.
$(O)/tests/stress/stress: $(wildcard tests/stress/*.[chS])
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O1 -g -pthread -static -fcf-protection=none $(WARN) -o $@ $(filter %.c %.S,$^)
