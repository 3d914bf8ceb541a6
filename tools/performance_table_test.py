#!/usr/bin/env python3
"""Tests of performance_table.py."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import performance_table

CASE = {"name": "counter", "value": 1.25, "unit": "ns", "allocations": 0,
        "baselines": {"rival": 12.5}, "ratios": {"rival": 10.0}, "target": "<= 1.5 ns",
        "met": True, "items": ["S5"]}
ROW = {"title": "a counter", "ends": "benchmark", "bench": "metrics_recording",
       "figures": ["metrics_recording: counter"]}


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("test/perf/metrics_recording/CMakeLists.txt",
                   "blx_bench(metrics_recording SOURCES main.cc)\n")
        self.write("test/perf/report/CMakeLists.txt", "# blx_bench(NAME SOURCES files...)\n"
                   "function(blx_bench name)\n")
        self.result(CASE)
        self.write("test/perf/budgets/budgets.txt",
                   "# operation runs allocations bytes\nproposal 500 2250 9\nvm.get 1000 1000 8\n")
        self.write("src/x/x_test.cc", "TEST(Suite, Name) {}\nTEST_P(Other, Each) {}\n")
        self.write("tools/y_test.py", "class Y:\n    def test_it(self):\n")
        self.write("test/z/size.py", "")
        self.write("test/z/CMakeLists.txt",
                   "add_test(NAME z/size\n  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/size.py)\n")
        self.write("test/z/other.py", "")

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def result(self, *cases, where="build/bench", **more):
        self.write(f"{where}/metrics_recording.json",
                   json.dumps({"bench": "metrics_recording", "rounds": 5, "machine": "two CPUs",
                               "cases": cases, **more}))

    def sources(self):
        return performance_table.Sources(self.root)

    def problems_of(self, **row):
        """Of one row; the others are as they should be."""
        items = {item: ROW for item in performance_table.ITEMS} | {"S5": row}
        return list(performance_table.problems(items, self.sources()))


class Items(Tree):
    def test_a_row_that_is_complete_has_no_problem(self):
        self.assertEqual(self.problems_of(**ROW), [])
        self.assertEqual(self.problems_of(title="a", ends="test", test="src/x/x_test.cc:Suite.Name",
                                          figures=["budget: proposal"]), [])
        self.assertEqual(self.problems_of(title="a", ends="refusal", says="0.1 % of the time",
                                          test="tools/y_test.py:Y.test_it"), [])
        self.assertEqual(self.problems_of(title="a", ends="test", says="so", test="test/z/size.py"),
                         [])

    def test_there_may_be_several_of_each(self):
        row = ROW | {"bench": ["metrics_recording", "other"],
                     "test": ["src/x/x_test.cc:Suite.Name", "src/x/x_test.cc:Suite.Other"]}
        self.assertEqual(self.problems_of(**row),
                         ["S5: there is no benchmark other",
                          "S5: there is no test src/x/x_test.cc:Suite.Other"])

    def test_every_item_is_there(self):
        found = list(performance_table.problems({"S5": ROW}, self.sources()))
        self.assertEqual(len(found), 61)
        self.assertIn("X5: it is missing", found)

    def test_an_item_that_nobody_asked_for(self):
        items = {item: ROW for item in performance_table.ITEMS} | {"S58": ROW}
        self.assertEqual(list(performance_table.problems(items, self.sources())),
                         ["S58: there is no such item"])

    def test_names_are_checked_to_exist(self):
        self.assertEqual(self.problems_of(**ROW | {"bench": "name"}),
                         ["S5: there is no benchmark name"])
        for test in ("src/x/x_test.cc:Suite.Names", "src/x/z_test.cc:Suite.Name", "src/x/x_test.cc",
                     "src/x/x_test.cc:Other.Name", "test/z/other.py",
                     "tools/y_test.py:Y.test_other"):
            self.assertEqual(
                self.problems_of(title="a", ends="test", test=test, says="so"),
                [f"S5: there is no test {test}"])

    def test_a_figure_that_is_unknown(self):
        for figure in ("metrics_recording: gauge", "other: counter", "budget: read"):
            self.assertEqual(self.problems_of(**ROW | {"figures": [figure]}),
                             [f"S5: the figure '{figure}' is unknown"])

    def test_a_row_without_end_or_figure(self):
        self.assertEqual(len(self.problems_of(title="a", ends="benchmark")), 2)
        self.assertEqual(len(self.problems_of(**ROW | {"ends": "claimed"})), 1)
        self.assertEqual(len(self.problems_of(title="a", ends="refusal")), 3)
        self.assertEqual(self.problems_of(**ROW | {"heading": "x"}),
                         ["S5: 'heading' is not understood"])

    def test_the_table_says_where_each_figure_is_from(self):
        items = {item: ROW for item in performance_table.ITEMS}
        items["S6"] = {"title": "a budget", "ends": "test", "test": "src/x/x_test.cc:Other.Each",
                       "figures": [*ROW["figures"], "budget: vm.get"], "says": "Exact."}
        lines = performance_table.items_table(items, self.sources()).splitlines()
        self.assertEqual(lines[6], "| S5 | a counter | **benchmark**<br>`./do bench "
                         "metrics_recording` | *counter* 1.25 ns, 0 allocations; rival 12.5 ns "
                         "(10.0x) (target met) |")
        self.assertEqual(lines[7], "| S6 | a budget | **test**<br>"
                         "[Other.Each](../src/x/x_test.cc) | metrics_recording: *counter* 1.25 ns, "
                         "0 allocations; rival 12.5 ns (10.0x) (target met)"
                         "<br>`vm.get`: 1 allocation<br>Exact. |")


class Tables(unittest.TestCase):
    def test_numbers_are_told_in_the_unit_that_keeps_them_short(self):
        for value, unit, text in (
                (1.5, "ns", "1.50 ns"), (4321, "ns", "4.32 us"), (4321, "us", "4.32 ms"),
                (0.25, "us", "0.25 us"), (1854, "/s", "1,854 /s"), (76927, "/s", "76.9 k/s"),
                (2.5e9, "/s", "2.50 G/s"), (3 << 20, "bytes", "3.00 MiB"), (0, "", "0"),
                (0.00042, "s/s", "0.00042 s/s"), (99.5, "%", "99.5 %")):
            self.assertEqual(performance_table.quantity(value, unit), text)

    def test_rivals_of_many_cases_have_columns(self):
        other = {"name": "alone", "value": 3.0, "unit": "us"}
        result = {"rounds": 5, "machine": "two CPUs", "cases": [
            CASE | {"name": "a"}, other, CASE | {"name": "b", "ratios": {}}, CASE | {"name": "c"}]}
        self.assertEqual(performance_table.bench_table(result).splitlines(), [
            "| case | Blixard | allocations | rival | target |",
            "|---|---|---|---|---|",
            "| a | 1.25 ns | 0 | 12.5 ns (10.0x) | <= 1.5 ns: met |",
            "| b | 1.25 ns | 0 | 12.5 ns | <= 1.5 ns: met |",
            "| c | 1.25 ns | 0 | 12.5 ns (10.0x) | <= 1.5 ns: met |",
            "",
            "| case | Blixard | allocations | beside it | target |",
            "|---|---|---|---|---|",
            "| alone | 3.00 us |  |  |  |",
            "",
            "Medians of 5 rounds; two CPUs."])

    def test_operations_have_a_table_of_their_own(self):
        result = {"rounds": 1, "machine": "two CPUs", "cases": [], "operations": {
            "get": {"done": 1000, "failed": 0, "p50_us": 700.0, "p95_us": 1000.0, "p99_us": 2000.0,
                    "p999_us": 3000.0, "max_us": 4000.0}}}
        self.assertEqual(
            performance_table.bench_table(result).splitlines()[2:],
            ["| get | 1,000 | 0 | 0.70 ms | 1.00 ms | 2.00 ms | 3.00 ms | 4.00 ms |", "",
             "two CPUs."])


class Pages(Tree):
    def setUp(self):
        super().setUp()
        self.write("docs/performance.md", "before\n<!-- begin: bench metrics_recording -->\nold\n"
                   "<!-- end: bench metrics_recording -->\nbetween\n<!-- begin: items -->\n"
                   "<!-- end: items -->\nafter\n")
        self.items({item: ROW for item in performance_table.ITEMS})

    def items(self, items):
        self.write("test/perf/items.toml", "".join(
            f"[{item}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items())
            for item, row in items.items()))

    def run_with(self, *options):
        with contextlib.redirect_stdout(io.StringIO()):
            return performance_table.main(["--root", str(self.root), *options])

    def page(self):
        return (self.root / "docs/performance.md").read_text()

    def test_tables_go_between_their_markers_and_the_rest_stays(self):
        self.assertEqual(self.run_with(), 0)
        page = self.page()
        self.assertTrue(
            page.startswith("before\n<!-- begin: bench metrics_recording -->\n| case |"))
        self.assertNotIn("old", page)
        self.assertIn("| counter | 1.25 ns | 0 | 12.5 ns (10.0x) | <= 1.5 ns: met |", page)
        self.assertEqual(page.count("./do bench metrics_recording"), 62)
        self.assertTrue(page.endswith("<!-- end: items -->\nafter\n"))
        self.assertEqual(self.run_with(), 0)
        self.assertEqual(self.page(), page)

    def test_what_was_measured_here_goes_before_what_was_accepted(self):
        self.result(CASE | {"value": 99.0}, where="test/perf/accepted")
        self.run_with()
        self.assertIn("1.25 ns", self.page())
        (self.root / "build/bench/metrics_recording.json").unlink()
        self.run_with()
        self.assertIn("99.0 ns", self.page())

    def test_a_table_that_the_benchmark_made_itself(self):
        self.result(CASE, page="| my own |")
        self.run_with()
        self.assertIn("| my own |\n<!-- end: bench metrics_recording -->", self.page())

    def test_with_a_problem_the_items_stay_as_they_are(self):
        self.items({"S5": ROW})
        before = self.page()
        self.assertEqual(self.run_with("--check"), 1)
        self.assertEqual(self.page(), before)
        self.assertEqual(self.run_with(), 1)
        self.assertTrue(self.page().endswith("<!-- begin: items -->\n<!-- end: items -->\nafter\n"))

    def test_what_was_measured_here_does_not_matter_to_a_check(self):
        # Nothing is accepted yet: names are asked for, figures are not.
        self.assertEqual(self.run_with("--check"), 0)
        self.result(CASE | {"name": "gauge"}, where="test/perf/accepted")
        self.assertEqual(self.run_with("--check"), 1)
        self.items({item: ROW | {"figures": ["metrics: counter"]}
                    for item in performance_table.ITEMS})
        (self.root / "test/perf/accepted/metrics_recording.json").unlink()
        self.assertEqual(self.run_with("--check"), 1)

    def test_the_page_must_be_that_of_what_is_accepted(self):
        self.result(CASE | {"value": 99.0}, where="test/perf/accepted")
        self.assertEqual(self.run_with("--check"), 1)
        self.assertEqual(self.run_with("--accepted"), 0)
        self.assertIn("99.0 ns", self.page())
        self.assertEqual(self.run_with("--check"), 0)
        self.write("test/perf/budgets/budgets.txt", "vm.get 1000 2000 8\n")
        self.assertEqual(self.run_with("--check"), 0)
        self.items({item: ROW | {"figures": ["budget: vm.get"]}
                    for item in performance_table.ITEMS})
        self.assertEqual(self.run_with("--check"), 1)

    def test_every_benchmark_has_its_place_in_the_page(self):
        self.write("test/perf/x/CMakeLists.txt", "blx_bench(x SOURCES main.cc)\n")
        self.assertEqual(self.run_with("--check"), 1)


if __name__ == "__main__":
    unittest.main()
