"""What nodes say and use while they are under load: their /metrics and /proc, once a second."""

import http.client
import os
import pathlib
import re
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)")


def parse(text):
    """The sum of all series of each name."""
    values = {}
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found:
            try:
                values[found[1]] = values.get(found[1], 0.0) + float(found[3])
            except ValueError:
                continue
    return values


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Node:
    """A node that is watched; `samples` is [{"at", "cpu", "resident", "metrics"}]."""

    def __init__(self, name, pid, address, token):
        self.name, self.pid, self.token = name, pid, token
        host, _, port = address.rpartition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=10)
        self.samples = []

    def metrics_text(self, accept="text/plain"):
        try:
            self.connection.request("GET", "/metrics", headers={
                "Authorization": f"Bearer {self.token}", "Accept": accept})
            return self.connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return ""

    def look(self, at):
        try:
            self.samples.append({"at": at, "cpu": cpu_seconds(self.pid),
                                 "resident": resident_mib(self.pid),
                                 "metrics": parse(self.metrics_text())})
        except OSError:
            pass  # it has ended; the load says so

    def rate(self, name):
        """[(seconds, per second)] of a counter, or of "cpu"."""
        def value(sample):
            return sample["cpu"] if name == "cpu" else sample["metrics"].get(name)
        points = []
        for before, after in zip(self.samples, self.samples[1:]):
            first, second = value(before), value(after)
            if first is not None and second is not None and after["at"] > before["at"]:
                points.append((after["at"], (second - first) / (after["at"] - before["at"])))
        return points

    def level(self, name):
        """[(seconds, value)] of a gauge, or of "resident"."""
        def value(sample):
            return sample["resident"] if name == "resident" else sample["metrics"].get(name)
        return [(sample["at"], value(sample)) for sample in self.samples
                if value(sample) is not None]

    def over(self, name):
        """Per second over all samples, or None."""
        if len(self.samples) < 2:
            return None
        first, last = self.samples[0], self.samples[-1]
        if name not in first["metrics"] or name not in last["metrics"]:
            return None
        return (last["metrics"][name] - first["metrics"][name]) / (last["at"] - first["at"])


class Watch:
    """Looks at all nodes once a second, from a thread of its own, until it ends."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(timeout=30)

    def run(self):
        begin = time.monotonic()
        while True:
            at = time.monotonic() - begin
            for node in self.nodes:
                node.look(at)
            if self.ending.wait(max(0.0, 1.0 - (time.monotonic() - begin - at))):
                return
