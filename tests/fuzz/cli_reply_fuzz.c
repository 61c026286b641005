/*
 * What the command line reads that it did not write: replies of a sentry that has been taken over,
 * and a damaged state.json.
 *
 * Input: which call (0: the state), then the reply as it comes over the socket, or the file.  A
 * call that fails has an errno and a message; one that succeeds gives what its comment promises; no
 * descriptor is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/proto/control.h"
#include "runsc-cli/state.h"
#include "tests/fuzz/driver.h"

#define REPLY_MAX (64u << 10) /* what fits into a socket buffer at once */

static char root[] = "/tmp/cli-fuzz-XXXXXX";

static void remove_root(void)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY);

	unlinkat(fd, "c/" STATE_FILE, 0);
	unlinkat(fd, "c", AT_REMOVEDIR);
	close(fd);
	rmdir(root);
}

static void set_up(void)
{
	char dir[sizeof(root) + 8];
	static bool done;

	if (done)
		return;
	done = true;
	log_set_level(LOG_ERROR);
	must(mkdtemp(root) != NULL, "no directory");
	atexit(remove_root);
	snprintf(dir, sizeof(dir), "%s/c", root);
	must(mkdir(dir, 0700) == 0, "no directory");
}

/* --- state.json --- */

static void one_state(const uint8_t *text, size_t n)
{
	struct container *c = NULL;
	struct err *err = NULL;
	char path[sizeof(root) + 32];

	snprintf(path, sizeof(path), "%s/c", root);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(write_file_at(dir, STATE_FILE, (const char *)text, n, 0600) == 0, "not written");
	close(dir);
	int ret = container_load(root, "c", &c, &err);

	must((ret < 0) == (err != NULL), "an error without message");
	if (ret == 0) {
		(void)status_name(container_status(c));
		json_t *o = container_state_json(c, "stopped");

		char *s = o ? json_dumps(o, 0) : NULL;
		must(!o || s, "a state that cannot be told");
		free(s);
		json_decref(o);
	}
	container_free(c);
	err_free(err);
}

/* --- replies --- */

static int one_call(int sock, uint8_t which, struct err **err)
{
	json_t *list = NULL;
	char *text = NULL;
	int n = 0, ret;

	switch (which % 7) {
	case 0:
		ret = control_ps(sock, "c", &list, err);
		must((ret == 0) == (list != NULL), "a list without success, or the reverse");
		break;
	case 1:
		ret = control_stats(sock, "c", &list, err);
		must((ret == 0) == (list != NULL), "a list without success, or the reverse");
		break;
	case 2:
		ret = control_stacks(sock, &text, err);
		must((ret == 0) == (text != NULL), "a text without success, or the reverse");
		must(!text || strlen(text) < REPLY_MAX, "no end");
		break;
	case 3:
		ret = control_wait(sock, "c", 0, &n, err);
		break;
	case 4:
		ret = control_exec(sock, "c", "{}", 2, (const int[]){-1, -1, -1}, 3, &n, err);
		break;
	case 5:
		ret = control_signal(sock, "c", 0, 15, 0, err);
		break;
	default:
		ret = control_ping(sock, err);
		break;
	}
	json_decref(list);
	free(text);
	return ret;
}

static void one_reply(uint8_t which, const uint8_t *reply, size_t n)
{
	struct err *err = NULL;
	int sv[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0, "no socket");
	must(write(sv[1], reply, n) == (ssize_t)n, "not written");
	shutdown(sv[1], SHUT_WR);
	int ret = one_call(sv[0], which, &err);

	must(ret <= 0 && ret > -4096, "odd errno");
	must((ret < 0) == (err != NULL), "an error without message");
	must(!err || err->msg[0], "an empty message");
	err_free(err);
	close(sv[0]);
	close(sv[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	uint8_t which = fuzz_u8(&in);
	int before, after;

	set_up();
	before = dup(0);
	close(before);
	if (which == 0)
		one_state(in.p, in.n);
	else if (in.n <= REPLY_MAX)
		one_reply(which - 1, in.p, in.n);
	after = dup(0);
	close(after);
	must(before == after, "a descriptor was left open");
	return 0;
}

const char *const fuzz_tokens[] = {"{\"ok\":true", "\"errno\":", "\"msg\":", "\"stats\":{}",
	"\"status\":", "\"pid\":", "null", "9223372036854775807", "-1", "\\u0000", "\"id\":", "[]",
	NULL};

#ifndef LIBFUZZER
/* Right lengths before what is there. */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	if (in->size < 9)
		return 0;
	uint32_t blob = (uint32_t)fuzz_below(2) * (uint32_t)fuzz_below(in->size - 8);
	uint32_t len[2] = {(uint32_t)in->size - 9 - MIN(blob, (uint32_t)in->size - 9),
		MIN(blob, (uint32_t)in->size - 9)};

	out->size = in->size;
	out->data = malloc(in->size + 1);
	memcpy(out->data, in->data, in->size);
	fuzz_mutate_bytes(out);
	if (out->size >= 9)
		memcpy(out->data + 1, len, sizeof(len));
	return 1;
}
#endif
