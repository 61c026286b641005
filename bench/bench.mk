# Figures beside native and, where installed, runc and gVisor's runsc (all as root).
#
#   make bench              system calls, memory, start-up: bench/run.py
#   make bench-programs     python, gcc, tar, git, redis: bench/programs.py
#   make bench-network      TCP and UDP over a veth pair: bench/network.py
#   make bench-report       checks of the tables and plots (part of make check)
#
# Tables and plots land in $(O)/bench.  BENCH_FLAGS is passed on, for instance --rounds=9,
# --platforms=systrap, or --readme, which puts them in place in README.md and docs/.
CHECKS += bench-report
BENCH_ROOTFS ?= /var/cache/runsc-test/bookworm-bench
BENCH = python3 -B bench/$(1).py --runsc $(O)/runsc --save $(O)/bench/$(1).json \
	--markdown $(O)/bench/$(1).md --svg $(O)/bench/$(1).svg

.PHONY: bench bench-programs bench-network bench-report
bench: $(O)/runsc $(O)/bench/microbench
	$(call BENCH,run) --bin $(O)/bench/microbench $(BENCH_FLAGS)

bench-programs: $(O)/runsc
	@mkdir -p $(O)/bench
	@why=$$(tests/workloads/rootfs.sh $(BENCH_ROOTFS) git redis-server redis-tools); \
	$(call BENCH,programs) --debian $(BENCH_ROOTFS) --why-no-debian "$$why" $(BENCH_FLAGS)

bench-network: $(O)/runsc $(O)/bench/netbench
	@mkdir -p $(O)/bench
	$(call BENCH,network) --bin $(O)/bench/netbench --rootfs $(NET_ROOTFS) $(BENCH_FLAGS)

bench-report:
	@python3 -B bench/report_test.py

$(O)/bench/microbench: bench/microbench.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -pthread -static $(WARN) -Wno-unused-result -o $@ $<

$(O)/bench/netbench: bench/netbench.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -static $(WARN) -o $@ $<
