/*
 * What a stub process of the systrap platform has in its address space beside
 * the guest's mappings, all of it above what a guest may map; shared with
 * assembly.
 *
 *	ST_SLOTS	slots, one for each stub thread (writable: the guest can scribble there, and
 *			harms nobody but itself)
 *	ST_CODE		our code, one page, read and execute
 *	ST_REQ		what the sentry asks of the keeper; read-only
 *	ST_IDENT	what the sentry lets threads answer by themselves; read-only
 *	ST_DONE		a word that the keeper wakes the sentry by; writable, a hint and no more
 *	ST_TRAMP	trampolines of patched system calls; read and execute
 */
#ifndef PLATFORM_SYSTRAP_LAYOUT_H
#define PLATFORM_SYSTRAP_LAYOUT_H

#include "platform/stub_signal.h"

#define ST_SLOTS 0x7fffe0000000
#define ST_SLOTS_SIZE 0x10000000 /* 2^28: see ST_GS_SHIFT */
#define ST_CODE 0x7ffff0000000
#define ST_CODE_SIZE 0x1000
#define ST_CTL 0x7ffff0010000
#define ST_REQ ST_CTL
#define ST_IDENT (ST_CTL + 0x1000)
#define ST_DONE (ST_CTL + 0x2000)
#define ST_TRAMP 0x7ffff0020000
#define ST_TRAMP_SIZE 0x10000
#define ST_END 0x7fffffffe000

/* A thread's GS base is its slot; shifted right so far it is this number for any slot. */
#define ST_GS_SHIFT 28
#define ST_GS_NUMBER 0x7fffe
/* Where that cannot be read, a word in the slot says that it is one: no other memory that a guest
 * may have its GS base at says the same by chance. */
#define ST_GS_MAGIC 0x53a9c14d

/* --- a slot --- */

#define SLOT_SIZE 8192
#define SLOT_SHIFT 13
/* First line: all that a hand-over by a patched call moves. */
#define SLOT_WORD 0
#define SLOT_KIND 4
#define SLOT_RAX 8
#define SLOT_RDI 16
#define SLOT_RSI 24
#define SLOT_RDX 32
#define SLOT_R10 40
#define SLOT_R8 48
#define SLOT_R9 56
/* Second and third: the other registers of a patched call. */
#define SLOT_RSP 64
#define SLOT_RIP 72
#define SLOT_FLAGS 80
#define SLOT_RBX 88
#define SLOT_RBP 96
#define SLOT_R12 104
#define SLOT_R13 112
#define SLOT_R14 120
#define SLOT_R15 128
#define SLOT_FS 136 /* segment bases, as they were at the event */
#define SLOT_GS 144
#define SLOT_UC 152 /* address of the kernel's ucontext */
#define SLOT_SIGNO 160
#define SLOT_FSGSBASE 164 /* RDFSBASE may be used */
#define SLOT_SELF 168     /* the slot's address, for gs-relative loads */
#define SLOT_MAGIC 176    /* ST_GS_MAGIC */
/* Fourth: the sentry's words to the thread. */
#define SLOT_CMD 192
#define SLOT_SPIN 196
#define SLOT_INTR 200  /* written by the thread */
#define SLOT_YIELD 204 /* YIELD_*: while it spins */
#define SLOT_NEW_FS 208
#define SLOT_NEW_GS 216
#define SLOT_ALTSTACK 224  /* a stack_t */
#define SLOT_MASK 248      /* scratch: a signal mask */
#define SLOT_TID 256       /* cleared by the host when the thread ends */
#define SLOT_STACK_TOP 512 /* of the little stack for patched calls */
#define SLOT_SIGSTACK 512
#define SLOT_SIGSTACK_SIZE (SLOT_SIZE - SLOT_SIGSTACK)

/* Word: whose turn it is, and who sleeps. */
#define WORD_GUEST 0 /* the guest runs */
#define WORD_EVENT 1 /* the sentry's turn */
#define WORD_SENTRY_SLEEPS 16
#define WORD_STUB_SLEEPS 32

#define YIELD_CPU 1   /* somebody else should have the CPU for a moment */
#define YIELD_SLEEP 2 /* the sentry sleeps: so should the thread (PLACE_LEAVE) */

#define KIND_FRAME 1 /* a signal frame at SLOT_UC */
#define KIND_CALL 2  /* a patched call: registers in the slot */

#define CMD_RETURN 0
#define CMD_EXIT 1   /* bit: the thread ends */
#define CMD_SET_FS 2 /* bits, with a frame */
#define CMD_SET_GS 4
#define CMD_SAVE 8 /* KIND_CALL: make it a KIND_FRAME, with the vector state in it */

/* --- the keeper's requests --- */

#define REQ_SEQ 0
#define REQ_COUNT 4
#define REQ_FLAGS 8
#define REQ_XFEATURES 16 /* what XSAVE is to save */
#define REQ_FSGSBASE 1   /* flag: RDFSBASE and its kin may be used */
#define REQ_OPS 64
#define REQ_OP_SIZE 64
#define REQ_OPS_MAX 63
/* An operation: number and arguments of a system call.  OP_CLONE's child is a process that maps
 * a control block of its own (argument 1: its offset, argument 2: the file's descriptor). */
#define OP_NR 0
#define OP_ARG0 8
#define OP_MAY_FAIL 56 /* go on in any case */

/* --- identities, by a slot's index --- */

#define IDENT_SIZE 32
#define IDENT_MAX 128
#define IDENT_VALID 0 /* u32; then pid, tid, uid, euid, gid, egid */

/* No such system call: how the stub has a signal frame made of where it is. */
#define ST_TRAP_NR 0xfff

#endif
