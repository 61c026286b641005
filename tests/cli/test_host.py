"""What touches the host: pause, cgroups, debug logs, hooks."""
import glob
import json
import os
import shutil
import signal
import stat
import subprocess
import time

from lib import LONG, check, contains, equal, reap, test, wait_until


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
def handles_of_gofer_files(t):
    t.bundle("c", ["sh", "-c", "echo x > /x; exec 3< /x; echo named; read a;"
                   " rm /x; echo unnamed; exec sleep 1000"])

    def unnamed():
        return json.loads(t.ok("debug", "--stats", "c"))["handles"]["gofer_unnamed_files"]

    r, w = os.pipe()
    with open(t.dir + "/out", "w") as out:
        p = subprocess.Popen(t.cmd("run", "--bundle", t.dir + "/c", "c", g=["--overlay2=none"]),
                             stdin=r, stdout=out)
    os.close(r)
    said = lambda word: word in open(t.dir + "/out").read().split()  # noqa: E731
    wait_until(lambda: said("named"), what="a file")
    equal(unnamed(), 0, "files without a name")
    os.write(w, b"\n")
    wait_until(lambda: said("unnamed"), what="the file removed")
    equal(unnamed(), 1, "files without a name")
    t.ok("kill", "c", "KILL")
    equal(p.wait(timeout=LONG), 137)
    os.close(w)


class Files:
    """A container that holds files of /vol, which the host changes meanwhile."""

    def __init__(self, t, script, shared, ro=()):
        self.t = t
        self.vol = t.dir + "/vol"
        os.mkdir(self.vol)
        os.mkdir(self.vol + "/dir")
        os.mkfifo(self.vol + "/fifo")
        for name in ("file", "dir/inner", "two"):
            with open(f"{self.vol}/{name}", "w") as f:
                f.write(name)
        os.link(self.vol + "/two", self.vol + "/twin")
        os.mkdir(self.vol + "/dir/many")
        for i in range(200):
            open(f"{self.vol}/dir/many/{i}", "w").close()
        t.bundle("c", ["sh", "-c", script], edit=lambda c: c["mounts"].append(
            {"destination": "/vol", "type": "bind", "source": self.vol, "options": ["bind", *ro]}))
        access = "shared" if shared else "exclusive"
        self.r, self.w = os.pipe()
        self.out = open(t.dir + "/out", "w")
        self.p = subprocess.Popen(
            t.cmd("run", "--bundle", t.dir + "/c", "c",
                  g=["--file-access-mounts=" + access, "--log", t.dir + "/log", "--debug-log",
                     t.dir + "/%ID%-%COMMAND%.log"]),
            stdin=self.r, stdout=self.out)
        self.said("ready")

    def said(self, word):
        wait_until(lambda: word in open(self.t.dir + "/out").read().split(), what=word)

    def step(self, word):
        os.write(self.w, b"\n")
        self.said(word)

    def known(self):
        """How many have a name, none, are lost; each leads to its inode on the host."""
        k = json.loads(self.t.ok("debug", "--files", "c"))
        equal(k["unasked"], 0, "files not looked at")
        self.files = k["files"]
        for how in ("named", "unnamed", "lost"):
            equal(k[how], sum(f["known"] == how for f in self.files), how)
        roots = {f["tree"]: self.vol if f["ino"] == os.stat(self.vol).st_ino else self.t.rootfs
                 for f in self.files if f.get("path") == ""}
        for f in self.files:
            if f["known"] == "named" and f["tree"] in roots:
                st = os.lstat(os.path.join(roots[f["tree"]], f["path"]))
                equal((f["dev"], f["ino"], f["mode"], f["uid"], f["gid"]),
                      (st.st_dev, st.st_ino, st.st_mode, st.st_uid, st.st_gid), f["path"])
        equal(sorted(roots.values()), sorted((self.vol, self.t.rootfs)), "trees")
        return k["named"], k["unnamed"], k["lost"]

    def paths(self):
        return {f["path"] for f in self.files if f["known"] == "named"}

    def end(self):
        self.t.ok("kill", "c", "KILL")
        equal(self.p.wait(timeout=LONG), 137)
        os.close(self.w)
        os.close(self.r)
        self.out.close()


@test
def files_known_while_the_host_changes_them(t):
    f = Files(t, "cd /vol/dir; exec 3< /vol/file 4< /vol/dir/inner 5<> /vol/fifo 6< /vol/two;"
              " ls -l many | wc -l; echo ready; read a; read b < inner; echo again; exec sleep 1000", shared=True)
    named, unnamed, lost = f.known()
    check(6 <= named < 100, (named, unnamed, lost))
    equal((unnamed, lost), (0, 0))
    # Renamed: another gofer finds them by their new names.
    os.rename(f.vol + "/dir", f.vol + "/rid")
    os.rename(f.vol + "/file", f.vol + "/rid/file")
    for i in range(2):
        equal(f.known(), (named, 0, 0), "renamed files")
        check({"rid", "rid/file", "rid/inner", "fifo", "two"} <= f.paths(), f.paths())
        if i == 0:
            f.step("again")
    # Removed, one after the other: each could be made again.
    for i, name in enumerate(("rid/file", "rid/inner", "fifo")):
        os.unlink(f"{f.vol}/{name}")
        equal(f.known(), (named - 1 - i, 1 + i, 0), name)
    # The working directory, and one that has cached names; what they are of is not in use.
    shutil.rmtree(f.vol + "/rid")
    equal(f.known(), (named - 5, 5, 0), "removed directories")
    equal(sorted(stat.filemode(x["mode"])[0] for x in f.files if x["known"] == "unnamed"),
          ["-", "-", "d", "d", "p"], "types of those without a name")
    # Its other name is none that anybody in there knows.
    os.unlink(f.vol + "/two")
    t.ok("pause", "c")
    equal(f.known(), (named - 6, 5, 1), "a file whose known name was removed")
    with open(t.dir + "/c-boot.log") as log:
        text = log.read()
    contains(text, f"{named - 6} have a name, 5 none, 1 would be lost")
    t.ok("resume", "c")
    os.rename(f.vol + "/twin", f.vol + "/two")
    equal(f.known(), (named - 5, 5, 0), "a file that has its name again")
    f.end()


@test
def files_known_of_a_read_only_tree(t):
    """Nothing can be made again there."""
    f = Files(t, "exec 3< /vol/file; echo ready; exec sleep 1000", shared=True, ro=("ro",))
    named, unnamed, lost = f.known()
    equal((unnamed, lost), (0, 0))
    os.unlink(f.vol + "/file")
    equal(f.known(), (named - 1, 0, 1), "a removed file")
    f.end()


@test
def files_known_that_the_container_changes(t):
    f = Files(t, "cd /vol/dir; exec 3< /vol/file 5<> /vol/fifo; echo ready; read a;"
              " mv /vol/file /vol/moved; mv /vol/dir /vol/rid; echo moved; read a;"
              " rm -r /vol/moved /vol/fifo /vol/rid; echo removed; read a;"
              " exec 3<&- 5<&-; cd /; echo closed; exec sleep 1000", shared=False)
    named, unnamed, lost = f.known()
    equal((unnamed, lost), (0, 0))
    f.step("moved")
    equal(f.known()[1:], (0, 0), "renamed files")
    f.step("removed")
    equal(f.known()[1:], (3, 0), "removed files")
    f.step("closed")
    equal(f.known()[1:], (0, 0), "closed files")
    f.end()


@test
def debug_command(t):
    t.sleeper("c")
    names = ("ev_syscall", "ev_fault", "faults_minor", "gofer_trips")

    def stats():
        return json.loads(t.ok("debug", "--stats", "c"))
    # start returns before the process has run.
    wait_until(lambda: min(stats()["counters"][n] for n in names) > 0, what="counters")
    s = stats()
    check("pids" in s, "stats")
    for name in names:
        check(f" {name}: " in t.ok("help", "debug"), f"help for {name}")
    check(s["memory_file"]["used_pages"] > 0, s)
    check(min(s["host"][k] for k in ("stubs", "threads", "descriptors")) > 0, s)
    equal([s["handles"][k] for k in ("stdio", "terminals", "wakes", "contexts", "gofers")],
          [3, 0, 0, 1, 1], "handles")
    check(s["handles"]["gofer_files"] > 0, s)
    check(t.ok("debug", "--stacks", "c"), "no stacks")
    t.ok("debug", "--log-level", "debug", "c")
    t.fails("debug", "c")


@test
def debug_trapped_sites(t):
    """The return of a signal is known by its bytes, and so never patched."""
    t.bundle("c", ["sh", "-c", "trap : USR1; i=0; while [ $i -lt 300 ]; do kill -USR1 $$;"
                   " i=$((i+1)); done; exec sleep 1000"])
    t.create("c", g=["--platform=systrap"])
    t.ok("start", "c")

    def sites():
        return json.loads(t.ok("debug", "--stats", "c"))["trapped_sites"]
    wait_until(lambda: any("signal" in s.get("why", "") for s in sites()), what="a site")
    for s in sites():
        check(s["offset"] > 0 and s["times"] > 0, s)
        check("why" in s or ("before" in s and "behind" in s), s)
    check(any(s["file"].endswith("busybox") for s in sites()), sites())


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
    t.bundle("c", ["sleep", "1000"], edit=edit)
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
    holder = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
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
    t.bundle("c", ["sleep", "1000"], edit=lambda c: c.update(
        hooks={"poststart": [{"path": "/bin/false"}]}))
    t.create("c")
    contains(t.fails("start", "c"), "error running hook #0")


@test
def start_container_hook(t):
    """It runs inside, before the program."""
    t.bundle("c", ["sleep", "1000"], edit=lambda c: c.update(
        hooks={"startContainer": [{"path": "/bin/sh", "args": [
            "sh", "-c", "cat > /tmp/state; grep -q created /tmp/state"]}]}))
    t.create("c")
    t.ok("start", "c")
    s = json.loads(t.ok("exec", "c", "cat", "/tmp/state"))
    equal((s["id"], s["status"]), ("c", "created"))
    t.ok("delete", "--force", "c")
    t.bundle("c", ["sleep", "1000"], edit=lambda c: c.update(
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
        hooks={"createRuntime": [{"path": path, "timeout": 100}]}))
    t.create("c")
    equal(json.load(open(t.dir + "/seen"))["status"], "creating")


def snapshot(top):
    """What a directory tree holds, so that a change shows."""
    found = {}
    for d, _, files in os.walk(top):
        found[d] = os.stat(d).st_mtime_ns
        for f in files:
            st = os.lstat(f"{d}/{f}")
            found[f"{d}/{f}"] = (st.st_size, st.st_mtime_ns, st.st_mode, st.st_uid)
    return found


@test
def overlay_kinds(t):
    """Where writes to the root, to bind mounts and to a bind-mounted file end."""
    root, bound, ro = (f"{t.dir}/{d}" for d in ("ov-root", "bound", "ro"))
    shutil.copytree(t.rootfs, root, symlinks=True)
    for d in (bound, ro, bound + "/sub", root + "/d"):
        os.mkdir(d)
    for f in ("f", "alone"):
        with open(f"{bound}/{f}", "w") as out:
            out.write("host\n")

    def edit(c):
        c["root"]["path"] = root
        c["mounts"] += [
            {"destination": "/d", "type": "bind", "source": bound, "options": ["rbind", "rw"]},
            {"destination": "/alone", "type": "bind", "source": bound + "/alone",
             "options": ["bind", "rw"]},
            {"destination": "/ro", "type": "bind", "source": ro, "options": ["rbind", "ro"]}]
    script = ("echo w >/w && echo more >>/d/f && mv /d/sub /d/moved && chmod 600 /alone && "
              "echo more >>/alone && ! echo x 2>/dev/null >/ro/x && rm /etc/group && cat /d/f /alone")
    os.mkdir(root + "/ro")
    open(root + "/alone", "w").close()
    for kind, root_kept, bound_kept in (("all:memory", True, True), ("root:self", True, False),
                                        ("root:memory", True, False), ("auto", True, False),
                                        ("none", False, False)):
        before = snapshot(root), snapshot(bound)
        t.bundle("c", ["sh", "-c", script], edit=edit)
        out = t.ok("run", "--bundle", t.dir + "/c", "c", g=("--overlay2=" + kind,))
        contains(out, "host\nmore\n")
        equal(snapshot(root) == before[0], root_kept, f"{kind}: the root is as before")
        equal(snapshot(bound) == before[1], bound_kept, f"{kind}: the bind mount is as before")
        if not bound_kept:
            os.rename(bound + "/moved", bound + "/sub")
    contains(t.fails("--overlay2=root:dir=/x", "list"), "not supported")
    contains(t.fails("--overlay2=some", "list"), "invalid --overlay2")


@test
def warm_without_gofer(t):
    """What was used before is used again while the gofer stands still."""
    d = t.dir + "/warm"
    root = d + "/rootfs"
    shutil.copytree(t.rootfs, root, symlinks=True)
    os.makedirs(root + "/d/sub")
    for i in range(100):
        with open(f"{root}/d/{i}", "w") as f:
            f.write("x\n")
    script = ("use() { cat /d/* /d/sub/none; ls -lR /d /bin; find /d; readlink /bin/ls; "
              "[ -r /d/1 ]; [ -e /none ]; echo y >>/d/2; echo z >/d/new; mv /d/new /d/n; rm /d/n; }; "
              "trap go=1 USR1; use >/dev/null 2>&1; use >/dev/null 2>&1; echo ready; "
              "while [ -z $go ]; do sleep 0.05; done; use >/dev/null 2>&1; echo done")

    def edit(c):
        c["root"]["path"] = root
    t.bundle("warm", ["sh", "-c", script], edit=edit)
    out = d + "/out"
    pid = t.create("warm", out=out)
    t.ok("start", "warm")

    def said(word):
        with open(out) as f:
            return word in f.read()
    wait_until(lambda: said("ready"), what="the first round")
    gofer = t.processes("warm")["gofer"]
    os.kill(gofer, signal.SIGSTOP)
    try:
        t.ok("kill", "warm", "USR1")
        wait_until(lambda: said("done"), what="the round without the gofer")
    finally:
        os.kill(gofer, signal.SIGCONT)
    equal(reap(pid), 0)
