# bash: arrays, process substitution, job control, traps, coproc
shopt -s nullglob extglob
set -m
sleep 100 & jobs -p | wc -l; kill %1; wait %1 2>/dev/null; echo "job $?"
(sleep 0.1; exit 4) & fg %1 >/dev/null; echo "fg $?"
sleep 100 & kill -STOP %1; sleep 0.1; jobs | awk '{print $2}'; kill -CONT %1; kill %1; wait 2>/dev/null
set +m
a=(x y z); echo "${#a[@]} ${a[@]:1}"; declare -A m=([k]=v [l]=w); echo "${m[k]}${m[l]}"
diff <(seq 1 3) <(seq 2 4); paste <(echo 1) <(echo 2)
coproc cat; echo to coproc >&"${COPROC[1]}"; read -r l <&"${COPROC[0]}"; echo "$l"; kill $COPROC_PID; wait 2>/dev/null
trap 'echo "ERR line"' ERR; false; trap - ERR
trap 'echo CHLD' CHLD; sleep 0.01; trap - CHLD
f() { local x=1; trap 'echo RETURN' RETURN; return 5; }; f; echo $?; trap - RETURN
echo "${BASH_VERSINFO[0]}"
read -r -t 0.1 x </dev/zero; [[ abc =~ ^a(.)c$ ]] && echo "${BASH_REMATCH[1]}"
ulimit -n 100; ulimit -n; (ulimit -f 1; head -c 5000 /dev/zero >big) 2>/dev/null; echo "limit $?"; stat -c %s big
mapfile -t lines < <(printf 'a\nb\n'); echo "${lines[1]}"; printf -v v '%03d' 7; echo "$v"; echo {1..5} {a..c}{1,2}
exec 3<>rw; echo data >&3; cat rw; cat <<<"here $((2**40))"; echo none* !(rw|big)
for i in {1..200}; do /bin/true & done; wait; echo "200 children"
for i in {1..100}; do echo $i; done > >(tail -1); sleep 0.2
kill -l 9; umask; echo end
