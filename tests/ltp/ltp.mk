# The Linux Test Project's system calls, natively and inside; by hand, it fetches nothing itself.
#
#   make ltp LTP=/opt/ltp                   an installed tree of it: all of runtest/syscalls
#   make ltp LTP=/opt/ltp T="read01 read02" P=systrap
#   make ltp-runner                         checks of the runner itself (part of make check)
#
# LTP_ROOTFS has the libraries that LTP was linked with: by default the Debian one of workloads.
LTP ?=
LTP_ROOTFS ?= $(DEBIAN_ROOTFS)
LTP_P ?= systrap,ptrace
LTP_FLAGS ?=
CHECKS += ltp-runner

.PHONY: ltp ltp-runner
ltp: $(O)/runsc
	@[ -n "$(LTP)" ] || { echo "FAIL ltp: where is it? make ltp LTP=DIR"; exit 1; }
	@mkdir -p $(O)/ltp
	@[ -e $(LTP_ROOTFS)/bin/sh ] || tests/workloads/rootfs.sh $(LTP_ROOTFS)
	python3 -B tests/ltp/run.py --runsc $(O)/runsc --ltp $(LTP) --rootfs $(LTP_ROOTFS) \
		--platform $(if $(filter command line,$(origin P)),$(P),$(LTP_P)) \
		--json $(O)/ltp/results.json $(LTP_FLAGS) $(T)

ltp-runner: $(O)/runsc
	@python3 -B tests/ltp/run_test.py $(O)/runsc
