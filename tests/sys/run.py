#!/usr/bin/env python3
"""Guest programs natively and in the sandbox.

    tests/sys/run.py [options] --bin DIR [PROGRAM...]

    --runsc FILE       the binary (default build/runsc)
    --platform LIST    "native" and platforms (default native,systrap,systrap:eager,ptrace);
                       systrap:eager patches every system call at its first use, P:poorhost does
                       as on a host without FSGSBASE, BMI2 and a steady TSC, P:pooreager both
    --only FS          only on this file system (tmp, overlay, gofer)
    --case NAME        only this case (of the PROGRAMs)
    --verbose          also what programs print besides results
    --runsc-flag F     passed on to runsc, e.g. --runsc-flag=--debug-log=/tmp/x

Prints "ok P/PROGRAM.CASE" per case, where P is native or the platform; programs that say
"FS: all" in their source run on three file systems, as P, P+overlay and P+gofer: a tmpfs, the
root with its overlay, and the root written through the gofer.  (Natively: tmpfs and the host's.)
A case that fails natively too still fails: the test is wrong.
"""
import argparse
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import bundle  # noqa: E402
import guest  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LINE = re.compile(r"^(ok|FAIL|skip) ([\w.+-]+)(?:: (.*))?$")
NETWORK = re.compile(r"NETWORK: (\w+)")
TIMEOUT = 400


def programs(names, case):
    """Those that are asked for, and have such a case; an error if there is none."""
    found = sorted(f[:-2] for f in os.listdir(HERE) if f.endswith(".c"))
    unknown = [n for n in names if n not in found]
    if unknown:
        raise SystemExit(f"FAIL guest: there is no program {', '.join(unknown)}")
    found = [f for f in found if not names or f in names]
    if case:
        found = [f for f in found if re.search(rf"^TEST\({re.escape(case)}\)", source(f), re.M)]
    if not found:
        raise SystemExit(f"FAIL guest: no program has a case {case}")
    return found


def source(program):
    with open(f"{HERE}/{program}.c") as f:
        return f.read()


def file_systems(program, platform):
    if "FS: all" not in source(program)[:3000]:
        return ["tmp"]
    return ["tmp", "gofer"] if platform == "native" else ["tmp", "overlay", "gofer"]


def make_lower(top):
    """Files for programs that say "FIXTURE: /lower": see overlay.c."""
    shutil.rmtree(top, ignore_errors=True)
    for n in range(1, 31):
        d = f"{top}/{n}"
        os.makedirs(f"{d}/dir/sub/deep")
        os.mkdir(f"{d}/empty")
        for name, data in (("f", b"lower data\n"), ("a", b"linked\n"), ("dir/one", b"one"),
                           ("dir/two", b"two"), ("dir/sub/three", b"three"),
                           ("dir/sub/deep/four", b"four"),
                           ("big", bytes(i % 251 for i in range(200000)))):
            with open(f"{d}/{name}", "wb") as f:
                f.write(data)
        os.chmod(f"{d}/f", 0o640)
        os.link(f"{d}/a", f"{d}/b")
        os.link(f"{d}/a", f"{d}/dir/c")
        os.symlink("f", f"{d}/l")


def run_program(a, runsc, rootfs, program, platform, fs, flags):
    env = {"TEST_TMP": "/tmp" if fs == "tmp" else "/scratch"}
    if "FIXTURE: /lower" in source(program)[:3000]:
        make_lower(f"{rootfs}/lower")
    args = [f"/tests/{program}", *([a.case] if a.case else [])]
    if platform == "native":
        return guest.native(rootfs, args, env, TIMEOUT)
    flags = flags + (["--overlay2=none"] if fs == "gofer" else [])
    if m := NETWORK.search(source(program)[:3000]):
        flags = flags + [f"--network={m.group(1)}"]
    return runsc.run(rootfs, args, env, TIMEOUT, flags=flags + a.runsc_flag)


def report(tally, label, program, r, verbose):
    failed, other, seen = 0, [], 0
    for line in r.out.splitlines():
        m = LINE.match(line)
        if not m:
            other.append(line)
            continue
        kind, name, why = m.groups()
        seen += 1
        name = f"{label}/{name}"
        if kind == "ok":
            tally.ok(name)
        elif kind == "skip":
            tally.skip(name, why)
        else:
            failed += 1
            tally.fail(name, why)
    if r.timed_out:
        tally.fail(f"{label}/{program}", f"still runs after {TIMEOUT} s")
    elif r.code != (1 if failed else 0):
        tally.fail(f"{label}/{program}", f"exit code {r.code}; {r.err.strip()[-600:]}")
    elif not seen:
        tally.fail(f"{label}/{program}", "it ran no case")
    elif verbose and r.err:
        print(r.err)
    if verbose and other:
        print("\n".join(other))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runsc", default="build/runsc")
    p.add_argument("--bin", required=True)
    p.add_argument("--platform", default="native,systrap,systrap:eager,ptrace")
    p.add_argument("--only")
    p.add_argument("--case")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--runsc-flag", action="append", default=[])
    p.add_argument("programs", nargs="*")
    a = p.parse_args()
    tally = guest.Tally()
    base = tempfile.mkdtemp(prefix="runsc-sys-")
    try:
        os.chmod(base, 0o755)
        rootfs = bundle.busybox_rootfs(base + "/rootfs")
        names = programs(a.programs, a.case)
        for name in names:
            shutil.copy(f"{a.bin}/{name}", f"{rootfs}/tests/{name}")
        for platform in a.platform.split(","):
            name, _, variant = platform.partition(":")
            flags = guest.VARIANTS[variant]
            with guest.Runsc(a.runsc, None if platform == "native" else name) as runsc:
                for program in names:
                    for fs in file_systems(program, platform):
                        if a.only and fs != a.only:
                            continue
                        label = platform if fs == "tmp" else f"{platform}+{fs}"
                        r = run_program(a, runsc, rootfs, program, platform, fs, flags)
                        report(tally, label, program, r, a.verbose)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(tally.end())


if __name__ == "__main__":
    main()
