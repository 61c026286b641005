"""--network: which stack a container's sockets are of, and what it may do there; --host-uds."""
import contextlib
import os
import shutil
import socket
import subprocess
import threading

from lib import LONG, check, contains, equal, test, wait_until


@contextlib.contextmanager
def network():
    """A network namespace of the test's own, as the process that is in it."""
    p = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec cat"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        p.stdout.readline()
        yield p.pid
    finally:
        p.stdin.close()
        p.wait()
        p.stdout.close()


def inside(pid, *cmd):
    r = subprocess.run(["nsenter", "-t", str(pid), "-n", *cmd], capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, timeout=LONG)
    return r.stdout + r.stderr


def in_network(pid, caps=()):
    def edit(c):
        for ns in c["linux"]["namespaces"]:
            if ns["type"] == "network":
                ns["path"] = f"/proc/{pid}/ns/net"
        for names in c["process"]["capabilities"].values():
            names += ["CAP_" + cap for cap in caps]
    return edit


def without_network(c):
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"]


HOST = ("--network=host",)


def serves(t, pid, port, name="c"):
    """A server of the container is reached from its namespace."""
    wait_until(lambda: inside(pid, "busybox", "nc", "-w", "2", "127.0.0.1", str(port)) == "hello\n",
               what=f"port {port} of {name}")


@test
def network_host(t):
    with network() as pid:
        t.bundle("c", ["sh", "-c", "while :; do echo hello | nc -l -p 8080; done"],
                 edit=in_network(pid))
        t.create("c", g=HOST)
        t.ok("start", "c")
        serves(t, pid, 8080)
        wait_until(lambda: ":1F90 " in inside(pid, "cat", "/proc/net/tcp", "/proc/net/tcp6"),
                   what="the socket in its namespace")
        equal(t.ok("exec", "c", "nc", "-w", "2", "127.0.0.1", "8080"), "hello\n")


@test
def network_host_without_namespace(t):
    """The caller's namespace, whose loopback is that of everybody there."""
    with network() as pid:
        t.bundle("c", ["sh", "-c", "echo hello | nc -l -p 8081"], edit=without_network)
        p = subprocess.Popen(["nsenter", "-t", str(pid), "-n",
                              *t.cmd("run", "--bundle", t.dir + "/c", "c", g=HOST)],
                             stdin=subprocess.DEVNULL)
        serves(t, pid, 8081)
        equal(p.wait(LONG), 0)


@test
def network_host_low_ports(t):
    """Below 1024 the anchor binds, for containers that may."""
    listen = ["sh", "-c", "while :; do echo hello | nc -l -p 82 2>&1; sleep 0.1; done"]
    with network() as pid:
        t.bundle("may", listen, edit=in_network(pid, ["NET_BIND_SERVICE"]))
        t.create("may", g=HOST)
        t.ok("start", "may")
        serves(t, pid, 82, "may")
        t.bundle("not", ["nc", "-l", "-p", "83"], edit=in_network(pid))
        contains(t.fails("run", "--bundle", t.dir + "/not", "not", g=HOST), "Permission denied")


@test
def network_host_limits(t):
    """Neither raw sockets nor changes, whatever capabilities the container has."""
    with network() as pid:
        t.bundle("c", ["sleep", "1000"], edit=in_network(pid, ["NET_RAW", "NET_ADMIN"]))
        t.create("c", g=HOST)
        t.ok("start", "c")
        contains(t.ok("exec", "c", "ip", "addr"), "127.0.0.1/8")
        check(t.run("exec", "c", "ping", "-c", "1", "127.0.0.1").returncode != 0, "a raw socket")
        check(t.run("exec", "c", "ip", "link", "set", "lo", "mtu", "1000").returncode != 0,
              "a link was changed")
        check(t.run("exec", "c", "ifconfig", "lo", "mtu", "1000").returncode != 0,
              "a link was changed by ioctl")
        contains(inside(pid, "ip", "link", "show", "lo"), "mtu 65536")


@test
def network_sandbox_needs_namespace(t):
    """It never takes over the host's own interfaces."""
    for name, edit in (("none", without_network), ("mine", in_network("self"))):
        t.bundle(name, ["true"], edit=edit)
        err = t.fails("run", "--bundle", f"{t.dir}/{name}", name, g=("--network=sandbox",))
        contains(err, "--network=host")
        contains(err, "--network=none")
    t.ok("run", "--bundle", t.dir + "/none", "none")


# --- --host-uds ---

def uds_bundle(t, name, args):
    """A container that has the folder t.dir/sock at /sock."""
    d = t.dir + "/sock"
    os.makedirs(d, exist_ok=True)
    t.bundle(name, args, edit=lambda c: c["mounts"].append(
        {"destination": "/sock", "type": "bind", "source": d, "options": ["rbind", "rw"]}))
    return d


def server(path, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(LONG)
    s.bind(path)
    if kind != socket.SOCK_DGRAM:
        s.listen(4)
    return s


def uds_guest(t, name, *args, what="none"):
    """Runs tests/cli/uds.c in the container name, which is being made here."""
    shutil.copy(os.environ["UDS"], t.dir + "/sock/uds")
    return t.run("run", "--bundle", f"{t.dir}/{name}", name, g=(f"--host-uds={what}",))


@test
def host_uds_open(t):
    """The container talks to sockets of the host's processes."""
    d = uds_bundle(t, "c", ["/sock/uds", "client", "/sock/stream", "/sock/seq", "/sock/dgram"])
    kinds = {"stream": socket.SOCK_STREAM, "seq": socket.SOCK_SEQPACKET,
             "dgram": socket.SOCK_DGRAM}
    servers = {k: server(f"{d}/{k}", v) for k, v in kinds.items()}
    got = {}

    def serve(k, s):
        if k == "dgram":
            got[k] = [s.recv(100), s.recv(100)]
            return
        c, _ = s.accept()
        c.settimeout(LONG)
        data = b""
        while not data.endswith(b"\n"):
            data += c.recv(200000)
        got[k] = len(data)
        c.sendall(b"answer")
        c.recv(1)  # until it has gone
        c.close()
    threads = [threading.Thread(target=serve, args=x) for x in servers.items()]
    for th in threads:
        th.start()
    r = uds_guest(t, "c", what="open")
    for s in servers.values():
        s.close()
    equal((r.returncode, r.stdout, r.stderr), (0, "ok\n", ""))
    for th in threads:
        th.join(LONG)
    equal(got, {"stream": 100001, "seq": 6, "dgram": [b"one", b"two"]})


@test
def host_uds_create(t):
    """What the container binds in its files is bound on the host."""
    d = uds_bundle(t, "c", ["/sock/uds", "server", "/sock/s", "/sock/d"])
    shutil.copy(os.environ["UDS"], d + "/uds")
    t.create("c", g=("--host-uds=create",), out=t.dir + "/out")
    t.ok("start", "c")
    for i in range(2):
        c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        c.settimeout(LONG)

        def connected():
            try:
                c.connect(d + "/s")
                return True
            except OSError:
                return False
        wait_until(connected, what="the container's listener")
        c.sendall(b"hello")
        equal(c.recv(100), b"hello back")
        c.close()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(b"datagram", d + "/d")
    s.close()
    wait_until(lambda: t.status("c") == "stopped", what="end of the server")
    with open(t.dir + "/out") as f:
        equal(f.read(), "ok\n")


@test
def host_uds_none(t):
    """By default there are none of the host, either way."""
    d = uds_bundle(t, "c", ["/sock/uds", "refused", "/sock/stream", "/sock/mine"])
    s = server(d + "/stream")
    for what in ("none", "create"):
        r = uds_guest(t, "c", what=what)
        equal((r.returncode, r.stdout, r.stderr), (0, "ok\n", ""))
        os.unlink(d + "/mine")
    s.close()
    contains(t.fails("list", g=("--host-uds=some",)), "invalid host-uds")
