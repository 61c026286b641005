"""Processes killed at every moment, and many commands at once."""
import glob
import json
import os
import re
import signal
import subprocess
import time

from lib import (LONG, alive, check, contains, equal, reap, reap_all, sandbox_processes, test,
                 wait_until)


def all_dead(pids):
    return not any(alive(p) for p in pids)


@test
def kill_each_process(t):
    """kill -9 of each process at each phase: state says stopped, delete --force cleans."""
    for phase in ("created", "running", "paused"):
        for victim in ("anchor", "sentry", "gofer"):
            t.bundle("c", ["sleep", "1000"])
            pid = t.create("c")
            if phase != "created":
                t.ok("start", "c")
            if phase == "paused":
                t.ok("pause", "c")
            procs = t.processes("c")
            os.kill(procs[victim], signal.SIGKILL)
            wait_until(lambda: t.status("c") == "stopped", what=f"stopped ({phase}, {victim})")
            equal(t.state("c")["pid"], 0)
            wait_until(lambda: all_dead(procs.values()), what=f"all dead ({phase}, {victim})")
            t.ok("delete", "--force", "c")
            code = reap(pid)
            check(code in (137, -9), f"exit code {code}")
            reap_all()


@test
def sandbox_death_is_told(t):
    t.bundle("c", ["sleep", "1000"])
    for victim in ("sentry", "gofer"):
        p = subprocess.Popen(t.cmd("run", "--bundle", t.dir + "/c", "c"), text=True,
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(lambda: "c" in t.ids() and t.status("c") == "running", what="running")
        os.kill(t.processes("c")[victim], signal.SIGKILL)
        _, err = p.communicate(timeout=LONG)
        equal(p.returncode, 137)
        contains(err, f"the {victim} was killed by signal 9")
        equal(t.ids(), [])


@test
def kill_while_creating(t):
    """A create that is killed at any moment leaves nothing that delete --force cannot clean."""
    t.bundle("c", ["sleep", "1000"])
    start = time.time()
    subprocess.run(t.cmd("create", "--bundle", t.dir + "/c", "c"), stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    duration = time.time() - start
    t.ok("delete", "--force", "c")
    reap_all()
    for i in range(25):
        p = subprocess.Popen(t.cmd("create", "--bundle", t.dir + "/c", "c"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(duration * i / 20)
        p.kill()
        p.wait()
        t.ok("delete", "--force", "c")
        equal(glob.glob(t.root + "/*"), [], f"after a kill in step {i}")
        wait_until(lambda: reap_all() or not sandbox_processes(t.root), what="processes to end")


@test
def concurrent_creates(t):
    """Of many creates of one name one wins."""
    t.bundle("c", ["sleep", "1000"])
    ps = [subprocess.Popen(t.cmd("create", "--bundle", t.dir + "/c", "c"),
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True) for _ in range(8)]
    results = []
    for p in ps:
        # not communicate(): the winner's container holds the pipe
        results.append((p.wait(timeout=LONG), p))
    equal(sorted(r for r, _ in results), [0] + [1] * 7)
    for code, p in results:
        if code:
            contains(p.stderr.read(), "already exists")
        p.stderr.close()
    equal(t.status("c"), "created")
    t.ok("start", "c")


@test
def many_at_once(t):
    names = [f"c{i}" for i in range(20)]
    for n in names:
        t.bundle(n, ["sh", "-c", f"echo {n}; exit {int(n[1:])}"])
    ps = [(n, subprocess.Popen(t.cmd("run", "--bundle", f"{t.dir}/{n}", n),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True))
          for n in names]
    for n, p in ps:
        out, _ = p.communicate(timeout=LONG)
        equal((out, p.returncode), (n + "\n", int(n[1:])))
    equal(glob.glob(t.root + "/*"), [])


@test
def one_after_the_other(t):
    t.bundle("c", ["true"])
    for i in range(200):
        t.ok("run", "--bundle", t.dir + "/c", f"c{i}")
    equal(glob.glob(t.root + "/*"), [])
    equal(sandbox_processes(t.root), [])


def outcome(args, code, out, err):
    """A command's success, or its one line of an error about that container."""
    what = f"{' '.join(args)}: exit code {code}, {out!r}, {err!r}"
    if code == 0:
        equal(err, "", what)
        if args[0] == "state":
            equal(json.loads(out)["id"], "c", what)
        elif args[0] == "ps":
            check(isinstance(json.loads(out), list), what)
        else:
            equal(out, "", what)
        return
    if args[0] == "exec" and code in (137, 143):
        return  # it was running: killed with the container
    check(code in (1, 255) and out == "" and len(err.splitlines()) == 1, what)
    check(REFUSALS.search(err), what)
    check(args[:2] != ["delete", "--force"], what)


REFUSALS = re.compile(r"does not exist|not running|stopped|paused|no such|is gone|cannot")


@test
def concurrent_commands(t):
    """Commands on one container while it is deleted: each does its work or says in a line why it
    cannot, and nothing is left."""
    commands = (["pause", "c"], ["resume", "c"], ["exec", "c", "true"], ["state", "c"],
                ["kill", "c", "TERM"], ["delete", "--force", "c"], ["delete", "--force", "c"],
                ["ps", "--format", "json", "c"])
    for i in range(5):
        t.sleeper("c")
        pids = t.processes("c").values()
        ps = [(a, subprocess.Popen(t.cmd(*a), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)) for a in commands]
        for a, p in ps:
            out, err = p.communicate(timeout=LONG)
            outcome(a, p.returncode, out, err)
        equal(glob.glob(t.root + "/*"), [])
        wait_until(lambda: all_dead(pids), what="the end of its processes")
        reap_all()


def descriptors(pid):
    """What a process holds, as sorted kinds: sockets, pipes and anonymous inodes without numbers."""
    kinds = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        kinds.append(link.split(":[")[0] if ":[" in link and not link.startswith("anon") else link)
    return sorted(kinds)


@test
def descriptors_are_the_needed_ones(t):
    """Sentry and gofer hold exactly what they need: no host path but what the container uses."""
    t.bundle("c", ["sleep", "1000"])
    extra = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(extra, True)
    pid = t.create("c")
    t.ok("start", "c")
    procs = t.processes("c")
    sentry, gofer = descriptors(procs["sentry"]), descriptors(procs["gofer"])
    os.close(extra)
    allowed = {"/dev/null", "/memfd:runsc-kernel (deleted)", "/memfd:guest-memory (deleted)",
               "/memfd:runsc-scratch (deleted)", "/memfd:systrap (deleted)", "pipe", "socket", "anon_inode:[eventpoll]",
               "anon_inode:[eventfd]"}
    strange = [d for d in sentry if d not in allowed and not d.startswith("/bin/")
               and not d.startswith(t.dir) and not d.startswith("/tmp/#")]
    equal(strange, [])
    for one in ("/memfd:runsc-kernel (deleted)", "/memfd:guest-memory (deleted)"):
        equal(sentry.count(one), 1)
    check(sentry.count("socket") <= 12, f"sockets of the sentry: {sentry}")
    check("/etc/passwd" not in sentry + gofer, "an inherited descriptor came along")
    # The gofer's paths are relative to the container's root: directories and files below it.
    strange = [d for d in gofer if not d.startswith("/") and d not in ("pipe", "socket")]
    equal(strange, [])
    t.ok("kill", "c", "KILL")
    reap(pid)
    t.ok("delete", "--force", "c")
    reap_all()
