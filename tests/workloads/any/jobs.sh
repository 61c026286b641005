# Background jobs, wait, traps, signals between processes
sleep 0.2 & p=$!
wait $p; echo "waited $?"
(exit 7) & wait $!; echo "status $?"
sleep 100 & p=$!
kill $p; wait $p; echo "killed $?"
trap 'echo got USR1' USR1
kill -USR1 $$
echo after
trap 'echo bye' EXIT
(trap 'echo inner bye' EXIT; echo inner)
for i in 1 2 3 4 5; do (sleep 0.0$i; echo $i >out.$i) & done; wait
cat out.*
(sleep 0.3; kill -TERM $$) & 
trap 'echo TERM; kill $! 2>/dev/null' TERM
wait; echo "interrupted"
trap '' INT; sh -c 'kill -INT $$; echo survived INT'
trap - INT; sh -c 'kill -INT $$; echo not here'; echo "status $?"
mkfifo p; (echo through fifo >p) & cat p; wait
(while :; do :; done) & p=$!; sleep 0.1; kill -STOP $p; sleep 0.05; cut -d' ' -f3 /proc/$p/stat
kill -KILL $p; wait $p; echo "status $?"
