"""Several containers in one sandbox: by the annotations of CRI clients and by a network namespace."""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess

from lib import (LONG, alive, check, contains, equal, exec_detached, process_file, reap, reap_all,
                 test, wait_until)
from test_network import in_network, inside, network

SANDBOX = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "pod"}
MEMBER = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod"}
NONE = ("--network=none",)
SLEEP = ["sleep", "1000"]


def path_of(c, kind, path):
    """The path of a namespace of config.json; None: there is none of that kind."""
    rest = [ns for ns in c["linux"]["namespaces"] if ns["type"] != kind]
    c["linux"]["namespaces"] = rest + ([{"type": kind, "path": path}] if path else [])


def edits(*fns):
    def edit(c):
        for f in fns:
            f(c)
    return edit


def annotated(what):
    return lambda c: c.update(annotations=dict(what))


def shares(pid, *kinds):
    """The namespaces of the container whose anchor is pid."""
    def edit(c):
        for kind in kinds:
            path_of(c, kind, f"/proc/{pid}/ns/{'net' if kind == 'network' else kind}")
    return edit


def may_name(c):
    for names in c["process"]["capabilities"].values():
        names.append("CAP_SYS_ADMIN")


def started(t, name, args=SLEEP, edit=None, g=(), **kw):
    t.bundle(name, args, edit=edits(may_name, *([edit] if edit else [])))
    pid = t.create(name, g=g, **kw)
    t.ok("start", name)
    return pid


def pod(t, edit=None, g=NONE):
    """The sandbox's own container; its anchor."""
    return started(t, "pod", edit=edits(annotated(SANDBOX), *([edit] if edit else [])), g=g)


def member(t, name, pid, args=SLEEP, kinds=("network",), g=NONE, **kw):
    return started(t, name, args, edits(annotated(MEMBER), shares(pid, *kinds)), g=g, **kw)


def state_file(t, name):
    with open(f"{t.root}/{name}/state.json") as f:
        return json.load(f)


def sentry(t, name):
    return t.processes(name)["sentry"]


def warden(t, name):
    return state_file(t, name)["warden"]["pid"]


def pids_in(t, name):
    """The processes in /proc inside, by what they run."""
    out = t.ok("exec", name, "sh", "-c",
               "for p in /proc/[0-9]*; do (tr '\\0' ' ' <$p/cmdline) 2>/dev/null; echo; done")
    return [line.strip() for line in out.splitlines() if line.strip()]


def end_all(t, *names):
    for n in names:
        t.ok("delete", "--force", n)
    reap_all()
    equal(glob.glob(t.root + "/*"), [])


@test
def pod_by_annotations(t):
    """One sentry; roots, pids and hosts' names apart, 127.0.0.1 together."""
    pid = pod(t)
    a = member(t, "a", pid, ["sh", "-c", "while :; do echo hello | nc -l -p 8080; done"])
    b = member(t, "b", pid)
    equal({sentry(t, n) for n in ("pod", "a", "b")}, {sentry(t, "pod")})
    equal(len({pid, a, b, *(t.processes(n)["gofer"] for n in ("pod", "a", "b"))}), 6)
    wait_until(lambda: t.run("exec", "b", "nc", "-w", "2", "127.0.0.1", "8080").stdout == "hello\n",
               what="the other's server")
    t.ok("exec", "a", "touch", "/only-a")
    check(t.run("exec", "b", "test", "-e", "/only-a").returncode != 0, "one root")
    contains(t.ok("exec", "b", "ps"), "sleep 1000")
    check("nc -l" not in t.ok("exec", "b", "ps"), "one pid namespace")
    equal(t.ok("exec", "b", "cat", "/proc/1/comm"), "sleep\n")
    t.ok("exec", "a", "hostname", "other")
    equal(t.ok("exec", "b", "hostname"), "test\n")
    for n in ("net", "pid", "uts", "ipc"):
        one, two = (t.ok("exec", x, "readlink", f"/proc/self/ns/{n}") for x in ("a", "b"))
        equal(one == two, n == "net", f"the same {n} namespace")
    end_all(t, "a", "b", "pod")


@test
def pod_shares_what_it_says(t):
    pid = pod(t)
    member(t, "a", pid, kinds=("network", "ipc", "uts", "pid"))
    member(t, "b", pid, kinds=("network", "ipc", "uts", "pid"))
    t.ok("exec", "a", "hostname", "together")
    equal(t.ok("exec", "pod", "hostname"), "together\n")
    for n in ("net", "pid", "uts", "ipc"):
        equal(len({t.ok("exec", x, "readlink", f"/proc/self/ns/{n}") for x in ("a", "b", "pod")}), 1,
              f"{n} namespaces")
    equal(pids_in(t, "a").count("sleep 1000"), 3)
    check(t.ok("exec", "a", "cat", "/proc/1/comm") == "sleep\n", "the pod's first process")
    end_all(t, "a", "b", "pod")


@test
def pod_of_a_target(t):
    """An ephemeral container that looks at another one's processes (kubectl debug --target)."""
    pid = pod(t)
    a = member(t, "a", pid, ["sleep", "777"])
    t.bundle("debug", SLEEP, edit=edits(annotated(MEMBER), shares(pid, "network"),
                                        shares(a, "pid")))
    t.create("debug", g=NONE)
    t.ok("start", "debug")
    contains(t.ok("exec", "debug", "cat", "/proc/1/cmdline"), "777")
    t.ok("exec", "debug", "kill", "-0", "1")
    # Its own end leaves the target alone; that of the target's first process is the end of both.
    t.ok("delete", "--force", "debug")
    equal(t.ok("exec", "a", "cat", "/proc/1/comm"), "sleep\n")
    d = started(t, "debug", edit=edits(annotated(MEMBER), shares(pid, "network"), shares(a, "pid")),
                g=NONE)
    t.ok("kill", "a", "KILL")
    equal((reap(a), reap(d)), (137, 137))
    equal(t.status("pod"), "running")
    end_all(t, "a", "debug", "pod")


@test
def pod_orphans_of_a_member(t):
    """In a shared pid namespace a member's end takes its processes along, zombies included, which
    the namespace's init never looks for."""
    pid = pod(t)
    a = member(t, "a", pid, ["sh", "-c", "(sleep 1234 & sleep 0 & ) ; exec sleep 1000"],
               kinds=("network", "pid"))
    wait_until(lambda: "sleep 1234" in pids_in(t, "pod"), what="the orphan")
    t.ok("kill", "a", "KILL")
    equal(reap(a), 137)
    equal([p for p in pids_in(t, "pod") if p in ("sleep 1234",)], [])
    t.ok("delete", "a")
    end_all(t, "pod")


@test
def pod_outlives_its_first(t):
    """The pause container ends: the others go on, in the same namespaces, and new ones come."""
    pid = pod(t)
    a = member(t, "a", pid, kinds=("network", "ipc", "uts"))
    before = t.ok("exec", "a", "readlink", "/proc/self/ns/net")
    one = sentry(t, "a")
    t.ok("kill", "pod", "KILL")
    equal(reap(pid), 137)
    equal((t.status("pod"), t.status("a")), ("stopped", "running"))
    t.ok("delete", "pod")
    equal(t.ok("exec", "a", "readlink", "/proc/self/ns/net"), before)
    started(t, "b", edit=edits(annotated(dict(MEMBER, **{"io.kubernetes.cri.sandbox-id": "a"})),
                               shares(a, "network", "ipc")), g=NONE)
    equal(sentry(t, "b"), one)
    equal(t.ok("exec", "b", "readlink", "/proc/self/ns/ipc"),
          t.ok("exec", "a", "readlink", "/proc/self/ns/ipc"))
    t.ok("kill", "a", "KILL")
    equal(reap(a), 137)
    k = warden(t, "b")
    check(alive(one) and alive(k), "the sandbox went with one of two")
    end_all(t, "a", "b")
    check(not alive(one) and not alive(k), "an empty sandbox")


@test
def pod_restarts_a_member(t):
    pid = pod(t)
    one = sentry(t, "pod")
    for i in range(3):
        a = member(t, "a", pid, ["sh", "-c", f"exit {i + 3}"])
        equal(reap(a), i + 3)
        equal(t.status("a"), "stopped")
        t.ok("delete", "a")
    equal(sentry(t, "pod"), one)
    end_all(t, "pod")


@test
def pod_commands_name_one(t):
    """Each command acts on the container that it names."""
    pid = pod(t)
    a = member(t, "a", pid, ["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.01; done"])
    b = member(t, "b", pid)
    t.ok("pause", "b")
    equal((t.status("a"), t.status("b")), ("running", "paused"))
    t.ok("exec", "a", "true")
    t.ok("resume", "b")
    x = exec_detached(t, "b", process_file(t, ["sleep", "555"]))
    equal(sorted(json.loads(t.ok("ps", "--format", "json", "b"))), sorted([b, x]))
    contains(t.ok("ps", "b"), "sleep 555")
    check("555" not in t.ok("ps", "a"), "the other's process")
    equal(json.loads(t.ok("events", "--stats", "b"))["data"]["pids"]["current"], 2)
    os.kill(x, signal.SIGKILL)
    wait_until(lambda: "555" not in t.ok("ps", "b"), what="the exec's end")
    t.ok("kill", "a", "TERM")
    equal(reap(a), 5)
    equal(json.loads(t.ok("wait", "a")), {"id": "a", "exitStatus": 5})
    equal((t.status("pod"), t.status("b")), ("running", "running"))
    contains(t.fails("exec", "a", "true", code=255), "stopped")
    equal(sorted(t.ids()), ["a", "b", "pod"])
    end_all(t, "pod", "b", "a")


@test
def pod_killed_anchors(t):
    """kill -9 of an anchor is the end of that container, whichever it is, and of no other."""
    pid = pod(t)
    a, b = member(t, "a", pid), member(t, "b", pid)
    gofer = t.processes("a")["gofer"]
    os.kill(a, signal.SIGKILL)
    wait_until(lambda: t.status("a") == "stopped" and not alive(gofer), what="the end of a")
    equal((t.status("pod"), t.status("b")), ("running", "running"))
    t.ok("delete", "a")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: t.status("pod") == "stopped", what="the end of pod")
    t.ok("exec", "b", "true")
    t.ok("delete", "pod")
    t.ok("exec", "b", "true")
    one, k = sentry(t, "b"), warden(t, "b")
    os.kill(b, signal.SIGKILL)
    wait_until(lambda: not alive(one) and not alive(k), what="the end of the sandbox")
    t.ok("delete", "b")
    reap_all()


@test
def pod_killed_wardens(t):
    """The sentry's or the warden's death is that of all."""
    for victim in ("sentry", "warden"):
        pid = pod(t)
        a = member(t, "a", pid)
        one, k = sentry(t, "a"), warden(t, "a")
        os.kill(one if victim == "sentry" else k, signal.SIGKILL)
        equal((reap(pid), reap(a)), (137, 137), victim)
        equal((t.status("pod"), t.status("a")), ("stopped", "stopped"))
        wait_until(lambda: not alive(one) and not alive(k), what="both ends")
        end_all(t, "pod", "a")


@test
def pod_killed_gofer(t):
    pid = pod(t)
    a = member(t, "a", pid)
    os.kill(t.processes("a")["gofer"], signal.SIGKILL)
    equal(reap(a), 137)
    equal((t.status("pod"), t.status("a")), ("running", "stopped"))
    t.ok("delete", "a")
    member(t, "a", pid)
    end_all(t, "pod", "a")


@test
def pod_member_that_cannot_be(t):
    """A create of a member that fails says why, and nothing of it is left."""
    pid = pod(t)
    nfds = len(os.listdir(f"/proc/{sentry(t, 'pod')}/fd"))
    for i in range(5):
        t.bundle("a", ["/nonexistent"], edit=edits(annotated(MEMBER), shares(pid, "network")))
        contains(t.fails("create", "--bundle", t.dir + "/a", "a", g=NONE),
                 "stat /nonexistent: no such file or directory")
        check(not os.path.exists(t.root + "/a"), "its directory")
    wait_until(lambda: len(os.listdir(f"/proc/{sentry(t, 'pod')}/fd")) <= nfds + 2,
               what="its descriptors closed")
    member(t, "a", pid)
    end_all(t, "pod", "a")


@test
def pod_with_a_silent_sentry(t):
    """Who does not answer is killed with all that it has, if one of them is to be killed; not for a
    container that has ended."""
    pid = pod(t)
    a, b = member(t, "a", pid), member(t, "b", pid)
    t.ok("kill", "b", "KILL")
    equal(reap(b), 137)
    one = sentry(t, "a")
    os.kill(one, signal.SIGSTOP)
    t.ok("delete", "b", g=("--control-timeout=300ms",))
    check(alive(one) and alive(a) and alive(pid), "the others went too")
    t.ok("kill", "a", "KILL", g=("--control-timeout=300ms",))
    equal((reap(a), reap(pid)), (137, 137))
    end_all(t, "pod", "a")
    # delete --force of one that runs
    pid = pod(t)
    a = member(t, "a", pid)
    os.kill(sentry(t, "a"), signal.SIGSTOP)
    t.ok("delete", "--force", "a", g=("--control-timeout=300ms",))
    equal((reap(a), reap(pid)), (137, 137))
    end_all(t, "pod")


@contextlib.contextmanager
def running(t, name, word, *args):
    """An exec that says the word and goes on."""
    p = subprocess.Popen(t.cmd("exec", name, *args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
    try:
        equal(p.stdout.readline(), word + "\n")
        yield p
        p.stdin.close()
        equal(p.wait(LONG), 0, f"{args} in {name}")
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


@test
def pod_volume(t):
    """A directory that two containers have, each by its own gofer, and one twice: what a file
    holds, and what hangs on it inside."""
    vol = t.dir + "/vol"
    os.mkdir(vol)
    shutil.copy(os.environ["SHARED"], vol + "/shared")

    def mounts(*at):
        return lambda c: c["mounts"].extend({"destination": d, "type": "bind", "source": vol,
                                             "options": ["rbind", "rw"]} for d in at)
    pid = pod(t)
    for name, at in (("a", ("/v",)), ("b", ("/w", "/x"))):
        started(t, name, edit=edits(annotated(MEMBER), shares(pid, "network"), mounts(*at)), g=NONE)
    t.ok("exec", "a", "sh", "-c", "echo one >/v/f; mkfifo /v/fifo")
    equal(t.ok("exec", "b", "cat", "/w/f", "/x/f"), "one\none\n")
    for here, there in (("a", "b"), ("b", "b"), ("b", "a")):
        x = "/v" if here == "a" else "/w"
        y = "/v" if there == "a" else "/x"
        with running(t, here, "listening", x + "/shared", "listen", x + "/sock"):
            equal(t.ok("exec", there, y + "/shared", "ask", y + "/sock"), "hello\n")
        check(t.run("exec", there, y + "/shared", "ask", y + "/sock").returncode != 0,
              "a socket that has gone")
        t.ok("exec", there, "rm", y + "/sock")
        with running(t, here, "locked", x + "/shared", "lock", x + "/f"):
            equal(t.ok("exec", there, y + "/shared", "locked", y + "/f"), "1\n")
            equal(t.ok("exec", there, y + "/shared", "flocked", y + "/f"), "0\n")
        equal(t.ok("exec", there, y + "/shared", "locked", y + "/f"), "0\n")
        with running(t, here, "waiting", x + "/shared", "wait", x + "/map"):
            equal(t.ok("exec", there, y + "/shared", "wake", y + "/map"), "1\n")
        with running(t, here, "go", "sh", "-c", f"echo go; cat {x}/fifo >{x}/got"):
            t.ok("exec", there, "sh", "-c", f"echo by {there} >{y}/fifo")
        equal(t.ok("exec", there, "cat", y + "/got"), f"by {there}\n")
        with running(t, here, "locked", x + "/shared", "flock", x + "/f"):
            equal(t.ok("exec", there, y + "/shared", "flocked", y + "/f"), "1\n")
        equal(t.ok("exec", there, y + "/shared", "flocked", y + "/f"), "0\n")
    # The one that was there first goes: the other's file is what it was.
    with running(t, "b", "locked", "/w/shared", "lock", "/w/f"):
        t.ok("delete", "--force", "a")
        equal(t.ok("exec", "b", "/x/shared", "locked", "/x/f"), "1\n")
    end_all(t, "b", "pod")


@test
def pod_deleted_in_any_order(t):
    for order in (("pod", "a", "b"), ("b", "a", "pod"), ("a", "pod", "b")):
        pid = pod(t)
        member(t, "a", pid)
        member(t, "b", pid)
        one = sentry(t, "a")
        for n in order[:-1]:
            t.ok("delete", "--force", n)
            check(alive(one), f"the sandbox went with {n} of {order}")
            t.ok("exec", order[-1], "true")
        end_all(t, order[-1])
        check(not alive(one), "the sandbox stayed")


@test
def pod_of_another_kind(t):
    """Who is no member gets a sandbox of its own: another network, no such sandbox, an ended one."""
    pid = pod(t)
    # podman's annotations name a pod, which is no container
    started(t, "x", edit=annotated({"io.kubernetes.cri-o.ContainerType": "container",
                                    "io.kubernetes.cri-o.SandboxID": "nosuch"}), g=NONE)
    started(t, "y", edit=annotated(MEMBER), g=NONE)  # a new network namespace
    started(t, "z", edit=shares(pid, "network"), g=NONE)  # no annotations, no links
    equal(len({sentry(t, n) for n in ("pod", "x", "y", "z")}), 4)
    t.ok("kill", "pod", "KILL")
    equal(reap(pid), 137)
    with network() as ns:
        started(t, "w", edit=edits(annotated(MEMBER), in_network(ns)), g=NONE)
        equal(t.ok("exec", "w", "echo", "x"), "x\n")
    end_all(t, "pod", "x", "y", "z", "w")


@test
def pod_by_crio_annotations(t):
    """CRI-O makes the namespaces first, and names them to all."""
    with network() as ns:
        def pinned(c):
            for kind in ("ipc", "uts"):
                path_of(c, kind, f"/proc/{holder.pid}/ns/{kind}")
        holder = subprocess.Popen(["unshare", "-iu", "sh", "-c", "echo; exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder.stdout.readline()
        for name, kind in (("pod", "sandbox"), ("a", "container"), ("b", "container")):
            started(t, name, edit=edits(in_network(ns), pinned, annotated({
                "io.kubernetes.cri-o.ContainerType": kind, "io.kubernetes.cri-o.SandboxID": "pod"})))
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        equal(len({sentry(t, n) for n in ("pod", "a", "b")}), 1)
        for n in ("uts", "ipc"):
            equal(len({t.ok("exec", x, "readlink", f"/proc/self/ns/{n}")
                       for x in ("a", "b", "pod")}), 1, f"{n} namespaces")
        end_all(t, "pod", "a", "b")


def with_address(ns):
    for cmd in (("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"),
                ("ip", "link", "set", "eth0", "up"), ("ip", "link", "set", "peer0", "up"),
                ("ip", "addr", "add", "10.9.0.2/24", "dev", "eth0")):
        equal(inside(ns, *cmd), "")


@test
def pod_by_network(t):
    """docker --network container:X: who comes into the namespace of links that are taken over."""
    with network() as ns:
        with_address(ns)
        x = started(t, "x", edit=in_network(ns))
        check("10.9.0.2" not in inside(ns, "ip", "addr"), "the address is still the host's")
        started(t, "y", edit=shares(x, "network"))
        equal(sentry(t, "y"), sentry(t, "x"))
        for n in ("x", "y"):
            contains(t.ok("exec", n, "ip", "addr"), "10.9.0.2/24")
        # The first one's end is no news to the second, and the address stays where it is.
        t.ok("delete", "--force", "x")
        reap(x)
        contains(t.ok("exec", "y", "ip", "addr"), "10.9.0.2/24")
        check("10.9.0.2" not in inside(ns, "ip", "addr"), "the address was given back early")
        started(t, "z", edit=in_network(ns))
        equal(sentry(t, "z"), sentry(t, "y"))
        t.ok("delete", "--force", "y")
        contains(t.ok("exec", "z", "ip", "addr"), "10.9.0.2/24")
        t.ok("delete", "--force", "z")
        contains(inside(ns, "ip", "addr"), "10.9.0.2/24")
        # The next one takes it again.
        x = started(t, "x", edit=in_network(ns))
        contains(t.ok("exec", "x", "ip", "addr"), "10.9.0.2/24")
        os.kill(x, signal.SIGKILL)
        wait_until(lambda: "10.9.0.2/24" in inside(ns, "ip", "addr"), what="the address")
        end_all(t, "x")


@test
def pod_sharing_is_off(t):
    with network() as ns:
        x = started(t, "x", edit=in_network(ns))
        started(t, "y", edit=shares(x, "network"), g=("--share-sandbox=pods",))
        check(sentry(t, "y") != sentry(t, "x"), "one sandbox")
        end_all(t, "x", "y")
    contains(t.fails("list", g=("--share-sandbox=x",)), "share-sandbox")


@test
def pod_killed_while_joining(t):
    """A create of a member that is killed at any moment leaves nothing, and the pod alone."""
    pid = pod(t)
    t.bundle("a", SLEEP, edit=edits(annotated(MEMBER), shares(pid, "network")))
    for i in range(15):
        p = subprocess.Popen(t.cmd("create", "--bundle", t.dir + "/a", "a", g=NONE),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            p.wait(0.004 * i)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        t.ok("delete", "--force", "a")
        equal(t.status("pod"), "running")
    t.ok("exec", "pod", "true")
    end_all(t, "pod")


@test
def pod_ends_while_joining(t):
    """Of those who meet the end of a sandbox each gets in, or gets one of its own."""
    for i in range(8):
        pid = pod(t)
        t.bundle("a", ["echo", "x"], edit=edits(annotated(MEMBER), shares(pid, "network")))
        p = subprocess.Popen(t.cmd("run", "--bundle", t.dir + "/a", "a", g=NONE),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        t.ok("kill", "pod", "KILL")
        out, err = p.communicate(timeout=LONG)
        # The namespace itself is gone when create comes late: that is runc's error too.
        check(out == "x\n" or "No such file" in err or "no such file" in err, f"{out!r} {err!r}")
        reap(pid)
        t.ok("delete", "pod")
        equal(t.ids(), [])


def counts(t, name):
    s = json.loads(t.ok("debug", "--stats", name))
    return s["memory_file"]["used_pages"], s["handles"]


@test
def pod_leaves_nothing(t):
    """Twenty members, one after the other, each with an exec: the sentry is as it was."""
    pid = pod(t)

    def once(name):
        a = member(t, name, pid, kinds=("network", "ipc"))
        t.ok("exec", name, "sh", "-c", "echo x >/tmp/x; cat /proc/self/mounts")
        t.ok("delete", "--force", name)
        reap(a)
    once("warm")
    once("warm2")

    def fds():
        return len(os.listdir(f"/proc/{sentry(t, 'pod')}/fd"))
    before, nfds = counts(t, "pod"), fds()
    for i in range(20):
        once(f"m{i}")
    wait_until(lambda: counts(t, "pod")[1] == before[1], what=f"handles as before ({before[1]})")
    after = counts(t, "pod")
    check(after[0] <= before[0] + 64, f"pages: {before[0]}, then {after[0]}")
    check(fds() <= nfds + 2, f"descriptors: {nfds}, then {fds()}")
    end_all(t, "pod")
