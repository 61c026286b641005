#!/usr/bin/env python3
"""The stress guest in the sandbox: it checks itself; here what it leaves over is counted.

    tests/stress/run.py [--runsc FILE] [--platform LIST] [--seconds N] [--seed N] --bin DIR

Before and after the storm the sandbox is asked for its memory and tasks, and the host for the
sentry's descriptors, threads and stub processes.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import guest  # noqa: E402

# What may stay: recycled host threads' slots, a page cache that grew.
SLACK = {"memory_bytes": 1 << 20, "pids": 0, "descriptors": 2, "threads": 1, "stubs": 0}


def children(pid):
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append((int(p), fields[0]))
    return found


def sentry_of(name):
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/cmdline") as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if words[1:2] == ["boot"] and f"--id={name}" in words:
            return int(p)
    raise SystemExit("no sentry")


def snapshot(runsc, name, pid):
    r = subprocess.run(runsc.cmd("debug", "--stats", name), capture_output=True, timeout=60,
                       stdin=subprocess.DEVNULL, check=True)
    stats = json.loads(r.stdout)
    return {"memory_bytes": stats["memory_bytes"], "pids": stats["pids"],
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "stubs": len(children(pid))}


def left_over(runsc, name, pid, before):
    for _ in range(30): # what has ended is reaped a moment later
        after = snapshot(runsc, name, pid)
        more = {k: (before[k], after[k]) for k in SLACK if after[k] > before[k] + SLACK[k]}
        if not more:
            return None
        time.sleep(0.1)
    return f"left over (before, after): {more}"


def expect(p, word):
    """The next line; None if it is the word."""
    line = p.stdout.readline().decode(errors="replace").strip()
    return None if line == word else line or "ended"


def storm(a, runsc, rootfs):
    d = runsc.bundle(guest.config(rootfs, ["/tests/stress", str(a.seconds), str(a.seed)]))
    name = f"s{runsc.count}-{os.getpid()}"
    p = subprocess.Popen(runsc.cmd("run", "--bundle", d, name), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, start_new_session=True)
    signal.alarm(a.seconds * 2 + 120)
    try:
        why = expect(p, "before")
        if not why:
            pid = sentry_of(name)
            before = snapshot(runsc, name, pid)
            p.stdin.write(b"\n")
            p.stdin.flush()
            why = expect(p, "after") or left_over(runsc, name, pid, before)
        if not why:
            out = p.communicate(b"\n")[0].decode(errors="replace")
            if p.returncode or not out.endswith("ok stress\n"):
                why = f"exit code {p.returncode}: {out[-500:]}"
            else:
                print(out.splitlines()[0])
    except TimeoutError:
        why = "stuck"
        subprocess.run(runsc.cmd("debug", "--stacks", name), timeout=30, check=False)
    finally:
        signal.alarm(0)
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
        p.stdin.close()
        p.stdout.close()
        p.wait()
    runsc.delete(name)
    return why


def timed_out(_sig, _frame):
    raise TimeoutError


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--bin", required=True)
    p.add_argument("--platform", default="ptrace")
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    signal.signal(signal.SIGALRM, timed_out)
    tally = guest.Tally()
    base = tempfile.mkdtemp(prefix="runsc-stress-")
    try:
        os.chmod(base, 0o755)
        rootfs = guest.busybox_rootfs(base + "/rootfs")
        shutil.copy(f"{a.bin}/stress", f"{rootfs}/tests/stress")
        for platform in a.platform.split(","):
            with guest.Runsc(a.runsc, platform) as runsc:
                why = storm(a, runsc, rootfs)
                if why:
                    tally.fail(f"{platform}/stress", why)
                else:
                    tally.ok(f"{platform}/stress")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(tally.end())


if __name__ == "__main__":
    main()
