#!/usr/bin/env python3
"""Pointers that leave a lock: what a text can be asked of "Lifetimes" in docs/ARCHITECTURE.md.

1. Who looks an object with a reference count up under a lock returns it with a reference.
2. An operation that gives up a share of an object (release, put, close) wakes nobody after it has
   unlocked, unless it still has a reference, which it drops afterwards.
3. Credentials, memory and files of a task are read directly by the task itself only: never by
   those who visit tasks, nor through another task's pointer.

It knows functions by the house style (definitions start and end in the first column).  What is
right all the same is listed in FINE, with the reason.
"""
import os
import re
import sys

ROOTS = ["sentry", "syscalls", "runsc-cli/boot"]

FINE = {
    "overlay_inode_of_lower": "the overlay's tree lock is held, and a child's dentry pins it",
    "is_doomed": "compares an address, and follows none",
    "task_swap_fs": "the task's share becomes the caller's",
}

FUNCTION = re.compile(r"^(?P<sig>[A-Za-z_][^;{}#]*?\))[^;{}()]*(?:REQUIRES\([^)]*\))?\n\{\n"
                      r"(?P<body>.*?)^\}", re.M | re.S)
RETURNS = re.compile(r"^(?:static |inline )*struct (\w+) \*(\w+)\(")
NAME = re.compile(r"(\w+)\([^()]*(?:\([^()]*\)[^()]*)*\)$", re.S)
LOCKS = re.compile(r"\bmutex_lock(?:_nested|_pair)?\(|\bMUTEX_GUARD\(")
TAKES = re.compile(r"\b(?:\w+_)?(?:get|hold|get_unless_zero)\(|\bref_get|\btake_ptr\(|"
                   r"\b(?:\w+_)?alloc\(|\bdentry_find\(|\b\w+_new\(|\blist_del\(")
WAKES = re.compile(r"\b(?:waitq_wake\w*|waitq_pass|ctx_wake)\(")
GIVES_UP = re.compile(r"_(?:release|put|close|free|unref)$")
FIELDS = r"->(?:ctx\.(?:cred|mm)|real_cred|fs|fds|mnt_ns|uts|ipc)\b"
VISITOR = re.compile(r"\(struct task \*(\w+), void \*\w+\)")
THROUGH = re.compile(r"(?:leader|tracer|parent_thread|vfork_parent|exec_task)" + FIELDS)


def sources():
    for root in ROOTS:
        for top, _, files in os.walk(root):
            for f in sorted(files):
                if f.endswith((".c", ".h")):
                    with open(f"{top}/{f}") as fd:
                        yield f"{top}/{f}", fd.read()


def counted(texts):
    """Structs with a reference count, or with one that has it as their first member."""
    members = {}
    for text in texts.values():
        for m in re.finditer(r"^struct (\w+) \{\n(.*?)^\}", text, re.M | re.S):
            members[m[1]] = m[2]
    found = {s for s, body in members.items() if re.search(r"\bstruct ref \w+;", body)}
    while True:
        more = {s for s, body in members.items() if s not in found and
                (m := re.match(r"\s*struct (\w+) \w+;", body)) and m[1] in found}
        if not more:
            return found
        found |= more


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def getter(sig, body, refs):
    m = RETURNS.match(sig)
    return m and m[1] in refs and LOCKS.search(body) and not TAKES.search(body)


def wakes_late(name, body):
    if not GIVES_UP.search(name):
        return False
    last = body.rfind("mutex_unlock(")
    if last < 0:
        return False
    for w in WAKES.finditer(body, last):
        if not re.search(r"\b\w+_put\(", body[w.end():]):
            return True
    return False


def reads_others(sig, body):
    m = VISITOR.search(sig)
    if m and re.search(rf"\b{m[1]}{FIELDS}", body):
        # The task's lock is what makes it right.
        if f"mutex_lock(&{m[1]}->lock)" not in body:
            return True
    return bool(THROUGH.search(body))


def main():
    texts = {path: without_comments(text) for path, text in sources()}
    refs = counted(texts)
    bad = used = 0
    for path, text in texts.items():
        for m in FUNCTION.finditer(text):
            sig, body = m["sig"], m["body"]
            name = NAME.search(sig)
            name = name[1] if name else sig
            why = ("returns what it found under a lock without a reference"
                   if getter(sig, body, refs) else
                   "wakes after it has unlocked what it gives up" if wakes_late(name, body) else
                   "reads what belongs to another task" if reads_others(sig, body) else None)
            if not why:
                continue
            if name in FINE:
                used += 1
                continue
            print(f"{path}:{text.count(chr(10), 0, m.start()) + 1}: {name} {why}")
            bad += 1
    if used != len(FINE):
        print(f"{len(FINE) - used} entries of FINE are about nothing")
        bad += 1
    print(f"borrow: {len(refs)} counted structs, {bad} violations")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
