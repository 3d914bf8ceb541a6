#!/usr/bin/env python3
"""The load test: real daemons on this machine, thousands of pretended VMs, and an open loop of
requests at a rate that nothing slows down.

Operations of a hundred: 50 get a VM, 10 create one, 10 start, 10 stop and 10 delete one, 5 list a
page of 100, 5 ask for the status; the nodes are asked in turns, and nothing is waited for but the
answer. Latency counts from the instant at which an operation was to begin. At the end every VM must
be as it was acknowledged, and there must be no other.

The nodes have TLS between them, a data directory each, and guests that are pretended (blixard node
--hypervisor simulated): everything else is the product.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "test/e2e"))
import profiling  # noqa: E402
import prometheus  # noqa: E402
import report_page  # noqa: E402
from cluster import small_image  # noqa: E402
from harness import Daemon, lasting_port, wait_until  # noqa: E402
from watch import Node, Watch  # noqa: E402

NODE_OPTIONS = ["--hypervisor", "simulated", "--simulated-boot", "50", "--log-level", "warn"]
SEARCH_LIMIT_MS = 50.0
SEARCH_STEPS = 12


def say(text):
    print(text, file=sys.stderr, flush=True)


class Cluster:
    def __init__(self, program, directory, count):
        self.daemons = []
        image = small_image(directory / "image")
        for number in range(1, count + 1):
            entry = ["--peer-listen", f"127.0.0.1:{lasting_port()}"]
            environment = dict(os.environ)
            if number == 1:
                entry.append("--bootstrap")
            else:
                token = self.daemons[0].cli("token", "create").strip()
                environment["BLIXARD_JOIN"] = f"{token}@{self.daemons[0].peer_address}"
            # Also when this script is killed, no daemon outlives it.
            daemon = Daemon(program, directory / f"n{number}", environment=environment, entry=entry,
                            wrapper=("setpriv", "--pdeathsig", "KILL"),
                            arguments=["--name", f"n{number}", *NODE_OPTIONS])
            self.daemons.append(daemon)
            daemon.start()
            daemon.cli("image", "import", str(image))
        wait_until("all are voters", lambda: self.status().get("voters") == count and
                   self.status().get("leader"))
        self.nodes = [Node(daemon.data.name, daemon.process.pid, daemon.address, self.token(daemon))
                      for daemon in self.daemons]

    @staticmethod
    def token(daemon):
        return (daemon.data / "api.token").read_text().strip()

    def status(self):
        return self.daemons[0].json("status")

    def leader(self):
        name = self.status()["leader"]
        return next(node for node in self.nodes if node.name == name)

    def stop(self):
        for daemon in reversed(self.daemons):
            with contextlib.suppress(Exception):
                daemon.stop()
            if daemon.is_running:
                daemon.kill()


def generate(program, cluster, arguments, directory, rate, seconds, during=contextlib.nullcontext):
    """The generator's outcome; `during` is entered once the VMs are there."""
    plan = directory / "plan.json"
    plan.write_text(json.dumps({
        "nodes": [{"address": daemon.address, "token": Cluster.token(daemon)}
                  for daemon in cluster.daemons],
        "vms": arguments.vms, "rate": rate, "warm_up": arguments.warm_up, "seconds": seconds,
        "settle_max": arguments.settle, "image": "none"}))
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", program, "generate", str(plan)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        begin = time.monotonic()
        if process.stdout.readline() != "prepared\n":
            raise GeneratorFailed
        prepared = time.monotonic() - begin
        with during():
            if process.stdout.readline() != "asked\n":
                raise GeneratorFailed
        outcome = json.loads(process.stdout.readline())
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    outcome["prepared_seconds"] = prepared
    return outcome


class GeneratorFailed(SystemExit):
    """It said why."""

    def __init__(self):
        super().__init__("the generator failed")


def is_good(outcome, limit_ms):
    return (outcome["all"]["failed"] == 0 and outcome["verdict"]["good"]
            and outcome["all"]["p99_us"] / 1000 < limit_ms
            and outcome["rate"] >= 0.99 * outcome["intended_rate"])


def search(run, first):
    """The highest rate that is good, to within 5 %, and what was tried."""
    tried, good, bad, rate = [], 0.0, None, first
    while len(tried) < SEARCH_STEPS and (bad is None or bad - good > 0.05 * bad) and rate >= 10:
        try:
            outcome = run(rate)
        except GeneratorFailed:
            if not tried:
                raise
            say("  the cluster did not recover from the try before: the search ends")
            break
        tried.append(outcome)
        fits = is_good(outcome, SEARCH_LIMIT_MS)
        say(f"  {rate:,.0f}/s: p99 {outcome['all']['p99_us'] / 1000:.1f} ms, "
            f"{outcome['all']['failed']} errors: {'good' if fits else 'too much'}")
        if fits:
            good = rate
        else:
            bad = rate
        rate = 2 * good if bad is None else (good + bad) / 2
    return good, tried


def case(name, value, unit, items, better="lower", target=None):
    """Times vary with what else the disk and the CPUs do."""
    found = {"name": name, "value": value, "unit": unit, "better": better, "baselines": {},
             "ratios": {}, "items": items}
    if unit == "ms":
        found["varies"] = True
    if target is not None:
        found["target"] = f"{'<=' if better == 'lower' else '>='} {target:g} {unit}".rstrip()
        found["met"] = value <= target if better == "lower" else value >= target
    return found


def cases_of(outcome, nodes, leader, arguments):
    figures, verdict = outcome["all"], outcome["verdict"]
    large = arguments.vms > 1000
    share = 100 * figures["done"] / max(outcome["intended"], 1)
    found = [
        case("operations done", round(share, 3), "%", ["S41"], "higher", 100),
        case("rate", outcome["rate"], "/s", ["S41"], "higher"),
        case("errors", figures["failed"], "", ["S41"], "lower", 0),
        case("VMs not as acknowledged", verdict["missing"] + verdict["unasked"] +
             verdict["differing"] + verdict["unsettled"], "", ["S41"], "lower", 0),
        case("p50", figures["p50_us"] / 1000, "ms", ["S43"]),
        case("p95", figures["p95_us"] / 1000, "ms", ["S43"]),
        case("p99", figures["p99_us"] / 1000, "ms", ["S43", "S48"], "lower", 50 if large else 10),
        case("p99.9", figures["p999_us"] / 1000, "ms", ["S43"]),
        case("max", figures["max_us"] / 1000, "ms", ["S43"]),
    ]
    for name, operation in outcome["operations"].items():
        found.append(case(f"{name}, p99", operation["p99_us"] / 1000, "ms", ["S48"]))
    resident = max(value for _, value in leader.level("resident"))
    found.append(case("leader's resident memory", resident, "MiB", ["S49"], "lower",
                      None if large else 64))
    for title, name, unit, items in report_page.RATES:
        value = leader.over(name)
        if value is not None:
            found.append(case(f"leader's {title}", value, unit, items))
    cpu = statistics.fmean(value for _, value in leader.rate("cpu")) if leader.rate("cpu") else 0
    found.append(case("leader's CPU", 100 * cpu, "% of one", ["S44"]))
    return found


def machine():
    return f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}"


def name_of(arguments):
    name = "load" if arguments.vms == 1000 else f"load_{arguments.vms}"
    return name + ("_search" if arguments.search else "")


def experiment(arguments):
    """What must be the same for two results to be compared."""
    return {"nodes": arguments.nodes, "vms": arguments.vms, "rate": arguments.rate}


def print_table(result, outcome):
    print(f"{result['bench']}: {result['machine']}; beside it, load average "
          f"{os.getloadavg()[0]:.1f}\n")
    for row in result["cases"]:
        met = "" if "target" not in row else \
            f"  {row['target']}: {'met' if row['met'] else 'MISSED'}"
        print(f"  {row['name']:36} {row['value']:12,.2f} {row['unit']:10}{met}")
    print(f"\n  {'operation':10}{'done':>10}{'failed':>8}{'p50':>10}{'p95':>10}{'p99':>10}"
          f"{'p99.9':>10}{'max':>10}  ms")
    for name, row in [*outcome["operations"].items(), ("all", outcome["all"])]:
        times = "".join(f"{row[key] / 1000:10.2f}"
                        for key in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us"))
        print(f"  {name:10}{row['done']:10,}{row['failed']:8,}{times}")
        for reason, number in row["errors"].items():
            print(f"  {'':10}{number:10,} x {reason}")
    print()


def seconds(text):
    return float(text.removesuffix("s"))


def parse(words):
    parser = argparse.ArgumentParser(
        prog="./do bench load", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=3, choices=range(1, 8))
    parser.add_argument("--vms", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100, help="operations a second")
    parser.add_argument("--duration", type=seconds, default=60, metavar="60s")
    parser.add_argument("--warm-up", type=seconds, default=5, metavar="5s")
    parser.add_argument("--settle", type=seconds, default=60, metavar="60s",
                        help="for every VM to be as it is desired, at the most")
    parser.add_argument("--search", action="store_true",
                        help=f"the highest rate with p99 under {SEARCH_LIMIT_MS:g} ms, from --rate "
                        "on; --duration is of one try")
    parser.add_argument("--prometheus", action="store_true",
                        help="Debian's Prometheus scrapes the nodes meanwhile, and promtool checks "
                        "what they say")
    parser.add_argument("--profile", type=pathlib.Path, metavar="DIRECTORY",
                        help="profile the leader; flame graph and top frames go there")
    parser.add_argument("--json", type=pathlib.Path, help="where the results go")
    parser.add_argument("--report", type=pathlib.Path, help="where the page goes; default: "
                        "beside --json")
    parser.add_argument("--program", help="the daemon; default: beside this one")
    parser.add_argument("--directory", default=str(ROOT / "build"), help="on the disk to use")
    return parser.parse_args(words)


@contextlib.contextmanager
def all_of(*contexts):
    with contextlib.ExitStack() as stack:
        for context in contexts:
            if context is not None:
                stack.enter_context(context)
        yield


def measure(generator, cluster, arguments, directory):
    """The result in the form of every benchmark, and the outcome it is of.

    The watch ends first: what it sees is of the load alone, and Prometheus asks the same nodes.
    """
    leader = cluster.leader()
    watched = Watch(cluster.nodes)
    profile = profiling.Profile(leader.pid, arguments.profile) if arguments.profile else None
    scrape = prometheus.Prometheus(cluster.nodes, directory) if arguments.prometheus else None
    say(f"{arguments.vms} VMs are made ...")
    outcome = generate(generator, cluster, arguments, directory, arguments.rate,
                       arguments.duration, lambda: all_of(profile, scrape, watched))
    result = {"bench": name_of(arguments), "rounds": 1, "machine": machine(),
              "experiment": experiment(arguments),
              "cases": cases_of(outcome, cluster.nodes, leader, arguments)}
    if scrape is not None:
        result["prometheus"], result["accepted"] = scrape.verdict, scrape.accepted
    if profile is not None:
        say(profile.finish(arguments.profile))
    return result, outcome


def run(generator, cluster, arguments, directory):
    if arguments.search:
        rate, tried = search(
            lambda rate: generate(generator, cluster, arguments, directory, rate,
                                  arguments.duration), arguments.rate)
        result = {"bench": name_of(arguments), "rounds": 1, "machine": machine(),
                  "experiment": experiment(arguments), "cases": [
            case(f"highest rate with p99 under {SEARCH_LIMIT_MS:g} ms", rate, "/s", ["S41", "S43"],
                 "higher")]}
        return result, next((t for t in tried if t["intended_rate"] == rate), tried[-1])
    return measure(generator, cluster, arguments, directory)


def main():
    generator, arguments = sys.argv[1], parse(sys.argv[2:])
    program = arguments.program or str(pathlib.Path(generator).resolve().parent / "blixard")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-load-", dir=arguments.directory))
    cluster = None
    # Ended in order on SIGTERM as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        say(f"{arguments.nodes} nodes are started ...")
        cluster = Cluster(program, directory, arguments.nodes)
        result, outcome = run(generator, cluster, arguments, directory)
        print_table(result, outcome)
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            page = arguments.report or arguments.json.with_suffix(".html")
            page.write_text(report_page.page(result, outcome, cluster.nodes, arguments))
            result["operations"] = outcome["operations"]
            result["verdict"] = outcome["verdict"]
            arguments.json.write_text(json.dumps(result, indent=1))
            say(f"the report is {page}")
        if not outcome["verdict"]["good"]:
            sys.exit("FAILED: VMs are not as they were acknowledged")
        if not result.get("accepted", True):
            sys.exit("FAILED: promtool does not accept what the nodes say")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
