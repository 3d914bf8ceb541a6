#!/usr/bin/env python3
"""Blixard's replicated log beside etcd and beside the raw disk, in turns, in one run.

Started by `./do bench raft_proposals`. Every cell is the median of several rounds; in each round
all rivals are measured one after the other, since the disks and CPUs this runs on may be shared.
Prints a table and writes the same JSON as every benchmark, with the table for docs/performance.md
in it.

Conditions: all members on this machine over loopback, each with its own directory on a real disk,
TLS between members (etcd: --peer-auto-tls). Blixard's commands are proposed inside the leader's
process and go through the real state machine; etcd's come from one gRPC client to its leader.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
MEMBER_DEADLINE = 60.0

KEYS = ("rate", "p50_us", "p95_us", "p99_us")

# name, nodes, operation, outstanding
CELLS = [
    ("3 nodes, write, 1 outstanding", 3, "write", 1),
    ("3 nodes, write, 16 outstanding", 3, "write", 16),
    ("3 nodes, write, 64 outstanding", 3, "write", 64),
    ("3 nodes, write, 256 outstanding", 3, "write", 256),
    ("3 nodes, read, 64 outstanding", 3, "read", 64),
    ("1 node, write, 64 outstanding", 1, "write", 64),
    ("5 nodes, write, 64 outstanding", 5, "write", 64),
]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class RawDisk:
    """One 4 KiB write and fdatasync after the other, to a file that was written before."""

    SIZE = 16 << 20

    def __init__(self, directory, writers):
        self.files = []
        for writer in range(writers):
            file = os.open(directory / f"raw{writer}", os.O_RDWR | os.O_CREAT, 0o600)
            for _ in range(self.SIZE >> 20):
                os.write(file, bytes(1 << 20))
            os.fsync(file)
            self.files.append(file)

    def run(self, seconds, writers=1):
        """With others at the same time, each on a file of its own: what members share."""
        others = []
        for file in self.files[1:writers]:
            child = os.fork()
            if child == 0:
                self.write(file, seconds)
                os._exit(0)
            others.append(child)
        times = self.write(self.files[0], seconds)
        for other in others:
            os.waitpid(other, 0)
        times.sort()
        return {
            "rate": len(times) / sum(times) * 1e6,
            "p50_us": times[len(times) // 2],
            "p95_us": times[len(times) * 95 // 100],
            "p99_us": times[len(times) * 99 // 100],
        }

    def write(self, file, seconds):
        block, times, offset = b"x" * 4096, [], 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begin = time.monotonic()
            os.pwrite(file, block, offset)
            os.fdatasync(file)
            times.append((time.monotonic() - begin) * 1e6)
            offset = (offset + 4096) % self.SIZE
        return times

    def stop(self):
        for file in self.files:
            os.close(file)


class Etcd:
    def __init__(self, nodes, directory, load):
        self.load = load
        self.processes = []
        ports = free_ports(2 * nodes)
        clients, peers = ports[:nodes], ports[nodes:]
        scheme = "https" if nodes > 1 else "http"
        cluster = ",".join(f"m{i}={scheme}://127.0.0.1:{peers[i]}" for i in range(nodes))
        for i in range(nodes):
            arguments = [
                "etcd", "--name", f"m{i}", "--data-dir", str(directory / f"etcd{nodes}-{i}"),
                "--listen-client-urls", f"http://127.0.0.1:{clients[i]}",
                "--advertise-client-urls", f"http://127.0.0.1:{clients[i]}",
                "--listen-peer-urls", f"{scheme}://127.0.0.1:{peers[i]}",
                "--initial-advertise-peer-urls", f"{scheme}://127.0.0.1:{peers[i]}",
                "--initial-cluster", cluster, "--log-level", "error",
            ]
            if nodes > 1:
                arguments.append("--peer-auto-tls")
            self.processes.append(
                subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.endpoint = self.find_leader(clients)

    def find_leader(self, ports):
        until = time.monotonic() + MEMBER_DEADLINE
        while time.monotonic() < until:
            for port in ports:
                try:
                    request = urllib.request.Request(
                        f"http://127.0.0.1:{port}/v3/maintenance/status", data=b"{}")
                    with urllib.request.urlopen(request, timeout=2) as answer:
                        status = json.load(answer)
                except OSError:
                    continue
                member = status["header"]["member_id"]
                if status.get("leader") == member:
                    return f"127.0.0.1:{port}"
            time.sleep(0.1)
        raise SystemExit("etcd did not elect a leader")

    def run(self, operation, outstanding, seconds):
        output = subprocess.run(
            [self.load, "-endpoint", self.endpoint, "-operation", operation,
             "-outstanding", str(outstanding), "-seconds", str(seconds)],
            check=True, capture_output=True, text=True).stdout
        return json.loads(output)

    def memory_mib(self):
        return max(rss_mib(process.pid) for process in self.processes)

    def stop(self):
        for process in self.processes:
            end(process)


class Blixard:
    def __init__(self, nodes, directory, program):
        self.members = []
        home = directory / f"blixard{nodes}"
        ports = free_ports(nodes)
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
        subprocess.run([program, "prepare", str(home), addresses], check=True)
        self.controls = []
        for i in range(nodes):
            self.members.append(subprocess.Popen([program, "member", str(home), str(i + 1)]))
            self.controls.append(self.connect(home / str(i + 1) / "control"))
        self.leader = self.find_leader()

    @staticmethod
    def connect(path):
        until = time.monotonic() + MEMBER_DEADLINE
        while time.monotonic() < until:
            control = socket.socket(socket.AF_UNIX)
            try:
                control.connect(str(path))
                return control.makefile("rw")
            except OSError:
                control.close()
                time.sleep(0.05)
        raise SystemExit("a member does not answer")

    @staticmethod
    def ask(control, line):
        control.write(line + "\n")
        control.flush()
        answer = control.readline()
        if not answer:
            raise SystemExit("a member ended")
        answer = json.loads(answer)
        if "error" in answer:
            raise SystemExit(answer["error"])
        return answer

    def find_leader(self):
        until = time.monotonic() + MEMBER_DEADLINE
        while time.monotonic() < until:
            for control in self.controls:
                if self.ask(control, "status")["leads"]:
                    return control
            time.sleep(0.1)
        raise SystemExit("blixard did not elect a leader")

    def run(self, operation, outstanding, seconds):
        return self.ask(self.leader, f"{operation} {outstanding} {seconds}")

    def memory_mib(self):
        return max(rss_mib(member.pid) for member in self.members)

    def stop(self):
        for control in self.controls:
            control.close()
        for member in self.members:
            end(member)


def build_load(directory):
    """The load generator, from Debian's Go sources of etcd; none where they are not installed."""
    if not (shutil.which("etcd") and shutil.which("go")):
        return None
    program = directory / "etcd_load"
    source = ROOT / "test/perf/raft/etcd_load/main.go"
    environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="",
                       GOCACHE=str(ROOT / "build/go-cache"))
    built = subprocess.run(["go", "build", "-o", str(program), str(source)], env=environment,
                           capture_output=True, text=True, check=False)
    if built.returncode != 0:
        print(built.stderr, file=sys.stderr)
        return None
    return str(program)


def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def wanted_cells(arguments):
    return [cell for cell in CELLS if arguments.only in cell[0]]


def measure(arguments, directory, load):
    raw, cells, memory = RawDisk(directory, 5), [], {}
    try:
        for nodes in sorted({cell[1] for cell in wanted_cells(arguments)}):
            rivals = {"blixard": Blixard(nodes, directory, arguments.program)}
            try:
                if load:
                    rivals["etcd"] = Etcd(nodes, directory, load)
                wanted = [cell for cell in wanted_cells(arguments) if cell[1] == nodes]
                for rival in rivals.values():
                    rival.run("write", 16, 1)  # warm
                for name, _, operation, outstanding in wanted:
                    samples = {"raw": [], "shared": []} | {rival: [] for rival in rivals}
                    for done in range(arguments.rounds):
                        print(f"{name}: round {done + 1} of {arguments.rounds}", file=sys.stderr)
                        samples["raw"].append(raw.run(min(1.0, arguments.seconds)))
                        samples["shared"].append(raw.run(min(1.0, arguments.seconds), nodes))
                        for rival, cluster in rivals.items():
                            sample = cluster.run(operation, outstanding, arguments.seconds)
                            if sample["errors"]:
                                sys.exit(f"{rival}, {name}: {sample['errors']} operations failed")
                            samples[rival].append(sample)
                    cells.append({"name": name, "samples": samples})
                for rival, cluster in rivals.items():
                    members = f"{nodes} node{'s' if nodes > 1 else ''}"
                    memory[f"{rival}, {members}"] = cluster.memory_mib()
            finally:
                for cluster in rivals.values():
                    cluster.stop()
    finally:
        raw.stop()
    return cells, memory


def ms(us):
    return f"{us / 1000:.2f} ms"


def quantiles(samples):
    return [ms(median(samples, key)) for key in KEYS[1:]]


def row(*columns):
    return f"| {' | '.join(columns)} |"


def rates(cells):
    """Ours beside etcd's."""
    heads = ["case", "Blixard, /s", "p50", "p95", "p99", "etcd, /s", "p50", "p95", "p99",
             "rate to etcd's", "p50 to etcd's"]
    yield row(*heads)
    yield "|---" * len(heads) + "|"
    for cell in cells:
        ours, etcd = cell["samples"]["blixard"], cell["samples"].get("etcd")
        rival = ["not installed", *[""] * 5]
        if etcd:
            rate, latency = (median(ours, key) / median(etcd, key) for key in KEYS[:2])
            rival = [f"{median(etcd, 'rate'):,.0f}", *quantiles(etcd), f"{rate:.1f}x",
                     f"{latency:.2f}x"]
        yield row(cell["name"], f"{median(ours, 'rate'):,.0f}", *quantiles(ours), *rival)


def syncs(cells):
    """Of those that sync: ours beside the raw disk."""
    heads = ["case", "Blixard, p50", "a raw sync, p50", "above it",
             "as many raw syncs at once as nodes, p50", "above it"]
    yield row(*heads)
    yield "|---" * len(heads) + "|"
    for cell in cells:
        if "write" not in cell["name"]:
            continue
        ours = median(cell["samples"]["blixard"], "p50_us")
        columns = [cell["name"], ms(ours)]
        for rival in ("raw", "shared"):
            theirs = median(cell["samples"][rival], "p50_us")
            columns += [ms(theirs), f"{(ours - theirs) / 1000:+.2f} ms"]
        yield row(*columns)


def table(cells, memory, arguments):
    lines = [*rates(cells), "", *syncs(cells), ""]
    lines.append("Resident memory of the largest member after the load: " +
                 "; ".join(f"{name} {mib:.0f} MiB" for name, mib in memory.items()) + ".")
    lines.append(f"Medians of {arguments.rounds} rounds of {arguments.seconds:g} s; commands of "
                 f"128 bytes; {machine()}.")
    return "\n".join(lines)


def case(name, unit, samples, key, better):
    """Ours beside etcd's, with the median of the ratios within a round."""
    ours = [sample[key] for sample in samples["blixard"]]
    found = {"name": name, "value": statistics.median(ours), "unit": unit, "better": better,
             "baselines": {}, "ratios": {}, "items": ["S19", "S40"]}
    if key in ("p95_us", "p99_us"):
        found["varies"] = True  # by the disk
    if "etcd" in samples:
        theirs = [sample[key] for sample in samples["etcd"]]
        found["baselines"]["etcd"] = statistics.median(theirs)
        found["ratios"]["etcd"] = statistics.median(
            (our / their if better == "higher" else their / our)
            for our, their in zip(ours, theirs))
    return found


def result(cells, memory, text, arguments):
    cases = []
    for cell in cells:
        cases.append(case(cell["name"], "/s", cell["samples"], "rate", "higher"))
        for key in KEYS[1:]:
            name = f"{cell['name']}, {key.removesuffix('_us')}"
            cases.append(case(name, "us", cell["samples"], key, "lower"))
    return {"bench": "raft_proposals", "rounds": arguments.rounds, "machine": machine(),
            "cases": cases, "page": text, "memory_mib": memory}


def machine():
    return f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", help="the benchmark's member program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", help="where the results go",
                        default="build/bench/raft_proposals.json")
    parser.add_argument("--only", default="", help="the cases whose name contains this")
    parser.add_argument("--directory", help="on the disk to measure", default=str(ROOT / "build"))
    arguments = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-raft-", dir=arguments.directory))
    try:
        load = build_load(directory)
        if load is None:
            print("etcd-server, golang-go and golang-etcd-server-dev are not all installed: "
                  "no comparison with etcd", file=sys.stderr)
        cells, memory = measure(arguments, directory, load)
        text = table(cells, memory, arguments)
        pathlib.Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(arguments.json).write_text(
            json.dumps(result(cells, memory, text, arguments), indent=1))
        print(text)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
