/*
 * Host terminals.
 *
 * A container process with `terminal: true` gets a host pty: the slave, in raw mode, goes to the
 * sentry, whose own line discipline does the rest; the master goes to whoever asked: over
 * --console-socket, or to this process, which then relays between it and its own terminal.
 *
 * The window size belongs to the host pty: its owner sets it on the master, the session leader of
 * the slave (the anchor or the exec agent) gets SIGWINCH and tells the sentry.
 */
#ifndef RUNSC_CLI_CONSOLE_H
#define RUNSC_CLI_CONSOLE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/* A new pty; the slave in raw mode.  rows, cols 0: as they are. */
int console_new(int *master, int *slave, uint16_t rows, uint16_t cols, struct err **err);
/* Connects to the unix socket and sends the descriptor in one message. */
int console_send(const char *socket_path, int master, struct err **err);

/*
 * The foreground relay.  start: our terminal (the first of stdin, stdout, stderr that is one)
 * goes to raw mode and its size to the master.  It is restored by relay_stop, which also runs at
 * exit(3).
 */
struct relay {
	int master;
	int tty;      /* our own terminal, -1: none */
	bool in_open; /* stdin still feeds the master */
	bool out_open;
	char in_buf[4096]; /* typed, not yet taken by the master */
	size_t in_len;
};
void relay_start(struct relay *r, int master);
/* Copies our terminal's window size to the master (SIGWINCH); false if there is none. */
bool relay_resize(struct relay *r);
/* What poll(2) shall wait for: fills two entries (stdin, master). */
void relay_poll_prepare(const struct relay *r, struct pollfd p[2]);
/* Moves bytes after poll. */
void relay_pump(struct relay *r, const struct pollfd p[2]);
/* Copies what is left in the master until the slave's last close, then restores the terminal. */
void relay_stop(struct relay *r);

/* Writes pid to the file, atomically (runc writes no newline). */
int pid_file_write(const char *path, int pid, struct err **err);

#endif
