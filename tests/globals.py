#!/usr/bin/env python3
"""Finds state of the kernel that lies outside the arena.

    tests/globals.py OUTPUT-FOLDER OBJECT ...

Looks at the symbols of the objects that have memory in a section that stays writable (.data,
.bss, common and thread-local ones).  Each must stand in tests/globals.list, with a reason; what
stands there and is not found any more is a mistake too.  Two kinds of writable section are fine:
what the loader relocates and then protects (.data.rel.ro, kernel_units), and what kernel_start
seals (ro_after_init).
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LIST = os.path.join(HERE, "globals.list")
PROTECTED = re.compile(r"\.data\.rel\.ro|ro_after_init$|kernel_units$|\.(init|fini)_array")
SECTION = re.compile(r"\s*\[\s*(\d+)\]\s+(\S*)\s+\S+\s+\S+\s+\S+\s+(\S+)\s+\S+\s+(\S*[A-Za-z]\S*)?\s")
SYMBOL = re.compile(r"\s*\d+:\s+\S+\s+(\S+)\s+(OBJECT|TLS|COMMON|NOTYPE)\s+\S+\s+\S+\s+(\S+)\s+(\S+)")


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.splitlines()


def writable_sections(obj):
    """{number: name} of the sections of obj that hold something and stay writable."""
    found = {}
    for line in readelf("-S", obj):
        m = SECTION.match(line)
        if m and "W" in (m.group(4) or "") and int(m.group(3), 16) and \
                not PROTECTED.match(m.group(2)):
            found[m.group(1)] = m.group(2)
    return found


def symbols(obj):
    """The names of what obj defines in such sections."""
    sections = writable_sections(obj)
    named, names = set(), set()
    for line in readelf("-s", obj):
        m = SYMBOL.match(line)
        if not m or (m.group(3) not in sections and m.group(3) != "COM"):
            continue
        named.add(m.group(3))
        # What is static in a function is NAME.1 to gcc and FUNCTION.NAME to clang.
        names.add(re.sub(r"\.\d+$", "", m.group(4)).split(".")[-1])
    names |= {f"(all of {name})" for number, name in sections.items() if number not in named}
    return names


def read_list():
    """{(file, name): line number}"""
    allowed = {}
    with open(LIST, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if not line.strip() or line.startswith("#"):
                continue
            if line[0].isspace():
                continue  # a reason goes on
            parts = [p.strip() for p in line.split(":", 2)]
            if len(parts) != 3 or not parts[2]:
                sys.exit(f"{LIST}:{number}: not FILE: NAME ...: REASON")
            for name in parts[1].split():
                allowed[parts[0], name] = number
    return allowed


def main():
    top, objects = os.path.normpath(sys.argv[1]), sys.argv[2:]
    if not objects:
        sys.exit("globals: no objects")
    allowed, bad = read_list(), 0
    unused = dict(allowed)
    for obj in objects:
        path = os.path.relpath(obj, top)[:-2] + ".c"
        for name in sorted(symbols(obj)):
            if (path, name) in allowed:
                unused.pop((path, name), None)
                continue
            print(f"FAIL {path}: {name} is writable, and neither in the arena nor sealed")
            bad = 1
    for (path, name), number in unused.items():
        print(f"FAIL tests/globals.list:{number}: {path} has no writable {name}")
        bad = 1
    if not bad:
        print(f"ok globals: {len(objects)} objects, {len(allowed)} symbols with a reason")
    return bad


if __name__ == "__main__":
    sys.exit(main())
