"""The ways of running a program that are compared: natively, and in a container of ours on each of
its platforms, of runc and of gVisor's runsc.  Used by run.py and programs.py.
"""
import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests"))
import bundle  # noqa: E402
import guest  # noqa: E402


# What docker gives: runc refuses to hand out what it does not have itself.
CAPS = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP
SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE""".split()


class Native:
    """In a chroot in namespaces of its own, with fresh tmpfs mounts as in a container."""

    name, label = "native", "native"

    def run(self, rootfs, args, env=None, timeout=60):
        return guest.native(rootfs, args, env, timeout)

    def close(self):
        guest.reap()


class Container(guest.Runsc):
    """A runtime with runc's command line."""

    def __init__(self, name, label, path, flags=()):
        super().__init__(path, None, flags)
        self.name, self.label = name, label

    def bundle(self, doc):
        doc["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"),
                                                       ["CAP_" + c for c in CAPS])
        return super().bundle(doc)

    def last(self):
        return f"c{self.count}-{os.getpid()}"

    def run(self, rootfs, args, env=None, timeout=60):
        try:
            r = super().run(rootfs, args, env, timeout)
        except BaseException:
            self.delete(self.last())
            raise
        return r

    def close(self):
        self.__exit__()


def platforms(runsc):
    """Names of the platforms that a runsc of ours lists."""
    out = subprocess.run([runsc, "features"], capture_output=True, text=True, check=True).stdout
    return json.loads(out)["annotations"]["runsc.platforms"].split(",")


def candidates(a):
    for n in a.platforms.split(",") if a.platforms else platforms(a.runsc):
        platform, _, variant = n.partition(":")
        yield Container(f"ours-{n}", f"ours {n}", a.runsc,
                        [f"--platform={platform}", *guest.VARIANTS[variant]])
    runc = shutil.which("runc")
    if runc and "runc" not in a.without:
        yield Container("runc", "runc", runc)
    if a.gvisor and os.path.exists(a.gvisor) and "gvisor" not in a.without:
        for n in a.gvisor_platforms.split(","):
            yield Container(f"gvisor-{n}", f"gVisor {n}", a.gvisor,
                            ["--network=none", f"--platform={n}"])


@contextlib.contextmanager
def runtimes(a, rootfs):
    """Native first, then what is installed and able to run /bin/true; all ended afterwards."""
    out = [Native()]
    try:
        for r in candidates(a):
            out.append(r)
            got = r.run(rootfs, ["/bin/true"])
            if got.code != 0:
                why = (got.err.strip().splitlines() or [f"exit code {got.code}"])[-1]
                print(f"{r.label}: left out: {'timeout' if got.timed_out else why}", file=sys.stderr)
                out.pop().close()
        yield out
    finally:
        for r in out:
            r.close()


def rounds(rts, count):
    """(round, runtime): every runtime once a round, another one first each time."""
    for i in range(count):
        k = i % len(rts) if rts else 0
        for r in rts[k:] + rts[:k]:
            yield i, r


def progress(text):
    """On a terminal only; the next one, or an empty one, takes its place."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def busy_cpus():
    """Native processes that spin, one pinned to each CPU but the first."""
    spin = "import ctypes\nctypes.CDLL(None).prctl(1, 9)\nwhile True: pass"  # PR_SET_PDEATHSIG
    started = []
    try:
        for cpu in sorted(os.sched_getaffinity(0))[1:]:
            p = subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.DEVNULL)
            started.append(p)
            os.sched_setaffinity(p.pid, {cpu})
        yield len(started)
    finally:
        for p in started:
            p.kill()
            p.wait()


@contextlib.contextmanager
def scratch(where):
    """A directory that goes away, whatever happens; SIGTERM and SIGHUP included."""
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda number, frame: sys.exit(128 + number))
    base = tempfile.mkdtemp(prefix="runsc-bench-", dir=where)
    try:
        os.chmod(base, 0o755)
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


def parser(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--platforms", help="of ours, comma-separated (default: all it lists); systrap:poorhost as "
                                       "on a host without some features")
    p.add_argument("--gvisor", default="/usr/bin/runsc", help="gVisor's runsc")
    p.add_argument("--gvisor-platforms", default="systrap,ptrace",
                   help="those it does not know are left out")
    p.add_argument("--without", default="", help="peers to leave out: runc, gvisor")
    p.add_argument("--dir", default="/var/tmp", help="where root file systems are made")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--aims", help="lines of \"figure ratio\": shown on the console only")
    p.add_argument("--markdown", help="write the table to this file")
    p.add_argument("--svg", help="write a plot to this file")
    p.add_argument("--readme", action="store_true",
                   help="replace the table in README.md and the plot in docs/")
    p.add_argument("--save", help="write the medians to this file, as JSON")
    p.add_argument("--load", help="measure nothing, use the medians of this file")
    return p


def arguments(p):
    a = p.parse_args()
    a.runsc = os.path.abspath(a.runsc)
    if not a.load and os.geteuid():
        raise SystemExit("needs root")
    ctypes.CDLL(None).prctl(guest.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return a
