# gcc compiles, links and runs; make builds in parallel
cat >hello.c <<'END'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *work(void *arg) { double s = 0; for (int i = 1; i < 100000; i++) s += sin(i) / i; *(double *)arg = s; return 0; }
int main(int argc, char **argv)
{
	pthread_t t[4]; double r[4];
	for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, work, &r[i]);
	for (int i = 0; i < 4; i++) { pthread_join(t[i], 0); printf("%.6f\n", r[i]); }
	printf("%d %s\n", argc, argc > 1 ? argv[1] : "");
	return argc;
}
END
gcc -O2 -Wall -o hello hello.c -lm -pthread && ./hello arg; echo "status $?"
gcc -static -O1 -o hello-static hello.c -lm -pthread && ./hello-static; echo "status $?"
gcc -shared -fPIC -o libx.so -x c - <<<'int f(int x) { return x * 3; }'
gcc -o usex -x c - -x none ./libx.so <<<'#include <stdio.h>
int f(int); int main(void) { printf("%d\n", f(14)); }'; ./usex
for i in 1 2 3 4 5 6; do echo "int f$i(void) { return $i; }" >f$i.c; done
printf 'OBJ = f1.o f2.o f3.o f4.o f5.o f6.o\nall: libf.a\n\t@nm libf.a | grep -c " T "\nlibf.a: $(OBJ)\n\t@ar rcs $@ $(OBJ)\n.c.o:\n\t@$(CC) -c $<\n' >Makefile
make -j4 2>&1; echo 'int main(void) { return *(int *)8; }' >crash.c; gcc -w crash.c -o crash; (ulimit -c 0; ./crash) 2>/dev/null; echo "crash $?"
gcc -c missing.c 2>&1 | grep -c 'No such file'
