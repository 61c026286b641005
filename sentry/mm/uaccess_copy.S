/*
 * The only instructions of the sentry that may fault: each is listed in the
 * section uaccess_ex with the address where to go on (uaccess_fixup).
 * See mm_priv.h for what the functions return.
 */
#define EX(insn, fixup)				\
	.pushsection uaccess_ex, "a";		\
	.balign 4;				\
	.long insn - .;				\
	.long fixup - .;			\
	.popsection

#define FUNC(name)				\
	.globl name;				\
	.type name, @function;			\
	.balign 16;				\
name:						\
	.cfi_startproc;				\
	endbr64

#define END(name)				\
	.cfi_endproc;				\
	.size name, . - name

	.text

/* size_t uaccess_copy(void *dst, const void *src, size_t n) */
FUNC(uaccess_copy)
	movq	%rdx, %rcx
	cmpq	$128, %rcx
	jae	.Lcopy_string
	cmpq	$8, %rcx
	jb	.Lcopy_tail
.Lcopy_words:
1:	movq	(%rsi), %rax
2:	movq	%rax, (%rdi)
	addq	$8, %rsi
	addq	$8, %rdi
	subq	$8, %rcx
	cmpq	$8, %rcx
	jae	.Lcopy_words
.Lcopy_tail:
	testq	%rcx, %rcx
	jz	.Lcopy_done
.Lcopy_bytes:
3:	movb	(%rsi), %al
4:	movb	%al, (%rdi)
	incq	%rsi
	incq	%rdi
	decq	%rcx
	jnz	.Lcopy_bytes
.Lcopy_done:
	movq	%rcx, %rax
	ret
.Lcopy_string:
5:	rep movsb
	jmp	.Lcopy_done
	EX(1b, .Lcopy_bytes)
	EX(2b, .Lcopy_bytes)
	EX(3b, .Lcopy_done)
	EX(4b, .Lcopy_done)
	EX(5b, .Lcopy_done)
END(uaccess_copy)

/* size_t uaccess_zero(void *dst, size_t n) */
FUNC(uaccess_zero)
	movq	%rsi, %rcx
	xorl	%eax, %eax
1:	rep stosb
.Lzero_done:
	movq	%rcx, %rax
	ret
	EX(1b, .Lzero_done)
END(uaccess_zero)

/* int uaccess_raw_load32(const void *p, uint32_t *val) */
FUNC(uaccess_raw_load32)
1:	movl	(%rdi), %eax
	movl	%eax, (%rsi)
	xorl	%eax, %eax
	ret
	EX(1b, .Lraw_fault)
END(uaccess_raw_load32)

/* int uaccess_raw_cmpxchg32(void *p, uint32_t old, uint32_t new, uint32_t *seen) */
FUNC(uaccess_raw_cmpxchg32)
	movl	%esi, %eax
1:	lock cmpxchgl %edx, (%rdi)
	movl	%eax, (%rcx)
	xorl	%eax, %eax
	ret
.Lraw_fault:
	movl	$-1, %eax
	ret
	EX(1b, .Lraw_fault)
END(uaccess_raw_cmpxchg32)

	.section .note.GNU-stack, "", @progbits
