/* Memory: copies on write, shared mappings, moving, /proc/self/maps. */
#include "stress.h"

#include <fcntl.h>

static void do_cow(void)
{
	size_t n = (1 + rnd_below(64)) * PAGE;
	uint64_t v = rnd();
	uint64_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
		(rnd() % 2 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED, n);
	for (size_t i = 0; i < n / 8; i += 64) {
		CHECK(p[i] == 0, p[i]);
		p[i] = v + i;
	}
	pid_t c = fork();
	if (c == 0) {
		for (size_t i = 0; i < n / 8; i += 64)
			if (p[i] != v + i)
				_exit(1);
		p[0] = v;
		_exit(0);
	}
	CHECK(c > 0, c);
	if (rnd() % 2)
		mprotect(p, n, PROT_READ);
	wait_for(c, 0);
	for (size_t i = 0; i < n / 8; i += 64)
		CHECK(p[i] == v + i, i);
	munmap(p, n);
}

static void fill(uint64_t *p, size_t n, uint64_t v)
{
	for (size_t i = 0; i < n / 8; i += 256)
		p[i] = v + i;
}

static void check_filled(const uint64_t *p, size_t n, uint64_t v)
{
	for (size_t i = 0; i < n / 8; i += 256)
		CHECK(p[i] == v + i, i);
}

static void do_mremap(void)
{
	size_t n = (2 + rnd_below(40)) * PAGE, more = n + rnd_below(60) * PAGE;
	uint64_t v = rnd();
	uint64_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
		(rnd() % 2 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED, n);
	fill(p, n, v);
	p = mremap(p, n, more, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED, more);
	check_filled(p, n, v);
	char *to = mmap(NULL, more + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(to != MAP_FAILED, more);
	p = mremap(p, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(p == (void *)to, n);
	check_filled(p, n, v);
	p = mremap(p, n, PAGE, 0);
	CHECK(p == (void *)to, n);
	check_filled(p, PAGE, v);
	munmap(to, more + PAGE);
}

/* Processes and threads count in one page. */
static uint64_t *shared;

static void counts(long arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++)
		__atomic_add_fetch(&shared[i % 8 * 64], 1, __ATOMIC_SEQ_CST);
}

static void do_shared(void)
{
	int fd = memfd_create("shared", MFD_CLOEXEC), n = 3;
	uint64_t total = 0;
	pid_t p[3];
	CHECK(ftruncate(fd, PAGE) == 0, fd);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(shared != MAP_FAILED, fd);
	for (int i = 0; i < n; i++) {
		p[i] = fork();
		if (p[i] == 0) {
			in_threads(2, counts);
			_exit(0);
		}
		CHECK(p[i] > 0, p[i]);
	}
	counts(0);
	for (int i = 0; i < n; i++)
		wait_for(p[i], 0);
	for (int i = 0; i < 8; i++) {
		uint64_t v = 0;
		CHECK(pread(fd, &v, 8, i * 512) == 8, i);
		total += v;
	}
	CHECK(total == 500 * (2 * (uint64_t)n + 1), total);
	munmap(shared, PAGE);
	close(fd);
}

/* --- /proc/self/maps --- */

static int mapping;

static void *maps_and_unmaps(void *arg)
{
	while (__atomic_load_n(&mapping, __ATOMIC_SEQ_CST)) {
		char *p = mmap(NULL, 9 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
		if (p == MAP_FAILED)
			continue;
		p[PAGE] = 1;
		mprotect(p + 2 * PAGE, PAGE, PROT_READ);
		munmap(p + 4 * PAGE, PAGE);
		munmap(p, 9 * PAGE);
	}
	return arg;
}

static void check_maps(void)
{
	unsigned long start, end, last = 0;
	char line[512], perms[8];
	FILE *f = fopen("/proc/self/maps", "re");
	CHECK(f, 0);
	while (fgets(line, sizeof(line), f)) {
		int n = sscanf(line, "%lx-%lx %7s", &start, &end, perms);
		CHECK(n == 3, n);
		CHECK(strlen(perms) == 4, n);
		CHECK(start < end, start);
		CHECK(start >= last, start);
		CHECK(end <= 0x7ffffffff000 || strstr(line, "[vsyscall]"), end);
		last = end;
	}
	fclose(f);
}

static void do_maps(void)
{
	pthread_t t[2];
	mapping = 1;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, maps_and_unmaps, NULL) == 0, i);
	for (int i = 0; i < 5; i++)
		check_maps();
	__atomic_store_n(&mapping, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

/* Faults of several threads in one range, and the range taken away and given back under them. */
static char *field;

static void touches(long arg)
{
	for (int i = 0; i < 64; i++) {
		char *p = field + (size_t)((i * 7 + (int)arg * 13) % 64) * PAGE + 8 * (size_t)arg;
		*p = (char)(arg + 1);
		if (*p != (char)(arg + 1) && *p != 0) /* MADV_DONTNEED came in between */
			fail("a write got lost", *p);
		if (i % 16 == 0)
			madvise(field + 32 * PAGE, 8 * PAGE, MADV_DONTNEED);
	}
}

static void do_faults(void)
{
	field = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(field != MAP_FAILED, 0);
	in_threads(4, touches);
	munmap(field, 64 * PAGE);
}

const struct work work_memory[] = {{"cow", do_cow}, {"mremap", do_mremap}, {"shared", do_shared},
	{"maps", do_maps}, {"faults", do_faults}, {NULL}};
