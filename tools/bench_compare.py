#!/usr/bin/env python3
"""A benchmark's result beside the last accepted one.

Compared are ratios to the rivals of the same run, within a tolerance, and allocations, which are
exact; times alone say more about the machine and what else it does, so they are only shown. Nor
are ratios compared that vary by chance, as the case says, or that are of another machine. Exits 1
if a ratio or a count became worse, a target that was met is missed, or a case is gone; --accept
stores the result instead. Exits 2 if the results are not of one experiment.
"""

import argparse
import json
import pathlib
import sys

TOLERANCE = 0.5  # of a ratio: two runs of one program differ so much on a shared machine


def by_name(result):
    return {case["name"]: case for case in result["cases"]}


def ratios(case):
    """Times that we are better than each rival."""
    if "ratios" in case:
        return case["ratios"]
    lower = case.get("better", "lower") == "lower"
    found = {}
    for name, theirs in case.get("baselines", {}).items():
        upper, under = (theirs, case["value"]) if lower else (case["value"], theirs)
        if under > 0:
            found[name] = upper / under
    return found


def findings(result, accepted, tolerance, partial=False):
    """Lines (what, is it worse) for everything that differs."""
    now, before = by_name(result), by_name(accepted)
    is_here = result.get("machine") == accepted.get("machine")
    for name, old in before.items():
        new = now.get(name)
        if new is None:
            if not partial:
                yield f"{name}: it is gone", True
            continue
        counts = is_here and not new.get("varies", False)
        if old.get("met") and not new.get("met", True):
            yield f"{name}: {new['value']:g}, the target {new['target']} was met", counts
        old_count, new_count = old.get("allocations"), new.get("allocations")
        if old_count is not None and new_count is None:
            yield f"{name}: allocations are counted no more", True
        elif old_count is not None and new_count != old_count:
            line = f"{name}: {new_count:g} allocations, accepted {old_count:g}"
            yield line, new_count > old_count
        old_ratios, new_ratios = ratios(old), ratios(new)
        for rival, ratio in old_ratios.items():
            if rival not in new_ratios:
                yield f"{name}: no comparison with {rival}", False
            elif new_ratios[rival] < ratio * (1 - tolerance):
                yield f"{name}: {new_ratios[rival]:.2f}x {rival}, accepted {ratio:.2f}x", counts
            elif new_ratios[rival] > ratio / (1 - tolerance):
                yield f"{name}: {new_ratios[rival]:.2f}x {rival}, accepted {ratio:.2f}x", False
    for name in now.keys() - before.keys():
        yield f"{name}: is new", False


def is_same_experiment(result, accepted):
    return all(result.get(key) == accepted.get(key) for key in ("bench", "experiment"))


def compare(result, accepted, tolerance, partial):
    worse = False
    for line, is_worse in findings(result, accepted, tolerance, partial):
        print(f"  {'WORSE ' if is_worse else ''}{line}")
        worse = worse or is_worse
    if not worse:
        print(f"  as accepted: no ratio is worse by more than {tolerance:.0%}, no allocation more")
    return worse


def stored(result):
    """As text, one case a line, so that a change of it can be read."""
    head = {key: value for key, value in result.items() if key != "cases"}
    cases = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in result["cases"])
    return json.dumps(head, ensure_ascii=False)[:-1] + ',\n "cases": [\n  ' + cases + "\n ]}\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=pathlib.Path)
    parser.add_argument("accepted", type=pathlib.Path)
    parser.add_argument("--accept", action="store_true", help="store the result as accepted")
    parser.add_argument("--partial", action="store_true", help="not every case was measured")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    options = parser.parse_args(arguments)
    result = json.loads(options.result.read_text())
    for case in result["cases"]:
        if not case.get("met", True):
            print(f"  {case['name']}: the target {case['target']} is missed")
    accepted = json.loads(options.accepted.read_text()) if options.accepted.exists() else None
    if accepted and not is_same_experiment(result, accepted):
        print(f"bench_compare: {options.accepted} is of another experiment: "
              f"{accepted['bench']} {accepted.get('experiment', '')}", file=sys.stderr)
        return 2
    if options.accept:
        if options.partial:
            print("bench_compare: a part of a benchmark cannot be accepted", file=sys.stderr)
            return 2
        options.accepted.parent.mkdir(parents=True, exist_ok=True)
        options.accepted.write_text(stored(result))
        print(f"  accepted: {options.accepted}")
        return 0
    if accepted is None:
        print("  nothing was accepted yet (--accept)")
        return 0
    return int(compare(result, accepted, options.tolerance, options.partial))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
