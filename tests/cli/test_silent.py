"""Sentries that do not answer, or not as they should: no command hangs, and who asks for it gets
the container killed and removed."""
import json
import os
import signal
import socket
import struct
import subprocess
import threading

from lib import LONG, alive, check, contains, equal, reap, reap_all, test, wait_until

SHORT = ("--control-timeout=300ms",)  # where no answer comes, or none is asked for
FOR_EVER = ("--control-timeout=0",)
SILENT = "does not answer"


def silence(t, name):
    """Stops the sentry of a container, as a starved or wedged one would be."""
    pid = t.processes(name)["sentry"]
    os.kill(pid, signal.SIGSTOP)
    return pid


def start_command(t, *args, g=()):
    return subprocess.Popen(t.cmd(*args, g=g), stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@test
def commands_time_out(t):
    t.sleeper("c")
    silence(t, "c")
    for args in (["ps"], ["kill"], ["kill", "-a"], ["pause"], ["events", "--stats"], ["events"],
                 ["debug", "--stats"], ["debug", "--stacks"]):
        contains(t.fails(args[0], *args[1:], "c", g=SHORT), SILENT)
    for opts in ([], ["-d"]):
        # Not through a pipe: the request that the sentry has not read holds its ends open.
        with open(t.dir + "/err", "w+") as f:
            p = subprocess.run(t.cmd("exec", *opts, "c", "true", g=SHORT), timeout=LONG,
                               stdin=subprocess.DEVNULL, stdout=f, stderr=f)
            f.seek(0)
            contains(f.read(), SILENT)
        equal(p.returncode, 255)
    # Those that need no sentry work as ever.
    equal(t.status("c"), "running")
    equal(t.ids(), ["c"])
    t.ok("delete", "--force", "c")
    reap_all()


@test
def a_silent_sentry_does_not_start(t):
    t.bundle("c", ["sleep", "1000"])
    t.create("c")
    sentry = silence(t, "c")
    contains(t.fails("start", "c", g=SHORT), SILENT)
    equal(t.status("c"), "created")
    os.kill(sentry, signal.SIGCONT)
    # The first request may have been read, or not: it was carried out or it is gone.
    wait_until(lambda: "already" in (p := t.run("start", "c")).stderr or p.returncode == 0,
               what="started")
    t.ok("delete", "--force", "c")
    reap_all()


@test
def kill_kills_a_silent_sentry(t):
    for opts in ((), ("--all",)):
        pid = t.sleeper("c")
        silence(t, "c")
        t.ok("kill", *opts, "c", "KILL", g=SHORT)
        equal(reap(pid), 137)
        equal(t.status("c"), "stopped")
        t.ok("delete", "c")


@test
def kill_of_one_process_spares_the_others(t):
    t.sleeper("c")
    silence(t, "c")
    contains(t.fails("kill", "--pid", "7", "c", "KILL", g=SHORT), SILENT)
    equal(t.status("c"), "running")
    t.ok("delete", "--force", "c")
    reap_all()


@test
def delete_is_not_held_up(t):
    """Behind each command that waits for the sentry, for ever, delete --force goes through."""
    for args in (["pause"], ["resume"], ["start"], ["kill"], ["ps"], ["exec"], ["events"]):
        t.bundle("c", ["sleep", "1000"])
        pid = t.create("c")
        if args[0] != "start":
            t.ok("start", "c")
        if args[0] == "resume":
            t.ok("pause", "c")
        silence(t, "c")
        more = ["true"] if args[0] == "exec" else []
        p = start_command(t, args[0], "c", *more, g=FOR_EVER)
        # It has asked: the sentry's socket has something to accept, or start left its mark.
        path = f"{t.root}/c/control.sock"
        wait_until(lambda: connected(p.pid, path), what=f"{args[0]} to connect")
        t.ok("delete", "--force", "c")
        p.communicate(timeout=LONG)
        if args[0] != "events":  # whose end it is that the container ends
            check(p.returncode != 0, f"{args[0]} succeeded")
        reap(pid)
        equal(t.ids(), [])


def connected(pid, path):
    """Has the process a unix socket with a peer?  (A connect to a full backlog has not.)"""
    socks = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
            if link.startswith("socket:["):
                socks.add(link[8:-1])
    except OSError:
        return False
    with open("/proc/net/unix") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return any(r[6] in socks and r[5] == "03" for r in rows)


@test
def second_start_is_refused(t):
    """While one start waits, another one is refused and so is a delete without --force."""
    t.bundle("c", ["sleep", "1000"])
    t.create("c")
    silence(t, "c")
    p = start_command(t, "start", "c", g=FOR_EVER)

    def marked():
        with open(f"{t.root}/c/state.json") as f:
            return json.load(f)["starter"]["pid"] == p.pid

    wait_until(marked, what="the starter's mark")
    contains(t.fails("start", "c", g=SHORT), "being started")
    contains(t.fails("delete", "c", g=SHORT), "being started")
    # A starter that dies takes its mark along.
    p.kill()
    p.communicate()
    contains(t.fails("start", "c", g=SHORT), SILENT)
    t.ok("delete", "--force", "c")
    reap_all()


@test
def pause_and_resume_race(t):
    """What the state says is what the container is, whoever comes first."""
    t.sleeper("c")
    for _ in range(10):
        ps = [start_command(t, verb, "c") for verb in ("pause", "resume", "pause", "resume")]
        for p in ps:
            p.communicate(timeout=LONG)
        said = t.status("c")
        # Of the two, the one that the sentry accepts is the one that the state allows.
        t.fails("resume" if said == "running" else "pause", "c")
        t.ok("pause" if said == "running" else "resume", "c")
    t.ok("delete", "--force", "c")
    reap_all()


def frame(obj, blob=b""):
    text = json.dumps(obj).encode()
    return struct.pack("<II", len(text), len(blob)) + text + blob


class Impostor:
    """Stands in the place of a container's control socket and answers with what it is told."""

    def __init__(self, path, answer, slowly=False):
        os.unlink(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen(16)
        self.answer, self.slowly = answer, slowly
        self.stop = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.reply, args=(s,), daemon=True).start()

    def reply(self, s):
        try:
            s.recv(4096)
            if self.slowly:  # always a little, never enough
                for b in self.answer:
                    s.send(bytes([b]))
                    if self.stop.wait(0.05):
                        return
            else:
                s.sendall(self.answer)
            self.stop.wait(60)
        except OSError:
            pass
        finally:
            s.close()

    def close(self):
        self.stop.set()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@test
def hostile_answers(t):
    """What a sentry that was taken over may say: an error, promptly, and nothing for a terminal."""
    t.sleeper("c")
    path = f"{t.root}/c/control.sock"
    esc = "\x1b]0;owned\x07\x9b2J"
    row = {"pid": 1, "ppid": 0, "threads": 1, "uid": 0, "state": "S", "comm": esc, "cpu_ns": 0,
           "start_ns": 0, "tty": esc, "cmdline": esc}
    cases = (
        (b"", SILENT),
        (struct.pack("<II", 1 << 20, 0) + b"{", SILENT),
        (struct.pack("<II", 0xffffffff, 0xffffffff), "gone"),
        (struct.pack("<II", 2, 0) + b"[]", "gone"),
        (struct.pack("<II", 2, 0) + b"{}", "refused without a reason"),
        (frame({"ok": False, "errno": "x", "msg": esc}), "?]0;owned"),
        (frame({"ok": True}), "no list"),
        (frame({"ok": True}, b"{]"), "no list"),
    )
    for answer, message in cases:
        i = Impostor(path, answer)
        err = t.fails("ps", "c", g=SHORT if message == SILENT else ("--control-timeout=100s",))
        contains(err, message)
        check("\x1b" not in err and "\x9b" not in err, f"escapes in {err!r}")
        i.close()
    i = Impostor(path, struct.pack("<II", 1 << 20, 0) + b" " * 4096, slowly=True)
    contains(t.fails("ps", "c", g=("--control-timeout=1s",)), SILENT)
    i.close()
    i = Impostor(path, frame(
        {"ok": True}, json.dumps([row, 5, None, {"pid": "x"},
                      dict(row, cpu_ns=2**63 - 1, start_ns=-2**63), dict(row, start_ns=2**63 - 1)]).encode()))
    out = t.ok("ps", "c")
    contains(out, "?]0;owned")
    check("\x1b" not in out and "\x9b" not in out, f"escapes in {out!r}")
    i.close()
    i = Impostor(path, frame({"ok": True, "stats": {"pids": esc, "cpu_ns": [], "memory_bytes": {}}}))
    equal(json.loads(t.ok("events", "--stats", "c"))["data"]["pids"]["current"], 0)
    i.close()
    procs = t.processes("c")
    t.ok("delete", "--force", "c")
    wait_until(lambda: not any(alive(p) for p in procs.values()), what="the end")
    reap_all()


@test
def bad_timeouts(t):
    for bad in ("", "x", "-1s", "5", "5s5", "nan", "1e99h"):
        contains(t.fails("list", g=(f"--control-timeout={bad}",)), "control-timeout")
    t.ok("list", g=("--control-timeout=1.5m",))
