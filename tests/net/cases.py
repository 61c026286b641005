"""What runs over the cable of lab.py: one function a case; its name is the case's."""
import re

from lab import GUEST4, GUEST6, PEER4, PEER6, Failed, Process, need

CASES = []


def case(fn):
    CASES.append((fn.__name__, fn, False))
    return fn


def slow(fn):
    CASES.append((fn.__name__, fn, True))
    return fn


def all_cases(with_slow):
    return [(n, fn) for n, fn, is_slow in CASES if with_slow or not is_slow]


def bash(script):
    return ["/bin/bash", "-c", script]


# --- IP ---

@case
def ping(lab):
    lab.cable()
    out = lab.ends(lab.guest(["ping", "-c", "3", "-i", "0.2", PEER4]))
    need(" 0% packet loss" in out, out)
    out = lab.ends(lab.guest(["ping", "-c", "3", "-i", "0.2", "-s", "20000", PEER4]))
    need(" 0% packet loss" in out, out)


@case
def ping6(lab):
    lab.cable()
    out = lab.ends(lab.guest(["ping", "-6", "-c", "3", "-i", "0.2", PEER6]))
    need(" 0% packet loss" in out, out)
    out = lab.ends(lab.guest(["ping", "-6", "-c", "3", "-i", "0.2", "-s", "20000", PEER6]))
    need(" 0% packet loss" in out, out)


@case
def is_pinged(lab):
    lab.cable()
    g = lab.guest(bash("echo up; exec sleep 1000"))
    lab.until("start", lambda: "up" in g.text(), of=g)
    for a in (GUEST4, GUEST6):
        for size in ("56", "20000"):
            out = lab.ends(lab.peer(["ping", "-c", "3", "-i", "0.2", "-s", size, a]))
            need(" 0% packet loss" in out, out)


@case
def sees_its_links(lab):
    lab.cable()
    out = lab.ends(lab.guest(bash("ip -br addr; ip route; ip -6 route; ip rule; cat /proc/net/dev")))
    for want in (GUEST4 + "/24", GUEST6 + "/64", "default via " + PEER4, "default via " + PEER6,
                 "eth0", "lookup main"):
        need(want in out, f"no {want} in:\n{out}")


# --- TCP ---

@case
def curl(lab):
    lab.cable()
    s = lab.peer(bash("cd /tmp; head -c 20000000 /dev/urandom >data; md5sum data;"
                      " exec python3 -m http.server --bind :: 8000"))
    lab.listens(8000, s)
    for url in (f"http://{PEER4}:8000/data", f"http://[{PEER6}]:8000/data"):
        out = lab.ends(lab.guest(bash(f"curl -s {url} | md5sum")))
        need(out.split()[0] in s.text(), f"another checksum: {out} {s.text()}")


def start_nginx(lab, more=""):
    conf = ("daemon off; master_process off; pid /tmp/p; error_log stderr; events {} http {"
            " access_log off; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2;"
            " fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;"
            " server { listen 80; listen [::]:80; root /usr/share; sendfile on; } }")
    g = lab.guest(bash(f"{more} echo '{conf}' >/tmp/c; exec nginx -c /tmp/c"))
    lab.reaches(80, of=g)
    return g


@case
def nginx(lab):
    lab.cable()
    lab.reaches(80, GUEST6, of=start_nginx(lab))
    path = "common-licenses/GPL-3"
    out = lab.ends(lab.peer(bash(f"curl -s http://{GUEST4}/{path} | cmp - /usr/share/{path} && "
                                 f"wrk -t 2 -c 20 -d 2 http://{GUEST4}/{path}")))
    need("Socket errors" not in out and "Non-2xx" not in out, out)


def iperf(lab, *flags):
    """The guest as a client of the peer, and the other way round."""
    lab.cable()
    s = lab.peer(["iperf3", "-s"])
    lab.listens(5201, s)
    out = lab.ends(lab.guest(["iperf3", "-c", PEER4, "-t", "2", *flags]))
    need("iperf Done" in out, out)
    lab.cable()
    g = lab.guest(["iperf3", "-s"])
    lab.reaches(5201, of=g)
    out = lab.ends(lab.peer(["iperf3", "-c", GUEST4, "-t", "2", *flags]))
    need("iperf Done" in out, out)
    return out


@case
def iperf3_send(lab):
    iperf(lab)


@case
def iperf3_reverse(lab):
    iperf(lab, "-R")


@case
def iperf3_eight_flows(lab):
    iperf(lab, "-P", "8")


@case
def iperf3_both_ways(lab):
    iperf(lab, "--bidir")


@case
def iperf3_udp(lab):
    out = iperf(lab, "-u", "-b", "50M")
    # How many get lost is the host's business.
    got = re.search(r"([\d.]+) MBytes .*receiver", out)
    need(got and float(got.group(1)) > 0, out)


@case
def ssh_and_rsync(lab):
    lab.cable()
    g = lab.guest(bash(
        "mkdir -p /run/sshd /tmp/h; cd /tmp/h; ssh-keygen -q -t ed25519 -N '' -f key;"
        " echo /usr/share >/dev/null; (cat key.pub; echo) >auth; cat key;"
        " exec /usr/sbin/sshd -D -e -h /tmp/h/key -o AuthorizedKeysFile=/tmp/h/auth"
        " -o StrictModes=no -o UsePAM=no -o PidFile=none -p 2222"))
    lab.reaches(2222, of=g)
    key = g.text()
    key = key[key.index("-----BEGIN"):key.index("-----END")] + "-----END OPENSSH PRIVATE KEY-----"
    opts = ("-i /tmp/key -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
            " -o LogLevel=ERROR")
    out = lab.ends(lab.peer(bash(
        f"umask 077; echo '{key}' >/tmp/key; set -e; ssh {opts} root@{GUEST4} 'echo hello; id -u';"
        f" rsync -a -e 'ssh {opts}' root@{GUEST4}:/usr/lib/python3.11/ /tmp/copy/;"
        " diff -r /usr/lib/python3.11 /tmp/copy && echo same")))
    need(out.split()[:2] == ["hello", "0"] and "same" in out, out)


@case
def redis(lab):
    lab.cable()
    g = lab.guest(["redis-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"])
    lab.reaches(6379, of=g)
    out = lab.ends(lab.peer(["redis-benchmark", "-h", GUEST4, "-n", "5000", "-q", "-t",
                             "set,get,lpush,lrange_100"]))
    need(out.count("requests per second") >= 4, out)


@case
def postgresql(lab):
    lab.cable()
    g = lab.guest(bash(
        "B=$(echo /usr/lib/postgresql/*/bin); mkdir /tmp/d; chown postgres /tmp/d;"
        " su postgres -s /bin/bash -c \"$B/initdb -D /tmp/d -A trust >/dev/null &&"
        " echo 'host all all all trust' >>/tmp/d/pg_hba.conf &&"
        " exec $B/postgres -D /tmp/d -h '*' -k /tmp\""))
    lab.reaches(5432, of=g, timeout=120)
    out = lab.ends(lab.peer(bash(
        f"B=$(echo /usr/lib/postgresql/*/bin); export PGHOST={GUEST4} PGUSER=postgres; set -e;"
        " $B/pgbench -i -q postgres 2>&1; $B/pgbench -c 4 -t 50 postgres 2>&1")))
    need("number of transactions actually processed: 200/200" in out, out)


# --- runtimes and names ---

@case
def node_http(lab):
    lab.cable()
    s = lab.peer(["node", "-e", "require('http').createServer((q, r) => { let n = 0;"
                  " q.on('data', d => n += d.length); q.on('end', () => r.end('got ' + n)) })"
                  ".listen(8000)"])
    lab.listens(8000, s)
    out = lab.ends(lab.guest(["node", "-e", "const h = require('http'); let left = 20;"
                              "for (let i = 0; i < 20; i++) { const q = h.request({host: '" + PEER4 +
                              "', port: 8000, method: 'POST'}, r => { let t = '';"
                              " r.on('data', d => t += d); r.on('end', () => { if (t != 'got 300000')"
                              " throw t; if (!--left) console.log('all') }) });"
                              " q.end(Buffer.alloc(300000)) }"]))
    need(out.strip() == "all", out)


GO = r"""
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

func serve() {
	l, err := net.Listen("tcp", ":8000") // both families
	if err != nil {
		panic(err)
	}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "got %d", n)
	})))
}

func ask(url string, n int) error {
	r, err := http.Post(url, "application/octet-stream", bytes.NewReader(make([]byte, n)))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && string(b) != fmt.Sprintf("got %d", n) {
		err = fmt.Errorf("%q", b)
	}
	return err
}

func main() {
	if len(os.Args) == 1 {
		serve()
	}
	var wg sync.WaitGroup
	for i := 0; i < 40; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			if err := ask(os.Args[1+i%2], 1000+i*20000); err != nil {
				panic(err)
			}
		}(i)
	}
	wg.Wait()
	c, err := net.Dial("tcp", os.Args[3]) // nobody reads or writes: the deadline ends it
	if err != nil {
		panic(err)
	}
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	if e, ok := err.(net.Error); !ok || !e.Timeout() {
		panic(err)
	}
	fmt.Println("all")
}
"""


@case
def go_http(lab):
    """net/http both ways: the peer asks the guest, the guest the peer."""
    program = lab.build("go", {"x.go": GO}, ["go", "build", "-o", "x", "x.go"], "x")
    for server, client, four, six in ((lab.peer, lab.guest, PEER4, PEER6),
                                      (lab.guest, lab.peer, GUEST4, GUEST6)):
        lab.cable()
        s = server([program])
        if server == lab.peer:
            lab.listens(8000, s)
        else:
            lab.reaches(8000, of=s)
        out = lab.ends(client([program, f"http://{four}:8000/", f"http://[{six}]:8000/",
                               f"{four}:8000"]))
        need(out.strip() == "all", out)


JAVA = r"""
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;

public class X {
    static void serve() throws Exception {
        HttpServer s = HttpServer.create(new InetSocketAddress(8000), 50);
        s.setExecutor(Executors.newFixedThreadPool(4));
        s.createContext("/", e -> {
            int n = e.getRequestBody().readAllBytes().length;
            byte[] b = ("got " + n).getBytes();
            e.sendResponseHeaders(200, b.length);
            e.getResponseBody().write(b);
            e.close();
        });
        s.start();
    }

    public static void main(String[] a) throws Exception {
        if (a.length == 0) {
            serve();
            return;
        }
        HttpClient c = HttpClient.newHttpClient();
        var all = new ArrayList<CompletableFuture<Void>>();
        for (int i = 0; i < 40; i++) {
            int n = 1000 + i * 20000;
            var q = HttpRequest.newBuilder(URI.create(a[i % 2]))
                .POST(HttpRequest.BodyPublishers.ofByteArray(new byte[n])).build();
            all.add(c.sendAsync(q, HttpResponse.BodyHandlers.ofString()).thenAccept(r -> {
                if (!r.body().equals("got " + n))
                    throw new RuntimeException(r.body());
            }));
        }
        for (var f : all)
            f.get();
        System.out.println("all");
    }
}
"""


@case
def java_http_client(lab):
    """HttpClient and HttpServer both ways."""
    folder = lab.build("javac", {"X.java": JAVA}, ["javac", "X.java"], ".")
    for server, client, four, six in ((lab.peer, lab.guest, PEER4, PEER6),
                                      (lab.guest, lab.peer, GUEST4, GUEST6)):
        lab.cable()
        s = server(["java", "-cp", folder, "X"])
        if server == lab.peer:
            lab.listens(8000, s)
        else:
            lab.reaches(8000, of=s)
        out = lab.ends(client(["java", "-cp", folder, "X", f"http://{four}:8000/",
                               f"http://[{six}]:8000/"]))
        need(out.strip() == "all", out)


@case
def names(lab):
    lab.cable()
    s = lab.peer(bash("exec dnsmasq -k -C /dev/null -p 53 -h -R --pid-file= -u root "
                      "--address=/four.test/192.0.2.4 --address=/four.test/2001:db8::4"))
    lab.listens(53, s, udp=True)
    out = lab.ends(lab.guest(bash(
        f"dig +short @{PEER4} four.test A; dig +short @{PEER6} four.test AAAA;"
        f" dig +short +tcp @{PEER4} four.test A")))
    need(out.split() == ["192.0.2.4", "2001:db8::4", "192.0.2.4"], out)


def python_tests(lab, *names):
    lab.cable()
    out = lab.ends(lab.guest(["python3", "-m", "test", "-j", "1", *names]), timeout=600)
    need("Result: SUCCESS" in out or "== Tests result: SUCCESS" in out, out[-3000:])


@slow
def python_socket(lab):
    python_tests(lab, "test_socket")


@slow
def python_asyncio(lab):
    python_tests(lab, "test_asyncio")


@slow
def python_ssl_and_http(lab):
    python_tests(lab, "test_ssl", "test_httpservers", "test_urllib2_localnet", "test_socketserver")


# --- tools ---

@case
def tcpdump(lab):
    lab.cable()
    g = lab.guest(bash("tcpdump -n -i any -c 8 icmp 2>&1"))
    lab.until("tcpdump", lambda: "listening on" in g.text(), of=g)
    lab.ends(lab.peer(["ping", "-c", "5", "-i", "0.2", GUEST4]))
    out = lab.ends(g)
    need(f"{PEER4} > {GUEST4}: ICMP echo request" in out and
         f"{GUEST4} > {PEER4}: ICMP echo reply" in out, out)


@case
def ss(lab):
    lab.cable()
    out = lab.ends(lab.guest(bash("nc -lk 7000 & nc -luk 7001 & for i in 1 2 3 4 5 6 7 8 9; do"
                                  " ss -Hltn | grep -q 7000 && ss -Hlun | grep -q 7001 && break;"
                                  " sleep 0.3; done; ss -Hltn; ss -Hlun; ss -s; kill %1 %2")))
    need("0.0.0.0:7000" in out and "0.0.0.0:7001" in out, out)


# --- floods ---

def flood(lab, kind, count):
    """Raw frames from the peer's place to the guest's link."""
    mac = lab.mac()
    return lab._keep(Process(["ip", "netns", "exec", lab.names[0], f"{lab.bin}/flood", "eth0", mac,
                              GUEST4, GUEST6, kind, str(count)]))


def new_connections(lab, n):
    path = "common-licenses/GPL-3"
    lab.ends(lab.peer(bash(f"set -e; for i in $(seq {n}); do curl -sS --retry 5 --retry-connrefused"
                           f" -m 60 http://{GUEST4}/{path} | cmp - /usr/share/{path}; done")))


@case
def floods(lab):
    """While frames of all kinds come in, a transfer and new connections go on; memory is bounded."""
    lab.cable()
    make = ("mkdir -p /tmp/w; mount -t tmpfs none /usr/share/doc; openssl enc -aes-128-ctr -nosalt"
            " -K 00 -iv 00 </dev/zero 2>/dev/null | head -c 33554432 >/usr/share/doc/big;")
    g = start_nginx(lab, make)
    want = lab.ends(lab.peer(bash("openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 </dev/zero"
                                  " 2>/dev/null | head -c 33554432 | md5sum"))).split()[0]
    new_connections(lab, 1)
    before = lab.sentry_memory(g)
    for kind in ("syn", "rst", "frag", "arp", "ndp", "all"):
        big = lab.peer(bash(f"curl -sS -m 300 --limit-rate 40M http://{GUEST4}/doc/big | md5sum"))
        f = flood(lab, kind, 30000)
        new_connections(lab, 3)
        lab.ends(f)
        got = lab.ends(big, timeout=300).split()[0]
        need(got == want, f"{kind}: another checksum: {big.text()}")
    new_connections(lab, 2)
    grown = lab.sentry_memory(g) - before
    need(grown < 48 << 20, f"the sentry has {grown >> 20} MiB more than before")


BIG = ("mount -t tmpfs none /usr/share/doc; head -c 268435456 /dev/zero >/usr/share/doc/big;")


def ends_with_traffic(lab, how):
    """A sandbox that sends, and is flooded, is told to go: nothing is left of it."""
    lab.cable()
    g = start_nginx(lab, BIG)
    many = [lab.peer(bash(f"exec curl -s -o /dev/null -m 300 http://{GUEST4}/doc/big"))
            for _ in range(4)]
    f = flood(lab, "all", 50000)
    new_connections(lab, 1)
    if not lab.runsc:
        return
    how(lab, g)
    if not g.wait(60):
        raise Failed(f"it still runs: {g.text()[-500:]}")
    lab.until("processes of it", lambda: not lab.left_behind())
    out = lab.link_of_guest()
    need(GUEST4 + "/24" in out and GUEST6 + "/64" in out, f"addresses were not given back: {out}")
    f.stop()
    for x in many:
        x.stop()


@case
def killed_with_traffic(lab):
    ends_with_traffic(lab, lambda lab, g: lab.ask(g, "kill", "KILL"))


@case
def deleted_with_traffic(lab):
    ends_with_traffic(lab, lambda lab, g: lab.ask(g, "delete", force=True))


@case
def paused_with_traffic(lab):
    """Paused, it comes back; and it can be killed while it is paused."""
    def how(lab, g):
        lab.ask(g, "pause")
        lab.ask(g, "resume")
        new_connections(lab, 2)
        lab.ask(g, "pause")
        lab.ask(g, "delete", force=True)
    ends_with_traffic(lab, how)


# --- a bad cable ---

def transfer(lab, size, *bad, timeout=600):
    """timeout: with loss it is the congestion control that says how long it takes; the host's may be
    another one (bbr) than the sandbox's."""
    lab.cable(bad)
    make = f"openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 </dev/zero 2>/dev/null | head -c {size}"
    s = lab.peer(bash(f"({make}) >/tmp/f; md5sum </tmp/f; exec nc -lN 9000 </tmp/f"))
    lab.listens(9000, s, timeout=120)
    out = lab.ends(lab.guest(bash(f"nc -d {PEER4} 9000 | md5sum")), timeout=timeout)
    need(out.split()[0] in s.text(), f"another checksum: {out} {s.text()}")
    lab.cable(bad)
    s = lab.peer(bash("nc -lN 9000 | md5sum"))
    lab.listens(9000, s)
    out = lab.ends(lab.guest(bash(f"({make}) >/tmp/f; md5sum </tmp/f; exec nc -N {PEER4} 9000"
                                  " </tmp/f")), timeout=timeout)
    need(lab.ends(s, timeout=timeout).split()[0] in out, f"another checksum: {s.text()} {out}")


@case
def lossy_cable(lab):
    transfer(lab, 8 << 20, 20, 10, 10, 50, 1)


@slow
def a_gibibyte_over_a_lossy_cable(lab):
    transfer(lab, 1 << 30, 20, 10, 0, 20, 2, timeout=7200)
