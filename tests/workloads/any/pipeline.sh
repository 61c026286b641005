# Pipelines, redirections, here-documents, exit codes
seq 1 1000 | grep 7 | sort -rn | head -5 | tr '\n' ' '; echo
cat <<END | sed 's/a/A/g' | tr a-z A-Z
alpha
beta $((6 * 7))
END
cat <<'END'
literal $HOME
END
{ echo one; echo two >&2; } 2>&1 | sort
false | true; echo "status $?"
(exit 3); echo "status $?"
sh -c 'kill -TERM $$'; echo "status $?"
echo hello >f; echo world >>f; cat <f; wc -c <f
exec 5>g; echo five >&5; exec 5>&-; cat g
seq 1 100000 | sha256sum
yes | head -c 1000000 | md5sum
x=$(printf 'a\nb\nc'); echo "$x" | while read -r l; do echo "<$l>"; done
for i in 1 2 3; do echo $i; done | awk '{s += $1} END {print s}'
echo a b c | { read -r x y; echo "$y"; }
[ -t 0 ] && echo tty || echo no tty
