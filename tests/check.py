#!/usr/bin/env python3
"""Runs test suites (make targets) one after the other and adds their results up.

    tests/check.py [MAKE-VARIABLE=VALUE ...] TARGET ...

A suite prints lines that begin with "ok ", "FAIL " or "skip "; a suite that fails without a
FAIL line counts as one failure, and so does one that tells of no case at all.  The last line is the sum: "N passed, N failed, N skipped".
"""
import os
import subprocess
import sys
import time


def run_suite(name, variables):
    """(passed, failed, skipped, seconds) of one make target; its output passes through."""
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    start = time.monotonic()
    make = os.environ.get("MAKE", "make")
    p = subprocess.Popen([make, "--no-print-directory", *variables, name], text=True,
                         errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    for line in p.stdout:
        word = line.split(" ", 1)[0].rstrip(":\n")
        if word in counts:
            counts[word] += 1
        # Compiler command lines say nothing; everything else is worth reading.
        if not line.startswith(("gcc ", "cc ", "clang ", "ar ")):
            sys.stdout.write(line)
            sys.stdout.flush()
    if p.wait() != 0 and counts["FAIL"] == 0:
        print(f"FAIL suite {name}: exit status {p.returncode}")
        counts["FAIL"] = 1
    elif p.returncode == 0 and not any(counts.values()):
        print(f"FAIL suite {name}: it ran nothing")
        counts["FAIL"] = 1
    return counts["ok"], counts["FAIL"], counts["skip"], time.monotonic() - start


def main():
    variables = [a for a in sys.argv[1:] if "=" in a]
    suites = [a for a in sys.argv[1:] if "=" not in a]
    rows = []
    for name in suites:
        print(f"=== {name}", flush=True)
        rows.append((name, *run_suite(name, variables)))
    print("=== summary")
    for name, ok, failed, skipped, seconds in rows:
        print(f"{name:14} {ok:5} passed {failed:4} failed {skipped:4} skipped {seconds:7.1f} s")
    total = [sum(r[i] for r in rows) for i in (1, 2, 3)]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
