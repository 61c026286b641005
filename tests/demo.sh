#!/bin/sh
# demo.sh RUNSC: makes an OCI bundle with a busybox root file system and runs it in the sandbox.
set -eu
runsc=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/rootfs/bin" "$dir/rootfs/etc" "$dir/rootfs/root" "$dir/rootfs/tmp"
cp "$(command -v busybox)" "$dir/rootfs/bin/busybox"
for applet in $(busybox --list); do
	[ "$applet" = busybox ] || ln -s busybox "$dir/rootfs/bin/$applet"
done
echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/rootfs/etc/passwd"
echo 'root:x:0:' >"$dir/rootfs/etc/group"
cat >"$dir/rootfs/demo" <<'SCRIPT'
show() { echo "# $*"; sh -c "$*"; echo; }
show 'uname -a'
show 'cat /proc/version'
show 'ps'
show 'ls -l /'
show 'id'
show 'echo written inside >/root/file; cat /root/file'
show 'seq 1 1000 | grep 7 | wc -l'
show 'sleep 0.2 & echo "background job $!"; wait; echo "waited: $?"'
SCRIPT
"$runsc" spec --bundle "$dir"
python3 - "$dir/config.json" <<'PY'
import json, sys
with open(sys.argv[1]) as f:
    c = json.load(f)
c["process"].update(args=["/bin/sh", "/demo"], terminal=False,
                    env=["PATH=/bin", "HOME=/root", "TERM=dumb"])
c["root"]["readonly"] = False
with open(sys.argv[1], "w") as f:
    json.dump(c, f)
PY
"$runsc" --root "$dir/state" run --bundle "$dir" demo
