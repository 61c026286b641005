"""Running one program natively and in a sandbox, over the same root file system.

Natively means: in a chroot in namespaces of its own (pid, mount, ipc, uts, net), so that a program
sees the same things around it as in a container: it is process 1, and /proc, /dev and /tmp are
fresh.  Used by tests/sys, tests/workloads and bench.  What a container is made of: bundle.py.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

import bundle

PR_SET_CHILD_SUBREAPER = 36

POOR_HOST = "--host-features=-fsgsbase,-bmi2,-tsc"
# PLATFORM:VARIANT, in the tests and in bench.
VARIANTS = {"": [], "eager": ["--systrap-patch=eager"], "off": ["--systrap-patch=off"],
            "poorhost": [POOR_HOST], "pooreager": [POOR_HOST, "--systrap-patch=eager"]}

# Sets up what an OCI runtime would, then runs "$@" in the root file system $R.
NATIVE = r"""
set -e
hostname %s
ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null || true
mount --bind "$R" "$R"
cd "$R"
mount -t proc proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys 2>/dev/null || true
mount -t tmpfs -o nosuid,mode=755 tmpfs dev
n=3; for f in null - zero - full random urandom; do
	[ $f = - ] || mknod -m 666 dev/$f c 1 $n
	n=$((n + 1))
done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,nosuid,noexec devpts dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=1777 tmpfs tmp
[ -z "$W" ] || mount --bind "$W" "$R/work"
exec chroot "$R" /usr/bin/env -i "$@"
""" % bundle.HOSTNAME


class Result:
    def __init__(self, code, out, err, timed_out, seconds):
        self.code, self.out, self.err = code, out, err
        self.timed_out, self.seconds = timed_out, seconds


def default_signals():
    """A shell's background job has these ignored, and what it starts inherits that."""
    for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(s, signal.SIG_DFL)


def run(cmd, timeout, stdin=b"", env=None):
    """Runs cmd; on timeout kills what it started."""
    start = time.monotonic()
    # Files, not pipes: whoever survives the command cannot keep us waiting.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, \
            tempfile.TemporaryFile() as inp:
        inp.write(stdin)
        inp.seek(0)
        p = subprocess.Popen(cmd, stdin=inp, stdout=out, stderr=err, env=env,
                             start_new_session=True, preexec_fn=default_signals)
        timed_out = False
        try:
            p.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        except BaseException:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            raise
        if timed_out:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        out.seek(0)
        err.seek(0)
        return Result(p.returncode, out.read().decode(errors="replace"),
                      err.read().decode(errors="replace"), timed_out, time.monotonic() - start)


def native(rootfs, args, env=None, timeout=60, work=None, cwd="/", stdin=b""):
    e = [f"{k}={v}" for k, v in dict(bundle.ENV, **(env or {})).items()]
    if cwd != "/":
        args = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', cwd, *args]
    cmd = ["unshare", "--fork", "--kill-child", "-p", "-m", "-i", "-u", "-n", "--propagation",
           "private", "/bin/sh", "-c", NATIVE, "sh", *e, *args]
    return run(cmd, timeout, stdin,
               {"PATH": os.environ["PATH"], "R": os.path.abspath(rootfs), "W": work or ""})


class Runsc:
    """A --root of its own; `with` cleans up everything below it."""

    def __init__(self, path, platform=None, flags=()):
        self.path = os.path.abspath(path)
        self.dir = tempfile.mkdtemp(prefix="runsc-guest-")
        self.root = self.dir + "/state"
        self.flags = [*(["--platform", platform] if platform else []), *flags]
        self.count = 0
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.clean()
        shutil.rmtree(self.dir, ignore_errors=True)

    def cmd(self, *args, flags=()):
        return [self.path, "--root", self.root, *self.flags, *flags, *args]

    def bundle(self, doc):
        self.count += 1
        return bundle.write(f"{self.dir}/b{self.count}", doc)

    def run(self, rootfs, args, env=None, timeout=60, work=None, cwd="/", stdin=b"", flags=(),
            mounts=()):
        """One container from start to end."""
        d = self.bundle(bundle.config(os.path.abspath(rootfs), args, env, cwd, work, mounts))
        name = f"c{self.count}-{os.getpid()}"
        r = run(self.cmd("run", "--bundle", d, name, flags=flags), timeout, stdin)
        if r.timed_out or os.path.exists(f"{self.root}/{name}"):
            self.delete(name)
        reap()
        return r

    def delete(self, name):
        try:
            subprocess.run(self.cmd("delete", "--force", name), capture_output=True, timeout=60,
                           stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            pass

    def clean(self):
        if os.path.isdir(self.root):
            for name in sorted(os.listdir(self.root)):
                if os.path.isdir(f"{self.root}/{name}"):
                    self.delete(name)
        reap()


def reap():
    """Orphans of commands that were killed come to us."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Tally:
    """Prints results and the summary line that `make check` adds up."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def ok(self, name):
        self.passed += 1
        print(f"ok {name}", flush=True)

    def fail(self, name, why):
        self.failed += 1
        print(f"FAIL {name}: {why}", flush=True)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skip {name}: {why}", flush=True)

    def end(self):
        if not self.passed + self.failed + self.skipped:
            self.fail("suite", "no case was run: nothing is named so")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0
