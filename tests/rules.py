#!/usr/bin/env python3
"""Checks rules of the source that a line-by-line look can see.

- Whoever initializes a wait queue also ends it: a file with waitq_init has as many waitq_fini
  (sentry/core/waitq.h: the queue is checked when its owner's memory goes).
- What MUTEX_GUARD holds until the end of its scope is not unlocked by hand before: clang's analysis
  does not know of that end (lib/lock.h).

Prints file: rule for every violation and exits with 1 if there is any.
"""
import glob
import re
import sys

ROOTS = ("sentry", "syscalls", "runsc-cli", "platform", "gofer")


def code_of(path):
    with open(path, encoding="utf-8") as f:
        return re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)


def waitq_ends(code):
    begun = len(re.findall(r"\bwaitq_init(?:_detaching)?\(", code))
    ended = len(re.findall(r"\bwaitq_fini\(", code))
    return None if begun == ended else f"{begun} waitq_init, {ended} waitq_fini"


def scope_end(code, at):
    """Where the block that at lies in ends."""
    depth = 0
    for m in re.finditer("[{}]", code[at:]):
        depth += 1 if m.group() == "{" else -1
        if depth < 0:
            return at + m.start()
    return len(code)


def guards_stay(code):
    for m in re.finditer(r"\bMUTEX_GUARD\(([^;]*)\);", code):
        rest = code[m.end():scope_end(code, m.end())]
        if f"mutex_unlock({m.group(1)})" in rest:
            return f"{m.group(1)} is unlocked while MUTEX_GUARD has it"
    return None


def main():
    bad = 0
    for root in ROOTS:
        for path in sorted(glob.glob(root + "/**/*.c", recursive=True)):
            if path == "sentry/core/waitq.c":
                continue
            code = code_of(path)
            for why in filter(None, (waitq_ends(code), guards_stay(code))):
                print(f"{path}: {why}")
                bad += 1
    print("rules: ok" if not bad else f"rules: {bad} broken")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
