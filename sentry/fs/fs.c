/* See fs.h. */
#include "sentry/fs/fs.h"

#include "sentry/fs/anon/eventfd.h"
#include "sentry/fs/dev/dev.h"
#include "sentry/fs/host/hostfile.h"
#include "sentry/fs/pipe.h"
#include "sentry/fs/timerfd.h"
#include "sentry/fs/tmpfs/tmpfs.h"

int fs_init(void)
{
	int err = tmpfs_init();
	if (err)
		return err;
	pipe_init();
	eventfd_init();
	timerfd_init();
	dev_init();
	hostfile_init();
	return 0;
}
