#!/usr/bin/env python3
"""Checks syscalls/table.def against the handlers in syscalls/*.c.

Numbers ascend; a handler that exists is FULL or PARTIAL; PARTIAL has a note;
NONE has a note that says why.  Exits with 1 if anything is wrong.
"""
import glob
import os
import re
import sys

ENTRY = re.compile(r'^SYS\((\d+), (\w+), (\w+), "([^"]*)",', re.M)
HANDLER = re.compile(r"^long sys_(\w+)\(struct task \*", re.M)


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    os.chdir(root)
    with open("syscalls/table.def", encoding="utf-8") as f:
        entries = ENTRY.findall(f.read())
    handlers = {}
    for path in sorted(glob.glob("syscalls/*.c") + glob.glob("syscalls/*/*.c")):
        with open(path, encoding="utf-8") as f:
            for name in HANDLER.findall(f.read()):
                handlers[name] = path
    handlers.pop("dispatch", None)
    wrong, last = [], -1
    for number, name, level, note in entries:
        if int(number) <= last:
            wrong.append(f"{name}: number {number} is not in order")
        last = int(number)
        path = handlers.pop(name, None)
        if path and level.startswith("NONE"):
            wrong.append(f"{name}: {path} handles it, the table says {level}")
        if not path and not level.startswith("NONE"):
            wrong.append(f"{name}: the table says {level}, there is no handler")
        if level != "FULL" and not note:
            wrong.append(f"{name}: {level} without a note")
    wrong += [f"{path}: sys_{name} is not in the table" for name, path in handlers.items()]
    for line in wrong:
        print(f"syscalls/table.def: {line}")
    print(f"FAIL table: {len(wrong)} lines" if wrong else f"ok table: {len(entries)} system calls")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
