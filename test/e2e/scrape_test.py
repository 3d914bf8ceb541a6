#!/usr/bin/env python3
"""Programs nobody here wrote judge what a node tells of itself: promtool reads its metrics and our
alert rules, and a Prometheus scrapes it. Also that the generated files are what the program makes
now. Skipped, and said so, where Prometheus is not installed."""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

import harness
from harness import wait_until

OPTIONS = argparse.Namespace()
SOURCE = pathlib.Path(__file__).resolve().parents[2]
GENERATED = {
    "metrics": SOURCE / "docs/reference/metrics.md",
    "dashboard": SOURCE / "packaging/observability/dashboard.json",
    "alerts": SOURCE / "packaging/observability/alerts.yml",
}
RULE_TESTS = pathlib.Path(__file__).resolve().parent / "alerts_test.yml"
SKIPPED = 77


def generated(what):
    return subprocess.run([OPTIONS.program, "telemetry", what], capture_output=True, text=True,
                          check=True, timeout=30).stdout


def promtool(*arguments, text=None):
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True,
                          timeout=60)


class Prometheus:
    """One on loopback that scrapes a daemon, until close()."""

    def __init__(self, daemon):
        self.directory = tempfile.TemporaryDirectory(prefix="blixard-prometheus-")
        path = pathlib.Path(self.directory.name)
        self.address = f"127.0.0.1:{harness.free_port()}"
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(GENERATED["alerts"])],
            "scrape_configs": [{
                "job_name": "blixard",
                "static_configs": [{"targets": [daemon.address]}],
                "authorization": {"credentials_file": str(daemon.data / "api.token")},
            }],
        }
        (path / "prometheus.json").write_text(json.dumps(config))  # YAML, too
        self.log_path = path / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={path}/prometheus.json",
                 f"--storage.tsdb.path={path}/data", f"--web.listen-address={self.address}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def get(self, what, **arguments):
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError as error:
            if self.process.poll() is not None:
                raise AssertionError(f"Prometheus ended: {self.log()}") from error
            return None

    def value(self, query):
        """Of the one series that answers; none yet: None."""
        data = self.get("query", query=query)
        result = data["result"] if data else []
        return float(result[0]["value"][1]) if len(result) == 1 else None

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=30)
        self.directory.cleanup()


class Telemetry(unittest.TestCase):
    def setUp(self):
        self.place = harness.Place(OPTIONS.program, None)
        self.addCleanup(self.place.close)

    def node(self):
        return self.place.daemon().start()

    def test_promtool_accepts_what_a_node_tells(self):
        daemon = self.node()
        status, headers, content = daemon.request("GET", "/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        done = promtool("check", "metrics", text=content.decode())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        # It must be able to say no.
        done = promtool("check", "metrics", text=content.decode().replace("} ", "} x", 1))
        self.assertNotEqual(done.returncode, 0)

    def test_a_real_node_tells_of_its_allocator_and_locks(self):
        text = self.node().request("GET", "/metrics")[2].decode()
        told = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name = line.partition("{")[0].partition(" ")[0]
                told.setdefault(name, []).append(float(line.split()[-1]))
        for name in ("blixard_allocations_total", "blixard_allocated_bytes_total",
                     "blixard_frees_total"):
            self.assertGreater(max(told.get(name, [0])), 0, name)
        for name in ("taken_total", "contended_total", "wait_seconds_total", "wait_max_seconds",
                     "holds_measured_total", "hold_seconds_total", "hold_max_seconds"):
            self.assertTrue(told.get("blixard_lock_" + name), name)

    def test_a_prometheus_scrapes(self):
        daemon = self.node()
        prometheus = Prometheus(daemon)
        self.addCleanup(prometheus.close)
        wait_until("Prometheus says that the node is up", lambda: prometheus.value("up") == 1, 60)
        for _ in range(7):
            self.assertEqual(daemon.request("GET", "/healthz")[0], 200)
        wait_until("the requests are counted",
                   lambda: prometheus.value('blixard_http_requests_total'
                                            '{route="healthz",status="2xx"}') == 7, 60)
        self.assertEqual(prometheus.value("blixard_raft_role{role='leader'}"), 1)
        self.assertGreater(prometheus.value(
            'sum(blixard_log_write_duration_seconds_bucket{le="+Inf"})'), 0)
        # Only OpenMetrics tells units: so that is what was scraped.
        metadata = prometheus.get("targets/metadata",
                                  metric="blixard_raft_proposal_duration_seconds")
        self.assertEqual([(each["type"], each["unit"]) for each in metadata],
                         [("histogram", "seconds")])
        self.assertEqual([target["lastError"] for target in
                          prometheus.get("targets")["activeTargets"]], [""])
        rules = wait_until("the alerts were evaluated", lambda: [
            rule for group in (prometheus.get("rules") or {"groups": []})["groups"]
            for rule in group["rules"] if rule["health"] != "unknown"], 60)
        self.assertEqual([(rule["name"], rule.get("lastError")) for rule in rules
                          if rule["health"] != "ok"], [])

    def test_generated_files_are_what_the_program_makes(self):
        for what, path in GENERATED.items():
            self.assertEqual(path.read_text(), generated(what),
                             f"make it anew: blixard telemetry {what} > {path}")

    def test_promtool_accepts_the_alerts(self):
        done = promtool("check", "rules", str(GENERATED["alerts"]))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = promtool("test", "rules", str(RULE_TESTS))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_is_tested(self):
        rules = [line.split()[-1] for line in GENERATED["alerts"].read_text().splitlines()
                 if line.startswith("  - alert: ")]
        tested = RULE_TESTS.read_text()
        self.assertEqual([rule for rule in rules if f"alertname: {rule}\n" not in tested], [])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("tests", nargs="*")
    parser.parse_args(namespace=OPTIONS)
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} is not installed: nobody else judges our metrics",
              file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *[f"Telemetry.{test}" for test in OPTIONS.tests]])


if __name__ == "__main__":
    main()
