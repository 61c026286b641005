/*
 * The file that the sentry shares with stubs: slots of threads, control blocks
 * of keepers, trampolines.  The sentry has all of it mapped; a stub only what is its own.
 * What is given back was unmapped from the stub that had it, or that stub is
 * gone: nobody else can still write there.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/compiler.h"
#include "lib/host_features.h"
#include "lib/hostcall.h"
#include "platform/systrap/systrap_priv.h"

#define SLOTS 32768
#define CTLS 16384
#define CTL_SIZE 0x4000UL
#define CTL_BASE ((uint64_t)SLOTS * SLOT_SIZE)
#define BLOCKS 4096
#define BLOCK_SIZE (4096UL + ST_TRAMP_SIZE)
#define BLOCK_BASE (CTL_BASE + CTLS * CTL_SIZE)
#define FILE_SIZE (BLOCK_BASE + BLOCKS * BLOCK_SIZE)

#define SAME_OFFSET(field, off)                                                                    \
	_Static_assert(offsetof(struct slot_mem, field) == (off), "layout.h and slot_mem differ")
SAME_OFFSET(word, SLOT_WORD);
SAME_OFFSET(kind, SLOT_KIND);
SAME_OFFSET(rax, SLOT_RAX);
SAME_OFFSET(r9, SLOT_R9);
SAME_OFFSET(rsp, SLOT_RSP);
SAME_OFFSET(flags, SLOT_FLAGS);
SAME_OFFSET(r15, SLOT_R15);
SAME_OFFSET(fs, SLOT_FS);
SAME_OFFSET(uc, SLOT_UC);
SAME_OFFSET(signo, SLOT_SIGNO);
SAME_OFFSET(fsgsbase, SLOT_FSGSBASE);
SAME_OFFSET(self, SLOT_SELF);
SAME_OFFSET(magic, SLOT_MAGIC);
SAME_OFFSET(cmd, SLOT_CMD);
SAME_OFFSET(intr, SLOT_INTR);
SAME_OFFSET(yield, SLOT_YIELD);
SAME_OFFSET(new_fs, SLOT_NEW_FS);
SAME_OFFSET(new_gs, SLOT_NEW_GS);
SAME_OFFSET(altstack, SLOT_ALTSTACK);
SAME_OFFSET(tid, SLOT_TID);
_Static_assert(YIELD_SLEEP == PLACE_LEAVE, "layout.h and place.h differ");
_Static_assert(offsetof(struct ctl_mem, xfeatures) == REQ_XFEATURES, "layout.h and ctl_mem differ");
_Static_assert(offsetof(struct ctl_mem, op) == REQ_OPS, "layout.h and ctl_mem differ");
_Static_assert(sizeof(struct req_op) == REQ_OP_SIZE, "layout.h and req_op differ");
_Static_assert(offsetof(struct ctl_mem, ident) == ST_IDENT - ST_REQ, "identities have moved");
_Static_assert(offsetof(struct ctl_mem, done) == ST_DONE - ST_REQ, "the done word has moved");
_Static_assert(sizeof(struct ctl_mem) <= CTL_SIZE, "a control block is too large");

int st_memfd = -1;
bool st_fsgsbase;
uint64_t st_key;

static char *base; /* constant after init */

/* Which pieces are in use.  Low numbers first: few pages of the file stay resident. */
struct pieces {
	struct mutex lock;
	uint64_t *used;
	unsigned int n, first; /* no unused one below */
};

static uint64_t slot_bits[SLOTS / 64], ctl_bits[CTLS / 64], block_bits[BLOCKS / 64];
static struct pieces slots = {MUTEX_INIT(LOCK_NONE), slot_bits, SLOTS, 0};
static struct pieces ctls = {MUTEX_INIT(LOCK_NONE), ctl_bits, CTLS, 0};
static struct pieces blocks = {MUTEX_INIT(LOCK_NONE), block_bits, BLOCKS, 0};

static int piece_alloc(struct pieces *p)
{
	int found = -ENOMEM;

	mutex_lock(&p->lock);
	for (unsigned int w = p->first / 64; w < p->n / 64; w++) {
		if (p->used[w] == ~0ull)
			continue;
		found = (int)(w * 64) + __builtin_ctzll(~p->used[w]);
		p->used[w] |= 1ull << (found % 64);
		p->first = (unsigned int)found + 1;
		break;
	}
	mutex_unlock(&p->lock);
	return found;
}

static void piece_free(struct pieces *p, int i)
{
	mutex_lock(&p->lock);
	p->used[i / 64] &= ~(1ull << (i % 64));
	p->first = MIN(p->first, (unsigned int)i);
	mutex_unlock(&p->lock);
}

int slot_init(void)
{
	long fd = host_syscall2(SYS_memfd_create, "systrap", MFD_CLOEXEC);
	int e;

	if (fd < 0)
		return (int)fd;
	st_memfd = (int)fd;
	e = host_ftruncate(st_memfd, (int64_t)FILE_SIZE);
	if (e < 0)
		return e;
	base = host_mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		st_memfd, 0);
	if (host_is_err(base))
		return (int)(intptr_t)base;
	st_fsgsbase = host_has(HOST_FSGSBASE);
	return host_syscall3(SYS_getrandom, &st_key, sizeof(st_key), 0) == sizeof(st_key) ? 0
											  : -EIO;
}

int slot_alloc(void)
{
	return piece_alloc(&slots);
}

void slot_free(int i)
{
	piece_free(&slots, i);
}

uint64_t slot_off(int i)
{
	return (uint64_t)i * SLOT_SIZE;
}

struct slot_mem *slot_ptr(int i)
{
	return (struct slot_mem *)(base + slot_off(i));
}

int ctl_alloc(void)
{
	return piece_alloc(&ctls);
}

void ctl_free(int i)
{
	piece_free(&ctls, i);
}

uint64_t ctl_off(int i)
{
	return CTL_BASE + (uint64_t)i * CTL_SIZE;
}

struct ctl_mem *ctl_ptr(int i)
{
	return (struct ctl_mem *)(base + ctl_off(i));
}

int block_alloc(void)
{
	return piece_alloc(&blocks);
}

void block_free(int i)
{
	piece_free(&blocks, i);
}

uint64_t block_off(int i)
{
	return BLOCK_BASE + (uint64_t)i * BLOCK_SIZE;
}

char *block_ptr(int i)
{
	return base + block_off(i);
}
