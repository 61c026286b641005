#!/usr/bin/env python3
"""A table of what was run, by folder, of a build with SAN=cov after its tests.

    tests/coverage.py O [--files FOLDER]

Lines and branches are gcov's.  --files lists the files of one folder, those with most lines that
nothing ran first.  What sealed processes counted is in O/guest, until it is added to the rest here.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import gcda

SKIP = ("tests/",)


def reports(build):
    """gcov's JSON of each .gcda file (those that no run wrote are of objects that never ran)."""
    data = [os.path.join(top, f) for top, _, files in os.walk(build) for f in files
            if f.endswith(".gcno") and "/tests/" not in top + "/"]
    if not data:
        sys.exit(f"{build} has no .gcno files: make SAN=cov O={build}")
    for i in range(0, len(data), 40):
        out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                              *data[i:i + 40]], check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            yield json.loads(line)


def count(build):
    """{file: ({line: times}, {(line, branch): times})}: a header counts once, wherever included."""
    found = {}
    for report in reports(build):
        for f in report["files"]:
            name = os.path.normpath(f["file"])
            if name.startswith(("/", "..", build)) or name.startswith(SKIP):
                continue
            lines, branches = found.setdefault(name, ({}, {}))
            for at in f["lines"]:
                n = at["line_number"]
                lines[n] = lines.get(n, 0) + at["count"]
                for i, b in enumerate(at["branches"]):
                    branches[n, i] = branches.get((n, i), 0) + b["count"]
    return found


def folder_of(name):
    return os.path.dirname(name)


def percent(values):
    values = list(values)
    return f"{100 * sum(v > 0 for v in values) / len(values):5.1f}%" if values else "     –"


def row(name, lines, branches):
    missed = sum(v == 0 for v in lines)
    print(f"{name:28} {len(lines):7} {percent(lines)} {missed:7} {percent(branches)}")


def table(rows):
    print(f"{'':28} {'lines':>7} {'run':>6} {'not run':>7} {'branches':>6}")
    for name, lines, branches in rows:
        row(name, lines, branches)
    row("all", [v for r in rows for v in r[1]], [v for r in rows for v in r[2]])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--files", help="the files of this folder")
    a = p.parse_args()
    sealed = os.path.join(a.build, "guest")
    if os.path.isdir(sealed):
        print(f"counts of {gcda.add_all(sealed)} sealed processes")
        shutil.rmtree(sealed)
    groups = {}
    for name, (lines, branches) in sorted(count(a.build).items()):
        key = folder_of(name) if not a.files else name
        if a.files and folder_of(name) != a.files.rstrip("/"):
            continue
        g = groups.setdefault(key, ([], []))
        g[0].extend(lines.values())
        g[1].extend(branches.values())
    rows = [(k, *v) for k, v in groups.items()]
    if a.files:
        rows.sort(key=lambda r: -sum(v == 0 for v in r[1]))
    if not rows:
        sys.exit(f"nothing of {a.files or 'the tree'} was compiled")
    table(rows)


if __name__ == "__main__":
    main()
