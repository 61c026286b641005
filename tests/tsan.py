#!/usr/bin/env python3
"""Runs guest programs on a sentry that is built with ThreadSanitizer, and reports its races.

    tests/tsan.py --runsc build-tsan/runsc --bin build/tests/sys [--platform P] [PROGRAM ...]
    tests/tsan.py --unit build-tsan/tests/unit/X_test ...

The second form runs unit tests.  One that cannot run so says why in a comment near its top, behind
"TSAN:", and is skipped.

The sealed sentry cannot read its own symbols: its reports, which go to the debug log, are
symbolized here, and those are left out that tests/tsan.supp names.  A report is told once, with
how often it came; equal are those whose two accesses are in the same two lines.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
FRAME = re.compile(r"^    #\d+ .*\((\S+)\+0x([0-9a-f]+)\)")


def suppressions():
    """Regular expressions; each stands behind "race:" on a line of its own."""
    with open(os.path.join(HERE, "tsan.supp"), encoding="utf-8") as f:
        return [re.compile(line.split("#")[0].strip()[5:]) for line in f
                if line.startswith("race:")]


def split(lines):
    """The reports, each a list of lines, and the lines that belong to none."""
    blocks, rest, block = [], [], None
    for line in lines:
        if "WARNING: ThreadSanitizer" in line:
            block = [line.rstrip()]
            blocks.append(block)
        elif block is None:
            rest.append(line)
        elif line.startswith("SUMMARY: ThreadSanitizer"):
            block = None
        else:
            block.append(line.rstrip())
    return blocks, rest


def reports(folder):
    """All in the logs there."""
    found = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
            found += split(f)[0]
    return found


def symbolize(program, blocks):
    """{offset: "function file:line"} of all frames in the program itself."""
    own = os.path.basename(program)
    offsets = sorted({m.group(2) for b in blocks for m in map(FRAME.match, b)
                      if m and m.group(1) == own})
    if not offsets:
        return {}
    # A frame is a return address, or the access itself: one byte before lies in the same line.
    query = "".join(f"{int(o, 16) - 1:#x}\n" for o in offsets)
    out = subprocess.run(["addr2line", "-f", "-s", "-e", program], input=query, text=True,
                         capture_output=True, check=True).stdout.split("\n")
    return {o: f"{out[2 * i]} {out[2 * i + 1].split(' (')[0]}" for i, o in enumerate(offsets)}


def readable(own, block, names):
    """(key, text): the first frame of each of the two accesses, and the report."""
    text, key, fresh = [], [], False
    for line in block:
        m = FRAME.match(line)
        if not m:
            fresh = line.endswith(":")
            text.append(line)
            continue
        name = names.get(m.group(2)) if m.group(1) == own else None
        text.append(f"    {name or line.strip()}")
        if fresh and name and len(key) < 2:
            key.append(name)
            fresh = False
    return tuple(sorted(key)), "\n".join(text)


def races(program, folder):
    """What the logs there report and tests/tsan.supp does not name, the most frequent one first;
    and how many reports there are."""
    blocks = reports(folder)
    names = symbolize(program, blocks)
    told, texts, quiet = collections.Counter(), {}, suppressions()
    for block in blocks:
        key, text = readable(os.path.basename(program), block, names)
        if not any(s.search(k) for s in quiet for k in key):
            told[key] += 1
            texts.setdefault(key, text)
    return [f"tsan: {' <-> '.join(key)} ({n} times)\n{texts[key]}\n"
            for key, n in told.most_common()], len(blocks)


def why_not(test):
    """What the comment near the top of a unit test's source says about TSan; None: nothing."""
    source = os.path.join(HERE, "unit", os.path.basename(test) + ".c")
    with open(source, encoding="utf-8") as f:
        head = "".join(f.readlines()[:30])
    m = re.search(r"TSAN: (.*?)(?:\.\s|\*/)", head, re.S)
    return re.sub(r"\s+(?:\* )?", " ", m.group(1)).strip() if m else None


def run_unit(test):
    """Did it pass, without races?"""
    name, reason = os.path.basename(test), why_not(test)
    if reason:
        print(f"skip tsan-unit {name}: {reason}", flush=True)
        return True
    with tempfile.TemporaryDirectory() as logs:
        options = f"symbolize=0 exitcode=0 log_path={logs}/tsan"
        try:
            p = subprocess.run([test], env=dict(os.environ, TSAN_OPTIONS=options), text=True,
                               errors="replace", stdout=subprocess.PIPE, timeout=600, check=False)
            status, out = p.returncode, p.stdout
        except subprocess.TimeoutExpired as e:
            status, out = "timeout", (e.stdout or b"").decode(errors="replace")
        found, count = races(test, logs)
    if status or found:
        print(f"FAIL tsan-unit {name}: exit status {status}\n"
              + "".join(line + "\n" for line in out.split("\n") if line.startswith("FAIL"))
              + "".join(found), flush=True)
        return False
    print(f"ok tsan-unit {name} ({count} reports of what tests/tsan.supp names)", flush=True)
    return True


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--unit", nargs="+", metavar="TEST")
    p.add_argument("--runsc")
    p.add_argument("--bin")
    p.add_argument("--platform", default="systrap")
    p.add_argument("--keep", help="an empty folder for the logs, which stay")
    p.add_argument("programs", nargs="*")
    a = p.parse_args()
    if a.unit:
        return 0 if all([run_unit(t) for t in a.unit]) else 1
    if not a.runsc or not a.bin:
        p.error("--runsc and --bin, or --unit, are needed")
    with tempfile.TemporaryDirectory() as scratch:
        logs = a.keep or scratch
        tests = subprocess.run([sys.executable, os.path.join(HERE, "sys", "run.py"), "--runsc",
                                a.runsc, "--bin", a.bin, "--platform", a.platform,
                                f"--runsc-flag=--debug-log={logs}/", *a.programs], check=False)
        found, count = races(a.runsc, logs)
    for text in found:
        print(f"FAIL {text}")
    if not found:
        print(f"ok tsan ({count} reports of what tests/tsan.supp names)")
    return 1 if found or tests.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
