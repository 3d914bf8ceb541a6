#!/usr/bin/env python3
"""The numbers and words of our style that clang-format and clang-tidy do not check.

Prints `file:line: what is wrong; what to do instead` and exits 1 if anything fails; a file of more
than 500 lines is a warning only.
"""

import argparse
import dataclasses
import pathlib
import re
import sys
from typing import Iterator

import source_tree

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_WARN = 500
FILE_LINES_MAX = 900
TEST_FILE_LINES_MAX = 1500
README_LINES_MAX = 40

BANNED_WORDS = {
    "util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "optimized",
    "v2", "v3",
}  # fmt: skip
CODE_SUFFIXES = {".h", ".cc", ".proto", ".py", ".sh", ".c"}
CODE_NAMES = {"do", "run", "CMakeLists.txt"}
TEST_NAME = re.compile(r"(_test|_bench|_fuzz)\.(cc|py)\Z")

_TYPE_NAME = re.compile(
    r"\b(?:class|struct|union|enum(?:\s+class)?|concept|namespace)\s+(?:\[\[[^\]]*\]\]\s*)?"
    r"([A-Za-z_][A-Za-z0-9_:]*)"
)
_TYPE_HEAD = re.compile(
    r"\s*(template\s*<.*>\s*)?(requires\b.*\s)?(typedef\s+)?(class|struct|union|enum)\b", re.DOTALL
)
# The words are put together so that this file does not accuse itself.
_UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b(?!\(#[0-9]+\))")
_BANNER = re.compile(r"^\s*(?://|/\*|\*|#)[\s/]*(?:(?:[-=*#~_+/]\s*){5,}|[-=]{3,} .* [-=]{3,}$)")
_LINK = re.compile(r"\bhttps?://\S+")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]*|[0-9]+")
_FENCE = re.compile(r"^\s*(```|~~~)")


@dataclasses.dataclass(frozen=True)
class Finding:
    path: pathlib.PurePath
    line: int
    text: str
    fails: bool = True

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {'' if self.fails else 'warning: '}{self.text}"


@dataclasses.dataclass(frozen=True)
class Function:
    name: str
    first: int
    last: int

    @property
    def lines(self) -> int:
        return self.last - self.first + 1


def functions(text: str) -> Iterator[Function]:
    """The functions of a formatted C++ text, from the line of `{` to the line of `}`.

    An approximation by braces: outside function bodies, the text before a `{` decides whether it
    opens a scope (namespace, type), a function body, or a value. Lambdas count with the function
    they stand in.
    """
    code = _without_directives(source_tree.blank(text))
    head_start = 0
    depth_in_body = 0
    body_start = 0
    body_head = ""
    scopes: list[bool] = []  # For each open brace outside bodies: is it a scope?
    parentheses = 0
    line = 1
    for position, character in enumerate(code):
        if character == "\n":
            line += 1
        elif depth_in_body:
            depth_in_body += {"{": 1, "}": -1}.get(character, 0)
            if depth_in_body == 0:
                yield Function(_function_name(body_head), body_start, line)
                head_start = position + 1
        elif character in "()":
            parentheses = max(0, parentheses + (1 if character == "(" else -1))
        elif parentheses:
            continue
        elif character == ";":
            head_start = position + 1
        elif character == "{":
            head = code[head_start:position]
            kind = "value" if scopes and not scopes[-1] else _opens(head)
            if kind == "function":
                depth_in_body, body_start, body_head = 1, line, head
            else:
                scopes.append(kind == "scope")
                if kind == "scope":
                    head_start = position + 1
        elif character == "}":
            was_scope = scopes.pop() if scopes else True
            if was_scope:
                head_start = position + 1


def _opens(head: str) -> str:
    """What a `{` after `head` opens: "scope", "function" or "value"."""
    text = re.sub(r"\[\[[^\]]*\]\]|\balignas\s*\([^()]*\)|\boperator\s*[^\s\w(]+", " ", head)
    text = re.sub(r"^\s*(public|protected|private)\s*:", " ", text)
    if re.search(r"\bnamespace\b|\bextern\s*$", text):
        return "scope"
    if _TYPE_HEAD.match(text) and "(" not in text:
        return "scope"
    if head.endswith((" ", "\n", ")")) and "(" in text and not _assigns(text):
        return "function"
    return "value"


def _assigns(head: str) -> bool:
    depth = 0
    for position, character in enumerate(head):
        if character in "(<[":
            depth += 1
        elif character in ")>]":
            depth -= 1 if head[position - 1 : position] != "-" else 0
        elif character == "=" and depth <= 0:
            return True
    return False


def _function_name(head: str) -> str:
    match = re.search(r"([~\w:]+)\s*\(([^()]*)\)?", head)
    if "operator" in head or not match:
        return "an operator"
    if match.group(1) in ("TEST", "TEST_F", "TEST_P", "RC_GTEST_PROP"):
        return match.group(1) + "(" + " ".join(match.group(2).split()) + ")"
    return match.group(1)


def _without_directives(code: str) -> str:
    directive = re.compile(r"^[ \t]*#(?:[^\n\\]|\\(?:.|\n))*", re.MULTILINE)
    return directive.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), code)


def words(name: str) -> set[str]:
    """The words of an identifier or file name, in lower case: `FooUtil_v2` -> foo, util, v2."""
    return {word.lower() for word in _WORDS.findall(name)}


class Check:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.findings: list[Finding] = []
        self.checked = 0

    def run(self) -> list[Finding]:
        source_folders: dict[pathlib.Path, bool] = {}
        for path in source_tree.files(self.root):
            self._name(path)
            if path.suffix in source_tree.CPP_SUFFIXES and path.parts[0] == "src":
                source_folders.setdefault(path.parent, False)
            is_code = path.suffix in CODE_SUFFIXES or path.name in CODE_NAMES
            if not is_code and path.suffix != ".md":
                continue
            self.checked += 1
            text = source_tree.read(self.root / path)
            if path.suffix == ".md":
                self._markdown(path, text)
            else:
                self._code(path, text)
            if path.suffix in source_tree.CPP_SUFFIXES:
                self._cpp(path, text)
        for folder in sorted(source_folders):
            self._readme(folder)
        return self.findings

    def _add(self, path, line: int, text: str, fails: bool = True) -> None:
        self.findings.append(Finding(path, line, text, fails))

    def _name(self, path: pathlib.Path) -> None:
        for word in sorted(words(path.stem) & BANNED_WORDS):
            self._add(path, 1, f"the name says {word!r}; instead: say what the file is about")

    def _code(self, path: pathlib.Path, text: str) -> None:
        lines = text.split("\n")
        is_test = bool(TEST_NAME.search(path.name)) or path.parts[0] == "test"
        most = TEST_FILE_LINES_MAX if is_test else FILE_LINES_MAX
        count = len(lines) - 1
        if count > most:
            self._add(path, most + 1, f"{count} lines, at most {most}; instead: split it by idea")
        elif count > FILE_LINES_WARN and not is_test:
            self._add(path, FILE_LINES_WARN + 1, f"{count} lines, aim at {FILE_LINES_WARN}", False)
        cpp = path.suffix in source_tree.CPP_SUFFIXES
        unbreakable = source_tree.raw_string_lines(text) if cpp and is_test else set()
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS_MAX and number not in unbreakable:
                if not _LINK.search(line):
                    self._add(path, number,
                              f"{len(line)} columns, at most {LINE_COLUMNS_MAX}; instead: break it")
            if _BANNER.match(line):
                self._add(path, number, "a banner; instead: a blank line, or a file of its own")
        notes = source_tree.comments(text) if cpp else enumerate(lines, 1)
        for number, line in notes:
            if _UNFINISHED.search(line):
                self._add(path, number, "unfinished work without an issue; instead: do it now, or "
                          "name the issue: (#12)")

    def _cpp(self, path: pathlib.Path, text: str) -> None:
        code = source_tree.blank(text)
        if path.suffix == ".h":
            first = re.search(r"\S[^\n]*", code)
            if not first or first.group(0).rstrip() != "#pragma once":
                self._add(path, 1, "no #pragma once before the first code; instead: begin with it")
        for function in functions(text):
            if function.lines > FUNCTION_LINES_MAX:
                self._add(path, function.first, f"{function.name} has {function.lines} lines, at "
                          f"most {FUNCTION_LINES_MAX}; instead: name a part of it")
        for match in _TYPE_NAME.finditer(code):
            for word in sorted(words(match.group(1)) & BANNED_WORDS):
                line = code.count("\n", 0, match.start()) + 1
                self._add(path, line, f"{match.group(1)} says {word!r}; instead: say what it does")

    def _markdown(self, path: pathlib.Path, text: str) -> None:
        fenced = False
        titles = []
        for number, line in enumerate(text.split("\n"), 1):
            if _FENCE.match(line):
                fenced = not fenced
            elif not fenced and line.startswith("# "):
                titles.append(number)
        if len(titles) != 1:
            line = titles[1] if len(titles) > 1 else 1
            self._add(path, line, f"{len(titles)} titles (# ...); instead: exactly one")

    def _readme(self, folder: pathlib.Path) -> None:
        path = folder / "README.md"
        file = self.root / path
        if not file.is_file():
            self._add(path, 1, "missing; instead: say what the folder is, its entry header, its "
                      "invariants, what it must not do")
            return
        count = len(source_tree.read(file).rstrip("\n").split("\n"))
        if count > README_LINES_MAX:
            self._add(path, README_LINES_MAX + 1,
                      f"{count} lines, at most {README_LINES_MAX}; instead: move detail to docs/")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--root", type=pathlib.Path, default=default)
    options = parser.parse_args(arguments)
    check = Check(options.root)
    findings = check.run()
    for finding in findings:
        print(finding)
    failures = sum(finding.fails for finding in findings)
    warnings = len(findings) - failures
    print(f"style: {check.checked} files, {failures} failures, {warnings} warnings")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
