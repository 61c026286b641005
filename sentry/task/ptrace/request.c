/*
 * ptrace(2): the requests.  What is read from or written to a stopped tracee
 * goes through a kernel buffer: its registers may be touched only with
 * tasks_lock held, guest memory only without.
 */
#include <linux/audit.h>

#include "lib/abi/elf.h"
#include "lib/abi/types.h"
#include "platform/xstate.h"
#include "sentry/task/ptrace/ptrace_priv.h"

#define FXSAVE_SIZE 512
#define FXSAVE_PARTS 3 /* of XSTATE_BV: x87 and SSE */
#define FLAGS_USER 0x50dd5UL

/* The caller's stopped tracee: -ESRCH.  tasks_lock held. */
static int check_stopped(struct task *t, struct task *c) REQUIRES(tasks_lock)
{
	return c->pt.tracer == t && c->pt.stopped && !c->pt.listening && c->plctx ? 0 : -ESRCH;
}

/* --- memory --- */

/* c may have executed something since it was attached: what the tracer may not look at. */
static struct mm *tracee_mm(struct task *t, struct task *c)
{
	struct mm *mm = task_mm_get(c);
	bool ok;

	if (!mm)
		return NULL;
	mutex_lock(&tasks_lock);
	ok = c->pt.tracer == t &&
	     (READ_ONCE(mm->dumpable) || cred_capable(c->pt.tracer_cred, CAP_SYS_PTRACE));
	mutex_unlock(&tasks_lock);
	if (ok)
		return mm;
	mm_put(mm);
	return NULL;
}

static long peek(struct task *t, struct task *c, uint64_t addr, uint64_t data)
{
	struct mm *mm = tracee_mm(t, c);
	uint64_t word;
	ssize_t n;

	if (!mm)
		return -EIO;
	n = uaccess_mm_read(mm, &word, UADDR(addr), sizeof(word), 1);
	mm_put(mm);
	if (n != sizeof(word))
		return -EIO;
	return uaccess_put(&t->ctx, UADDR(data), &word);
}

static long poke(struct task *t, struct task *c, uint64_t addr, uint64_t data)
{
	struct mm *mm = tracee_mm(t, c);
	ssize_t n;

	if (!mm)
		return -EIO;
	n = uaccess_mm_write(mm, UADDR(addr), &data, sizeof(data), 1);
	mm_put(mm);
	return n == sizeof(data) ? 0 : -EIO;
}

/* --- registers --- */

/* Segments stay, flags are masked, bases must be addresses: -EIO. */
static int set_regs(struct user_regs_struct *r, const struct user_regs_struct *in)
{
	struct user_regs_struct n = *in;

	if (n.fs_base >= PL_ADDR_MAX || n.gs_base >= PL_ADDR_MAX)
		return -EIO;
	n.cs = r->cs;
	n.ss = r->ss;
	n.ds = r->ds;
	n.es = r->es;
	n.fs = r->fs;
	n.gs = r->gs;
	n.eflags = (r->eflags & ~FLAGS_USER) | (in->eflags & FLAGS_USER);
	*r = n;
	return 0;
}

static int get_regs(struct task *t, struct task *c, struct user_regs_struct *out)
{
	MUTEX_GUARD(&tasks_lock);
	int err = check_stopped(t, c);

	if (!err)
		*out = *task_regs(c);
	return err;
}

static int put_regs(struct task *t, struct task *c, const struct user_regs_struct *in)
{
	MUTEX_GUARD(&tasks_lock);
	int err = check_stopped(t, c);

	return err ? err : set_regs(task_regs(c), in);
}

static long peek_user(struct task *t, struct task *c, uint64_t addr, uint64_t data)
{
	struct user_regs_struct r;
	uint64_t word = 0;
	int err;

	if ((addr & 7) || addr >= sizeof(struct user))
		return -EIO;
	err = get_regs(t, c, &r);
	if (err)
		return err;
	if (addr < sizeof(r))
		memcpy(&word, (char *)&r + addr, sizeof(word));
	return uaccess_put(&t->ctx, UADDR(data), &word);
}

static bool is_debugreg(uint64_t addr)
{
	return addr >= offsetof(struct user, u_debugreg) &&
	       addr < offsetof(struct user, u_debugreg) + sizeof(((struct user *)0)->u_debugreg);
}

/* The registers only: there are no hardware breakpoints (u_debugreg reads 0, takes 0). */
static long poke_user(struct task *t, struct task *c, uint64_t addr, uint64_t data)
{
	struct user_regs_struct r;
	int err;

	if ((addr & 7) || addr >= sizeof(struct user))
		return -EIO;
	err = get_regs(t, c, &r);
	if (err)
		return err;
	if (addr >= sizeof(r))
		return data || !is_debugreg(addr) ? -EIO : 0;
	memcpy((char *)&r + addr, &data, sizeof(data));
	return put_regs(t, c, &r);
}

/* Copies n bytes of the FPU state to or from buf. */
static int fpu_access(struct task *t, struct task *c, void *buf, size_t n, bool write)
{
	MUTEX_GUARD(&tasks_lock);
	int err = check_stopped(t, c);

	if (err)
		return err;
	if (!c->pt.fpu)
		return -EIO;
	if (write) {
		memcpy(c->pt.fpu, buf, n);
		if (n == FXSAVE_SIZE) /* both parts are there now, had they been initial or not */
			((uint8_t *)c->pt.fpu)[FXSAVE_SIZE] |= FXSAVE_PARTS;
		c->pt.fpu_dirty = true;
	} else {
		memcpy(buf, c->pt.fpu, n);
	}
	return 0;
}

static size_t regset_size(uint64_t type)
{
	switch (type) {
	case NT_PRSTATUS:
		return sizeof(struct user_regs_struct);
	case NT_PRFPREG:
		return FXSAVE_SIZE;
	case NT_X86_XSTATE:
		return platform->fpu_size;
	default:
		return 0;
	}
}

static int regset_read(struct task *t, struct task *c, uint64_t type, uint8_t *buf, size_t size)
{
	int err;

	if (type == NT_PRSTATUS)
		return get_regs(t, c, (struct user_regs_struct *)buf);
	err = fpu_access(t, c, buf, size, false);
	if (!err && type == NT_X86_XSTATE)
		memcpy(buf + 464, &platform->xfeatures, sizeof(platform->xfeatures));
	return err;
}

static int regset_write(struct task *t, struct task *c, uint64_t type, uint8_t *buf, size_t size)
{
	uint8_t *area;
	int err;

	if (type == NT_PRSTATUS)
		return put_regs(t, c, (struct user_regs_struct *)buf);
	if (type == NT_X86_XSTATE)
		memset(buf + 464, 0, 48);
	area = buf_alloc(platform->fpu_size);
	if (!area)
		return -ENOMEM;
	err = xstate_compose(area, buf, size); /* what the CPU would not load is refused now */
	buf_free(area, platform->fpu_size);
	return err ? err : fpu_access(t, c, buf, size, true);
}

/* Copies a register set to or from guest memory; *len: in the guest's, out what was moved. */
static long regset(struct task *t, struct task *c, uint64_t type, uint64_t base, uint64_t *len,
	bool write)
{
	size_t size = regset_size(type);
	uint8_t *buf;
	int err;

	if (!size || *len % 8)
		return -EINVAL;
	buf = buf_alloc(size);
	if (!buf)
		return -ENOMEM;
	*len = MIN(*len, size);
	err = regset_read(t, c, type, buf, size);
	if (!err && write) {
		err = uaccess_copyin(&t->ctx, buf, UADDR(base), *len);
		if (!err && type == NT_X86_XSTATE && *len < size)
			err = -EFAULT;
		if (!err)
			err = regset_write(t, c, type, buf, size);
	} else if (!err) {
		err = uaccess_copyout(&t->ctx, UADDR(base), buf, *len);
	}
	buf_free(buf, size);
	return err;
}

static long regset_iov(struct task *t, struct task *c, uint64_t type, uint64_t data, bool write)
{
	struct abi_iovec iov;
	long err;

	if (uaccess_get(&t->ctx, &iov, UADDR(data)))
		return -EFAULT;
	err = regset(t, c, type, iov.base, &iov.len, write);
	return err ? err : uaccess_put(&t->ctx, UADDR(data + 8), &iov.len);
}

static long regset_whole(struct task *t, struct task *c, uint64_t type, uint64_t data, bool write)
{
	uint64_t len = regset_size(type);

	return regset(t, c, type, data, &len, write);
}

/* --- signals --- */

static long siginfo_access(struct task *t, struct task *c, uint64_t data, bool write)
{
	struct ksiginfo info;
	int err;

	if (write && uaccess_get(&t->ctx, &info, UADDR(data)))
		return -EFAULT;
	mutex_lock(&tasks_lock);
	err = check_stopped(t, c);
	if (!err && !c->pt.has_info)
		err = -EINVAL;
	if (!err && write)
		c->pt.info = info;
	else if (!err)
		info = c->pt.info;
	mutex_unlock(&tasks_lock);
	return err || write ? err : uaccess_put(&t->ctx, UADDR(data), &info);
}

static long sigmask_access(struct task *t, struct task *c, uint64_t size, uint64_t data, bool write)
{
	ksigset_t set;
	int err;

	if (size != sizeof(set))
		return -EINVAL;
	if (write && uaccess_get(&t->ctx, &set, UADDR(data)))
		return -EFAULT;
	mutex_lock(&tasks_lock);
	err = check_stopped(t, c);
	if (!err) {
		mutex_lock(&c->tg->sighand->lock);
		if (write) {
			c->blocked = set & ~KSIG_UNBLOCKABLE;
			task_interrupt(c, CTX_INTR_SIGNAL); /* looks again when it goes on */
		} else {
			set = c->restore_blocked ? c->saved_blocked : c->blocked;
		}
		mutex_unlock(&c->tg->sighand->lock);
	}
	mutex_unlock(&tasks_lock);
	return err || write ? err : uaccess_put(&t->ctx, UADDR(data), &set);
}

static bool nth_pending(struct task *c, bool shared, uint64_t n, struct ksiginfo *out)
{
	struct sigpending *p = shared ? &c->tg->shared : &c->pending;
	struct sigqueue_entry *e;

	MUTEX_GUARD(&c->tg->sighand->lock);
	list_for_each(e, &p->queue, node) {
		if (n--)
			continue;
		*out = e->info;
		return true;
	}
	return false;
}

static long peek_siginfo(struct task *t, struct task *c, uint64_t addr, uint64_t data)
{
	struct abi_ptrace_peeksiginfo_args a;
	struct ksiginfo info;
	int32_t i;

	if (uaccess_get(&t->ctx, &a, UADDR(addr)))
		return -EFAULT;
	if ((a.flags & ~ABI_PTRACE_PEEKSIGINFO_SHARED) || a.nr < 0)
		return -EINVAL;
	for (i = 0; i < a.nr; i++) {
		bool found;

		mutex_lock(&tasks_lock);
		found = nth_pending(c, a.flags & ABI_PTRACE_PEEKSIGINFO_SHARED, a.off + (uint64_t)i,
			&info);
		mutex_unlock(&tasks_lock);
		if (!found)
			break;
		if (uaccess_put(&t->ctx, UADDR(data + (uint64_t)i * sizeof(info)), &info))
			return i ? i : -EFAULT;
		if (signal_pending(t))
			return i + 1;
	}
	return i;
}

static long syscall_info(struct task *t, struct task *c, uint64_t size, uint64_t data)
{
	struct abi_ptrace_syscall_info s = {.arch = AUDIT_ARCH_X86_64};
	size_t actual = offsetof(struct abi_ptrace_syscall_info, u);
	struct user_regs_struct r;
	int err = get_regs(t, c, &r);

	if (err)
		return err;
	s.op = c->pt.syscall_op; /* stays while c is stopped, and so does its message */
	s.instruction_pointer = r.rip;
	s.stack_pointer = r.rsp;
	if (s.op == ABI_PTRACE_SYSCALL_INFO_ENTRY || s.op == ABI_PTRACE_SYSCALL_INFO_SECCOMP) {
		uint64_t args[6] = {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9};

		s.u.entry.nr = r.orig_rax;
		memcpy(s.u.entry.args, args, sizeof(args));
		actual = offsetof(struct abi_ptrace_syscall_info, u) + sizeof(s.u.entry);
		if (s.op == ABI_PTRACE_SYSCALL_INFO_SECCOMP) {
			s.u.seccomp.ret_data = (uint32_t)READ_ONCE(c->pt.event_msg);
			actual = offsetof(struct abi_ptrace_syscall_info, u.seccomp.ret_data) +
				 sizeof(s.u.seccomp.ret_data);
		}
	} else if (s.op == ABI_PTRACE_SYSCALL_INFO_EXIT) {
		s.u.exit.rval = (int64_t)r.rax;
		s.u.exit.is_error = r.rax >= (uint64_t)-4095L;
		actual = offsetof(struct abi_ptrace_syscall_info, u.exit.is_error) + 1;
	}
	if (uaccess_copyout(&t->ctx, UADDR(data), &s, MIN(size, actual)))
		return -EFAULT;
	return (long)actual;
}

/* --- going on --- */

static long resume(struct task *t, struct task *c, uint64_t req, uint64_t sig)
{
	int err;

	if (sig > KNSIG)
		return -EIO;
	MUTEX_GUARD(&tasks_lock);
	err = check_stopped(t, c);
	if (err)
		return err;
	c->pt.syscall = req == ABI_PTRACE_SYSCALL;
	c->pt.sysemu = req == ABI_PTRACE_SYSEMU || req == ABI_PTRACE_SYSEMU_SINGLESTEP;
	c->pt.step = req == ABI_PTRACE_SINGLESTEP || req == ABI_PTRACE_SYSEMU_SINGLESTEP;
	c->pt.resume_signal = (uint32_t)sig;
	c->pt.stopped = false;
	ctx_wake(&c->ctx);
	return 0;
}

static long detach(struct task *t, struct task *c, uint64_t sig)
{
	int err;

	if (sig > KNSIG)
		return -EIO;
	MUTEX_GUARD(&tasks_lock);
	err = check_stopped(t, c);
	if (err)
		return err;
	c->pt.resume_signal = (uint32_t)sig;
	ptrace_unlink(c);
	return 0;
}

static long listen_request(struct task *t, struct task *c)
{
	int err;

	MUTEX_GUARD(&tasks_lock);
	err = check_stopped(t, c);
	if (err)
		return err;
	if (!c->pt.seized || c->pt.stop_code >> 8 != ABI_PTRACE_EVENT_STOP)
		return -EIO;
	c->pt.listening = true;
	if (c->pt.interrupt) { /* something has happened meanwhile: stops again */
		c->pt.stopped = c->pt.listening = false;
		ctx_wake(&c->ctx);
	}
	return 0;
}

static long set_options(struct task *t, struct task *c, uint64_t opts)
{
	int err;

	if (opts & ~(uint64_t)ABI_PTRACE_O_MASK)
		return -EINVAL;
	MUTEX_GUARD(&tasks_lock);
	err = check_stopped(t, c);
	if (!err)
		c->pt.opts = (uint32_t)opts;
	return err;
}

/* --- dispatch --- */

/* Those that work on a stopped tracee. */
static long stopped_request(struct task *t, struct task *c, uint64_t req, uint64_t addr,
	uint64_t data)
{
	switch (req) {
	case ABI_PTRACE_PEEKTEXT:
	case ABI_PTRACE_PEEKDATA:
		return peek(t, c, addr, data);
	case ABI_PTRACE_POKETEXT:
	case ABI_PTRACE_POKEDATA:
		return poke(t, c, addr, data);
	case ABI_PTRACE_PEEKUSER:
		return peek_user(t, c, addr, data);
	case ABI_PTRACE_POKEUSER:
		return poke_user(t, c, addr, data);
	case ABI_PTRACE_GETREGS:
	case ABI_PTRACE_SETREGS:
		return regset_whole(t, c, NT_PRSTATUS, data, req == ABI_PTRACE_SETREGS);
	case ABI_PTRACE_GETFPREGS:
	case ABI_PTRACE_SETFPREGS:
		return regset_whole(t, c, NT_PRFPREG, data, req == ABI_PTRACE_SETFPREGS);
	case ABI_PTRACE_GETREGSET:
	case ABI_PTRACE_SETREGSET:
		return regset_iov(t, c, addr, data, req == ABI_PTRACE_SETREGSET);
	case ABI_PTRACE_GETSIGINFO:
	case ABI_PTRACE_SETSIGINFO:
		return siginfo_access(t, c, data, req == ABI_PTRACE_SETSIGINFO);
	case ABI_PTRACE_PEEKSIGINFO:
		return peek_siginfo(t, c, addr, data);
	case ABI_PTRACE_GETSIGMASK:
	case ABI_PTRACE_SETSIGMASK:
		return sigmask_access(t, c, addr, data, req == ABI_PTRACE_SETSIGMASK);
	case ABI_PTRACE_SETOPTIONS:
		return set_options(t, c, data);
	case ABI_PTRACE_GETEVENTMSG:
		return uaccess_put(&t->ctx, UADDR(data), &c->pt.event_msg);
	case ABI_PTRACE_GET_SYSCALL_INFO:
		return syscall_info(t, c, addr, data);
	case ABI_PTRACE_LISTEN:
		return listen_request(t, c);
	case ABI_PTRACE_CONT:
	case ABI_PTRACE_SYSCALL:
	case ABI_PTRACE_SINGLESTEP:
	case ABI_PTRACE_SYSEMU:
	case ABI_PTRACE_SYSEMU_SINGLESTEP:
		return resume(t, c, req, data);
	case ABI_PTRACE_DETACH:
		return detach(t, c, data);
	default:
		return -EIO;
	}
}

static long with_tracee(struct task *t, struct task *c, uint64_t req, uint64_t addr, uint64_t data)
{
	long err;

	if (req == ABI_PTRACE_ATTACH)
		return ptrace_attach(t, c, false, 0);
	if (req == ABI_PTRACE_SEIZE) {
		if (addr || (data & ~(uint64_t)ABI_PTRACE_O_MASK))
			return -EIO;
		return ptrace_attach(t, c, true, (uint32_t)data);
	}
	mutex_lock(&tasks_lock);
	if (req == ABI_PTRACE_KILL || req == ABI_PTRACE_INTERRUPT)
		err = c->pt.tracer == t ? 0 : -ESRCH;
	else
		err = check_stopped(t, c);
	if (!err && req == ABI_PTRACE_KILL)
		signal_kill_group_locked(c->tg);
	else if (!err && req == ABI_PTRACE_INTERRUPT)
		err = ptrace_interrupt(c);
	mutex_unlock(&tasks_lock);
	if (err || req == ABI_PTRACE_KILL || req == ABI_PTRACE_INTERRUPT)
		return err;
	return stopped_request(t, c, req, addr, data);
}

long task_ptrace(struct task *t, uint64_t req, int32_t pid, uint64_t addr, uint64_t data)
{
	struct task *c;
	long ret;

	if (req == ABI_PTRACE_TRACEME)
		return ptrace_traceme(t);
	c = task_find(t->pid_ns, pid);
	if (!c)
		return -ESRCH;
	ret = with_tracee(t, c, req, addr, data);
	task_put(c);
	return ret;
}
