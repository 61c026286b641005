/*
 * Keys: add_key(2), request_key(2), keyctl(2) with any names, payloads and ids.
 *
 * Input: calls.  An id is one that was returned before, one of the special ones, or any.  A key's
 * description parses as keyctl(1) parses it, what is read is what was written, and keyrings that
 * are cleared leave nothing.
 */
#include <linux/keyctl.h>
#include <sys/syscall.h>

#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"
#include "tests/fuzz/env.h"

#define TYPE ENV_MEM
#define DESC (ENV_MEM + 0x100)
#define DATA (ENV_MEM + 0x2000)
#define BUF (ENV_MEM + 0x4000)
#define BUF_LEN 0x2000u
#define CALLS_MAX 40
#define IDS 16

static const char *const types[] = {"user", "keyring", "logon", "big_key", ".x", "none", "",
	"asymmetric"};
static int32_t ids[IDS];
static unsigned nids;

static int32_t some_id(struct fuzz_in *in)
{
	uint8_t which = fuzz_u8(in);

	if (which < IDS)
		return ids[which];
	return which < 32 ? -(which - IDS) : which == 255 ? (int32_t)fuzz_u32(in) : which;
}

static void note_id(long id)
{
	if (id > 0)
		ids[nids++ % IDS] = (int32_t)id;
}

static void put_type(struct fuzz_in *in)
{
	const char *s = types[fuzz_u8(in) % ARRAY_LEN(types)];

	env_put(TYPE, s, strlen(s) + 1);
}

/* A string of at most 8 KiB: with its NUL or without. */
static void put_desc(struct fuzz_in *in)
{
	static char s[0x1800];
	uint8_t n = fuzz_u8(in);
	size_t len = n == 255 ? sizeof(s) - 1 : n % 32;

	memset(s, 'x', sizeof(s));
	(void)fuzz_take(in, s, len > 255 ? 8 : len);
	if (len > 255)
		memset(s + 8, 'x', len - 8);
	s[len] = 0;
	env_put(DESC, s, len + 1);
}

static size_t put_data(struct fuzz_in *in)
{
	uint8_t data[64];
	size_t n = fuzz_u8(in) % sizeof(data);

	fuzz_take(in, data, n);
	env_put(DATA, data, n);
	return n;
}

static long keyctl(long cmd, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return env_call(SYS_keyctl, (uint64_t)cmd, a, b, c, d, 0);
}

static void add(struct fuzz_in *in)
{
	put_type(in);
	put_desc(in);
	size_t n = put_data(in);
	long id = ENV_CALL(SYS_add_key, TYPE, fuzz_u8(in) & 1 ? 0 : DESC, DATA, n,
		(int64_t)some_id(in));

	note_id(id);
	if (id <= 0)
		return;
	uint8_t was[64], back[64];
	long r = keyctl(KEYCTL_READ, (uint64_t)id, BUF, BUF_LEN, 0);

	if (r == (long)n && n) { /* of a keyring it is something else */
		char type[8];

		env_get(TYPE, type, sizeof(type));
		env_get(DATA, was, n);
		env_get(BUF, back, n);
		must(strcmp(type, "user") || !memcmp(was, back, n), "another payload");
	}
}

static void describe(int32_t id)
{
	static char s[BUF_LEN];
	long n = keyctl(KEYCTL_DESCRIBE, (uint32_t)id, BUF, BUF_LEN, 0);
	int uid, gid, used = 0;
	unsigned perm;
	char type[32];

	if (n <= 0)
		return;
	must((size_t)n <= sizeof(s), "too long a description");
	env_get(BUF, s, (size_t)n);
	must(s[n - 1] == 0 && strlen(s) == (size_t)n - 1, "no string");
	must(sscanf(s, "%31[^;];%d;%d;%x;%n", type, &uid, &gid, &perm, &used) == 4 && used,
		"it does not parse");
}

static void one_call(struct fuzz_in *in)
{
	uint8_t what = fuzz_u8(in);
	int32_t id;

	if (what < 64) {
		add(in);
		return;
	}
	id = some_id(in);
	switch (what % 12) {
	case 0:
		put_type(in);
		put_desc(in);
		note_id(ENV_CALL(SYS_request_key, TYPE, DESC, what & 32 ? DATA : 0, (int64_t)id));
		break;
	case 1:
		note_id(keyctl(KEYCTL_GET_KEYRING_ID, (uint32_t)id, what & 32, 0, 0));
		break;
	case 2:
		put_desc(in);
		note_id(keyctl(KEYCTL_JOIN_SESSION_KEYRING, what & 32 ? DESC : 0, 0, 0, 0));
		break;
	case 3:
		(void)keyctl(KEYCTL_UPDATE, (uint32_t)id, DATA, put_data(in), 0);
		break;
	case 4:
		describe(id);
		break;
	case 5:
		(void)keyctl(KEYCTL_LINK, (uint32_t)id, (uint32_t)some_id(in), 0, 0);
		break;
	case 6:
		(void)keyctl(KEYCTL_UNLINK, (uint32_t)id, (uint32_t)some_id(in), 0, 0);
		break;
	case 7:
		put_type(in);
		put_desc(in);
		note_id(keyctl(KEYCTL_SEARCH, (uint32_t)id, TYPE, DESC, (uint32_t)some_id(in)));
		break;
	case 8:
		(void)keyctl(what & 32 ? KEYCTL_REVOKE : KEYCTL_INVALIDATE, (uint32_t)id, 0, 0, 0);
		break;
	case 9:
		(void)keyctl(KEYCTL_SETPERM, (uint32_t)id, fuzz_u32(in), 0, 0);
		break;
	case 10:
		(void)keyctl(KEYCTL_READ, (uint32_t)id, BUF, fuzz_u8(in), 0);
		break;
	case 11: /* every other, with what is there */
		(void)keyctl(fuzz_u8(in), (uint32_t)id, fuzz_u32(in), BUF, 16);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};

	(void)env_task();
	env_reset();
	memset(ids, 0, sizeof(ids));
	nids = 0;
	for (int i = 0; i < CALLS_MAX && in.n; i++)
		one_call(&in);
	for (int32_t ring = -5; ring < 0; ring++)
		(void)keyctl(KEYCTL_CLEAR, (uint32_t)ring, 0, 0, 0);
	(void)keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
	env_reset();
	env_check_leaks(100000); /* a revoked keyring stays until its time has come */
	return 0;
}

const char *const fuzz_tokens[] = {"_ses", "a:b", ".", "\xff", "\xfd", NULL};
