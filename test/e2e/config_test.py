#!/usr/bin/env python3
"""The configuration file of a real daemon: what is refused, and reloading it under load.

    python3 test/e2e/config_test.py --program build/dev/bin/blixard [TEST...]
"""

import argparse
import http.client
import json
import signal
import subprocess
import sys
import threading
import unittest

import harness
from harness import wait_until

OPTIONS = None


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self.place = harness.Place(OPTIONS.program, None)
        self.addCleanup(self.place.close)
        self.file = self.place.path / "blixard.toml"

    def daemon(self, text, *arguments):
        self.file.write_text(text)
        return self.place.daemon(
            arguments=["--config", str(self.file), "--hypervisor", "simulated", *arguments])

    def values(self, daemon):
        answer = daemon.json("config", "show")
        return {value["key"]: value for value in answer["values"]}

    def program(self, *words):
        return subprocess.run([OPTIONS.program, *words], capture_output=True, text=True, timeout=60)


class Files(ConfigTest):
    def test_check_says_line_and_nearest_key(self):
        self.file.write_text("[log]\nlevel = 3\n\n[api]\nlissten = 1\n")
        done = self.program("config", "check", str(self.file))
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.file}:2: log.level is of the wrong type", done.stderr)
        self.assertIn(f"{self.file}:5: unknown key api.lissten; instead: api.listen", done.stderr)
        example = self.program("config", "example")
        self.file.write_text(example.stdout)
        self.assertEqual(self.program("config", "check", str(self.file)).returncode, 0)

    def test_a_daemon_does_not_start_with_a_fault(self):
        daemon = self.daemon("[api]\nconnections_max = 0\n")
        daemon.launch()
        self.assertIn(f"{self.file}:2: api.connections_max is refused",
                      daemon.fails(exit_code=2))

    def test_guests_of_the_other_hypervisor_are_not_taken_for_ended_ones(self):
        for folder, hypervisor in (("vms", "simulated"), ("pretended-vms", "qemu")):
            daemon = self.place.daemon(arguments=["--hypervisor", hypervisor])
            (daemon.data / folder / "1").mkdir(parents=True)
            daemon.launch()
            self.assertIn("hypervisor_changed", daemon.fails())

    def test_show_says_where_each_value_comes_from(self):
        daemon = self.daemon("[node]\nname = \"seven\"\n[log]\nlevel = \"warn\"\n",
                             "--log-level", "error").start()
        values = self.values(daemon)
        self.assertEqual(values["node.name"]["value"], '"seven"')
        self.assertEqual(values["node.name"]["source"], f"{self.file}:2")
        self.assertEqual(values["log.level"]["value"], '"error"')
        self.assertEqual(values["log.level"]["source"], "--log-level")
        self.assertEqual(values["api.connections_max"]["source"], "default")
        local = json.loads(self.program("config", "show", str(self.file), "-o", "json").stdout)
        levels = [v for v in local["values"] if v["key"] == "log.level"]
        self.assertEqual(levels[0]["source"], f"{self.file}:4")


class Reload(ConfigTest):
    def test_a_reload_changes_what_may_and_names_the_rest(self):
        daemon = self.daemon("[log]\nlevel = \"info\"\n").start()
        self.file.write_text("[log]\nlevel = \"debug\"\n[node]\nname = \"other\"\n")
        answer = daemon.json("config", "reload")
        self.assertEqual(answer["changed"], ["log.level"])
        self.assertEqual(answer["needs_restart"], ["node.name"])
        self.assertEqual(self.values(daemon)["node.name"]["waiting"], '"other"')
        self.assertIn("needs a restart: node.name", daemon.log())

        self.file.write_text("[log]\nlevel = \"loud\"\n")
        status, _, body = daemon.request("POST", "/v1/config/reload")
        self.assertEqual(status, 400)
        problem = json.loads(body)
        self.assertEqual(problem["code"], "configuration_invalid")
        self.assertIn(f"{self.file}:2: ", problem["detail"])
        self.assertEqual(self.values(daemon)["log.level"]["value"], '"debug"')

    def test_sighup_under_load_fails_no_request(self):
        daemon = self.daemon("[log]\nlevel = \"info\"\n").start()
        done = threading.Event()
        failures, counts = [], []

        def ask():
            host, _, port = daemon.address.rpartition(":")
            token = (daemon.data / "api.token").read_text().strip()
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            count = 0
            while not done.is_set():
                try:
                    connection.request("GET", "/v1/status",
                                       headers={"Authorization": f"Bearer {token}"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        failures.append(answer.status)
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    return
                count += 1
            connection.close()
            counts.append(count)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(40):
                level = "debug" if number % 2 == 0 else "info"
                self.file.write_text(f"[log]\nlevel = \"{level}\"\n"
                                     f"[api]\nevent_streams_max = {number + 1}\n")
                if number % 4 < 2:
                    daemon.process.send_signal(signal.SIGHUP)
                    wait_until("the reload", lambda: self.streams(daemon) == str(number + 1))
                else:
                    daemon.request("POST", "/v1/config/reload")
                    self.assertEqual(self.streams(daemon), str(number + 1))
        finally:
            done.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(counts), 4)
        self.assertGreater(min(counts), 0)
        self.assertTrue(daemon.is_running)

    def streams(self, daemon):
        _, _, body = daemon.request("GET", "/v1/config")
        values = {value["key"]: value for value in json.loads(body)["values"]}
        return values["api.event_streams_max"]["value"]

    def test_limits_follow_the_file(self):
        daemon = self.daemon("[api]\nevent_streams_max = 0\nconnections_max = 2\n").start()
        status, _, body = daemon.request("GET", "/v1/events")
        self.assertEqual((status, json.loads(body)["code"]), (503, "too_many_streams"))
        held = [harness.UnixConnection(daemon.socket, 30) for _ in range(2)]
        for connection in held:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        self.assertEqual(daemon.request("GET", "/healthz")[0], 503)
        self.file.write_text("[api]\nconnections_max = 3\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until("room for one more", lambda: daemon.request("GET", "/healthz")[0] == 200)
        for connection in held:
            connection.close()


def main():
    global OPTIONS
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
