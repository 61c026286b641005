#!/usr/bin/env python3
"""docs/SECURITY.md's tables of host calls, from runsc-cli/boot/filter.def.

    tests/host_calls.py           writes them (make docs)
    tests/host_calls.py --check   fails if they are out of date (make docs-current)
"""
import difflib
import re
import sys

DEF, DOC = "runsc-cli/boot/filter.def", "docs/SECURITY.md"
BEGIN, END = "<!-- host calls: make docs -->\n", "<!-- end of host calls -->\n"
CALL = re.compile(r"^CALL\((\w+), (\w+), (.*)\)$")
RULE = re.compile(r"(ANY|IS|WITH|NONE_OF|ZERO)(?:\(([^()]*)\))?")
ARGS = {"fcntl": {1: "command"}, "futex": {1: "operation"}, "mmap": {2: "protection"},
        "mprotect": {2: "protection"}, "madvise": {2: "advice"}, "ioctl": {1: "request"},
        "clone": {0: "flags"}, "prctl": {0: "option"}, "seccomp": {0: "operation"},
        "prlimit64": {0: "pid", 2: "new limit"}, "kill": {1: "signal"},
        "membarrier": {0: "command"}, "arch_prctl": {0: "operation"}}


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


def parse():
    """[(who, what for, {call: [rule texts]})], in order."""
    blocks, comment, open_comment = [], None, False
    for line in open(DEF):
        line = line.strip()
        if open_comment or line.startswith("/*"):
            open_comment = not line.endswith("*/")
            comment = line[2:-2].strip() if line.startswith("/*") and not open_comment else None
            continue
        m = CALL.match(line)
        if not m:
            if line:
                sys.exit(f"{DEF}: {line}: not understood")
            continue
        call, who, rule = m.groups()
        if comment:
            blocks.append((comment, {}))
            comment = None
        blocks[-1][1].setdefault((call, who), []).append(rule_text(call, rule))
    return blocks


def cell(call, who, rules):
    on = who.partition("_")[2]
    text = call
    conditions = {}
    for r in rules:
        if len(r) == 1:
            conditions.setdefault(r[0][0], []).append(r[0][1])
        elif r:
            conditions[" and ".join(f"{a} {b}" for a, b in r)] = []
    if conditions:
        text += ": " + "; ".join((k + " " + ", ".join(v)).strip() for k, v in conditions.items())
    return text + (f" ({on.lower()})" if on else "")


def count(platform):
    plain, ruled = set(), set()
    for _, calls in parse():
        for (call, who), rules in calls.items():
            if who in ("SENTRY", f"SENTRY_{platform}"):
                (ruled if any(rules) else plain).add(call)
    return len(plain), len(ruled)


def table():
    out = [BEGIN]
    for title, start in (("The sentry", "SENTRY"), ("Beside these until the platform has started, "
                                                    "and below the filters of stubs", "STUBS")):
        out += ["\n", f"| {title}: for | calls, and what their arguments must be |\n", "|---|---|\n"]
        for what, calls in parse():
            mine = [cell(c, w, r) for (c, w), r in calls.items() if w.startswith(start)]
            if mine:
                out.append(f"| {what} | {'; '.join(mine) if ':' in ''.join(mine) else ', '.join(mine)} |\n")
    out.append("\n")
    for p in ("SYSTRAP", "PTRACE"):
        plain, ruled = count(p)
        out.append(f"On {p.lower()} the sentry may make {plain} calls with any arguments and {ruled} "
                   "with some.\n")
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
