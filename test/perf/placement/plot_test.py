#!/usr/bin/env python3
"""Tests of plot.py, on the parsed picture."""

import unittest
import xml.etree.ElementTree

import place
import plot

SVG = "{http://www.w3.org/2000/svg}"
# Of a character in 12px letters, on average; and how far they go above and below their line.
CHARACTER, ABOVE, BELOW = 6, 11, 3
FRAME = (plot.LEFT, plot.TOP, plot.WIDTH - plot.RIGHT, plot.HEIGHT - plot.BOTTOM)


class Picture:
    def __init__(self, series, across="nodes", up="us"):
        self.root = xml.etree.ElementTree.fromstring(plot.chart(series, across, up))
        self.texts = list(self.root.iter(f"{SVG}text"))
        self.lines = list(self.root.iter(f"{SVG}polyline"))
        self.legend = self.texts[len(self.texts) - len(self.lines):]

    def points(self, line=0):
        pairs = self.lines[line].get("points").split()
        return [tuple(float(number) for number in pair.split(",")) for pair in pairs]

    def across(self):
        """Where the ticks of the x axis stand, by their labels."""
        return {text.text: float(text.get("x")) for text in self.texts
                if text.get("text-anchor") == "middle"}

    def up(self):
        return {text.text: float(text.get("y")) - 4 for text in self.texts
                if text.get("x") == str(plot.LEFT - 8)}


def box(text):
    """Left, top, right and bottom of a text, by estimate."""
    x, y, width = float(text.get("x")), float(text.get("y")), CHARACTER * len(text.text)
    left = {"end": x - width, "middle": x - width / 2}.get(text.get("text-anchor"), x)
    return left, y - ABOVE, left + width, y + BELOW


class Ticks(unittest.TestCase):
    def test_they_are_round_and_hold_the_values(self):
        for low, high, expected in (
                (1000, 100000, [1000, 2000, 5000, 10000, 20000, 50000, 100000]),
                (2.1, 41, [2, 5, 10, 20, 50]), (0.03, 0.3, [0.02, 0.05, 0.1, 0.2, 0.5]),
                (9, 11, [5, 10, 20]), (3, 4, [2, 5]), (999, 1001, [500, 1000, 2000])):
            found = plot.ticks(low, high)
            self.assertEqual(len(found), len(expected), found)
            for one, other in zip(found, expected):
                self.assertAlmostEqual(one, other)

    def test_one_value_has_two_as_well(self):
        for value, expected in ((1, [1, 2]), (2, [2, 5]), (5, [5, 10]), (1000, [1000, 2000]),
                                (7, [5, 10]), (0.1, [0.1, 0.2])):
            self.assertEqual([round(tick, 9) for tick in plot.ticks(value, value)], expected)

    def test_labels_are_short(self):
        for value, text in ((100000.0, "100,000"), (1.0, "1"), (0.5, "0.5"),
                            (2 * 10.0 ** -2, "0.02")):
            self.assertEqual(plot.label(value), text)


class Axes(unittest.TestCase):
    def test_both_are_logarithmic(self):
        points = Picture({"a": [(1, 1), (10, 10), (100, 100)]}).points()
        left, top, right, bottom = FRAME
        self.assertEqual(points, [(left, bottom), ((left + right) / 2, (top + bottom) / 2),
                                  (right, top)])

    def test_a_point_stands_where_its_ticks_are(self):
        picture = Picture({"a": [(1000, 2), (2000, 50), (5000, 5), (100000, 20)]})
        across, up = picture.across(), picture.up()
        self.assertEqual(picture.points(), [(across["1,000"], up["2"]), (across["2,000"], up["50"]),
                                            (across["5,000"], up["5"]),
                                            (across["100,000"], up["20"])])

    def test_each_tick_of_the_upper_axis_has_a_line_across(self):
        picture = Picture({"a": [(1, 1), (10, 10)]})
        lines = list(picture.root.iter(f"{SVG}line"))
        self.assertEqual([float(line.get("y1")) for line in lines], list(picture.up().values()))
        for line in lines:
            self.assertEqual((line.get("y1"), line.get("x1"), line.get("x2")),
                             (line.get("y2"), str(FRAME[0]), str(FRAME[2])))

    def test_axes_hold_every_series(self):
        picture = Picture({"a": [(10, 3), (20, 4)], "b": [(1, 300), (2, 0.04)]})
        self.assertEqual(list(picture.across()), ["1", "2", "5", "10", "20"])
        self.assertEqual((min(picture.up().values()), max(picture.up().values())),
                         (picture.up()["500"], picture.up()["0.02"]))


class Series(unittest.TestCase):
    def test_each_is_a_line_of_its_colour_with_its_name(self):
        names = ["first", "second", "third", "fourth", "fifth", "sixth"]
        picture = Picture({name: [(1, number), (10, 5), (100, 7)]
                           for number, name in enumerate(names, 1)})
        kinds = [line.get("class") for line in picture.lines]
        self.assertEqual(kinds, ["c0", "c1", "c2", "c3", "c4", "c0"])
        self.assertEqual([one.get("class") for one in picture.root.iter(f"{SVG}rect")], kinds)
        self.assertEqual([text.text for text in picture.legend], names)
        for number in range(len(names)):
            self.assertEqual(len(picture.points(number)), 3)
        self.assertEqual(len({picture.points(number)[0] for number in range(len(names))}), 6)

    def test_every_colour_is_in_the_style(self):
        style = Picture({"a": [(1, 1)]}).root.find(f"{SVG}style").text
        for number in range(plot.COLOURS):
            self.assertIn(f".c{number}{{stroke:#", style)
            # Or the area below the line would be filled.
            self.assertRegex(style, rf"polyline\.c{number}\b[^}}]*{{fill:none}}")

    def test_names_are_text_whatever_is_in_them(self):
        picture = Picture({"<a> & \"b\"": [(1, 1), (2, 2)]}, across="a < b", up="c & d")
        self.assertEqual(picture.legend[0].text, "<a> & \"b\"")
        self.assertEqual(picture.root.find(f"{SVG}title").text, "c & d, by a < b")
        self.assertEqual([text.text for text in picture.texts[-3:-1]], ["a < b", "c & d"])


class Inside(unittest.TestCase):
    def check(self, picture):
        self.assertEqual(picture.root.get("viewBox"), f"0 0 {plot.WIDTH} {plot.HEIGHT}")
        for text in picture.texts:
            left, top, right, bottom = box(text)
            self.assertTrue(0 <= left and right <= plot.WIDTH, f"{text.text}: {left} to {right}")
            self.assertTrue(0 <= top and bottom <= plot.HEIGHT, f"{text.text}: {top} to {bottom}")
        for line in range(len(picture.lines)):
            for x, y in picture.points(line):
                self.assertTrue(FRAME[0] - 0.1 <= x <= FRAME[2] + 0.1, x)
                self.assertTrue(FRAME[1] - 0.1 <= y <= FRAME[3] + 0.1, y)

    def apart(self, texts):
        for one, other in zip(texts, texts[1:]):
            self.assertLess(box(one)[2], box(other)[0] + 1, f"{one.text} and {other.text}")

    def test_what_place_draws_fits(self):
        for least, most in ((0.5, 20), (2, 45), (0.012, 9000)):
            lines = {}
            for number, (name, *_) in enumerate(place.STREAMS):
                ends = (most, least) if number % 2 else (least, most)
                step = (ends[1] / ends[0]) ** (1 / (len(place.SIZES) - 1))
                lines[name] = [(size, ends[0] * step ** at) for at, size in enumerate(place.SIZES)]
            picture = Picture(lines, "nodes", "us for a decision")
            self.check(picture)
            self.apart(picture.legend)
            self.apart([text for text in picture.texts if text.get("text-anchor") == "middle"])

    def test_one_point(self):
        for x, y in ((1000, 5), (1234, 0.37), (1, 1), (0.1, 100000)):
            picture = Picture({"a": [(x, y)]})
            self.check(picture)
            self.assertEqual(len(picture.points()), 1)

    def test_equal_values(self):
        level = Picture({"a": [(1, 10), (10, 10)], "b": [(1, 10), (10, 10)]})
        self.check(level)
        self.assertEqual(len({y for _, y in level.points() + level.points(1)}), 1)
        steep = Picture({"a": [(100, 1), (100, 10)]})
        self.check(steep)
        self.assertEqual(len({x for x, _ in steep.points()}), 1)

    def test_a_series_without_points_beside_one_that_has_some(self):
        picture = Picture({"a": [], "b": [(1, 1), (2, 2)]})
        self.check(picture)
        self.assertEqual((len(picture.points(0)), len(picture.points(1))), (0, 2))


if __name__ == "__main__":
    unittest.main()
