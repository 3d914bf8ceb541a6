#!/usr/bin/env python3
"""Tests of bench_compare.py."""

import json
import pathlib
import tempfile
import unittest

import bench_compare


def result(*cases):
    return {"bench": "trial", "rounds": 5, "machine": "one", "cases": list(cases)}


def case(name="add", ratio=10.0, allocations=0, **more):
    return {"name": name, "value": 2.0, "unit": "ns", "allocations": allocations,
            "baselines": {"rival": 2.0 * ratio}, "ratios": {"rival": ratio}, **more}


def worse(new, old, **options):
    found = bench_compare.findings(new, old, options.pop("tolerance", 0.3), **options)
    return [line for line, is_worse in found if is_worse]


class Findings(unittest.TestCase):
    def test_the_same_is_not_worse(self):
        self.assertEqual(list(bench_compare.findings(result(case()), result(case()), 0.3)), [])

    def test_times_alone_are_not_compared(self):
        self.assertEqual(worse(result(case() | {"value": 900.0}), result(case())), [])

    def test_a_ratio_may_vary_within_the_tolerance(self):
        self.assertEqual(worse(result(case(ratio=7.1)), result(case())), [])
        self.assertEqual(len(worse(result(case(ratio=6.9)), result(case()))), 1)

    def test_what_varies_or_is_of_another_machine_is_told_and_not_worse(self):
        old, new = result(case()), result(case(ratio=1.0))
        self.assertEqual(len(worse(new, old)), 1)
        for told in (result(case(ratio=1.0, varies=True)), new | {"machine": "another"}):
            self.assertEqual(worse(told, old), [])
            self.assertEqual(len(list(bench_compare.findings(told, old, 0.3))), 1)

    def test_a_target_that_was_met_and_is_missed_is_worse(self):
        met, missed = ({"target": "<= 10 ms", "met": met} for met in (True, False))
        self.assertEqual(len(worse(result(case(**missed)), result(case(**met)))), 1)
        self.assertEqual(worse(result(case(**met)), result(case(**missed))), [])
        self.assertEqual(worse(result(case(**missed)), result(case(**missed))), [])
        self.assertEqual(worse(result(case(varies=True, **missed)), result(case(**met))), [])

    def test_one_more_allocation_is_worse(self):
        self.assertEqual(len(worse(result(case(allocations=1)), result(case()))), 1)
        self.assertEqual(worse(result(case(allocations=0)), result(case(allocations=1))), [])

    def test_allocations_that_are_not_counted_any_more_are_worse(self):
        uncounted = case()
        del uncounted["allocations"]
        self.assertEqual(len(worse(result(uncounted), result(case()))), 1)

    def test_a_case_that_is_gone_is_worse_unless_only_a_part_was_measured(self):
        both = result(case(), case("subtract"))
        self.assertEqual(worse(result(case()), both), ["subtract: it is gone"])
        self.assertEqual(worse(result(case()), both, partial=True), [])

    def test_ratios_are_made_of_baselines_where_there_are_none(self):
        plain = {"name": "rate", "value": 300.0, "unit": "/s", "better": "higher",
                 "baselines": {"rival": 100.0}}
        self.assertEqual(bench_compare.ratios(plain), {"rival": 3.0})
        self.assertEqual(bench_compare.ratios(plain | {"better": "lower", "value": 50.0}),
                         {"rival": 2.0})

    def test_a_rival_that_is_not_installed_is_said_and_not_worse(self):
        alone = case() | {"ratios": {}, "baselines": {}}
        found = list(bench_compare.findings(result(alone), result(case()), 0.3))
        self.assertEqual(found, [("add: no comparison with rival", False)])


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.now = pathlib.Path(self.folder.name, "now.json")
        self.accepted = pathlib.Path(self.folder.name, "accepted", "trial.json")

    def run_with(self, measured, *options):
        self.now.write_text(json.dumps(measured))
        return bench_compare.main([str(self.now), str(self.accepted), *options])

    def test_what_was_accepted_is_what_the_next_is_compared_with(self):
        self.assertEqual(self.run_with(result(case())), 0)
        self.assertEqual(self.run_with(result(case()), "--accept"), 0)
        self.assertEqual(json.loads(self.accepted.read_text()), result(case()))
        self.assertEqual(self.run_with(result(case())), 0)
        self.assertEqual(self.run_with(result(case(allocations=2))), 1)

    def test_another_experiment_is_neither_compared_nor_accepted(self):
        self.assertEqual(self.run_with(result(case()) | {"experiment": {"rate": 100}}, "--accept"),
                         0)
        other = result(case()) | {"experiment": {"rate": 200}}
        self.assertEqual(self.run_with(other), 2)
        self.assertEqual(self.run_with(other, "--accept"), 2)
        self.assertEqual(json.loads(self.accepted.read_text())["experiment"], {"rate": 100})

    def test_a_part_is_not_accepted(self):
        self.assertEqual(self.run_with(result(case()), "--accept", "--partial"), 2)
        self.assertFalse(self.accepted.exists())


if __name__ == "__main__":
    unittest.main()
