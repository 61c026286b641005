#!/usr/bin/env python3
"""The OCI clients with build/runsc in place of runc: make clients (by hand, as root; not in check).

Each client runs in namespaces of its own (mount, pid, net, ipc, uts), so no daemon outlives its
cases.  A client that is not installed is skipped, with the reason.  Needs busybox (static).
usage: run.py RUNSC [docker|containerd|podman|buildah|conmon]...
"""
import json, os, shutil, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import bundle  # noqa: E402

PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
NEEDS = {"conmon": ["conmon"], "containerd": ["containerd", "ctr"], "docker": ["dockerd", "docker", "containerd"],
         "podman": ["podman", "conmon"], "buildah": ["buildah"]}
# These clients look at what a container wrote: commit, diff, build, restart.
AUTO = "--overlay2=auto"
# Busybox' wget dies where it is static.
FETCH = ["python3", "-c", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read())"]


class Cases:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, want, *cmd, rc=0, **kw):
        """Runs cmd; passes if its status is rc and its output has want in it."""
        try:
            p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               timeout=60, **kw)
            out, status = p.stdout.decode(errors="replace"), p.returncode
        except subprocess.TimeoutExpired as e:
            out, status = (e.stdout or b"").decode(errors="replace"), "timeout"
        if status == rc and want in out:
            self.passed += 1
            return
        self.failed += 1
        print(f"  FAIL {name}: status {status}, expected {rc} and {want!r}: {out[-300:]!r}")


def wait_for(*cmd):
    for _ in range(150):
        if subprocess.run(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    raise SystemExit(f"  timeout: {' '.join(cmd)}")


def write(path, doc):
    with open(path, "w") as f:
        f.write(doc if isinstance(doc, str) else json.dumps(doc))
    return path


def docker(c, w, runsc):
    conf = write(f"{w}/daemon.json", {"runtimes": {"alt": {"path": runsc, "runtimeArgs": [AUTO]}}, "default-runtime": "alt"})
    with open(f"{w}/dockerd.log", "w") as log:
        subprocess.Popen(["dockerd", "--config-file", conf, "--data-root", f"{w}/data", "--exec-root", "/run/dx",
                          "-H", "unix:///run/docker.sock", "-p", "/run/docker.pid", "--iptables=false",
                          "--ip6tables=false"], stdout=log, stderr=log)
    wait_for("docker", "version")
    subprocess.run(["docker", "import", f"{w}/bb.tar", "bb"], check=True, stdout=subprocess.DEVNULL)
    run = ["docker", "run", "--network", "none"]
    c.check("run", "hello", *run, "--rm", "bb", "echo", "hello")
    c.check("exit code", "", *run, "--rm", "bb", "sh", "-c", "exit 7", rc=7)
    c.check("not found", "no such file", *run, "--rm", "bb", "/nonexistent", rc=127)
    c.check("not executable", "permission denied", *run, "--rm", "bb", "/etc/passwd", rc=126)
    c.check("detached", "", *run, "-d", "--name", "c1", "bb", "sh", "-c",
            "echo v1 >>/w; trap 'exit 0' TERM; while :; do sleep 0.1; done")
    c.check("exec", "in", "docker", "exec", "c1", "sh", "-c", "echo in; exit 5", rc=5)
    c.check("exec -d", "", "docker", "exec", "-d", "c1", "sleep", "1000")
    c.check("top", "sleep 1000", "docker", "top", "c1")
    c.check("diff", "A /w", "docker", "diff", "c1")
    c.check("commit", "", "docker", "commit", "c1", "img")
    c.check("committed", "v1", *run, "--rm", "img", "cat", "/w")
    c.check("pause", "", "docker", "pause", "c1")
    c.check("unpause", "", "docker", "unpause", "c1")
    c.check("update", "", "docker", "update", "--memory", "128m", "--memory-swap", "256m", "c1")
    c.check("restart", "", "docker", "restart", "-t", "3", "c1")
    c.check("kept", "v1\nv1", "docker", "exec", "c1", "cat", "/w")
    c.check("stop", "", "docker", "stop", "-t", "3", "c1")
    c.check("exit status", "exited 0", "docker", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1")
    c.check("rm", "", "docker", "rm", "c1")
    os.mkdir(f"{w}/ctx")
    write(f"{w}/ctx/Dockerfile", "FROM bb\nRUN echo built >/b\nRUN cat /b\n")
    c.check("build", "built", "docker", "build", "--network", "none", "-t", "b", f"{w}/ctx",
            env=dict(os.environ, DOCKER_BUILDKIT="0"))
    docker_network(c)


def docker_network(c):
    """The default bridge, without NAT: the cases' namespace leads nowhere."""
    web = "mkdir /w; echo served >/w/index.html; exec httpd -f -p 80 -h /w"
    c.check("address", "172.17.0.", "docker", "run", "--rm", "bb", "ip", "addr")
    c.check("gateway", " 0% packet loss", "docker", "run", "--rm", "bb", "ping", "-c", "2", "172.17.0.1")
    c.check("serve", "", "docker", "run", "-d", "--name", "web", "-p", "127.0.0.1:8080:80", "bb", "sh", "-c", web)
    ip = subprocess.run(["docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"],
                        stdout=subprocess.PIPE, text=True).stdout.strip()
    c.check("from outside", "served", *FETCH, f"http://{ip}/")
    c.check("published port", "served", *FETCH, "http://127.0.0.1:8080/")
    c.check("from another container", "served", "docker", "run", "--rm", "bb", "sh", "-c",
            f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {ip} 80")
    c.check("exec in the network", ip, "docker", "exec", "web", "ip", "addr")
    docker_shared(c, ip)
    c.check("restart", "", "docker", "restart", "-t", "1", "web")
    c.check("after a restart", "served", *FETCH, "http://127.0.0.1:8080/")
    c.check("rm", "", "docker", "rm", "-f", "web")
    c.check("the host's network", "", "docker", "run", "-d", "--name", "hn", "--network", "host", "bb", "sh", "-c",
            web.replace("80", "8123"))
    wait_for(*FETCH, "http://127.0.0.1:8123/")
    c.check("served there", "served", *FETCH, "http://127.0.0.1:8123/")
    c.check("rm of it", "", "docker", "rm", "-f", "hn")
    docker_names(c, web)


# A name server for one name.
NAMES = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("172.17.0.1", 53))
print("ready", flush=True)
while True:
    q, who = s.recvfrom(4096)
    end = q.index(b"\\0", 12) + 5
    ok = q[end - 4:end - 2] == b"\\0\\1"
    r = q[:2] + b"\\x81\\x80" + struct.pack(">HHHH", 1, ok, 0, 0) + q[12:end]
    s.sendto(r + (b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + bytes([10, 1, 2, 3]) if ok else b""), who)
"""


def docker_names(c, web):
    """Networks that users define: docker's resolver, and containers that join and leave them."""
    def get(name):
        return ["sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {name} 80"]

    def address(net):
        return subprocess.run(["docker", "inspect", "-f", f"{{{{.NetworkSettings.Networks.{net}.IPAddress}}}}", "w1"],
                              stdout=subprocess.PIPE, text=True).stdout.strip()
    names = subprocess.Popen([sys.executable, "-c", NAMES], stdout=subprocess.PIPE)
    names.stdout.readline()
    run = ["docker", "run", "--rm", "--network", "n1", "--dns", "172.17.0.1", "bb"]
    for net in ("n1", "n2"):
        c.check("network create", "", "docker", "network", "create", net)
    c.check("serve in it", "", "docker", "run", "-d", "--name", "w1", "--network", "n1", "--network-alias", "ali", "bb",
            "sh", "-c", web)
    wait_for(*FETCH, f"http://{address('n1')}/")
    c.check("by name", "served", *run, *get("w1"))
    c.check("by alias", "served", *run, *get("ali"))
    c.check("a name from outside", "10.1.2.3", *run, "nslookup", "-type=a", "out.side")
    c.check("connect", "", "docker", "network", "connect", "n2", "w1")
    wait_for("docker", "exec", "w1", "sh", "-c", f"ip addr | grep -F {address('n2')}")
    c.check("in the second network", "served", *FETCH, f"http://{address('n2')}/")
    c.check("by name there", "served", "docker", "run", "--rm", "--network", "n2", "bb", *get("w1"))
    c.check("disconnect", "", "docker", "network", "disconnect", "n1", "w1")
    wait_for("docker", "exec", "w1", "sh", "-c", "! ip addr | grep eth0")
    c.check("after that", "served", "docker", "run", "--rm", "--network", "n2", "bb", *get("w1"))
    c.check("rm of that", "", "docker", "rm", "-f", "w1")
    names.kill()
    names.wait()


def docker_shared(c, ip):
    """Containers in the network, the pid and the ipc namespace of web."""
    run = ["docker", "run", "--network", "container:web"]
    fetch = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 127.0.0.1 80"
    c.check("container's network", "served", *run, "--rm", "bb", "sh", "-c", fetch)
    c.check("its address", ip, *run, "--rm", "bb", "ip", "addr")
    c.check("container's pids", "httpd", *run, "--rm", "--pid", "container:web", "bb", "ps")
    c.check("own pids", "", *run, "--rm", "bb", "sh", "-c", "! ps | grep '[h]ttpd'")
    c.check("stays", "", *run, "-d", "--name", "side", "bb", "sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.1; done")
    c.check("exec in it", "served", "docker", "exec", "side", "sh", "-c", fetch)
    c.check("top of it", "sleep", "docker", "top", "side")
    c.check("its restart", "", "docker", "restart", "-t", "5", "side")
    c.check("after its restart", "served", "docker", "exec", "side", "sh", "-c", fetch)
    c.check("its end", "", "docker", "stop", "-t", "5", "side")
    c.check("its exit status", "exited 4", "docker", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "side")
    c.check("its rm", "", "docker", "rm", "side")


def containerd(c, w, runsc):
    conf = write(f"{w}/c.toml", f'version = 2\nroot = "{w}/ctrd"\nstate = "/run/containerd"\n'
                 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                 '[grpc]\naddress = "/run/containerd/containerd.sock"\n')
    with open(f"{w}/containerd.log", "w") as log:
        subprocess.Popen(["containerd", "-c", conf], stdout=log, stderr=log)
    wait_for("ctr", "version")
    run = ["ctr", "run", "--runc-binary", runsc, "--rootfs"]
    root = f"{w}/rootfs"
    c.check("run", "hello", *run, "--rm", root, "r1", "/bin/echo", "hello")
    c.check("exit code", "", *run, "--rm", root, "r2", "/bin/sh", "-c", "exit 7", rc=7)
    c.check("not found", "no such file", *run, "--rm", root, "r3", "/nonexistent", rc=1)
    c.check("detached", "", *run, "-d", root, "c", "/bin/sleep", "1000")
    c.check("list", "RUNNING", "ctr", "task", "ls")
    c.check("exec", "in", "ctr", "task", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "echo in; exit 5", rc=5)
    c.check("ps", "PID", "ctr", "task", "ps", "c")
    c.check("pause", "", "ctr", "task", "pause", "c")
    c.check("resume", "", "ctr", "task", "resume", "c")
    c.check("kill", "", "ctr", "task", "kill", "-s", "9", "c")
    time.sleep(1)
    c.check("stopped", "STOPPED", "ctr", "task", "ls")
    c.check("delete", "137", "ctr", "task", "delete", "c")
    c.check("container rm", "", "ctr", "container", "rm", "c")


def storage(w):
    os.environ["CONTAINERS_STORAGE_CONF"] = write(
        f"{w}/storage.conf", f'[storage]\ndriver = "overlay"\ngraphroot = "{w}/graph"\nrunroot = "/run/cs"\n')
    os.environ["CONTAINERS_CONF"] = write(
        f"{w}/containers.conf", '[containers]\ndefault_sysctls = []\n'
        'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    os.environ["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"


def podman(c, w, runsc):
    storage(w)
    pod = ["podman", "--runtime", runsc, "--runtime-flag", AUTO[2:]]
    run = pod + ["run", "--network", "none"]
    subprocess.run(pod + ["import", f"{w}/bb.tar", "localhost/bb"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    c.check("run", "hello", *run, "--rm", "localhost/bb", "echo", "hello")
    c.check("exit code", "", *run, "--rm", "localhost/bb", "sh", "-c", "exit 7", rc=7)
    c.check("not found", "no such file", *run, "--rm", "localhost/bb", "/nonexistent", rc=127)
    c.check("detached", "", *run, "-d", "--name", "c", "localhost/bb", "sh", "-c",
            "echo v1 >/w; trap 'exit 0' TERM; while :; do sleep 0.1; done")
    c.check("exec", "in", *pod, "exec", "c", "sh", "-c", "echo in; exit 5", rc=5)
    c.check("commit", "", *pod, "commit", "-q", "c", "localhost/img")
    c.check("committed", "v1", *run, "--rm", "localhost/img", "cat", "/w")
    c.check("pause", "", *pod, "pause", "c")
    c.check("unpause", "", *pod, "unpause", "c")
    c.check("stop", "", *pod, "stop", "-t", "3", "c")
    c.check("exit status", "exited 0", *pod, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c")
    c.check("rm", "", *pod, "rm", "-f", "c")
    podman_pod(c, pod)


def podman_pod(c, podman):
    """A pod: its members share network, ipc and uts namespaces."""
    c.check("pod", "", *podman, "pod", "create", "--name", "p", "--network", "none", "--infra-image", "localhost/bb",
            "--infra-command", "/bin/sleep 1000000")
    run = [*podman, "run", "--pod", "p"]
    c.check("member", "", *run, "-d", "--name", "m", "localhost/bb", "sh", "-c",
            "trap 'exit 4' TERM; while :; do echo hello | nc -l -p 8080 & wait $!; done")
    c.check("talk", "hello", *run, "--rm", "localhost/bb", "sh", "-c", "until nc -w 5 127.0.0.1 8080; do sleep 0.1; done")
    c.check("hostname", "p", *podman, "exec", "m", "hostname")
    c.check("own pids", "", *run, "--rm", "localhost/bb", "sh", "-c", "! ps | grep '[n]c -l'")
    c.check("pids of a member", "nc -l", *run, "--rm", "--pid", "container:m", "localhost/bb", "ps")
    c.check("member's restart", "", *podman, "restart", "-t", "5", "m")
    c.check("talk again", "hello", *run, "--rm", "localhost/bb", "sh", "-c", "until nc -w 5 127.0.0.1 8080; do sleep 0.1; done")
    c.check("member's end", "", *podman, "stop", "-t", "5", "m")
    c.check("member's exit status", "exited 4", *podman, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "m")
    c.check("pod's end", "", *podman, "pod", "stop", "-t", "2", "p")
    c.check("pod rm", "", *podman, "pod", "rm", "-f", "p")


def buildah(c, w, runsc):
    storage(w)
    write(f"{w}/Dockerfile", f"FROM scratch\nADD bb.tar /\nRUN echo built >/b\nRUN cat /b\n")
    opts = ["--isolation", "oci", "--runtime", runsc, "--runtime-flag", AUTO[2:], "--network", "none"]
    c.check("build", "built", "buildah", "build", *opts, "-f", f"{w}/Dockerfile", "-t", "localhost/b", w)
    c.check("from", "ctr", "buildah", "from", "--pull-never", "--name", "ctr", "localhost/b")
    c.check("run", "built", "buildah", "run", *opts, "ctr", "cat", "/b")
    c.check("exit code", "", "buildah", "run", *opts, "ctr", "sh", "-c", "exit 7", rc=7)
    c.check("rm", "", "buildah", "rm", "ctr")


def conmon(c, w, runsc):
    b = f"{w}/b"
    os.makedirs(f"{b}/exits")
    subprocess.run([runsc, "spec", "--bundle", b], check=True)
    with open(f"{b}/config.json") as f:
        spec = json.load(f)
    spec["root"] = {"path": f"{w}/rootfs"}
    spec["process"].update(terminal=False, args=["sh", "-c", "echo out; echo err >&2; exit 7"])
    write(f"{b}/config.json", spec)
    subprocess.run(["conmon", "--api-version", "1", "-c", "a", "-u", "a", "-n", "a", "-r", runsc, "-b", b,
                    "-p", f"{b}/pid", "-l", f"k8s-file:{b}/log", "--exit-dir", f"{b}/exits",
                    "--socket-dir-path", "/run", "--runtime-arg", "--root=/run/rt"], check=True)
    wait_for("test", "-s", f"{b}/pid")
    state = [runsc, "--root=/run/rt"]
    c.check("created", '"created"', *state, "state", "a")
    c.check("start", "", *state, "start", "a")
    wait_for("test", "-e", f"{b}/exits/a")
    c.check("exit file", "7", "cat", f"{b}/exits/a")
    c.check("standard output", "stdout F out", "cat", f"{b}/log")
    c.check("standard error", "stderr F err", "cat", f"{b}/log")
    c.check("stopped", '"stopped"', *state, "state", "a")
    c.check("delete", "", *state, "delete", "a")


def root_fs(w):
    root = bundle.busybox_rootfs(f"{w}/rootfs")
    subprocess.run(["tar", "-C", root, "-cf", f"{w}/bb.tar", "."], check=True)


def inside(client, runsc, w):
    """Pid 1 of the namespaces: when it ends, so does everything that a client started."""
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    c = Cases()
    globals()[client](c, w, runsc)
    print(f"{client}: {c.passed} of {c.passed + c.failed}", flush=True)
    return 1 if c.failed else 0


def main(argv):
    if argv[0] == "--inside":
        return inside(*argv[1:])
    runsc, failed = os.path.realpath(argv[0]), 0
    if os.geteuid():
        print("clients: skipped: not root")
        return 0
    unknown = [c for c in argv[1:] if c not in NEEDS]
    if unknown:
        raise SystemExit(f"clients: none is called {', '.join(unknown)}")
    for client in argv[1:] or NEEDS:
        missing = [n for n in NEEDS[client] + ["busybox", "unshare", "ip"] if not shutil.which(n, path=PATH)]
        if missing:
            print(f"{client}: skipped: not installed: {', '.join(missing)}")
            continue
        w = tempfile.mkdtemp(prefix="runsc-clients-")
        try:
            root_fs(w)
            p = subprocess.run(["unshare", "-mnpiuf", "--mount-proc", "--propagation", "private", "--kill-child",
                                sys.executable, __file__, "--inside", client, runsc, w],
                               env=dict(os.environ, PATH=PATH, HOME="/root"), timeout=300)
            failed |= p.returncode
        except subprocess.TimeoutExpired:
            print(f"{client}: timeout")
            failed = 1
        finally:
            shutil.rmtree(w, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
