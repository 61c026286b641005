#!/usr/bin/env python3
"""Tests of the command line: the life of containers as OCI clients drive it.

    tests/cli/run.py [-k SUBSTRING] [--keep] RUNSC

Needs root, busybox (static) and nothing else.  Prints "ok NAME" or "FAIL NAME: why"; the exit
status is 1 if anything failed.  Everything lives below one temporary directory, with its own
--root; containers, processes and mounts are removed even when a test fails.
"""
import ctypes
import glob
import os
import shutil
import sys
import tempfile
import time
import traceback

import test_static  # noqa: F401  (each registers its tests)
import test_life  # noqa: F401
import test_exec  # noqa: F401
import test_host  # noqa: F401
import test_violence  # noqa: F401
import test_silent  # noqa: F401
import test_seccomp  # noqa: F401
import test_pause  # noqa: F401
import test_network  # noqa: F401
import test_pods  # noqa: F401
from lib import LONG, TESTS, Env, bundle, check, reap_all, sandbox_processes

PR_SET_CHILD_SUBREAPER = 36


def mounts(below):
    with open("/proc/self/mountinfo") as f:
        return [line.split()[4] for line in f if below in line]


def run_one(fn, runsc, base, root):
    d = tempfile.mkdtemp(prefix=fn.__name__ + "-", dir=base)
    t = Env(runsc, d, root)
    why = None
    try:
        fn(t)
    except Exception as e:  # a failure is reported, the others go on
        why = str(e) or repr(e)
        if not isinstance(e, AssertionError):
            why += "\n" + traceback.format_exc()
    left = t.clean()
    for _ in range(LONG * 50):
        reap_all()
        processes = sandbox_processes(t.root)
        if not processes:
            break
        time.sleep(0.02)
    if not why and processes:
        why = f"processes left: {processes}"
    if not why and glob.glob(t.root + "/*"):
        why = f"state left after delete --force: {left}"
    if not why and mounts(base):
        why = f"mounts left: {mounts(base)}"
    return why


def main():
    args = sys.argv[1:]
    keep = "--keep" in args
    args = [a for a in args if a != "--keep"]
    pattern = ""
    if "-k" in args:
        i = args.index("-k")
        pattern = args[i + 1]
        del args[i:i + 2]
    if len(args) != 1:
        sys.exit(__doc__)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    base = tempfile.mkdtemp(prefix="runsc-cli-")
    failed = 0
    try:
        root = bundle.busybox_rootfs(base + "/rootfs")
        chosen = [fn for fn in TESTS if pattern in fn.__name__]
        if not chosen:
            print(f"FAIL cli: no test has \"{pattern}\" in its name")
            failed = 1
        for fn in chosen:
            why = run_one(fn, os.path.abspath(args[0]), base, root)
            failed += why is not None
            print(f"FAIL {fn.__name__}: {why}" if why else f"ok {fn.__name__}", flush=True)
    finally:
        if not keep:
            shutil.rmtree(base, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
