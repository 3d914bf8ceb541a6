"""Reading the source tree for the checks: which files there are, and C++ text without the parts
that are not code.

`blank` keeps every line and column in its place, so that a match in the blanked text has the same
position in the file.
"""

import os
import pathlib
import re
from typing import Iterator

SKIPPED_FOLDERS = {".git", ".blixard", ".cache", "build", "node_modules", "__pycache__"}
CPP_SUFFIXES = {".h", ".cc"}

_TOKEN = re.compile(
    r"""
    (?P<raw>\b(?:u8|[uUL])?R"(?P<tag>[^()\\\s"]{0,16})\((?:.|\n)*?\)(?P=tag)")
  | (?P<line>//(?:[^\n\\]|\\(?:.|\n))*)
  | (?P<block>/\*(?:.|\n)*?\*/)
  | (?P<string>"(?:[^"\\\n]|\\(?:.|\n))*")
  | (?P<number>\b[0-9](?:[0-9a-zA-Z_.]|'[0-9a-zA-Z_])*)
  | (?P<char>'(?:[^'\\\n]|\\.)+')
    """,
    re.VERBOSE,
)


def files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every file below `root` that is ours, as a path relative to `root`, in sorted order."""
    for folder, names, file_names in os.walk(root):
        names[:] = sorted(name for name in names if name not in SKIPPED_FOLDERS)
        for name in sorted(file_names):
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(root)


def read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _spaces(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def blank(text: str, keep_strings: bool = False) -> str:
    """`text` with comments, strings and character literals replaced by spaces."""

    def replace(match: re.Match) -> str:
        kind = match.lastgroup if match.lastgroup != "tag" else "raw"
        token = match.group(0)
        if kind == "number" or (keep_strings and kind == "string"):
            return token
        return _spaces(token)

    return _TOKEN.sub(replace, text)


def comments(text: str) -> Iterator[tuple[int, str]]:
    """The comments of a C++ text as (line number, text of that line's part)."""
    for match in _TOKEN.finditer(text):
        if match.group("line") is None and match.group("block") is None:
            continue
        first = text.count("\n", 0, match.start()) + 1
        for offset, line in enumerate(match.group(0).split("\n")):
            yield first + offset, line


def raw_string_lines(text: str) -> set[int]:
    """Numbers of the lines that a raw string touches; no formatter can break those."""
    lines: set[int] = set()
    for match in _TOKEN.finditer(text):
        if match.group("raw") is not None:
            first = text.count("\n", 0, match.start()) + 1
            lines.update(range(first, first + match.group(0).count("\n") + 1))
    return lines
