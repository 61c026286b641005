/*
 * The code of a stub process that is not the guest's: one page at ST_CODE.
 * A guest may jump anywhere in here: it then runs these instructions with its
 * own registers, and the filter (filter.c) lets pass only what does no harm
 * without the keeper's key, which no guest thread ever holds.
 */
#include "platform/systrap/layout.h"

#define SYS_mmap 9
#define SYS_munmap 11
#define SYS_rt_sigprocmask 14
#define SYS_rt_sigreturn 15
#define SYS_sched_yield 24
#define SYS_clone 56
#define SYS_exit 60
#define SYS_sigaltstack 131
#define SYS_arch_prctl 158
#define SYS_prctl 157
#define SYS_futex 202
#define SYS_set_robust_list 273
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define UC_RIP 168
#define UC_FPSTATE 224
#define EAGER_POLLS 300 /* before the first pause, which takes some 60 ns */

	.section .rodata.systrap_stub, "a", @progbits
	.balign 4096
	.globl systrap_stub_begin, systrap_stub_end
	.globl systrap_handler, systrap_restorer, systrap_keeper, systrap_call
	.globl systrap_intr_end
systrap_stub_begin:

/* --- hand-over --- */

/*
 * It is the sentry's turn; returns when it is ours again.  rbx: the slot.
 * Clobbers all but rbx, rbp, r12 to r15.
 */
post_and_wait:
	movl	SLOT_SPIN(%rbx), %ecx
	movl	$WORD_EVENT, %eax
	movl	$(WORD_EVENT | WORD_STUB_SLEEPS), %edx
	testl	%ecx, %ecx
	cmovzl	%edx, %eax
	xchgl	%eax, SLOT_WORD(%rbx)
	testb	$WORD_SENTRY_SLEEPS, %al
	jz	1f
	leaq	SLOT_WORD(%rbx), %rdi
	movl	$1, %esi		/* FUTEX_WAKE */
	movl	$1, %edx
	movl	$SYS_futex, %eax
	syscall
1:	movl	SLOT_SPIN(%rbx), %ecx
	jecxz	4f
	movl	$EAGER_POLLS, %edx
6:	testb	$WORD_EVENT, SLOT_WORD(%rbx)
	jz	5f
	decl	%edx
	jnz	6b
2:	testb	$WORD_EVENT, SLOT_WORD(%rbx)
	jz	5f
	cmpl	$0, SLOT_YIELD(%rbx)
	jne	7f
	pause
	decl	%ecx
	jnz	2b
	jmp	3f
7:	cmpl	$YIELD_SLEEP, SLOT_YIELD(%rbx)
	je	3f
	movl	%ecx, %r8d
	movl	$SYS_sched_yield, %eax
	syscall
	movl	%r8d, %ecx
	jmp	2b
3:	movl	$WORD_EVENT, %eax
	movl	$(WORD_EVENT | WORD_STUB_SLEEPS), %edx
	lock cmpxchgl %edx, SLOT_WORD(%rbx)
4:	testb	$WORD_EVENT, SLOT_WORD(%rbx)
	jz	5f
	leaq	SLOT_WORD(%rbx), %rdi
	xorl	%esi, %esi		/* FUTEX_WAIT */
	movl	$(WORD_EVENT | WORD_STUB_SLEEPS), %edx
	xorl	%r10d, %r10d
	movl	$SYS_futex, %eax
	syscall
	cmpl	$WORD_EVENT, SLOT_WORD(%rbx)
	je	3b
	jmp	4b
5:	ret

/* --- patched calls --- */

/*
 * From a trampoline: rcx is where the guest goes on, GS base has been checked to be a slot's,
 * r11 is free, everything else the guest's.
 */
	.balign 64
systrap_call:
	movq	%gs:SLOT_SELF, %r11
	movq	%rax, SLOT_RAX(%r11)
	movq	%rdi, SLOT_RDI(%r11)
	movq	%rsi, SLOT_RSI(%r11)
	movq	%rdx, SLOT_RDX(%r11)
	movq	%r10, SLOT_R10(%r11)
	movq	%r8, SLOT_R8(%r11)
	movq	%r9, SLOT_R9(%r11)
	movq	%rsp, SLOT_RSP(%r11)
	movq	%rcx, SLOT_RIP(%r11)
	movq	%rbx, SLOT_RBX(%r11)
	leaq	SLOT_STACK_TOP(%r11), %rsp
	pushfq
	popq	SLOT_FLAGS(%r11)
	movq	%r11, %rbx
	cmpl	$39, %eax		/* getpid, the most frequent of those that ident has */
	je	identity
	cmpl	$102, %eax
	jae	maybe_identity
handover:
	movq	%rbp, SLOT_RBP(%rbx)
	movq	%r12, SLOT_R12(%rbx)
	movq	%r13, SLOT_R13(%rbx)
	movq	%r14, SLOT_R14(%rbx)
	movq	%r15, SLOT_R15(%rbx)
	cmpl	$0, SLOT_FSGSBASE(%rbx)
	je	1f
	rdfsbase %rax
	movq	%rax, SLOT_FS(%rbx)
1:	movl	$KIND_CALL, SLOT_KIND(%rbx)
	call	post_and_wait
	cmpl	$CMD_RETURN, SLOT_CMD(%rbx)
	jne	call_commands
call_return:
	movq	%gs:SLOT_SELF, %r11
	cmpl	$0, SLOT_INTR(%r11)
	jne	call_interrupted
	movq	SLOT_RDI(%r11), %rdi
	movq	SLOT_RSI(%r11), %rsi
	movq	SLOT_RDX(%r11), %rdx
	movq	SLOT_R10(%r11), %r10
	movq	SLOT_R8(%r11), %r8
	movq	SLOT_R9(%r11), %r9
	movq	SLOT_RBX(%r11), %rbx
	movq	SLOT_RIP(%r11), %rcx
	movq	SLOT_RAX(%r11), %rax
	leaq	SLOT_STACK_TOP(%r11), %rsp
	pushq	SLOT_FLAGS(%r11)
	popfq
	movq	SLOT_RSP(%r11), %rsp
	movq	SLOT_FLAGS(%r11), %r11
call_return_end:
	jmp	*%rcx

call_commands:
	testb	$CMD_EXIT, SLOT_CMD(%rbx)
	jnz	thread_exit
	/*
	 * CMD_SAVE: the vector state goes to where the last signal frame was, whose other contents
	 * the sentry writes, and we return from there as from a signal.  No signal may come
	 * meanwhile: it would use the same place.
	 */
	movq	$-1, SLOT_MASK(%rbx)
	movl	$2, %edi		/* SIG_SETMASK */
	leaq	SLOT_MASK(%rbx), %rsi
	xorl	%edx, %edx
	movl	$8, %r10d
	movl	$SYS_rt_sigprocmask, %eax
	syscall
	movq	SLOT_UC(%rbx), %r12
	movq	UC_FPSTATE(%r12), %rdi
	movabsq	$ST_REQ, %rcx
	movl	REQ_XFEATURES(%rcx), %eax
	movl	REQ_XFEATURES+4(%rcx), %edx
	xsave64	(%rdi)
	movq	%rbx, SLOT_GS(%rbx)
	movl	$KIND_FRAME, SLOT_KIND(%rbx)
	call	post_and_wait
	jmp	have_turn

call_interrupted:
	movl	$0, SLOT_INTR(%r11)
	movl	$ST_TRAP_NR, %eax
	syscall
systrap_intr_end:
	hlt

/*
 * getuid 102, getgid 104, geteuid 107, getegid 108, gettid 186.  The table is by slot.
 */
maybe_identity:
	cmpl	$186, %eax
	ja	handover
	je	identity
	cmpl	$108, %eax
	ja	handover
	cmpl	$103, %eax
	je	handover
	cmpl	$105, %eax
	je	handover
	cmpl	$106, %eax
	je	handover
identity:
	movabsq	$ST_SLOTS, %rsi
	movq	%rbx, %rdi
	subq	%rsi, %rdi
	shrq	$(SLOT_SHIFT - 5), %rdi
	cmpq	$(IDENT_MAX * IDENT_SIZE), %rdi
	jae	handover
	movabsq	$ST_IDENT, %rsi
	addq	%rsi, %rdi
	cmpl	$0, IDENT_VALID(%rdi)
	je	handover
	cmpl	$39, %eax
	jne	1f
	movl	4(%rdi), %eax
	jmp	2f
1:	cmpl	$186, %eax
	jne	3f
	movl	8(%rdi), %eax
	jmp	2f
3:	cmpl	$102, %eax
	jne	4f
	movl	12(%rdi), %eax
	jmp	2f
4:	cmpl	$107, %eax
	jne	5f
	movl	16(%rdi), %eax
	jmp	2f
5:	cmpl	$104, %eax
	jne	6f
	movl	20(%rdi), %eax
	jmp	2f
6:	movl	24(%rdi), %eax
2:	movq	%rax, SLOT_RAX(%rbx)
	jmp	call_return

patched_end:

/* --- signals --- */

/*
 * Every signal comes here, on the slot's signal stack, all others blocked: the
 * kernel's frame is the event.  rdi: number, rdx: ucontext.
 */
	.balign 16
systrap_handler:
	movq	%rsp, %rbx
	andq	$-SLOT_SIZE, %rbx
	movq	%rdx, %r12
	cmpl	$STUB_SIG_INTERRUPT, %edi
	je	in_our_code
not_in_our_code:
	movl	%edi, SLOT_SIGNO(%rbx)
	movq	%rdx, SLOT_UC(%rbx)
	movl	$KIND_FRAME, SLOT_KIND(%rbx)
	movabsq	$ST_REQ, %rax
	testb	$REQ_FSGSBASE, REQ_FLAGS(%rax)
	jz	1f
	rdfsbase %rax
	movq	%rax, SLOT_FS(%rbx)
	rdgsbase %rax
	movq	%rax, SLOT_GS(%rbx)
1:	call	post_and_wait
have_turn:
	movl	SLOT_CMD(%rbx), %r13d
	testl	%r13d, %r13d
	jnz	commands
sigreturn:
	movq	%r12, %rsp
	movl	$SYS_rt_sigreturn, %eax
	syscall
	hlt

commands:
	testb	$CMD_EXIT, %r13b
	jnz	thread_exit
	testb	$CMD_SET_FS, %r13b
	jz	1f
	movl	$ARCH_SET_FS, %edi
	movq	SLOT_NEW_FS(%rbx), %rsi
	movl	$SYS_arch_prctl, %eax
	syscall
1:	testb	$CMD_SET_GS, %r13b
	jz	sigreturn
	movl	$ARCH_SET_GS, %edi
	movq	SLOT_NEW_GS(%rbx), %rsi
	movl	$SYS_arch_prctl, %eax
	syscall
	jmp	sigreturn

thread_exit:
	xorl	%edi, %edi
	movl	$SYS_exit, %eax
	syscall
	hlt

/*
 * An interrupt.  If it hit a patched call under way, note it and go on.  Before
 * the hand-over the sentry gets its turn anyway.  Behind it, on the way back into the guest,
 * the way back starts anew and sees the note.
 */
in_our_code:
	movq	UC_RIP(%rdx), %rax
	movabsq	$ST_CODE, %rcx
	subq	%rcx, %rax
	cmpq	$(patched_end - systrap_stub_begin), %rax
	jae	not_in_our_code
	movl	$1, SLOT_INTR(%rbx)
	cmpq	$(call_return - systrap_stub_begin), %rax
	jb	sigreturn
	cmpq	$(call_return_end - systrap_stub_begin), %rax
	ja	sigreturn
	addq	$(call_return - systrap_stub_begin), %rcx
	movq	%rcx, UC_RIP(%rdx)
	jmp	sigreturn

systrap_restorer:
	movl	$SYS_rt_sigreturn, %eax
	syscall
	hlt

/* --- the keeper --- */

/*
 * r15: the key.  All of its state is in registers, which no guest thread can reach, and all it is
 * told is in a page that no guest thread can write.  Its answer goes to a place inside the host
 * kernel that it takes the key to set: its robust list pointer, which the sentry reads by
 * get_robust_list(2): sequence << 48 | index of the operation << 40 | low 32 bits of its result.
 *
 *	r12d	sequence of the last request that was answered
 *	rbx	ST_REQ
 */
	.balign 16
systrap_keeper:
	cld
	movabsq	$ST_REQ, %rbx
	xorl	%r12d, %r12d
keeper_wait:
	movl	REQ_SEQ(%rbx), %edx
	cmpl	%edx, %r12d
	jne	keeper_work
	leaq	REQ_SEQ(%rbx), %rdi
	xorl	%esi, %esi		/* FUTEX_WAIT */
	xorl	%r10d, %r10d
	movl	$SYS_futex, %eax
	syscall
	jmp	keeper_wait

keeper_work:
	movl	%edx, %r12d
	xorl	%ebp, %ebp		/* index */
	leaq	REQ_OPS(%rbx), %r13
	xorl	%eax, %eax
keeper_next:
	cmpl	REQ_COUNT(%rbx), %ebp
	jae	keeper_answer
	movq	OP_ARG0(%r13), %rdi
	movq	OP_ARG0+8(%r13), %rsi
	movq	OP_ARG0+16(%r13), %rdx
	movq	OP_ARG0+24(%r13), %r10
	movq	OP_ARG0+32(%r13), %r8
	movq	OP_NR(%r13), %rax
	cmpl	$SYS_mmap, %eax
	je	keeper_mmap
	cmpl	$SYS_clone, %eax
	je	keeper_clone
	movq	%r15, %r9
	syscall
keeper_done:
	cmpl	$0, OP_MAY_FAIL(%r13)
	jne	1f
	cmpq	$-4095, %rax
	jae	keeper_answer
1:	incl	%ebp
	addq	$REQ_OP_SIZE, %r13
	jmp	keeper_next

keeper_mmap:
	/* All six arguments are in use: the key is in the upper halves of two that have no meaning. */
	movq	OP_ARG0+40(%r13), %r9
	movq	%r15, %rcx
	shrq	$32, %rcx
	shlq	$32, %rcx
	orq	%rcx, %r10
	movq	%r15, %rcx
	shlq	$32, %rcx
	orq	%rcx, %r8
	syscall
	jmp	keeper_done

	/* clone(flags, stack, -, tid, -): a thread if there is a stack. */
keeper_clone:
	movq	%rdx, %r14		/* a process: offset of its control block */
	movq	%r15, %r9
	syscall
	testq	%rax, %rax
	jnz	keeper_done
	testq	%rsi, %rsi
	jnz	thread_start
	/* A new process: its own control block, then wait for its first request. */
	movq	%r8, %rax		/* the file */
	movl	%eax, %r8d
	movabsq	$ST_REQ, %rdi
	movl	$0x2000, %esi		/* requests and identities */
	movl	$1, %edx		/* PROT_READ */
	movl	$0x11, %r10d		/* MAP_SHARED | MAP_FIXED */
	movq	%r15, %rcx
	shrq	$32, %rcx
	shlq	$32, %rcx
	orq	%rcx, %r10
	movq	%r15, %rcx
	shlq	$32, %rcx
	orq	%rcx, %r8
	movq	%r14, %r9
	movl	$SYS_mmap, %eax
	syscall
	movabsq	$ST_DONE, %rdi
	movl	$0x1000, %esi
	movl	$3, %edx		/* PROT_READ | PROT_WRITE */
	addq	$0x2000, %r9
	movl	$SYS_mmap, %eax
	syscall
	xorl	%r14d, %r14d
	jmp	systrap_keeper

keeper_answer:
	movl	%eax, %eax
	movl	%ebp, %ecx
	shlq	$40, %rcx
	orq	%rcx, %rax
	movl	%r12d, %ecx
	shlq	$48, %rcx
	orq	%rcx, %rax
	movq	%rax, %rdi
	movl	$24, %esi
	movq	%r15, %r9
	movl	$SYS_set_robust_list, %eax
	syscall
	/* Tell the sentry to look. */
	movabsq	$ST_DONE, %rdi
	movl	%r12d, (%rdi)
	movl	$1, %esi		/* FUTEX_WAKE */
	movl	$1, %edx
	movl	$SYS_futex, %eax
	syscall
	jmp	keeper_wait

/* --- a new stub thread; rsp: SLOT_STACK_TOP of its slot --- */

thread_start:
	xorl	%r15d, %r15d		/* before anything else: no guest thread has the key */
	xorl	%r9d, %r9d
	xorl	%r14d, %r14d
	leaq	-SLOT_STACK_TOP(%rsp), %rbx
	leaq	SLOT_ALTSTACK(%rbx), %rdi
	xorl	%esi, %esi
	movl	$SYS_sigaltstack, %eax
	syscall
	movl	$ST_TRAP_NR, %eax
	syscall
	hlt

systrap_stub_end:
	.org	systrap_stub_begin + ST_CODE_SIZE	/* an error if it does not fit into its page */

	.section .note.GNU-stack, "", @progbits
