#!/usr/bin/env python3
"""The tables and the plot, from made-up medians.  Prints "ok NAME" or "FAIL NAME: why"."""
import sys
import xml.etree.ElementTree as ET

import report

M = {"runtimes": [["native", "native"], ["ours-systrap", "ours systrap"],
                  ["ours-ptrace", "ours ptrace"], ["gvisor-ptrace", "gVisor ptrace"]],
     "figures": {
         "call": {"native": 100.0, "ours-systrap": 300.0, "ours-ptrace": 5000.0,
                  "gvisor-ptrace": 50000.0},
         "tcp_MBps": {"native": 4000.0, "ours-ptrace": 1000.0},
         "nowhere_else": {"native": 2.5e6},
         "not_natively": {"ours-ptrace": 5.0},
         "faster": {"native": 1000.0, "ours-systrap": 20.0, "ours-ptrace": 1000.0,
                    "gvisor-ptrace": 1001.0}},
     "extra": {"start, ms": {"ours-systrap": 15.0, "gvisor-ptrace": 150.0}}}
NS = "{http://www.w3.org/2000/svg}"


def check_table():
    rows = [[c.strip() for c in l.strip("|").split("|")]
            for l in report.table(M, "figure", True).splitlines()]
    assert ["start, ms", "15.0", "–", "150.0"] in rows
    assert ["call", "100 ns", "3.00", "50.0", "500", "0%", "10%"] in rows
    assert ["tcp_MBps", "4,000 MB/s", "–", "4.00", "–", "–", "–"] in rows
    assert ["nowhere_else", "2.5 ms", *"–––––"] in rows
    assert len({len(r) for r in rows[4:]}) == 1


def check_console():
    text = report.console(M, {"call": 2.0, "faster": 1.3})
    line = next(l for l in text.splitlines() if l.startswith("call "))
    assert line.split() == ["call", "100", "ns", "3.00*", "50.0*", "500", "2.00"], line


def boxes(root):
    """(text, left, top, right, bottom) of each label, widths estimated."""
    for t in root.iter(NS + "text"):
        x, y, w = float(t.get("x")), float(t.get("y")), len(t.text) * report.CHAR * 0.85
        left = x - w * {"start": 0, "middle": 0.5, "end": 1}[t.get("text-anchor")]
        yield t.text, left, y - report.FONT * 0.8, left + w, y + 2


def check_svg():
    for m in (M, dict(M, figures={}), dict(M, figures={"nowhere_else": {"native": 1.0}})):
        root = ET.fromstring(report.svg(m, "a <title> & more"))
        width, height = float(root.get("width")), float(root.get("height"))
        labels = list(boxes(root))
        assert {f for f in m["figures"]} <= {l[0] for l in labels}
        for i, (text, left, top, right, bottom) in enumerate(labels):
            assert 0 <= left and right <= width and 0 <= top and bottom <= height, text
            for other, l, t, r, b in labels[:i]:
                assert right <= l or r <= left or bottom <= t or b <= top, (text, other)
    bars = [t.text for t in ET.fromstring(report.svg(M, "")).iter(NS + "title")]
    assert "call, ours systrap: 3.00×" in bars and "call, gVisor ptrace: 500×" in bars


def check_replace_block():
    text = "a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n<!-- bench-programs -->\n"
    want = "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb\n<!-- bench-programs -->\n"
    assert report.replace_block(text, "bench", "new\n") == want
    try:
        report.replace_block(text, "bench-programs", "new\n")
    except ValueError:
        return
    raise AssertionError("an open block was taken")


def main():
    status = 0
    for name, fn in list(globals().items()):
        if not name.startswith("check_"):
            continue
        try:
            fn()
            print(f"ok bench/{name.removeprefix('check_')}")
        except Exception as e:  # whatever it is, the others run too
            print(f"FAIL bench/{name.removeprefix('check_')}: {type(e).__name__}: {e}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
