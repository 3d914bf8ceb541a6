#!/usr/bin/env python3
"""How well and how fast requests are placed: `blixard-vopr place` on generated mixes or a trace.

Started by `./do bench place`. Shares and bins are the same on every machine; times are of this one,
medians of several rounds. Without --trace everything is drawn by tools/placement_mix.py from fixed
seeds. --plot docs/plots/placement.svg makes the plot of docs/performance.md.

--trace DIR has nodes.csv and pods.csv, and perhaps bins/*.items (u*: bins of 150, weibull*: of
100). All of the pods arrive in random order, then draws from them up to 1.3 times the GPUs; nodes
are in random order too; ten seeds. The published figures of the trace are beside ours.
"""

import argparse
import csv
import json
import math
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import tempfile

import plot

ROOT = pathlib.Path(__file__).resolve().parents[3]
MIX = ROOT / "tools/placement_mix.py"

SIZES = [1000, 2000, 5000, 10000, 20000, 50000, 100000]
# name, fleet, words of placement_mix.py requests, load
STREAMS = [
    ("gpu-sharing, half full", "gpu", ["--mix", "gpu-sharing"], 0.5),
    ("gpu-sharing, full", "gpu", ["--mix", "gpu-sharing"], 1.3),
    ("multi-gpu, full", "gpu", ["--mix", "multi-gpu", "--spec-percent", "33"], 1.3),
    ("flavors, full", "plain", ["--mix", "flavors"], 1.1),
]
SPEED_NODES, SPEED_LEAST = 5000, 50_000
TAIL_NODES, TAIL_MOST_US = 100_000, 1000

QUALITY_NODES, QUALITY_REQUESTS, LOAD = 1213, 8152, 1.3
QUALITY_SEEDS = range(1, 6)
TRACE_SEEDS = range(42, 52)
OURS = [("fragmentation-aware", "exact"), ("fragmentation-aware", "sampled")]
RIVALS = [("best-fit", None), ("random", None), ("most-available", "exact"),
          ("least-available", "exact")]
# USENIX ATC 2023, of the same trace by the same protocol, in percent.
PUBLISHED = {"fragmentation-aware": ("FGD", 95.39), "best-fit": ("best-fit", 93.08),
             "random": ("random", 87.47)}
PUBLISHED_OTHERS = [("packing", 92.00), ("clustering", 91.88), ("dot-product", 90.85)]
# Means of best-fit and of the best published rule, by how the names of the files begin.
BINS = {"u": ("OR3, 500 items", 150, 212.0, 207.45),
        "weibull": ("Weibull, 5,000 items", 100, 2067.0, 2001.4)}


def die(text):
    sys.exit(f"place: {text}")


def said_by(command):
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode != 0:
        name = pathlib.Path(command[0]).name
        die(done.stderr.strip() or f"{name} ended with {done.returncode} and said nothing")
    return done.stdout


def mix(*words):
    return said_by([sys.executable, MIX, *map(str, words)])


class Bench:
    def __init__(self, arguments, folder):
        self.vopr = pathlib.Path(arguments.program).resolve().parent / "blixard-vopr"
        if not self.vopr.exists():
            die(f"{self.vopr} is not built (ninja -C build/release blixard-vopr)")
        self.arguments, self.folder, self.cases, self.lines = arguments, folder, [], []

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def place(self, *words):
        return json.loads(said_by([self.vopr, "place", "--json", *map(str, words)]))

    def add(self, name, value, unit, better="higher", baselines=None, target=None, varies=False):
        """`target`: a text and whether it is met."""
        baselines, ratios = baselines or {}, {}
        for rival, theirs in baselines.items():
            over, under = (value, theirs) if better == "higher" else (theirs, value)
            if under > 0:
                ratios[rival] = over / under
        case = {"name": name, "value": value, "unit": unit, "better": better,
                "baselines": baselines, "ratios": ratios, "varies": varies, "items": []}
        if target:
            case["target"], case["met"] = target
        self.cases.append(case)

    def table(self, heads, rows):
        self.lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|",
                       *("| " + " | ".join(row) + " |" for row in rows), ""]

    # How well.

    def shares(self, seeds, inputs):
        """GPU shares in percent by strategy and mode, a value a seed; `inputs(seed)` are words."""
        found = {}
        for seed in seeds:
            words = inputs(seed)
            for strategy, mode in OURS + RIVALS:
                result = self.place(*words, "--strategy", strategy,
                                    *(["--mode", mode] if mode else []))
                found.setdefault((strategy, mode), []).append(100 * result["gpu_allocated_share"])
        return found

    def add_shares(self, shares, what, least):
        means = {key: statistics.mean(values) for key, values in shares.items()}
        rivals = {name: means[name, mode] for name, mode in RIVALS}
        for strategy, mode in OURS:
            value = means[strategy, mode]
            self.add(f"GPUs allocated, {what}, {mode}", value, "%", baselines=rivals,
                     target=(f">= {least:g} %", value >= least) if least else
                     ("above best-fit", value > rivals["best-fit"]))
        return means

    def bins(self, label, capacity, files, wanted=None):
        ours, rival = (statistics.mean(
            self.place("--bins", "--capacity", capacity, "--strategy", strategy, file)["bins_used"]
            for file in files) for strategy in ("fragmentation-aware", "best-fit"))
        target = (f"<= {wanted:g}", ours <= wanted) if wanted else ("below best-fit", ours < rival)
        self.add(f"bins, {label}", ours, "", "lower", {"best-fit": rival}, target)
        return ours, rival


def share_rows(shares, means):
    for strategy, mode in OURS + RIVALS:
        values = shares[strategy, mode]
        name = f"{strategy}, {mode}" if mode else strategy
        published = "{} {:.2f} %".format(*PUBLISHED[strategy]) if strategy in PUBLISHED else ""
        yield [name, f"{means[strategy, mode]:.2f} %",
               f"{min(values):.2f} to {max(values):.2f} %", published]


def generated(bench):
    def inputs(seed):
        nodes = bench.file("nodes.csv", mix("nodes", "--nodes", QUALITY_NODES, "--seed", seed))
        requests = bench.file("requests.csv", mix("requests", "--count", QUALITY_REQUESTS, "--mix",
                                                  "gpu-sharing", "--seed", seed))
        return ["--nodes", nodes, "--requests", requests, "--load", LOAD, "--seed", seed]

    shares = bench.shares(QUALITY_SEEDS, inputs)
    means = bench.add_shares(shares, "generated mix", None)
    bench.table(["strategy", "GPUs allocated", "of single seeds"],
                [row[:3] for row in share_rows(shares, means)])
    rows = []
    for label, words, capacity, sets in [("uniform, 500 items", ("uniform", 500), 150, 20),
                                         ("Weibull, 5,000 items", ("weibull", 5000), 100, 5)]:
        files = [bench.file(f"{seed}.items", mix("bins", "--distribution", words[0], "--count",
                                                 words[1], "--seed", seed))
                 for seed in range(1, sets + 1)]
        ours, rival = bench.bins(label, capacity, files)
        rows.append([f"{label}, {sets} sets, capacity {capacity}", f"{ours:.2f}", f"{rival:.2f}"])
    bench.table(["bins", "fragmentation-aware", "best-fit"], rows)
    growth = speed(bench)
    if bench.arguments.plot:
        target = pathlib.Path(bench.arguments.plot)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(plot.chart(growth, "nodes", "us for a decision"), encoding="utf-8")


# How fast.

def speed(bench):
    """Microseconds of a decision by stream: [(nodes, us)]."""
    growth, rows = {}, []
    for name, fleet, words, load in STREAMS:
        requests = bench.file("requests.csv",
                              mix("requests", "--count", 50_000, "--seed", 1, *words))
        for size in SIZES:
            nodes = bench.file("nodes.csv", mix("nodes", "--nodes", size, "--seed", 1, "--fleet",
                                                fleet))
            found = [bench.place("--nodes", nodes, "--requests", requests, "--load", load)
                     for _ in range(bench.arguments.rounds)]
            rate = statistics.median(one["decisions_per_s"] for one in found)
            p50, p99 = (statistics.median(one["latency_us"][key] for one in found)
                        for key in ("p50", "p99"))
            growth.setdefault(name, []).append((size, 1e6 / rate))
            placed = 100 * found[0]["placed"] / found[0]["requests"]
            rows.append([name, f"{size:,}", f"{rate:,.0f}", f"{p50:.1f} us", f"{p99:.1f} us",
                         f"{placed:.1f} %"])
            if size == SPEED_NODES:
                bench.add(f"decisions at {size:,} nodes, {name}", rate, "/s", varies=True,
                          target=(f">= {SPEED_LEAST:,} /s", rate >= SPEED_LEAST))
            if size == TAIL_NODES:
                bench.add(f"p99 at {size:,} nodes, {name}", p99, "us", "lower", varies=True,
                          target=(f"<= {TAIL_MOST_US:,} us", p99 <= TAIL_MOST_US))
        most = 2 * math.log(SIZES[-1]) / math.log(SIZES[0])
        ratio = growth[name][-1][1] / growth[name][0][1]
        bench.add(f"cost at {SIZES[-1]:,} nodes to that at {SIZES[0]:,}, {name}", ratio, "x",
                  "lower", varies=True, target=(f"<= {most:.2f}x", ratio <= most))
    bench.table(["requests", "nodes", "decisions/s", "p50", "p99", "placed"], rows)
    return growth


def trace(bench):
    folder = bench.arguments.trace
    nodes_file, pods_file = folder / "nodes.csv", folder / "pods.csv"
    for file in (nodes_file, pods_file):
        if not file.exists():
            die(f"{file} is not there")

    def inputs(seed):
        # First, as it says what is wrong with either file.
        requests = mix("arrivals", "--requests", pods_file, "--nodes", nodes_file, "--load", LOAD,
                       "--seed", seed)
        header, *order = nodes_file.read_text(encoding="utf-8").splitlines()
        random.Random(seed).shuffle(order)
        gpus = sum(int(row["gpu"]) for row in csv.DictReader([header, *order]))
        asked = sum(int(row["num_gpu"]) * int(row["gpu_milli"])
                    for row in csv.DictReader(requests.splitlines()))
        return ["--nodes", bench.file("nodes.csv", "\n".join([header, *order, ""])),
                "--requests", bench.file("requests.csv", requests),
                "--load", f"{asked / (gpus * 1000) - 1e-9:.12f}"]

    shares = bench.shares(TRACE_SEEDS, inputs)
    means = bench.add_shares(shares, "trace", 95.4)
    rows = list(share_rows(shares, means))
    rows += [["", "", "", f"{name} {value:.2f} %"] for name, value in PUBLISHED_OTHERS]
    bench.table(["strategy", "GPUs allocated", "of single seeds", "published"], rows)
    rows = []
    for begin, (label, capacity, best_fit, best) in BINS.items():
        files = sorted((folder / "bins").glob(f"{begin}*.items"))
        if not files:
            continue
        ours, rival = bench.bins(label, capacity, files, best)
        rows.append([f"{label}, {len(files)} sets", f"{ours:.2f}", f"{rival:.2f}",
                     f"{best_fit:.2f}", f"{best:.2f}"])
    if rows:
        bench.table(["bins", "fragmentation-aware", "best-fit", "best-fit, published",
                     "best rule, published"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", help="the benchmark, beside which blixard-vopr stands")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="build/bench/place.json", help="where the results go")
    parser.add_argument("--trace", type=pathlib.Path, help="a folder with nodes.csv and pods.csv")
    parser.add_argument("--plot", help="where the plot of cost by size goes",
                        default=str(ROOT / "build/bench/placement.svg"))
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}"
    with tempfile.TemporaryDirectory(prefix="bench-place-") as folder:
        bench = Bench(arguments, pathlib.Path(folder))
        if arguments.trace:
            trace(bench)
        else:
            generated(bench)
            bench.lines.append(f"Times are medians of {arguments.rounds} rounds; {machine}.")
    page = "\n".join(bench.lines).rstrip()
    print(page)
    for case in bench.cases:
        if not case.get("met", True):
            print(f"missed: {case['name']}: {case['value']:.2f}, {case['target']}")
    rounds = 1 if arguments.trace else arguments.rounds
    result = {"bench": "place", "experiment": "trace" if arguments.trace else "generated",
              "rounds": rounds, "machine": machine, "cases": bench.cases, "page": page}
    path = pathlib.Path(arguments.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
