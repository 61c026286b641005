#!/usr/bin/env python3
"""Writes tests/fuzz/gofer_codec_corpus: a right message of each kind.

The layouts are those of lib/proto/fs.h; run it again when they change.
"""
import os
import struct

ATTR = 144  # struct fs_attr
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gofer_codec_corpus")
OPS = ("HELLO ATTACH WALK REVALIDATE GETATTR SETATTR OPEN CREATE MKDIR MKNOD SYMLINK LINK UNLINK "
       "RENAME READLINK READDIR STATFS FSYNC FALLOCATE GETXATTR SETXATTR LISTXATTR REMOVEXATTR "
       "READ WRITE CLOSE OPEN_MANY RESOLVE LOCATE REMAKE").split()


def request(op, body=b"", names=(), data=b"", closes=()):
    rest = body + bytes(len(n) for n in names) + b"".join(names) + data
    rest += b"".join(struct.pack("<Q", c) for c in closes)
    number = OPS.index(op) + 1
    return struct.pack("<BBIHHIHHIIQ", 0, 0, 32 + len(rest), number, 0xffff, 7, len(names),
                       len(closes), len(data), 0, (1 << 32) + 1) + rest


def reply(op, err=0, count=0, elems=b"", data=b"", nfds=0):
    rest = elems + data
    return struct.pack("<BBIiIIII", 1, OPS.index(op) + 1, 24 + len(rest), err, 7, count,
                       len(data), nfds) + rest


def dirent(name):
    size = (24 + ATTR + len(name) + 1 + 7) // 8 * 8
    head = struct.pack("<QQHBBi", 5, 6, size, 8, len(name), 0)
    return (head + bytes(ATTR) + name).ljust(size, b"\0")


def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


REQUESTS = {
    "hello": request("HELLO", u32(1, 0)),
    "attach": request("ATTACH", u32(0, 0)),
    "walk": request("WALK", u32(1, 0), [b"usr", b"lib", b"x" * 255], closes=[1, 2, 3]),
    "siblings": request("WALK", u32(2, 0), [b"n%d" % i for i in range(64)]),
    "revalidate": request("REVALIDATE", b"", [b"a", b"b"], bytes(32)),
    "getattr": request("GETATTR"),
    "setattr": request("SETATTR", u32(0x3f, 0o644, 1, 2) + bytes(40)),
    "open": request("OPEN", u32(2, 1)),
    "create": request("CREATE", u32(2, 0, 0o644, 1, 2, 0), [b"new"]),
    "tmpfile": request("CREATE", u32(2, 0, 0o644, 1, 2, 0)),
    "mkdir": request("MKDIR", u32(0o755, 1, 2, 0), [b"dir"]),
    "mknod": request("MKNOD", u32(0o10644, 1, 2, 0), [b"fifo"]),
    "symlink": request("SYMLINK", u32(0, 1, 2, 0), [b"link"], b"../target"),
    "link": request("LINK", bytes(8), [b"link"]),
    "unlink": request("UNLINK", u32(0x200, 0), [b"dir"]),
    "rename": request("RENAME", bytes(8) + u32(1, 0), [b"from", b"to"]),
    "readlink": request("READLINK"),
    "readdir": request("READDIR", bytes(8) + u32(65536, 1)),
    "statfs": request("STATFS"),
    "fsync": request("FSYNC", u32(1, 0)),
    "fallocate": request("FALLOCATE", struct.pack("<qq", 0, 4096) + u32(1, 0)),
    "getxattr": request("GETXATTR", u32(100, 0), [b"user.a/b"]),
    "setxattr": request("SETXATTR", u32(0, 1), [b"user.x"], b"value"),
    "listxattr": request("LISTXATTR", u32(0, 0)),
    "removexattr": request("REMOVEXATTR", b"", [b"user.x"]),
    "read": request("READ", struct.pack("<q", 10) + u32(4096, 0)),
    "write": request("WRITE", struct.pack("<q", 10) + u32(0, 0), data=b"data" * 10),
    "close": request("CLOSE", closes=range(64)),
    "open_many": request("OPEN_MANY", data=struct.pack("<16Q", *range(16))),
    "resolve": request("RESOLVE", u32(0, 0o100000, 8, 1) + struct.pack("<QqII", 12, 1, 2, 0),
                       [b"d%d" % i for i in range(20)]),
    "locate": request("LOCATE"),
    "remake": request("REMAKE", u32(0o100644, 1, 2, 0)),
    "remake_link": request("REMAKE", u32(0o120777, 1, 2, 0), data=b"../target"),
}
REPLIES = {
    "reply_hello": reply("HELLO", 0, 1, bytes(16), nfds=7),
    "reply_walk": reply("WALK", -2, 2, bytes(2 * (8 + ATTR)), b"target"),
    "reply_getattr": reply("GETATTR", 0, 1, bytes(ATTR)),
    "reply_create": reply("CREATE", 0, 1, bytes(8 + ATTR), nfds=1),
    "reply_locate": reply("LOCATE", data=b"usr/lib/x"),
    "reply_read": reply("READ", 0, 0, b"", b"data"),
    "reply_open_many": reply("OPEN_MANY", 0, 3, struct.pack("<iIiIiI", 0, 0, -9, 0, 0, 0), nfds=2),
    "reply_error": reply("MKDIR", -13),
    "reply_write": reply("WRITE", 0, 100),
}
BATCHES = {"batch": b"\2\0" + dirent(b"one") + dirent(b"two") + dirent(b"n" * 255)}


def main():
    os.makedirs(OUT, exist_ok=True)
    for name, data in {**REQUESTS, **REPLIES, **BATCHES}.items():
        with open(os.path.join(OUT, name), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
