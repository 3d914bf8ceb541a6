"""Debian's Prometheus beside a load: it scrapes the nodes, and promtool reads what they say."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request

from harness import lasting_port, wait_until

CONFIGURATION = """global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
"""
JOB = """  - job_name: {name}
    authorization: {{credentials_file: {token}}}
    static_configs: [{{targets: ["{address}"]}}]
"""
QUERIES = [
    "min(up)",
    "sum(rate(blixard_raft_applied_commands_total[10s]))",
    "sum(rate(blixard_http_requests_total[10s]))",
    "histogram_quantile(0.99, sum by (le) ("
    "rate(blixard_http_request_duration_seconds_bucket[10s])))",
]


class Prometheus:
    """Runs while it is entered; `verdict` is what came of it, a line each."""

    def __init__(self, nodes, directory):
        if not shutil.which("prometheus") or not shutil.which("promtool"):
            raise SystemExit("--prometheus: the Debian package prometheus is not installed")
        self.nodes, self.directory = nodes, directory / "prometheus"
        self.verdict, self.accepted, self.process = [], True, None

    def __enter__(self):
        self.directory.mkdir()
        self.address = f"127.0.0.1:{lasting_port()}"
        jobs = ""
        for node in self.nodes:
            token = self.directory / f"{node.name}.token"
            token.write_text(node.token)
            host = f"{node.connection.host}:{node.connection.port}"
            jobs += JOB.format(name=node.name, token=token, address=host)
        configuration = self.directory / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format() + jobs)
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "prometheus", f"--config.file={configuration}",
                 f"--storage.tsdb.path={self.directory / 'data'}",
                 f"--web.listen-address={self.address}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.look()
        finally:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def ask(self, query):
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except (OSError, ValueError, KeyError):
            return None
        return float(found[0]["value"][1]) if found else None

    def look(self):
        began = time.monotonic()
        wait_until("every node is up to Prometheus", lambda: self.ask("min(up)") == 1, 30)
        # A rate needs two scrapes.
        wait_until("a rate is known", lambda: self.ask(QUERIES[1]) is not None, 30)
        for query in QUERIES:
            value = self.ask(query)
            self.verdict.append(f"{query} = {'no answer' if value is None else f'{value:g}'}")
        for node in self.nodes:
            text = node.metrics_text()
            checked = subprocess.run(["promtool", "check", "metrics"], input=text,
                                     capture_output=True, text=True, check=False)
            said = "no metrics came" if not text else (checked.stdout + checked.stderr).strip()
            accepted = checked.returncode == 0 and not said
            self.accepted = self.accepted and accepted
            self.verdict.append(f"promtool check metrics, {node.name}: " +
                                (f"{len(text.splitlines())} lines accepted" if accepted else
                                 f"exit {checked.returncode}: {said[:2000]}"))
        self.verdict.append(f"scraped each second; load average {os.getloadavg()[0]:.1f}; read "
                            f"in {time.monotonic() - began:.1f} s")
        print("\n".join(f"prometheus: {line}" for line in self.verdict), flush=True)
