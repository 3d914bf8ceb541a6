#!/usr/bin/env python3
"""Tests of flame_graph.py."""

import contextlib
import io
import json
import pathlib
import re
import tempfile
import unittest

import flame_graph

SCRIPT = """blixard
\t    55d0 blixard::raft::Core::step(blixard::raft::Input const&)+0x1c
\t    55d1 blixard::(anonymous namespace)::run(int)+0x2
\t    55d2 main+0x3

blixard
\t    55d0 blixard::raft::Core::step(blixard::raft::Input const&)+0x99
\t    55d1 blixard::(anonymous namespace)::run(int)+0x2
\t    55d2 main+0x3

blixard
\t    7f00 [unknown]
\t    55d2 main+0x3
"""

GDB = """
Thread 2 (Thread 0x7f (LWP 12) "pool"):
#0  0x00007f in fdatasync () from /lib/libc.so.6
#1  0x000055 in blixard::linux_side::Pool::work (this=0x1) at pool.cc:3

Thread 1 (Thread 0x7e (LWP 11) "blixard"):
#0  blixard::raft::Core::step (this=0x2) at core.cc:30
#1  0x000055 in main (argc=1) at main.cc:9

Thread 3 (Thread 0x7d (LWP 13) "idle"):
#0  __futex_abstimed_wait_common (cond=0x3) at x.c:30
#1  0x000055 in blixard::linux_side::Pool::work (this=0x1) at pool.cc:2
"""


class Stacks(unittest.TestCase):
    def test_perf_gives_stacks_from_the_outermost_in_and_same_ones_add_up(self):
        stacks = flame_graph.stacks_of_perf(SCRIPT.splitlines(keepends=True))
        self.assertEqual(stacks, {("blixard", "main", "run", "raft::Core::step"): 2,
                                  ("blixard", "main", "[unknown]"): 1})

    def test_gdb_gives_one_stack_a_thread_that_does_not_wait(self):
        self.assertEqual(flame_graph.stacks_of_gdb(GDB),
                         [("linux_side::Pool::work", "fdatasync"), ("main", "raft::Core::step")])

    def test_folded_text_is_read_as_it_was_written(self):
        stacks = {("a", "b c", "d"): 3, ("a",): 1}
        self.assertEqual(
            flame_graph.stacks_of_folded(flame_graph.folded(stacks).splitlines()), stacks)

    def test_names_lose_arguments_and_the_insides_of_templates(self):
        for symbol, name in [
                ("void std::vector<int, std::allocator<int> >::push_back(int&&)+0x1",
                 "std::vector::push_back"),
                ("blixard::env::Task<void> blixard::node::Node::serve(blixard::X) const",
                 "env::Task node::Node::serve".split()[1]),
                ("epoll_wait+0x10", "epoll_wait"), ("[unknown]", "[unknown]"),
                ("foo(int) [clone .resume]", "foo")]:
            self.assertEqual(flame_graph.short(symbol), name, symbol)


class Shares(unittest.TestCase):
    STACKS = {("main", "f", "g"): 6, ("main", "f"): 3, ("main", "g", "g"): 1}

    def test_the_top_is_ranked_by_own_samples_and_recursion_counts_once(self):
        self.assertEqual(flame_graph.top(self.STACKS), [("g", 0.7, 0.7), ("f", 0.3, 0.9)])
        self.assertEqual(len(flame_graph.top(self.STACKS, 1)), 1)

    def test_the_text_names_frames_and_parts(self):
        self.assertIn("70.0 %  (with what it calls  70.0 %)  g", flame_graph.top_text(self.STACKS))


class Page(unittest.TestCase):
    def page(self, stacks):
        return flame_graph.page(stacks, "a <title>")

    def test_the_tree_in_the_page_has_every_sample(self):
        page = self.page({("main", "f"): 3, ("main",): 1})
        data = json.loads(re.search(r"const root = (.*), high", page)[1])
        self.assertEqual(data, ["all", 4, [["main", 4, [["f", 3]]]]])

    def test_names_cannot_break_out_of_the_page(self):
        page = self.page({("</script><b>",): 1})
        self.assertEqual(page.count("</script>"), 1)
        self.assertNotIn("<b>", page)
        self.assertIn("a &lt;title&gt;", page)

    def test_it_reaches_for_nothing_outside(self):
        page = self.page({("main",): 1}).replace("http://www.w3.org/2000/svg", "")
        for word in ("http:", "https:", "src=", "@import", "url("):
            self.assertNotIn(word, page)


class Program(unittest.TestCase):
    def test_it_writes_both_files_and_says_the_top(self):
        with tempfile.TemporaryDirectory() as folder:
            given = pathlib.Path(folder, "in.txt")
            given.write_text(SCRIPT)
            made = pathlib.Path(folder, "out.html"), pathlib.Path(folder, "out.txt")
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                self.assertEqual(flame_graph.main([str(given), "--html", str(made[0]), "--folded",
                                                   str(made[1])]), 0)
            self.assertIn("66.7 %", said.getvalue())
            self.assertIn("blixard;main;run;raft::Core::step 2", made[1].read_text())
            given.write_text("")
            with contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(flame_graph.main([str(given)]), 1)


if __name__ == "__main__":
    unittest.main()
