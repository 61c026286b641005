/*
 * See coverage.h.  Each object's struct gcov_info is in a section of ours (-fprofile-info-section)
 * instead of being registered by the object; so we do that, and know them all.
 *
 * What is written: for each object the length of its file's name and of its data (uint32_t), the
 * name, the data in the format of a .gcda file.  tests/coverage.py adds it to that.
 */
#ifdef SAN_COV
#include "lib/coverage.h"

#include <fcntl.h>
#include <gcov.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"

/* Of libgcov: what objects call that are not in a section. */
void __gcov_init(struct gcov_info *info);
void __gcov_exit(void);

extern struct gcov_info *const __start_gcov_info[], *const __stop_gcov_info[];

static int fd = -1;

__attribute__((constructor)) static void coverage_register(void)
{
	for (struct gcov_info *const *i = __start_gcov_info; i < __stop_gcov_info; i++)
		__gcov_init(*i);
}

__attribute__((destructor)) static void coverage_exit(void)
{
	if (fd >= 0)
		coverage_write();
	else
		__gcov_exit();
}

void coverage_open(void)
{
	char path[] = COVERAGE_DIR "/XXXXXX";

	fd = mkostemp(path, O_CLOEXEC);
}

/* One object's. */
static struct {
	uint32_t name_len, data_len;
	char bytes[1 << 20];
} out;

static void append(const void *p, uint32_t n)
{
	uint32_t used = out.name_len + out.data_len;

	if (n > sizeof(out.bytes) - used)
		abort();
	memcpy(out.bytes + used, p, n);
}

static void take_name(const char *name, void *arg)
{
	uint32_t n = (uint32_t)strlen(name);

	append(name, n);
	out.name_len = n;
}

static void take_data(const void *p, unsigned int n, void *arg)
{
	append(p, n);
	out.data_len += n;
}

/* For histograms of values, of which there are none. */
static void *no_memory(unsigned int n, void *arg)
{
	abort();
}

void coverage_write(void)
{
	int to = __atomic_exchange_n(&fd, -1, __ATOMIC_SEQ_CST);
	int64_t at = 0;

	if (to < 0)
		return;
	for (struct gcov_info *const *i = __start_gcov_info; i < __stop_gcov_info; i++) {
		out.name_len = out.data_len = 0;
		__gcov_info_to_gcda(*i, take_name, take_data, no_memory, NULL);
		size_t n = 8 + out.name_len + out.data_len;
		/* (The gofer may write(2) to its log only.) */
		if (host_syscall4(SYS_pwrite64, to, &out, n, at) != (long)n)
			break;
		at += (int64_t)n;
	}
	host_close(to);
}
#endif
