#!/usr/bin/env python3
"""Each rule of style.py, broken once in a small tree, and kept once."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import style


def body(lines: int) -> str:
    return "  step();\n" * lines


class StyleTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("src/base/README.md", "# base\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def findings(self) -> list[str]:
        return [str(finding) for finding in style.Check(self.root).run()]

    def assert_finding(self, path: str, text: str, line: int, words: str) -> None:
        self.write(path, text)
        found = self.findings()
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{path}:{line}: "), found[0])
        self.assertIn(words, found[0])

    def assert_clean(self, path: str, text: str) -> None:
        self.write(path, text)
        self.assertEqual(self.findings(), [])

    def test_long_line(self):
        self.assert_finding("src/base/a.cc", "int a;\nint " + "b" * 97 + ";\n", 2, "102 columns")

    def test_line_of_100_columns_and_links(self):
        self.assert_clean("src/base/a.cc", "int " + "b" * 95 + ";\n")
        self.assert_clean("src/base/b.cc", "// https://x.org/" + "y" * 99 + "\n")

    def test_columns_are_characters(self):
        self.assert_clean("src/base/a.cc", "// " + "é" * 97 + "\n")

    def test_raw_string_of_a_test_may_be_long(self):
        text = 'auto a = R"(' + "x" * 100 + ')";\n'
        self.assert_clean("src/base/a_test.cc", text)
        self.assert_finding("src/base/a.cc", text, 1, "columns")

    def test_file_lengths(self):
        self.assert_finding("src/base/a.cc", "int a;\n" * 901, 901, "901 lines, at most 900")
        self.assert_finding("src/base/a.cc", "int a;\n" * 501, 501, "warning: 501 lines")
        self.assert_clean("src/base/a.cc", "int a;\n" * 500)
        self.assert_clean("src/base/a_test.cc", "int a;\n" * 1500)
        self.assert_finding("src/base/a_test.cc", "int a;\n" * 1501, 1501, "at most 1500")

    def test_warning_does_not_fail(self):
        self.write("src/base/a.cc", "int a;\n" * 501)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(style.main(["--root", str(self.root)]), 0)
            self.write("src/base/a.cc", "int a;\n" * 901)
            self.assertEqual(style.main(["--root", str(self.root)]), 1)

    def test_long_function(self):
        text = "namespace a {\n\nvoid B::c(int d) const {\n" + body(69) + "}\n\n}  // namespace a\n"
        self.assert_finding("src/base/a.cc", text, 3, "B::c has 71 lines, at most 70")

    def test_function_of_70_lines(self):
        self.assert_clean("src/base/a.cc", "void c() {\n" + body(68) + "}\n\nint d;\n")

    def test_what_is_a_function(self):
        cases = [
            ("struct A {\n  A() : a_(1), b_{2} {\n" + body(70) + "  }\n};\n", 2, "A"),
            ("struct A : B<int> {\n  bool operator==(A o) const {\n" + body(70) + "  }\n};\n",
             2, "an operator"),
            ("template <typename T>\n  requires std::integral<T>\nauto f(T a) -> int {\n" + body(70)
             + "}\n", 3, "f"),
            ("TEST(Log, Ends) {\n" + body(70) + "}\n", 1, "TEST(Log, Ends)"),
            ("int a = 3;\nvoid f(int b = 2) noexcept {\n  auto g = [] {\n" + body(70) + "  };\n}\n",
             2, "f"),
            ('extern "C" {\nint f(int a) {\n' + body(70) + "}\n}\n", 2, "f"),
        ]  # fmt: skip
        for text, line, name in cases:
            with self.subTest(text=text[:60]):
                found = [f for f in style.functions(text) if f.lines > style.FUNCTION_LINES_MAX]
                self.assertEqual(len(found), 1, list(style.functions(text)))
                self.assertEqual(found[0].first, line)
                self.assertIn(name, found[0].name)

    def test_what_is_no_function(self):
        cases = [
            "namespace a {\n" + "int b;\n" * 80 + "}\n",
            "class A {\n public:\n" + "  int b();\n" * 80 + "};\n",
            "enum class A {\n" + "  kB,\n" * 80 + "};\n",
            "constexpr B kTable[] = {\n" + "    {f(1), 2},\n" * 80 + "};\n",
            "const std::array<B, 80> kTable{{\n" + "    {f(1), 2},\n" * 80 + "}};\n",
            "struct alignas(64) A {\n" + "  int b;\n" * 80 + "};\n",
            "#define A(x) \\\n  do {  \\\n    (x); \\\n  } while (0)\n" + "int b(int c);\n" * 80,
            "/* void f() {\n" + body(80) + '} */\nconst char* a = "void f() {";\n' + body(80),
        ]
        for text in cases:
            with self.subTest(text=text[:40]):
                found = [f for f in style.functions(text) if f.lines > style.FUNCTION_LINES_MAX]
                self.assertEqual(found, [])

    def test_banned_word_in_a_file_name(self):
        self.assert_finding("src/base/string_util.cc", "int a;\n", 1, "'util'")

    def test_banned_word_in_a_type_name(self):
        self.assert_finding("src/base/a.h", "#pragma once\nclass VmManager {};\n", 2, "VmManager")

    def test_words_that_only_contain_a_banned_one(self):
        self.assert_clean("src/base/utility.h", "#pragma once\nclass Commonality {};\n")

    def test_pragma_once(self):
        self.assert_finding("src/base/a.h", "// What.\n#include <span>\n", 1, "#pragma once")
        self.assert_clean("src/base/a.h", "// What.\n#pragma once\n#include <span>\n")

    def test_unfinished_work(self):
        word = "TO" + "DO"
        self.assert_finding("src/base/a.cc", f"int a;\n// {word}: later.\n", 2, "without an issue")
        self.assert_clean("src/base/a.cc", f'// {word}(#12): later.\nconst char* b = "{word}";\n')
        self.assert_finding("do", f"# {word} later\n", 1, "without an issue")

    def test_banner(self):
        self.assert_finding("src/base/a.cc", "int a;\n// ------\n", 2, "banner")
        self.assert_finding("src/base/a.cc", "/*******\n", 1, "banner")
        self.assert_finding("src/base/a.cc", "int a;\n// ---- reports ----\n", 2, "banner")
        self.assert_clean("src/base/a.cc", "// a - b -- c\n// -> next\n")

    def test_folder_readme(self):
        self.write("src/env/a.cc", "int a;\n")
        self.assert_clean("src/env/README.md", "# env\n" + "x\n" * 39)
        text = "# env\n" + "x\n" * 40
        self.assert_finding("src/env/README.md", text, 41, "41 lines, at most 40")

    def test_missing_folder_readme(self):
        self.write("src/env/a.cc", "int a;\n")
        found = self.findings()
        self.assertEqual(len(found), 1, found)
        self.assertIn("src/env/README.md:1: missing", found[0])

    def test_markdown_title(self):
        self.assert_finding("docs/a.md", "# A\n\n# B\n", 3, "2 titles")
        self.assert_finding("docs/a.md", "## A\n", 1, "0 titles")
        self.assert_clean("docs/a.md", "# A\n\n```\n# not a title\n```\n")

    def test_build_folders_are_skipped(self):
        self.assert_clean("build/dev/a.cc", "// ------\n")


if __name__ == "__main__":
    unittest.main()
