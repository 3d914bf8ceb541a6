#!/usr/bin/env python3
"""The layering rule: who may include whom, from the table in tools/layering.toml.

Prints one line for each violation, `file:line: rule; what to do instead`, and exits 1 if there
is one. Also refuses circles, in the table and between headers, folders the table does not name, and
headers that nothing includes.
"""

import argparse
import dataclasses
import fnmatch
import pathlib
import re
import sys
import tomllib
from typing import Iterator, Optional

import source_tree

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
_STANDARD = re.compile(r"[a-z0-9_]+\Z")
_C_STANDARD = {
    "assert.h", "ctype.h", "errno.h", "fenv.h", "float.h", "inttypes.h", "limits.h", "locale.h",
    "math.h", "setjmp.h", "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
    "stdio.h", "stdlib.h", "string.h", "wchar.h",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Violation:
    path: pathlib.PurePath
    line: int
    rule: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}; instead: {self.instead}"


@dataclasses.dataclass(frozen=True)
class Include:
    line: int
    name: str
    quoted: bool


def includes(text: str) -> Iterator[Include]:
    code = source_tree.blank(text, keep_strings=True)
    for match in _INCLUDE.finditer(code):
        line = code.count("\n", 0, match.start()) + 1
        # The end of the blank space before `#include` may lie on an earlier line.
        line += match.group(0)[: match.group(0).index("#")].count("\n")
        yield Include(line, match.group(1) or match.group(2), match.group(1) is not None)


class Table:
    """The rules of layering.toml, with the questions the check asks."""

    def __init__(self, data: dict):
        self.folders: dict[str, dict] = data["folder"]
        self.libraries: dict[str, list[str]] = data["library"]
        self.tests: dict = data["tests"]
        self.generated: dict = data["generated"]
        self.banned_headers: list[dict] = data.get("banned_header", [])
        self.banned_words = [
            (re.compile(rule["pattern"]), rule) for rule in data.get("banned_word", [])
        ]
        self.instead_folder: dict[str, str] = data["instead"]["folder"]
        self.instead_library: dict[str, str] = data["instead"]["library"]

    def folder_of(self, path: str) -> Optional[str]:
        """The entry for a file or header; `path` is relative to src/ (or begins with test/)."""
        parent = path.rpartition("/")[0]
        best: Optional[str] = None
        for name, entry in self.folders.items():
            if name.endswith("*"):
                fits = path.startswith(name[:-1])
            elif entry.get("here_only"):
                fits = parent == name
            else:
                fits = parent == name or parent.startswith(name + "/")
            if fits and (best is None or len(name) > len(best)):
                best = name
        return best

    def is_test(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.tests["files"])

    def may_include(self, source: str, target: str, test: bool) -> bool:
        if source == target:
            return True
        entry = self.folders[source]
        allowed = entry["may"] + (self.tests["may"] + entry.get("tests_may", []) if test else [])
        return any(_covers(pattern, target) for pattern in allowed)

    def libraries_of(self, name: str) -> list[str]:
        return [
            library
            for library, prefixes in self.libraries.items()
            if any(_begins(name, prefix) for prefix in prefixes)
        ]

    def may_use(self, source: str, library: str, test: bool) -> bool:
        allowed = self.folders[source]["libraries"] + (self.tests["libraries"] if test else [])
        return "*" in allowed or library in allowed

    def folder_hint(self, source: str, target: str) -> str:
        if source.startswith("node/") and target == "node":
            return "node/node.* puts the parts together; a part never sees it"
        if source.startswith("core/") and target.startswith("core/"):
            return self.instead_folder["core"]
        return self.instead_folder.get(target.split("/")[0], "ask for the value as a parameter")

    def circle(self) -> Optional[list[str]]:
        # app/vopr* lists app, and entries of test code list nothing that lists them.
        graph = {
            name: {
                other
                for other in self.folders
                if other != name and any(_covers(p, other) for p in entry["may"])
            }
            for name, entry in self.folders.items()
        }
        return find_circle(graph)


def _covers(pattern: str, folder: str) -> bool:
    if pattern.endswith("/*"):
        return folder.startswith(pattern[:-1])
    return folder == pattern


def _begins(name: str, prefix: str) -> bool:
    # "boost/json" is for <boost/json.hpp> and <boost/json/parser.hpp>, not for <boost/jsonic.hpp>.
    if not name.startswith(prefix):
        return False
    rest = name[len(prefix) :]
    return prefix.endswith("/") or rest == "" or rest[0] in "/."


def find_circle(graph: dict[str, set[str]]) -> Optional[list[str]]:
    """Some circle in `graph` as a closed list of names, or None. Iterative: trees can be deep."""
    state: dict[str, int] = {}
    for start in sorted(graph):
        if start in state:
            continue
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(graph[start])))]
        state[start] = 1
        path.append(start)
        while stack:
            name, rest = stack[-1]
            step = next((n for n in rest if n in graph and state.get(n) != 2), None)
            if step is None:
                state[name] = 2
                stack.pop()
                path.pop()
            elif state.get(step) == 1:
                return path[path.index(step) :] + [step]
            else:
                state[step] = 1
                path.append(step)
                stack.append((step, iter(sorted(graph[step]))))
    return None


class Check:
    def __init__(self, root: pathlib.Path, table: Table):
        self.root = root
        self.table = table
        self.violations: list[Violation] = []
        self.headers: dict[str, set[str]] = {}
        self.checked = 0

    def run(self) -> list[Violation]:
        circle = self.table.circle()
        if circle:
            self._add("tools/layering.toml", 1, "the table has a circle: " + " -> ".join(circle),
                      "let one of them take the value as a parameter")
        for top in ("src", "test"):
            folder = self.root / top
            for path in source_tree.files(folder) if folder.is_dir() else ():
                if path.suffix in source_tree.CPP_SUFFIXES:
                    self.checked += 1
                    self._file(pathlib.PurePosixPath(top) / path.as_posix())
        included = set().union(*self.headers.values())
        for name in sorted(self.headers.keys() - included):
            if name.endswith(".h"):
                path = name if name.startswith("test/") else f"src/{name}"
                self._add(path, 1, "nothing includes this header", "remove it, or use it")
        circle = find_circle(self.headers)
        if circle:
            self._add(f"src/{circle[0]}", 1, "headers include each other: " + " -> ".join(circle),
                      "declare the type forward, or move what both need into a third header")
        return self.violations

    def _add(self, path, line: int, rule: str, instead: str) -> None:
        self.violations.append(Violation(pathlib.PurePosixPath(path), line, rule, instead))

    def _file(self, path: pathlib.PurePosixPath) -> None:
        text = source_tree.read(self.root / path)
        name = path.as_posix().removeprefix("src/")
        source = self.table.folder_of(name)
        if source is None:
            self._add(path, 1, f"{name.rpartition('/')[0] or 'src/'} has no entry in the table",
                      "use a folder of tools/layering.toml, or add one with its reason")
            return
        self.headers.setdefault(name, set())
        test = self.table.is_test(name)
        for include in includes(text):
            if include.quoted:
                self._quoted(path, name, source, test, include)
            else:
                self._angled(path, source, test, include)
        self._words(path, source, name, text)

    def _quoted(self, path, name: str, source: str, test: bool, include: Include) -> None:
        generated = self.table.generated
        if include.name.startswith(generated["prefix"]):
            self._library(path, source, test, include, [generated["library"]])
            return
        if not self._exists(include.name):
            self._add(path, include.line, f'"{include.name}" is not a header below src/',
                      'write the path from src/ ("env/disk.h"), and libraries in <>')
            return
        self.headers[name].add(include.name)
        target = self.table.folder_of(include.name)
        if target is None or self.table.may_include(source, target, test):
            return
        self._add(path, include.line, f'{source} may not include {target} ("{include.name}")',
                  self.table.folder_hint(source, target))

    def _exists(self, name: str) -> bool:
        return (self.root / "src" / name).is_file() or (
            name.startswith("test/") and (self.root / name).is_file()
        )

    def _angled(self, path, source: str, test: bool, include: Include) -> None:
        libraries = self.table.libraries_of(include.name)
        if libraries:
            self._library(path, source, test, include, libraries)
        elif _STANDARD.match(include.name) or include.name in _C_STANDARD:
            for rule in self.table.banned_headers:
                if include.name in rule["headers"] and not _within(source, rule["allowed_in"]):
                    self._add(path, include.line, f"{source} may not include <{include.name}>",
                              rule["instead"])
        else:
            self._add(path, include.line, f"<{include.name}> belongs to no library we know",
                      "add it to tools/layering.toml and docs/decisions/0003-dependencies.md")

    def _library(self, path, source, test, include: Include, libraries: list[str]) -> None:
        if any(self.table.may_use(source, library, test) for library in libraries):
            return
        library = libraries[0]
        shown = f'"{include.name}"' if include.quoted else f"<{include.name}>"
        self._add(path, include.line, f"{source} may not use {library} ({shown})",
                  self.table.instead_library.get(library, "see tools/layering.toml for who may"))

    def _words(self, path, source: str, name: str, text: str) -> None:
        code = source_tree.blank(text)
        for pattern, rule in self.table.banned_words:
            if _within(source, rule["allowed_in"]) or name in rule["allowed_in"]:
                continue
            for match in pattern.finditer(code):
                line = code.count("\n", 0, match.start()) + 1
                word = match.group(0).strip("({ \t")
                self._add(path, line, f"{source} may not use {word}", rule["instead"])


def _within(source: str, folders: list[str]) -> bool:
    return any(source == f or source.startswith((f + "/", f + "*")) for f in folders)


def main(arguments: list[str]) -> int:
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=here.parent)
    parser.add_argument("--table", type=pathlib.Path, default=here / "layering.toml")
    options = parser.parse_args(arguments)
    with options.table.open("rb") as file:
        table = Table(tomllib.load(file))
    check = Check(options.root, table)
    violations = check.run()
    for violation in violations:
        print(violation)
    if violations:
        print(f"layering: {len(violations)} violations in {check.checked} files")
        return 1
    print(f"layering: {check.checked} files, no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
