#!/usr/bin/env python3
"""Tests of the command line: the life of containers as OCI clients drive it.

    tests/cli/run.py [-k SUBSTRING] [--keep] RUNSC

Needs root, busybox (static) and nothing else.  Prints "ok NAME" or "FAIL NAME: why"; the exit
status is 1 if anything failed.  Everything lives below one temporary directory, with its own
--root; containers, processes and mounts are removed even when a test fails.
"""
import array
import ctypes
import fcntl
import glob
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

PR_SET_CHILD_SUBREAPER = 36
TESTS = []


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


def wait_until(condition, timeout=5.0, what="condition"):
    end = time.time() + timeout
    while time.time() < end:
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

    def run(self, *args, g=(), stdin=None, timeout=30, env=None, pass_fds=(), cwd=None):
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
        d = f"{self.dir}/{name}"
        os.makedirs(d, exist_ok=True)
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": terminal, "args": args, "cwd": "/",
                "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TERM=xterm"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": {k: ["CAP_KILL", "CAP_CHOWN", "CAP_DAC_OVERRIDE"]
                                 for k in ("bounding", "effective", "permitted")},
            },
            "root": {"path": self.rootfs, "readonly": False},
            "hostname": "test",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {"namespaces": [{"type": t} for t in
                                     ("pid", "network", "ipc", "uts", "mount")]},
        }
        if edit:
            edit(config)
        with open(d + "/config.json", "w") as f:
            json.dump(config, f)
        return d

    def create(self, name, *opts, out=None, g=(), **kw):
        """create with stdio that does not tie us to the container; returns its pid."""
        d = f"{self.dir}/{name}"
        with open(out or os.devnull, "a") as o, open(d + "/err", "w+") as e:
            p = subprocess.run(self.cmd("create", *opts, "--bundle", d, "--pid-file", d + "/pid",
                                        name, g=g), stdin=subprocess.DEVNULL, stdout=o, stderr=e,
                               timeout=30, **kw)
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

    def sleeper(self, name, seconds=100, **kw):
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
                           capture_output=True, timeout=60)
        return left


def reap(pid, timeout=10):
    """The exit code of an orphan that was re-parented to us (or of a child)."""
    end = time.time() + timeout
    while time.time() < end:
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


# --- without a sandbox ---

@test
def version(t):
    out = t.ok("--version").splitlines()
    check(out[0].startswith("runsc version "), out[0])
    check(out[1].startswith("commit: "), out[1])
    check(out[2].startswith("spec: 1."), out[2])


@test
def help_texts(t):
    contains(t.ok(), "COMMANDS:")
    contains(t.ok("--help"), "GLOBAL OPTIONS:")
    for c in ("run", "create", "state", "start", "kill", "wait", "delete", "list", "ps", "exec",
              "spec", "do", "features", "pause", "resume", "events", "update", "debug",
              "checkpoint", "restore"):
        contains(t.ok(c, "--help"), f"runsc {c}")
        contains(t.ok("help", c), f"runsc {c}")
    equal(t.run("nosuchcmd").returncode, 3)
    contains(t.run("nosuchcmd").stderr, "No help topic for 'nosuchcmd'")


@test
def help_syscalls(t):
    contains(t.ok("help", "syscalls"), "read")
    json.loads(t.ok("help", "syscalls", "--format", "json"))
    t.fails("help", "syscalls", "--format", "nosuch")


@test
def option_forms(t):
    for g in (["-log-format", "json"], ["--log-format=json"], ["-log-format=json"],
              ["--log-format", "text", "--log-format", "json"]):
        line = json.loads(t.fails("state", "nosuch", g=g))
        equal((line["level"], line["msg"]), ("error", "container does not exist"))
    contains(t.fails("state", "x", g=["--nosuch"]), "flag provided but not defined: -nosuch")
    contains(t.fails("state", "--nosuch", "x"), "flag provided but not defined: -nosuch")
    contains(t.fails("state", "x", g=["--debug=maybe"]), "invalid boolean value")
    contains(t.fails("create", "--bundle"), "flag needs an argument: -bundle")
    contains(t.fails("state", "x", g=["--log-format", "xml"]), "log-format")
    contains(t.fails("run", "--preserve-fds", "x", "y"), "invalid value")
    # options after the argument, except where a command follows
    t.ok("delete", "nosuch", "--force")
    t.ok("list", "-q", g=["--rootless", "auto", "--systemd-cgroup=false"])


@test
def argument_counts(t):
    contains(t.fails("state"), "requires exactly 1 argument")
    contains(t.fails("state", "a", "b"), "requires exactly 1 argument")
    contains(t.fails("kill"), "requires a minimum of 1 argument")


@test
def networks(t):
    t.ok("list", g=["--network", "none"])
    for n in ("sandbox", "host"):
        contains(t.fails("list", g=["--network", n]), "not supported")
    contains(t.fails("list", g=["--platform", "nosuch"]), "unknown platform")


@test
def features(t):
    f = json.loads(t.ok("features"))
    for k in ("ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations"):
        check(k in f, k)


@test
def spec(t):
    t.ok("spec", "--bundle", t.dir)
    with open(t.dir + "/config.json") as f:
        equal(json.load(f)["process"]["args"], ["sh"])
    contains(t.fails("spec", "--bundle", t.dir), "exists")


@test
def missing_container(t):
    for c in (["state"], ["start"], ["delete"], ["kill"], ["ps"], ["pause"], ["resume"], ["wait"],
              ["events", "--stats"]):
        contains(t.fails(*c, "nosuch"), "container does not exist")
    contains(t.fails("exec", "nosuch", "true", code=255), "container does not exist")
    t.ok("delete", "--force", "nosuch")


@test
def bad_ids(t):
    t.bundle("b", ["true"])
    for name in ("a b", "../x", "", ".", "..", "a/b", "ü"):
        contains(t.fails("create", "--bundle", t.dir + "/b", name), "invalid container ID format")
    equal(t.ids(), [])


@test
def bad_bundles(t):
    os.mkdir(t.dir + "/empty")
    contains(t.fails("create", "--bundle", t.dir + "/empty", "x"),
             "JSON specification file config.json not found")
    contains(t.fails("create", "--bundle", "/nonexistent", "x"),
             "chdir /nonexistent: no such file or directory")
    t.bundle("b", ["true"], edit=lambda c: c["root"].update(path="/nonexistent"))
    contains(t.fails("create", "--bundle", t.dir + "/b", "x"), "/nonexistent")
    equal(t.ids(), [])
    equal(glob.glob(t.root + "/*"), [])


@test
def json_log(t):
    log = t.dir + "/log.json"
    g = ["--log", log, "--log-format", "json"]
    equal(t.fails("start", "nosuch", g=g), "container does not exist\n")
    t.fails("delete", "nosuch", g=g)
    with open(log) as f:
        lines = [json.loads(x) for x in f]
    equal(len(lines), 2)
    for line in lines:
        equal(sorted(line), ["level", "msg", "time"])
        time.strptime(line["time"], "%Y-%m-%dT%H:%M:%SZ")


@test
def unsupported(t):
    contains(t.fails("checkpoint", "--image-path", "/x", "--leave-running", "c"), "not supported")
    contains(t.fails("restore", "--image-path", "/x", "-no-subreaper", "--detach", "c"),
             "not supported")


@test
def user_namespace_shift(t):
    t.bundle("b", ["true"], edit=lambda c: c["linux"].update(
        uidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}],
        gidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}]))
    contains(t.fails("create", "--bundle", t.dir + "/b", "x"), "uidMappings")


@test
def crashed_create(t):
    """What a create leaves that dies right after its mkdir."""
    os.makedirs(t.root + "/c")
    contains(t.fails("state", "c"), "does not exist")
    contains(t.fails("kill", "c"), "does not exist")
    t.bundle("c", ["true"])
    contains(t.fails("create", "--bundle", t.dir + "/c", "c"), "already exists")
    t.ok("delete", "--force", "c")
    equal(glob.glob(t.root + "/*"), [])


# --- the life cycle ---

@test
def run_exit_codes(t):
    t.bundle("a", ["sh", "-c", "echo out; echo err >&2; exit 7"])
    p = t.run("run", "--bundle", t.dir + "/a", "a")
    equal((p.returncode, p.stdout, p.stderr), (7, "out\n", "err\n"))
    t.bundle("b", ["sh", "-c", "kill -9 $$"])
    equal(t.run("run", "--bundle", t.dir + "/b", "b").returncode, 137)
    t.bundle("c", ["sh", "-c", "kill -TERM $$"])
    equal(t.run("run", "--bundle", t.dir + "/c", "c").returncode, 143)
    t.bundle("d", ["true"])
    equal(t.run("run", "d", cwd=t.dir + "/d").returncode, 0)
    equal(glob.glob(t.root + "/*"), [])


@test
def run_stdin(t):
    t.bundle("a", ["cat"])
    equal(t.ok("run", "--bundle", t.dir + "/a", "a", stdin="some data"), "some data")


@test
def closed_stdio(t):
    t.bundle("a", ["sh", "-c", "echo x; exit 3"])
    p = subprocess.run(["sh", "-c", '"$@" 0<&- 1>&- 2>&-', "sh",
                        *t.cmd("run", "--bundle", t.dir + "/a", "a")], timeout=30)
    check(p.returncode in (0, 1, 2, 3), p.returncode)
    equal(t.ids(), [])


@test
def shared_offset(t):
    """Standard output that is a file is written at the offset it shares with us."""
    t.bundle("a", ["sh", "-c", "echo from-inside; sleep 0.1; echo again"])
    with open(t.dir + "/out", "w") as f:
        f.write("before\n")
        f.flush()
        subprocess.run(t.cmd("run", "--bundle", t.dir + "/a", "a"), stdout=f, timeout=30,
                       stdin=subprocess.DEVNULL)
        os.write(f.fileno(), b"after\n")
    with open(t.dir + "/out") as f:
        equal(f.read(), "before\nfrom-inside\nagain\nafter\n")


@test
def life_cycle(t):
    t.bundle("c", ["sh", "-c", "trap 'echo TERM; exit 3' TERM; echo started; "
                   "while :; do sleep 0.05; done"])
    out = t.dir + "/out"
    pid = t.create("c", out=out)
    with open(f"/proc/{pid}/status") as f:
        contains(f.read(), f"PPid:\t{os.getpid()}\n")
    check(os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"), "same netns")
    s = t.state("c")
    equal((s["id"], s["pid"], s["status"], s["bundle"]), ("c", pid, "created", t.dir + "/c"))
    time.sleep(0.2)
    equal(open(out).read(), "", "output before start")
    t.ok("start", "c")
    wait_until(lambda: open(out).read() == "started\n", what="output")
    equal(t.status("c"), "running")
    contains(t.fails("start", "c"), "cannot start an already running container")
    contains(t.fails("delete", "c"), "cannot delete container c that is not stopped: running")
    for s in ("WINCH", "SIGWINCH", "28", "0"):
        t.ok("kill", "c", s)
    contains(t.fails("kill", "c", "NOSUCH"), 'unknown signal \\"NOSUCH\\"')
    t.ok("kill", "c")
    equal(reap(pid), 3, "exit code of the pid-file's process")
    equal(open(out).read(), "started\nTERM\n")
    s = t.state("c")
    equal((s["pid"], s["status"]), (0, "stopped"))
    contains(t.fails("kill", "c", "9"), "container not running")
    t.ok("kill", "--all", "c", "9")
    contains(t.fails("exec", "c", "true", code=255), "cannot exec in a stopped container")
    contains(t.fails("start", "c"), "cannot start a container that has stopped")
    equal(json.loads(t.ok("wait", "c")), {"id": "c", "exitStatus": 3})
    t.ok("delete", "c")
    contains(t.fails("delete", "c"), "does not exist")


@test
def wait_blocks(t):
    t.bundle("c", ["sh", "-c", "sleep 0.5; exit 9"])
    pid = t.create("c")
    w = subprocess.Popen(t.cmd("wait", "c"), stdout=subprocess.PIPE, text=True)
    t.ok("start", "c")
    out, _ = w.communicate(timeout=20)
    equal(json.loads(out), {"id": "c", "exitStatus": 9})
    equal(reap(pid), 9)


@test
def kill_and_delete_created(t):
    t.bundle("c", ["sleep", "100"])
    pid = t.create("c")
    t.ok("delete", "c")
    check(reap(pid) != 0, "exit code 0")
    pid = t.create("c")
    t.ok("kill", "c", "KILL")
    equal(reap(pid), 137)
    equal(t.status("c"), "stopped")
    t.ok("delete", "c")


@test
def delete_force_running(t):
    pid = t.sleeper("c")
    t.ok("delete", "--force", "c")
    check(reap(pid) in (137, -9), "exit code")
    equal(t.ids(), [])


@test
def existing_id(t):
    pid = t.sleeper("c")
    contains(t.fails("create", "--bundle", t.dir + "/c", "c"),
             "container with given ID already exists")
    contains(t.fails("run", "--bundle", t.dir + "/c", "c"), "already exists")
    s = t.state("c")
    equal((s["status"], s["pid"]), ("running", pid))
    t.ok("exec", "c", "true")


@test
def missing_programs(t):
    for args, text in ((["/nonexistent"], 'exec: "/nonexistent": stat /nonexistent: '
                        'no such file or directory'),
                       (["nosuchprogram"], 'exec: "nosuchprogram": executable file not found in '
                        '$PATH'),
                       (["/etc/passwd"], 'exec: "/etc/passwd": permission denied')):
        t.bundle("x", args)
        log = t.dir + "/log"
        t.fails("create", "--bundle", t.dir + "/x", "x",
                g=["--log", log, "--log-format", "json"])
        with open(log) as f:
            equal(json.loads(f.readlines()[-1])["msg"],
                  "runsc create failed: unable to start container process: " + text)
        contains(t.fails("run", "--bundle", t.dir + "/x", "x").replace('\\"', '"'), text)
    equal(glob.glob(t.root + "/*"), [])


@test
def run_detached(t):
    t.bundle("c", ["sleep", "100"])
    start = time.time()
    p = subprocess.run(t.cmd("run", "--detach", "--bundle", t.dir + "/c", "--pid-file",
                             t.dir + "/pid", "c"), stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)
    equal(p.returncode, 0)
    check(time.time() - start < 20, "did not detach")
    pid = int(open(t.dir + "/pid").read())
    equal(t.status("c"), "running")
    t.ok("kill", "c", "KILL")
    equal(reap(pid), 137)
    t.ok("delete", "c")


@test
def run_forwards_signals(t):
    t.bundle("c", ["sh", "-c", "trap 'echo got-term; exit 9' TERM; echo ready; "
                   "while :; do sleep 0.05; done"])
    p = subprocess.Popen(t.cmd("run", "--bundle", t.dir + "/c", "c"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True)
    equal(p.stdout.readline(), "ready\n")
    p.send_signal(signal.SIGTERM)
    out, _ = p.communicate(timeout=20)
    equal((p.returncode, out), (9, "got-term\n"))
    equal(t.ids(), [])


@test
def anchor_forwards_signals(t):
    t.bundle("c", ["sh", "-c", "trap 'exit 21' USR1; echo ready; while :; do sleep 0.05; done"])
    out = t.dir + "/out"
    pid = t.create("c", out=out)
    t.ok("start", "c")
    wait_until(lambda: open(out).read() == "ready\n", what="ready")
    os.kill(pid, signal.SIGUSR1)
    equal(reap(pid), 21)


@test
def output_pipes_are_released(t):
    """Callers read the output of start, exec --detach and delete to its end."""
    t.bundle("c", ["sleep", "100"])
    t.create("c")
    t.ok("start", "c", timeout=10)
    with open(t.dir + "/p.json", "w") as f:
        json.dump({"args": ["sleep", "100"], "cwd": "/", "env": ["PATH=/bin:/usr/bin"],
                   "user": {"uid": 0, "gid": 0}}, f)
    t.ok("pause", "c", timeout=10)
    t.ok("resume", "c", timeout=10)
    t.ok("delete", "--force", "c", timeout=10)


@test
def anchor_holds_no_stdio(t):
    """The caller's pipe ends when init closes it, whoever else lives on."""
    t.bundle("c", ["sh", "-c", "exec >/dev/null 2>&1; sleep 100"])
    r, w = os.pipe()
    subprocess.run(t.cmd("create", "--bundle", t.dir + "/c", "c"), stdin=subprocess.DEVNULL,
                   stdout=w, stderr=w, timeout=30)
    os.close(w)
    t.ok("start", "c")
    ready, _, _ = select.select([r], [], [], 10)
    check(ready and os.read(r, 10) == b"", "the pipe is still held")
    os.close(r)


@test
def list_and_ps(t):
    pid = t.sleeper("c", edit=lambda c: c.update(annotations={"k": "v"}))
    out = t.ok("list").splitlines()
    equal(out[0].split(), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"])
    equal(out[1].split()[:4], ["c", str(pid), "running", t.dir + "/c"])
    entry, = json.loads(t.ok("list", "-f", "json"))
    equal((entry["id"], entry["pid"], entry["status"], entry["annotations"]),
          ("c", pid, "running", {"k": "v"}))
    equal(t.state("c")["annotations"], {"k": "v"})
    equal(t.ids(), ["c"])
    equal(json.loads(t.ok("ps", "--format", "json", "c")), [pid])
    table = t.ok("ps", "c").splitlines()
    equal(table[0].split(), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"])
    check(len(table) >= 2, table)
    t.fails("list", "-f", "xml")


# --- exec ---

@test
def exec_basic(t):
    t.sleeper("c")
    p = t.run("exec", "c", "sh", "-c", "echo hi; echo err >&2; exit 5")
    equal((p.returncode, p.stdout, p.stderr), (5, "hi\n", "err\n"))
    equal(t.run("exec", "c", "sh", "-c", "kill -9 $$").returncode, 137)
    equal(t.ok("exec", "c", "cat", stdin="abc"), "abc")
    contains(t.fails("exec", "c", "/nonexistent", code=255).replace('\\"', '"'),
             'exec failed: unable to start container process: exec: "/nonexistent": '
             'stat /nonexistent: no such file or directory')
    contains(t.fails("exec", "c", "/etc/passwd", code=255), "permission denied")
    contains(t.fails("exec", "c", code=255), "empty")
    equal(t.ok("exec", "--cwd", "/tmp", "--env", "A=B", "-e", "C=D", "c", "sh", "-c",
               "pwd; echo $A$C"), "/tmp\nBD\n")


@test
def exec_user(t):
    t.sleeper("c")
    out = t.ok("exec", "--user", "1000:1001", "-g", "10", "c", "id")
    contains(out, "uid=1000")
    contains(out, "gid=1001")
    contains(out, "groups=")
    contains(out, "10")
    contains(t.fails("exec", "--user", "root", "c", "id", code=255), "invalid syntax")
    contains(t.fails("exec", "--cap", "CAP_NOSUCH", "c", "id", code=255), "unknown capability")


@test
def exec_created(t):
    t.bundle("c", ["sleep", "100"])
    t.create("c")
    equal(t.ok("exec", "c", "echo", "early"), "early\n")
    equal(t.status("c"), "created")


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
                           stdout=o, stderr=subprocess.STDOUT, timeout=30)
    equal(p.returncode, 0, "exec --detach: " + (open(out).read() if out != os.devnull else ""))
    return int(open(t.dir + "/xpid").read())


@test
def exec_detach(t):
    pid = t.sleeper("c")
    out = t.dir + "/out"
    x = exec_detached(t, "c", process_file(t, ["sh", "-c", "echo $X; sleep 0.3; exit 6"]), out=out)
    equal(json.loads(t.ok("ps", "-f", "json", "c")), [pid, x])
    equal(reap(x), 6)
    equal(open(out).read(), "y\n")
    equal(json.loads(t.ok("ps", "-f", "json", "c")), [pid])
    # a program that is missing is told by exec itself
    p = t.run("exec", "--detach", "--process", process_file(t, ["/nonexistent"]), "c")
    equal(p.returncode, 255)
    contains(p.stderr, "no such file or directory")


@test
def exec_signals(t):
    t.sleeper("c")
    x = exec_detached(t, "c", process_file(t, ["sh", "-c",
                      "trap 'exit 33' USR1; while :; do sleep 0.05; done"]))
    time.sleep(0.2)
    os.kill(x, signal.SIGUSR1)
    equal(reap(x), 33)
    before = t.ok("ps", "c")
    x = exec_detached(t, "c", process_file(t, ["sleep", "77"]))
    wait_until(lambda: len(t.ok("ps", "c").splitlines()) == len(before.splitlines()) + 1,
               what="the process")
    os.kill(x, signal.SIGKILL)
    equal(reap(x), -9)
    wait_until(lambda: len(t.ok("ps", "c").splitlines()) == len(before.splitlines()),
               what="the guest process to die")


@test
def exec_dies_with_container(t):
    pid = t.sleeper("c")
    x = exec_detached(t, "c", process_file(t, ["sleep", "100"]))
    t.ok("kill", "c", "KILL")
    equal(reap(pid), 137)
    equal(reap(x), 137)


@test
def preserve_fds(t):
    r, w = os.pipe()
    os.write(w, b"fd3data\n")
    os.close(w)
    saved = None
    try:
        if r != 3:
            try:
                saved = os.dup(3)
            except OSError:
                pass
            os.dup2(r, 3)
        t.bundle("c", ["sh", "-c", "cat <&3"])
        equal(t.ok("run", "--preserve-fds", "1", "--bundle", t.dir + "/c", "c", pass_fds=(3,)),
              "fd3data\n")
        contains(t.fails("run", "--preserve-fds", "40", "--bundle", t.dir + "/c", "c",
                         pass_fds=(3,)), "is present")
        t.bundle("d", ["sh", "-c", "ls /proc/self/fd | wc -l"])
        equal(t.ok("run", "--bundle", t.dir + "/d", "d", pass_fds=(3,)).strip(), "4")
    finally:
        if saved is not None:
            os.dup2(saved, 3)
            os.close(saved)


# --- terminals ---

class ConsoleSocket:
    """What conmon and the shim listen on."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind(path)
        self.s.listen(1)
        self.s.settimeout(20)
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
        self.thread.join(20)
        equal(len(self.messages), 1, "messages on the console socket")
        equal(len(self.fds), 1, "descriptors on the console socket")
        self.s.close()
        return self.fds[0]


def read_tty(fd, until=None, timeout=10):
    """Bytes up to `until`, or to the end."""
    out = b""
    end = time.time() + timeout
    while time.time() < end:
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


@test
def console_socket(t):
    t.bundle("c", ["sh", "-c", "tty; stty size; exit 3"], terminal=True)
    s = ConsoleSocket(t.dir + "/sock")
    pid = t.create("c", "--console-socket", t.dir + "/sock")
    m = s.master()
    set_size(m, 33, 77)
    time.sleep(0.1)
    t.ok("start", "c")
    out = read_tty(m)
    contains(out, b"33 77\r\n")
    contains(out, b"/dev/")
    equal(reap(pid), 3)
    os.close(m)


@test
def console_socket_errors(t):
    t.bundle("c", ["true"], terminal=True)
    contains(t.fails("create", "--bundle", t.dir + "/c", "c"),
             "cannot allocate tty if runc will detach without setting console socket")
    contains(t.fails("create", "--bundle", t.dir + "/c", "--console-socket", "/nonexistent", "c"),
             "/nonexistent")
    t.bundle("d", ["true"])
    contains(t.fails("create", "--bundle", t.dir + "/d", "--console-socket", "/x", "d"),
             "cannot use console socket if runc will not detach or allocate tty")
    equal(glob.glob(t.root + "/*"), [])


@test
def long_console_path(t):
    d = t.dir + "/" + "/".join(["d" * 60] * 3)
    os.makedirs(d)
    here = os.getcwd()
    os.chdir(d)
    try:
        s = ConsoleSocket("sock")
    finally:
        os.chdir(here)
    t.bundle("c", ["true"], terminal=True)
    pid = t.create("c", "--console-socket", d + "/sock")
    m = s.master()
    t.ok("start", "c")
    equal(reap(pid), 0)
    os.close(m)


@test
def tty_hangup(t):
    t.bundle("c", ["sh", "-c", "trap 'exit 44' HUP; echo ready; while :; do sleep 0.05; done"],
             terminal=True)
    s = ConsoleSocket(t.dir + "/sock")
    pid = t.create("c", "--console-socket", t.dir + "/sock")
    m = s.master()
    t.ok("start", "c")
    read_tty(m, b"ready")
    os.close(m)
    check(reap(pid) in (44, 129), "exit code")


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
        code = reap(self.pid, 20)
        os.close(self.fd)
        return code


@test
def foreground_tty(t):
    t.bundle("c", ["sh"], terminal=True)
    f = Foreground(t.cmd("run", "--bundle", t.dir + "/c", "c"), 30, 100)
    time.sleep(0.3)
    f.send(b"stty size; echo mark-$((1+1))\n")
    out = read_tty(f.fd, b"mark-2\r\n")
    contains(out, b"30 100\r\n")
    set_size(f.fd, 41, 111)
    os.kill(f.pid, signal.SIGWINCH)
    time.sleep(0.3)
    f.send(b"stty size; echo mark-$((2+1))\n")
    contains(read_tty(f.fd, b"mark-3\r\n"), b"41 111\r\n")
    # Ctrl-C ends the foreground job, not the shell
    f.send(b"sleep 100\n")
    time.sleep(0.5)
    f.send(b"\x03")
    time.sleep(0.2)
    f.send(b"echo mark-$((3+1))\n")
    read_tty(f.fd, b"mark-4\r\n")
    f.send(b"exit 12\n")
    equal(f.end(), 12)
    equal(t.ids(), [])


@test
def foreground_tty_restored(t):
    """Our own terminal is as before, also when the container cannot start."""
    t.bundle("c", ["true"], terminal=True)
    t.bundle("d", ["/nonexistent"], terminal=True)
    for name in ("c", "d"):
        m, s = pty.openpty()
        before = termios.tcgetattr(s)
        subprocess.run(t.cmd("run", "--bundle", f"{t.dir}/{name}", name), stdin=s, stdout=s,
                       stderr=s, timeout=30)
        equal(termios.tcgetattr(s), before, "terminal settings")
        os.close(m)
        os.close(s)


@test
def exec_tty(t):
    t.sleeper("c")
    f = Foreground(t.cmd("exec", "--tty", "c", "sh"))
    time.sleep(0.3)
    f.send(b"tty; stty size; echo mark-$((1+1))\n")
    out = read_tty(f.fd, b"mark-2\r\n")
    contains(out, b"24 80\r\n")
    f.send(b"exit 8\n")
    equal(f.end(), 8)
    s = ConsoleSocket(t.dir + "/sock")
    x = exec_detached(t, "c", process_file(t, ["sh", "-c", "stty size; read x; exit 4"],
                                           terminal=True),
                      "--console-socket", t.dir + "/sock", "--tty")
    m = s.master()
    os.write(m, b"go\n")
    equal(reap(x), 4)
    os.close(m)
    contains(t.fails("exec", "--tty", "--detach", "c", "sh", code=255), "console socket")


# --- pause, stats, limits ---

@test
def pause_resume(t):
    t.bundle("c", ["sh", "-c", "while :; do echo x; sleep 0.02; done"])
    out = t.dir + "/out"
    t.create("c", out=out)
    contains(t.fails("resume", "c"), "container not paused")
    t.ok("start", "c")
    t.ok("pause", "c")
    equal(t.status("c"), "paused")
    time.sleep(0.1)
    size = os.path.getsize(out)
    time.sleep(0.3)
    equal(os.path.getsize(out), size, "output of a paused container")
    contains(t.fails("exec", "c", "true", code=255), "cannot exec in a paused container")
    contains(t.fails("pause", "c"), "container not running")
    t.ok("resume", "c")
    equal(t.status("c"), "running")
    wait_until(lambda: os.path.getsize(out) > size, what="output")


@test
def kill_paused(t):
    pid = t.sleeper("c")
    t.ok("pause", "c")
    t.ok("kill", "c", "KILL")
    equal(reap(pid), 137)


def cgroup_file(controller, path, name):
    for d in (f"/sys/fs/cgroup/{controller}{path}", f"/sys/fs/cgroup{path}"):
        if os.path.exists(f"{d}/{name}"):
            return f"{d}/{name}"
    return None


@test
def cgroups(t):
    path = f"/runsc-test-{os.getpid()}/c"

    def edit(c):
        c["linux"]["cgroupsPath"] = path
        c["linux"]["resources"] = {"pids": {"limit": 500}, "memory": {"limit": 1 << 29},
                                   "devices": [{"allow": False, "access": "rwm"}],
                                   "cpu": {"shares": 512, "cpus": "0"}}
    pid = t.sleeper("c", edit=edit)
    try:
        limit = cgroup_file("memory", path, "memory.limit_in_bytes") or \
            cgroup_file("memory", path, "memory.max")
        check(limit, "no memory cgroup")
        equal(open(limit).read().strip(), str(1 << 29))
        with open(f"/proc/{pid}/cgroup") as f:
            contains(f.read(), path)
        t.ok("update", "--memory", str(1 << 28), "c")
        equal(open(limit).read().strip(), str(1 << 28))
        t.ok("update", "--resources", "-", "c", stdin='{"memory":{"limit":402653184}}')
        equal(open(limit).read().strip(), "402653184")
        t.fails("update", "--resources", "-", "c", stdin="{")
        s = json.loads(t.ok("events", "--stats", "c"))
        equal((s["type"], s["id"]), ("stats", "c"))
        equal(s["data"]["memory"]["usage"]["limit"], 402653184)
        check(s["data"]["pids"]["current"] >= 1, "pids")
        check(s["data"]["cpu"]["usage"]["total"] > 0, "cpu")
        t.ok("delete", "--force", "c")
        check(not os.path.exists(limit), "the cgroup is still there")
    finally:
        for d in glob.glob(f"/sys/fs/cgroup/*{os.path.dirname(path)}") + \
                [f"/sys/fs/cgroup{os.path.dirname(path)}"]:
            if os.path.isdir(d):
                os.rmdir(d)


@test
def systemd_cgroup_path(t):
    """slice:prefix:name becomes the directory that systemd would use."""
    tag = f"runsct{os.getpid()}"
    t.sleeper("c", edit=lambda c: c["linux"].update(
        cgroupsPath=f"{tag}-sub.slice:pre:name", resources={"pids": {"limit": 99}}))
    path = f"/{tag}.slice/{tag}-sub.slice/pre-name.scope"
    try:
        check(cgroup_file("pids", path, "pids.max"), "no cgroup " + path)
        t.ok("delete", "--force", "c")
    finally:
        for d in (f"/{tag}.slice/{tag}-sub.slice", f"/{tag}.slice"):
            for full in glob.glob("/sys/fs/cgroup/*" + d) + ["/sys/fs/cgroup" + d]:
                if os.path.isdir(full):
                    os.rmdir(full)


@test
def debug_command(t):
    t.sleeper("c")
    check("pids" in json.loads(t.ok("debug", "--stats", "c")), "stats")
    check(t.ok("debug", "--stacks", "c"), "no stacks")
    t.ok("debug", "--log-level", "debug", "c")
    t.fails("debug", "c")


@test
def debug_log(t):
    t.bundle("c", ["true"])
    os.mkdir(t.dir + "/logs")
    t.ok("run", "--bundle", t.dir + "/c", "c", g=["--debug", "--debug-log", t.dir + "/logs/"])
    names = os.listdir(t.dir + "/logs")
    for part in ("boot", "gofer", "run"):
        check(any(f".{part}.txt" in n for n in names), f"{part} in {names}")
    t.ok("run", "--bundle", t.dir + "/c", "c", g=["--debug-log", t.dir + "/%ID%-%COMMAND%.log"])
    check(os.path.exists(t.dir + "/c-boot.log"), os.listdir(t.dir))


# --- hooks ---

def hook_script(t):
    path = t.dir + "/hook.sh"
    with open(path, "w") as f:
        f.write('#!/bin/sh\ns=$(cat)\necho "$1|$(pwd)|$E|$s" >> ' + t.dir + '/hooks.log\n')
    os.chmod(path, 0o755)
    return path


def hook_log(t):
    try:
        with open(t.dir + "/hooks.log") as f:
            return [line.rstrip("\n").split("|", 3) for line in f]
    except FileNotFoundError:
        return []


@test
def hooks_order_and_state(t):
    script = hook_script(t)
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")

    def edit(c):
        c["hooks"] = {k: [{"path": script, "args": ["hook", k], "env": ["PATH=/bin:/usr/bin",
                                                                         "E=" + k]}]
                      for k in kinds}
        c["annotations"] = {"k": "v"}
    t.bundle("c", ["sleep", "100"], edit=edit)
    pid = t.create("c")
    log = hook_log(t)
    equal([x[0] for x in log], ["prestart", "createRuntime", "createContainer"])
    for kind, cwd, env, text in log:
        s = json.loads(text)
        equal((s["id"], s["status"], s["pid"], s["bundle"], s["annotations"], env),
              ("c", "creating", pid, t.dir + "/c", {"k": "v"}, kind))
        check("ociVersion" in s, "ociVersion")
    equal(log[0][1], t.dir + "/c", "cwd of prestart")
    t.ok("start", "c")
    t.ok("delete", "--force", "c")
    reap(pid)
    log = hook_log(t)[3:]
    equal([x[0] for x in log], ["poststart", "poststop"])
    equal(json.loads(log[0][3])["status"], "running")
    equal(json.loads(log[1][3])["status"], "stopped")


@test
def hook_sees_network_namespace(t):
    """docker's prestart hook plumbs the network namespace of the state's pid."""
    path = t.dir + "/hook.sh"
    with open(path, "w") as f:
        f.write('#!/bin/sh\npid=$(sed "s/.*\\"pid\\": *\\([0-9]*\\).*/\\1/")\n'
                f'readlink /proc/$pid/ns/net > {t.dir}/ns\n')
    os.chmod(path, 0o755)
    t.bundle("c", ["true"], edit=lambda c: c.update(hooks={"prestart": [{"path": path}]}))
    pid = t.create("c")
    equal(open(t.dir + "/ns").read().strip(), os.readlink(f"/proc/{pid}/ns/net"))


@test
def network_namespace_by_path(t):
    holder = subprocess.Popen(["unshare", "-n", "sleep", "100"])
    try:
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") !=
                   os.readlink("/proc/self/ns/net"), what="unshare")

        def edit(c):
            for ns in c["linux"]["namespaces"]:
                if ns["type"] == "network":
                    ns["path"] = f"/proc/{holder.pid}/ns/net"
        t.bundle("c", ["true"], edit=edit)
        pid = t.create("c")
        equal(os.readlink(f"/proc/{pid}/ns/net"), os.readlink(f"/proc/{holder.pid}/ns/net"))
    finally:
        holder.kill()
        holder.wait()


@test
def failing_hooks(t):
    for kind in ("prestart", "createRuntime", "createContainer"):
        t.bundle("c", ["true"], edit=lambda c: c.update(hooks={kind: [{"path": "/bin/false"}]}))
        equal(t.fails("create", "--bundle", t.dir + "/c", "c", g=["--log", "/dev/null"]),
              "runsc create failed: unable to start container process: error during container "
              "init: error running hook #0: error running hook: exit status 1, stdout: , "
              "stderr: \n")
        equal(glob.glob(t.root + "/*"), [])
    t.bundle("c", ["true"], edit=lambda c: c.update(
        hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "50"], "timeout": 1}]}))
    contains(t.fails("create", "--bundle", t.dir + "/c", "c"),
             "hook ran past specified timeout of 1.0s")
    t.bundle("c", ["true"], edit=lambda c: c.update(hooks={"poststop": [{"path": "/bin/false"}]}))
    t.create("c")
    p = t.run("delete", "--force", "c")
    equal(p.returncode, 0)
    contains(p.stderr, "error running hook #0")


@test
def start_container_hook(t):
    """It runs inside, before the program."""
    t.bundle("c", ["sleep", "100"], edit=lambda c: c.update(
        hooks={"startContainer": [{"path": "/bin/sh", "args": [
            "sh", "-c", "cat > /tmp/state; grep -q created /tmp/state"]}]}))
    t.create("c")
    t.ok("start", "c")
    s = json.loads(t.ok("exec", "c", "cat", "/tmp/state"))
    equal((s["id"], s["status"]), ("c", "created"))
    t.ok("delete", "--force", "c")
    t.bundle("c", ["sleep", "100"], edit=lambda c: c.update(
        hooks={"startContainer": [{"path": "/bin/false"}]}))
    t.create("c")
    contains(t.fails("start", "c"), "error running hook #0")
    equal(t.status("c"), "stopped")
    os.path.exists("/tmp/state") and os.unlink("/tmp/state")


@test
def hook_calls_state(t):
    """state must not wait for the create that runs the hook."""
    path = t.dir + "/hook.sh"
    with open(path, "w") as f:
        f.write(f'#!/bin/sh\n{t.runsc} --root {t.root} state c > {t.dir}/seen\n')
    os.chmod(path, 0o755)
    t.bundle("c", ["true"], edit=lambda c: c.update(
        hooks={"createRuntime": [{"path": path, "timeout": 10}]}))
    t.create("c")
    equal(json.load(open(t.dir + "/seen"))["status"], "creating")


# --- violence ---

def all_dead(pids):
    return not any(alive(p) for p in pids)


@test
def kill_each_process(t):
    """kill -9 of each process at each phase: state says stopped, delete --force cleans."""
    for phase in ("created", "running", "paused"):
        for victim in ("anchor", "sentry", "gofer"):
            t.bundle("c", ["sleep", "100"])
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
def kill_while_creating(t):
    """A create that is killed at any moment leaves nothing that delete --force cannot clean."""
    t.bundle("c", ["sleep", "100"])
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
    t.bundle("c", ["sleep", "100"])
    ps = [subprocess.Popen(t.cmd("create", "--bundle", t.dir + "/c", "c"),
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True) for _ in range(8)]
    results = []
    for p in ps:
        # not communicate(): the winner's container holds the pipe
        results.append((p.wait(timeout=60), p))
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
        out, _ = p.communicate(timeout=120)
        equal((out, p.returncode), (n + "\n", int(n[1:])))
    equal(glob.glob(t.root + "/*"), [])


@test
def concurrent_commands(t):
    """Commands on one container while it is deleted: errors, but never damage."""
    for i in range(5):
        t.sleeper("c")
        ps = [subprocess.Popen(t.cmd(*a), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
              for a in (["pause", "c"], ["resume", "c"], ["exec", "c", "true"], ["state", "c"],
                        ["kill", "c", "TERM"], ["delete", "--force", "c"],
                        ["delete", "--force", "c"], ["ps", "c"])]
        for p in ps:
            p.wait(timeout=60)
        equal(glob.glob(t.root + "/*"), [])
        reap_all()


# --- do ---

@test
def do_command(t):
    p = t.run("do", "sh", "-c", "echo $FOO; pwd; exit 4", cwd="/usr",
              env=dict(os.environ, FOO="bar"))
    equal((p.returncode, p.stdout), (4, "bar\n/usr\n"))
    mark = f"/etc/runsc-do-test-{os.getpid()}"
    equal(t.ok("do", "sh", "-c", f"echo x > {mark} && cat {mark}"), "x\n")
    check(not os.path.exists(mark), "a write reached the host")
    equal(t.ids(), [])
    equal(glob.glob("/tmp/runsc-do-*"), [])


def rootfs(base):
    """busybox and the few files that programs look for."""
    busybox = shutil.which("busybox")
    check(busybox, "busybox is not installed")
    root = base + "/rootfs"
    for d in ("bin", "etc", "proc", "dev", "tmp", "sys", "root", "usr/bin"):
        os.makedirs(f"{root}/{d}")
    shutil.copy(busybox, root + "/bin/busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True,
                               text=True).stdout.split():
        if name != "busybox":
            os.symlink("busybox", f"{root}/bin/{name}")
    with open(root + "/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    with open(root + "/etc/group", "w") as f:
        f.write("root:x:0:\nuser:x:1000:\n")
    os.chmod(root + "/etc/passwd", 0o644)
    return root


def mounts():
    with open("/proc/self/mountinfo") as f:
        return [line.split()[4] for line in f]


def run_one(fn, runsc, base, root):
    d = tempfile.mkdtemp(prefix=fn.__name__ + "-", dir=base)
    t = Env(runsc, d, root)
    before = mounts()
    why = None
    try:
        fn(t)
    except Exception as e:  # a failure is reported, the others go on
        why = str(e) or repr(e)
        if not isinstance(e, AssertionError):
            why += "\n" + traceback.format_exc()
    left = t.clean()
    for _ in range(200):
        reap_all()
        processes = sandbox_processes(t.root)
        if not processes:
            break
        time.sleep(0.02)
    if not why and processes:
        why = f"processes left: {processes}"
    if not why and glob.glob(t.root + "/*"):
        why = f"state left after delete --force: {left}"
    if not why and mounts() != before:
        why = "mounts left"
    return why


def main():
    args = sys.argv[1:]
    keep = "--keep" in args
    args = [a for a in args if a != "--keep"]
    pattern = ""
    if "-k" in args:
        i = args.index("-k")
        pattern = args[i + 1]
        del args[i:i + 2]
    if len(args) != 1:
        sys.exit(__doc__)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    base = tempfile.mkdtemp(prefix="runsc-cli-")
    failed = 0
    try:
        root = rootfs(base)
        for fn in TESTS:
            if pattern not in fn.__name__:
                continue
            why = run_one(fn, os.path.abspath(args[0]), base, root)
            failed += why is not None
            print(f"FAIL {fn.__name__}: {why}" if why else f"ok {fn.__name__}", flush=True)
    finally:
        if not keep:
            shutil.rmtree(base, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
