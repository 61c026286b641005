# Guest programs: tests/sys/X.c, static, run natively and in the sandbox.
#
#   make guest                 all of them            make guest T=pipe     one program
#   make guest P=native        only natively          P=ptrace: only there
#   make guest P=systrap:eager on systrap, every system call patched at once
#   make poorhost              some of them as on a host without FSGSBASE, BMI2 and a steady TSC
#   make poorhost-all          all of them so, on both platforms (in make check-deep)
CHECKS += guest
P ?= native,systrap,systrap:eager,ptrace

GUEST_SRC := $(wildcard tests/sys/*.c)
GUEST := $(GUEST_SRC:tests/sys/%.c=$(O)/tests/sys/%)
GUEST_CFLAGS := -std=gnu17 -O1 -g -fno-strict-aliasing -pthread -static $(WARN) \
	-Wno-unused-result -Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds -Wno-format-truncation -Wno-restrict

.PHONY: guest guest-programs
guest-programs: $(GUEST)
guest: $(O)/runsc guest-programs
	PYTHONDONTWRITEBYTECODE=1 python3 tests/sys/run.py --runsc $(O)/runsc --bin $(O)/tests/sys \
		--platform $(P) $(T)

# With neither sanitizers nor the hardening of the sentry: they are guests.
$(O)/tests/sys/%: tests/sys/%.c tests/sys/test.h tests/sys/inet.h tests/sys/netlink.h
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(GUEST_CFLAGS) -o $@ $< -lm

# As on a poor host: those programs that registers, signals and switches matter to.
CHECKS += poorhost
DEEP_CHECKS += poorhost-all
.PHONY: poorhost poorhost-all
POORHOST_T ?= hostile_stub patch signal threads fork sigfault
poorhost:
	@$(MAKE) --no-print-directory guest P=systrap:poorhost,systrap:pooreager T="$(POORHOST_T)"

poorhost-all:
	@$(MAKE) --no-print-directory guest P=systrap:poorhost,systrap:pooreager,ptrace:poorhost T=

# The same guest programs against a sentry and gofer with address and undefined-behaviour sanitizers.
CHECKS += asan
.PHONY: asan
ASAN_P ?= systrap:eager
asan:
	$(MAKE) --no-print-directory SAN=asan O=$(O)-asan guest P=$(ASAN_P)

# And against a sentry with ThreadSanitizer: programs in which tasks meet, for data races.
# `make tsan TSAN_T=` runs all of them.
DEEP_CHECKS += tsan
.PHONY: tsan
TSAN_P ?= systrap
TSAN_T ?= fork threads futex pipe poll signal exec ptrace jobctl unix_scm unix_stream unix_dgram \
	unix_oob unix_stress tcp tcp_options udp udp_cmsg udp_options raw ping packet netlink rtnetlink netns \
	sock_diag netdevice multicast inet_bind ip_route errqueue procnet
tsan: guest-programs
	$(MAKE) --no-print-directory SAN=tsan O=$(O)-tsan all
	@python3 tests/tsan.py --runsc $(O)-tsan/runsc --bin $(O)/tests/sys --platform $(TSAN_P) $(TSAN_T)

# And against a sentry that checks the order of locks, and that who claims to hold one does.
DEEP_CHECKS += lockorder
.PHONY: lockorder
LOCKORDER_P ?= systrap
lockorder:
	$(MAKE) --no-print-directory DEBUG=1 O=$(O)-debug unit guest P=$(LOCKORDER_P)
