/*
 * Mapping the vDSO: one mappable for all address spaces, whose offsets are the
 * parameter pages and behind them the image, copied into the memory file once.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/exec_priv.h"
#include "sentry/mm/vdso.h"

struct vdso {
	struct mappable m; /* first */
	uint64_t vvar_off, vvar_len, image_off, image_len;
};

SLAB_DEFINE(vdso_slab, struct vdso);

struct vdso_globals {
	struct mutex lock;
	struct vdso *vdso; /* made at the first exec */
};
static struct vdso_globals *globals RO_AFTER_INIT;

static void globals_init(void)
{
	mutex_init(&globals->lock, LOCK_PLATFORM);
}
KERNEL_UNIT("vdso", globals, globals_init);

static int vdso_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct vdso *d = container_of(m, struct vdso, m);
	bool image = off >= d->vvar_len;
	uint64_t in = image ? off - d->vvar_len : off;
	uint64_t size = image ? d->image_len : d->vvar_len;

	if (in >= size)
		return -EFAULT;
	*out = (struct backing){.kind = BACKING_MEMFILE,
		.off = (image ? d->image_off : d->vvar_off) + in,
		.len = MIN(size - in, MAX(len, max_len))};
	memfile_ref(out->off, out->len);
	return 0;
}

static const struct mappable_ops vdso_ops = {.translate = vdso_translate};

void vdso_map_init(void)
{
	mappable_register(MAPPABLE_VDSO, &vdso_ops);
}

static struct vdso *make(void)
{
	struct vdso *d = slab_alloc(&vdso_slab);
	const void *image;
	size_t len;

	if (!d)
		return NULL;
	mappable_init(&d->m, MAPPABLE_VDSO);
	image = vdso_image(&len);
	d->image_len = PAGE_ALIGN_UP((uint64_t)len);
	d->vvar_off = vdso_vvar(&len);
	d->vvar_len = len;
	if (memfile_alloc(d->image_len, &d->image_off)) {
		slab_free(&vdso_slab, d);
		return NULL;
	}
	vdso_image(&len);
	memcpy(memfile_ptr(d->image_off), image, len);
	return d;
}

static struct vdso *get(void)
{
	struct vdso *d;

	mutex_lock(&globals->lock);
	if (!globals->vdso)
		globals->vdso = make();
	d = globals->vdso;
	mutex_unlock(&globals->lock);
	return d;
}

static int map_part(struct ctx *ctx, struct mm *mm, struct vdso *d, uint64_t addr, uint64_t off,
	uint64_t len, int prot, const char *name)
{
	struct mm_map_args a = {.addr = addr,
		.len = len,
		.prot = prot,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		.off = off,
		.m = &d->m,
		.name = name};
	int err = mm_mmap(ctx, mm, &a, &addr);
	struct vma *v;

	if (err)
		return err;
	mm_lock(mm);
	v = vma_at(mm, addr);
	vma_set_flags(mm, v, v->flags | VM_DONTEXPAND | VM_DONTDUMP);
	/* A debugger may put breakpoints into the image; the parameters are not to be written. */
	if (!(prot & PROT_EXEC))
		vma_set_flags(mm, v, v->flags & ~VM_MAYWRITE & ~VM_MAYEXEC);
	else
		vma_set_flags(mm, v, v->flags & ~VM_DONTDUMP);
	mm_unlock(mm);
	return 0;
}

int vdso_map(struct ctx *ctx, struct mm *mm)
{
	struct vdso *d = get();
	int64_t addr;
	int err;

	if (!d)
		return -ENOMEM;
	mm_lock(mm);
	addr = vma_unmapped_area(mm, 0, d->vvar_len + d->image_len, 0, 0);
	mm_unlock(mm);
	if (addr < 0)
		return (int)addr;
	err = map_part(ctx, mm, d, (uint64_t)addr, 0, d->vvar_len, PROT_READ, "[vvar]");
	if (!err)
		err = map_part(ctx, mm, d, (uint64_t)addr + d->vvar_len, d->vvar_len, d->image_len,
			PROT_READ | PROT_EXEC, "[vdso]");
	if (!err)
		mm->vdso = (uint64_t)addr + d->vvar_len;
	return err;
}
