#!/usr/bin/env python3
"""One node and real guests, from the outside: what a user does, and what goes wrong for one.

    python3 test/e2e/node_test.py --program build/dev/bin/blixard --image build/guest [TEST...]

With --user, root starts the daemon and every command as that user, who has no other group.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import unittest

import harness
from harness import Refused, alive, answers, page, start_ticks, wait_until

OPTIONS = None
SKIPPED = 77  # exit code, as ctest is told


class NodeTest(unittest.TestCase):
    def setUp(self):
        self.place = harness.Place(OPTIONS.program, OPTIONS.image)
        self.addCleanup(self.place.close)

    def node(self, *arguments, **options):
        """A running daemon that has the guest image."""
        daemon = self.place.daemon(arguments=arguments, **options).start()
        if harness.identity:
            owner = os.stat(f"/proc/{daemon.process.pid}").st_uid
            self.assertEqual(owner, harness.identity["user"])
        daemon.cli("image", "import", str(OPTIONS.image), "--name", "guest")
        return daemon

    def create(self, daemon, name, *more):
        """A running VM with its page published; (pid, port)."""
        daemon.cli("vm", "create", name, "--image", "guest", "--publish", "80", "--wait", *more)
        vm = daemon.vm(name)
        self.assertEqual(vm["state"], "running")
        return vm["pid"], vm["published_ports"][0]["host_port"]

    def refused(self, daemon, *words):
        with self.assertRaises(Refused) as caught:
            daemon.cli(*words)
        return str(caught.exception)


class Lifecycle(NodeTest):
    def test_create_stop_start_delete(self):
        daemon = self.node()
        pid, port = self.create(daemon, "web")
        status, body = page(port)
        self.assertEqual(status, 200)
        self.assertEqual(body.splitlines()[0], "hello from web")
        self.assertEqual(page(port, "/health")[0], 200)
        self.assertIn("blixard: ready", daemon.cli("vm", "logs", "web"))

        daemon.cli("vm", "stop", "web", "--wait")
        self.assertEqual(daemon.vm("web")["state"], "stopped")
        self.assertFalse(alive(pid))
        self.assertFalse(answers(port))
        self.assertIn("stopped (stopped_by_agent)", daemon.log())

        daemon.cli("vm", "start", "web", "--wait")
        again = daemon.vm("web")
        self.assertEqual(again["state"], "running")
        self.assertNotEqual(again["pid"], pid)
        self.assertTrue(answers(again["published_ports"][0]["host_port"]))

        daemon.cli("vm", "delete", "web", "--wait")
        self.assertIn("vm_not_found", self.refused(daemon, "vm", "status", "web"))
        self.assertEqual(self.place.guests(), [])
        self.assertEqual(list((daemon.data / "records").iterdir()), [])
        self.assertEqual([entry for entry in (daemon.data / "vms").iterdir() if entry.is_dir()], [])
        daemon.stop()

    def test_two_guests_have_their_own_names_and_ports(self):
        daemon = self.node()
        _, first = self.create(daemon, "one")
        _, second = self.create(daemon, "two")
        self.assertEqual(page(first)[1].splitlines()[0], "hello from one")
        self.assertEqual(page(second)[1].splitlines()[0], "hello from two")
        self.assertEqual({vm["name"] for vm in daemon.json("vm", "list")["vms"]}, {"one", "two"})
        table = daemon.cli("vm", "list")
        self.assertRegex(table, r"(?m)^one +running +guest ")

    def test_a_vm_that_fits_nowhere_says_why_and_starts_when_capacity_appears(self):
        daemon = self.node()
        daemon.cli("vm", "create", "huge", "--image", "guest", "--memory", "1000GiB")
        reason = wait_until("a reason", lambda: "memory" in daemon.vm("huge")["reason"] and
                            daemon.vm("huge")["reason"])
        self.assertIn("1024000", reason)
        self.assertEqual(daemon.vm("huge")["state"], "pending")
        daemon.cli("vm", "delete", "huge", "--wait")

    def test_the_guest_powers_off_by_itself(self):
        daemon = self.node()
        pid, _ = self.create(daemon, "web", "--restart", "on-failure")
        # The guest's own shutdown: the power button, pressed through the operators' monitor.
        monitor = socket.socket(socket.AF_UNIX)
        monitor.settimeout(10)
        [second] = daemon.data.glob("vms/*/qmp2*")
        monitor.connect(str(second))
        monitor.recv(4096)
        monitor.sendall(b'{"execute":"qmp_capabilities"}\n{"execute":"system_powerdown"}\n')
        wait_until("stopped", lambda: daemon.vm("web")["state"] == "stopped")
        monitor.close()
        self.assertIn("guest_shutdown", daemon.vm("web")["reason"])
        wait_until("the process is gone", lambda: not alive(pid))


class Survival(NodeTest):
    def test_kill_9_of_the_daemon_and_adoption(self):
        daemon = self.node()
        pid, port = self.create(daemon, "web")
        ticks = start_ticks(pid)
        for _ in range(3):
            daemon.kill()
            self.assertTrue(answers(port), "the guest serves while its daemon is dead")
            daemon.start()
            wait_until("adopted", lambda: f"adopted, pid {pid}" in daemon.log())
            vm = daemon.vm("web")
            self.assertEqual((vm["state"], vm["pid"]), ("running", pid))
            self.assertEqual(start_ticks(pid), ticks)
            self.assertTrue(answers(port))
            self.assertEqual(self.place.guests(), [pid])
        # It is ours in every respect: it can be stopped as any other.
        daemon.cli("vm", "stop", "web", "--wait")
        self.assertIn("stopped (stopped_by_agent)", daemon.log())
        self.assertFalse(alive(pid))

    def test_a_clean_stop_leaves_guests_running(self):
        daemon = self.node()
        pid, port = self.create(daemon, "web")
        daemon.stop()
        self.assertTrue(alive(pid))
        self.assertTrue(answers(port))
        daemon.start()
        wait_until("adopted", lambda: f"adopted, pid {pid}" in daemon.log())
        self.assertEqual(daemon.vm("web")["pid"], pid)

    def test_a_clean_stop_stops_guests_when_told_and_the_next_start_starts_them(self):
        daemon = self.node("--stop-guests-on-exit")
        pid, _ = self.create(daemon, "web", "--restart", "never")
        daemon.stop()
        self.assertFalse(alive(pid))
        self.assertEqual(self.place.guests(), [])
        daemon.start()
        wait_until("runs again", lambda: daemon.vm("web")["state"] == "running" and
                   daemon.vm("web")["pid"] != pid)

    def test_kill_9_in_the_middle_of_starts_leaves_one_process_each(self):
        daemon = self.node()
        names = [f"vm-{i}" for i in range(3)]
        for name in names:
            daemon.cli("vm", "create", name, "--image", "guest", "--publish", "80")
        for _ in range(4):
            wait_until("a process", self.place.guests, 30)
            daemon.kill()
            daemon.start()
        for name in names:
            wait_until(f"{name} runs", lambda: daemon.vm(name)["state"] == "running")
        pids = {daemon.vm(name)["pid"] for name in names}
        self.assertEqual(len(pids), 3)
        wait_until("no process without an owner", lambda: set(self.place.guests()) == pids)

    def test_kill_9_of_the_guest_fails_it_with_a_reason(self):
        daemon = self.node()
        pid, _ = self.create(daemon, "web", "--restart", "never")
        os.kill(pid, signal.SIGKILL)
        wait_until("failed", lambda: daemon.vm("web")["state"] == "failed")
        self.assertIn("process_died", daemon.vm("web")["reason"])
        # Started by hand it runs again.
        daemon.cli("vm", "start", "web", "--wait")
        self.assertEqual(daemon.vm("web")["state"], "running")

    def test_kill_9_of_the_guest_restarts_it_by_policy(self):
        daemon = self.node()
        pid, _ = self.create(daemon, "web", "--restart", "on-failure")
        os.kill(pid, signal.SIGKILL)
        vm = wait_until("runs again", lambda: (vm := daemon.vm("web"))["state"] == "running" and
                        vm.get("restarts") == 1 and vm)
        self.assertNotEqual(vm["pid"], pid)
        self.assertEqual(self.place.guests(), [vm["pid"]])

    def test_a_guest_killed_while_the_daemon_is_away(self):
        daemon = self.node()
        pid, _ = self.create(daemon, "web", "--restart", "on-failure")
        daemon.kill()
        os.kill(pid, signal.SIGKILL)
        wait_until("the process is gone", lambda: not alive(pid))
        daemon.start()
        vm = wait_until("runs again", lambda: (vm := daemon.vm("web"))["state"] == "running" and
                        vm["pid"] != pid and vm)
        self.assertEqual(self.place.guests(), [vm["pid"]])

    def test_a_vm_deleted_while_its_daemon_dies_leaves_nothing(self):
        daemon = self.node()
        self.create(daemon, "web")
        daemon.cli("vm", "delete", "web")
        daemon.kill()
        daemon.start()
        wait_until("nothing is left", lambda: not self.place.guests())
        wait_until("gone", lambda: daemon.json("vm", "list").get("vms", []) == [])


class BrokenHypervisor(NodeTest):
    """A directory in front of PATH holds what the test wants QEMU to be."""

    def node_with(self, script):
        programs = self.place.path / "bin"
        programs.mkdir()
        program = programs / "qemu-system-x86_64"
        program.write_text(script)
        program.chmod(0o755)
        self.place.path.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        return self.node("--accelerator", "tcg", environment={**os.environ, "PATH": path})

    def failed(self, daemon):
        daemon.cli("vm", "create", "web", "--image", "guest", "--restart", "never")
        wait_until("failed", lambda: daemon.vm("web")["state"] == "failed")
        self.assertEqual(self.place.guests(), [])
        daemon.cli("vm", "delete", "web", "--wait")  # and the node goes on
        return daemon

    def real(self):
        return "/usr/bin/qemu-system-x86_64"

    def questions_answered(self, otherwise):
        """A QEMU that says what it is, but starts no guest."""
        return (f'#!/bin/sh\ncase "$*" in *-kernel*) ;; *) exec {self.real()} "$@";; esac\n'
                f"{otherwise}\n")

    def test_crash_at_start(self):
        daemon = self.node_with(self.questions_answered(
            'echo "qemu: a first line"; echo "qemu: the board is on fire" >&2; exit 1'))
        daemon.cli("vm", "create", "web", "--image", "guest", "--restart", "never")
        wait_until("failed", lambda: daemon.vm("web")["state"] == "failed")
        self.assertIn("the board is on fire", daemon.vm("web")["reason"])
        daemon.cli("vm", "delete", "web", "--wait")
        self.assertEqual(daemon.json("vm", "list").get("vms", []), [])

    def test_hang_at_start(self):
        daemon = self.node_with(self.questions_answered("echo qemu: thinking; exec sleep 600"))
        daemon.cli("vm", "create", "web", "--image", "guest", "--restart", "never")
        wait_until("failed", lambda: daemon.vm("web")["state"] == "failed")
        self.assertIn("thinking", daemon.vm("web")["reason"])

    def test_missing(self):
        empty = self.place.path / "empty"
        empty.mkdir()
        for name in ("python3", "sh"):
            (empty / name).symlink_to(f"/bin/{name}")
        daemon = self.place.daemon(environment={**os.environ, "PATH": str(empty)})
        daemon.launch()
        log = daemon.fails()
        self.assertIn("hypervisor_missing", log)
        self.assertIn("apt", log)


class BadInput(NodeTest):
    def test_requests_that_change_nothing(self):
        daemon = self.node()
        good = {"name": "web", "image": "guest", "vcpus": 1, "memory_mib": 128}
        cases = [
            ({**good, "colour": "red"}, 400, "colour"),
            ({**good, "vcpus": "many"}, 400, "vcpus"),
            ({**good, "vcpus": 0}, 400, "vcpus"),
            ({**good, "vcpus": 4096}, 400, "vcpus"),
            ({**good, "memory_mib": 1}, 400, "memory"),
            ({**good, "memory_mib": 4_000_000_000}, 400, "memory"),
            ({**good, "name": "Web_1"}, 400, "a-z"),
            ({**good, "name": "a" * 64}, 400, "63"),
            ({**good, "image": "none"}, 404, "none"),
            ({**good, "publish": [{"host_port": 80, "guest_port": 0}]}, 400, "port"),
            ({**good, "restart": "sometimes"}, 400, "restart"),
            ("{", 400, ""),
            ("[]", 400, ""),
            ("[" * 10_000, 400, ""),
        ]
        for body, expected, mention in cases:
            with self.subTest(body=str(body)[:60]):
                status, headers, content = daemon.request("POST", "/v1/vms", body)
                problem = json.loads(content)
                self.assertEqual(status, expected, content)
                self.assertEqual(headers["Content-Type"], "application/problem+json")
                self.assertTrue(problem["code"] and problem["action"], problem)
                self.assertIn(mention, content.decode())
        status, _, content = daemon.request("POST", "/v1/vms", "x" * (1 << 20))
        self.assertEqual(status, 413)
        self.assertEqual(daemon.json("vm", "list").get("vms", []), [])

    def test_names_and_duplicates_on_the_command_line(self):
        daemon = self.node()
        self.assertIn("a-z", self.refused(daemon, "vm", "create", "Web", "--image", "guest"))
        self.create(daemon, "web")
        text = self.refused(daemon, "vm", "create", "web", "--image", "guest")
        self.assertIn("vm_exists", text)
        self.assertIn("vm_not_found", self.refused(daemon, "vm", "stop", "nobody"))
        self.assertIn("image_in_use", self.refused(daemon, "image", "delete", "guest"))
        self.assertEqual(len(self.place.guests()), 1)

    def test_usage_errors_have_their_own_exit_code(self):
        for words in (["vm", "create"], ["vm", "create", "a", "--image", "b", "--memory", "much"],
                      ["nonsense"], ["vm", "create", "a", "--image", "b", "--publish", "0:0"]):
            done = subprocess.run([OPTIONS.program, *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, words)
            self.assertTrue(done.stderr)
        done = subprocess.run([OPTIONS.program, "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Examples", done.stdout)

    def test_a_port_in_use(self):
        daemon = self.node()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            daemon.cli("vm", "create", "web", "--image", "guest", "--publish", f"{port}:80",
                       "--restart", "never")
            wait_until("failed", lambda: daemon.vm("web")["state"] == "failed")
            self.assertIn("port_in_use", daemon.vm("web")["reason"])
            self.assertIn(str(port), daemon.vm("web")["reason"])
        self.assertEqual(self.place.guests(), [])

    def test_no_daemon(self):
        daemon = self.place.daemon()
        text = self.refused(daemon, "vm", "list")
        self.assertIn("blixard node", text)

    def test_a_second_daemon_on_the_same_directory(self):
        daemon = self.node()
        second = harness.Daemon(OPTIONS.program, daemon.data)
        second.log_path = self.place.path / "second.log"
        second.launch()
        self.assertIn("directory_in_use", second.fails())
        self.assertEqual(daemon.json("vm", "list").get("vms", []), [])  # the first is unharmed

    def test_a_data_directory_of_a_newer_version(self):
        daemon = self.node()
        daemon.stop()
        identity = daemon.data / "node.json"
        text = identity.read_text()
        identity.write_text(text.replace('"format":2', '"format":99'))
        daemon.launch()
        self.assertIn("data_too_new", daemon.fails())
        identity.write_text(text)
        daemon.start()

    def test_a_damaged_image_is_not_imported(self):
        daemon = self.place.daemon().start()
        damaged = self.place.path / "damaged"
        damaged.mkdir()
        for part in pathlib.Path(OPTIONS.image).iterdir():
            if part.is_file():
                (damaged / part.name).write_bytes(part.read_bytes())
        with open(damaged / "vmlinux.zst", "r+b") as kernel:
            kernel.seek(1 << 20)
            kernel.write(b"\0" * 4096)
        self.assertIn("image", self.refused(daemon, "image", "import", str(damaged)))
        self.assertEqual(daemon.json("image", "list").get("images", []), [])

    @unittest.skipUnless(os.geteuid() == 0, "SKIPPED: needs root to mount a small file system")
    def test_a_full_disk(self):
        small = self.place.path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", str(small)],
                       check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(small)], check=True)
        daemon = harness.Daemon(OPTIONS.program, small / "node")
        daemon.log_path = self.place.path / "node.log"
        self.place.daemons.append(daemon)
        daemon.launch()
        if daemon.process.poll() is None:
            wait_until("ready or refused", lambda: "ready" in daemon.log() or
                       daemon.process.poll() is not None)
        if daemon.process.poll() is None:
            text = self.refused(daemon, "image", "import", str(OPTIONS.image))
            self.assertIn("disk_full", text)
            self.assertEqual(daemon.json("image", "list").get("images", []), [])
        else:
            self.assertIn("disk_full", daemon.log())


class Api(NodeTest):
    def test_token_over_tcp(self):
        daemon = self.node()
        token_file = daemon.data / "api.token"
        self.assertEqual(token_file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(pathlib.Path(daemon.socket).stat().st_mode & 0o777, 0o600)
        token = token_file.read_text().strip()
        self.assertEqual(daemon.request("GET", "/v1/vms", tcp=True)[0], 401)
        wrong = {"Authorization": "Bearer " + "0" * len(token)}
        self.assertEqual(daemon.request("GET", "/v1/vms", tcp=True, headers=wrong)[0], 401)
        right = {"Authorization": "Bearer " + token}
        self.assertEqual(daemon.request("GET", "/v1/vms", tcp=True, headers=right)[0], 200)
        self.assertEqual(daemon.request("GET", "/healthz", tcp=True)[0], 200)
        self.assertEqual(daemon.request("GET", "/readyz", tcp=True)[0], 200)
        done = subprocess.run([OPTIONS.program, "--address", daemon.address, "--token-file",
                               str(token_file), "vm", "list"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_repeated_request_acts_once(self):
        daemon = self.node()
        key = {"Idempotency-Key": "7d3f2a52-3a3c-4f0e-9d0c-0b8f4f0c1a11"}
        body = {"name": "web", "image": "guest", "vcpus": 1, "memory_mib": 128}
        first = daemon.request("POST", "/v1/vms", body, headers=key)
        daemon.kill()
        daemon.start()
        again = daemon.request("POST", "/v1/vms", body, headers=key)
        self.assertEqual((first[0], again[0]), (again[0], 201 if first[0] == 201 else 202))
        self.assertEqual(json.loads(first[2])["id"], json.loads(again[2])["id"])
        other = daemon.request("POST", "/v1/vms", {**body, "name": "other"}, headers=key)
        self.assertIn(b"request_id_reused", other[2])
        self.assertEqual(len(daemon.json("vm", "list")["vms"]), 1)

    def test_events_openapi_and_metrics(self):
        daemon = self.node()
        states = []
        connection = harness.UnixConnection(daemon.socket, 60)
        connection.request("GET", "/v1/events")
        stream = connection.getresponse()
        self.assertEqual(stream.status, 200)
        self.assertIn("text/event-stream", stream.getheader("Content-Type"))

        def collect():
            for line in stream:
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    states.append((event.get("vm") or event).get("state"))
        reader = threading.Thread(target=collect, daemon=True)
        reader.start()
        self.create(daemon, "web")
        wait_until("running is announced", lambda: "running" in states)
        self.assertLess(states.index("starting"), states.index("running"))
        document = json.loads(daemon.request("GET", "/v1/openapi.json")[2])
        self.assertEqual(document["openapi"][:3], "3.1")
        self.assertIn("post", document["paths"]["/v1/vms"])
        metrics = daemon.request("GET", "/metrics")[2].decode()
        self.assertIn("# TYPE ", metrics)
        self.assertRegex(metrics, r'blixard_vms\{state="running"\} 1')

    def test_waiting_that_is_too_short_says_where_things_stand(self):
        daemon = self.node()
        daemon.cli("vm", "create", "huge", "--image", "guest", "--memory", "1000GiB")
        status, _, content = daemon.request("GET", "/v1/vms/huge?wait=running&timeout=1s")
        self.assertEqual(status, 504, content)
        self.assertIn(b"memory", content)

    def test_doctor_and_status(self):
        daemon = self.node()
        done = subprocess.run([OPTIONS.program, "doctor", "--data",
                               str(self.place.path / "doctor"), "--output", "json"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        checks = {entry["check"]: entry for entry in json.loads(done.stdout)["findings"]}
        self.assertIn("ms (median)", checks["disk"]["finding"])
        self.assertTrue(checks["accelerator"]["finding"])
        self.assertIn("node", daemon.cli("status"))
        for shell in ("bash", "zsh", "fish"):
            text = daemon.cli("completion", shell)
            self.assertIn("delete", text)


def start_programs_as(user):
    if os.geteuid() != 0:
        print(f"SKIPPED: only root can start programs as {user}; without --user they run as you")
        sys.exit(SKIPPED)
    harness.start_programs_as(user)
    for path in (OPTIONS.program, OPTIONS.image / "image.json"):
        if subprocess.run(["test", "-r", str(path)], **harness.identity).returncode != 0:
            print(f"SKIPPED: {user} may not read {path}: build where others may look")
            sys.exit(SKIPPED)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--image", required=True, type=pathlib.Path)
    parser.add_argument("--user", help="start the program as this user (needs root)")
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    OPTIONS.image = OPTIONS.image.resolve()
    if OPTIONS.user:
        start_programs_as(OPTIONS.user)
    if not (OPTIONS.image / "image.json").exists():
        sys.exit(f"{OPTIONS.image} holds no guest image: run ./do test, or tools/guest/build.py")
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
