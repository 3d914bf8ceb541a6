#!/usr/bin/env python3
"""Stacks to folded text, a flame graph of one HTML file, and the frames that take most.

    perf script -F comm,ip,sym | tools/flame_graph.py --html flame.html --folded folded.txt

Reads perf script's output, or folded text (`a;b;c COUNT`). The page has its own small script:
click a frame to zoom, search to colour what matches. It reaches for nothing outside itself.
"""

import argparse
import html
import json
import pathlib
import re
import sys

_FRAME = re.compile(r"^\s+[0-9a-f]+ (.*)$")
_GDB_FRAME = re.compile(r"^#\d+\s+(?:0x[0-9a-f]+ in )?([^\n(]+?) ?\(")
_WAITING = re.compile(r"epoll_(p?wait|pwait2)|futex|pthread_cond|sem_wait|^p?poll$|nanosleep")
TOP = 10


def short(symbol):
    """A name that can be read: without offset, arguments and the insides of templates."""
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol.strip())
    symbol = symbol.replace("(anonymous namespace)::", "").replace("blixard::", "")
    symbol = re.sub(r" \[clone [^\]]*\]", "", symbol).replace("operator()", "operator ( )")
    # Innermost first: names of templates keep their heads.
    before = None
    while before != symbol:
        before = symbol
        symbol = re.sub(r"(?<!operator)(?<!<)<[^<>]*>", "", symbol)
    symbol = re.sub(r"\([^()]*\)(?: const)?(?:::.*)?$", "", symbol)
    words = symbol.split(" ")
    return (words[-1] if "operator" not in symbol else symbol) or symbol or "[unknown]"


def stacks_of_perf(lines):
    """{(outermost, ..., innermost): samples} of perf script's output."""
    stacks, comm, frames = {}, None, []

    def finish():
        if comm is not None and frames:
            stack = (comm, *reversed(frames))
            stacks[stack] = stacks.get(stack, 0) + 1

    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            finish()
            comm, frames = None, []
            continue
        found = _FRAME.match(line)
        if comm is None:
            comm = line.strip().split("  ")[0]
        elif found:
            frames.append(short(found[1]))
    finish()
    return stacks


def stacks_of_gdb(text):
    """Of `thread apply all bt`: one stack a thread that does not wait."""
    frames, stacks = [], []
    for line in [*text.splitlines(), "Thread"]:
        found = _GDB_FRAME.match(line)
        if found:
            frames.append(short(found[1]))
        elif line.startswith("Thread") and frames:
            if not _WAITING.search(frames[0]):
                stacks.append(tuple(reversed(frames)))
            frames = []
    return stacks


def stacks_of_folded(lines):
    stacks = {}
    for line in lines:
        names, _, count = line.strip().rpartition(" ")
        if names and count.isdigit():
            stack = tuple(names.split(";"))
            stacks[stack] = stacks.get(stack, 0) + int(count)
    return stacks


def folded(stacks):
    return "".join(f"{';'.join(name.replace(';', ',') for name in stack)} {count}\n"
                   for stack, count in sorted(stacks.items()))


def top(stacks, most=TOP):
    """[(name, self, with what it calls)], in parts of all samples, by self."""
    total = sum(stacks.values()) or 1
    own, whole = {}, {}
    for stack, count in stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + count
        for name in set(stack):
            whole[name] = whole.get(name, 0) + count
    ranked = sorted(own.items(), key=lambda entry: (-entry[1], entry[0]))[:most]
    return [(name, count / total, whole[name] / total) for name, count in ranked]


def top_text(stacks):
    lines = [f"{sum(stacks.values())} samples; the top {TOP} frames by themselves:"]
    lines += [f"  {100 * own:5.1f} %  (with what it calls {100 * whole:5.1f} %)  {name}"
              for name, own, whole in top(stacks)]
    return "\n".join(lines)


def tree(stacks):
    root = {"n": "all", "v": 0, "c": {}}
    for stack, count in stacks.items():
        node = root
        node["v"] += count
        for name in stack:
            node = node["c"].setdefault(name, {"n": name, "v": 0, "c": {}})
            node["v"] += count

    def plain(node):
        children = [plain(node["c"][name]) for name in sorted(node["c"])]
        return [node["n"], node["v"], children] if children else [node["n"], node["v"]]

    limit, sys_limit = 5000, sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, sys_limit))
    try:
        return plain(root)
    finally:
        sys.setrecursionlimit(sys_limit)


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>@TITLE@</title><style>
:root { --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --hit: #a371f7; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1;
  --line: #3d444d; --hit: #ab7df8; } }
body { background: var(--paper); color: var(--ink); font: 14px system-ui, sans-serif;
  margin: 16px; }
h1 { font-size: 20px; margin: 0 0 8px; }
#bar { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin-bottom: 8px; }
input, button { font: inherit; padding: 4px 8px; background: var(--paper); color: var(--ink);
  border: 1px solid var(--line); border-radius: 6px; }
#said { color: var(--soft); min-height: 1.4em; overflow-wrap: anywhere; }
#graph { width: 100%; } #graph rect { stroke: var(--paper); stroke-width: .5; cursor: pointer; }
#graph text { font: 11px ui-monospace, monospace; fill: #1b1f24; pointer-events: none; }
table { border-collapse: collapse; margin-top: 16px; font-variant-numeric: tabular-nums; }
td, th { padding: 2px 12px 2px 0; text-align: right; border-bottom: 1px solid var(--line); }
td:last-child, th:last-child { text-align: left; overflow-wrap: anywhere; }
</style><body><h1>@TITLE@</h1>
<div id="bar"><input id="search" type="search" placeholder="search a frame" aria-label="search">
<button id="whole">whole graph</button><span id="found"></span></div>
<svg id="graph" role="img" aria-label="flame graph"></svg><div id="said"></div>
<h2 style="font-size:16px">The frames with most samples of their own</h2>@TABLE@
<script>
const root = @TREE@, high = 18, svg = document.getElementById("graph");
let shown = root, trail = [], word = "";
const depth = n => 1 + Math.max(0, ...(n[2] || []).map(depth));
function colour(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) >>> 0;
  return `hsl(${18 + h % 38} ${75 + h % 20}% ${62 + (h >> 8) % 14}%)`;
}
function part(n) { return `${n[0]}: ${n[1]} samples, ${(100 * n[1] / root[1]).toFixed(2)} %`; }
function add(n, x, w, y, above) {
  if (w < 0.6) return;
  const r = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const hit = word && n[0].toLowerCase().includes(word);
  for (const [k, v] of Object.entries({ x, y, width: w, height: high - 1,
      fill: hit ? "var(--hit)" : colour(n[0]) })) r.setAttribute(k, v);
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = part(n);
  r.append(title);
  r.onclick = () => { shown = n; trail = above; draw(); };
  r.onmouseenter = () => { document.getElementById("said").textContent = part(n); };
  svg.append(r);
  if (w > 30) {
    const t = document.createElementNS("http://www.w3.org/2000/svg", "text");
    t.setAttribute("x", x + 3);
    t.setAttribute("y", y + 13);
    const room = Math.floor((w - 6) / 6.7);
    t.textContent = n[0].length > room ? n[0].slice(0, Math.max(room - 1, 0)) + "\\u2026" : n[0];
    svg.append(t);
  }
  let at = x;
  for (const c of n[2] || []) {
    const cw = w * c[1] / n[1];
    add(c, at, cw, y + high, [...above, n]);
    at += cw;
  }
}
function covered(n) {
  if (n[0].toLowerCase().includes(word)) return n[1];
  return (n[2] || []).reduce((sum, c) => sum + covered(c), 0);
}
function draw() {
  svg.replaceChildren();
  const width = Math.max(svg.clientWidth || 900, 300);
  svg.setAttribute("height", high * (trail.length + depth(shown)));
  trail.forEach((n, i) => add([n[0], n[1]], 0, width, i * high, trail.slice(0, i)));
  svg.querySelectorAll("rect").forEach((r, i) => r.onclick = () => {
    shown = trail[i]; trail = trail.slice(0, i); draw(); });
  add(shown, 0, width, trail.length * high, trail);
  document.getElementById("found").textContent =
    word ? `${(100 * covered(root) / root[1]).toFixed(2)} % of the samples` : "";
}
document.getElementById("search").oninput = e => { word = e.target.value.toLowerCase(); draw(); };
document.getElementById("whole").onclick = () => { shown = root; trail = []; draw(); };
window.onresize = draw;
draw();
</script></body></html>
"""


def page(stacks, title):
    rows = "".join(f"<tr><td>{100 * own:.1f} %</td><td>{100 * whole:.1f} %</td>"
                   f"<td>{html.escape(name)}</td></tr>" for name, own, whole in top(stacks))
    table = f"<table><tr><th>itself</th><th>with calls</th><th>frame</th></tr>{rows}</table>"
    # In a script nothing may end it.
    data = json.dumps(tree(stacks), separators=(",", ":")).replace("<", "\\u003c")
    return (_PAGE.replace("@TITLE@", html.escape(title)).replace("@TABLE@", table)
            .replace("@TREE@", data))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("input", nargs="?", type=pathlib.Path, help="default: what is piped in")
    parser.add_argument("--folded", type=pathlib.Path, help="write the stacks as folded text")
    parser.add_argument("--html", type=pathlib.Path, help="write the flame graph")
    parser.add_argument("--title", default="flame graph")
    options = parser.parse_args(arguments)
    text = options.input.read_text() if options.input else sys.stdin.read()
    lines = text.splitlines()
    is_folded = bool(lines) and bool(re.match(r"^\S.*;.* \d+$", lines[0]))
    stacks = (stacks_of_folded if is_folded else stacks_of_perf)(lines)
    if not stacks:
        print("no stack was read", file=sys.stderr)
        return 1
    if options.folded:
        options.folded.write_text(folded(stacks))
    if options.html:
        options.html.write_text(page(stacks, options.title))
    print(top_text(stacks))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
