#!/usr/bin/env python3
"""`vm explain` and `plan` against real daemons whose guests are pretended.

    python3 test/e2e/plan_test.py --program build/dev/bin/blixard [TEST...]
"""

import argparse
import json
import subprocess
import sys
import unittest

import cluster
import harness
from harness import Refused, wait_until

OPTIONS = None


class Planning(unittest.TestCase):
    def setUp(self):
        self.place = harness.Place(OPTIONS.program, None)
        self.addCleanup(self.place.close)
        self.node = self.place.daemon(
            arguments=["--name", "n1", "--hypervisor", "simulated",
                       "--simulated-vcpus", "4"]).start()
        self.node.cli("image", "import", str(cluster.small_image(self.place.path / "image")))
        self.requests = self.place.path / "vms.json"
        self.state = self.place.path / "cluster.state"

    def ask(self, *vms):
        self.requests.write_text(json.dumps(
            {"vms": [{"image": "none", **vm} for vm in vms]}))

    def program(self, *words):
        return subprocess.run([OPTIONS.program, "--socket", self.node.socket, *words],
                              capture_output=True, text=True, timeout=60)

    def test_a_vm_says_why_it_is_where_it_is(self):
        self.node.cli("vm", "create", "web", "--image", "none", "--wait")
        said = self.node.json("vm", "explain", "web")
        self.assertEqual((said["node"], said["nodes_that_fit"]), ("n1", 1))
        self.assertEqual(said["chosen"]["node"], "n1")
        self.assertEqual(said["chosen"]["score_micro"],
                         sum(part["score_micro"] for part in said["chosen"]["parts"]))
        text = self.node.cli("vm", "explain", "web")
        self.assertEqual(text.splitlines()[0], "VM web is on node n1")
        with self.assertRaisesRegex(Refused, "no VM is named none .vm_not_found"):
            self.node.cli("vm", "explain", "none")

    def test_a_vm_that_waits_says_what_would_help(self):
        self.node.cli("vm", "create", "large", "--image", "none", "--memory", "4GiB")
        wait_until("a plan has looked at it",
                   lambda: "can take it" in self.node.vm("large")["reason"])
        text = self.node.cli("vm", "explain", "large")
        self.assertIn("VM large waits: none of 1 node can take it: ", text)
        self.assertRegex(text, "would help +node n1 lacks 3072 MiB of memory")
        self.node.cli("node", "cordon", "n1")
        self.node.cli("vm", "create", "small", "--image", "none")
        self.assertRegex(self.node.cli("vm", "explain", "small"),
                         "would help +node n1 would take it if it were not cordoned")

    def test_a_plan_is_what_then_happens(self):
        self.ask({"name": "a", "memory_mib": 512}, {"name": "b", "memory_mib": 384})
        done = self.program("plan", str(self.requests))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 placed, 0 waiting, 0 refused", done.stdout)
        self.assertEqual(self.node.json("vm", "list")["vms"], [])
        planned = json.loads(self.program("plan", str(self.requests), "-o", "json").stdout)
        for vm in planned["vms"]:
            memory = {"a": "512MiB", "b": "384MiB"}[vm["name"]]
            self.node.cli("vm", "create", vm["name"], "--image", "none", "--memory", memory,
                          "--wait")
            self.assertEqual(self.node.vm(vm["name"])["node"], vm["node"])
        # Again, where the names are taken and the room is used.
        self.ask({"name": "a"}, {"name": "c", "memory_mib": 512})
        done = self.program("plan", str(self.requests))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, r"a +refused .*\(vm_exists\)")
        self.assertRegex(done.stdout, "c +waiting .*none of 1 node can take it")

    def test_a_plan_on_a_saved_state_needs_no_daemon(self):
        done = self.program("plan", "--save-state", str(self.state))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 nodes and 0 VMs", done.stdout)
        self.node.stop()
        self.ask({"name": "a"}, {"name": "large", "memory_mib": 65536})
        done = self.program("plan", str(self.requests), "--state", str(self.state))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 placed, 1 waiting, 0 refused", done.stdout)
        whole = self.state.read_bytes()
        self.state.write_bytes(whole[:-1])
        done = self.program("plan", str(self.requests), "--state", str(self.state))
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.state}: the file is damaged or not whole", done.stderr)

    def test_bad_files_are_refused(self):
        for text, said in (("", "not JSON"), ("{", "not JSON"), ("{}", "vms is required"),
                           ('{"vms":[{"name":"a"}]}', r"vms\[0\].image is required")):
            self.requests.write_text(text)
            done = self.program("plan", str(self.requests))
            self.assertEqual(done.returncode, 1, text)
            self.assertRegex(done.stderr, said)
        done = self.program("plan", str(self.place.path / "none.json"))
        self.assertIn("No such file", done.stderr)
        for words in ((), (str(self.requests), "--save-state", "x"), ("--state", "x")):
            self.assertEqual(self.program("plan", *words).returncode, 2, words)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
