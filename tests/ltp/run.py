#!/usr/bin/env python3
"""The `syscalls` list of a built Linux Test Project tree, natively and inside.

    tests/ltp/run.py --ltp DIR --rootfs DIR [--runsc FILE] [--platform LIST] [--timeout S]
                     [--list NAME] [--json FILE] [TAG...]

DIR is where LTP is installed (runtest/, testcases/bin/).  Each line of the list is a command of its
own, natively in a chroot in namespaces of its own (tests/guest.py), then in a container on each
platform, over the same root file system, which has the libraries that LTP was linked with; LTP is
at /work there.  There are no block devices but those that a test makes.

What counts is what passes natively: "ok P/TAG" or "FAIL P/TAG: why" for each of these lines, and at
the end the table that README.md quotes.  A line that is skipped inside (TCONF) has not passed.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import bundle  # noqa: E402
import guest  # noqa: E402

TCONF = 32
PATH = "/work/testcases/bin:" + bundle.ENV["PATH"]


def lines_of(path):
    """(tag, command) of a runtest file."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            tag, _, command = line.strip().partition(" ")
            if command and not tag.startswith("#"):
                yield tag, command.strip()


def verdict(r):
    """pass, skip, timeout, or why it failed."""
    if r.timed_out:
        return "timeout"
    if r.code == 0:
        return "pass"
    if r.code & TCONF and not r.code & ~(TCONF | 4):  # 4: a warning
        return "skip"
    told = [l for l in (r.out + r.err).splitlines() if "FAIL" in l or "BROK" in l]
    return f"exit code {r.code}" + (f"; {told[0].strip()[:160]}" if told else "")


class Runner:
    def __init__(self, a):
        self.a = a
        # No test asks for the configuration of the kernel: there is no file of it inside.
        self.env = {"LTPROOT": "/work", "PATH": PATH, "TMPDIR": "/tmp", "LTP_COLORIZE_OUTPUT": "n",
                    "KCONFIG_SKIP_CHECK": "1"}
        self.sandboxes = {p: guest.Runsc(a.runsc, p) for p in a.platform.split(",")}

    def one(self, where, command):
        args = ["/bin/sh", "-c", "cd /tmp && " + command]
        ltp = os.path.abspath(self.a.ltp)
        if where == "native":
            r = guest.native(self.a.rootfs, args, self.env, self.a.timeout, ltp)
        else:
            r = self.sandboxes[where].run(self.a.rootfs, args, self.env, self.a.timeout, ltp)
        return verdict(r)

    def all(self, where, lines):
        """{tag: verdict}; one after the other: much of it measures times or counts processes."""
        return {tag: self.one(where, command) for tag, command in lines}

    def end(self):
        for r in self.sandboxes.values():
            r.__exit__()


def table(lines, native, inside):
    passed = [tag for tag, v in native.items() if v == "pass"]
    print(f"\n| of {len(lines)} lines | {' | '.join(['native', *inside])} |")
    print("|---|" + "---:|" * (1 + len(inside)))
    for name, is_it in (("pass", lambda v: v == "pass"), ("are skipped", lambda v: v == "skip"),
                        ("take too long", lambda v: v == "timeout"),
                        ("fail", lambda v: v not in ("pass", "skip", "timeout"))):
        row = [str(sum(map(is_it, native.values())))]
        row += [str(sum(is_it(v[t]) for t in passed)) for v in inside.values()]
        print(f"| {name} | {' | '.join(row)} |")
    for p, v in inside.items():
        good = sum(v[t] == "pass" for t in passed)
        print(f"\nOf {len(passed):,} lines of LTP's `syscalls` list that pass natively here, "
              f"{good:,} pass inside (on {p}).")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ltp", required=True)
    p.add_argument("--rootfs", required=True)
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--platform", default="systrap,ptrace")
    p.add_argument("--list", default="syscalls")
    p.add_argument("--timeout", type=int, default=120)
    p.add_argument("--json", help="write every verdict to this file")
    p.add_argument("tags", nargs="*")
    a = p.parse_args()
    runtest = f"{a.ltp}/runtest/{a.list}"
    if not os.path.exists(runtest) or not os.path.isdir(f"{a.ltp}/testcases/bin"):
        sys.exit(f"FAIL ltp: {a.ltp} is no installed LTP: {runtest}, testcases/bin")
    lines = [(t, c) for t, c in lines_of(runtest) if not a.tags or t in a.tags]
    if not lines:
        sys.exit("FAIL ltp: no line of the list is named so")
    os.makedirs(a.rootfs + "/work", exist_ok=True)
    r, tally = Runner(a), guest.Tally()
    try:
        native = r.all("native", lines)
        wanted = [(t, c) for t, c in lines if native[t] == "pass"]
        inside = {}
        for platform in r.sandboxes:
            inside[platform] = r.all(platform, wanted)
            for tag, v in inside[platform].items():
                if v == "pass":
                    tally.ok(f"{platform}/{tag}")
                else:
                    tally.fail(f"{platform}/{tag}", v)
    finally:
        r.end()
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"native": native, **inside}, f, indent=1)
    table(lines, native, inside)
    sys.exit(tally.end())


if __name__ == "__main__":
    main()
