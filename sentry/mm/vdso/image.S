/* The vDSO image (guest/vdso.c, built by vdso.mk) as data. */
	.section .rodata.vdso, "a", @progbits
	.balign 4096
	.globl vdso_image, vdso_image_end
vdso_image:
	.incbin "vdso.so"
vdso_image_end:

	.section .note.GNU-stack, "", @progbits
