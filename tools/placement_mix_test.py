#!/usr/bin/env python3
"""placement_mix.py: the same bytes by a seed, the shares of the table, and what it refuses."""

import collections
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import placement_mix

TINY = """
[mixes]
both = { none = 1, one = 3 }
[specs]
single = [["T4", 1]]
several = [["T4", 1]]
[fleets.gpu]
classes = [[1000, 1024, 2, "T4", 2], [2000, 2048, 0, "", 1]]
[kinds.none]
shapes = [[500, 512, 0, 0, 1]]
[kinds.one]
shapes = [[1000, 1024, 1, 1000, 1]]
"""
NODES = "sn,cpu_milli,memory_mib,gpu,model\na,1000,1024,2,T4\nb,1000,1024,0,\n"
REQUESTS = ("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"
            "p0,100,10,1,500,,LS\np1,200,20,0,0,,BE\np2,300,30,1,1000,T4|P100,LS\n")


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def run_tool(self, *arguments):
        """Exit code, lines written, what was said."""
        out, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = placement_mix.main(list(arguments))
        return code, out.getvalue().splitlines(), said.getvalue()

    def rows(self, *arguments):
        code, lines, said = self.run_tool(*arguments)
        self.assertEqual((code, said), (0, ""))
        return [line.split(",") for line in lines]

    def refused(self, why, *arguments):
        code, lines, said = self.run_tool(*arguments)
        self.assertEqual((code, lines), (2, []))
        self.assertIn(why, said)


class Drawn(Folder):
    def test_the_same_seed_gives_the_same_and_another_does_not(self):
        for words in (["nodes", "--nodes", "50"],
                      ["requests", "--count", "50", "--mix", "multi-gpu"],
                      ["bins", "--count", "50", "--distribution", "weibull"]):
            first = self.run_tool(*words, "--seed", "1")
            self.assertEqual(first, self.run_tool(*words, "--seed", "1"))
            self.assertNotEqual(first, self.run_tool(*words, "--seed", "2"))

    def test_nodes_are_as_many_as_asked_and_their_classes_by_share(self):
        table = self.file("mix.toml", TINY)
        for count, with_gpu in ((1, 1), (2, 1), (3, 2), (300, 200), (301, 201)):
            rows = self.rows("--table", table, "nodes", "--nodes", str(count), "--seed", "1")
            self.assertEqual(rows[0], placement_mix.NODE_COLUMNS)
            self.assertEqual(len({row[0] for row in rows[1:]}), count)
            self.assertEqual(sum(row[3] == "2" for row in rows[1:]), with_gpu)

    def test_nodes_of_the_table_have_the_gpus_of_the_trace(self):
        rows = self.rows("nodes", "--nodes", "1213", "--seed", "1")[1:]
        self.assertAlmostEqual(sum(int(row[3]) for row in rows), 6212, delta=30)

    def test_requests_come_by_the_shares_of_the_mix(self):
        rows = self.rows("requests", "--count", "20000", "--seed", "1", "--mix", "gpu-sharing")[1:]
        kinds = collections.Counter((row[3], row[4] == "1000") for row in rows)
        for kind, share in ((("0", False), 0.133), (("1", False), 0.378), (("1", True), 0.48)):
            self.assertAlmostEqual(kinds[kind] / 20000, share, delta=0.012)

    def test_a_model_is_asked_for_only_with_a_gpu_and_as_often_as_said(self):
        rows = self.rows("requests", "--count", "20000", "--seed", "1", "--mix", "multi-gpu",
                         "--spec-percent", "33")[1:]
        self.assertFalse([row for row in rows if row[3] == "0" and row[5]])
        gpus = [row for row in rows if row[3] != "0"]
        self.assertAlmostEqual(sum(bool(row[5]) for row in gpus) / len(gpus), 0.33, delta=0.02)

    def test_flavors_are_sixteen_and_have_no_gpu(self):
        rows = self.rows("requests", "--count", "20000", "--seed", "1", "--mix", "flavors")[1:]
        self.assertEqual(len({tuple(row[1:3]) for row in rows}), 16)
        self.assertEqual({row[3] for row in rows}, {"0"})

    def test_items_are_in_their_range_and_of_their_mean(self):
        for distribution, least, most, mean in (("uniform", 20, 100, 60),
                                                ("weibull", 1, 100, 39.7)):
            sizes = [int(row[0]) for row in self.rows(
                "bins", "--distribution", distribution, "--count", "20000", "--seed", "1")]
            self.assertGreaterEqual(min(sizes), least)
            self.assertLessEqual(max(sizes), most)
            self.assertAlmostEqual(sum(sizes) / len(sizes), mean, delta=0.6)


class FromAFile(Folder):
    def setUp(self):
        super().setUp()
        self.requests = self.file("requests.csv", REQUESTS)
        self.nodes = self.file("nodes.csv", NODES)

    def test_resampled_are_rows_of_the_file_under_new_names(self):
        rows = self.rows("resample", "--requests", self.requests, "--count", "500", "--seed", "1")
        self.assertEqual(rows[0], placement_mix.REQUEST_COLUMNS)
        known = {tuple(line.split(",")[1:6]) for line in REQUESTS.splitlines()[1:]}
        self.assertEqual({tuple(row[1:]) for row in rows[1:]}, known)
        self.assertEqual(len({row[0] for row in rows[1:]}), 500)

    def arrivals(self, load):
        return self.rows("arrivals", "--requests", self.requests, "--nodes", self.nodes,
                         "--load", load, "--seed", "3")[1:]

    def test_arrivals_are_all_requests_first_and_stop_at_the_load(self):
        rows = self.arrivals("50")
        self.assertEqual({row[0] for row in rows[:3]}, {"p0", "p1", "p2"})
        self.assertEqual(len({row[0] for row in rows}), len(rows))
        asked = sum(int(row[3]) * int(row[4]) for row in rows)
        self.assertLessEqual(asked, 100_000)
        self.assertGreater(asked, 99_000 - 1)

    def test_arrivals_of_a_small_load_are_a_part_of_the_requests(self):
        rows = self.arrivals("0.5")
        self.assertLess(len(rows), 3)
        self.assertLessEqual(sum(int(row[3]) * int(row[4]) for row in rows), 1000)


class Refused(Folder):
    def test_arguments(self):
        requests = ["requests", "--seed", "1", "--count"]
        self.refused("--count is 0, not in 1..", *requests, "0", "--mix", "cpu")
        self.refused("--count is '-3', not a whole number", *requests, "-3", "--mix", "cpu")
        self.refused("mix 'gpu' is unknown; there are gpu-sharing", *requests, "1", "--mix", "gpu")
        self.refused("--spec-percent is 101", *requests, "1", "--mix", "cpu",
                     "--spec-percent", "101")
        self.refused("fleet 'x' is unknown", "nodes", "--nodes", "1", "--seed", "1", "--fleet", "x")
        self.refused("--seed is 'one'", "nodes", "--nodes", "1", "--seed", "one")

    def test_files(self):
        nodes = self.file("nodes.csv", NODES)
        for why, text in (
                ("column 'gpu_spec' is missing", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"),
                ("there is no row", REQUESTS.splitlines()[0] + "\n"),
                (":2: cpu_milli is '-1'", REQUESTS.replace("p0,100", "p0,-1")),
                (":2: memory_mib is ''", REQUESTS.replace("100,10,", "100,,")),
                (":2: gpu_milli is 1500, not in 0..1000", REQUESTS.replace("500", "1500")),
                (":2: 2 GPUs and a fraction", REQUESTS.replace("10,1,500", "10,2,500")),
                (":3: gpu_milli is 5 of no GPU", REQUESTS.replace("20,0,0", "20,0,5")),
                (":4: the row is too short", REQUESTS.split("p2")[0] + "p2,3\n")):
            path = self.file("requests.csv", text)
            self.refused(why, "resample", "--requests", path, "--count", "1", "--seed", "1")
            self.refused(why, "arrivals", "--requests", path, "--nodes", nodes, "--load", "1",
                         "--seed", "1")
        self.refused("No such file", "resample", "--requests", "absent.csv", "--count", "1",
                     "--seed", "1")

    def test_loads_that_are_never_reached(self):
        requests = self.file("requests.csv", REQUESTS)
        none = self.file("none.csv", "\n".join(REQUESTS.splitlines()[0:3:2]) + "\n")
        nodes = self.file("nodes.csv", NODES)
        plain = self.file("plain.csv", NODES.replace(",2,T4", ",0,"))
        for why, of_requests, of_nodes, load in (
                ("--load is '0'", requests, nodes, "0"),
                ("--load is 'nan'", requests, nodes, "nan"),
                ("no node has a GPU", requests, plain, "1"),
                ("no request asks for a GPU", none, nodes, "1")):
            self.refused(why, "arrivals", "--requests", of_requests, "--nodes", of_nodes,
                         "--load", load, "--seed", "1")

    def test_tables(self):
        for why, old, new in (
                ("[specs] is missing", "[specs]", "[x]"),
                ("[x] is unknown", "[mixes]", "[x]\n[mixes]"),
                ("kind 'two' is unknown", "none = 1", "two = 1"),
                ("row 1: share is 0", "512, 0, 0, 1]", "512, 0, 0, 0]"),
                ("row 1: gpu_milli is 0 of 1 GPUs", "1, 1000, 1]", "1, 0, 1]"),
                ("row 1: 5 values are expected", "[500, 512, 0, 0, 1]", "[500, 512, 0, 0]"),
                ("no node has model 'P4'", 'single = [["T4"', 'single = [["T4|P4"'),
                ("0 GPUs of model 'T4'", '2, "T4", 2]', '0, "T4", 2]'),
                ("cpu_milli is -5", "[500, 512", "[-5, 512"),
                ("mix.toml: ", "[mixes]", "[mixes")):
            self.assertIn(old, TINY)
            self.refused(why, "--table", self.file("mix.toml", TINY.replace(old, new)), "check")

    def test_the_table_that_is_here_is_usable(self):
        code, lines, _ = self.run_tool("check")
        self.assertEqual(code, 0)
        self.assertIn("4 mixes", lines[0])


if __name__ == "__main__":
    unittest.main()
