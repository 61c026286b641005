/*
 * Layout of the stub page; shared with assembly.
 *
 * It is the last page that the host lets a process map, directly above what a
 * guest may map.
 */
#ifndef PLATFORM_PTRACE_STUB_H
#define PLATFORM_PTRACE_STUB_H

#define STUB_ADDR 0x7fffffffe000
#define STUB_SIZE 4096

#define STUB_INJECT 0x00
#define STUB_INJECT_END 0x03 /* rip after the int3 */
#define STUB_EXIT 0x10
#define STUB_PARK 0x20
#define STUB_CLEAR 0x60

#ifndef __ASSEMBLER__
extern const char ptrace_stub_begin[], ptrace_stub_end[];
#endif

#endif
