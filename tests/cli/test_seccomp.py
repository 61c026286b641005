"""linux.seccomp: what the profile says is what the container's processes meet."""
import json

from lib import contains, equal, test


def profile(t, name, args, doc):
    def edit(config):
        config["linux"]["seccomp"] = doc
    return t.bundle(name, args, edit=edit)


def rule(names, action, **more):
    return dict({"names": names, "action": action}, **more)


MKDIR = ["sh", "-c", "mkdir /tmp/x; mkdir /tmp/x/y; echo $?; grep ^Seccomp /proc/self/status"]


@test
def seccomp_errno(t):
    d = profile(t, "c", MKDIR, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        rule(["mkdir", "mkdirat", "no_such_call"], "SCMP_ACT_ERRNO", errnoRet=13)]})
    p = t.run("run", "--bundle", d, "c")
    contains(p.stderr, "Permission denied")
    equal(p.stdout, "1\nSeccomp:\t2\nSeccomp_filters:\t1\n")


@test
def seccomp_allow_list(t):
    """As container engines have it: a list of what is allowed, EPERM for the rest."""
    calls = [c["name"] for c in json.loads(t.ok("help", "syscalls", "--format", "json"))]
    allowed = [c for c in calls if c not in ("mkdir", "mkdirat", "statx")]
    d = profile(t, "c", MKDIR, {
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
                                                             "SCMP_ARCH_X32"],
        "syscalls": [rule(allowed, "SCMP_ACT_ALLOW")]})
    p = t.run("run", "--bundle", d, "c")
    contains(p.stderr, "Operation not permitted")
    equal(p.stdout.split("\n")[0], "1")


@test
def seccomp_arguments(t):
    d = profile(t, "c", ["sh", "-c", "trap 'echo caught' USR2; kill -USR1 $$; kill -USR2 $$"], {
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            rule(["kill"], "SCMP_ACT_ERRNO",
                 args=[{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}])]})
    p = t.run("run", "--bundle", d, "c")
    contains(p.stderr, "Operation not permitted")
    equal((p.returncode, p.stdout), (0, "caught\n"))


@test
def seccomp_kill(t):
    d = profile(t, "c", ["mkdir", "/tmp/x"], {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        rule(["mkdir", "mkdirat"], "SCMP_ACT_KILL_PROCESS")]})
    equal(t.run("run", "--bundle", d, "c").returncode, 128 + 31)


@test
def seccomp_exec(t):
    profile(t, "c", ["sleep", "1000"], {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        rule(["mkdir", "mkdirat"], "SCMP_ACT_ERRNO")]})
    t.create("c")
    t.ok("start", "c")
    contains(t.run("exec", "c", "mkdir", "/tmp/x").stderr, "Operation not permitted")


@test
def seccomp_notify(t):
    d = profile(t, "c", ["true"], {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        rule(["mkdir"], "SCMP_ACT_NOTIFY")]})
    p = t.run("run", "--bundle", d, "c")
    contains(p.stderr, "SCMP_ACT_NOTIFY is not supported")
