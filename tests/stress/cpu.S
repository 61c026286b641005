/* See stress.h.  Nothing in the loops touches flags. */
	.text
	.globl call_code, cpu_loop, base_loop

call_code:
	mov %rsi, %rax
	jmp *%rdi

#define FLAGS 96
#define MXCSR 104
#define FCW 108
#define RED 112
#define X87 240
#define VEC 384
#define MASK (VEC + 2048)

/* The frame: what the loop needs, as no register is free. */
#define ROUNDS 0(%rsp)
#define NR 8(%rsp)
#define SPINS 16(%rsp)
#define OUT 24(%rsp)
#define WIDTH 32(%rsp)
#define OLD_MXCSR 40(%rsp)
#define OLD_FCW 44(%rsp)
#define FRAME 56

.altmacro
.macro load_vec insn, reg, n
	\insn VEC + 64 * \n(%rdi), %\reg\n
.endm
.macro store_vec insn, reg, n
	\insn %\reg\n, VEC + 64 * \n(%rax)
.endm
.macro vectors which, insn, reg, count
	.set i, 0
	.rept \count
	\which \insn, \reg, %i
	.set i, i + 1
	.endr
.endm
.macro load_mask n
	kmovq MASK + 8 * \n(%rdi), %k\n
.endm
.macro store_mask n
	kmovq %k\n, MASK + 8 * \n(%rax)
.endm

cpu_loop:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	sub $FRAME, %rsp
	mov %rdx, ROUNDS
	mov %rcx, NR
	mov %r8, SPINS
	mov %rsi, OUT
	mov %r9, WIDTH
	stmxcsr OLD_MXCSR
	fnstcw OLD_FCW

	ldmxcsr MXCSR(%rdi)
	fldcw FCW(%rdi)
	.set i, 7
	.rept 8
	fldt X87 + 16 * i(%rdi)
	.set i, i - 1
	.endr
	cmpq $32, WIDTH
	je 1f
	ja 2f
	vectors load_vec, movdqu, xmm, 16
	jmp 3f
1:	vectors load_vec, vmovdqu, ymm, 16
	jmp 3f
2:	vectors load_vec, vmovdqu64, zmm, 32
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	load_mask \n
	.endr
3:	.set i, 0
	.rept 16
	mov RED + 8 * i(%rdi), %rax
	mov %rax, 8 * i - 128(%rsp)
	.set i, i + 1
	.endr
	mov 0(%rdi), %rbx
	mov 8(%rdi), %rbp
	mov 16(%rdi), %r12
	mov 24(%rdi), %r13
	mov 32(%rdi), %r14
	mov 40(%rdi), %r15
	mov 48(%rdi), %r8
	mov 56(%rdi), %r9
	mov 64(%rdi), %r10
	mov 72(%rdi), %rsi
	mov 80(%rdi), %rdx
	cmpq $-1, NR
	/* The flags come off a stack whose red zone stays out of the way. */
	lea -256(%rsp), %rsp
	pushq FLAGS(%rdi)
	mov 88(%rdi), %rdi
	je 5f
	popfq
	lea 256(%rsp), %rsp

4:	mov SPINS, %rcx
	loop .
	mov NR, %rax
	syscall
	mov ROUNDS, %rcx
	lea -1(%rcx), %rcx
	mov %rcx, ROUNDS
	jrcxz 6f
	jmp 4b

5:	popfq
	lea 256(%rsp), %rsp
7:	mov SPINS, %rcx
	loop .
	mov ROUNDS, %rcx
	lea -1(%rcx), %rcx
	mov %rcx, ROUNDS
	jrcxz 6f
	jmp 7b

6:	mov %rax, NR
	mov OUT, %rax
	mov %rbx, 0(%rax)
	mov %rbp, 8(%rax)
	mov %r12, 16(%rax)
	mov %r13, 24(%rax)
	mov %r14, 32(%rax)
	mov %r15, 40(%rax)
	mov %r8, 48(%rax)
	mov %r9, 56(%rax)
	mov %r10, 64(%rax)
	mov %rsi, 72(%rax)
	mov %rdx, 80(%rax)
	mov %rdi, 88(%rax)
	.set i, 0
	.rept 16
	mov 8 * i - 128(%rsp), %rbx
	mov %rbx, RED + 8 * i(%rax)
	.set i, i + 1
	.endr
	pushfq
	popq FLAGS(%rax)
	cld
	stmxcsr MXCSR(%rax)
	fnstcw FCW(%rax)
	.set i, 0
	.rept 8
	fstpt X87 + 16 * i(%rax)
	.set i, i + 1
	.endr
	cmpq $32, WIDTH
	je 1f
	ja 2f
	vectors store_vec, movdqu, xmm, 16
	jmp 3f
1:	vectors store_vec, vmovdqu, ymm, 16
	vzeroupper
	jmp 3f
2:	vectors store_vec, vmovdqu64, zmm, 32
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	store_mask \n
	.endr
	vzeroupper
3:	ldmxcsr OLD_MXCSR
	fldcw OLD_FCW
	mov NR, %rax
	add $FRAME, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

base_loop:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	mov %rcx, %rbx
	mov %r8, %rbp
	mov %rdx, %r12
	rdfsbase %r13
	rdgsbase %r14
	wrfsbase %rdi
	wrgsbase %rsi
1:	mov $200, %ecx
	loop .
	mov %rbp, %rax
	syscall
	dec %rbx
	jnz 1b
	rdfsbase %rax
	rdgsbase %rcx
	wrfsbase %r13
	wrgsbase %r14
	mov %rax, 0(%r12)
	mov %rcx, 8(%r12)
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.section .note.GNU-stack, "", @progbits
