# Coreutils, findutils and friends of Debian
ls --version | head -1; bash --version | head -1 | cut -c1-20
numfmt --to=iec 123456789; factor 1234567890; seq -s, 5; shuf -i 1-10 | sort -n | tr '\n' ' '; echo
split -b 100 <(seq 1 100) part; cat part* | md5sum; csplit -s <(seq 1 10) 5; cat xx01
timeout 0.2 sleep 5; echo "timeout $?"; nproc >/dev/null && echo nproc
mktemp -d | sed 's/\..*//'; install -m 750 /dev/null inst; stat -c %a inst
sha1sum /etc/debian_version | cut -c1-8 | wc -c; comm -12 <(seq 1 5) <(seq 3 8); join <(echo 1 a) <(echo 1 b)
tee x y <<<text >/dev/null; cat x y; od -tx1 -An <<<AB; base64 <<<hello; date -u -d '2001-02-03' +%s
find /etc -maxdepth 1 -name 'pass*' -printf '%f %m\n' | sort; find /usr/bin -name 'x*' -perm -u+x | wc -l
xargs -P4 -n1 bash -c 'echo $0' <<<'4 3 2 1' | sort | tr '\n' ' '; echo
dpkg -l | tail -n +6 | awk '{print $1, $2}' | md5sum; dpkg -S /bin/bash; dpkg-query -W -f '${Status}\n' bash
apt-get --version | head -1; getent passwd root; getconf PAGE_SIZE; locale | head -1
ls -lA /etc | md5sum; du -s --apparent-size /usr/share/perl5 | cut -f1; file -b /bin/true | cut -c1-20
bzip2 -k inst 2>&1; xz --version | head -1; seq 1 5000 | xz | unxz | md5sum; seq 1 5000 | bzip2 | bunzip2 | md5sum
ps -o comm= -p $$; ps -e -o comm= | grep -x -e bash -e ps | sort -u; pgrep -c bash; free >/dev/null && echo free; uptime >/dev/null && echo up
echo '2^200' | bc; stdbuf -oL echo line; env -u HOME printenv HOME; echo "printenv $?"
