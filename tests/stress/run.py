#!/usr/bin/env python3
"""The stress guest in the sandbox: it checks itself; here what it leaves over is counted.

    tests/stress/run.py [--runsc FILE] [--platform LIST] [--seconds N] [--others N] [--seed N]
                        [--work NAME] [--runsc-flag F] --bin DIR

Without --platform: --seconds on the default one, as the host is and as on a poor one
(NAME:poorhost), then --others on each other one that the binary knows.  After a first storm in which everything is done once, and again after the second one, the
sandbox is asked what it holds: pages of the memory file, tasks, and on the host descriptors,
threads and stub processes.  --work: only this one, instead of all at random.
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
import bundle  # noqa: E402
import guest  # noqa: E402

# What may stay: recycled host threads' slots, a page cache that grew.
SLACK = {"pages": 256, "pids": 0, "descriptors": 2, "threads": 1, "stubs": 0}
# Of a platform that keeps stubs for the next use, a bounded number.
POOLS = {"descriptors": 16, "threads": 8, "stubs": 16}
SHOWN = ("ev_syscall", "ev_fault", "ev_interrupt", "calls_patched", "sites_patched",
         "sites_undone", "spin_hits", "sleeps", "stubs_forked", "stubs_pooled", "as_ops",
         "as_trips", "faults_cow", "gofer_trips")


def stats_of(runsc, name):
    r = subprocess.run(runsc.cmd("debug", "--stats", name), capture_output=True, timeout=60,
                       stdin=subprocess.DEVNULL, check=True)
    return json.loads(r.stdout)


def snapshot(runsc, name):
    stats = stats_of(runsc, name)
    return {"pages": stats["memory_file"]["used_pages"], "pids": stats["pids"], **stats["host"]}


def slack(platform):
    return SLACK if platform == "ptrace" else {**SLACK, **POOLS}


def left_over(runsc, name, before, allowed):
    for _ in range(300):  # what has ended is reaped a moment later
        after = snapshot(runsc, name)
        more = {k: (before[k], after[k]) for k in allowed if after[k] > before[k] + allowed[k]}
        if not more:
            return None
        time.sleep(0.1)
    return f"left over (before, after): {more}"


def expect(p, word):
    """The next line; None if it is the word."""
    line = p.stdout.readline().decode(errors="replace").strip()
    return None if line == word else line or "ended"


def show_stacks(runsc, name):
    """Of the sentry and of the guest's processes: what hangs where."""
    for what in ("--ps", "--stacks"):
        try:
            subprocess.run(runsc.cmd("debug", what, name), timeout=30, check=False,
                           stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            print(f"debug {what}: no answer")


def talk(runsc, name, p):
    """(why it failed or None, platform)"""
    why = expect(p, "before")
    if why:
        return why, None
    platform = stats_of(runsc, name)["platform"]
    before = snapshot(runsc, name)
    p.stdin.write(b"\n")
    p.stdin.flush()
    why = expect(p, "after") or left_over(runsc, name, before, slack(platform))
    if why:
        return why, platform
    counters = stats_of(runsc, name)["counters"]
    out = p.communicate(b"\n")[0].decode(errors="replace")
    if p.returncode or not out.endswith("ok stress\n"):
        return f"exit code {p.returncode}: {out[-500:]}", platform
    print(out.splitlines()[0])
    print(" ".join(f"{k} {counters[k]}" for k in SHOWN))
    return None, platform


def storm(a, runsc, rootfs, seconds):
    args = ["/tests/stress", str(seconds), str(a.seed), *([a.work] if a.work else [])]
    d = runsc.bundle(bundle.config(rootfs, args))
    name = f"s{runsc.count}-{os.getpid()}"
    p = subprocess.Popen(runsc.cmd("run", "--bundle", d, name), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, start_new_session=True)
    signal.alarm(seconds * 2 + 400)
    platform = None
    try:
        why, platform = talk(runsc, name, p)
        if why and p.poll() is None and why.startswith("FAIL") and \
                ("stands still" in why or "does not end" in why):
            show_stacks(runsc, name)
    except TimeoutError:
        why = "stuck"
        show_stacks(runsc, name)
    finally:
        signal.alarm(0)
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
        p.stdin.close()
        p.stdout.close()
        p.wait()
    runsc.delete(name)
    return why, platform


def platforms(runsc):
    r = subprocess.run([runsc, "features"], capture_output=True, check=True)
    return json.loads(r.stdout)["annotations"]["runsc.platforms"].split(",")


def timed_out(_sig, _frame):
    raise TimeoutError


def run(a, tally, rootfs, platform, seconds):
    """Returns the platform that it was."""
    name, _, variant = (platform or "").partition(":")
    with guest.Runsc(a.runsc, name, [*guest.VARIANTS[variant], *a.runsc_flag]) as runsc:
        why, used = storm(a, runsc, rootfs, seconds)
    name = f"{variant and platform or used or platform or 'default'}/{a.work or 'stress'}"
    if why:
        tally.fail(name, why)
    else:
        tally.ok(name)
    return used


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--bin", required=True)
    p.add_argument("--platform")
    p.add_argument("--seconds", type=int, default=60)
    p.add_argument("--others", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--work")
    p.add_argument("--runsc-flag", action="append", default=[])
    a = p.parse_args()
    signal.signal(signal.SIGALRM, timed_out)
    tally = guest.Tally()
    base = tempfile.mkdtemp(prefix="runsc-stress-")
    try:
        os.chmod(base, 0o755)
        rootfs = bundle.busybox_rootfs(base + "/rootfs")
        shutil.copy(f"{a.bin}/stress", f"{rootfs}/tests/stress")
        if a.platform:
            for platform in a.platform.split(","):
                run(a, tally, rootfs, platform, a.seconds)
        else:
            default = run(a, tally, rootfs, None, a.seconds)
            if default:
                run(a, tally, rootfs, f"{default}:poorhost", a.seconds)
            for platform in platforms(a.runsc):
                if platform != default:
                    run(a, tally, rootfs, platform, a.others)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(tally.end())


if __name__ == "__main__":
    main()
