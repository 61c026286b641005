"""What a container is made of: a root file system of busybox, config.json, a bundle of both.

Used by whatever starts containers here: tests/guest.py and those that share it, tests/cli,
tests/clients, tests/demo.py, bench.
"""
import json
import os
import shutil
import subprocess

ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
       "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TERM": "dumb"}
HOSTNAME = "guest"

ALL_CAPS = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()


def busybox_rootfs(root):
    """busybox, its links and the few files that programs look for."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise SystemExit("busybox is not installed: make deps")
    for d in ("bin", "etc", "proc", "dev", "tmp", "sys", "root", "usr/bin", "tests", "work",
              "scratch"):
        os.makedirs(f"{root}/{d}", exist_ok=True)
    for d in ("tmp", "scratch"):
        os.chmod(f"{root}/{d}", 0o1777)
    shutil.copy(busybox, root + "/bin/busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True,
                               text=True).stdout.split():
        if name not in ("busybox", "env") and not os.path.lexists(f"{root}/bin/{name}"):
            os.symlink("busybox", f"{root}/bin/{name}")
    if not os.path.lexists(root + "/usr/bin/env"):
        os.symlink("/bin/busybox", root + "/usr/bin/env")
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"
                                  "user:x:1000:1000::/:/bin/sh\n"
                                  "nobody:x:65534:65534::/:/bin/sh\n"),
                       ("group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"),
                       ("hostname", HOSTNAME + "\n")):
        with open(f"{root}/etc/{name}", "w") as f:
            f.write(text)
        os.chmod(f"{root}/etc/{name}", 0o644)
    return root


def config(rootfs, args, env=None, cwd="/", work=None, mounts=(), terminal=False, caps=None,
           hostname=HOSTNAME):
    """config.json as a dict; work is bind-mounted at /work, caps: all if they are not named."""
    e = dict(ENV, **(env or {}))
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal, "args": args, "cwd": cwd,
            "env": [f"{k}={v}" for k, v in e.items()],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {k: ["CAP_" + c for c in caps or ALL_CAPS]
                             for k in ("bounding", "effective", "permitted")},
        },
        "root": {"path": rootfs, "readonly": False},
        "hostname": hostname,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["ro", "nosuid", "nodev", "noexec"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
            *([{"destination": "/work", "type": "bind", "source": work,
                "options": ["rbind", "rw"]}] if work else []),
            *mounts,
        ],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")]},
    }


def write(folder, doc):
    """The bundle: a folder with this config.json."""
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/config.json", "w") as f:
        json.dump(doc, f)
    return folder
