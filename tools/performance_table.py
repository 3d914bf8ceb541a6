#!/usr/bin/env python3
"""The tables of docs/performance.md, from results of benchmarks and from test/perf/items.toml.

Between `<!-- begin: bench NAME -->` and `<!-- end: bench NAME -->` goes what build/bench/NAME.json
says, or the accepted result where nothing was measured here; between the markers `items` the
table of the items this project was founded on, S1-S57 and X1-X5. Each of them is in items.toml:

    [S5]
    title = "recording a metric copies no label"
    ends = "benchmark"                    # or "test", or "refusal": measured, and not needed
    bench = "metrics_recording"           # for a benchmark; checked to exist
    test = "src/x/y_test.cc:Suite.Name"   # for a test; in Python file:Class.test_name, or the file
                                          # of a program that its CMakeLists.txt runs as a test
    figures = ["metrics_recording: counter"]  # cases of results, "budget: NAME" for a line of
                                          # test/perf/budgets/budgets.txt
    says = "a sentence"                   # needed for a refusal; else what the figure does not say

`bench` and `test` may be lists. An item that is missing, a name that does not exist or a figure
that is unknown is an error.

--check writes nothing. It looks at the items and at the page, by what is accepted alone: whatever
was measured here does not matter to it. A benchmark of which no result is accepted yet is not
asked for its figures, only for its name; one that has a result must have them all, and the page
must say what the accepted results say. --accepted writes such a page.
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
PAGE = "docs/performance.md"
ACCEPTED = "test/perf/accepted"
# Rivals that so many cases share have a column each.
CASES_OF_A_TABLE = 2
# In what a result counts, and from where on it is told in something larger.
SCALES = {"us": (1e3, "ns"), "ms": (1e6, "ns")}
LARGER = {"ns": [(1e9, 1e9, "s"), (1e6, 1e6, "ms"), (1e3, 1e3, "us")],
          "/s": [(1e9, 1e9, "G/s"), (1e6, 1e6, "M/s"), (1e4, 1e3, "k/s")],
          "bytes": [(1 << 20, 1 << 20, "MiB"), (1e4, 1 << 10, "KiB")],
          "bytes/s": [(1 << 20, 1 << 20, "MiB/s"), (1e4, 1 << 10, "KiB/s")]}


def as_list(value):
    return [] if value is None else [value] if isinstance(value, str) else value


class Sources:
    """What the tables are made of; knows which names exist."""

    def __init__(self, root, accepted_only=False):
        self.root = root
        self.results = {}
        for folder in (ACCEPTED,) if accepted_only else (ACCEPTED, "build/bench"):
            for path in sorted((root / folder).glob("*.json")):
                self.results[path.stem] = json.loads(path.read_text())
        budgets = root / BUDGETS
        self.budgets = read_budgets(budgets.read_text()) if budgets.exists() else {}
        self.benches = set()
        for path in sorted((root / "test/perf").rglob("CMakeLists.txt")):
            self.benches.update(re.findall(r"^\s*blx_bench\((\w+)", path.read_text(), re.M))

    def has_test(self, where):
        """`where` is FILE:Suite.Name, of C++ or of Python, or the FILE of a program."""
        file, colon, name = where.partition(":")
        path = self.root / file
        if not path.is_file():
            return False
        if not colon:
            lists = path.parent / "CMakeLists.txt"
            return lists.is_file() and bool(
                re.search(rf"\badd_test\([^)]*/{re.escape(path.name)}\b", lists.read_text()))
        suite, _, case = name.partition(".")
        if not suite or not case:
            return False
        text = source_tree.read(path)
        if path.suffix == ".py":
            return bool(re.search(rf"\bclass {re.escape(suite)}\b", text)
                        and re.search(rf"\bdef {re.escape(case)}\(", text))
        return bool(re.search(rf"\b\w*(TEST|PROP)\w*\(\s*{re.escape(suite)},\s*{re.escape(case)}\b",
                              text))

    def is_of_a_benchmark(self, result):
        """A benchmark may have several results: load and load_10000."""
        return any(result == bench or result.startswith(f"{bench}_") for bench in self.benches)

    def awaited(self, figure):
        """Whether nothing of its benchmark is known yet."""
        source = figure.partition(": ")[0]
        return source not in self.results and self.is_of_a_benchmark(source)

    def figure(self, name, beside=None):
        """The text of a figure, or None; the benchmark it is of is said unless it is `beside`."""
        source, _, wanted = name.partition(": ")
        if source == "budget":
            allocations = self.budgets.get(wanted)
            return None if allocations is None else f"`{wanted}`: {count_text(allocations)}"
        result = self.results.get(source)
        if result is None:
            return None
        before = "" if source == beside else f"{source}: "
        return next((before + case_text(case) for case in result["cases"]
                     if case["name"] == wanted), None)


def number(value):
    if value == 0:
        return "0"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    if abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def quantity(value, unit):
    """With the unit in which the number is short."""
    scale, base = SCALES.get(unit, (1, unit))
    for least, factor, larger in LARGER.get(base, []):
        if abs(value * scale) >= least:
            return f"{number(value * scale / factor)} {larger}"
    return f"{number(value)} {unit}".rstrip()


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


def target_text(case):
    if "target" not in case:
        return ""
    return f"{case['target']}: {'met' if case['met'] else '**missed**'}"


def rival_text(case, rival):
    ratio = case.get("ratios", {}).get(rival)
    text = f"{rival} {quantity(case['baselines'][rival], case['unit'])}"
    return text if ratio is None else f"{text} ({number(ratio)}x)"


def case_text(case):
    parts = [f"*{case['name']}* {quantity(case['value'], case['unit'])}"]
    if case.get("allocations") is not None:
        parts.append(count_text(case["allocations"]))
    text = ", ".join(parts)
    rivals = ", ".join(rival_text(case, rival) for rival in rivals_of(case))
    if rivals:
        text += f"; {rivals}"
    if "target" in case:
        text += " (target met)" if case["met"] else f" (**target missed**: {case['target']})"
    return text


def rivals_of(case):
    return tuple(case.get("baselines", {}))


def problems(items, sources, awaits=False):
    """What is wrong with the items, one line each; `awaits`: figures may still be measured."""
    for item in ITEMS:
        if item not in items:
            yield f"{item}: it is missing"
    for item, row in items.items():
        if item in ITEMS:
            yield from row_problems(item, row, sources, awaits)
        else:
            yield f"{item}: there is no such item"


def row_problems(item, row, sources, awaits):
    for key in row.keys() - KEYS:
        yield f"{item}: '{key}' is not understood"
    if not row.get("title"):
        yield f"{item}: it has no title"
    benches, tests, ends = as_list(row.get("bench")), as_list(row.get("test")), row.get("ends")
    if ends not in ENDS:
        yield f"{item}: it ends neither as a test nor as a benchmark nor as a refusal"
    if ends == "benchmark" and not benches:
        yield f"{item}: it names no benchmark"
    if ends == "test" and not tests:
        yield f"{item}: it names no test"
    if ends == "refusal" and not row.get("says"):
        yield f"{item}: a refusal says why"
    if ends == "refusal" and not benches and not tests:
        yield f"{item}: a refusal names what measured it"
    for bench in benches:
        if bench not in sources.benches:
            yield f"{item}: there is no benchmark {bench}"
    for test in tests:
        if not sources.has_test(test):
            yield f"{item}: there is no test {test}"
    if not row.get("figures") and not row.get("says"):
        yield f"{item}: it has no figure"
    for figure in row.get("figures", []):
        if sources.figure(figure) is None and not (awaits and sources.awaited(figure)):
            yield f"{item}: the figure '{figure}' is unknown"


def items_table(items, sources):
    lines = ["| item | what | ends as | figures |", "|---|---|---|---|"]
    for item in ITEMS:
        row = items[item]
        benches = as_list(row.get("bench"))
        where = [f"`./do bench {bench}`" for bench in benches]
        for test in as_list(row.get("test")):
            file, _, name = test.partition(":")
            where.append(f"[{name or pathlib.PurePath(file).name}](../{file})")
        said = [sources.figure(figure, benches[0] if benches else None)
                for figure in row.get("figures", [])]
        if row.get("says"):
            said.append(row["says"])
        lines.append(f"| {item} | {row['title']} | **{row['ends']}**<br>{'<br>'.join(where)} "
                     f"| {'<br>'.join(said)} |")
    return "\n".join(lines)


def table_with_columns(cases):
    """Of cases that have the same rivals."""
    rivals = rivals_of(cases[0])
    counted = any(case.get("allocations") is not None for case in cases)
    aimed = any("target" in case for case in cases)
    heads = ["case", "Blixard", *(["allocations"] if counted else []), *rivals,
             *(["target"] if aimed else [])]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for case in cases:
        cells = [case["name"], quantity(case["value"], case["unit"])]
        if counted:
            count = case.get("allocations")
            cells.append("" if count is None else f"{round(count, 3):g}")
        cells += [rival_text(case, rival).removeprefix(f"{rival} ") for rival in rivals]
        if aimed:
            cells.append(target_text(case))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table_of_others(cases):
    lines = ["| case | Blixard | allocations | beside it | target |", "|---|---|---|---|---|"]
    for case in cases:
        count = case.get("allocations")
        rivals = ", ".join(rival_text(case, rival) for rival in rivals_of(case))
        lines.append(f"| {case['name']} | {quantity(case['value'], case['unit'])} "
                     f"| {'' if count is None else f'{round(count, 3):g}'} | {rivals} "
                     f"| {target_text(case)} |")
    return lines


def operations_table(operations):
    keys = ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")
    lines = ["| operation | done | failed | p50 | p95 | p99 | p99.9 | longest |",
             "|---|---|---|---|---|---|---|---|"]
    for name, row in operations.items():
        times = " | ".join(f"{row[key] / 1000:.2f} ms" for key in keys)
        lines.append(f"| {name} | {row['done']:,} | {row['failed']:,} | {times} |")
    return lines


def bench_table(result):
    """Of one result; `page` in it is a table that the benchmark made itself."""
    if "page" in result:
        return result["page"]
    by_rivals = {}
    for case in result["cases"]:
        by_rivals.setdefault(rivals_of(case), []).append(case)
    large = [cases for cases in by_rivals.values() if len(cases) >= CASES_OF_A_TABLE]
    others = [case for case in result["cases"]
              if len(by_rivals[rivals_of(case)]) < CASES_OF_A_TABLE]
    tables = [table_with_columns(cases) for cases in large]
    if others:
        tables.append(table_of_others(others) if len(by_rivals) > 1 else table_with_columns(others))
    if "operations" in result:
        tables.append(operations_table(result["operations"]))
    rounds = f"Medians of {result['rounds']} rounds; " if result["rounds"] > 1 else ""
    return "\n\n".join("\n".join(table) for table in tables) + f"\n\n{rounds}{result['machine']}."


def filled(page, name, table):
    """`page` with `table` between the markers `name`; as it is where it has none."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    if begin not in page or end not in page:
        return page
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{table}\n{end}{tail}"


def page_problems(page, items, sources):
    """Where the page is not what the accepted results say; of a page whose items have no fault."""
    for bench in sorted(sources.benches):
        if f"<!-- begin: bench {bench} -->" not in page:
            yield f"there is no place for the table of {bench}"
    stale = [name for name, result in sources.results.items()
             if filled(page, f"bench {name}", bench_table(result)) != page]
    is_measured = not list(problems(items, sources))
    if is_measured and filled(page, "items", items_table(items, sources)) != page:
        stale.append("the items")
    for name in stale:
        yield (f"the table of {name} is not what is accepted "
               "(tools/performance_table.py --accepted writes it)")


def check(root, items, sources):
    found = [f"test/perf/items.toml: {line}" for line in problems(items, sources, awaits=True)]
    if not found:
        page = (root / PAGE).read_text()
        found += [f"{PAGE}: {line}" for line in page_problems(page, items, sources)]
    for line in found:
        print(line)
    awaited = [figure for row in items.values() for figure in row.get("figures", [])
               if sources.awaited(figure)]
    print(f"items: {len(items)} of {len(ITEMS)}, {len(found)} problems" +
          (f", {len(awaited)} figures of which nothing is accepted yet" if awaited else ""))
    return int(bool(found))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--check", action="store_true",
                        help="write nothing, say what is wrong with items and page")
    parser.add_argument("--accepted", action="store_true",
                        help="leave out what was measured here and is not accepted")
    options = parser.parse_args(arguments)
    sources = Sources(options.root, options.check or options.accepted)
    items = tomllib.loads((options.root / "test/perf/items.toml").read_text())
    if options.check:
        return check(options.root, items, sources)
    found = list(problems(items, sources))
    for line in found:
        print(f"test/perf/items.toml: {line}")
    path = options.root / PAGE
    page = path.read_text()
    for name, result in sources.results.items():
        page = filled(page, f"bench {name}", bench_table(result))
    if not found:
        page = filled(page, "items", items_table(items, sources))
    path.write_text(page)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
