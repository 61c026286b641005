"""Running one program natively and in a sandbox, over the same root file system.

Natively means: in a chroot in namespaces of its own (pid, mount, ipc, uts, net), so that a program
sees the same things around it as in a container: it is process 1, and /proc, /dev and /tmp are
fresh.  Used by tests/sys, tests/workloads and bench.
"""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
       "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TERM": "dumb"}
HOSTNAME = "guest"

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
""" % HOSTNAME

ALL_CAPS = ["CAP_" + c for c in """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()]


class Result:
    def __init__(self, code, out, err, timed_out, seconds):
        self.code, self.out, self.err = code, out, err
        self.timed_out, self.seconds = timed_out, seconds


def busybox_rootfs(root):
    """busybox, its links and the few files that programs look for."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise SystemExit("busybox is not installed: make deps")
    for d in ("bin", "etc", "proc", "dev", "tmp", "sys", "root", "usr/bin", "tests", "work",
              "scratch"):
        os.makedirs(f"{root}/{d}", exist_ok=True)
    for d in ("tmp", "scratch"):
        os.chmod(f"{root}/{d}", 0o1777)
    shutil.copy(busybox, root + "/bin/busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True,
                               text=True).stdout.split():
        if name not in ("busybox", "env") and not os.path.lexists(f"{root}/bin/{name}"):
            os.symlink("busybox", f"{root}/bin/{name}")
    if not os.path.lexists(root + "/usr/bin/env"):
        os.symlink("/bin/busybox", root + "/usr/bin/env")
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"
                                  "nobody:x:65534:65534::/:/bin/sh\n"),
                       ("group", "root:x:0:\nnogroup:x:65534:\n"),
                       ("hostname", HOSTNAME + "\n")):
        with open(f"{root}/etc/{name}", "w") as f:
            f.write(text)
        os.chmod(f"{root}/etc/{name}", 0o644)
    return root


def config(rootfs, args, env=None, cwd="/", work=None, mounts=(), terminal=False):
    """config.json with all capabilities; work is bind-mounted at /work."""
    e = dict(ENV, **(env or {}))
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal, "args": args, "cwd": cwd,
            "env": [f"{k}={v}" for k, v in e.items()],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {k: ALL_CAPS for k in ("bounding", "effective", "permitted")},
        },
        "root": {"path": rootfs, "readonly": False},
        "hostname": HOSTNAME,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["ro", "nosuid", "nodev", "noexec"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
            *([{"destination": "/work", "type": "bind", "source": work,
                "options": ["rbind", "rw"]}] if work else []),
            *mounts,
        ],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")]},
    }


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
    e = [f"{k}={v}" for k, v in dict(ENV, **(env or {})).items()]
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
        d = f"{self.dir}/b{self.count}"
        os.makedirs(d)
        with open(d + "/config.json", "w") as f:
            json.dump(doc, f)
        return d

    def run(self, rootfs, args, env=None, timeout=60, work=None, cwd="/", stdin=b"", flags=(),
            mounts=()):
        """One container from start to end."""
        d = self.bundle(config(os.path.abspath(rootfs), args, env, cwd, work, mounts))
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
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0
