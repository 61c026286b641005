"""The life cycle: create, start, kill, wait, delete, run, list, ps, do."""
import glob
import json
import os
import select
import signal
import subprocess
import time

from lib import LONG, check, contains, equal, reap, test, wait_until


@test
def run_exit_codes(t):
    t.bundle("a", ["sh", "-c", "echo out; echo err >&2; exit 7"])
    p = t.run("run", "--bundle", t.dir + "/a", "a")
    equal((p.returncode, p.stdout, p.stderr), (7, "out\n", "err\n"))
    # the first process of a pid namespace is deaf to signals from inside
    t.bundle("b", ["sh", "-c", "kill -9 $$; kill -TERM $$; sleep 0.1; exit 4"])
    equal(t.run("run", "--bundle", t.dir + "/b", "b").returncode, 4)
    t.bundle("c", ["sleep", "1000"])
    p = subprocess.Popen(t.cmd("run", "--bundle", t.dir + "/c", "c"), stdin=subprocess.DEVNULL)
    wait_until(lambda: "c" in t.ids() and t.status("c") == "running", what="running")
    t.ok("kill", "c", "KILL")
    equal(p.wait(timeout=LONG), 137)
    t.bundle("d", ["true"])
    equal(t.run("run", "d", cwd=t.dir + "/d").returncode, 0)
    equal(glob.glob(t.root + "/*"), [])


@test
def run_stdin(t):
    t.bundle("a", ["cat"])
    equal(t.ok("run", "--bundle", t.dir + "/a", "a", stdin="some data"), "some data")


@test
def closed_stdio(t):
    """What is closed outside is closed inside, and nothing of ours takes its place."""
    t.bundle("a", ["sh", "-c", "m=8; for i in 0 1 2; do "
                   "[ -L /proc/$$/fd/$i ] && m=$((m | 1 << i)); done; exit $m"])
    run = t.cmd("run", "--bundle", t.dir + "/a", "a", g=("--debug-log", t.dir + "/log/"))
    for closed in ([0, 1, 2], [0], [1], [2], [1, 2], []):
        redirect = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in closed)
        p = subprocess.run(["sh", "-c", f'"$@" {redirect}', "sh", *run], timeout=LONG,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        equal(p.returncode, 15 & ~sum(1 << fd for fd in closed), f"closed {closed}: mask of open")
        equal(t.ids(), [])


@test
def shared_offset(t):
    """Standard output that is a file is written at the offset it shares with us."""
    t.bundle("a", ["sh", "-c", "echo from-inside; sleep 0.1; echo again"])
    with open(t.dir + "/out", "w") as f:
        f.write("before\n")
        f.flush()
        subprocess.run(t.cmd("run", "--bundle", t.dir + "/a", "a"), stdout=f, timeout=LONG,
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
    out, _ = w.communicate(timeout=LONG)
    equal(json.loads(out), {"id": "c", "exitStatus": 9})
    equal(reap(pid), 9)


@test
def kill_and_delete_created(t):
    t.bundle("c", ["sleep", "1000"])
    pid = t.create("c")
    t.ok("delete", "c")
    check(reap(pid) != 0, "exit code 0")
    pid = t.create("c")
    t.ok("kill", "c", "KILL")
    equal(reap(pid), 137)
    equal(t.status("c"), "stopped")
    t.ok("delete", "c")


@test
def long_root(t):
    """Paths beyond what a unix socket's address holds."""
    t.root = t.root + "/" + "r" * 200
    t.sleeper("c" * 120)
    equal(t.ok("exec", "c" * 120, "echo", "x"), "x\n")
    t.ok("delete", "--force", "c" * 120)


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
    t.bundle("c", ["sleep", "1000"])
    p = subprocess.run(t.cmd("run", "--detach", "--bundle", t.dir + "/c", "--pid-file",
                             t.dir + "/pid", "c"), stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LONG)
    equal(p.returncode, 0)
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
    out, _ = p.communicate(timeout=LONG)
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
    t.bundle("c", ["sleep", "1000"])
    t.create("c")
    t.ok("start", "c", timeout=LONG)
    with open(t.dir + "/p.json", "w") as f:
        json.dump({"args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin:/usr/bin"],
                   "user": {"uid": 0, "gid": 0}}, f)
    t.ok("pause", "c", timeout=LONG)
    t.ok("resume", "c", timeout=LONG)
    t.ok("delete", "--force", "c", timeout=LONG)


@test
def anchor_holds_no_stdio(t):
    """The caller's pipe ends when init closes it, whoever else lives on."""
    t.bundle("c", ["sh", "-c", "exec >/dev/null 2>&1; sleep 1000"])
    r, w = os.pipe()
    subprocess.run(t.cmd("create", "--bundle", t.dir + "/c", "c"), stdin=subprocess.DEVNULL,
                   stdout=w, stderr=w, timeout=LONG)
    os.close(w)
    t.ok("start", "c")
    ready, _, _ = select.select([r], [], [], LONG)
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


@test
def do_command(t):
    others = set(glob.glob("/tmp/runsc-do-*"))
    p = t.run("do", "sh", "-c", "echo $FOO; pwd; exit 4", cwd="/usr",
              env=dict(os.environ, FOO="bar"))
    equal((p.returncode, p.stdout), (4, "bar\n/usr\n"))
    mark = f"/etc/runsc-do-test-{os.getpid()}"
    equal(t.ok("do", "sh", "-c", f"echo x > {mark} && cat {mark}"), "x\n")
    check(not os.path.exists(mark), "a write reached the host")
    equal(t.ids(), [])
    equal(set(glob.glob("/tmp/runsc-do-*")) - others, set())


@test
def pids_limit(t):
    """It counts tasks inside, and what the sandbox itself needs comes on top."""
    limit = lambda n: lambda c: c["linux"].setdefault("resources", {}).update(pids={"limit": n})
    def small(c):
        limit(4)(c)
        c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})

    t.sleeper("c", edit=small)
    equal(t.ok("exec", "c", "sh", "-c", "cat /sys/fs/cgroup/pids.max"), "4\n")
    fork = "i=0; while [ $i -lt 6 ]; do sleep 100 & i=$((i+1)); done; wait"
    p = t.run("exec", "c", "sh", "-c", fork)
    contains(p.stderr, "fork")
    data = lambda: json.loads(t.ok("events", "--stats", "c"))["data"]["pids"]
    equal(data()["limit"], 4)
    check(1 <= data()["current"] <= 4, f"current: {data()}")
    t.fails("exec", "c", "sh", "-c", "echo 100 > /sys/fs/cgroup/pids.max")
    equal(t.ok("exec", "c", "cat", "/sys/fs/cgroup/pids.max"), "4\n")
    t.ok("update", "--pids-limit", "50", "c")
    equal(t.ok("exec", "c", "cat", "/sys/fs/cgroup/pids.max"), "50\n")
    equal(data()["limit"], 50)
    # fewer than the sandbox's own threads on the host are enough
    t.bundle("one", ["true"], edit=limit(1))
    equal(t.run("run", "--bundle", t.dir + "/one", "one").returncode, 0)
