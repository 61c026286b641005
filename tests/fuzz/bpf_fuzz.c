/*
 * seccomp filters: what the checker accepts never reads or jumps outside, ends, and gives what a
 * plain interpreter gives; a call that a program "always allows" is allowed with any arguments.
 *
 * Input: struct seccomp_data, then instructions.  Where the host lets us ask it without
 * consequences (see host_accepts), it has to accept the same programs.
 */
#include "tests/fuzz/driver.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/core/arena.h"
#include "sentry/task/seccomp/seccomp_priv.h"

#define INSNS_MAX 600

/* --- a plain interpreter, which trusts nothing --- */

struct machine {
	const struct abi_sock_filter *p;
	uint32_t n, pc, a, x, mem[BPF_MEMWORDS], data[sizeof(struct abi_seccomp_data) / 4];
	uint16_t stored;
};

static uint32_t load(struct machine *m, const struct abi_sock_filter *i)
{
	switch (BPF_MODE(i->code)) {
	case BPF_ABS:
		must(i->k % 4 == 0 && i->k / 4 < ARRAY_LEN(m->data), "data outside");
		return m->data[i->k / 4];
	case BPF_IMM:
		return i->k;
	case BPF_LEN:
		return sizeof(struct abi_seccomp_data);
	case BPF_MEM:
		must(i->k < BPF_MEMWORDS && (m->stored >> i->k & 1), "scratch never written");
		return m->mem[i->k];
	default:
		must(false, "addressing mode");
		return 0;
	}
}

static void store(struct machine *m, uint32_t k, uint32_t v)
{
	must(k < BPF_MEMWORDS, "scratch outside");
	m->mem[k] = v;
	m->stored |= (uint16_t)(1u << k);
}

static bool compute(struct machine *m, uint16_t code, uint32_t b)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		m->a += b;
		return true;
	case BPF_SUB:
		m->a -= b;
		return true;
	case BPF_MUL:
		m->a *= b;
		return true;
	case BPF_DIV:
		if (b)
			m->a /= b;
		return b != 0;
	case BPF_AND:
		m->a &= b;
		return true;
	case BPF_OR:
		m->a |= b;
		return true;
	case BPF_XOR:
		m->a ^= b;
		return true;
	case BPF_LSH:
		m->a <<= b % 32;
		return true;
	case BPF_RSH:
		m->a >>= b % 32;
		return true;
	default:
		must(code == (BPF_ALU | BPF_NEG), "operation");
		m->a = 0 - m->a;
		return true;
	}
}

static void jump(struct machine *m, const struct abi_sock_filter *i, uint32_t b)
{
	bool yes = false;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		m->pc += i->k;
		return;
	case BPF_JEQ:
		yes = m->a == b;
		break;
	case BPF_JGT:
		yes = m->a > b;
		break;
	case BPF_JGE:
		yes = m->a >= b;
		break;
	case BPF_JSET:
		yes = m->a & b;
		break;
	default:
		must(false, "jump");
	}
	m->pc += yes ? i->jt : i->jf;
}

static uint32_t run(struct machine *m)
{
	for (uint32_t steps = 0;; steps++) {
		must(m->pc < m->n && steps < m->n, "left the program");
		const struct abi_sock_filter *i = &m->p[m->pc++];
		uint32_t b = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			m->a = load(m, i);
			break;
		case BPF_LDX:
			m->x = load(m, i);
			break;
		case BPF_ST:
			store(m, i->k, m->a);
			break;
		case BPF_STX:
			store(m, i->k, m->x);
			break;
		case BPF_ALU:
			if (!compute(m, i->code, b))
				return 0;
			break;
		case BPF_JMP:
			jump(m, i, b);
			break;
		case BPF_RET:
			return BPF_RVAL(i->code) == BPF_A ? m->a : i->k;
		case BPF_MISC:
			if (BPF_MISCOP(i->code) == BPF_TAX)
				m->x = m->a;
			else
				m->a = m->x;
		}
	}
}

/* --- the host's opinion --- */

/*
 * Asked for a listener, the host checks the program first and looks for a descriptor then; we let
 * it find none.  1: accepted, 0: refused, -1: it cannot be asked.
 */
static int host_accepts(const struct abi_sock_filter *p, uint32_t n)
{
	struct {
		unsigned short len;
		const void *filter;
	} prog = {(unsigned short)n, p};
	struct rlimit was, none;
	int err;

	if (getrlimit(RLIMIT_NOFILE, &was) < 0)
		return -1;
	none = was;
	none.rlim_cur = 0;
	if (setrlimit(RLIMIT_NOFILE, &none) < 0)
		return -1;
	err = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		      &prog) < 0
		      ? errno
		      : 0;
	setrlimit(RLIMIT_NOFILE, &was);
	must(err, "the host took a filter");
	return err == EMFILE ? 1 : err == EINVAL ? 0 : -1;
}

static bool host_can_be_asked(void)
{
	static const struct abi_sock_filter good = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
	static const struct abi_sock_filter bad = {0xffff, 0, 0, 0};
	static int can = -1;

	if (can < 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		can = host_accepts(&good, 1) == 1 && host_accepts(&bad, 1) == 0;
	}
	return can;
}

/* --- */

static void check_allows(const struct abi_sock_filter *p, const struct abi_seccomp_data *seed)
{
	struct abi_seccomp_data d = *seed;

	for (int32_t nr = -1; nr < 8; nr++) {
		d.nr = nr < 0 ? seed->nr : nr;
		d.arch = AUDIT_ARCH_X86_64;
		if (seccomp_bpf_allows(p, d.nr, d.arch))
			must(seccomp_bpf_run(p, &d) == SECCOMP_RET_ALLOW, "allowed, and not");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	struct abi_seccomp_data d;
	struct abi_sock_filter *p;
	static bool ready;
	uint32_t n;
	int err;

	if (!ready && arena_init())
		abort();
	ready = true;
	fuzz_take(&in, &d, sizeof(d));
	n = (uint32_t)(in.n / sizeof(*p));
	if (n > INSNS_MAX)
		return 0;
	/* Of its own size: what reads beyond is caught by ASan. */
	p = malloc(n * sizeof(*p) + !n);
	fuzz_take(&in, p, n * sizeof(*p));
	err = seccomp_bpf_check(p, n);
	must(err == 0 || err == -EINVAL, "odd errno");
	if (n && host_can_be_asked())
		must(host_accepts(p, n) == !err, "the host thinks otherwise");
	if (!err) {
		struct machine m = {.p = p, .n = n};

		memcpy(m.data, &d, sizeof(d));
		must(run(&m) == seccomp_bpf_run(p, &d), "another result");
		check_allows(p, &d);
	}
	free(p);
	return 0;
}

const char *const fuzz_tokens[] = {"\x20", "\x06", "\x15", "\x02", "\x61", "\x34", "\xff\x7f",
	NULL};

#ifndef LIBFUZZER
/* An instruction becomes another known one, with operands near the limits. */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	static const uint16_t codes[] = {0x20, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x07,
		0x87, 0x06, 0x16, 0x84, 0x05, 0x04, 0x0c, 0x34, 0x3c, 0x64, 0x7c, 0xa4, 0x15, 0x1d,
		0x25, 0x35, 0x45, 0x28, 0x94};
	static const uint32_t ks[] = {0, 1, 3, 4, 15, 16, 31, 32, 60, 64, 0x7fff0000, UINT32_MAX};
	size_t head = sizeof(struct abi_seccomp_data), n, i;
	struct abi_sock_filter f;

	if (in->size < head + sizeof(f))
		return 0;
	out->size = in->size;
	out->data = malloc(in->size);
	memcpy(out->data, in->data, in->size);
	n = (in->size - head) / sizeof(f);
	for (size_t times = 1 + fuzz_below(3); times; times--) {
		i = fuzz_below(n);
		f = (struct abi_sock_filter){codes[fuzz_below(ARRAY_LEN(codes))],
			(uint8_t)fuzz_below(n - i + 1), (uint8_t)fuzz_below(n - i + 1),
			ks[fuzz_below(ARRAY_LEN(ks))]};
		memcpy(out->data + head + i * sizeof(f), &f, sizeof(f));
	}
	return 1;
}
#endif
