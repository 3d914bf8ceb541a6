#!/usr/bin/env python3
"""Tests of place.py, with a blixard-vopr that answers what a test tells it to."""

import argparse
import contextlib
import csv
import io
import json
import pathlib
import shlex
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from unittest import mock

import place

sys.path.insert(0, str(place.MIX.parent))

import placement_mix

# What is asked, as a case sees it: the words, then the nodes and the requests.
VOPR = """#!/bin/sh
asked=" $* "
before=
for word; do
  case $before in --nodes | --requests)
    while read -r line; do asked="$asked
$line"; done < "$word" ;;
  esac
  before=$word
done
printf '%s\\n===\\n' "$asked" >> "${0%/*}/asked"
case $asked in
ANSWERS
esac
echo "nobody answers:$asked" >&2
exit 9
"""
NODES = ("sn,cpu_milli,memory_mib,gpu,model\n"
         + "".join(f"n{number},96000,393216,{number % 3},T4\n" for number in range(9)))
PODS = ("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
        "p0,100,10,1,470,\np1,200,20,0,0,\np2,300,30,1,1000,T4\np3,300,30,2,1000,\n")
# GPU shares by strategy and mode.
SHARES = [("--strategy fragmentation-aware --mode exact", 0.96),
          ("--strategy fragmentation-aware --mode sampled", 0.95),
          ("--strategy best-fit", 0.93), ("--strategy random", 0.80),
          ("--strategy most-available --mode exact", 0.75),
          ("--strategy least-available --mode exact", 0.60)]
SHARE_ANSWERS = [(words + " ", {"gpu_allocated_share": share}) for words, share in SHARES]


def mix_here(*words):
    """place.mix, but without a process."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        if placement_mix.main([str(word) for word in words]) != 0:
            raise ValueError(f"refused: {words}")
    return written.getvalue()


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program = self.file("bin/place_bench", "")

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def vopr(self, *answers):
        """Of each: a part of what is asked, and a result, or an exit code and what is said."""
        cases = []
        for asked, answer in answers:
            code, said, to = (*answer, ">&2") if isinstance(answer, tuple) else (
                0, json.dumps(answer), "")
            cases.append(f"*{shlex.quote(asked)}*) printf '%s' {shlex.quote(said)} {to}\n"
                         f"  exit {code} ;;")
        self.file("bin/blixard-vopr", VOPR.replace("ANSWERS", "\n".join(cases))).chmod(0o755)

    def asked(self):
        """For each time that it was started, the lines of what was asked."""
        asked = (self.folder / "bin/asked").read_text(encoding="utf-8")
        return [one.splitlines() for one in asked.split("===\n")[:-1]]

    def bench(self, **options):
        folder = self.folder / "work"
        folder.mkdir(exist_ok=True)
        arguments = argparse.Namespace(**{"program": str(self.program), "rounds": 1, "trace": None,
                                          "plot": None} | options)
        return place.Bench(arguments, folder)

    def run_with(self, *options):
        """Why it ended, or None, and what was printed."""
        words = ["place.py", str(self.program), "--json", str(self.folder / "out/result.json"),
                 "--plot", str(self.folder / "plots/plot.svg"), *map(str, options)]
        printed, said = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(printed), \
                contextlib.redirect_stderr(said):
            try:
                place.main()
            except SystemExit as end:
                return f"{said.getvalue()}{end.code}", printed.getvalue()
        return None, printed.getvalue()

    def result(self):
        return json.loads((self.folder / "out/result.json").read_text(encoding="utf-8"))


class Cases(Folder):
    def setUp(self):
        super().setUp()
        self.vopr()

    def added(self, *words, **more):
        bench = self.bench()
        bench.add("a", *words, **more)
        return bench.cases[0]

    def test_a_ratio_is_how_many_times_better_we_are(self):
        rivals = {"slow": 50.0, "fast": 400.0}
        case = self.added(200.0, "/s", baselines=rivals)
        self.assertEqual((case["better"], case["ratios"]), ("higher", {"slow": 4.0, "fast": 0.5}))
        case = self.added(200.0, "us", "lower", rivals)
        self.assertEqual((case["better"], case["ratios"]), ("lower", {"slow": 0.25, "fast": 2.0}))
        self.assertEqual(case["baselines"], rivals)

    def test_there_is_no_ratio_to_nothing(self):
        self.assertEqual(self.added(2.0, "%", baselines={"a": 0.0, "b": 1.0})["ratios"], {"b": 2.0})
        self.assertEqual(self.added(0.0, "", "lower", {"a": 1.0})["ratios"], {})
        self.assertEqual(self.added(2.0, "%")["ratios"], {})

    def test_a_target_is_told_with_whether_it_is_met(self):
        for met in (True, False):
            case = self.added(2.0, "%", target=(">= 1 %", met))
            self.assertEqual((case["target"], case["met"]), (">= 1 %", met))
        self.assertNotIn("met", self.added(2.0, "%"))

    def test_tables_follow_one_another_with_a_line_between(self):
        bench = self.bench()
        bench.table(["a", "b"], [["1", "2"], ["3", ""]])
        bench.table(["c"], [])
        self.assertEqual(bench.lines, ["| a | b |", "|---|---|", "| 1 | 2 |", "| 3 |  |", "",
                                       "| c |", "|---|", ""])


class Quality(Folder):
    def shares(self, *pairs):
        """By strategy and mode, from (ours exact, best-fit) of each seed."""
        return {key: [ours if key == place.OURS[0] else rival for ours, rival in pairs]
                for key in place.OURS + place.RIVALS}

    def cases_of(self, least, *pairs):
        self.vopr()
        bench = self.bench()
        bench.add_shares(self.shares(*pairs), "here", least)
        return {case["name"]: case for case in bench.cases}

    def test_each_strategy_is_asked_for_in_its_mode(self):
        self.vopr(*SHARE_ANSWERS)
        found = self.bench().shares(range(3, 5), lambda seed: ["--seed", seed])
        for (key, values), (words, share) in zip(found.items(), SHARES, strict=True):
            mode = f" --mode {key[1]}" if key[1] else ""
            self.assertEqual(words, f"--strategy {key[0]}{mode}")
            self.assertEqual(values, [100 * share] * 2)
        self.assertEqual([asked[0] for asked in self.asked()],
                         [f" place --json --seed {seed} {words} "
                          for seed in (3, 4) for words, _ in SHARES])

    def test_a_share_is_the_mean_of_its_seeds_beside_those_of_the_rivals(self):
        cases = self.cases_of(None, (90.0, 80.0), (94.0, 84.0))
        self.assertEqual(list(cases), ["GPUs allocated, here, exact",
                                       "GPUs allocated, here, sampled"])
        case = cases["GPUs allocated, here, exact"]
        self.assertEqual((case["value"], case["unit"], case["varies"]), (92.0, "%", False))
        self.assertEqual(set(case["baselines"]),
                         {"best-fit", "random", "most-available", "least-available"})
        self.assertEqual(case["baselines"]["random"], 82.0)
        self.assertAlmostEqual(case["ratios"]["best-fit"], 92 / 82)

    def test_the_target_is_a_number_or_to_be_above_best_fit(self):
        for least, ours, text, met in (
                (95.4, 95.4, ">= 95.4 %", True), (95.4, 95.39, ">= 95.4 %", False),
                (None, 80.1, "above best-fit", True), (None, 80.0, "above best-fit", False)):
            case = self.cases_of(least, (ours, 80.0))["GPUs allocated, here, exact"]
            self.assertEqual((case["target"], case["met"]), (text, met))

    def test_rows_of_shares(self):
        shares = self.shares((95.0, 80.0), (96.0, 82.0))
        rows = list(place.share_rows(shares, {key: sum(values) / 2
                                              for key, values in shares.items()}))
        self.assertEqual(rows[0], ["fragmentation-aware, exact", "95.50 %", "95.00 to 96.00 %",
                                   "FGD 95.39 %"])
        self.assertEqual(rows[2], ["best-fit", "81.00 %", "80.00 to 82.00 %", "best-fit 93.08 %"])
        self.assertEqual(rows[4][0::3], ["most-available, exact", ""])
        self.assertEqual(len(rows), 6)

    def test_bins_are_means_over_files_and_fewer_is_better(self):
        self.vopr(*((f"--bins --capacity 150 --strategy {strategy} {self.folder / name} ",
                     {"bins_used": used}) for strategy, name, used in (
                         ("fragmentation-aware", "a", 10), ("fragmentation-aware", "b", 14),
                         ("best-fit", "a", 12), ("best-fit", "b", 18))))
        bench = self.bench()
        files = [self.folder / "a", self.folder / "b"]
        self.assertEqual(bench.bins("x", 150, files), (12, 15))
        case = bench.cases[0]
        self.assertEqual((case["name"], case["value"], case["better"], case["baselines"],
                          case["ratios"], case["target"], case["met"]),
                         ("bins, x", 12, "lower", {"best-fit": 15}, {"best-fit": 1.25},
                          "below best-fit", True))

    def test_as_many_bins_as_wanted_are_enough_but_not_as_many_as_best_fit(self):
        self.vopr((" ", {"bins_used": 207}))
        bench = self.bench()
        for wanted, text, met in ((207, "<= 207", True), (206.9, "<= 206.9", False),
                                  (None, "below best-fit", False)):
            bench.bins("x", 150, ["a"], wanted)
            self.assertEqual((bench.cases[-1]["target"], bench.cases[-1]["met"]), (text, met))


class Trace(Folder):
    def setUp(self):
        super().setUp()
        self.file("trace/nodes.csv", NODES)
        self.file("trace/pods.csv", PODS)
        for name, value in (("TRACE_SEEDS", range(42, 44)), ("mix", mix_here)):
            patch = mock.patch.object(place, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def run_trace(self):
        return self.run_with("--trace", self.folder / "trace")

    def test_nodes_and_pods_come_in_another_order_for_each_seed(self):
        self.vopr(*SHARE_ANSWERS)
        self.assertEqual(self.run_trace()[0], None)
        asked = self.asked()
        self.assertEqual(len(asked), 2 * len(SHARES))
        orders = []
        for seed in range(2):
            of_seed = asked[seed * len(SHARES):][:len(SHARES)]
            # Every strategy gets the same.
            self.assertEqual([one[1:] for one in of_seed], [of_seed[0][1:]] * len(SHARES))
            count = len(NODES.splitlines())
            nodes, requests = of_seed[0][1:][:count], of_seed[0][1:][count:]
            self.assertEqual(nodes[0], NODES.splitlines()[0])
            self.assertEqual(sorted(nodes), sorted(NODES.splitlines()))
            self.assertEqual({line.split(",")[0] for line in requests[1:5]},
                             {"p0", "p1", "p2", "p3"})
            orders.append((nodes, requests))
        self.assertNotEqual(orders[0][0], orders[1][0])
        self.assertNotEqual(orders[0][1], orders[1][1])
        self.assertNotEqual(orders[0][0], NODES.splitlines())

    def test_the_load_is_reached_by_the_last_request_that_takes_a_gpu(self):
        self.vopr(*SHARE_ANSWERS)
        self.run_trace()
        for asked in self.asked():
            words = asked[0].split()
            load = float(words[words.index("--load") + 1])
            requests = csv.DictReader(asked[1 + len(NODES.splitlines()):])
            demand = sum(int(row["num_gpu"]) * int(row["gpu_milli"]) for row in requests)
            whole = 9000  # of the nodes
            self.assertGreater(demand, 1.3 * whole - 2000)
            self.assertLess(load, demand / whole)
            self.assertGreater(load, (demand - 1) / whole)

    def test_what_is_written_and_printed(self):
        self.vopr(*SHARE_ANSWERS)
        end, printed = self.run_trace()
        self.assertEqual(end, None)
        result = self.result()
        self.assertEqual((result["bench"], result["experiment"], result["rounds"]),
                         ("place", "trace", 1))
        self.assertEqual([(case["name"], case["met"]) for case in result["cases"]],
                         [("GPUs allocated, trace, exact", True),
                          ("GPUs allocated, trace, sampled", False)])
        page = result["page"].splitlines()
        self.assertEqual(page[:3], ["| strategy | GPUs allocated | of single seeds | published |",
                                    "|---|---|---|---|",
                                    "| fragmentation-aware, exact | 96.00 % | 96.00 to 96.00 % | "
                                    "FGD 95.39 % |"])
        self.assertEqual(page[-1], "|  |  |  | dot-product 90.85 % |")
        self.assertEqual(printed, result["page"] + "\nmissed: GPUs allocated, trace, sampled: "
                         "95.00, >= 95.4 %\n")

    def test_files_of_items_are_known_by_how_their_names_begin(self):
        for name in ("u1.items", "u2.items", "weibull1.items", "other.items", "u3.txt"):
            self.file(f"trace/bins/{name}", "1\n")
        self.vopr(*((f"--bins --capacity {capacity} --strategy {strategy} ", {"bins_used": used})
                    for capacity, strategy, used in (
                        (150, "fragmentation-aware", 207), (150, "best-fit", 210),
                        (100, "fragmentation-aware", 2002), (100, "best-fit", 2060))),
                  *SHARE_ANSWERS)
        self.assertEqual(self.run_trace()[0], None)
        asked = [one[0].split()[3:] for one in self.asked() if "--bins" in one[0]]
        self.assertEqual(asked, [
            ["--capacity", capacity, "--strategy", strategy, str(self.folder / "trace/bins" / name)]
            for capacity, names in (("150", ["u1.items", "u2.items"]), ("100", ["weibull1.items"]))
            for strategy in ("fragmentation-aware", "best-fit") for name in names])
        self.assertEqual([(case["name"], case["value"], case["baselines"], case["target"],
                           case["met"]) for case in self.result()["cases"][2:]],
                         [("bins, OR3, 500 items", 207, {"best-fit": 210}, "<= 207.45", True),
                          ("bins, Weibull, 5,000 items", 2002, {"best-fit": 2060}, "<= 2001.4",
                           False)])
        self.assertEqual(self.result()["page"].splitlines()[-4:], [
            "| bins | fragmentation-aware | best-fit | best-fit, published | best rule, "
            "published |",
            "|---|---|---|---|---|",
            "| OR3, 500 items, 2 sets | 207.00 | 210.00 | 212.00 | 207.45 |",
            "| Weibull, 5,000 items, 1 sets | 2002.00 | 2060.00 | 2067.00 | 2001.40 |"])


class Refused(Folder):
    def setUp(self):
        super().setUp()
        self.vopr(*SHARE_ANSWERS)
        self.trace = self.folder / "trace"
        self.file("trace/nodes.csv", NODES)
        self.file("trace/pods.csv", PODS)

    def refused(self, why):
        end, printed = self.run_with("--trace", self.trace)
        # As an exit code, a text is printed to stderr and is 1.
        self.assertTrue((end or "").startswith("place: "), end)
        self.assertIn(why, end)
        self.assertEqual(printed, "")
        self.assertFalse((self.folder / "out").exists())

    def test_a_trace_without_one_of_its_files(self):
        for name in ("pods.csv", "nodes.csv"):
            (self.trace / name).unlink()
            self.refused(f"{self.trace / name} is not there")
        self.assertFalse((self.folder / "bin/asked").exists())

    def test_a_trace_that_is_not_usable(self):
        for name, text, why in (("nodes.csv", "", "nodes.csv: column 'sn' is missing"),
                                ("nodes.csv", NODES.replace("gpu,", "gpus,"), "column 'gpu'"),
                                ("pods.csv", PODS.replace(",470", ",x"), "gpu_milli is 'x'")):
            self.file("trace/nodes.csv", NODES)
            self.file(f"trace/{name}", text)
            self.refused(why)

    def test_a_program_that_fails_is_the_end_and_its_words_are_told(self):
        with mock.patch.object(place, "mix", mix_here):
            for answer, why in (((3, "blixard-vopr: no such mode\n"), "blixard-vopr: no such mode"),
                                ((4, ""), "blixard-vopr ended with 4 and said nothing")):
                self.vopr(("--strategy best-fit ", answer), *SHARE_ANSWERS)
                self.refused(why)

    def test_a_program_that_is_not_built(self):
        (self.folder / "bin/blixard-vopr").unlink()
        self.refused("blixard-vopr is not built (ninja -C build/release blixard-vopr)")

    def test_no_rounds(self):
        end, _ = self.run_with("--rounds", "0")
        self.assertIn("--rounds is at least 1", end or "it was not refused")


class Generated(Folder):
    """With sizes that are small, and a mix that is only its words."""

    def setUp(self):
        super().setUp()
        self.words = []
        for name, value in (("SIZES", [1000, 5000, 100_000]), ("QUALITY_SEEDS", range(1, 3)),
                            ("mix", self.mix)):
            patch = mock.patch.object(place, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def mix(self, *words):
        self.words.append([str(word) for word in words])
        return " ".join(self.words[-1]) + "\n"

    def speeds(self, *rounds):
        """What speed() makes of (decisions a second, p99) of each round at each size."""
        turn = iter(rounds * len(place.SIZES) * len(place.STREAMS))
        bench = self.bench(rounds=len(rounds))

        def placed(*_):
            rate, p99 = next(turn)
            return {"decisions_per_s": rate, "latency_us": {"p50": p99 / 2, "p99": p99},
                    "placed": 3, "requests": 4}

        with mock.patch.object(bench, "place", placed):
            growth = place.speed(bench)
        self.assertEqual(list(turn), [])
        return growth, bench

    def test_times_are_medians_of_the_rounds(self):
        self.vopr()
        growth, bench = self.speeds((50_000, 9), (200_000, 1000), (100_000, 8))
        self.assertEqual(growth, {name: [(size, 10.0) for size in place.SIZES]
                                  for name, *_ in place.STREAMS})
        self.assertEqual(bench.lines[2],
                         "| gpu-sharing, half full | 1,000 | 100,000 | 4.5 us | 9.0 us | 75.0 % |")
        self.assertEqual(len(bench.lines), 2 + len(place.STREAMS) * len(place.SIZES) + 1)

    def test_targets_of_speed(self):
        self.vopr()
        for rate, p99, fast, short in ((50_000, 1000, True, True), (49_999, 1001, False, False)):
            _, bench = self.speeds((rate, p99))
            self.assertEqual(
                [(case["name"], case["value"], case["better"], case["target"], case["met"],
                  case["varies"]) for case in bench.cases[-3:]],
                [("decisions at 5,000 nodes, flavors, full", rate, "higher", ">= 50,000 /s", fast,
                  True),
                 ("p99 at 100,000 nodes, flavors, full", p99, "lower", "<= 1,000 us", short, True),
                 ("cost at 100,000 nodes to that at 1,000, flavors, full", 1.0, "lower",
                  "<= 3.33x", True, True)])
            self.assertEqual(len(bench.cases), 3 * len(place.STREAMS))

    def tell_all(self):
        """At 5,000 nodes a decision costs 1.25 times what it does at 1,000, at 100,000 5 times."""
        self.vopr(("--bins --capacity 150 --strategy f", {"bins_used": 205}),
                  ("--bins --capacity 100 --strategy f", {"bins_used": 1999}),
                  ("--bins", {"bins_used": 2050}), *SHARE_ANSWERS,
                  *((f"nodes --nodes {size} ",
                     {"decisions_per_s": rate, "latency_us": {"p50": 1.0, "p99": 2.0}, "placed": 1,
                      "requests": 1})
                    for size, rate in ((1000, 100_000), (5000, 80_000), (100_000, 20_000))))

    def test_the_whole(self):
        self.tell_all()
        end, printed = self.run_with("--rounds", 2)
        self.assertEqual(end, None)
        result = self.result()
        self.assertEqual((result["experiment"], result["rounds"]), ("generated", 2))
        cases = {case["name"]: case for case in result["cases"]}
        self.assertEqual(len(cases), 4 + 3 * len(place.STREAMS))
        for name, value, met in (
                ("GPUs allocated, generated mix, sampled", 95.0, True),
                ("bins, uniform, 500 items", 205, True), ("bins, Weibull, 5,000 items", 1999, True),
                ("decisions at 5,000 nodes, multi-gpu, full", 80_000, True),
                ("cost at 100,000 nodes to that at 1,000, flavors, full", 5.0, False)):
            self.assertAlmostEqual(cases[name]["value"], value)
            self.assertEqual(cases[name]["met"], met, name)
        page, _, missed = printed.partition("\nmissed: ")
        self.assertEqual(page, result["page"])
        self.assertEqual(missed.count("missed: "), len(place.STREAMS) - 1)
        self.assertTrue(missed.endswith("missed: cost at 100,000 nodes to that at 1,000, flavors, "
                                        "full: 5.00, <= 3.33x\n"), missed)
        for line in ("| fragmentation-aware, exact | 96.00 % | 96.00 to 96.00 % |",
                     "| uniform, 500 items, 20 sets, capacity 150 | 205.00 | 2050.00 |",
                     f"Times are medians of 2 rounds; {result['machine']}."):
            self.assertIn(line, page.splitlines())
        plot = xml.etree.ElementTree.parse(self.folder / "plots/plot.svg")
        self.assertEqual([line.get("points").count(",") for line in plot.iter()
                          if line.tag.endswith("polyline")],
                         [len(place.SIZES)] * len(place.STREAMS))
        self.understood()

    def understood(self):
        """By placement_mix.py: fleets, mixes and options; one row of each is enough."""
        drawn = set()
        for words in self.words:
            for option, value in (("--nodes", "1"), ("--count", "1"), ("--seed", "7")):
                if option in words:
                    words[words.index(option) + 1] = value
            drawn.add(tuple(words))
        self.assertEqual({words[0] for words in drawn}, {"nodes", "requests", "bins"})
        for words in drawn:
            self.assertTrue(mix_here(*words), words)

    def test_each_stream_is_placed_on_its_fleet_up_to_its_load(self):
        self.tell_all()
        place.speed(self.bench(rounds=2))
        self.assertEqual(
            [(float(asked[0].split()[-1]), *asked[1:]) for asked in self.asked()],
            [(load, f"nodes --nodes {size} --seed 1 --fleet {fleet}",
              " ".join(["requests --count 50000 --seed 1", *words]))
             for _, fleet, words, load in place.STREAMS for size in place.SIZES for _ in range(2)])


if __name__ == "__main__":
    unittest.main()
