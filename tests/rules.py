#!/usr/bin/env python3
"""Checks rules of the source that a line-by-line look can see.

- Whoever initializes a wait queue also ends it: a file with waitq_init has as many waitq_fini
  (sentry/core/waitq.h: the queue is checked when its owner's memory goes).

Prints file: rule for every violation and exits with 1 if there is any.
"""
import glob
import re
import sys

ROOTS = ("sentry", "syscalls", "runsc-cli")


def code_of(path):
    with open(path, encoding="utf-8") as f:
        return re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)


def waitq_ends(code):
    begun = len(re.findall(r"\bwaitq_init(?:_detaching)?\(", code))
    ended = len(re.findall(r"\bwaitq_fini\(", code))
    return None if begun == ended else f"{begun} waitq_init, {ended} waitq_fini"


def main():
    bad = 0
    for root in ROOTS:
        for path in sorted(glob.glob(root + "/**/*.c", recursive=True)):
            if path == "sentry/core/waitq.c":
                continue
            why = waitq_ends(code_of(path))
            if why:
                print(f"{path}: {why}")
                bad += 1
    print("rules: ok" if not bad else f"rules: {bad} broken")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
