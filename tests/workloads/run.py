#!/usr/bin/env python3
"""Scripts in the sandbox tell what they tell natively.

    tests/workloads/run.py [--runsc FILE] [--platform LIST] [--debian DIR] [NAME...]

any/*.sh run over busybox and over Debian (sh), debian/*.sh over Debian (bash), each in an empty
directory, natively (see tests/guest.py) and in the sandbox.  Output, errors and exit code must be
the same.  Prints "ok P/ROOTFS/NAME".
"""
import argparse
import difflib
import os
import re
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import bundle  # noqa: E402
import guest  # noqa: E402

TIMEOUT = 90


def command(shell):
    return [shell, "-c", "mkdir /tmp/w && cd /tmp/w && exec " + shell + " /work/script"]


def normal(text):
    """Without the messages of the shell on its children: when they come is chance."""
    return re.sub(r".*(Terminated|Killed|Segmentation fault)\b.*\n", "", text)


def told(r):
    return (normal(r.out).splitlines() + ["--- stderr"] + normal(r.err).splitlines() +
            [f"--- exit code {'timeout' if r.timed_out else r.code}"])


def run_script(a, tally, base, kind, rootfs, folder, name, sandboxes):
    work = f"{base}/work"
    shutil.rmtree(work, ignore_errors=True)
    os.mkdir(work)
    os.chmod(work, 0o755)
    shutil.copy(f"{HERE}/{folder}/{name}.sh", work + "/script")
    shell = "/bin/sh" if folder == "any" else "/bin/bash"
    want = guest.native(rootfs, command(shell), {}, TIMEOUT, work)
    if want.timed_out:
        tally.fail(f"native/{kind}/{name}", f"still runs after {TIMEOUT} s")
        return
    for platform, runsc in sandboxes:
        got = runsc.run(rootfs, command(shell), {}, TIMEOUT, work)
        label = f"{platform}/{kind}/{name}"
        if told(got) == told(want):
            tally.ok(label)
        else:
            diff = difflib.unified_diff(told(want), told(got), "native", platform, "", "", 1, "")
            tally.fail(label, "\n    " + "\n    ".join(list(diff)[:60]))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--platform", default="systrap")
    p.add_argument("--debian")
    p.add_argument("--why-no-debian", default="no root file system given")
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    tally = guest.Tally()
    base = tempfile.mkdtemp(prefix="runsc-workloads-")
    sandboxes = []
    try:
        os.chmod(base, 0o755)
        roots = [("busybox", bundle.busybox_rootfs(base + "/busybox"), ["any"])]
        if a.debian and os.path.exists(a.debian + "/.complete"):
            roots.append(("debian", a.debian, ["any", "debian"]))
        else:
            tally.skip("debian", a.why_no_debian)
        sandboxes = [(p, guest.Runsc(a.runsc, p)) for p in a.platform.split(",")]
        for kind, rootfs, folders in roots:
            for folder in folders:
                for f in sorted(os.listdir(f"{HERE}/{folder}")):
                    name = f.removesuffix(".sh")
                    if a.names and name not in a.names:
                        continue
                    run_script(a, tally, base, kind, rootfs, folder, name, sandboxes)
    finally:
        for _, runsc in sandboxes:
            runsc.__exit__()
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(tally.end())


if __name__ == "__main__":
    main()
