#!/usr/bin/env python3
"""Rules of the source that a text can be asked about, of "Lifetimes" in docs/ARCHITECTURE.md:

1. Who looks an object with a reference count up under a lock returns it with a reference.
2. An operation that gives up a share of an object (release, put, close) wakes nobody after it has
   unlocked, unless it still has a reference, which it drops afterwards.
3. Credentials, memory and files of a task are read directly by the task itself only: never by
   those who visit tasks, nor through another task's pointer.
4. Whoever initializes a wait queue also ends it: a file with waitq_init has as many waitq_fini
   (sentry/core/waitq.h: the queue is checked when its owner's memory goes).
5. What MUTEX_GUARD holds until the end of its scope is not unlocked by hand before: clang's analysis
   does not know of that end (lib/lock.h).

It knows functions by the house style (definitions start and end in the first column).  What is
right all the same is listed in FINE, with the reason.  Prints file:line: rule for every violation
and exits with 1 if there is any.
"""
import os
import re
import sys

ROOTS = ["sentry", "syscalls", "runsc-cli", "platform", "gofer"]

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
                    with open(f"{top}/{f}", encoding="utf-8") as fd:
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


def borrowed(path, text, refs, used):
    """Rules 1 to 3 of one file; used collects the names of FINE that were needed."""
    for m in FUNCTION.finditer(text):
        sig, body = m["sig"], m["body"]
        name = NAME.search(sig)
        name = name[1] if name else sig
        why = ("returns what it found under a lock without a reference"
               if getter(sig, body, refs) else
               "wakes after it has unlocked what it gives up" if wakes_late(name, body) else
               "reads what belongs to another task" if reads_others(sig, body) else None)
        if why and name in FINE:
            used.add(name)
        elif why:
            yield text.count("\n", 0, m.start()) + 1, f"{name} {why}"


def waitq_ends(path, text):
    """Rule 4."""
    begun = list(re.finditer(r"\bwaitq_init(?:_detaching)?\(", text))
    ended = len(re.findall(r"\bwaitq_fini\(", text))
    if path.endswith(".c") and path != "sentry/core/waitq.c" and len(begun) != ended:
        line = text.count("\n", 0, begun[0].start()) + 1 if begun else 1
        yield line, f"{len(begun)} waitq_init, {ended} waitq_fini"


def scope_end(code, at):
    """Where the block that at lies in ends."""
    depth = 0
    for m in re.finditer("[{}]", code[at:]):
        depth += 1 if m.group() == "{" else -1
        if depth < 0:
            return at + m.start()
    return len(code)


def guards_stay(code):
    """Rule 5."""
    for m in re.finditer(r"\bMUTEX_GUARD\(([^;]*)\);", code):
        rest = code[m.end():scope_end(code, m.end())]
        if f"mutex_unlock({m.group(1)})" in rest:
            yield code.count("\n", 0, m.start()) + 1, \
                f"{m.group(1)} is unlocked while MUTEX_GUARD has it"


def main():
    texts = {path: without_comments(text) for path, text in sources()}
    refs = counted(texts)
    used = set()
    bad = 0
    for path, text in texts.items():
        for line, why in [*borrowed(path, text, refs, used), *waitq_ends(path, text),
                          *guards_stay(text)]:
            print(f"{path}:{line}: {why}")
            bad += 1
    for name in sorted(FINE.keys() - used):
        print(f"tests/rules.py: {name} in FINE is about nothing")
        bad += 1
    print(f"FAIL rules: {bad} violations" if bad else
          f"ok rules: {len(texts)} files, {len(refs)} counted structs")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
