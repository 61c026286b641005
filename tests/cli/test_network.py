"""--network: which stack a container's sockets are of, and what it may do there; --host-uds."""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
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
SANDBOX = ("--network=sandbox",)


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
        wait_until(lambda: t.run("exec", "c", "nc", "-w", "2", "127.0.0.1",
                                 "8080").stdout == "hello\n", what="the next server inside")


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
def network_sandbox_follows_host(t):
    """docker run --network host: a config.json without a namespace, or with the host's."""
    with network() as pid:
        for port, name, edit in ((8082, "none", without_network), (8083, "same", in_network(pid))):
            t.bundle(name, ["sh", "-c", f"echo hello | nc -l -p {port}"], edit=edit)
            p = subprocess.Popen(["nsenter", "-t", str(pid), "-n",
                                  *t.cmd("run", "--bundle", f"{t.dir}/{name}", name, g=SANDBOX)],
                                 stdin=subprocess.DEVNULL)
            serves(t, pid, port, name)
            equal(p.wait(LONG), 0)
        contains(inside(pid, "ip", "addr", "show", "lo"), "127.0.0.1/8")


@test
def network_sandbox_refuses_host(t):
    """It never takes over the host's own interfaces."""
    for name, edit in (("none", without_network), ("mine", in_network("self"))):
        t.bundle(name, ["true"], edit=edit)
        err = t.fails("run", "--bundle", f"{t.dir}/{name}", name, g=("--host-network=refuse",))
        contains(err, "no network namespace of its own")
        contains(err, "--network=none")
        t.ok("run", "--bundle", f"{t.dir}/{name}", name + "-none", g=("--network=none",))


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
    contains(t.fails("list", g=("--host-uds=some",)), "invalid --host-uds")


# --- services on the loopback of the container's namespace ---

# A resolver that knows one address, and an echo by TCP; in the namespace of the process it runs in.
RESOLVER = r"""
import socket, struct, sys, threading
addr, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in addr else socket.AF_INET
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind((addr, port))
t = socket.socket(family)
t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
t.bind((addr, port))
t.listen(16)

def udp():
    while True:
        q, who = u.recvfrom(65536)
        end = q.index(b"\0", 12) + 5
        ok = q[end - 4:end - 2] == b"\0\1"
        r = q[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, ok, 0, 0) + q[12:end]
        if ok:
            r += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([10, 1, 2, 3])
        u.sendto(r, who)

def echo(c):
    total = 0
    while data := c.recv(65536):
        total += len(data)
    c.sendall(b"got %d\n" % total)
    c.close()

threading.Thread(target=udp, daemon=True).start()
print("ready", flush=True)
while True:
    threading.Thread(target=echo, args=(t.accept()[0],), daemon=True).start()
"""


@contextlib.contextmanager
def resolver(pid, addr="127.0.0.11", port=53):
    p = subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, "-c", RESOLVER, addr,
                          str(port)], stdout=subprocess.PIPE)
    try:
        equal(p.stdout.readline(), b"ready\n")
        yield p
    finally:
        p.kill()
        p.wait()
        p.stdout.close()




@test
def loopback_resolver(t):
    """docker's: by itself where resolv.conf names it, by UDP and TCP."""
    with open(t.dir + "/resolv.conf", "w") as f:
        f.write("nameserver 10.0.0.1\n")
    with network() as pid, resolver(pid):
        def edit(c):
            in_network(pid)(c)
            c["mounts"].append({"destination": "/etc/resolv.conf", "type": "bind",
                                "source": t.dir + "/resolv.conf", "options": ["rbind", "ro"]})
        t.bundle("c", ["sleep", "1000"], edit=edit)
        t.create("c", g=SANDBOX)
        # It is written when docker joins the networks, by a hook or even later.
        with open(t.dir + "/resolv.conf", "w") as f:
            f.write("# made\nnameserver 127.0.0.11\noptions ndots:0\n")
        t.ok("start", "c")
        for _ in range(3):
            contains(t.ok("exec", "c", "nslookup", "-type=a", "some.name"), "10.1.2.3")
        many = "for i in 1 2 3 4 5 6 7 8; do nslookup -type=a n$i & done; wait"
        equal(t.ok("exec", "c", "sh", "-c", many).count("10.1.2.3"), 8)
        big = "head -c 1000000 /dev/zero | nc 127.0.0.11 53"
        equal(t.ok("exec", "c", "sh", "-c", big), "got 1000000\n")
        # What the resolver's namespace has besides is not to be had.
        with resolver(pid, "127.0.0.1", 5454):
            check(t.run("exec", "c", "nc", "-w", "2", "127.0.0.1", "5454").returncode != 0,
                  "another service of that loopback")


@contextlib.contextmanager
def cable(a, b):
    """eth0 in the namespace of a, e0 in that of b."""
    inside(a, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "e0", "netns", str(b))
    for pid, name, host in ((a, "eth0", 2), (b, "e0", 1)):
        inside(pid, "ip", "addr", "add", f"10.9.9.{host}/24", "dev", name)
        inside(pid, "ip", "addr", "add", f"fd09::{host}/64", "dev", name, "nodad")
        inside(pid, "ip", "link", "set", name, "up")
    yield


# Asks a server by UDP and by TCP.
ASK = r"""
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
to = (sys.argv[1], 53)
u = socket.socket(family, socket.SOCK_DGRAM)
u.settimeout(30)
u.connect(to)
for i in range(3):
    u.send(b"\0%c\1\0\0\1\0\0\0\0\0\0\4name\0\0\1\0\1" % i)
    a = u.recv(1000)
    assert a[1] == i and a.endswith(bytes([10, 1, 2, 3])), a
t = socket.create_connection(to, 30)
assert t.getpeername()[0] == to[0]
t.sendall(b"x" * 100000)
t.shutdown(socket.SHUT_WR)
print(t.recv(100).decode(), end="")
"""


@test
def loopback_resolver_asks(t):
    """What docker's resolver asks servers, in the namespace, goes by the container's stack."""
    with open(t.dir + "/resolv.conf", "w") as f:
        f.write("nameserver 127.0.0.11\n")

    def edit(c):
        c["mounts"].append({"destination": "/etc/resolv.conf", "type": "bind",
                            "source": t.dir + "/resolv.conf", "options": ["rbind", "ro"]})
    with network() as pid, network() as other, cable(pid, other):
        def ask(addr):
            return inside(pid, sys.executable, "-c", ASK, addr)
        rules = inside(pid, "ip", "rule"), inside(pid, "ip", "-6", "rule")
        t.bundle("c", ["sleep", "1000"], edit=lambda c: (in_network(pid)(c), edit(c)))
        t.create("c", g=SANDBOX)
        t.ok("start", "c")
        with resolver(other, "10.9.9.1"), resolver(other, "fd09::1"):
            for _ in range(3):
                equal(ask("10.9.9.1"), "got 100000\n")
                equal(ask("fd09::1"), "got 100000\n")
            many = [subprocess.Popen(["nsenter", "-t", str(pid), "-n", sys.executable, "-c", ASK,
                                      "10.9.9.1"], stdout=subprocess.PIPE) for _ in range(8)]
            equal([p.communicate()[0] for p in many], [b"got 100000\n"] * 8)
        contains(ask("10.9.9.1"), "Error")  # nobody serves any more
        # The interface stays silent, whatever the rules say.
        ping = ["busybox", "ping", "-c", "1"]
        contains(inside(other, *ping, "-W", "30", "10.9.9.2"), " 0% packet loss")
        inside(other, "ip", "route", "add", "10.8.8.8", "dev", "e0")
        contains(inside(other, *ping, "-W", "2", "10.8.8.8"), "100% packet loss")
        equal("lladdr" in inside(other, "ip", "neigh", "show", "10.8.8.8"), False)
        t.ok("delete", "--force", "c")
        equal((inside(pid, "ip", "rule"), inside(pid, "ip", "-6", "rule")), rules)
        contains(inside(pid, "ip", "addr"), "10.9.9.2/24")


def spoken(t, pid, addr="10.9.9.1"):
    """The container reaches the other end."""
    contains(t.ok("exec", "c", "ping", "-c", "1", "-W", "30", addr), " 0% packet loss")


def state_of(pid):
    """What a namespace has that does not change by itself."""
    return [inside(pid, *c.split()) for c in
            ("ip -o -4 addr", "ip -o -6 addr show scope global", "ip rule", "ip -6 rule",
             "ip route show table all type unicast", "cat /proc/sys/net/ipv4/conf/eth0/forwarding",
             "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6")]


@test
def network_given_back(t):
    """At the end; by delete if the anchor was killed; a second container has it then."""
    with network() as pid, network() as other, cable(pid, other):
        inside(pid, "ip", "route", "add", "default", "via", "10.9.9.1", "metric", "7")
        inside(pid, "ip", "route", "add", "10.7.0.0/16", "via", "10.9.9.1", "src", "10.9.9.2")
        inside(pid, "sysctl", "-w", "net.ipv4.conf.eth0.forwarding=1")
        before = state_of(pid)
        contains(before[4], "10.7.0.0/16")
        equal(before[5:], ["1\n", "0\n"])
        for kill in (False, True, False):
            t.bundle("c", ["sleep", "1000"], edit=in_network(pid, ["NET_RAW"]))
            t.create("c", g=SANDBOX)
            t.ok("start", "c")
            spoken(t, pid)
            spoken(t, pid, "fd09::1")
            contains(t.ok("exec", "c", "ip", "route"), "10.7.0.0/16")
            equal("10.9.9.2" in inside(pid, "ip", "addr"), False)
            if kill:
                os.kill(t.state("c")["pid"], 9)
            t.ok("delete", "--force", "c")
            equal(state_of(pid), before)
            shutil.rmtree(t.dir + "/c")


@test
def network_taken_once(t):
    """A second sandbox in the namespace leaves the first one's links alone."""
    with network() as pid, network() as other, cable(pid, other):
        for name in ("c", "d"):
            t.bundle(name, ["sleep", "1000"], edit=in_network(pid, ["NET_RAW"]))
            t.create(name, g=(*SANDBOX, "--share-sandbox=pods"))
            t.ok("start", name)
        equal("eth0" in t.ok("exec", "d", "ip", "link"), False)
        spoken(t, pid)
        t.ok("delete", "--force", "d")
        spoken(t, pid)


@test
def network_follows(t):
    """Links that come to a running container, addresses and routes there, and their end."""
    with network() as pid, network() as other, network() as third:
        t.bundle("c", ["sleep", "1000"], edit=in_network(pid, ["NET_RAW"]))
        t.create("c", g=SANDBOX)
        t.ok("start", "c")

        def sees(*what, cmd=("ip", "addr")):
            wait_until(lambda: all(w in t.run("exec", "c", *cmd).stdout for w in what),
                       what=f"{what} in the container")

        def sees_not(what, cmd=("ip", "addr")):
            wait_until(lambda: what not in t.run("exec", "c", *cmd).stdout, what=f"no {what}")
        with cable(pid, other):
            sees("eth0", "10.9.9.2/24", "fd09::2/64")
            spoken(t, pid)
            spoken(t, pid, "fd09::1")
            # As docker moves the default route: where the gateway is found is in the namespace.
            contains(inside(pid, "ip", "route", "get", "10.9.9.1"), "dev eth0")
            equal(inside(pid, "ip", "route", "add", "default", "via", "10.9.9.1"), "")
            sees("default via 10.9.9.1", cmd=("ip", "route"))
            inside(other, "ip", "addr", "add", "10.6.6.6/32", "dev", "e0")
            spoken(t, pid, "10.6.6.6")
            equal(inside(pid, "ip", "route", "del", "default"), "")
            sees_not("default", cmd=("ip", "route"))
            # An address more.
            inside(pid, "ip", "addr", "add", "10.5.5.2/24", "dev", "eth0")
            inside(other, "ip", "addr", "add", "10.5.5.1/24", "dev", "e0")
            sees("10.5.5.2/24")
            spoken(t, pid, "10.5.5.1")
            equal("10.5.5.2" in inside(pid, "ip", "addr"), False)
            # A second link, and away with the first.
            inside(pid, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "e1", "netns",
                   str(third))
            for n, name, host in ((pid, "eth1", 2), (third, "e1", 1)):
                inside(n, "ip", "addr", "add", f"10.4.4.{host}/24", "dev", name)
                inside(n, "ip", "link", "set", name, "up")
            sees("eth1", "10.4.4.2/24")
            spoken(t, pid, "10.4.4.1")
            inside(pid, "ip", "link", "set", "eth0", "down")
            inside(pid, "ip", "link", "set", "eth0", "netns", str(third))
            sees_not("eth0")
            sees("eth1", "10.4.4.2/24")
            spoken(t, pid, "10.4.4.1")
            equal(t.run("exec", "c", "ping", "-c", "1", "-W", "1", "10.9.9.1").returncode != 0, True)
        # What is left is given back.
        t.ok("delete", "--force", "c")
        contains(inside(pid, "ip", "addr"), "10.4.4.2/24")
        equal("127.255.255.254" in inside(pid, "ip", "addr"), False)


@test
def loopback_of_pods(t):
    """CRI's port-forward connects to the loopback of the pod's namespace on the host."""
    def get(pid, addr, port):
        return inside(pid, sys.executable, "-c", "import sys, urllib.request as u\n"
                      "print(len(u.urlopen(sys.argv[1], timeout=60).read()))",
                      f"http://{addr}:{port}/f")

    def pod(c):
        c["annotations"] = {"io.kubernetes.cri.container-type": "sandbox"}
    serve = ["sh", "-c", "mkdir /w; head -c 300000 /dev/zero >/w/f; httpd -p 8071 -h /w; "
             "httpd -p 127.0.0.1:8072 -h /w; httpd -p 10.9.9.2:8073 -h /w; exec sleep 1000"]
    with network() as pid, network() as other, cable(pid, other):
        def listens(port):
            return f":{port:04X} " in inside(pid, "cat", "/proc/net/tcp")
        t.bundle("c", serve, edit=lambda c: (in_network(pid)(c), pod(c)))
        t.create("c", g=SANDBOX)
        t.ok("start", "c")
        for port in (8071, 8072):
            wait_until(lambda: listens(port), what=f"port {port}")
            for _ in range(3):
                equal(get(pid, "127.0.0.1", port), "300000\n")
        # At a port of the other addresses nobody is reached there; and from outside, as ever.
        wait_until(lambda: get(other, "10.9.9.2", 8073) == "300000\n", what="port 8073")
        equal(listens(8073), False)
        # The name goes with the listener.
        t.ok("exec", "c", "killall", "httpd")
        wait_until(lambda: not listens(8071) and not listens(8072), what="the end of the ports")
        t.ok("delete", "--force", "c")
        # Who is no pod has none of it.
        shutil.rmtree(t.dir + "/c")
        t.bundle("c", serve, edit=in_network(pid))
        t.create("c", g=SANDBOX)
        t.ok("start", "c")
        wait_until(lambda: ":8073" in t.ok("exec", "c", "netstat", "-tln"), what="its server")
        equal(get(other, "10.9.9.2", 8073), "300000\n")
        equal(listens(8071), False)


@test
def loopback_proxy(t):
    """The services that are named, and no others."""
    with network() as pid, resolver(pid, "127.0.0.1", 8099) as p:
        t.bundle("c", ["sleep", "1000"], edit=in_network(pid))
        t.create("c", g=(*SANDBOX, "--network-loopback-proxy=127.0.0.1:8099/tcp"))
        t.ok("start", "c")
        send = ["exec", "c", "sh", "-c", "echo hello | nc 127.0.0.1 8099"]
        equal(t.ok(*send), "got 6\n")
        # More than there may be at once.
        loop = "i=0; while [ $i -lt 200 ]; do echo x | nc 127.0.0.1 8099; i=$((i+1)); done"
        equal(t.ok("exec", "c", "sh", "-c", loop), "got 2\n" * 200)
        # The service ends: so do its clients, who are told.
        p.kill()
        p.wait()
        equal(t.run(*send).stdout, "")
    t.bundle("d", ["true"])
    for bad in ("10.0.0.1:53", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:53/sctp", "localhost:53"):
        contains(t.fails("run", "--bundle", t.dir + "/d", "d",
                         g=(*SANDBOX, f"--network-loopback-proxy={bad}")), "loopback-proxy")
    t.fails("list", g=("--network=host", "--network-loopback-proxy=127.0.0.1:80"))
