"""Two network namespaces on one cable: a peer, and the place of a container.

The peer's programs run natively in the one; the same program runs in the other natively (the proof of
the test) and in a sandbox whose stack takes the link over.  Everything is made by this process and
goes with it: namespaces, and the processes in them, by their pids.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import bundle  # noqa: E402
import guest  # noqa: E402

PEER4, GUEST4, PEER6, GUEST6 = "10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"
MTU = 1500

# In a network namespace that is there already: what guest.NATIVE does but for the loopback.
ENTER = ["unshare", "--fork", "--kill-child", "-p", "-m", "-i", "-u", "--propagation", "private",
         "/bin/sh", "-c", guest.NATIVE, "sh"]


def sh(*cmd, check=True):
    r = subprocess.run(cmd, capture_output=True, text=True)
    if check and r.returncode:
        raise SystemExit(f"{' '.join(cmd)}: {r.stderr.strip()}")
    return r.stdout


class Process:
    """A program in one of the two places; its output goes to a file."""

    def __init__(self, cmd, env=None, stop=None):
        self.out = tempfile.TemporaryFile()
        self.stop_fn = stop
        self.p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=self.out,
                                  stderr=subprocess.STDOUT, env=env, start_new_session=True,
                                  preexec_fn=guest.default_signals)

    def wait(self, timeout):
        try:
            self.p.wait(timeout)
            return True
        except subprocess.TimeoutExpired:
            return False

    def text(self):
        self.out.seek(0)
        return self.out.read().decode(errors="replace")

    def stop(self):
        if self.stop_fn:
            self.stop_fn()
        if self.p.poll() is None:
            os.killpg(self.p.pid, signal.SIGKILL)
        self.p.wait()


class Lab:
    """with Lab(rootfs) as lab: lab.cable(); lab.peer([...]); lab.guest(...)."""

    def __init__(self, rootfs, runsc=None, platform=None, flags=(), bin="build/tests/net"):
        """runsc None: the guest runs natively."""
        self.rootfs = os.path.abspath(rootfs)
        self.names = [f"rn{os.getpid()}{x}" for x in "pcm"]
        self.bin = bin
        self.processes = []
        self.made = False
        self.platform = platform
        self.runsc = guest.Runsc(runsc, platform, ["--network=sandbox", *flags]) if runsc else None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.clear()
        if self.runsc:
            self.runsc.__exit__(*exc)

    def cable(self, bad=None):
        """New namespaces, addresses as if nothing had happened before.  bad: the arguments of
        cable.c behind the interfaces; without them one veth pair joins the two."""
        self.clear()
        p, c, middle = self.names
        self.made = True
        for n in self.names:
            sh("ip", "netns", "add", n)
            sh("ip", "-n", n, "link", "set", "lo", "up")
        if bad:
            self._bad_cable(p, c, middle, bad)
        else:
            sh("ip", "link", "add", "eth0", "mtu", str(MTU), "netns", p, "type", "veth", "peer",
               "name", "eth0", "netns", c)
        for n, a4, a6 in ((p, PEER4, PEER6), (c, GUEST4, GUEST6)):
            sh("ip", "-n", n, "addr", "add", a4 + "/24", "dev", "eth0")
            sh("ip", "-n", n, "addr", "add", a6 + "/64", "dev", "eth0", "nodad")
            sh("ip", "-n", n, "link", "set", "eth0", "up")
        sh("ip", "-n", c, "route", "add", "default", "via", PEER4)
        sh("ip", "-n", c, "-6", "route", "add", "default", "via", PEER6)

    def _bad_cable(self, p, c, middle, bad):
        for n, end in ((p, "left"), (c, "right")):
            sh("ip", "link", "add", "eth0", "mtu", str(MTU), "netns", n, "type", "veth", "peer",
               "name", end, "netns", middle)
            sh("ip", "-n", middle, "link", "set", end, "up")
            # Frames of one segment each: what is lost is one of them.
            sh("ip", "netns", "exec", n, "ethtool", "-K", "eth0", "tx", "off", "tso", "off",
               "gso", "off")
        x = self._keep(Process(["ip", "netns", "exec", middle, f"{self.bin}/cable", "left", "right",
                                *[str(i) for i in bad]]))
        self.until("cable", lambda: "ready" in x.text(), of=x)

    def clear(self):
        for x in reversed(self.processes):
            x.stop()
        self.processes = []
        if self.runsc:
            self.runsc.clean()
        if self.made:
            for n in self.names:
                sh("ip", "netns", "del", n, check=False)
        self.made = False

    def _env(self):
        return {"PATH": os.environ["PATH"], "R": self.rootfs, "W": ""}

    def _native(self, ns, args):
        e = [f"{k}={v}" for k, v in bundle.ENV.items()]
        return ["ip", "netns", "exec", ns, *ENTER, *e, *args]

    def _keep(self, p):
        self.processes.append(p)
        return p

    def build(self, compiler, sources, cmd, result):
        """Compiles in the root file system, once for native and sandbox; the path of result there.
        Skipped where there is no such compiler."""
        there = f"{self.rootfs}/usr/bin/{compiler}"
        if not os.path.lexists(there):
            raise Skipped(f"{compiler} is not in the root file system: make net-rootfs "
                          "NET_MORE=\"golang-go openjdk-17-jdk-headless\"")
        folder = f"/scratch/net-{compiler}-{os.getpid()}"
        where = self.rootfs + folder
        if not os.path.isdir(where):
            os.makedirs(where)
            Lab.built.append(where)
            for name, text in sources.items():
                with open(f"{where}/{name}", "w", encoding="utf-8") as f:
                    f.write(text)
            script = f"cd {folder} && HOME={folder} CGO_ENABLED=0 GO111MODULE=off exec \"$@\""
            # /proc: javac finds itself there.
            p = Process(["unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                         'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c "$@"',
                         self.rootfs, script, "sh", *cmd],
                        {"PATH": bundle.ENV["PATH"]})
            self.ends(p, timeout=300)
        return os.path.normpath(f"{folder}/{result}")

    built = []

    @staticmethod
    def clear_built():
        while Lab.built:
            shutil.rmtree(Lab.built.pop(), ignore_errors=True)

    def peer(self, args):
        """Starts it in the peer's place."""
        return self._keep(Process(self._native(self.names[0], args), self._env()))

    def guest(self, args):
        """Starts it in the container's place."""
        if not self.runsc:
            return self._keep(Process(self._native(self.names[1], args), self._env()))
        doc = bundle.config(self.rootfs, args)
        for ns in doc["linux"]["namespaces"]:
            if ns["type"] == "network":
                ns["path"] = f"/run/netns/{self.names[1]}"
        folder = self.runsc.bundle(doc)
        name = f"n{self.runsc.count}-{os.getpid()}"
        p = self._keep(Process(self.runsc.cmd("run", "--bundle", folder, name),
                               stop=lambda: self.runsc.delete(name)))
        p.container = name
        return p

    def ask(self, p, command, *args, force=False):
        """A command about a guest."""
        sh(*self.runsc.cmd(command, *(["--force"] if force else []), p.container, *args))

    def left_behind(self):
        """What there is of sandboxes: processes below us (orphans come to us), state."""
        guest.reap()
        found = []
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as f:
                if f.read().startswith("runsc"):
                    found.append(pid)
        return found + [x for x in os.listdir(self.runsc.root) if not x.startswith(".")]

    def link_of_guest(self):
        return sh("ip", "-n", self.names[1], "addr", "show", "eth0")

    def until(self, what, done, timeout=60, of=None):
        """Polls; of: a process that must not end before."""
        end = time.monotonic() + timeout
        while not done():
            if of and of.p.poll() is not None and not done():
                raise Failed(f"{what}: it ended: {of.text()[-800:]}")
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {timeout} s" +
                             (f": {of.text()[-800:]}" if of else ""))
            time.sleep(0.05)

    def reaches(self, port, address=GUEST4, timeout=60, of=None):
        """Waits until the peer's place can connect there."""
        probe = ["ip", "netns", "exec", self.names[0], "python3", "-c",
                 "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)",
                 address, str(port)]
        self.until(f"port {port}", lambda: subprocess.run(probe, capture_output=True).returncode == 0,
                   timeout, of)

    def listens(self, port, of=None, timeout=60, udp=False):
        """Waits until somebody in the peer's place listens."""
        def there():
            return f":{port} " in sh("ip", "netns", "exec", self.names[0], "ss",
                                     "-Hlnu" if udp else "-Hlnt")
        self.until(f"listener {port}", there, timeout, of)

    def mac(self):
        """Of the guest's link: the host's is the same, whoever has it."""
        return sh("ip", "netns", "exec", self.names[1], "cat", "/sys/class/net/eth0/address").strip()

    def sentry_memory(self, p):
        """Bytes that the sentry of a guest has, besides what guests have of it; 0: it is native."""
        if not self.runsc:
            return 0
        for pid in descendants(p.p.pid):
            with open(f"/proc/{pid}/status") as f:
                status = dict(x.split(":", 1) for x in f.read().splitlines())
            if status["Name"].strip() == "runsc-sandbox" and int(status["Threads"]) > 3:
                return sum(int(status[x].split()[0]) for x in ("RssAnon", "RssShmem")) << 10
        raise Failed("no sentry")

    def ends(self, p, timeout=120, code=0):
        """Its output, once it has ended with this code."""
        if not p.wait(timeout):
            raise Failed(f"still runs after {timeout} s: {p.text()[-800:]}")
        if p.p.returncode != code:
            raise Failed(f"exit code {p.p.returncode}, not {code}: {p.text()[-1500:]}")
        return p.text()


def descendants(pid):
    yield pid
    try:
        for t in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{t}/children") as f:
                kids = f.read().split()
            for k in kids:
                yield from descendants(int(k))
    except OSError:
        return


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Failed(why)
