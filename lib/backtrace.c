/*
 * Crash reports.
 *
 * The reporter must work in a sealed process: no file can be opened and few
 * system calls are allowed (write, tgkill, gettid, getpid, rt_sig*, futex,
 * mmap).  So what needs files is done at start: the program's own ELF file is
 * mapped for its symbol table (no page of it is touched before a crash).  The
 * walk uses the unwinder interface <unwind.h>, which libgcc and libunwind both
 * provide, and which makes no system call; libunwind's unw_* functions probe
 * memory by system calls and open /proc/self/maps and the ELF file.
 *
 * Threads are known by a table they enter by backtrace_thread_init; a slot
 * keeps its alternate stack for the next thread, since threads come and go
 * with guest tasks.  To see the stack of another thread, the reporter sends it
 * SIG_STACK and waits for its handler to print, one thread at a time.
 */
#include "lib/backtrace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/ro_after_init.h"

#define SIG_STACK 63 /* real-time, far from those that libc and guests' timers use */
#define ALT_STACK_SIZE (64 * 1024)
#define THREADS_MAX 8192
#define FRAMES_MAX 64
#define THREAD_WAIT_SEC 1

struct thread_slot {
	int tid; /* 0: free */
	void *stack;
};

static struct thread_slot threads[THREADS_MAX];
static uint32_t threads_end; /* slots at and above it were never used */
static __thread struct thread_slot *own_slot;
static __thread stack_t old_stack;

static fault_fixup_fn fault_fixup RO_AFTER_INIT;
/* Set while memory is read that may not be there. */
static __thread sigjmp_buf *probe;

/* The program's ELF file, mapped for its symbols; NULL if it has none. */
static struct {
	const Elf64_Sym *sym;
	size_t nsym;
	const char *str;
	size_t strsize;
	uintptr_t bias;
	uintptr_t end; /* of the loaded program */
} self;

/* --- Symbols --- */

static int self_bias(struct dl_phdr_info *info, size_t size, void *arg)
{
	/* The first object is the program itself. */
	self.bias = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD)
			self.end = self.bias + p->p_vaddr + p->p_memsz;
	}
	return 1;
}

/* The file is our own program: damaged headers give no symbols, no more. */
static void symbols_find(const unsigned char *image, size_t size)
{
	const Elf64_Ehdr *eh = (const void *)image;
	const Elf64_Shdr *sh = (const void *)(image + eh->e_shoff);

	if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0 ||
		eh->e_shentsize != sizeof(*sh) || eh->e_shoff > size ||
		(size - eh->e_shoff) / sizeof(*sh) < eh->e_shnum)
		return;
	for (int i = 0; i < eh->e_shnum; i++) {
		const Elf64_Shdr *str;

		if (sh[i].sh_type != SHT_SYMTAB || sh[i].sh_link >= eh->e_shnum)
			continue;
		str = &sh[sh[i].sh_link];
		if (sh[i].sh_offset > size || sh[i].sh_size > size - sh[i].sh_offset ||
			str->sh_offset > size || str->sh_size > size - str->sh_offset ||
			str->sh_size == 0)
			return;
		self.sym = (const void *)(image + sh[i].sh_offset);
		self.nsym = sh[i].sh_size / sizeof(*self.sym);
		self.str = (const void *)(image + str->sh_offset);
		self.strsize = str->sh_size;
		return;
	}
}

static void symbols_load(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *image;

	dl_iterate_phdr(self_bias, NULL);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (image != MAP_FAILED)
			symbols_find(image, (size_t)st.st_size);
	}
	close(fd);
}

/* The function that ip lies in, NULL if unknown. */
static const char *symbol_name(uintptr_t ip, uintptr_t *offset)
{
	uintptr_t addr = ip - self.bias;

	if (ip >= self.end)
		return NULL;
	for (size_t i = 0; i < self.nsym; i++) {
		const Elf64_Sym *s = &self.sym[i];

		if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || addr < s->st_value ||
			addr - s->st_value >= s->st_size || s->st_name >= self.strsize)
			continue;
		*offset = addr - s->st_value;
		return self.str + s->st_name;
	}
	return NULL;
}

/* --- Printing --- */

static void line_out(int fd, const char *fmt, ...) PRINTF(2, 3);
static void line_out(int fd, const char *fmt, ...)
{
	char buf[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	log_line(fd, buf);
}

/* call: ip is a return address, which may already lie in the next function. */
static void print_frame(int fd, int n, uintptr_t ip, bool call)
{
	uintptr_t off;
	const char *name = symbol_name(ip - call, &off);

	if (name)
		line_out(fd, "  #%-2d %#lx %.200s+%#lx", n, ip - self.bias, name, off + call);
	else
		line_out(fd, "  #%-2d %#lx ?", n, ip);
}

struct walk {
	int fd;
	int n;
	uintptr_t from, last_cfa;
	bool started;
};

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *c, void *arg)
{
	struct walk *w = arg;
	int exact = 0;
	uintptr_t ip = _Unwind_GetIPInfo(c, &exact), cfa = _Unwind_GetCFA(c);

	/* The frames of the signal handler come first: they are not of interest. */
	if (!w->started && ip != w->from)
		return _URC_NO_REASON;
	/* A damaged stack must not send us in circles. */
	if (ip == 0 || w->n >= FRAMES_MAX || cfa < w->last_cfa)
		return _URC_END_OF_STACK;
	w->last_cfa = w->started ? cfa : 0;
	w->started = true;
	print_frame(w->fd, w->n++, ip, !exact && ip != w->from);
	return _URC_NO_REASON;
}

/* Walks the stack up from the frame whose program counter is from. */
static void walk_from(struct walk *w)
{
	sigjmp_buf fault;

	if (sigsetjmp(fault, 0)) {
		probe = NULL;
		line_out(w->fd, "  (the stack is damaged)");
		return;
	}
	probe = &fault;
	_Unwind_Backtrace(walk_frame, w);
	probe = NULL;
}

/* The stack that a signal interrupted; called in its handler. */
static void print_stack(int fd, const ucontext_t *uc)
{
	struct walk w = {.fd = fd, .from = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP]};
	const greg_t *r = uc->uc_mcontext.gregs;
	sigjmp_buf fault;

	walk_from(&w);
	if (w.n > 1)
		return;
	/* A jump to nowhere: its caller is at best on top of the stack. */
	if (w.n == 0)
		print_frame(fd, 0, w.from, false);
	if (sigsetjmp(fault, 0) == 0) {
		probe = &fault;
		print_frame(fd, 1, *(const volatile uintptr_t *)r[REG_RSP], true);
	}
	probe = NULL;
}

void backtrace_print(int fd)
{
	struct walk w = {.fd = fd, .started = true};

	walk_from(&w);
}

/* --- Other threads --- */

static struct {
	int fd;
	int tid;        /* whose stack is wanted */
	uint32_t state; /* 0 idle, 1 asked, 2 printing, 3 done */
} request;
static int request_owner; /* the one thread that may use it */

static void futex_sleep(uint32_t *word, uint32_t val, int seconds)
{
	struct timespec ts = {.tv_sec = seconds};

	host_futex(word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, val, &ts, NULL, 0);
}

static void on_stack_signal(int sig, siginfo_t *info, void *ctx)
{
	int err = errno;
	uint32_t asked = 1;

	if (__atomic_load_n(&request.tid, __ATOMIC_ACQUIRE) == host_gettid() &&
		__atomic_compare_exchange_n(&request.state, &asked, 2, false, __ATOMIC_ACQ_REL,
			__ATOMIC_RELAXED)) {
		print_stack(request.fd, ctx);
		__atomic_store_n(&request.state, 3, __ATOMIC_RELEASE);
		host_futex(&request.state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	}
	errno = err;
}

static void ask_thread(int fd, int tid)
{
	uint32_t asked = 1;

	line_out(fd, "thread %d:", tid);
	request.fd = fd;
	__atomic_store_n(&request.state, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&request.tid, tid, __ATOMIC_RELEASE);
	if (host_tgkill((int)host_syscall0(SYS_getpid), tid, SIG_STACK) < 0) {
		line_out(fd, "  (gone)");
		return;
	}
	futex_sleep(&request.state, 1, THREAD_WAIT_SEC);
	if (__atomic_compare_exchange_n(&request.state, &asked, 0, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_RELAXED)) {
		line_out(fd, "  (does not answer)");
		return;
	}
	for (int i = 0; i < 5 && __atomic_load_n(&request.state, __ATOMIC_ACQUIRE) == 2; i++)
		futex_sleep(&request.state, 2, THREAD_WAIT_SEC);
}

static void print_others(int fd)
{
	uint32_t end = __atomic_load_n(&threads_end, __ATOMIC_ACQUIRE);
	int me = host_gettid(), nobody = 0;

	while (!__atomic_compare_exchange_n(&request_owner, &nobody, me, false, __ATOMIC_ACQUIRE,
		__ATOMIC_RELAXED)) {
		if (nobody == me)
			return; /* crashed while reporting */
		nobody = 0;
		host_syscall0(SYS_sched_yield);
	}
	for (uint32_t i = 0; i < end; i++) {
		int tid = __atomic_load_n(&threads[i].tid, __ATOMIC_ACQUIRE);

		if (tid > 0 && tid != me)
			ask_thread(fd, tid);
	}
	__atomic_store_n(&request.tid, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&request_owner, 0, __ATOMIC_RELEASE);
}

void backtrace_print_all(int fd)
{
	line_out(fd, "thread %d:", host_gettid());
	backtrace_print(fd);
	print_others(fd);
}

/* --- Death --- */

static void die_of(int sig)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigaction(sig, &dfl, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	host_tgkill((int)host_syscall0(SYS_getpid), host_gettid(), sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void report(int fd, int sig, siginfo_t *info, const ucontext_t *uc)
{
	line_out(fd, "fatal: SIG%s code %d address %p pc %#llx thread %d",
		sigabbrev_np(sig) ? sigabbrev_np(sig) : "?", info->si_code, info->si_addr,
		(unsigned long long)uc->uc_mcontext.gregs[REG_RIP], host_gettid());
	line_out(fd, "thread %d:", host_gettid());
	print_stack(fd, uc);
	print_others(fd);
	line_out(fd, "newest log records:");
	log_dump_ring(fd);
}

static void on_fatal(int sig, siginfo_t *info, void *ctx)
{
	static int dying;
	int me = host_gettid(), nobody = 0, err = errno;

	if (probe && (sig == SIGSEGV || sig == SIGBUS))
		siglongjmp(*probe, 1);
	if (fault_fixup && fault_fixup(sig, info, ctx)) {
		errno = err;
		return;
	}
	if (__atomic_compare_exchange_n(&dying, &nobody, me, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_RELAXED)) {
		report(log_fd() >= 0 ? log_fd() : STDERR_FILENO, sig, info, ctx);
	} else if (nobody != me) {
		/*
		 * Another thread is dying already and wants our stack too: let its
		 * signal in, and give it time to end the process.
		 */
		uint32_t word = 0;

		for (int i = 0; i < 30; i++)
			futex_sleep(&word, 0, 1);
	}
	die_of(sig);
}

/* --- Set-up --- */

void backtrace_install(fault_fixup_fn fixup)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	/* SA_NODEFER: a fault while reporting is either probed for or ends the report. */
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	fault_fixup = fixup;
	if (!self.end) {
		struct walk warm_up = {.fd = -1, .from = UINTPTR_MAX};

		symbols_load();
		_Unwind_Backtrace(walk_frame, &warm_up); /* its lazy set-up happens now */
	}
	backtrace_thread_init();
	sigemptyset(&sa.sa_mask);
	sa.sa_sigaction = on_fatal;
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sa.sa_sigaction = on_stack_signal;
	sigaction(SIG_STACK, &sa, NULL);
}

static struct thread_slot *slot_take(int tid)
{
	for (uint32_t i = 0; i < THREADS_MAX; i++) {
		uint32_t end = READ_ONCE(threads_end);
		int nobody = 0;

		if (READ_ONCE(threads[i].tid) != 0 ||
			!__atomic_compare_exchange_n(&threads[i].tid, &nobody, tid, false,
				__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		while (end <= i && !__atomic_compare_exchange_n(&threads_end, &end, i + 1, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			;
		return &threads[i];
	}
	return NULL;
}

void backtrace_thread_init(void)
{
	stack_t ss = {.ss_size = ALT_STACK_SIZE};
	struct thread_slot *slot;
	void *stack;

	if (own_slot)
		return;
	slot = slot_take(host_gettid());
	if (!slot)
		return; /* thread 8,193: it dies without a report of its own */
	if (!slot->stack) {
		/* Below the stack one page that faults. */
		stack = host_mmap(NULL, ALT_STACK_SIZE + PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (!host_is_err(stack)) {
			host_mprotect(stack, PAGE_SIZE, PROT_NONE);
			slot->stack = (char *)stack + PAGE_SIZE;
		}
	}
	own_slot = slot;
	ss.ss_sp = slot->stack;
	if (ss.ss_sp)
		sigaltstack(&ss, &old_stack);
}

void backtrace_thread_fini(void)
{
	struct thread_slot *slot = own_slot;

	if (!slot)
		return;
	own_slot = NULL;
	old_stack.ss_flags &= SS_DISABLE;
	sigaltstack(&old_stack, NULL);
	__atomic_store_n(&slot->tid, 0, __ATOMIC_RELEASE);
}
