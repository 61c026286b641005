/*
 * Terminals as ioctl_tty(2) passes them.  The kernel's struct has 19 control
 * characters and no speeds, unlike libc's; flag constants are libc's (<termios.h>).
 */
#ifndef LIB_ABI_TERMIOS_H
#define LIB_ABI_TERMIOS_H

#include <stdint.h>

#define ABI_NCCS 19

struct abi_termios {
	uint32_t c_iflag;
	uint32_t c_oflag;
	uint32_t c_cflag;
	uint32_t c_lflag;
	uint8_t c_line;
	uint8_t c_cc[ABI_NCCS];
};

/* Of System V: the lower halves of the flags, and the first control characters. */
struct abi_termio {
	uint16_t c_iflag;
	uint16_t c_oflag;
	uint16_t c_cflag;
	uint16_t c_lflag;
	uint8_t c_line;
	uint8_t c_cc[8];
};

struct abi_termios2 {
	uint32_t c_iflag;
	uint32_t c_oflag;
	uint32_t c_cflag;
	uint32_t c_lflag;
	uint8_t c_line;
	uint8_t c_cc[ABI_NCCS];
	uint32_t c_ispeed;
	uint32_t c_ospeed;
};

struct abi_winsize {
	uint16_t ws_row;
	uint16_t ws_col;
	uint16_t ws_xpixel;
	uint16_t ws_ypixel;
};

#define ABI_TCGETS2 0x802c542au
#define ABI_TCSETS2 0x402c542bu
#define ABI_TCSETSW2 0x402c542cu
#define ABI_TCSETSF2 0x402c542du

_Static_assert(sizeof(struct abi_termio) == 18, "ABI");
_Static_assert(sizeof(struct abi_termios) == 36, "ABI");
_Static_assert(sizeof(struct abi_termios2) == 44, "ABI");
_Static_assert(sizeof(struct abi_winsize) == 8, "ABI");

#endif
