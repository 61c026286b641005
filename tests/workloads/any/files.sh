# Files: create, link, move, find, permissions
umask 022
mkdir -p a/b/c; echo x >a/b/c/f; ln a/b/c/f hard; ln -s a/b/c/f soft
cat hard soft; stat -c '%h %a %s %F' hard soft a
cp -a a copy; find copy | sort
chmod 4711 hard; stat -c '%a' a/b/c/f
chown 1:2 a/b; stat -c '%u:%g' a/b
mv a/b/c moved; ls moved; ls -d a/b/c 2>&1 | sed 's/^[^:]*: //'
cat soft 2>&1 | sed 's/.*: //'
touch -d '2020-01-02 03:04:05' t; stat -c %Y t
rm -r copy; ls
dd if=/dev/zero of=z bs=1k count=100 2>/dev/null; stat -c %s z
truncate -s 5000 z; stat -c %s z; cmp z /dev/zero 2>&1 | head -c 5; echo
tar cf - moved hard | tar tf - | sort
tar czf t.tgz moved; rm -r moved; tar xzf t.tgz; cat moved/f
seq 1 20000 >big; gzip -k big; gunzip -c big.gz | cmp - big && echo same
find . -type f -name 'b*' -size +10k | sort
find . -newer t -type l
mkdir d; for i in $(seq 1 500); do echo $i >d/$i; done; ls d | wc -l; cat d/* | sort -n | tail -1
rm -rf d; rmdir d 2>&1 | sed 's/.*: //'
df . >/dev/null && echo df; pwd -P | sed 's,.*/,,'
readlink soft; realpath t | sed 's,.*/,,'
: >n; cat /proc/self/status >n; [ -s n ] && echo size
echo 'quoted "name"' >'a b'; cat a\ b
