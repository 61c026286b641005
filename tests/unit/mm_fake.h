/*
 * What the tests of sentry/mem and sentry/mm stand on: a platform that keeps a
 * table of pages per address space, "guest" accesses through it, and files
 * backed by a host file or by memory-file pages.
 */
#ifndef TESTS_UNIT_MM_FAKE_H
#define TESTS_UNIT_MM_FAKE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/platform.h"
#include "sentry/core/arena.h"
#include "sentry/core/ctx.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/mm.h"
#include "sentry/mm/vdso.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/file.h"
#include "sentry/vfs/vfs.h"

/* --- the platform --- */
struct fpage {
	uint64_t page; /* 0: empty, 1: deleted */
	uint64_t off;
	int fd, prot;
};
struct pl_as {
	struct fpage *tab;
	size_t cap, used, live;
};
static long fake_maps, fake_as_live;
static bool fake_no_fork;

static size_t fhash(uint64_t page)
{
	return (size_t)((page >> 12) * 0x9e3779b97f4a7c15UL >> 20);
}
static struct fpage *ffind(struct pl_as *as, uint64_t page)
{
	size_t i;
	for (i = fhash(page) & (as->cap - 1); as->tab[i].page; i = (i + 1) & (as->cap - 1))
		if (as->tab[i].page == page)
			return &as->tab[i];
	return NULL;
}
static void fput(struct pl_as *as, struct fpage p);
static void fgrow(struct pl_as *as)
{
	struct fpage *old = as->tab;
	size_t cap = as->cap, i;
	while (as->cap < as->live * 4 + 64)
		as->cap *= 2;
	as->tab = calloc(as->cap, sizeof(*as->tab));
	as->used = as->live = 0;
	for (i = 0; i < cap; i++)
		if (old[i].page > 1)
			fput(as, old[i]);
	free(old);
}
static void fput(struct pl_as *as, struct fpage p)
{
	struct fpage *f = ffind(as, p.page);
	size_t i;
	if (f) {
		*f = p;
		return;
	}
	if (as->used * 2 > as->cap)
		fgrow(as);
	for (i = fhash(p.page) & (as->cap - 1); as->tab[i].page > 1; i = (i + 1) & (as->cap - 1))
		;
	as->used += as->tab[i].page == 0;
	as->live++;
	as->tab[i] = p;
}
static int fake_as_create(struct pl_as **out)
{
	*out = calloc(1, sizeof(**out));
	(*out)->cap = 1024;
	(*out)->tab = calloc(1024, sizeof(struct fpage));
	__atomic_fetch_add(&fake_as_live, 1, __ATOMIC_RELAXED);
	return 0;
}
static int fake_as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out)
{
	if (fake_no_fork)
		return -ENOSYS;
	fake_as_create(out);
	free((*out)->tab);
	**out = *parent;
	(*out)->tab = malloc(parent->cap * sizeof(struct fpage));
	memcpy((*out)->tab, parent->tab, parent->cap * sizeof(struct fpage));
	return 0;
}
static void fake_as_destroy(struct pl_as *as)
{
	free(as->tab);
	free(as);
	__atomic_fetch_sub(&fake_as_live, 1, __ATOMIC_RELAXED);
}
static int fake_as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off,
	int prot, uint32_t flags)
{
	uint64_t i;
	if ((addr | len | off) & 4095 || !len || addr < PL_ADDR_MIN || addr + len > PL_ADDR_MAX)
		abort();
	__atomic_fetch_add(&fake_maps, 1, __ATOMIC_RELAXED);
	for (i = 0; i < len; i += 4096)
		fput(as, (struct fpage){addr + i, off + i, fd, prot});
	return 0;
}
static int fake_as_unmap(struct pl_as *as, uint64_t addr, uint64_t len)
{
	struct fpage *f;
	size_t k;
	if (len / 4096 > as->cap) {
		for (k = 0; k < as->cap; k++)
			if (as->tab[k].page >= addr && as->tab[k].page < addr + len)
				as->tab[k].page = 1, as->live--;
		return 0;
	}
	for (; len; addr += 4096, len -= 4096)
		if ((f = ffind(as, addr)))
			f->page = 1, as->live--;
	return 0;
}
static int fake_as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot)
{
	struct fpage *f;
	for (; len; addr += 4096, len -= 4096) {
		if (!(f = ffind(as, addr)))
			abort(); /* the contract: every page is mapped */
		f->prot = prot;
	}
	return 0;
}
static const struct pl_ops fake_ops = {.name = "fake",
	.as_create = fake_as_create,
	.as_fork = fake_as_fork,
	.as_destroy = fake_as_destroy,
	.as_map = fake_as_map,
	.as_unmap = fake_as_unmap,
	.as_protect = fake_as_protect,
	.addr_max = PL_ADDR_MAX};
const struct pl_ops *platform = &fake_ops;

/* --- the vfs --- */
struct ffile {
	struct file f; /* first */
	struct mappable m;
	struct inode inode; /* flags are looked at */
	handle_t host;      /* BACKING_HOST */
	uint64_t pages[64]; /* memory file, else */
	uint64_t size;
	const uint8_t *data; /* what vfs_kernel_read gives; NULL: the host file */
	bool no_mmap;
};
static long ffile_live;
static int ffile_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	*out = &((struct ffile *)f)->m;
	return 0;
}
static int ffile_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct ffile *f = container_of(m, struct ffile, m);
	uint64_t size = PAGE_ALIGN_UP(f->size), n;
	if (off >= size)
		return -EFAULT;
	n = MIN(size - off, MAX(len, max_len));
	if (f->host) {
		*out = (struct backing){BACKING_HOST, off, n, f->host, true};
		return 0;
	}
	mutex_lock(&m->lock);
	if (!f->pages[off >> 12] && memfile_alloc(4096, &f->pages[off >> 12]))
		abort();
	*out = (struct backing){BACKING_MEMFILE, f->pages[off >> 12], 4096, 0, write};
	memfile_ref(out->off, 4096);
	mutex_unlock(&m->lock);
	return 0;
}
static uint64_t ffile_id(struct mappable *m)
{
	return (uintptr_t)m;
}
static const struct mappable_ops ffile_mops = {.translate = ffile_translate, .id = ffile_id};
static const struct file_ops ffile_ops = {.mmap = ffile_mmap}, ffile_ops_none = {0};
const struct file_ops *file_ops(const struct file *f)
{
	return ((const struct ffile *)f)->no_mmap ? &ffile_ops_none : &ffile_ops;
}
int vfs_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	return file_ops(f)->mmap ? file_ops(f)->mmap(ctx, f, out) : -ENODEV;
}
void file_put(struct file *f)
{
	struct ffile *ff = (struct ffile *)f;
	unsigned int i;
	if (!ref_put(&f->ref))
		return;
	if (ff->host) {
		mappable_host_closing(ff->host);
		handle_close(ff->host);
	}
	for (i = 0; i < ARRAY_LEN(ff->pages); i++)
		if (ff->pages[i])
			memfile_unref(ff->pages[i], 4096);
	free(ff);
	ffile_live--;
}
ssize_t vfs_kernel_read(struct ctx *ctx, struct file *f, void *buf, size_t n, int64_t pos)
{
	struct ffile *ff = (struct ffile *)f;
	if (!ff->data)
		return ff->host ? host_pread(handle_fd(ff->host), buf, n, pos) : 0;
	if ((uint64_t)pos >= ff->size)
		return 0;
	n = MIN(n, ff->size - (uint64_t)pos);
	memcpy(buf, ff->data + pos, n);
	return (ssize_t)n;
}
/* What asynchronous I/O calls; no test here gets that far. */
struct vfs_sysctl *vfs_sysctls(void)
{
	static struct vfs_sysctl sysctl;
	return &sysctl;
}
ssize_t vfs_pread(struct ctx *ctx, struct file *f, struct uio *u, int64_t pos, int rwf)
{
	return -EIO;
}
void aio_table_end(struct aio_table *t)
{
}
int inode_deny_write(struct inode *i)
{
	return 0;
}
void inode_allow_write(struct inode *i)
{
}
int vfs_path_string(const struct path *p, const struct path *root, char *buf, size_t n,
	char **start)
{
	strcpy(buf, "/some/file");
	*start = buf;
	return 0;
}
static UNUSED struct ffile *ffile_new(uint64_t size, bool host, uint32_t mode)
{
	struct ffile *f = calloc(1, sizeof(*f));
	int fd;
	f->f.inode = &f->inode;
	ref_init(&f->f.ref);
	f->f.mode = (uint8_t)mode;
	f->size = size;
	mappable_init(&f->m, MAPPABLE_GOFER);
	if (host) {
		fd = (int)host_syscall2(SYS_memfd_create, "fake-file", 0);
		host_ftruncate(fd, (int64_t)size);
		f->host = handle_new_fd(fd, &(struct handle_origin){.kind = HANDLE_GOFER_FILE});
	}
	ffile_live++;
	return f;
}

/* --- the vDSO (weak: the real one wins where it is linked) --- */
__attribute__((weak)) const void *vdso_image(size_t *len)
{
	static const char image[5000] = "image";
	*len = sizeof(image);
	return image;
}
__attribute__((weak)) uint64_t vdso_vvar(size_t *len)
{
	static uint64_t off;
	if (!off && memfile_alloc(4096, &off))
		abort();
	*len = 4096;
	return off;
}

/* --- set-up and guest accesses --- */
static struct cred fake_cred = {.cap_effective = 0};
static struct rlimits fake_limits;
static struct sigaction fake_old_segv, fake_old_bus;
static void fake_segv(int sig, siginfo_t *info, void *uc)
{
	if (!uaccess_fixup(sig, info, uc)) {
		sigaction(SIGSEGV, &fake_old_segv, NULL);
		sigaction(SIGBUS, &fake_old_bus, NULL);
		raise(sig);
	}
}
static UNUSED void fake_init(void)
{
	static bool done;
	struct sigaction sa = {.sa_sigaction = fake_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};
	if (done)
		return;
	done = true;
	if (arena_init() || memfile_init())
		abort();
	mm_init();
	mappable_register(MAPPABLE_GOFER, &ffile_mops);
	sigaction(SIGSEGV, &sa, &fake_old_segv);
	sigaction(SIGBUS, &sa, &fake_old_bus);
}
static UNUSED void fake_ctx(struct ctx *c, struct mm *mm)
{
	memset(c, 0, sizeof(*c));
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		WRITE_ONCE(fake_limits.lim[i].soft, i == RLIMIT_STACK ? 8 << 20 : RLIM_INF);
		WRITE_ONCE(fake_limits.lim[i].hard, RLIM_INF);
	}
	c->cred = &fake_cred;
	c->limits = &fake_limits;
	c->mm = mm;
}
/* As the guest's CPU would: 0, or the signal. */
static UNUSED int guest_rw(struct ctx *c, struct mm *mm, uint64_t addr, void *buf, size_t n,
	bool write)
{
	int need = write ? PROT_WRITE : PROT_READ, sig, code, tries = 0;
	struct fpage *f;
	char *b = buf;
	size_t k;
	while (n) {
		f = ffind(mm_as(mm), addr & ~4095UL);
		if (!f || !(write ? f->prot & need : f->prot)) {
			if (tries++ > 4)
				abort();
			if (mm_fault(c, mm, addr, write ? PL_WRITE : PL_READ, &sig, &code))
				return sig;
			continue;
		}
		tries = 0;
		k = MIN(n, 4096 - (addr & 4095));
		if (f->fd == memfile_fd()) {
			char *p = (char *)memfile_ptr(f->off) + (addr & 4095);
			if (write)
				memcpy(p, b, k);
			else
				memcpy(b, p, k);
		} else if (write) {
			host_pwrite(f->fd, b, k, (int64_t)(f->off + (addr & 4095)));
		} else {
			memset(b, 0, k);
			host_pread(f->fd, b, k, (int64_t)(f->off + (addr & 4095)));
		}
		addr += k;
		b += k;
		n -= k;
	}
	return 0;
}
static UNUSED int64_t do_mmap(struct ctx *c, struct mm *mm, uint64_t addr, uint64_t len, int prot,
	int flags, struct ffile *f, uint64_t off)
{
	struct mm_map_args a = {.addr = addr,
		.len = len,
		.prot = prot,
		.flags = flags,
		.file = f ? &f->f : NULL,
		.off = off};
	int err = mm_mmap(c, mm, &a, &addr);
	return err ? err : (int64_t)addr;
}

#endif
