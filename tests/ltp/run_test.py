#!/usr/bin/env python3
"""Checks of run.py, on a tree laid out as LTP's whose tests are scripts of busybox."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import bundle  # noqa: E402

INSIDE = "case $(uname -r) in *runsc) true;; *) false;; esac"
SCRIPTS = {
    "good01": "[ $LTPROOT = /work ] && [ $PWD = /tmp ] && touch here && [ \"$1\" = -x ]",
    "fails01": "echo 'fails01 1 TFAIL: as it must'; exit 1",
    "conf01": "exit 32",
    "slow01": "sleep 1000",
    "inside_fails01": f"if {INSIDE}; then echo 'TFAIL: inside'; exit 1; fi",
    "inside_conf01": f"if {INSIDE}; then exit 32; fi",
    "inside_slow01": f"if {INSIDE}; then sleep 1000; fi",
}
RUNTEST = """# a comment

good01 good01 -x
good02 good01 -x
fails01 fails01
conf01 conf01
slow01 slow01
inside_fails01 inside_fails01
inside_conf01 inside_conf01
inside_slow01 inside_slow01
missing01 missing01
"""
WANT = {
    "native": {"good01": "pass", "good02": "pass", "fails01": "exit code 1; fails01 1 TFAIL: as it must",
               "conf01": "skip", "slow01": "timeout", "inside_fails01": "pass",
               "inside_conf01": "pass", "inside_slow01": "pass", "missing01": "exit code 127"},
    "ptrace": {"good01": "pass", "good02": "pass", "inside_fails01": "exit code 1; TFAIL: inside",
               "inside_conf01": "skip", "inside_slow01": "timeout"},
}


def make_tree(top):
    os.makedirs(top + "/runtest")
    os.makedirs(top + "/testcases/bin")
    with open(top + "/runtest/syscalls", "w") as f:
        f.write(RUNTEST)
    for name, script in SCRIPTS.items():
        with open(f"{top}/testcases/bin/{name}", "w") as f:
            f.write(f"#!/bin/sh\n{script}\n")
        os.chmod(f"{top}/testcases/bin/{name}", 0o755)
    return top


def run(base, *args):
    return subprocess.run([sys.executable, "-B", HERE + "/run.py", "--runsc", sys.argv[1], "--rootfs",
                           base + "/rootfs", "--platform", "ptrace", "--timeout", "10", *args], capture_output=True, text=True)


def check(name, good, why):
    print(f"ok ltp/{name}" if good else f"FAIL ltp/{name}: {why}", flush=True)
    return not good


def main():
    with tempfile.TemporaryDirectory(prefix="runsc-ltp-") as base:
        os.chmod(base, 0o755)
        bundle.busybox_rootfs(base + "/rootfs")
        ltp = make_tree(base + "/ltp")
        p = run(base, "--ltp", ltp, "--json", base + "/out")
        failed = check("run", p.returncode == 1 and os.path.exists(base + "/out"), p.stdout + p.stderr)
        if not failed:
            with open(base + "/out") as f:
                got = json.load(f)
            failed |= check("verdicts", got == WANT, got)
        failed |= check("table", "| pass | 5 | 2 |" in p.stdout and "2 passed, 3 failed" in p.stdout and
                        "Of 5 lines of LTP's `syscalls` list that pass natively here, 2 pass inside "
                        "(on ptrace)." in p.stdout, p.stdout)
        p = run(base, "--ltp", ltp, "good02")
        failed |= check("tag", p.returncode == 0 and "1 passed, 0 failed" in p.stdout, p.stdout)
        p = run(base, "--ltp", ltp, "nosuch")
        failed |= check("no_tag", p.returncode == 1 and "FAIL ltp" in p.stderr, p.stderr)
        p = run(base, "--ltp", base)
        failed |= check("no_tree", p.returncode == 1 and "no installed LTP" in p.stderr, p.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
