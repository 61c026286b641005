#!/usr/bin/env python3
"""Makes an OCI bundle with a busybox root file system and shows the sandbox from inside.

    tests/demo.py RUNSC
"""
import os
import subprocess
import sys
import tempfile

import bundle

SCRIPT = r"""
show() { echo "# $*"; sh -c "$*"; echo; }
show 'uname -a'
show 'cat /proc/version'
show 'ps'
show 'ls -l /'
show 'id'
show 'echo written inside >/root/file; cat /root/file'
show 'seq 1 1000 | grep 7 | wc -l'
show 'sleep 0.2 & echo "background job $!"; wait; echo "waited: $?"'
"""


def main():
    with tempfile.TemporaryDirectory(prefix="runsc-demo-") as top:
        os.chmod(top, 0o755)
        root = bundle.busybox_rootfs(top + "/rootfs")
        with open(root + "/demo", "w") as f:
            f.write(SCRIPT)
        bundle.write(top, bundle.config(root, ["/bin/sh", "/demo"]))
        sys.stdout.flush()
        return subprocess.run([sys.argv[1], "--root", top + "/state", "run", "--bundle", top,
                               "demo"]).returncode


if __name__ == "__main__":
    sys.exit(main())
