#!/usr/bin/env python3
"""Checks that includes follow the ranks of docs/ARCHITECTURE.md.

A unit includes lower ranks only and itself; siblings of one rank never include
each other; the gofer sees lib and lib/proto only; x_priv.h stays in its folder.
Prints file:line of every violation and exits with 1 if there is any.
"""
import os
import re
import sys

RANKS = {
    "lib": 0, "lib/abi": 0,
    "lib/proto": 1, "platform": 1, "runsc-cli/spec": 1,
    "sentry/core": 2,
    "sentry/time": 3, "sentry/mem": 3, "sentry/signal": 3,
    "sentry/vfs": 4,
    "sentry/mm": 5, "sentry/fs": 5, "sentry/net": 5,
    "sentry/task": 6,
    "sentry/procfs": 7,
    "sentry/kernel": 8,
    "syscalls": 9,
    "runsc-cli/boot": 10,
    "runsc-cli": 11,
}
GOFER_MAY = {"gofer", "lib", "lib/abi", "lib/proto"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
ROOTS = ("lib", "platform", "sentry", "syscalls", "gofer", "runsc-cli")


def unit_of(path):
    """The longest unit that the path lies in; None if it lies in none."""
    if path.startswith("gofer/"):
        return "gofer"
    parts = path.split("/")[:-1]
    for n in range(len(parts), 0, -1):
        name = "/".join(parts[:n])
        if name in RANKS:
            return name
    return None


def verdict(path, included):
    """Why path may not include the file, or None if it may."""
    me, it = unit_of(path), unit_of(included)
    if included.endswith("_priv.h") and os.path.dirname(included) != os.path.dirname(path):
        return "a private header leaves its folder"
    if it is None:
        return "is in no unit (includes are rooted at the repository)"
    if me is None:
        return "the including file lies in no unit"
    if me == it:
        return None
    if me == "gofer":
        return None if it in GOFER_MAY else "the gofer may see lib and lib/proto only"
    if it == "gofer":
        # The composition of the program: main dispatches to the gofer's entry.
        return None if me.startswith("runsc-cli") else "nobody but the CLI may see the gofer"
    if RANKS[it] < RANKS[me] or (me, it) == ("lib", "lib/abi"):
        return None
    return f"{me} (rank {RANKS[me]}) may not include {it} (rank {RANKS[it]})"


def sources(root):
    for top in ROOTS:
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in sorted(files):
                if name.endswith((".c", ".h", ".S", ".def")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    bad = count = 0
    for path in sources(root):
        count += 1
        with open(os.path.join(root, path), encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                m = INCLUDE.match(line)
                if not m:
                    continue
                included = m.group(1)
                if not os.path.exists(os.path.join(root, included)):
                    # Generated headers ($(O)/gen) are named like the folder they belong to.
                    if "/" not in included:
                        print(f'{path}:{number}: "{included}": not rooted at the repository')
                        bad += 1
                        continue
                why = verdict(path, included)
                if why:
                    print(f'{path}:{number}: "{included}": {why}')
                    bad += 1
    print(f"FAIL layers: {bad} includes" if bad else f"ok layers: {count} files")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
