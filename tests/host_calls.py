#!/usr/bin/env python3
"""docs/SECURITY.md's tables of host calls, from runsc-cli/boot/filter.def (the sentry's) and the
platforms' (platform/*/filter.def).  How to read them: platform/host_calls.h.

    tests/host_calls.py           writes them (make docs)
    tests/host_calls.py --check   fails if they are out of date (make docs-current)
"""
import difflib
import glob
import os
import re
import sys

SENTRY, DOC = "runsc-cli/boot/filter.def", "docs/SECURITY.md"
PLATFORMS = {os.path.basename(os.path.dirname(p)): p
             for p in sorted(glob.glob("platform/*/filter.def"))}
BEGIN, END = "<!-- host calls: make docs -->\n", "<!-- end of host calls -->\n"
CALL = re.compile(r"^CALL\((\w+), (SENTRY|HOSTNET|HOSTUDS|STUBS), (.*)\)$")
OPTION = re.compile(r"^(GET|SET|BOTH)\((\w+), (\w+)\)$")
INCLUDE = re.compile(r'^#include "(.*)"$')
RULE = re.compile(r"(ANY|IS|WITH|NONE_OF|ZERO)(?:\(([^()]*)\))?")
ARGS = {"fcntl": {1: "command"}, "futex": {1: "operation"}, "mmap": {2: "protection"},
        "mprotect": {2: "protection"}, "madvise": {2: "advice"}, "ioctl": {1: "request"},
        "clone": {0: "flags"}, "prctl": {0: "option"}, "seccomp": {0: "operation"},
        "prlimit64": {0: "pid", 2: "new limit"}, "kill": {1: "signal"},
        "membarrier": {0: "command"}, "arch_prctl": {0: "operation"},
        "socket": {0: "family", 1: "type", 2: "protocol"},
        "setsockopt": {1: "level", 2: "option"}, "getsockopt": {1: "level", 2: "option"}}


def rule_text(call, rule):
    def arg(n):
        return ARGS.get(call, {}).get(int(n), "flags")

    out = []
    for kind, args in RULE.findall(rule):
        n, _, value = args.partition(", ")
        if kind == "IS":
            out.append((f"{arg(n)} is", value.replace("|", "\\|")))
        elif kind == "WITH":
            value, _, bits = value.partition(", ")
            out.append((f"{arg(n)} is", f"{value} (any of {bits})".replace("|", "\\|")))
        elif kind == "NONE_OF":
            out.append((f"{arg(n)} without", value))
        elif kind == "ZERO":
            out.append((f"{arg(n)} is", "0"))
    return out


def parse(path, what=None):
    """[(file, what for, who, call, rule text)], in order, of a file and what it includes.
    what: what a file is for that has options only."""
    out, comment, open_comment = [], None, False
    for line in open(path):
        line = line.strip()
        if open_comment or line.startswith("/*"):
            open_comment = not line.endswith("*/")
            comment = line[2:-2].strip() if line.startswith("/*") and not open_comment else None
            continue
        if m := INCLUDE.match(line):
            out += parse(m.group(1), comment)
        elif m := OPTION.match(line):
            how = m.group(1)
            for call, its in (("getsockopt", "GET"), ("setsockopt", "SET")):
                if how in (its, "BOTH"):
                    out.append((path, what, "HOSTNET", call,
                                [("level and option are", f"one of {path}")]))
        elif m := CALL.match(line):
            call, who, rule = m.groups()
            if not comment:
                sys.exit(f"{path}: {line}: no comment above says what for")
            out.append((path, comment, who, call, rule_text(call, rule)))
        elif line:
            sys.exit(f"{path}: {line}: not understood")
    return out


def rows(who):
    """{(file, what for): {call: [rule texts]}}, and {file: platforms that it is for}."""
    table, files = {}, {SENTRY: []}
    for path, on in [(SENTRY, [])] + [(p, [name]) for name, p in PLATFORMS.items()]:
        for file, what, its, call, rule in parse(path):
            mine = files.setdefault(file, [])
            mine += [p for p in on if p not in mine]
            if its == who and mine[:1] == on[:1]:  # once, where several include it
                table.setdefault((file, what), {}).setdefault(call, []).append(rule)
    return table, files


def cell(call, rules):
    conditions = {}
    for r in rules:
        if len(r) == 1:
            conditions.setdefault(r[0][0], []).append(r[0][1])
        elif r:
            head = " and ".join([f"{a} {b}" for a, b in r[:-1]] + [r[-1][0]])
            conditions.setdefault(head, []).append(r[-1][1])
    if not conditions:
        return call
    return call + ": " + "; ".join((k + " " + ", ".join(dict.fromkeys(v))).strip() for k, v in conditions.items())


def count(platform):
    plain, ruled = set(), set()
    host = set()
    for _, _, who, call, rule in parse(SENTRY) + parse(PLATFORMS[platform]):
        if who == "SENTRY":
            (ruled if rule else plain).add(call)
        elif who == "HOSTNET":
            host.add(call)
    return len(plain), len(ruled - plain), len(host - plain - ruled)


def part(title, who):
    out = [f"\n| {title}: for | calls, and what their arguments must be | on |\n", "|---|---|---|\n"]
    table, files = rows(who)
    for (file, what), calls in table.items():
        cells = [cell(c, r) for c, r in calls.items()]
        on = files[file]
        where = ", ".join(on) if on else "any"
        out.append(f"| {what} | {('; ' if ':' in ''.join(cells) else ', ').join(cells)} | {where} |\n")
    return out


def table():
    out = [BEGIN]
    out += part("The sentry", "SENTRY")
    out += part("With `--network=host` also", "HOSTNET")
    out += part("With `--host-uds=create` or `all` also", "HOSTUDS")
    out += part("Beside these until the platform has started, and below the filters of stubs", "STUBS")
    out.append("\n")
    for p in PLATFORMS:
        plain, ruled, host = count(p)
        out.append(f"On {p} the sentry may make {plain} calls with any arguments and {ruled} "
                   f"with some; with `--network=host`, {host} more.\n")
    return "".join(out + [END])


def main():
    text = open(DOC).read()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    new = head + table() + tail
    if "--check" not in sys.argv:
        open(DOC, "w").write(new)
    elif new != text:
        sys.stdout.writelines(difflib.unified_diff(text.splitlines(True), new.splitlines(True), DOC))
        sys.exit(f"FAIL {DOC} is out of date: make docs")
    else:
        print(f"ok {DOC}: host calls")


if __name__ == "__main__":
    main()
