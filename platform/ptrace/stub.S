/*
 * The only code of a stub process that is not the guest's: one page, copied
 * to STUB_ADDR.  It uses no memory and no stack; all of its state is in
 * registers that only a tracer or the host kernel can set, so a guest that
 * shares the address space cannot influence it.  A guest may jump here: it
 * then runs these instructions with its own registers under SYSEMU, which is
 * no more than it could do in a page of its own.
 */
#include "platform/ptrace/stub.h"

	.section .rodata.ptrace_stub, "a", @progbits
	.balign 16
	.globl ptrace_stub_begin, ptrace_stub_end
ptrace_stub_begin:

	/* STUB_INJECT: one system call, registers set by the tracer. */
	.org STUB_INJECT
	syscall
	int3

	/* STUB_EXIT: end this thread. */
	.org STUB_EXIT
	xorl	%edi, %edi
	movl	$60, %eax		/* exit */
	syscall
	ud2

	/* STUB_PARK: die with the sentry (pid r12d), otherwise sleep until seized. */
	.org STUB_PARK
	movl	$1, %edi		/* PR_SET_PDEATHSIG */
	movl	$9, %esi		/* SIGKILL */
	movl	$157, %eax		/* prctl */
	syscall
	movl	$110, %eax		/* getppid: the sentry may have died before */
	syscall
	cmpl	%eax, %r12d
	jne	2f
1:	movl	$34, %eax		/* pause */
	syscall
	jmp	1b
2:	movl	$231, %eax		/* exit_group */
	syscall
	ud2

	/* STUB_CLEAR: the template drops all it inherited from the sentry, then reports. */
	.org STUB_CLEAR
	xorl	%edi, %edi
	movq	$STUB_ADDR, %rsi
	movl	$11, %eax		/* munmap */
	syscall
	int3
	ud2
ptrace_stub_end:

	.section .note.GNU-stack, "", @progbits
