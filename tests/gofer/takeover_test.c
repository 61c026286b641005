/*
 * The sentry's files when another gofer takes over: a task uses files of one gofer, the sentry says
 * what each is known by, the gofer is killed, and another one has all of them again that it said
 * could be had.
 *
 * The sentry is that of fuzz targets (tests/fuzz/env.h), the gofers are real ones, sealed.
 */
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "sentry/fs/gofer/goferfs.h"
#include "sentry/vfs/file.h"
#include "sentry/vfs/vfs.h"
#include "tests/fuzz/env.h"
#include "tests/gofer/harness.h"

#define PATH ENV_MEM
#define PATH2 (ENV_MEM + 0x1000)
#define BUF (ENV_MEM + 0x2000)

static struct gt first, second; /* of the same trees */

/* --- what the sentry says --- */

struct known {
	struct goferfs_token t;
	char path[256];
};
static struct known known[64];
static unsigned nknown;

static void note(void *arg, const struct goferfs_token *t)
{
	struct known *k = &known[nknown++];

	CHECK(nknown <= ARRAY_LEN(known));
	k->t = *t;
	snprintf(k->path, sizeof(k->path), "%s", t->path ? t->path : "?");
}

/* The token of an inode; its name is gone perhaps. */
static const struct known *token_of(uint64_t ino)
{
	const struct known *found = NULL;

	for (unsigned i = 0; i < nknown; i++)
		if (known[i].t.ino == ino) {
			CHECK(!found);
			found = &known[i];
		}
	CHECK(found != NULL);
	return found;
}

/* --- the task --- */

static void mount_gofer(handle_t conn)
{
	struct fs_mount_args args = {.source = "gofer", .gofer = {.conn = conn}};
	struct path at = {0};
	struct mount *m;
	struct vfs_view v;
	struct ctx kctx;

	task_vfs(env_task(), &v);
	ctx_init_kernel(&kctx, cred_root());
	v.ctx = &kctx;
	CHECK_EQ(mount_new(&kctx, SB_GOFER, 0, &args, &m), 0);
	CHECK_EQ(vfs_lookup(&v, AT_FDCWD, "/mnt", 0, &at), 0);
	CHECK_EQ(mount_attach(v.ns, m, &at), 0);
	path_put(&at);
}

/* Lets go of all that is of the gofer. */
static void unmount(handle_t conn)
{
	env_reset();
	env_put(PATH, "/", 2);
	CHECK_EQ(ENV_CALL(SYS_chdir, PATH), 0);
	env_put(PATH, "/mnt", 5);
	CHECK_EQ(ENV_CALL(SYS_umount2, PATH, MNT_DETACH), 0);
	goferfs_disconnect(conn);
}

static void put_path(uint64_t to, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "/mnt/%s", name);
	env_put(to, path, strlen(path) + 1);
}

static int t_open(const char *name, int flags)
{
	put_path(PATH, name);
	long fd = ENV_CALL(SYS_open, PATH, flags, 0640);
	CHECK(fd >= 0);
	return (int)fd;
}

static void t_unlink(const char *name)
{
	put_path(PATH, name);
	CHECK_EQ(ENV_CALL(SYS_unlink, PATH), 0);
}

static void t_rename(const char *from, const char *to)
{
	put_path(PATH, from);
	put_path(PATH2, to);
	CHECK_EQ(ENV_CALL(SYS_rename, PATH, PATH2), 0);
}

static void t_write(int fd, const char *text)
{
	env_put(BUF, text, strlen(text));
	CHECK_EQ(ENV_CALL(SYS_write, fd, BUF, strlen(text)), (long)strlen(text));
}

/* --- the other gofer --- */

static void resolve(const struct known *k, const char *path)
{
	const struct goferfs_token *t = &k->t;
	const struct fs_resolve_req what = {.tree = t->tree,
		.type = t->mode & S_IFMT,
		.dev_major = major(t->dev),
		.dev_minor = minor(t->dev),
		.ino = t->ino,
		.btime = {.sec = t->btime.sec, .nsec = t->btime.nsec}};
	struct fs_name names[16];
	struct fs_node n;
	char buf[256];
	unsigned count = 0;

	CHECK_EQ(t->how, GOFERFS_NAMED);
	CHECK_STR(k->path, path);
	snprintf(buf, sizeof(buf), "%s", path);
	for (char *s = strtok(buf, "/"); s; s = strtok(NULL, "/"))
		names[count++] = N(s);
	CHECK_EQ(fsc_resolve(&second.c, 0, &what, names, count, &n), 0);
	CHECK_EQ(n.attr.ino, t->ino);
	CHECK_EQ(n.attr.mode, t->mode);
}

static int remake(const struct known *k, const char *target)
{
	const struct goferfs_token *t = &k->t;
	const struct fs_remake_req what = {.mode = t->mode, .uid = t->uid, .gid = t->gid};
	struct fs_node n;
	char buf[64];
	int fd;

	CHECK_EQ(t->how, GOFERFS_UNNAMED);
	CHECK_STR(k->path, target ? target : "?");
	CHECK_EQ(fsc_remake(&second.c, second.root.id, &what, target, &n, &fd), 0);
	CHECK_EQ(n.attr.mode, t->mode);
	CHECK_EQ(n.attr.uid, t->uid);
	CHECK_EQ(n.attr.gid, t->gid);
	CHECK_EQ(n.attr.nlink, 0);
	if (target)
		CHECK_EQ(fsc_readlink(&second.c, n.id, buf, sizeof(buf)), (ssize_t)strlen(target));
	return fd;
}

/* A file without a name: the sentry still has what is in it, and puts it into the new one. */
static void remake_file(const struct known *k, int fd, const char *text)
{
	char buf[64] = "";
	int copy = remake(k, NULL);
	long n = ENV_CALL(SYS_pread64, fd, BUF, sizeof(buf), 0);

	CHECK_EQ(n, (long)strlen(text));
	env_get(BUF, buf, (size_t)n);
	CHECK_EQ(pwrite(copy, buf, (size_t)n, 0), n);
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(pread(copy, buf, sizeof(buf) - 1, 0), n);
	CHECK_STR(buf, text);
	close(copy);
}

/* --- */

enum { KEPT, OLD, INNER, GONE, CWD, LINK, LINK2, FIFO, FIFO2, NUL, ZERO, TWIN, NR };
static const char *const names[NR] = {"kept", "old", "dir/inner", "gone", "cwd", "link", "link2",
	"fifo", "fifo2", "null", "zero", "twin"};
static uint64_t ino[NR];

static void make_files(void)
{
	struct stat st;

	CHECK(mkdir(gt_path(&first, "root/dir"), 0755) == 0);
	CHECK(mkdir(gt_path(&first, "root/cwd"), 0711) == 0);
	CHECK(mkdir(gt_path(&first, "root/unseen"), 0755) == 0);
	for (const char *const *s = (const char *const[]){"root/kept", "root/old", "root/dir/inner",
		     "root/gone", "root/twin", NULL};
		*s; s++)
		gt_write(&first, *s, "text");
	CHECK(chown(gt_path(&first, "root/gone"), 12, 34) == 0);
	CHECK(link(gt_path(&first, "root/twin"), gt_path(&first, "root/unseen/twin")) == 0);
	CHECK(symlink("to/nowhere", gt_path(&first, "root/link")) == 0);
	CHECK(symlink("to/nowhere", gt_path(&first, "root/link2")) == 0);
	CHECK(mkfifo(gt_path(&first, "root/fifo"), 0620) == 0);
	CHECK(mkfifo(gt_path(&first, "root/fifo2"), 0620) == 0);
	CHECK(mknod(gt_path(&first, "root/null"), S_IFCHR | 0666, makedev(1, 3)) == 0);
	CHECK(mknod(gt_path(&first, "root/zero"), S_IFCHR | 0666, makedev(1, 5)) == 0);
	for (int i = 0; i < NR; i++) {
		char path[64];

		snprintf(path, sizeof(path), "root/%s", names[i]);
		CHECK(lstat(gt_path(&first, path), &st) == 0);
		ino[i] = st.st_ino;
	}
}

/* Returns the descriptors of a removed file and of one that never had a name. */
static void use_files(int *gone, int *tmp)
{
	for (int i = 0; i < NR; i++) {
		int fd = t_open(names[i], i >= LINK && i <= ZERO ? O_PATH | O_NOFOLLOW
					  : i == GONE            ? O_RDWR | O_APPEND
								 : O_RDONLY);

		if (i == GONE)
			*gone = fd;
		if (i == CWD)
			CHECK_EQ(ENV_CALL(SYS_fchdir, fd) | ENV_CALL(SYS_close, fd), 0);
	}
	t_rename("old", "new");
	t_rename("dir", "rid");
	for (const int *i = (const int[]){GONE, LINK, FIFO, ZERO, TWIN, NR}; *i < NR; i++)
		t_unlink(names[*i]);
	put_path(PATH, "cwd");
	CHECK_EQ(ENV_CALL(SYS_rmdir, PATH), 0);
	t_write(*gone, " and more");
	*tmp = t_open("", O_TMPFILE | O_RDWR);
	t_write(*tmp, "never had a name");
}

static const struct known *token_of_fd(int fd)
{
	struct stat st;

	CHECK_EQ(ENV_CALL(SYS_fstat, fd, BUF), 0);
	env_get(BUF, &st, sizeof(st));
	return token_of(st.st_ino);
}

TEST(another_gofer_takes_over)
{
	uint32_t n[GOFERFS_HOW_NR];
	handle_t conn;
	int gone = -1, tmp, status;

	gt_start_with(&first, (struct gt_opts){.raw = true});
	second = first;
	gt_launch(&second, (struct gt_opts){0});
	make_files();
	(void)env_task();
	CHECK_EQ(goferfs_connect(first.sock, &conn), 0);
	mount_gofer(conn);
	use_files(&gone, &tmp);

	goferfs_tokens(conn, n, note, NULL);
	CHECK_EQ(n[GOFERFS_UNNAMED], 5);
	CHECK_EQ(n[GOFERFS_LOST], 2);
	CHECK_EQ(n[GOFERFS_UNASKED], 0);
	CHECK_EQ(n[GOFERFS_NAMED] + 7, nknown);
	CHECK(kill(first.pid, SIGKILL) == 0 && waitpid(first.pid, &status, 0) == first.pid);

	resolve(token_of(second.root.attr.ino), "");
	resolve(token_of(ino[KEPT]), "kept");
	resolve(token_of(ino[OLD]), "new");
	resolve(token_of(ino[INNER]), "rid/inner");
	resolve(token_of(ino[LINK2]), "link2");
	resolve(token_of(ino[FIFO2]), "fifo2");
	resolve(token_of(ino[NUL]), "null");
	remake_file(token_of(ino[GONE]), gone, "text and more");
	remake_file(token_of_fd(tmp), tmp, "never had a name");
	CHECK_EQ(remake(token_of(ino[CWD]), NULL), -1);
	CHECK_EQ(remake(token_of(ino[FIFO]), NULL), -1);
	CHECK_EQ(remake(token_of(ino[LINK]), "to/nowhere"), -1);
	/* a device, and a file with another name that nobody here has seen */
	CHECK_EQ(token_of(ino[ZERO])->t.how, GOFERFS_LOST);
	CHECK_EQ(token_of(ino[TWIN])->t.how, GOFERFS_LOST);
	unmount(conn);
	CHECK_EQ(gt_stop(&second), 0);
}
