#!/usr/bin/env python3
"""Tests of instruments.py."""

import pathlib
import tempfile
import unittest

import instruments

HEADER = """
struct Instruments {
  observe::Counter writes;
  observe::CounterFamily<Outcome, observe::Named> by_outcome;
  observe::Histogram taken_{};
  std::size_t writes_of_others;
};
"""


class Instruments(unittest.TestCase):
    def check(self, code):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            (root / "a.h").write_text(HEADER)
            (root / "a.cc").write_text(code)
            (root / "a_test.cc").write_text("x.writes.add(); x.taken_.observe(1s);")
            count, failures = instruments.check(root)
            self.assertEqual(count, 3)
            return [failure.split(": ")[1].split()[0] for failure in failures]

    def test_what_is_recorded_with_is_used(self):
        self.assertEqual(self.check("counted.writes.add(7); by_outcome[Outcome::kOk,\n name].add();"
                                    "taken_.observe(clock.now() - begun);"), [])

    def test_what_is_only_declared_copied_or_tested_is_not(self):
        self.assertEqual(self.check("auto x = counted.writes; x.rewrites.add();"
                                    "by_outcome[Outcome::kOk].value();"),
                         ["writes", "by_outcome", "taken_"])


if __name__ == "__main__":
    unittest.main()
