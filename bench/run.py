#!/usr/bin/env python3
"""Figures beside native and the peers, interleaved in one run: medians and ratios to native.

    bench/run.py [--runsc build/runsc] [--bin build/bench/microbench] [--platforms systrap,ptrace]
                 [--rounds 5] [--budget 0.1] [--groups getppid,pipe] [--markdown FILE] [--svg FILE]

Peers are taken when they are installed: runc, and gVisor's runsc (--gvisor PATH).  Each group of
figures runs once a round in each of them, in a container of its own; those of getppid also with
all CPUs but one kept busy by native processes.  Needs root and busybox (static).
"""
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import report
import runtimes

AIMS = {"cpu_xorshift": 1.3}
MINIMUM_FOR_STARTUP = 5
SLEEP = 60


def figures(text):
    return {w[0]: float(w[1]) for w in (l.split() for l in text.splitlines())
            if len(w) == 2 and w[1].replace(".", "", 1).isdigit()}


class Samples:
    """Values by figure and runtime, in the order in which figures came up natively."""

    def __init__(self):
        self.values = {}

    def add(self, figure, runtime, value):
        self.values.setdefault(figure, {}).setdefault(runtime, []).append(value)

    def medians(self):
        return {f: {r: statistics.median(v) for r, v in by.items()}
                for f, by in self.values.items()}


def group(samples, r, rootfs, a, names, suffix=""):
    env = {"MB_BUDGET": str(a.budget), "MB_SELF": "/bin/microbench", "MB_DIR": "/tmp",
           "MB_ROOT_DIR": "/scratch"}
    got = r.run(rootfs, ["/bin/microbench", *names], env, 60 + 300 * a.budget)
    for figure, value in figures(got.out).items():
        samples.add(figure + suffix, r.name, value)
    if got.code != 0:
        why = "timeout" if got.timed_out else f"exit code {got.code} {got.err.strip()[-200:]}"
        print(f"{r.label}: {' '.join(names)}: {why}", file=sys.stderr)


def microbench(rts, rootfs, a):
    listed = subprocess.run([a.bin, "--list"], capture_output=True, text=True, check=True)
    samples = Samples()
    for name in listed.stdout.split():
        if a.groups and name not in a.groups.split(","):
            continue
        for i, r in runtimes.rounds(rts, a.rounds):
            runtimes.progress(f"{name}, round {i + 1}: {r.label}")
            group(samples, r, rootfs, a, [name])
        if name == "getppid":
            with runtimes.busy_cpus() as count:
                for _, r in runtimes.rounds(rts, a.rounds if count else 0):
                    group(samples, r, rootfs, a, [name], "_busy")
    runtimes.progress("")
    return samples.medians()


def startup(rts, rootfs, count):
    """Milliseconds of `run /bin/true`, the whole command."""
    samples = Samples()
    for _, r in runtimes.rounds(rts[1:], count):
        got = r.run(rootfs, ["/bin/true"])
        if got.code == 0:
            samples.add("", r.name, got.seconds * 1e3)
    return samples.medians().get("", {})


def tree(pid):
    out = [pid]
    for child in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True,
                                capture_output=True).stdout.split():
        out += tree(int(child))
    return out


def rss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next(int(l.split()[1]) for l in f if l.startswith("Rss:"))
    except (OSError, StopIteration):
        return 0


def idle(r, rootfs):
    """MB resident of all processes of a sandbox that sleeps, the command included."""
    folder = r.bundle(runtimes.bundle.config(rootfs, ["/bin/sleep", str(SLEEP)]))
    p = subprocess.Popen(r.cmd("run", "--bundle", folder, r.last()), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.5)
        return sum(rss_kib(pid) for pid in tree(p.pid)) / 1024
    finally:
        p.send_signal(signal.SIGTERM)
        subprocess.run(r.cmd("kill", r.last(), "KILL"), capture_output=True, timeout=60)
        p.wait(timeout=30)
        r.delete(r.last())


def measure(a):
    with runtimes.scratch(a.dir) as base:
        rootfs = runtimes.bundle.busybox_rootfs(base + "/rootfs")
        shutil.copy(a.bin, rootfs + "/bin/microbench")
        with runtimes.runtimes(a, rootfs) as rts:
            m = {"runtimes": [[r.name, r.label] for r in rts],
                 "figures": microbench(rts, rootfs, a), "extra": {}}
            if not a.groups:
                m["extra"] = {
                    "`run /bin/true`, ms": startup(rts, rootfs, max(2 * a.rounds, MINIMUM_FOR_STARTUP)),
                    "idle sandbox, all processes, MB resident": {r.name: idle(r, rootfs)
                                                                 for r in rts[1:]}}
            return m


def main():
    p = runtimes.parser(__doc__)
    p.add_argument("--bin", default="build/bench/microbench")
    p.add_argument("--budget", type=float, default=0.1, help="seconds a figure")
    p.add_argument("--groups", help="of microbench, comma-separated (default: all)")
    a = runtimes.arguments(p)
    a.bin = os.path.abspath(a.bin)
    m = report.load(a) if a.load else measure(a)
    report.deliver(m, a, "bench", "System calls and memory, ratio to native", AIMS)


if __name__ == "__main__":
    main()
