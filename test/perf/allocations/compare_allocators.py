#!/usr/bin/env python3
"""The allocators of BLIXARD_ALLOCATOR under the same load, in turns, in one run.

Each is preloaded into the same programs, which is what linking it does, too: the simulator on
seeds of every scenario (processor time and memory of one thread), and three members of a cluster
that write and read (rate, latency, memory). Medians of the rounds; on a shared machine a
difference of a few percent is none.
"""

import argparse
import importlib.util
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
ALLOCATORS = {
    "system": "",
    "mimalloc": str(LIBRARIES / "libmimalloc.so.2"),
    "jemalloc": str(LIBRARIES / "libjemalloc.so.2"),
}


def raft_bench():
    place = ROOT / "test/perf/raft/compare.py"
    spec = importlib.util.spec_from_file_location("compare", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def simulate(program, library, seeds):
    """Seconds of processor time and MiB of one simulator."""
    arguments = [program, "fuzz", "--scenario", str(ROOT / "test/scenarios"), "--from", "1000",
                 "--seeds", str(seeds), "--jobs", "1"]
    child = subprocess.Popen(arguments, env=dict(os.environ, LD_PRELOAD=library),
                             stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{program} failed")
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024}


def in_turns(rounds):
    for number in range(rounds):
        names = list(ALLOCATORS)
        yield from names if number % 2 == 0 else reversed(names)


def compare_simulator(program, rounds, seeds):
    samples = {name: [] for name in ALLOCATORS}
    for name in in_turns(rounds):
        samples[name].append(simulate(program, ALLOCATORS[name], seeds))
    print(f"\nsimulator, {seeds} seeds        CPU s     MiB")
    for name, all_of in samples.items():
        cpu = statistics.median(sample["cpu_s"] for sample in all_of)
        mib = statistics.median(sample["mib"] for sample in all_of)
        print(f"{name:24} {cpu:8.2f} {mib:7.1f}")


def compare_raft(program, rounds, seconds):
    bench = raft_bench()
    samples = {name: {"write": [], "read": []} for name in ALLOCATORS}
    with tempfile.TemporaryDirectory(prefix="blixard-allocators") as directory:
        clusters = {}
        for name, library in ALLOCATORS.items():
            home = pathlib.Path(directory) / name
            home.mkdir()
            os.environ["LD_PRELOAD"] = library
            clusters[name] = bench.Blixard(3, home, program)
        os.environ.pop("LD_PRELOAD")
        for name in in_turns(rounds):
            for operation, all_of in samples[name].items():
                all_of.append(clusters[name].run(operation, 64, seconds))
        print("\n3 members, 64 outstanding   writes/s  p99 us   reads/s  p99 us     MiB")
        for name, cluster in clusters.items():
            figures = [statistics.median(sample[key] for sample in samples[name][operation])
                       for operation in ("write", "read") for key in ("rate", "p99_us")]
            print(f"{name:24} {figures[0]:11.0f} {figures[1]:7.0f} {figures[2]:9.0f} "
                  f"{figures[3]:7.0f} {cluster.memory_mib():7.1f}")
            cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    programs = pathlib.Path(arguments.programs)
    compare_simulator(str(programs / "blixard-vopr"), arguments.rounds, arguments.seeds)
    compare_raft(str(programs / "raft_proposals_bench"), arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
