#!/usr/bin/env python3
"""compile_commands.json for clangd and clang-tidy, of what `make -n` would compile.

    tests/compile_commands.py CC=clang [MAKE-VARIABLE=VALUE ...] TARGET... >compile_commands.json

Every command line that compiles or compiles and links .c files counts, with clang's flags, of
which clangd understands all.
"""
import json
import os
import re
import shlex
import subprocess
import sys


def sources(words):
    return [w for w in words[1:] if w.endswith(".c") and not w.startswith("-")]


def entry(folder, words, source):
    """Only this source, and only compiled: what a header or a tool is parsed with."""
    args = [w for w in words if w == source or
            not w.endswith((".c", ".S", ".a")) and not w.startswith(("-Wl,", "-l"))]
    out = args.index("-o") + 1 if "-o" in args else 0
    return {"directory": folder, "file": source, "arguments": args,
            **({"output": args[out]} if out else {})}


def main():
    folder = os.getcwd()
    listing = subprocess.run(["make", "-Bn", "--no-print-directory", *sys.argv[1:]], check=True,
                             capture_output=True, text=True).stdout.replace("\\\n", " ")
    compiler = next((a[3:] for a in sys.argv[1:] if a.startswith("CC=")), "gcc")
    found = {}
    for line in listing.splitlines():
        if not re.match(rf"\s*(?:\S*/)?{re.escape(compiler)}\s", line):
            continue
        words = shlex.split(line)
        for source in sources(words):
            found.setdefault(source, entry(folder, words, source))
    if not found:
        sys.exit("compile_commands: make would compile nothing")
    json.dump(sorted(found.values(), key=lambda e: e["file"]), sys.stdout, indent=1)
    print()
    print(f"compile_commands: {len(found)} files", file=sys.stderr)


if __name__ == "__main__":
    main()
