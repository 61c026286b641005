# What a system tells: ids, proc, devices
id -u; whoami; id; hostname; uname -s -m
ls /proc/self/fd | head -3 | wc -l; cat /proc/self/comm; tr '\0' ' ' </proc/self/cmdline; echo
grep -E '^(Name|Uid|Gid|Threads):' /proc/self/status
ls -l /dev/null /dev/zero | awk '{print $1, $3, $4, $5, $6}'
head -c 16 /dev/zero | od -An -tx1; head -c 100 /dev/urandom | wc -c
echo x >/dev/null; echo "full: $(echo x 2>&1 >/dev/full | sed 's/.*: //')"
ls -d /proc/1 /proc/self/ns/pid; readlink /proc/self/cwd | sed 's,.*/,,'
ulimit -n >/dev/null; nice -n 5 sh -c 'cut -d" " -f19 /proc/self/stat'
cat /proc/sys/kernel/ostype; [ -r /proc/meminfo ] && [ -r /proc/cpuinfo ] && [ -r /proc/uptime ] && echo proc
awk '$2 == "/tmp" {print $3}' /proc/mounts; wc -l </proc/loadavg
kill -0 1 && echo alive; kill -0 99999 2>&1 | grep -c . ; ls / | grep -c proc
mount -t tmpfs none /scratch && touch /scratch/x && ls /scratch && umount /scratch; ls /scratch | wc -l
stty 2>&1 </dev/null | sed 's/.*: //' | head -1
