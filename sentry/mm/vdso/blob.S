/* The vDSO image (guest/vdso.c, built by vdso.mk) as data. */
	.section .rodata.vdso, "a", @progbits
	.balign 4096
	.globl vdso_blob, vdso_blob_end
vdso_blob:
	.incbin "vdso.so"
vdso_blob_end:

	.section .note.GNU-stack, "", @progbits
