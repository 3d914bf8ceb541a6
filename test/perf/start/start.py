#!/usr/bin/env python3
"""How soon a guest answers: VMs of one node, and beside them, in turns, the same guests under QEMU
alone, with the product's own arguments. Cold ones boot, warm ones are clones of a template, pooled
ones clones in hypervisors that stood by; beside those QEMU alone has to start first.

Two moments are told, both after the one at which all guests of a batch were asked for: of the
agent's answer (for the product that is when POST /v1/vms?wait=running is answered) and of the first
HTTP 200 of the guest's page, for which it is asked after that. "All" is the last guest's.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import signal
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path += [str(ROOT / "test/e2e"), str(ROOT / "test/perf/placement")]
import plot  # noqa: E402
from bare import Bare, Command  # noqa: E402
from batch import Failed, at_rest, available_mib  # noqa: E402
from harness import Place  # noqa: E402
from product import GUEST_MIB, Node, remove_groups  # noqa: E402

KINDS = ("cold", "warm", "pooled")
POOLED_MOST_MS = 60.0
AT_ONCE = [1, 4, 16, 64]
AT_ONCE_MAX, ROUNDS_MAX, IDLE_SECONDS_MAX = 128, 1000, 600
ROUNDS_LEAST = 3  # of a batch of many, in which every guest is a measurement
MIB_OF_A_GUEST = GUEST_MIB + 96  # at the most: its memory, and what emulation translates
OWN_MOST_MS = 10.0
MANY, MANY_MOST = 64, 1.5
RIVAL = "bare QEMU"
EXAMPLES = """Examples:
  ./do bench start
  ./do bench start --at-once 1 --rounds 5
  ./do bench start --at-once 64 --only warm
  ./do bench start --accept --plot docs/plots/start.svg

--accept, which ./do takes, makes the result the accepted one. It starts daemons and guests of its
own and leaves nothing behind, also after Ctrl-C."""


def die(text):
    sys.exit(f"start: {text}")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Round:
    """One batch of the product and one of QEMU alone, in ms."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs

    @staticmethod
    def figures(answers):
        """By (moment, which guest)."""
        return {(moment, which): of([getattr(one, moment) for one in answers])
                for moment in ("agent", "page")
                for which, of in (("p50", statistics.median), ("all", max))}

    def pairs(self):
        ours, theirs = self.figures(self.ours), self.figures(self.theirs)
        return {key: (ours[key], theirs[key]) for key in ours}


class Rest:
    """Of a guest that nobody asks: MiB and percent of one CPU."""

    def __init__(self, memory, cpu):
        self.memory, self.cpu = memory, cpu


class Bench:
    def __init__(self, nodes, bare, arguments):
        self.nodes, self.bare, self.arguments = nodes, bare, arguments
        self.rounds, self.rest = {}, {}  # by (kind, at once)
        self.end = time.monotonic() + arguments.minutes * 60

    def rounds_of(self, count):
        """Enough for as many guests as there are rounds, and a few."""
        return max(min(self.arguments.rounds, ROUNDS_LEAST), -(-self.arguments.rounds // count))

    def measure(self, count):
        rounds = self.rounds_of(count)
        for number in range(rounds):
            for kind in self.nodes:
                if time.monotonic() > self.end:
                    raise Failed(f"it takes more than {self.arguments.minutes:g} minutes; fewer "
                                 "--rounds, or more --minutes")
                found = self.one_round(kind, count, number, number + 1 == rounds)
                self.rounds.setdefault((kind, count), []).append(found)
                ours, theirs = found.pairs()["agent", "all"]
                say(f"{kind}, {count} at once, {number + 1} of {rounds}: {ours:,.0f} ms, "
                    f"{RIVAL} {theirs:,.0f} ms")

    def one_round(self, kind, count, number, is_last):
        sides = [("ours", self.nodes[kind]), ("theirs", self.bare)]
        answers = {}
        # Whoever is second finds the caches as the first left them.
        for side, starter in sides if number % 2 == 0 else reversed(sides):
            of_kind = (bare_kind(kind),) if starter is self.bare else ()
            if starter is not self.bare:
                starter.make_ready(count)
            answers[side], pids = starter.start_all(*of_kind, f"vm-{count}-{number}", count)
            if is_last:
                rest = Rest(*at_rest(pids, self.arguments.idle))
                self.rest.setdefault((kind, count), {})[side] = rest
            starter.delete_all()
        return Round(answers["ours"], answers["theirs"])

    # What was found.

    def median(self, kind, count, moment, which):
        """Ours, theirs, and the medians of the ratios and of the differences within the rounds."""
        pairs = [one.pairs()[moment, which] for one in self.rounds[kind, count]]
        ours, theirs = (statistics.median(side) for side in zip(*pairs))
        return (ours, theirs, statistics.median(one / other for one, other in pairs),
                statistics.median(one - other for one, other in pairs))

    def cases(self):
        found = []
        for kind, count in self.rounds:
            for moment, what in (("agent", "agent"), ("page", "first page")):
                for which in ("p50", "all") if count > 1 else ("p50",):
                    ours, theirs, ratio, over = self.median(kind, count, moment, which)
                    name = f"{kind}, {count} at once, {what}"
                    one = case(name if count == 1 else f"{name}, {which}", ours, "ms", theirs,
                               1 / ratio)
                    if (kind, count, moment, which) == ("warm", MANY, "agent", "all"):
                        one |= {"target": f"<= {MANY_MOST:g}x {RIVAL}",
                                "met": ratio <= MANY_MOST}
                    is_pooled_one = (kind, count, moment) == ("pooled", 1, "agent")
                    if is_pooled_one:
                        one |= {"target": f"< {POOLED_MOST_MS:g} ms", "met": ours < POOLED_MOST_MS}
                    found.append(one)
                    if (count, moment) == (1, "agent") and not is_pooled_one:
                        found.append(case(f"{kind}, the product's own share", over, "ms") |
                                     {"target": f"< {OWN_MOST_MS:g} ms", "met": over < OWN_MOST_MS,
                                      "varies": True})
            sides = self.rest[kind, count]
            for what, unit in (("memory", "MiB"), ("cpu", "% of one CPU")):
                ours, theirs = (getattr(sides[side], what) for side in ("ours", "theirs"))
                name = "memory of a guest" if what == "memory" else "idle CPU of a guest"
                found.append(case(f"{kind}, {count} at once, {name}", ours, unit, theirs,
                                  theirs / ours if ours > 0 else None) |
                             {"varies": what == "cpu"})
        return found

    def page(self, cases):
        lines = []
        for moment, what in (("agent", "the agent's answer"), ("page", "the first page")):
            own = ["by the node itself"] if moment == "agent" else []
            lines += [*table(["start", "at once", f"{what}, p50", RIVAL, "of all", RIVAL, *own],
                             (self.row(kind, count, moment) for kind, count in self.rounds)), ""]
        rows = []
        for kind, count in self.rounds:
            sides = self.rest[kind, count]
            ours, theirs = sides["ours"], sides["theirs"]
            rows.append([kind, str(count), f"{ours.memory:.1f} MiB", f"{theirs.memory:.1f} MiB",
                         f"{ours.cpu:.2f} %", f"{theirs.cpu:.2f} %"])
        lines += table(["start", "at once", "memory of a guest", RIVAL, "CPU of an idle guest",
                        RIVAL], rows)
        aims = [[one["name"], f"{one['value']:,.1f} {one['unit']}",
                 f"{one['target']}: {'met' if one['met'] else '**missed**'}"]
                for one in cases if "target" in one]
        if aims:
            lines += ["", *table(["aim", "Blixard", "target"], aims)]
        each = ", ".join(f"{len(rounds)} of {count}" for (kind, count), rounds in
                         self.rounds.items() if kind == next(iter(self.nodes)))
        return "\n".join([*lines, "", f"Medians of rounds ({each} at once); guests of {GUEST_MIB} "
                          f"MiB and 1 vCPU; {self.machine()}."])

    def row(self, kind, count, moment):
        cells = [kind, str(count)]
        for which in ("p50", "all"):
            ours, theirs, ratio, _ = self.median(kind, count, moment, which)
            cells += [f"{ours:,.0f} ms", f"{theirs:,.0f} ms ({ratio:.2f}x)"]
        if moment == "agent":
            each = [one.took for found in self.rounds[kind, count] for one in found.ours]
            cells.append(f"{statistics.median(each):,.0f} ms")
        return cells

    def series(self):
        """For the plot: ms until all of a batch have answered, by their number."""
        found = {}
        for kind in self.nodes:
            for at, side in enumerate((kind, f"{kind}, {RIVAL}")):
                found[side] = [(count, self.median(kind, count, "agent", "all")[at])
                               for of_kind, count in self.rounds if of_kind == kind]
        return found

    def machine(self):
        return (f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}, "
                f"{self.bare.accelerator()}")


def bare_kind(kind):
    """QEMU alone has nothing that stands by."""
    return "cold" if kind == "cold" else "warm"


def case(name, value, unit, theirs=None, ratio=None):
    """`ratio`: how many times better ours is."""
    return {"name": name, "value": value, "unit": unit, "better": "lower",
            "baselines": {} if theirs is None else {RIVAL: theirs},
            "ratios": {} if ratio is None else {RIVAL: ratio}, "items": []}


def table(heads, rows):
    return ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|",
            *("| " + " | ".join(row) + " |" for row in rows)]


def numbers(text):
    found = [int(word) for word in text.split(",")]
    if not all(1 <= one <= AT_ONCE_MAX for one in found) or len(set(found)) != len(found):
        raise ValueError
    return sorted(found)


def within(kind, least, most):
    def read(text):
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not within {least} and {most}")
        return value
    return read


def parse(words):
    parser = argparse.ArgumentParser(prog="./do bench start", description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=within(int, 1, ROUNDS_MAX), default=20,
                        help="of one guest at a time; of more at once fewer, but "
                        f"{ROUNDS_LEAST} at least")
    parser.add_argument("--at-once", type=numbers, default=AT_ONCE, metavar="1,4,16,64",
                        help=f"guests of a batch, up to {AT_ONCE_MAX}")
    parser.add_argument("--only", choices=KINDS, help="leave the others out; not to be accepted")
    parser.add_argument("--idle", type=within(float, 0.01, IDLE_SECONDS_MAX), default=10,
                        metavar="10", help="seconds for which guests are watched at rest")
    parser.add_argument("--minutes", type=within(float, 0.1, 600), default=60, metavar="60",
                        help="it ends after so many")
    parser.add_argument("--image", type=pathlib.Path, default=ROOT / "build/guest",
                        help="folder of the guest's image; default: build/guest")
    parser.add_argument("--program", type=pathlib.Path, help="the daemon; default: beside this one")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build/bench/start.json",
                        help="where the results go")
    parser.add_argument("--plot", type=pathlib.Path, default=ROOT / "build/bench/start.svg",
                        help="where the plot of times by number goes")
    return parser.parse_args(words)


@contextlib.contextmanager
def only_of_ours(place, groups):
    """At the end, however it comes, nothing is left that was started in `place`."""
    try:
        yield
    finally:
        for which in (signal.SIGINT, signal.SIGTERM):
            signal.signal(which, signal.SIG_IGN)
        for daemon in place.daemons:
            if daemon.is_running:
                daemon.kill()
        quiet = 0
        while quiet < 3:  # what a daemon was about to start when it was killed
            pids = place.guests()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            quiet = 0 if pids else quiet + 1
            time.sleep(0.02)
        place.close()
        remove_groups(groups)


def measured(program, arguments):
    place, groups = Place(program, arguments.image), set()
    with only_of_ours(place, groups), contextlib.ExitStack() as ending:
        place.path.chmod(0o711)  # guests may run as another user
        nodes, commands = {}, {}
        for kind in [arguments.only] if arguments.only else KINDS:
            nodes[kind] = Node(place, kind, arguments.image)
            with nodes[kind].sample() as vm:
                groups |= nodes[kind].groups
                commands[bare_kind(kind)] = Command.of_process(vm["pid"])
        bare = Bare(place.path / "bare", commands)
        ending.callback(bare.delete_all)
        bench = Bench(nodes, bare, arguments)
        for count in arguments.at_once:
            bench.measure(count)
        for node in nodes.values():
            node.daemon.stop()
    return bench


def main():
    program, arguments = sys.argv[1], parse(sys.argv[2:])
    arguments.image = arguments.image.resolve()
    program = (arguments.program or pathlib.Path(program).parent / "blixard").resolve()
    if not program.exists():
        die(f"{program} is not built (ninja -C build/release blixard)")
    if not (arguments.image / "image.json").exists():
        die(f"{arguments.image} holds no guest image (tools/guest/build.py makes it)")
    needed = max(arguments.at_once) * MIB_OF_A_GUEST
    if needed > available_mib():
        die(f"{max(arguments.at_once)} guests at once take up to {needed:,} MiB, and "
            f"{available_mib():,.0f} are available; see --at-once")
    # Ended in order on SIGTERM as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bench = measured(program, arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failed, AssertionError, OSError) as error:
        die(error)
    cases = bench.cases()
    page = bench.page(cases)
    print(page)
    result = {"bench": "start", "experiment": {"at_once": arguments.at_once},
              "rounds": arguments.rounds, "machine": bench.machine(), "cases": cases, "page": page}
    for path, text in ((arguments.plot, plot.chart(bench.series(), "started at once",
                                                   "ms until all have answered")),
                       (arguments.json, json.dumps(result, indent=1))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
