# grep, sed, awk, sort, cut, diff, od
seq 1 50 >n
grep -c 3 n; grep -n '^4.$' n | tail -2; grep -v 1 n | wc -l
sed -n '5,7p;/^10$/{s/1/X/;p}' n
sed -i 's/^9$/nine/' n; sed -n 9p n
awk 'BEGIN {OFS="-"} NR % 10 == 0 {print NR, $1 * 2; s[$1 % 3]++} END {for (i = 0; i < 3; i++) print i, s[i]}' n
printf 'b 2\na 10\nc 1\n' | sort -k2n; printf 'x\nx\ny\n' | uniq -c | sed 's/^ *//'
echo a:b:c | cut -d: -f2-; echo abc | rev; echo abc | od -An -c | tr -s ' '
printf 'one\ntwo\n' >1; printf 'one\n2\n' >2; diff 1 2; echo "diff $?"
paste -d, 1 2; tr -d o <1; head -c 3 1; echo; tail -n +2 1; nl 1 | tr -s ' '
xargs -n2 echo <n | head -3; printf '%s\n' a b | xargs -I{} echo '<{}>'
expr 3 + 4; printf '%05d %x %s\n' 42 255 str; basename /a/b.c .c; dirname /a/b
date -u -d @0 +%Y-%m-%dT%H:%M:%S
test -f n && echo yes; env -i A=b env; seq 3 | tac
