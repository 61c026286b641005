#!/usr/bin/env python3
"""Programs talk through the sandbox's own network stack, over a veth pair, as they do natively.

    tests/net/run.py [--runsc FILE] [--platform LIST] [--rootfs DIR] [--slow] [NAME...]

Each case runs natively first (see lab.py).  Prints "ok P/NAME".
"""
import argparse
import os
import signal
import sys

import cases
import lab
from lab import guest


def run_case(tally, name, fn, l):
    label = f"{l.platform or 'native'}/{name}"
    try:
        fn(l)
        tally.ok(label)
        return True
    except lab.Failed as e:
        tally.fail(label, str(e))
        return False
    except lab.Skipped as e:
        tally.skip(label, str(e))
        return False
    finally:
        l.clear()


def ended(number, frame):
    """So that `with` cleans up."""
    sys.exit(128 + number)


def main():
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, ended)
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--platform", default="systrap")
    p.add_argument("--rootfs")
    p.add_argument("--bin", default="build/tests/net", help="where cable is")
    p.add_argument("--why-no-rootfs", default="no root file system given")
    p.add_argument("--slow", action="store_true")
    p.add_argument("--no-native", action="store_true")
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    tally = guest.Tally()
    if not a.rootfs or not os.path.exists(a.rootfs + "/.complete"):
        tally.skip("net", a.why_no_rootfs)
        return tally.end()
    chosen = [(n, fn) for n, fn in cases.all_cases(a.slow)
              if not a.names or any(x in n for x in a.names)]
    try:
        for name, fn in chosen:
            if not a.no_native:
                with lab.Lab(a.rootfs, bin=a.bin) as l:
                    if not run_case(tally, name, fn, l):
                        continue
            for platform in a.platform.split(","):
                with lab.Lab(a.rootfs, a.runsc, platform, bin=a.bin) as l:
                    run_case(tally, name, fn, l)
    finally:
        lab.Lab.clear_built()
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())
