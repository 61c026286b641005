/*
 * The state directory: names, locks, who is alive.
 * OBJS: lib/ runsc-cli/state runsc-cli/report
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "runsc-cli/state.h"
#include "tests/unit/test.h"

static char root[] = "/tmp/cli-state-XXXXXX";

static struct container *make(const char *id)
{
	struct container *c = NULL;
	CHECK_EQ(container_new(root, id, &c, NULL), 0);
	c->bundle = strdup("/b");
	CHECK_EQ(container_save(c, NULL), 0);
	return c;
}

TEST(setup)
{
	CHECK(mkdtemp(root));
}

TEST(ids)
{
	static const char *const good[] = {"a", "A-b_c.d+e", "0", "..."};
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "\xc3\xbc", "a\n", "#a"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_EQ(container_id_check(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_EQ(container_id_check(bad[i], NULL), -EINVAL);
}

TEST(round_trip)
{
	struct container *c = make("c"), *d = NULL, *twice = NULL;
	c->anchor = c->sentry = c->gofer = proc_id_of(getpid());
	c->saved = STATUS_RUNNING;
	c->scratch = strdup("/nonexistent/scratch");
	CHECK_EQ(container_save(c, NULL), 0);
	CHECK_EQ(container_new(root, "c", &twice, NULL), -EEXIST);
	container_free(c);

	CHECK_EQ(container_load_locked(root, "c", &d, NULL), 0);
	CHECK_STR(d->bundle, "/b");
	CHECK_STR(d->scratch, "/nonexistent/scratch");
	CHECK_EQ(container_status(d), STATUS_RUNNING);
	d->gofer.start++; /* the pid is another process's by now */
	CHECK_EQ(container_status(d), STATUS_STOPPED);
	CHECK_EQ(container_exit_code(d), -1);
	container_record_exit(d->dir_fd, 137, "why so");
	CHECK_EQ(container_exit_code(d), 137);
	CHECK_STR(container_exit_note(d), "why so");
	CHECK_EQ(container_erase(d, NULL), 0);
	container_free(d);
	CHECK_EQ(container_load(root, "c", &d, NULL), -ENOENT);
}

/* Who waits for the lock of a container that is removed meanwhile is told that it is gone. */
TEST(lock_of_a_removed_one)
{
	struct container *c = make("c"), *d = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		container_free(c); /* with the inherited lock */
		_exit(container_load_locked(root, "c", &d, NULL) == -ENOENT ? 0 : 1);
	}
	usleep(50000);
	CHECK_EQ(container_erase(c, NULL), 0);
	container_free(c);
	int status;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

/* A directory that a killed create left. */
TEST(bare)
{
	char path[64];
	struct container *c = NULL;
	snprintf(path, sizeof(path), "%s/c", root);
	CHECK_EQ(mkdir(path, 0700), 0);
	CHECK_EQ(container_load_locked(root, "c", &c, NULL), 0);
	CHECK(c->bare);
	CHECK_EQ(container_status(c), STATUS_STOPPED);
	CHECK_EQ(container_erase(c, NULL), 0);
	container_free(c);
}

TEST(processes)
{
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	struct proc_id id = proc_id_of(pid), other = {pid, id.start + 1};
	CHECK(proc_id_alive(id));
	CHECK(!proc_id_alive(other));
	CHECK_EQ(proc_id_kill(other, SIGKILL), -ESRCH);
	CHECK(!proc_id_wait_dead(id, 20));
	CHECK_EQ(proc_id_kill(id, SIGKILL), 0);
	CHECK(proc_id_wait_dead(id, 5000));
	CHECK(!proc_id_alive(id)); /* a zombie */
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(proc_id_kill(id, SIGKILL), -ESRCH);
	CHECK(!proc_id_alive((struct proc_id){0}));
}

TEST(teardown)
{
	CHECK_EQ(rmdir(root), 0);
}
