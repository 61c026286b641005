"""exec and terminals."""
import glob
import json
import os
import pty
import signal
import subprocess
import termios

from lib import (LONG, ConsoleSocket, Foreground, check, contains, equal, exec_detached,
                 process_file, read_tty, reap, set_size, test, wait_until)


PROMPT = b"# "


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
    p = t.run("exec", "--cap", "CAP_NOSUCH", "--cap", "CAP_SYS_BOOT", "c", "grep", "CapEff",
              "/proc/self/status")
    equal(p.returncode, 0)
    contains(p.stderr, "unknown capability")
    check(int(p.stdout.split()[1], 16) >> 22 & 1, "CAP_SYS_BOOT is given")


@test
def exec_environment(t):
    """What runc makes of the environment: HOME by passwd(5), the last value of a variable."""
    t.sleeper("c", edit=lambda c: c["process"].update(env=["PATH=/bin:/usr/bin", "X=1"]))

    def env(*opts):
        return dict(l.split("=", 1) for l in t.ok("exec", *opts, "c", "env").splitlines())

    t.ok("exec", "c", "sh", "-c", "printf '%s\\n' bad root:x:0:0::/r: 'u:x:1000:1::/u/h:/s' "
         "'v:x:1000:1::/second:/s' 'e:x:1001:1:::' > /etc/passwd")
    for user, home in (("0", "/r"), ("1000", "/u/h"), ("1001", "/"), ("77", "/")):
        equal(env("--user", user)["HOME"], home, f"HOME of {user}")
    equal(env("-e", "HOME=")["HOME"], "/r")
    equal(env("-e", "HOME=/x")["HOME"], "/x")
    equal(env("-e", "HOME=/x", "-e", "HOMEX=2")["HOMEX"], "2")
    equal(env("-e", "X=2", "-e", "X=3")["X"], "3")
    equal(t.ok("exec", "-e", "X=2", "c", "env").count("X="), 1)
    # PATH is the one that the process gets
    contains(t.fails("exec", "-e", "PATH=/nowhere", "c", "true", code=255),
             "executable file not found")
    for odd in ("rm /etc/passwd", "mkfifo /etc/passwd", "rm /etc/passwd; ln -s passwd /etc/passwd",
                "rm /etc/passwd; mkdir /etc/passwd"):
        t.ok("exec", "c", "sh", "-c", odd)
        equal(env()["HOME"], "/", odd)


@test
def exec_inherits(t):
    """Limits and umask that the process does not name are the caller's, as with runc."""
    t.bundle("c", ["sleep", "1000"], edit=lambda c: c["process"].pop("rlimits", None))
    sh = "ulimit -Sn 777; ulimit -Hn 888; umask 027; exec \"$@\""
    runsc = t.cmd("run", "--detach", "--bundle", t.dir + "/c", "c")
    equal(subprocess.run(["sh", "-c", sh, "sh", *runsc], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode, 0)
    want = "777\n888\n0027\n"
    show = "ulimit -Sn; ulimit -Hn; umask"
    equal(t.ok("exec", "c", "sh", "-c", "grep 'open files' /proc/1/limits").split()[3:5],
          ["777", "888"])
    equal(t.ok("exec", "c", "sh", "-c", "grep Umask /proc/1/status").split()[1], "0027")
    out = subprocess.run(["sh", "-c", sh, "sh", *t.cmd("exec", "c", "sh", "-c", show)],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    equal(out.stdout, want)
    # what the process names stays
    file = process_file(t, ["sh", "-c", show], rlimits=[
        {"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}],
        user={"uid": 0, "gid": 0, "umask": 0o77})
    out = subprocess.run(["sh", "-c", sh, "sh", *t.cmd("exec", "-p", file, "c")],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    equal(out.stdout, "55\n66\n0077\n")


@test
def exec_cwd_of_others(t):
    """A directory that only root may enter is no obstacle to a user's process, as with runc."""
    t.sleeper("c")
    t.ok("exec", "c", "sh", "-c", "mkdir -p -m 700 /only/in; chmod 700 /only")
    equal(t.ok("exec", "--user", "1000:1000", "--cwd", "/only/in", "c", "pwd"), "/only/in\n")
    contains(t.fails("exec", "--cwd", "/missing", "c", "pwd", code=255), "chdir to cwd")


@test
def exec_console_size(t):
    t.sleeper("c")
    file = process_file(t, ["stty", "size"], terminal=True, consoleSize={"height": 33, "width": 99})
    s = ConsoleSocket(t.dir + "/sock")
    t.ok("exec", "--detach", "--console-socket", t.dir + "/sock", "--process", file, "c")
    master = s.master()
    try:
        contains(read_tty(master, b"99").decode(), "33 99")
    finally:
        os.close(master)


@test
def exec_created(t):
    t.bundle("c", ["sleep", "1000"])
    t.create("c")
    equal(t.ok("exec", "c", "echo", "early"), "early\n")
    equal(t.status("c"), "created")


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
    out = t.dir + "/out"
    x = exec_detached(t, "c", process_file(t, ["sh", "-c",
                      "trap 'exit 33' USR1; echo ready; while :; do sleep 0.05; done"]), out=out)
    wait_until(lambda: open(out).read() == "ready\n", what="ready")
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
    x = exec_detached(t, "c", process_file(t, ["sleep", "1000"]))
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


@test
def console_socket(t):
    t.bundle("c", ["sh", "-c", "tty; until stty size | grep '33 77'; do sleep 0.05; done; exit 3"],
             terminal=True)
    s = ConsoleSocket(t.dir + "/sock")
    pid = t.create("c", "--console-socket", t.dir + "/sock")
    m = s.master()
    set_size(m, 33, 77)
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


@test
def foreground_tty(t):
    t.bundle("c", ["sh"], terminal=True)
    f = Foreground(t.cmd("run", "--bundle", t.dir + "/c", "c"), 30, 100)
    read_tty(f.fd, PROMPT)
    f.send(b"stty size; echo mark-$((1+1))\n")
    out = read_tty(f.fd, b"mark-2\r\n")
    contains(out, b"30 100\r\n")
    set_size(f.fd, 41, 111)
    os.kill(f.pid, signal.SIGWINCH)
    f.send(b"until stty size | grep '41 111'; do sleep 0.05; done; echo mark-$((2+1))\n")
    contains(read_tty(f.fd, b"mark-3\r\n"), b"\n41 111\r\n")
    # Ctrl-C ends the foreground job, not the shell
    f.send(b"sleep 1000\n")
    wait_until(lambda: "sleep 1000" in t.ok("ps", "c"), what="the job")
    f.send(b"\x03")
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
                       stderr=s, timeout=LONG)
        equal(termios.tcgetattr(s), before, "terminal settings")
        os.close(m)
        os.close(s)


@test
def exec_tty(t):
    t.sleeper("c")
    f = Foreground(t.cmd("exec", "--tty", "c", "sh"))
    read_tty(f.fd, PROMPT)
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
