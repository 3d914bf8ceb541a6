#!/usr/bin/env python3
"""The tables of docs/performance.md, from results of benchmarks and from test/perf/items.toml.

Between `<!-- begin: bench NAME -->` and `<!-- end: bench NAME -->` goes what build/bench/NAME.json
says, or the accepted result where nothing was measured here; between the markers `items` the
table of the items this project was founded on, S1-S57 and X1-X5. Each of them is in items.toml:

    [S5]
    title = "recording a metric copies no label"
    ends = "benchmark"                    # or "test", or "refusal": measured, and not needed
    bench = "metrics_recording"           # for a benchmark; checked to exist
    test = "src/x/y_test.cc:Suite.Name"   # for a test; in Python file:Class.test_name
    figures = ["metrics_recording: counter"]  # cases of results, "budget: NAME" for a line of
                                          # test/perf/budgets/budgets.txt
    says = "a sentence"                   # needed for a refusal; else what the figure does not say

An item that is missing, a name that does not exist or a figure that is unknown is an error.
--check writes nothing: it looks at the items alone.
"""

import argparse
import json
import pathlib
import re
import sys
import tomllib

import source_tree

ITEMS = [f"S{number}" for number in range(1, 58)] + [f"X{number}" for number in range(1, 6)]
KEYS = {"title", "ends", "bench", "test", "figures", "says"}
ENDS = {"test", "benchmark", "refusal"}
BUDGETS = "test/perf/budgets/budgets.txt"


class Sources:
    """What the tables are made of; knows which names exist."""

    def __init__(self, root):
        self.root = root
        self.results = {}
        for folder in ("test/perf/accepted", "build/bench"):
            for path in sorted((root / folder).glob("*.json")):
                self.results[path.stem] = json.loads(path.read_text())
        budgets = root / BUDGETS
        self.budgets = read_budgets(budgets.read_text()) if budgets.exists() else {}
        self.benches = set()
        for path in sorted((root / "test/perf").rglob("CMakeLists.txt")):
            self.benches.update(re.findall(r"\bblx_bench\((\w+)\b(?!\s*cmake)", path.read_text()))
        self.benches.discard("name")

    def has_test(self, where):
        """`where` is FILE:Suite.Name; of C++, or of Python as Class.test_name."""
        file, _, name = where.partition(":")
        path = self.root / file
        suite, _, case = name.partition(".")
        if not path.is_file() or not suite or not case:
            return False
        text = source_tree.read(path)
        if path.suffix == ".py":
            return bool(re.search(rf"\bclass {re.escape(suite)}\b", text)
                        and re.search(rf"\bdef {re.escape(case)}\(", text))
        return bool(re.search(rf"\b\w*(TEST|PROP)\w*\(\s*{re.escape(suite)},\s*{re.escape(case)}\b",
                              text))

    def figure(self, name):
        """The text of a figure, or None."""
        source, _, wanted = name.partition(": ")
        if source == "budget":
            allocations = self.budgets.get(wanted)
            return None if allocations is None else f"{wanted}: {count_text(allocations)}"
        result = self.results.get(source)
        if result is None:
            return None
        return next((case_text(case) for case in result["cases"] if case["name"] == wanted), None)


def number(value):
    if value == 0:
        return "0"
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def count_text(allocations):
    return f"{round(allocations, 3):g} allocation{'' if allocations == 1 else 's'}"


def read_budgets(text):
    """Allocations of one run of each operation; a line is `operation runs allocations bytes`."""
    budgets = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and not line.startswith("#"):
            budgets[words[0]] = int(words[2]) / int(words[1])
    return budgets


def case_text(case):
    parts = [f"{case['name']}: {number(case['value'])} {case['unit']}"]
    if case.get("allocations") is not None:
        parts.append(count_text(case["allocations"]))
    text = ", ".join(parts)
    for rival, ratio in case.get("ratios", {}).items():
        text += f"; {number(ratio)}x {rival}"
    if "target" in case:
        text += f" (target {case['target']}: {'met' if case['met'] else 'missed'})"
    return text


def problems(items, sources, with_figures=True):
    """What is wrong with the items, one line each."""
    for item in ITEMS:
        if item not in items:
            yield f"{item}: it is missing"
    for item, row in items.items():
        if item not in ITEMS:
            yield f"{item}: there is no such item"
            continue
        for key in row.keys() - KEYS:
            yield f"{item}: '{key}' is not understood"
        if not row.get("title"):
            yield f"{item}: it has no title"
        ends = row.get("ends")
        if ends not in ENDS:
            yield f"{item}: it ends neither as a test nor as a benchmark nor as a refusal"
        if ends == "benchmark" and row.get("bench") is None:
            yield f"{item}: it names no benchmark"
        if ends == "test" and row.get("test") is None:
            yield f"{item}: it names no test"
        if ends == "refusal" and not row.get("says"):
            yield f"{item}: a refusal says why"
        if ends == "refusal" and row.get("bench") is None and row.get("test") is None:
            yield f"{item}: a refusal names what measured it"
        if row.get("bench") is not None and row["bench"] not in sources.benches:
            yield f"{item}: there is no benchmark {row['bench']}"
        if row.get("test") is not None and not sources.has_test(row["test"]):
            yield f"{item}: there is no test {row['test']}"
        if not row.get("figures") and not row.get("says"):
            yield f"{item}: it has no figure"
        for figure in row.get("figures", []) if with_figures else []:
            if sources.figure(figure) is None:
                yield f"{item}: the figure '{figure}' is unknown"


def items_table(items, sources):
    lines = ["| item | what | ends as | figure |", "|---|---|---|---|"]
    for item in ITEMS:
        row = items[item]
        where = []
        if row.get("bench"):
            where.append(f"`./do bench {row['bench']}`")
        if row.get("test"):
            file, _, name = row["test"].partition(":")
            where.append(f"`{name}` in `{file}`")
        said = [sources.figure(figure) for figure in row.get("figures", [])]
        if row.get("says"):
            said.append(row["says"])
        lines.append(f"| {item} | {row['title']} | {row['ends']}: {', '.join(where)} "
                     f"| {'. '.join(said)} |")
    return "\n".join(lines)


def bench_table(result):
    """Of one result; `page` in it is a table that the benchmark made itself."""
    if "page" in result:
        return result["page"]
    lines = ["| case | value | allocations | rivals | target |", "|---|---|---|---|---|"]
    for case in result["cases"]:
        count = case.get("allocations")
        rivals = ", ".join(
            f"{name} {number(value)} {case['unit']}" +
            (f" ({number(case['ratios'][name])}x)" if name in case.get("ratios", {}) else "")
            for name, value in case.get("baselines", {}).items())
        target = f"{case['target']}: {'met' if case['met'] else '**missed**'}" \
            if "target" in case else ""
        lines.append(f"| {case['name']} | {number(case['value'])} {case['unit']} "
                     f"| {'' if count is None else f'{count:g}'} | {rivals} | {target} |")
    lines += ["", f"Medians of {result['rounds']} rounds; {result['machine']}."]
    return "\n".join(lines)


def filled(page, name, table):
    """`page` with `table` between the markers `name`; as it is where it has none."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    if begin not in page or end not in page:
        return page
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{table}\n{end}{tail}"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--check", action="store_true", help="look at the items, write nothing")
    options = parser.parse_args(arguments)
    sources = Sources(options.root)
    items = tomllib.loads((options.root / "test/perf/items.toml").read_text())
    found = list(problems(items, sources))
    for line in found:
        print(f"test/perf/items.toml: {line}")
    if options.check or found:
        print(f"items: {len(items)} of {len(ITEMS)}, {len(found)} problems")
    if options.check:
        return int(bool(found))
    path = options.root / "docs/performance.md"
    page = path.read_text()
    for name, result in sources.results.items():
        page = filled(page, f"bench {name}", bench_table(result))
    if not found:
        page = filled(page, "items", items_table(items, sources))
    path.write_text(page)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
