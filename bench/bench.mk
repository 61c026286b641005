# Figures: `make bench` (as root), beside native and, where installed, runc and gVisor's runsc.
.PHONY: bench
bench: $(O)/runsc $(O)/bench/microbench
	python3 -B bench/run.py --runsc $(O)/runsc --bin $(O)/bench/microbench $(BENCH_FLAGS)

$(O)/bench/microbench: bench/microbench.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -pthread -static $(WARN) -Wno-unused-result -o $@ $<
