#!/usr/bin/env python3
"""A network beside native and gVisor, over the same kind of veth pair, interleaved: medians and ratios.

    bench/network.py --rootfs DIR [--runsc build/runsc] [--platforms systrap] [--rounds 3]
                     [--seconds 2] [--figures rtt,iperf] [--markdown FILE] [--svg FILE]

DIR is tests/net's root file system (make net-rootfs).  In a round each figure runs once in each
runtime: the peer natively at one end of a new veth pair (tests/net/lab.py), the program in a
container at the other.  Needs root.
"""
import json
import os
import re
import shutil
import sys

import report
import run
import runtimes

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "net"))
import lab  # noqa: E402

AIMS = {f: 2 for f in ("tcp_rtt", "udp_rtt", "connect_ops_s", "nginx_req_s", "redis_set_req_s",
                       "redis_get_req_s")}
AIMS.update({f"tcp_{way}{flows}_MBps": 1 / 0.7 for way in ("send", "receive") for flows in ("", "_8")})
PORT = 7777
NGINX = ("daemon off; master_process off; pid /tmp/p; error_log stderr; events {} http {"
         " access_log off; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2;"
         " fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;"
         " keepalive_requests 1000000;"
         " server { listen 80; root /usr/share/common-licenses; } }")


def bash(script):
    return ["/bin/bash", "-c", script]


def rtt(l, a):
    """Round trips and connections, which the container begins."""
    s = l.peer(["/usr/bin/netbench", "serve", str(PORT)])
    l.listens(PORT, s)
    out = l.ends(l.guest(bash(
        f"cd /usr/bin; N='{lab.PEER4} {PORT} {a.seconds}'; ./netbench rtt tcp $N;"
        " ./netbench rtt udp $N; ./netbench connect $N")))
    return {k: float(v) for k, v in re.findall(r"^(\w+) (\d+)$", out, re.M)}


def iperf(l, a):
    s = l.peer(["iperf3", "-s"])
    l.listens(5201, s)
    base = f"iperf3 -J -c {lab.PEER4} -t {a.seconds}"
    out = l.ends(l.guest(bash(f"{base}; echo ===; {base} -R; echo ===; {base} -P 8; echo ===;"
                              f" {base} -R -P 8")))
    figures = {}
    for text, name in zip(out.split("==="), ("send", "receive", "send_8", "receive_8")):
        got = json.loads(text)["end"]["sum_received"]["bits_per_second"]
        figures[f"tcp_{name}_MBps"] = got / 8e6
    return figures


def nginx(l, a):
    g = l.guest(bash(f"echo '{NGINX}' >/tmp/c; exec nginx -c /tmp/c"))
    l.reaches(80, of=g)
    out = l.ends(l.peer(["wrk", "-t", "1", "-c", "16", "-d", str(a.seconds),
                         f"http://{lab.GUEST4}/BSD"]))
    return {"nginx_req_s": float(re.search(r"Requests/sec:\s*([\d.]+)", out).group(1))}


def redis(l, a):
    g = l.guest(["redis-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"])
    l.reaches(6379, of=g)
    out = l.ends(l.peer(["redis-benchmark", "-h", lab.GUEST4, "-n", str(20000 * a.seconds), "-t",
                         "set,get", "--csv"]))
    return {f"redis_{t.lower()}_req_s": float(v)
            for t, v in re.findall(r'^"(SET|GET)","([\d.]+)"', out, re.M)}


GROUPS = {"rtt": rtt, "iperf": iperf, "nginx": nginx, "redis": redis}


def places(a):
    """(name, label, arguments of Lab)."""
    yield "native", "native", {}
    for p in (a.platforms or "systrap").split(","):
        yield f"ours-{p}", f"ours {p}", {"runsc": a.runsc, "platform": p}
    if os.path.exists(a.gvisor) and "gvisor" not in a.without:
        yield "gvisor-systrap", "gVisor systrap", {"runsc": a.gvisor, "platform": "systrap"}


def measure(a):
    if not a.rootfs or not os.path.exists(a.rootfs + "/.complete"):
        raise SystemExit("no root file system: make net-rootfs")
    samples = run.Samples()
    rts = list(places(a))
    with runtimes.scratch(a.dir) as base:
        rootfs = base + "/rootfs"
        runtimes.subprocess.run(["cp", "-a", "--reflink=auto", a.rootfs, rootfs], check=True)
        shutil.copy(a.bin, rootfs + "/usr/bin/netbench")
        for group in (a.figures or ",".join(GROUPS)).split(","):
            for i in range(a.rounds):
                for name, label, args in rts[i % len(rts):] + rts[:i % len(rts)]:
                    runtimes.progress(f"{group}, round {i + 1}: {label}")
                    with lab.Lab(rootfs, **args) as l:
                        l.cable()
                        try:
                            for figure, v in GROUPS[group](l, a).items():
                                samples.add(figure, name, v)
                        except lab.Failed as e:
                            print(f"{label}: {group}: {e}", file=sys.stderr)
    runtimes.progress("")
    return {"runtimes": [[n, l] for n, l, _ in rts], "figures": samples.medians(), "extra": {}}


def main():
    p = runtimes.parser(__doc__)
    p.set_defaults(rounds=3)
    p.add_argument("--rootfs", default="/var/cache/runsc-test/net")
    p.add_argument("--bin", default="build/bench/netbench")
    p.add_argument("--seconds", type=int, default=2, help="a figure")
    p.add_argument("--figures", help=f"of {', '.join(GROUPS)} (default: all)")
    a = runtimes.arguments(p)
    a.bin = os.path.abspath(a.bin)
    m = report.load(a) if a.load else measure(a)
    report.deliver(m, a, "bench-network", "A network, ratio to native", AIMS, "figure", True)


if __name__ == "__main__":
    main()
