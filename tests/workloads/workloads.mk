# Whole programs in the sandbox, compared with native runs.
#
#   make workloads             all             make workloads W=python   one script
#   make debian-rootfs         the Debian root file system they use, kept in DEBIAN_ROOTFS
CHECKS += workloads
DEBIAN_ROOTFS ?= /var/cache/runsc-test/bookworm

.PHONY: workloads debian-rootfs
debian-rootfs:
	tests/workloads/rootfs.sh $(DEBIAN_ROOTFS)

workloads: $(O)/runsc
	@why=$$(tests/workloads/rootfs.sh $(DEBIAN_ROOTFS)); \
	PYTHONDONTWRITEBYTECODE=1 python3 tests/workloads/run.py --runsc $(O)/runsc \
		--debian $(DEBIAN_ROOTFS) --why-no-debian "$$why" $(W)
