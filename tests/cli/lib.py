"""What the command line tests share."""
import array
import fcntl
import glob
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import bundle  # noqa: E402

TESTS = []
LONG = 120  # seconds that nothing takes, however slow and loaded the host: something hangs


def test(fn):
    TESTS.append(fn)
    return fn


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def contains(text, part):
    if part not in text:
        raise AssertionError(f"{part!r} not in {text!r}")


def wait_until(condition, timeout=LONG, what="condition"):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"timeout waiting for {what}")


def alive(pid):
    """Exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Env:
    """One test's scratch: its own --root, bundles and log."""

    def __init__(self, runsc, base, rootfs):
        self.runsc = runsc
        self.dir = base
        self.root = base + "/root"
        self.rootfs = rootfs

    def cmd(self, *args, g=()):
        return [self.runsc, "--root", self.root, *g, *args]

    def run(self, *args, g=(), stdin=None, timeout=LONG, env=None, pass_fds=(), cwd=None):
        return subprocess.run(self.cmd(*args, g=g), input=stdin,
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, env=env,
                              pass_fds=pass_fds, cwd=cwd)

    def ok(self, *args, **kw):
        p = self.run(*args, **kw)
        equal((p.returncode, p.stderr), (0, ""), " ".join(args))
        return p.stdout

    def fails(self, *args, code=1, **kw):
        p = self.run(*args, **kw)
        equal(p.returncode, code, f"exit code of {' '.join(args)} ({p.stderr.strip()})")
        return p.stderr

    def bundle(self, name, args, terminal=False, edit=None):
        config = bundle.config(self.rootfs, args, terminal=terminal, hostname="test",
                               caps=("KILL", "CHOWN", "DAC_OVERRIDE"))
        if edit:
            edit(config)
        return bundle.write(f"{self.dir}/{name}", config)

    def create(self, name, *opts, out=None, g=(), **kw):
        """create with stdio that does not tie us to the container; returns its pid."""
        d = f"{self.dir}/{name}"
        with open(out or os.devnull, "a") as o, open(d + "/err", "w+") as e:
            p = subprocess.run(self.cmd("create", *opts, "--bundle", d, "--pid-file", d + "/pid",
                                        name, g=g), stdin=subprocess.DEVNULL, stdout=o, stderr=e,
                               timeout=LONG, **kw)
            e.seek(0)
            err = e.read()
        if p.returncode:
            raise AssertionError(f"create {name}: {p.returncode}: {err}")
        with open(d + "/pid") as f:
            return int(f.read())

    def state(self, name):
        return json.loads(self.ok("state", name))

    def status(self, name):
        return self.state(name)["status"]

    def sleeper(self, name, seconds=1000, **kw):
        self.bundle(name, ["sleep", str(seconds)], **kw)
        pid = self.create(name)
        self.ok("start", name)
        return pid

    def processes(self, name):
        with open(f"{self.root}/{name}/state.json") as f:
            s = json.load(f)
        return {k: s[k]["pid"] for k in ("anchor", "sentry", "gofer")}

    def ids(self):
        return self.ok("list", "-q").split()

    def clean(self):
        """Removes what a failed test left; returns what it was."""
        left = []
        for d in sorted(glob.glob(self.root + "/*")):
            left.append(os.path.basename(d))
            subprocess.run(self.cmd("delete", "--force", os.path.basename(d)),
                           capture_output=True, timeout=LONG)
        return left


def reap(pid, timeout=LONG):
    """The exit code of an orphan that was re-parented to us (or of a child)."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    raise AssertionError(f"process {pid} still runs")


def reap_all():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def sandbox_processes(root):
    """Processes of runsc that belong to this --root, or to nobody any more."""
    found = []
    for p in glob.glob("/proc/[0-9]*"):
        try:
            with open(p + "/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            if root in line and alive(p[6:]):
                found.append(f"{p[6:]}: {line}")
        except OSError:
            pass
    return found


def process_file(t, args, **more):
    path = f"{t.dir}/process-{time.time_ns()}.json"
    doc = {"terminal": False, "user": {"uid": 0, "gid": 0, "additionalGids": [10]}, "args": args,
           "env": ["PATH=/bin:/usr/bin", "X=y"], "cwd": "/"}
    doc.update(more)
    with open(path, "w") as f:
        json.dump(doc, f)
    return path


def exec_detached(t, name, process, *opts, out=os.devnull):
    with open(out, "a") as o:
        p = subprocess.run(t.cmd("exec", "--process", process, "--detach", "--pid-file",
                                 t.dir + "/xpid", *opts, name), stdin=subprocess.DEVNULL,
                           stdout=o, stderr=subprocess.STDOUT, timeout=LONG)
    equal(p.returncode, 0, "exec --detach: " + (open(out).read() if out != os.devnull else ""))
    return int(open(t.dir + "/xpid").read())


class ConsoleSocket:
    """What conmon and the shim listen on."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind(path)
        self.s.listen(1)
        self.s.settimeout(LONG)
        self.messages, self.fds = [], []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        conn, _ = self.s.accept()
        while True:
            data, anc, _, _ = conn.recvmsg(4096, socket.CMSG_SPACE(64))
            if not data and not anc:
                return
            self.messages.append(data)
            for _, _, raw in anc:
                a = array.array("i")
                a.frombytes(raw[:len(raw) // 4 * 4])
                self.fds += a

    def master(self):
        self.thread.join(LONG)
        equal(len(self.messages), 1, "messages on the console socket")
        equal(len(self.fds), 1, "descriptors on the console socket")
        self.s.close()
        return self.fds[0]


def read_tty(fd, until=None, timeout=LONG):
    """Bytes up to `until`, or to the end."""
    out = b""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if until and until in out:
            return out
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(fd, 4096)
        except OSError:
            return out
        if not chunk:
            return out
        out += chunk
    raise AssertionError(f"terminal: timeout; so far {out!r}, waited for {until!r}")


def set_size(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Foreground:
    """A command on a terminal of its own."""

    def __init__(self, args, rows=24, cols=80):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(args[0], args)
        set_size(self.fd, rows, cols)

    def send(self, data):
        os.write(self.fd, data)

    def end(self):
        code = reap(self.pid)
        os.close(self.fd)
        return code
