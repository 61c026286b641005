# Programs over a veth pair, natively and through the sandbox's own network stack.
#
#   make net            all but the slow ones    make net T="curl iperf3"   those so named
#   make net SLOW=1     with the slow ones
#   make net-rootfs     the Debian root file system that they use, kept in NET_ROOTFS
CHECKS += net
NET_PLATFORM ?= systrap
NET_ROOTFS ?= /var/cache/runsc-test/net
NET_PACKAGES := iperf3 wrk nginx-light curl redis-server redis-tools openssh-server openssh-client \
	rsync postgresql tcpdump iproute2 iputils-ping netcat-openbsd dnsmasq-base dnsutils nodejs \
	libpython3.11-testsuite
# What cases compile with, where it is there; large: NET_MORE="golang-go openjdk-17-jdk-headless".
NET_MORE ?=

.PHONY: net net-rootfs
net-rootfs:
	tests/workloads/rootfs.sh $(NET_ROOTFS) $(NET_PACKAGES) $(NET_MORE)

net: $(O)/runsc $(O)/tests/net/cable $(O)/tests/net/flood
	@why=$$(tests/workloads/rootfs.sh $(NET_ROOTFS) $(NET_PACKAGES) $(NET_MORE)); \
	PYTHONDONTWRITEBYTECODE=1 python3 tests/net/run.py --runsc $(O)/runsc --bin $(O)/tests/net \
		--rootfs $(NET_ROOTFS) --why-no-rootfs "$$why" --platform $(NET_PLATFORM) \
		$(if $(SLOW),--slow) $(T)

$(O)/tests/net/cable $(O)/tests/net/flood: $(O)/%: %.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(GUEST_CFLAGS) -o $@ $<
