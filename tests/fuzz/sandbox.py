#!/usr/bin/env python3
"""Hostile guests: programs that try to take the sentry down.  It must be there at the end.

    tests/fuzz/sandbox.py [options] --bin DIR [PROGRAM...]

    --runsc FILE       the binary (default build/runsc)
    --platform LIST    platforms (default systrap)
    --seconds N        how long each runs (default 5)
    --seed N           the first one; each run takes the next
    --rounds N         runs of each program and user
    --users LIST       root (with all capabilities), nobody (with none)
    --keep             keep the log of what failed
    --verbose          also what programs print
    --runsc-flag F     passed on to runsc
    --arg A            an argument for the programs, after SECONDS and SEED

A program gets SECONDS and SEED, and says "ok NAME" at its end.  A run fails if that is missing,
if the container ends otherwise, if the log holds a crash report, a failed assertion, a lock
taken out of order, a sanitizer's report or a forbidden host call, or if a process or a state
directory is left behind.  Of ThreadSanitizer's reports those count that tests/tsan.supp does not
name.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import bundle  # noqa: E402
import guest  # noqa: E402
import tsan  # noqa: E402

PROGRAMS = ["syscall_fuzz", "race_fuzz", "bombs", "net_bombs"]
ONCE = ("bombs", "net_bombs")  # as process 1 with every right, on one platform
MEMORY = 2 << 30  # what the guest may eat: not all of the machine's
MEMORY_OF = {"net_bombs": 128 << 20}
# What a log must not hold.
BAD = re.compile(r"BUG|panic|fatal: SIG|lock order|Sanitizer|runtime error|seccomp"
                 r"|stack smashing|buffer overflow")
PRINTED_MAX = 64 << 20
QUIET = 150  # seconds beyond its own without a word: nothing goes on, whatever the load


def document(rootfs, args, user, program):
    doc = bundle.config(rootfs, args)
    doc["mounts"].append({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                          "options": ["nosuid", "noexec", "nodev"]})
    doc["linux"]["resources"] = {"memory": {"limit": MEMORY_OF.get(program, MEMORY)}}
    if user == "nobody":
        doc["process"]["user"] = {"uid": 65534, "gid": 65534}
        doc["process"]["capabilities"] = {}
    return doc


def bad_lines(runsc, log_dir):
    found = [line for text in tsan.races(runsc, log_dir)[0] for line in text.splitlines()]
    for name in sorted(os.listdir(log_dir)):
        with open(f"{log_dir}/{name}", errors="replace") as f:
            lines = tsan.split(f.read().splitlines())[1]
        for i, line in enumerate(lines):
            if BAD.search(line) and "is not implemented" not in line:
                found += [f"{name}: {x}" for x in lines[i:i + 40]]
                break
    return found


def execute(cmd, quiet, out_path, on_timeout):
    """The exit code (None: it has said nothing for that long) and the end of what it printed, but for
    zeros: guests print garbage, and may make the file that they print to longer."""
    with open(out_path, "w+b") as out:
        p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             start_new_session=True)
        said, since, code = 0, time.monotonic(), None
        while code is None and time.monotonic() < since + quiet:
            try:
                code = p.wait(1)
            except subprocess.TimeoutExpired:
                if os.fstat(out.fileno()).st_size != said:
                    said, since = os.fstat(out.fileno()).st_size, time.monotonic()
        if code is None:
            on_timeout()
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        out.seek(0)
        said = out.read(PRINTED_MAX).replace(b"\0", b"")
        return code, said[-20000:].decode(errors="replace")


def left_behind(runsc, name, seconds=60):
    """What the command leaves when it ends (orphans come to us): there should be nothing."""
    end = time.monotonic() + seconds
    while True:
        guest.reap()
        found = [f"{runsc.root}/{name}"] if os.path.exists(f"{runsc.root}/{name}") else []
        with open(f"/proc/self/task/{os.getpid()}/children") as f:
            found += [f"process {p}" for p in f.read().split()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def ask(runsc, name, log):
    """What does a sandbox do that does not end?"""
    for what in ("--stacks", "--ps"):
        with open(f"{log}/stuck{what}", "wb") as out:
            try:
                subprocess.run(runsc.cmd("debug", what, name), stdin=subprocess.DEVNULL,
                               stdout=out, stderr=out, timeout=20)
            except subprocess.TimeoutExpired:
                out.write(b"no answer")
    with open(f"{log}/stuck-host", "w") as out:
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{p}/stat") as f:
                    if not f.read().split()[1].startswith("(runsc"):
                        continue
                for t in os.listdir(f"/proc/{p}/task"):
                    with open(f"/proc/{p}/task/{t}/status") as f:
                        want = ("State", "Tgid", "NSpid", "PPid", "TracerPid", "SigPnd", "ShdPnd")
                        words = [x.strip() for x in f if x.split(":")[0] in want]
                    with open(f"/proc/{p}/task/{t}/stack") as f:
                        stack = f.read()
                    out.write(f"{p}/{t}: {words}\n{stack}")
            except OSError:
                continue


def run(a, runsc, rootfs, program, user, seed):
    doc = document(rootfs, [f"/tests/{program}", str(a.seconds), str(seed), *a.arg], user,
                   program)
    d = runsc.bundle(doc)
    log = d + "/log"
    os.mkdir(log)
    name = f"f{runsc.count}-{os.getpid()}"
    code, out = execute(runsc.cmd("run", "--bundle", d, name,
                                  flags=["--debug-log", log + "/", *a.runsc_flag]),
                        a.seconds + QUIET, d + "/out", lambda: ask(runsc, name, log))
    left = [] if code is None else left_behind(runsc, name)
    if code is None or left:
        runsc.delete(name)
    guest.reap()
    why = None
    bad = bad_lines(runsc.path, log)
    if bad:
        why = "the log says\n    " + "\n    ".join(bad)
    elif code is None:
        why = f"still runs; {out}"
    elif code != 0 or f"ok {program}" not in out:
        why = f"exit code {code}; {out}"
    elif left:
        why = "left behind: " + ", ".join(left)
    elif a.verbose:
        print(out, end="", flush=True)
    if why and a.keep:
        kept = tempfile.mkdtemp(prefix="runsc-fuzz-log-")
        shutil.copytree(log, kept, dirs_exist_ok=True)
        why += f"\n    log: {kept}"
    shutil.rmtree(d, ignore_errors=True)
    return why


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--bin", required=True)
    p.add_argument("--platform", default="systrap")
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--users", default="root,nobody")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--runsc-flag", action="append", default=[])
    p.add_argument("--arg", action="append", default=[])
    p.add_argument("programs", nargs="*")
    a = p.parse_args()
    tally = guest.Tally()
    base = tempfile.mkdtemp(prefix="runsc-fuzz-")
    try:
        os.chmod(base, 0o755)
        rootfs = bundle.busybox_rootfs(base + "/rootfs")
        names = a.programs or PROGRAMS
        for name in names:
            shutil.copy(f"{a.bin}/{name}", f"{rootfs}/tests/{name}")
            if name == "race_fuzz":  # which also executes itself as set-user-ID root
                shutil.copy(f"{a.bin}/{name}", rootfs + "/tests/race_suid")
                os.chmod(rootfs + "/tests/race_suid", 0o4755)
        platforms = a.platform.split(",")
        for platform in platforms:
            with guest.Runsc(a.runsc, platform) as runsc:
                seed = a.seed
                for _ in range(a.rounds):
                    for name in names:
                        for user in a.users.split(","):
                            if name in ONCE and (user != "root" or platform != platforms[0]):
                                continue
                            label = f"{platform}/{name}.{user}.{seed}"
                            why = run(a, runsc, rootfs, name, user, seed)
                            seed += 1
                            if why:
                                tally.fail(label, why)
                            else:
                                tally.ok(label)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(tally.end())


if __name__ == "__main__":
    main()
