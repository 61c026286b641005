"""A container is paused while a process in it waits where no restarted call brings it back to."""
import os
import subprocess
import time

from lib import equal, reap, test, wait_until

WAITS = os.environ.get("WAITS", "")  # the program, waits.c


def bundle(t, name, args):
    def edit(c):
        caps = c["process"]["capabilities"]
        for k in caps:
            caps[k] = caps[k] + ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]
        c["mounts"].append({"destination": "/waits", "type": "bind", "source": WAITS,
                            "options": ["bind", "ro"]})
    t.bundle(name, args, edit=edit)


def modes():
    return subprocess.run([WAITS], capture_output=True, text=True, check=True).stdout.split()


def waiting(t, mode):
    """A paused container in which a process waits; its pid and its output file."""
    out = f"{t.dir}/{mode}.out"
    bundle(t, mode, ["/waits", mode])
    pid = t.create(mode, out=out)
    t.ok("start", mode)
    wait_until(lambda: read(out) != "", what=f"{mode} to wait")
    equal(read(out), "waiting\n", mode)
    t.ok("pause", mode)
    equal(t.status(mode), "paused")
    return pid, out


def read(path):
    with open(path) as f:
        return f.read()


@test
def pause_in_waits(t):
    for mode in modes():
        pid, out = waiting(t, mode)
        t.ok("kill", mode, "USR1")  # the wait is to end
        time.sleep(0.2)
        equal(read(out), "waiting\n", f"{mode}: output of a paused container")
        t.ok("resume", mode)
        code = reap(pid)
        equal((read(out), code), ("waiting\nover\n", 0), mode)
        t.ok("delete", mode)


@test
def pause_twice_in_waits(t):
    for mode in modes():
        pid, out = waiting(t, mode)
        for _ in range(3):
            t.ok("resume", mode)
            t.ok("pause", mode)
        equal(read(out), "waiting\n", f"{mode}: output before the wait is to end")
        t.ok("resume", mode)
        t.ok("kill", mode, "USR1")
        code = reap(pid)
        equal((read(out), code), ("waiting\nover\n", 0), mode)
        t.ok("delete", mode)


@test
def kill_paused_in_waits(t):
    for mode in modes():
        pid, out = waiting(t, mode)
        t.ok("kill", mode, "KILL")
        equal(reap(pid), 137, mode)
        equal(read(out), "waiting\n", mode)
        t.ok("delete", mode)
