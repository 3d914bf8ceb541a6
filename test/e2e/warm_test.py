#!/usr/bin/env python3
"""Warm starts on one node with real guests: what a user sees of templates, and what goes wrong.

    python3 test/e2e/warm_test.py --program build/dev/bin/blixard --image build/guest [TEST...]
"""

import argparse
import http.client
import json
import pathlib
import random
import socket
import sys
import unittest

import harness
from harness import Refused, alive, page, wait_until

OPTIONS = None
START_MOST_MS = 1000  # of a warm start: a boot takes more, however quick the machine


def monitor(path, command):
    """One command on the operator's socket of a VM."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        answers = connection.makefile()
        answers.readline()
        for word in ("qmp_capabilities", command):
            connection.sendall(json.dumps({"execute": word}).encode())
            while "return" not in json.loads(answers.readline()):
                pass


class WarmTest(unittest.TestCase):
    def setUp(self):
        self.place = harness.Place(OPTIONS.program, OPTIONS.image)
        self.addCleanup(self.place.close)

    def node(self, *arguments):
        daemon = self.place.daemon(arguments=arguments, templates_mib=1024).start()
        daemon.cli("image", "import", str(OPTIONS.image), "--name", "guest")
        return daemon

    def create(self, daemon, name, *more):
        """A running VM with its page published."""
        daemon.cli("vm", "create", name, "--image", "guest", "--publish", "80", "--wait", *more)
        return daemon.vm(name)

    def templates(self, daemon):
        return daemon.json("template", "list").get("templates", [])

    def await_template(self, daemon):
        [template] = wait_until("a template", lambda: [t for t in self.templates(daemon)
                                                       if t.get("checked")])
        return template

    def inside(self, vm):
        """What the guest says of itself."""
        port = vm["published_ports"][0]["host_port"]
        lines = page(port, "/identity")[1].splitlines()
        return dict(line.split(": ", 1) for line in lines)

    def refused(self, daemon, *words):
        with self.assertRaises(Refused) as caught:
            daemon.cli(*words)
        return str(caught.exception)


class Warm(WarmTest):
    def test_the_second_start_is_warm_and_shares_nothing(self):
        daemon = self.node()
        first = self.create(daemon, "first")
        self.assertEqual(first["start"]["kind"], "cold")
        self.assertEqual(first["start"]["why"], "no template yet")
        self.assertIn("cold, ", daemon.cli("vm", "status", "first"))
        template = self.await_template(daemon)
        self.assertEqual((template["image"], template["memory_mib"]), ("guest", 128))

        clones = [self.create(daemon, f"clone-{number}") for number in range(3)]
        for vm in clones:
            self.assertEqual(vm["start"]["kind"], "warm", vm)
            self.assertLess(vm["start"]["took_ms"], START_MOST_MS)
            self.assertLess(vm["start"]["took_ms"], first["start"]["took_ms"])
        print("cold:", first["start"]["took_ms"], "ms; warm:",
              [vm["start"]["took_ms"] for vm in clones], "ms")
        guests = [self.inside(vm) for vm in [first, *clones]]
        self.assertEqual([guest["name"] for guest in guests],
                         ["first", "clone-0", "clone-1", "clone-2"])
        for key in ("mac", "machine", "random"):
            self.assertEqual(len({guest[key] for guest in guests}), len(guests), key)
        [template] = self.templates(daemon)
        self.assertEqual(template["clones"], 3)
        self.assertIn("template_in_use",
                      self.refused(daemon, "template", "delete", template["key"][:8]))

        for name in ("first", "clone-0", "clone-1", "clone-2"):
            daemon.cli("vm", "delete", name, "--wait")
        self.assertEqual(self.place.guests(), [])
        daemon.cli("template", "delete", template["key"][:8])
        self.assertEqual(self.templates(daemon), [])
        self.assertEqual(list((daemon.data / "templates").iterdir()), [])

    def test_a_clone_outlives_its_daemon_and_its_template(self):
        daemon = self.node()
        daemon.cli("template", "create", "guest")
        vm = self.create(daemon, "web")
        self.assertEqual(vm["start"]["kind"], "warm")
        daemon.kill()
        self.assertEqual(self.inside(vm)["name"], "web")
        daemon.start()
        wait_until("adopted", lambda: f"adopted, pid {vm['pid']}" in daemon.log())
        self.assertEqual(daemon.vm("web")["start"]["kind"], "warm")
        self.assertEqual(wait_until("one clone is counted",
                                    lambda: self.await_template(daemon).get("clones")), 1)
        daemon.cli("vm", "stop", "web", "--wait")
        self.assertIn("stopped (stopped_by_agent)", daemon.log())
        self.assertFalse(alive(vm["pid"]))
        daemon.cli("vm", "start", "web", "--wait")
        again = daemon.vm("web")
        self.assertEqual(again["start"]["kind"], "warm")
        self.assertNotEqual(self.inside(again)["random"], self.inside(again)["random"])

    def test_a_start_takes_what_stands_by(self):
        daemon = self.node("--standbys", "2")
        daemon.cli("template", "create", "guest")
        self.assertEqual(self.place.standbys(), [])
        self.create(daemon, "first")
        wait_until("one stands by", lambda: "(standby-0): QEMU runs" in daemon.log())
        [pid] = self.place.standbys()
        vm = self.create(daemon, "web")
        self.assertEqual((vm["pid"], vm["start"]["kind"]), (pid, "warm"))
        guest = self.inside(vm)
        self.assertEqual(guest["name"], "web")
        print("with a standby:", vm["start"]["took_ms"], "ms")

        # It reboots, once while its daemon looks and once while there is none.
        for is_away in (False, True):
            if is_away:
                daemon.kill()
            monitor(daemon.data / "vms" / str(vm["id"]) / "qmp2", "system_reset")
            if is_away:
                daemon.start()
                wait_until("what the old one kept is gone", lambda: not self.place.standbys())
            now = wait_until("it is itself again", lambda: self.rebooted(vm, guest["boot"]))
            self.assertEqual((now["name"], now["mac"]), (guest["name"], guest["mac"]))
            guest = now
        self.assertEqual(daemon.vm("web")["pid"], pid)

        self.create(daemon, "third")
        wait_until("others stand by", self.place.standbys)
        for name in [vm["name"] for vm in daemon.json("vm", "list")["vms"]]:
            daemon.cli("vm", "delete", name, "--wait")
        self.assertEqual(self.place.guests(), [])
        daemon.stop()
        self.assertEqual(self.place.processes(), {})
        self.assertEqual([path.name for path in (daemon.data / "vms").iterdir()
                          if path.is_dir()], [])

    def rebooted(self, vm, boot):
        """What the guest says of itself, if it has booted since and knows its name."""
        try:
            guest = self.inside(vm)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return guest if guest["boot"] != boot and guest["name"] == vm["name"] else None

    def test_damage_is_found_and_the_vm_boots_meanwhile(self):
        daemon = self.node()
        daemon.cli("template", "create", "guest")
        [folder] = (daemon.data / "templates").iterdir()
        with open(folder / "state", "r+b") as state:
            state.seek(30_000)
            byte = state.read(1)
            state.seek(30_000)
            state.write(bytes([byte[0] ^ 1]))
        vm = self.create(daemon, "web")
        self.assertEqual(vm["start"]["kind"], "cold")
        self.assertIn("template_unusable", vm["start"]["why"])
        self.assertEqual(self.inside(vm)["name"], "web")
        self.await_template(daemon)
        self.assertEqual(self.create(daemon, "next")["start"]["kind"], "warm")

        # And while nobody looks: the memory, which is read through at the next start.
        daemon.kill()
        [folder] = (daemon.data / "templates").iterdir()
        (folder / "ram").unlink()  # a clone runs from the old one
        (folder / "ram").write_bytes(b"another")
        daemon.start()
        wait_until("it is gone", lambda: not self.templates(daemon))
        self.assertEqual(self.create(daemon, "third")["start"]["kind"], "cold")

    def test_bad_requests_are_refused(self):
        daemon = self.node()
        self.assertIn("image_not_found", self.refused(daemon, "template", "create", "nothing"))
        self.assertIn("template_not_found", self.refused(daemon, "template", "delete", "ff"))
        self.assertIn("template_too_large",
                      self.refused(daemon, "template", "create", "guest", "--memory", "2GiB"))
        self.assertIn("memory", self.refused(daemon, "template", "create", "guest", "--memory",
                                             "1MiB"))

    def test_kill_9_anywhere_leaves_nothing_without_an_owner(self):
        daemon = self.node()
        chance = random.Random(7)
        names = [f"vm-{number}" for number in range(6)]
        for name in names:
            daemon.cli("vm", "create", name, "--image", "guest", "--publish", "80")
            seen = len(self.place.guests())
            wait_until("something new runs", lambda: len(self.place.guests()) != seen, 30)
            end = chance.randrange(60)  # looks, of 20 ms each
            looks = iter(range(1000))
            wait_until("a moment", lambda: next(looks) >= end, 30)
            daemon.kill()
            daemon.start()
        for name in names:
            wait_until(f"{name} runs", lambda: daemon.vm(name)["state"] == "running")
        self.await_template(daemon)
        pids = {daemon.vm(name)["pid"] for name in names}
        wait_until("no process without an owner", lambda: set(self.place.guests()) == pids)
        daemon.stop()  # and with it what stands by
        wait_until("only guests are left", lambda: set(self.place.processes()) == pids)
        folders = sorted(path.name for path in (daemon.data / "vms").iterdir() if path.is_dir())
        self.assertEqual(len(folders), len(names), folders)
        self.assertEqual(len(list((daemon.data / "templates").iterdir())), 1)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--image", required=True, type=pathlib.Path)
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    OPTIONS.image = OPTIONS.image.resolve()
    if not (OPTIONS.image / "image.json").exists():
        sys.exit(f"{OPTIONS.image} holds no guest image: run ./do test, or tools/guest/build.py")
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
