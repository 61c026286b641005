"""Counts of gcc 12 (.gcda): adds what sealed processes wrote (lib/coverage.c) to the files of a build.

A file is words of 32 bits: magic, version, stamp, checksum, then records of a tag, a length in bytes
and that much; after that of a function come those of its counters, of 64 bits.  A negative length:
so many bytes of zeros, which are left out.  It ends with a tag of zero.
"""
import array
import os
import struct
import sys

MAGIC, FUNCTION, SUMMARY, COUNTER = 0x67636461, 0x01000000, 0xa1000000, 0x01a10000


class Counts:
    """Of one object."""

    def __init__(self, data):
        magic, *self.head = struct.unpack_from("<4I", data)
        if magic != MAGIC:
            raise ValueError("no counts of gcc")
        self.functions = {}  # ident and checksums: {tag: counters}
        at, counters = 16, None
        while True:
            tag, = struct.unpack_from("<I", data, at)
            if not tag:
                break
            n, = struct.unpack_from("<i", data, at + 4)
            at += 8
            if tag == FUNCTION:
                counters = self.functions.setdefault(data[at:at + n], {})
            elif tag == COUNTER:
                values = array.array("q", data[at:at + n] if n >= 0 else bytes(-n))
                if tag in counters:
                    values = array.array("q", map(int.__add__, counters[tag], values))
                counters[tag] = values
            elif tag != SUMMARY:
                raise ValueError(f"counts of a kind that is not known here: {tag:#x}")
            at += max(n, 0)

    def add(self, other):
        if self.head != other.head:
            raise ValueError("counts of another build")
        for function, counters in other.functions.items():
            own = self.functions.setdefault(function, counters)
            for tag, values in counters.items() if own is not counters else ():
                own[tag] = array.array("q", map(int.__add__, own[tag], values))

    def bytes(self):
        out = [struct.pack("<4I", MAGIC, *self.head), struct.pack("<4I", SUMMARY, 8, 1, 0)]
        for function, counters in self.functions.items():
            out.append(struct.pack("<2I", FUNCTION, len(function)) + function)
            for tag, values in counters.items():
                out.append(struct.pack("<2I", tag, 8 * len(values)) + values.tobytes())
        return b"".join(out) + struct.pack("<I", 0)


def records(path):
    """(name of a .gcda file, its data) of what one process wrote; the last may be cut short."""
    with open(path, "rb") as f:
        while len(head := f.read(8)) == 8:
            name_len, data_len = struct.unpack("<2I", head)
            name, data = f.read(name_len), f.read(data_len)
            if len(data) < data_len:
                break
            yield name.decode(), data


def add_all(folder):
    """Adds what is in folder to the files it is of; the number of processes."""
    paths = [os.path.join(folder, f) for f in sorted(os.listdir(folder))]
    paths = [p for p in paths if os.path.getsize(p)]
    sums = {}
    for path in paths:
        for name, data in records(path):
            if not any(data):
                continue
            counts = Counts(data)
            if name in sums:
                sums[name].add(counts)
            else:
                sums[name] = counts
    for name, counts in sums.items():
        if os.path.exists(name):
            with open(name, "rb") as f:
                counts.add(Counts(f.read()))
        with open(name + ".new", "wb") as f:
            f.write(counts.bytes())
        os.rename(name + ".new", name)
    return len(paths)


if __name__ == "__main__":
    print(add_all(sys.argv[1]))
