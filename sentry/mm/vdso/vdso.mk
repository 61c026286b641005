# The vDSO image: guest code, so none of the sentry's flags apply.

VDSO_DIR := sentry/mm/vdso/guest
VDSO_FLAGS := -std=gnu17 -O2 -g -I. -fPIC -ffreestanding -fvisibility=hidden -fno-stack-protector \
	-fno-plt -fasynchronous-unwind-tables -mgeneral-regs-only -fcf-protection=none \
	-fomit-frame-pointer -Wall -Wextra -Werror -U_FORTIFY_SOURCE
VDSO_LDFLAGS := -shared -nostdlib -Wl,-soname=linux-vdso.so.1 -Wl,--hash-style=both \
	-Wl,-Bsymbolic -Wl,--build-id=sha1 -Wl,--no-undefined -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,--eh-frame-hdr -Wl,-T,$(VDSO_DIR)/vdso.lds -Wl,-s

$(O)/gen/vdso.so: $(VDSO_DIR)/vdso.c $(VDSO_DIR)/vdso.lds sentry/time/vvar.h
	@mkdir -p $(@D)
	$(CC) $(VDSO_FLAGS) $(VDSO_LDFLAGS) -o $@ $<

$(O)/sentry/mm/vdso/blob.o: $(O)/gen/vdso.so
