#!/usr/bin/env python3
"""Every instrument that is declared is counted with somewhere.

Looks for members of an instrument's type (observe::Counter, observe::HistogramFamily<...>, ...)
below src/, and for code that records with them: `name.add(`, `name[...].observe(` and so on. That
it is reached, test/conformance/node/telemetry_test.cc shows; this one also sees what only a rare
branch would record, and says at once where.
"""

import argparse
import pathlib
import re
import sys

DECLARED = re.compile(
    r"^\s+(?:observe::)?(?:Counter|Gauge|Histogram)(?:Family<[^;]*>)?\s+(\w+)(?:\{[^;]*\})?;", re.M)
RECORDS = r"\b{name}\s*(?:\[[^;]*?\])?\s*\.\s*(?:add|set|observe)\("


def declared_in(text):
    return DECLARED.findall(text)


def is_recorded(name, texts):
    pattern = re.compile(RECORDS.format(name=re.escape(name)))
    return any(pattern.search(text) for text in texts)


def check(root):
    sources = {path: path.read_text() for path in sorted(root.rglob("*"))
               if path.suffix in (".h", ".cc") and not path.stem.endswith(("_test", "_bench"))
               and "observe" not in path.relative_to(root).parts}
    failures = []
    count = 0
    for path, text in sources.items():
        for name in declared_in(text):
            count += 1
            if not is_recorded(name, sources.values()):
                failures.append(f"{path}: {name} is declared and nothing is counted with it")
    return count, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / "src")
    count, failures = check(parser.parse_args().root)
    for failure in failures:
        print(failure)
    print(f"instruments: {count}, {len(failures)} never used")
    sys.exit(1 if failures or count == 0 else 0)


if __name__ == "__main__":
    main()
