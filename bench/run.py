#!/usr/bin/env python3
"""Figures beside native and the peers, interleaved in one run: medians and ratios to native.

    bench/run.py --runsc build/runsc --bin build/bench/microbench [--rounds 5] [--budget 0.1]
                 [--markdown FILE]

Peers are taken when they are installed: runc, and gVisor's runsc (--gvisor PATH, else
/usr/bin/runsc).  Needs root and busybox (static).
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time


class Runtime:
    """One way of running a program: natively, or in a container of a runtime."""

    def __init__(self, name, base, rootfs, command=None):
        self.name, self.command = name, command
        self.rootfs = rootfs
        self.bundle = f"{base}/{name}"
        self.count = 0
        os.makedirs(self.bundle)

    def config(self, args, env):
        namespaces = [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")]
        mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
                  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                   "options": ["nosuid", "mode=755"]},
                  {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]
        return {"ociVersion": "1.0.2", "hostname": "bench", "mounts": mounts,
                "root": {"path": self.rootfs, "readonly": False},
                "linux": {"namespaces": namespaces},
                "process": {"args": args, "env": env, "cwd": "/", "terminal": False,
                            "user": {"uid": 0, "gid": 0}}}

    def argv(self, args, env):
        if not self.command:
            return [self.rootfs + args[0], *args[1:]]
        with open(self.bundle + "/config.json", "w") as f:
            json.dump(self.config(args, env), f)
        self.count += 1
        return [*self.command, "run", "--bundle", self.bundle, f"{self.name}{self.count}"]

    def run(self, args, env=()):
        env = ["PATH=/bin", *env]
        own = dict(os.environ, **dict(e.split("=", 1) for e in env if not e.startswith("PATH=")))
        if not self.command:
            own["MB_SELF"] = self.rootfs + args[0]
        return subprocess.run(self.argv(args, env), env=own, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=300)


def runtimes(a, base, rootfs):
    out = [Runtime("native", base, rootfs)]
    out.append(Runtime("ours", base, rootfs, [a.runsc, "--root", base + "/state"]))
    if shutil.which("runc"):
        out.append(Runtime("runc", base, rootfs, ["runc", "--root", base + "/runc"]))
    if a.gvisor and os.path.exists(a.gvisor):
        out.append(Runtime("gvisor", base, rootfs,
                           [a.gvisor, "--root", base + "/gvisor", "--network=none", "--platform=ptrace"]))
    return out


def figures(text):
    return {w[0]: float(w[1]) for w in (l.split() for l in text.splitlines())
            if len(w) == 2 and w[1].replace(".", "", 1).isdigit()}


def microbench(rts, a):
    samples = {r.name: {} for r in rts}
    env = [f"MB_BUDGET={a.budget}", "MB_SELF=/bin/microbench"]
    for _ in range(a.rounds):
        for r in rts:
            for name, value in figures(r.run(["/bin/microbench"], env).stdout).items():
                samples[r.name].setdefault(name, []).append(value)
    return {r: {n: statistics.median(v) for n, v in s.items()} for r, s in samples.items()}


def startup(rts, rounds):
    """Milliseconds of `run /bin/true`, the whole command."""
    samples = {r.name: [] for r in rts if r.command}
    for _ in range(rounds):
        for r in rts:
            if not r.command:
                continue
            start = time.monotonic()
            if r.run(["/bin/true"]).returncode == 0:
                samples[r.name].append((time.monotonic() - start) * 1e3)
    return {n: statistics.median(v) for n, v in samples.items() if v}


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


def idle_memory(rts):
    """KiB resident of all processes of a sandbox that sleeps, the command included."""
    out = {}
    for r in rts:
        if not r.command:
            continue
        p = subprocess.Popen(r.argv(["/bin/sleep", "60"], ["PATH=/bin"]), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        out[r.name] = sum(rss_kib(pid) for pid in tree(p.pid))
        p.send_signal(signal.SIGTERM)
        subprocess.run([*r.command, "kill", f"{r.name}{r.count}", "KILL"], capture_output=True)
        p.wait(timeout=30)
        subprocess.run([*r.command, "delete", "--force", f"{r.name}{r.count}"], capture_output=True)
    return out


def table(rts, micro, start, memory):
    names = [r.name for r in rts]
    lines = ["| figure | native ns | " + " | ".join(f"{n} ×" for n in names[1:]) + " |",
             "|---|---:|" + "---:|" * (len(names) - 1)]
    for figure, native in micro["native"].items():
        cells = []
        for n in names[1:]:
            v = micro[n].get(figure)
            if v is None:
                cells.append("–")
            else:
                cells.append(f"{native / v if figure.endswith('MBps') else v / native:.1f}")
        lines.append(f"| {figure} | {native:.0f} | " + " | ".join(cells) + " |")
    lines.append("")
    lines.append("| | " + " | ".join(names[1:]) + " |")
    lines.append("|---|" + "---:|" * (len(names) - 1))
    lines.append("| `run /bin/true`, ms | " +
                 " | ".join(f"{start[n]:.0f}" if n in start else "–" for n in names[1:]) + " |")
    lines.append("| idle sandbox, all processes, MB resident | " +
                 " | ".join(f"{memory[n] / 1024:.1f}" if memory.get(n) else "–" for n in names[1:]) + " |")
    return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", required=True)
    p.add_argument("--bin", required=True)
    p.add_argument("--gvisor", default="/usr/bin/runsc")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--budget", type=float, default=0.1)
    p.add_argument("--markdown")
    a = p.parse_args()
    a.runsc = os.path.abspath(a.runsc)
    base = tempfile.mkdtemp(prefix="runsc-bench-")
    try:
        rootfs = base + "/rootfs"
        for d in ("bin", "proc", "dev", "tmp", "sys"):
            os.makedirs(f"{rootfs}/{d}")
        shutil.copy(shutil.which("busybox"), rootfs + "/bin/busybox")
        for applet in ("true", "sleep"):
            os.symlink("busybox", f"{rootfs}/bin/{applet}")
        shutil.copy(a.bin, rootfs + "/bin/microbench")
        rts = runtimes(a, base, rootfs)
        text = table(rts, microbench(rts, a), startup(rts, max(a.rounds * 2, 5)), idle_memory(rts))
        print(text)
        if a.markdown:
            with open(a.markdown, "w") as f:
                f.write(text)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
