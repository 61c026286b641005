#!/usr/bin/env python3
"""Whole programs beside native and the peers, interleaved: medians and ratios to native.

    bench/programs.py --debian DIR [--runsc build/runsc] [--platforms systrap,ptrace] [--rounds 3]
                      [--repeat 3] [--programs gcc,tar] [--scale 1] [--markdown FILE] [--svg FILE]

DIR is made by tests/workloads/rootfs.sh with git, redis-server and redis-tools; what runs is a copy
of it with data added (always the same), taken away at the end.  In a round each program runs
--repeat times in one container of each runtime: the first run there, which finds empty caches
inside, is a figure of its own.  Times are taken inside, without the start of the container.
Needs root.
"""
import os
import random
import re
import subprocess
import sys

import report
import run
import runtimes

PROGRAMS = {
    "python_import": ["python3", "-c", "import json, asyncio, sqlite3"],
    "gcc_2000_lines": ["gcc", "-O2", "-c", "/data/big.c", "-o", "/tmp/big.o"],
    "tar_small_files": ["tar", "-C", "/data", "-cf", "/tmp/small.tar", "small"],
    "git_status": ["git", "-C", "/data/tree", "status"],
}
# What computes, and what is all system calls.
AIMS = {"python_import": 1.3, "gcc_2000_lines": 1.3, "tar_small_files": 2, "git_status": 2,
        "redis_set_req_s": 2, "redis_get_req_s": 2, "redis_get_p16_req_s": 2}
AIMS.update({name + "_first": AIMS[name] for name in PROGRAMS})
SMALL_FILES = 10000
GIT_FILES = 20000
MTIME = 1_000_000_000

TIMED = r"""
n=$1; shift
while [ $n -gt 0 ]; do
	start=$EPOCHREALTIME
	"$@" >/dev/null || exit
	echo took $start $EPOCHREALTIME
	n=$((n - 1))
done
"""

REDIS = r"""
n=$1
redis-server --port 0 --unixsocket /tmp/redis.sock --save '' --dir /tmp >/tmp/log &
server=$!
tries=500
until redis-cli -s /tmp/redis.sock ping >/dev/null 2>&1; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || { cat /tmp/log >&2; exit 1; }
	sleep 0.02
done
redis-benchmark -s /tmp/redis.sock -n $n -t set,get --csv || exit
echo pipelined
redis-benchmark -s /tmp/redis.sock -n $((n * 4)) -P 16 -t get --csv || exit
kill $server
wait $server
"""

GIT = r"""
cd /data/tree
git init -q .
git config user.name bench
git config user.email bench@localhost
git config gc.auto 0
git add -A
GIT_AUTHOR_DATE="1000000000 +0000" GIT_COMMITTER_DATE="1000000000 +0000" git commit -qm all
git status >/dev/null
"""


# --- data, the same every time ---

def file(path, text):
    with open(path, "w") as f:
        f.write(text)
    os.utime(path, (MTIME, MTIME))


def big_c(lines):
    """A C file of about so many lines: tables, loops, floating point and calls."""
    rng = random.Random(1)
    out = ["#include <math.h>", "#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    i = 0
    while len(out) < lines:
        a, b, c = (rng.randrange(3, 1000) for _ in range(3))
        before = f"f{i - 1}(x + i, p)" if i else "p[0]"
        out += [f"static const int t{i}[] = {{{a}, {b}, {c}, {a ^ b}, {b ^ c}}};",
                f"int f{i}(int x, int *p)", "{", f"\tint s = t{i}[x % 5u], v[{8 + a % 9}];",
                "\tdouble d = x;", "\tmemset(v, 0, sizeof(v));",
                f"\tfor (int i = 0; i < {b} && s; i++) {{",
                f"\t\tv[i % {8 + a % 9}] += p[i % 7] * {c} + s;",
                f"\t\td = d * 1.{a} + sqrt(d + v[{a % 8}]);",
                f"\t\tif ((s ^ i) % {a} == {b % a})", f"\t\t\ts += {before};",
                "\t\telse", f"\t\t\ts = s * {a | 1} + (int)d;", "\t}",
                f"\treturn s + v[{c % 8}];", "}", ""]
        i += 1
    return "\n".join(out) + "\n"


def small_files(where, count, per_dir, most):
    rng = random.Random(2)
    words = [f"word{rng.randrange(10 ** 6)}" for _ in range(500)]
    for i in range(count):
        d = f"{where}/d{i // per_dir // 20:02}/e{i // per_dir % 20:02}"
        if i % per_dir == 0:
            os.makedirs(d)
        file(f"{d}/file{i:05}.txt", f"{i}\n" + " ".join(rng.choices(words, k=rng.randrange(1, most))))


def make_data(rootfs, scale):
    data = rootfs + "/data"
    os.makedirs(data)
    file(data + "/big.c", big_c(2000))
    small_files(data + "/small", int(SMALL_FILES * scale), 50, 200)
    small_files(data + "/tree", int(GIT_FILES * scale), 25, 60)
    r = runtimes.guest.native(rootfs, ["/bin/bash", "-ec", GIT], timeout=300)
    if r.code != 0:
        raise SystemExit(f"git: {r.err.strip()[-500:]}")


# --- measuring ---

def failed(r, name, got):
    why = "timeout" if got.timed_out else f"exit code {got.code}: {got.err.strip()[-300:]}"
    print(f"{r.label}: {name}: {why}", file=sys.stderr)


def timed(samples, r, rootfs, a, name):
    """Nanoseconds: of the first run, and of each of the others."""
    args = ["/bin/bash", "-c", TIMED, "timed", str(a.repeat), *PROGRAMS[name]]
    got = r.run(rootfs, args, timeout=a.timeout)
    took = [(float(e) - float(s)) * 1e9 for s, e in re.findall(r"^took (\S+) (\S+)$", got.out, re.M)]
    if got.code != 0 or len(took) != a.repeat:
        failed(r, name, got)
        return
    samples.add(name + "_first", r.name, took[0])
    for t in took[1:]:
        samples.add(name, r.name, t)


def redis(samples, r, rootfs, a):
    got = r.run(rootfs, ["/bin/bash", "-c", REDIS, "redis", str(a.requests)], timeout=a.timeout)
    if got.code != 0:
        failed(r, "redis", got)
        return
    plain, _, pipelined = got.out.partition("pipelined\n")
    for text, suffix in ((plain, ""), (pipelined, "_p16")):
        for test, rps in re.findall(r'^"(SET|GET)","([0-9.]+)"', text, re.M):
            samples.add(f"redis_{test.lower()}{suffix}_req_s", r.name, float(rps))


def programs(rts, rootfs, a):
    samples = run.Samples()
    wanted = a.programs.split(",") if a.programs else [*PROGRAMS, "redis"]
    for name in [*PROGRAMS, "redis"]:
        if not any(name.startswith(w) for w in wanted):
            continue
        for i, r in runtimes.rounds(rts, a.rounds):
            runtimes.progress(f"{name}, round {i + 1}: {r.label}")
            if name == "redis":
                redis(samples, r, rootfs, a)
            else:
                timed(samples, r, rootfs, a, name)
    runtimes.progress("")
    return samples.medians()


def measure(a):
    if not os.path.exists(f"{a.debian}/.complete"):
        raise SystemExit(f"no Debian root file system: {a.why_no_debian}")
    with runtimes.scratch(a.dir) as base:
        rootfs = base + "/rootfs"
        # A copy: programs write to it natively, and runc's root is not an overlay.
        subprocess.run(["cp", "-a", "--reflink=auto", a.debian, rootfs], check=True)
        make_data(rootfs, a.scale)
        with runtimes.runtimes(a, rootfs) as rts:
            return {"runtimes": [[r.name, r.label] for r in rts],
                    "figures": programs(rts, rootfs, a), "extra": {}}


def main():
    p = runtimes.parser(__doc__)
    p.set_defaults(rounds=3)
    p.add_argument("--debian", default="/var/cache/runsc-test/bookworm-bench")
    p.add_argument("--why-no-debian", default="tests/workloads/rootfs.sh makes it")
    p.add_argument("--repeat", type=int, default=3, help="runs in one container")
    p.add_argument("--requests", type=int, default=100000, help="of redis-benchmark")
    p.add_argument("--programs", help="prefixes of names, comma-separated (default: all)")
    p.add_argument("--scale", type=float, default=1, help="of the numbers of files")
    p.add_argument("--timeout", type=float, default=600, help="seconds a container")
    a = runtimes.arguments(p)
    m = report.load(a) if a.load else measure(a)
    report.deliver(m, a, "bench-programs", "Whole programs, ratio to native", AIMS, "program", True)


if __name__ == "__main__":
    main()
