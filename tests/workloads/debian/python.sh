# python3: threads, subprocess, multiprocessing, asyncio, files, sockets
python3 - <<'END'
import sys, os, threading, subprocess, multiprocessing, tempfile, queue, signal, select, mmap, hashlib, time, json, socket
print(sys.version_info[:2])
n = 0
lock = threading.Lock()
def work():
    global n
    for _ in range(10000):
        with lock: n += 1
ts = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]; print(n)
q = queue.Queue()
threading.Thread(target=lambda: [q.put(i) for i in range(5)]).start(); print([q.get(timeout=5) for _ in range(5)])
print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, text=True))
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE); print(p.communicate(b"x" * 200000)[0] == b"x" * 200000)
try: subprocess.run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired: print("timeout")
try: subprocess.run(["/none"])
except FileNotFoundError as e: print(e)
r, w = os.pipe(); os.write(w, b"hi"); print(select.select([r], [], [], 0)[0] == [r], os.read(r, 9))
signal.signal(signal.SIGALRM, lambda *a: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2)
with tempfile.TemporaryFile() as f:
    f.write(b"a" * 8192); f.flush(); m = mmap.mmap(f.fileno(), 0); m[0:3] = b"xyz"; m.flush(); f.seek(0); print(f.read(4))
a, b = socket.socketpair(); a.sendall(b"pair"); print(b.recv(9))
pid = os.fork()
if pid == 0: os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(hashlib.sha256(open("/usr/bin/python3", "rb").read(4096)).hexdigest()[:8] != "", json.dumps({"a": [1, 2.5]}), os.getcwd().startswith("/"))
END
cat >mp.py <<'END'
import multiprocessing as mp, os
def sq(x): return x * x
def worker(q, e):
    e.wait(5); q.put(os.getpid() != os.getppid())
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        c = mp.get_context(method)
        with c.Pool(3) as p: print(method, sum(p.map(sq, range(100))))
        q, e = c.Queue(), c.Event(); w = c.Process(target=worker, args=(q, e)); w.start(); e.set(); print(q.get(timeout=10)); w.join(); print(w.exitcode)
    with mp.Manager() as m: d = m.dict(); d["k"] = 1; print(dict(d))
    v = mp.Value("i", 0)
    def inc():
        for _ in range(500):
            with v.get_lock(): v.value += 1
    ps = [mp.get_context("fork").Process(target=inc) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
END
python3 mp.py
python3 - <<'END'
import asyncio
async def main():
    async def t(i): await asyncio.sleep(0.01 * i); return i
    print(await asyncio.gather(*[t(i) for i in range(5)]))
    p = await asyncio.create_subprocess_exec("echo", "sub", stdout=asyncio.subprocess.PIPE); print((await p.communicate())[0])
asyncio.run(main())
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor
with ThreadPoolExecutor(4) as e: print(list(e.map(lambda x: x + 1, range(5))))
END
