"""Medians as a table, a plot and a block of README.md.

A measurement is {"runtimes": [[name, label], ...], "figures": {name: {runtime: value}},
"extra": {row: {runtime: value}}}; the first runtime is native.  Ratios say how many times slower
than native something is: figures that are rates (by their names) are turned over.
"""
import json
import math
import os
from xml.sax.saxutils import escape

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RATES = {"MBps": "MB/s", "ops_s": "op/s", "req_s": "req/s"}
COLOURS = {"ours-systrap": "#0072b2", "ours-ptrace": "#56b4e9", "ours-kvm": "#009e73",
           "runc": "#8c959f", "gvisor-systrap": "#d55e00", "gvisor-ptrace": "#e69f00"}
OTHER_COLOURS = ["#cc79a7", "#a8a800", "#7b61ff"]
MEASURABLE = 1.1  # below that, half of an overhead means nothing


def rate(figure):
    return next((u for end, u in RATES.items() if figure.endswith("_" + end)), None)


def ratio(m, figure, runtime):
    """Times slower than native, or None."""
    native, v = m["figures"][figure].get("native"), m["figures"][figure].get(runtime)
    if not native or not v:
        return None
    return native / v if rate(figure) else v / native


def quantity(figure, v):
    """A native value with its unit, three digits."""
    if v is None:
        return "–"
    if rate(figure):
        return f"{v:,.0f} {rate(figure)}"
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if v >= size:
            return f"{v / size:.3g} {unit}" if v < 1000 * size else f"{v / size:,.0f} {unit}"
    return f"{v:.0f} ns"


def number(v, digits=1):
    return "–" if v is None else f"{v:.{digits}f}"


def times(v):
    return number(v, 2 if v is not None and v < 10 else 1 if v is not None and v < 100 else 0)


def grid(head, rows):
    return ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|",
            *("| " + " | ".join(r) + " |" for r in rows)]


def share(m, figure, ours, gvisor):
    """Our overhead as a part of gVisor's, or None where gVisor has (next to) none."""
    o, g = ratio(m, figure, ours), ratio(m, figure, gvisor)
    if o is None or g is None or g < MEASURABLE:
        return None
    return max(o - 1, 0) / (g - 1)


def overheads(m, figure):
    """One cell for each platform of ours: its overhead in percent of gVisor's best."""
    out = []
    for ours in (n for n, _ in m["runtimes"] if n.startswith("ours")):
        shares = [s for g, _ in m["runtimes"] if g.startswith("gvisor")
                  for s in [share(m, figure, ours, g)] if s is not None]
        out.append(f"{max(shares):.0%}" if shares else "–")
    return out


def table(m, first="figure", with_overheads=False):
    others = m["runtimes"][1:]
    head = [first, "native", *(f"{label} ×" for _, label in others)]
    ours = [label for n, label in others if n.startswith("ours")]
    with_overheads = with_overheads and any(n.startswith("gvisor") for n, _ in others)
    if with_overheads:
        head += [f"{label}: overhead / gVisor's" for label in ours]
    rows = [[f, quantity(f, v.get("native")), *(times(ratio(m, f, n)) for n, _ in others),
             *(overheads(m, f) if with_overheads else [])] for f, v in m["figures"].items()]
    lines = grid(head, rows)
    if m.get("extra"):
        lines = grid(["", *(label for _, label in others)],
                     [[row, *(number(v.get(n)) for n, _ in others)]
                      for row, v in m["extra"].items()]) + [""] + lines
    return "\n".join(lines) + "\n"


def aim(m, figure, aims):
    """(ratio to reach, why): what is asked for, and half of gVisor's overhead."""
    wanted = [(aims[figure], "")] if figure in aims else []
    for n, label in m["runtimes"]:
        r = ratio(m, figure, n) if n.startswith("gvisor") else None
        if r is not None and r >= MEASURABLE:
            wanted.append((1 + (r - 1) / 2, "½ " + label))
    return min(wanted) if wanted else None


def console(m, aims, first="figure"):
    """The table in columns, with aims beside it: * marks those that a platform of ours misses."""
    ours = [n for n, _ in m["runtimes"] if n.startswith("ours")]
    rows = [[first, "native", *(label + " ×" for _, label in m["runtimes"][1:]), "aim ×", ""]]
    for f, v in m["figures"].items():
        goal = aim(m, f, aims)
        row = [f, quantity(f, v.get("native"))]
        for n, _ in m["runtimes"][1:]:
            r = ratio(m, f, n)
            missed = n in ours and goal and r is not None and r > goal[0]
            row.append(times(r) + ("*" if missed else " "))
        rows.append(row + ([times(goal[0]), goal[1]] if goal else ["", ""]))
    if m.get("extra"):
        rows.append([""] * len(rows[0]))
        for f, v in m["extra"].items():
            rows.append([f, "", *(number(v.get(n)) + " " for n, _ in m["runtimes"][1:]), "", ""])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = []
    for r in rows:
        cells = [r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:-1], widths[1:])), r[-1]]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def read_aims(path, defaults):
    out = dict(defaults)
    if path:
        with open(path) as f:
            out.update((w[0], float(w[1])) for w in (l.split("#")[0].split() for l in f) if len(w) == 2)
    return out


# --- the plot ---

STYLE = """
.bg { fill: #ffffff } .text { fill: #1f2328 } .faint { fill: #59636e }
.grid { stroke: #d1d9e0 } .one { stroke: #59636e } .band { fill: #f6f8fa }
@media (prefers-color-scheme: dark) {
.bg { fill: #0d1117 } .text { fill: #f0f6fc } .faint { fill: #9198a1 }
.grid { stroke: #2a313c } .one { stroke: #9198a1 } .band { fill: #151b23 }
}
"""
FONT = 11
CHAR = 7.6  # width of a character, generously


def colours(m):
    spare = iter(OTHER_COLOURS * 9)
    return {n: COLOURS.get(n) or next(spare) for n, _ in m["runtimes"][1:]}


def ticks(low, high, width):
    """1, 2 and 5 of every decade, or fewer where labels would touch."""
    per_decade = width / math.log10(high / low)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        widest = len(f"{high:.0f}×") * CHAR + 6
        if per_decade * min(math.log10(b / a) for a, b in zip(steps, (*steps[1:], 10))) >= widest:
            break
    out = [s * 10.0 ** e for e in range(-4, 9) for s in steps]
    return [t for t in out if low * 0.999 <= t <= high * 1.001]


def bounds(ratios):
    """The decade-ish range that holds all of them and 1."""
    nice = [s * 10.0 ** e for e in range(-4, 9) for s in (1, 2, 5)]
    low, high = min([1, *ratios]), max([1, *ratios])
    return (max((n for n in nice if n < low * 0.97), default=nice[0]),
            min((n for n in nice if n > high * 1.03), default=nice[-1]))


class Canvas:
    def __init__(self):
        self.out = []

    def add(self, text):
        self.out.append(text)

    def text(self, x, y, s, kind="text", anchor="start"):
        self.add(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
                 f'{escape(s)}</text>')

    def rect(self, x, y, w, h, attributes, title=None):
        inner = f"><title>{escape(title)}</title></rect>" if title else "/>"
        self.add(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" {attributes}{inner}')

    def line(self, x1, y1, x2, y2, kind):
        self.add(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def legend(c, m, left, width, y):
    """Entries in as many lines as they need; returns the y below."""
    x = left
    for name, label in m["runtimes"][1:]:
        w = 16 + len(label) * CHAR + 14
        if x > left and x + w > left + width:
            x, y = left, y + 18
        c.rect(x, y - 8, 10, 8, f'fill="{colours(m)[name]}"')
        c.text(x + 15, y, label)
        x += w
    return y + 18


def svg(m, title):
    """Horizontal bars from 1× on a logarithmic axis, a lane for each runtime."""
    rows = [(f, [(n, ratio(m, f, n)) for n, _ in m["runtimes"][1:]]) for f in m["figures"]]
    low, high = bounds([r for _, v in rows for _, r in v if r])
    left = max([len(f) for f, _ in rows], default=0) * CHAR + 20
    plot, bar, pad = 600, 5, 4
    lanes = max(len(m["runtimes"]) - 1, 1)
    height = max(lanes * (bar + 1) + 2 * pad, FONT + 5)
    right = left + plot

    def at(v):
        return left + math.log10(v / low) / math.log10(high / low) * plot

    c = Canvas()
    c.text(12, 22, title)
    top = legend(c, m, 12, right, 44) + 18
    bottom = top + len(rows) * height
    for i in range(0, len(rows), 2):
        c.rect(12, top + i * height, right - 12, height, 'class="band"')
    for t in ticks(low, high, plot):
        c.line(at(t), top, at(t), bottom, "one" if abs(t - 1) < 1e-9 else "grid")
        for y in (top - 6, bottom + 15):
            c.text(at(t), y, f"{t:g}×", "faint", "middle")
    for i, (figure, values) in enumerate(rows):
        y = top + i * height
        c.text(left - 8, y + height / 2 + FONT * 0.35, figure, "text", "end")
        y += (height - lanes * (bar + 1)) / 2
        for lane, (name, r) in enumerate(values):
            if r:
                a, b = sorted((at(1), at(r)))
                # What equals native is a mark, not nothing.
                a, b = (a - 1, a + 1) if b - a < 2 else (a, b)
                label = dict(m["runtimes"])[name]
                c.rect(a, y + lane * (bar + 1), b - a, bar, f'fill="{colours(m)[name]}"',
                       f"{figure}, {label}: {times(r)}×")
    c.text((left + right) / 2, bottom + 33, "times slower than native (logarithmic)", "faint", "middle")
    w, h = right + 24, bottom + 46
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{w:.0f}" height="{h:.0f}" '
            f'viewBox="0 0 {w:.0f} {h:.0f}" font-family="sans-serif" font-size="{FONT}">\n'
            f'<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
            f'<rect class="bg" width="100%" height="100%"/>\n' + "\n".join(c.out) + "\n</svg>\n")


# --- files ---

def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def replace_block(text, marker, block):
    """text with what lies between <!-- marker --> and <!-- /marker --> replaced."""
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"no {start} ... {end}")
    return text[:text.index(start) + len(start)] + "\n" + block + text[text.index(end):]


def load(a):
    with open(a.load) as f:
        return json.load(f)


def deliver(m, a, name, title, defaults, first="figure", with_overheads=False):
    """Everything that the arguments ask for; the console always."""
    print(console(m, read_aims(a.aims, defaults), first))
    text = table(m, first, with_overheads)
    if a.save:
        write(a.save, json.dumps(m, indent=1) + "\n")
    if a.markdown:
        write(a.markdown, text)
    if a.svg:
        write(a.svg, svg(m, title))
    if a.readme:
        picture = f"docs/{name}.svg"
        write(f"{TOP}/{picture}", svg(m, title))
        with open(f"{TOP}/README.md") as f:
            old = f.read()
        write(f"{TOP}/README.md", replace_block(old, name, f"{text}\n![{title}]({picture})\n"))
