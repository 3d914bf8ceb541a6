#!/usr/bin/env python3
"""Placement in clusters of real daemons, by the command line: drains, cordons, groups, quotas and
preemption. Guests are pretended, but for one drain of real ones.

    python3 test/e2e/placement_test.py --program build/dev/bin/blixard --image build/guest [TEST...]
"""

import argparse
import pathlib
import sys
import time
import unittest

from cluster import Cluster, refused
from harness import answers, wait_until

OPTIONS = None
# Each node then has 4 CPUs and 1 GiB of memory.
PRETENDED = ("--hypervisor", "simulated", "--simulated-vcpus", "4")


class PlacementTest(unittest.TestCase):
    def cluster(self, count, *options):
        cluster = Cluster(OPTIONS.program, options)
        self.addCleanup(cluster.close)
        cluster.form(count)
        for node in cluster.nodes.values():
            if cluster.nodes["n1"] is not node:  # images do not travel
                node.cli("image", "import", str(cluster.place.path / "image"))
        return cluster

    def create(self, cluster, name, *more, memory="128MiB"):
        cluster.any().cli("vm", "create", name, "--image", "none", "--memory", memory, *more)

    def vm(self, cluster, name):
        return cluster.any().vm(name)

    def until_state(self, cluster, name, state):
        def there():
            vm = self.vm(cluster, name)
            return vm if vm["state"] == state else None
        return wait_until(f"{name} is {state}", there, 20)

    def until_reason(self, cluster, name, text):
        def said():
            vm = self.vm(cluster, name)
            return vm if vm["state"] == "pending" and text in vm["reason"] else None
        try:
            return wait_until(f"{name} says {text}", said, 20)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.vm(cluster, name)}") from None

    def until_runs_on(self, cluster, names, nodes):
        """All of them run, on these nodes and no other."""
        for name in names:
            self.assertIn(self.until_state(cluster, name, "running")["node"], nodes, name)

    def node(self, cluster, name):
        return cluster.any().json("node", "show", name)


class Drains(PlacementTest):
    def test_all_leave_and_the_node_is_used_again(self):
        cluster = self.cluster(3, *PRETENDED)
        names = [f"vm-{i}" for i in range(9)]
        for name in names:
            self.create(cluster, name, "--strategy", "round-robin")
        self.until_runs_on(cluster, names, ["n1", "n2", "n3"])
        there = [name for name in names if self.vm(cluster, name)["node"] == "n1"]
        self.assertTrue(there, "round-robin left n1 out")
        before = {name: self.vm(cluster, name)["generation"] for name in names}

        said = cluster.any().cli("node", "drain", "n1", "--parallel", "2")
        self.assertIn("n1: drained", said)
        drained = self.node(cluster, "n1")
        self.assertEqual(drained["vms"], 0)
        self.assertEqual(drained["drain"]["outcome"], "drained")
        self.assertTrue(drained["drain"]["ended"])
        self.until_runs_on(cluster, names, ["n2", "n3"])
        for name in names:
            vm = self.vm(cluster, name)
            moved = vm["generation"] - before[name]
            self.assertEqual(moved, 1 if name in there else 0, name)
            if name in there:
                self.assertEqual((vm["eviction"]["cause"], vm["eviction"]["from"]), ("drain", "n1"))

        # It stays empty until it is given back.
        self.create(cluster, "late", "--node", "n1")
        self.until_reason(cluster, "late", "n1")
        cluster.any().cli("node", "undrain", "n1")
        self.until_runs_on(cluster, ["late"], ["n1"])
        cluster.judge(names)

    def test_a_drain_ends_at_its_deadline_and_the_rest_waits(self):
        cluster = self.cluster(3, *PRETENDED)
        on = {}
        for name in ("big-1", "big-2", "big-3"):
            self.create(cluster, name, memory="900MiB")
            on[self.until_state(cluster, name, "running")["node"]] = name
        self.assertEqual(len(on), 3, on)
        self.create(cluster, "pet", "--node", "n1", "--on-evict", "stop", memory="100MiB")
        self.until_state(cluster, "pet", "running")
        self.create(cluster, "free", "--priority", "400", memory="900MiB")

        begun = time.monotonic()
        said = cluster.any().cli("node", "drain", "n1", "--deadline", "2s")
        self.assertGreater(time.monotonic() - begun, 2, "there was nowhere to go before that")
        self.assertIn("n1: drained; 1 VMs stay there, stopped", said)
        pet = self.vm(cluster, "pet")
        self.assertEqual((pet["state"], pet["desired"], pet["node"]), ("stopped", "stopped", "n1"))
        big = self.until_reason(cluster, on["n1"], "drained")
        self.assertIn("deadline", big["eviction"]["explanation"])

        # Capacity appears: the more important one has it first, however long the other waits.
        cluster.any().cli("vm", "delete", on["n2"], "--wait")
        self.until_runs_on(cluster, [on["n1"]], ["n2"])
        self.assertEqual(self.vm(cluster, "free")["state"], "pending")
        cluster.any().cli("node", "undrain", "n1")
        self.until_runs_on(cluster, ["free"], ["n1"])


class Rules(PlacementTest):
    def test_a_group_is_spread_and_the_one_too_many_says_why(self):
        cluster = self.cluster(3, *PRETENDED)
        cluster.any().cli("group", "set", "db", "--rule", "spread:node:1")
        names = ["db-1", "db-2", "db-3"]
        for name in names:
            self.create(cluster, name, "--group", "db")
        self.until_runs_on(cluster, names, ["n1", "n2", "n3"])
        rows = [line.split() for line in cluster.any().cli("vm", "list").splitlines()]
        nodes = sorted(word for row in rows for word in row if word in ("n1", "n2", "n3"))
        self.assertEqual(nodes, ["n1", "n2", "n3"], rows)

        self.create(cluster, "db-4", "--group", "db")
        self.until_reason(cluster, "db-4", "group db")
        self.assertIn("group_in_use", refused(cluster.any(), "group", "delete", "db"))
        # A drain does not break it either.
        said = cluster.any().cli("node", "drain", "n3", "--deadline", "1s")
        self.assertIn("n3: drained", said)
        waiting = [name for name in [*names, "db-4"]
                   if self.vm(cluster, name)["state"] == "pending"]
        self.assertEqual(len(waiting), 2)
        cluster.any().cli("group", "set", "db", "--rule", "spread:node:2")
        self.until_runs_on(cluster, [*names, "db-4"], ["n1", "n2"])

    def test_a_gang_comes_whole(self):
        cluster = self.cluster(1, *PRETENDED)
        cluster.any().cli("group", "set", "job", "--gang", "3")
        for name in ("job-1", "job-2"):
            self.create(cluster, name, "--group", "job")
            self.until_reason(cluster, name, "group job is placed 3 at once")
        self.create(cluster, "job-3", "--group", "job")
        self.until_runs_on(cluster, ["job-1", "job-2", "job-3"], ["n1"])

    def test_cordoned_nodes_take_nothing_until_they_are_opened(self):
        cluster = self.cluster(3, *PRETENDED)
        self.create(cluster, "old", "--node", "n1")
        self.until_state(cluster, "old", "running")
        for name in cluster.nodes:
            cluster.any().cli("node", "cordon", name)
        self.create(cluster, "new")
        said = self.until_reason(cluster, "new", "cordoned")
        self.assertIn("3", said["reason"])
        self.assertEqual(self.vm(cluster, "old")["state"], "running")
        cluster.any().cli("node", "uncordon", "n2")
        self.until_runs_on(cluster, ["new"], ["n2"])

    def test_quotas_refuse_with_what_would_be_needed(self):
        cluster = self.cluster(1, *PRETENDED)
        node = cluster.any()
        node.cli("tenant", "set", "blue", "--vms", "2", "--memory", "300MiB")
        self.create(cluster, "one", "--tenant", "blue")
        said = refused(node, "vm", "create", "two", "--image", "none", "--tenant", "blue",
                       "--memory", "200MiB")
        self.assertIn("quota_exceeded", said)
        self.assertIn("128 of 300 MiB", said)
        self.create(cluster, "two", "--tenant", "blue")
        self.assertIn("2 of 2 VMs", refused(node, "vm", "create", "three", "--image", "none",
                                            "--tenant", "blue"))
        node.cli("vm", "delete", "two", "--wait")
        self.create(cluster, "three", "--tenant", "blue")


class Preemption(PlacementTest):
    def test_the_lower_goes_says_by_whom_and_comes_back(self):
        cluster = self.cluster(3, *PRETENDED)
        node = cluster.any()
        low = ["low-1", "low-2", "low-3"]
        for number, name in enumerate(low, 1):
            self.create(cluster, name, "--priority", str(100 * number), "--preemptible",
                        memory="900MiB")
        self.until_runs_on(cluster, low, ["n1", "n2", "n3"])

        # Not while the policy is never.
        node.cli("placement", "--preemption", "never")
        self.create(cluster, "high", "--priority", "900", memory="900MiB")
        self.until_reason(cluster, "high", "memory")
        node.cli("placement", "--preemption", "lower-priority-only")
        self.until_state(cluster, "high", "running")

        victim = self.vm(cluster, "low-1")
        self.assertEqual((victim["state"], victim["desired"]), ("pending", "running"))
        self.assertEqual((victim["eviction"]["cause"], victim["eviction"]["by"]),
                         ("preemption", "high"))
        self.assertEqual(victim["eviction"]["from"], self.vm(cluster, "high")["node"])
        self.assertIn("VM high of priority 900", victim["eviction"]["explanation"])
        for name in low[1:]:
            self.assertEqual(self.vm(cluster, name)["generation"], 1, name)

        node.cli("vm", "delete", "high", "--wait")
        self.assertEqual(self.until_state(cluster, "low-1", "running")["generation"], 2)
        cluster.judge(low)


class RealGuests(PlacementTest):
    def test_a_drain_moves_running_guests_to_the_other_daemon(self):
        cluster = self.cluster(2)
        for node in cluster.nodes.values():
            node.cli("image", "import", str(OPTIONS.image), "--name", "guest")
        node = cluster.nodes["n2"]
        names = ["web-1", "web-2"]
        node.cli("node", "cordon", "n2")
        ports = {}
        for name in names:
            node.cli("vm", "create", name, "--image", "guest", "--publish", "80", "--wait")
            vm = node.vm(name)
            self.assertEqual((vm["state"], vm["node"]), ("running", "n1"))
            ports[name] = vm["published_ports"][0]["host_port"]
            self.assertTrue(answers(ports[name]))
        pids = {node.vm(name)["pid"] for name in names}
        self.assertEqual(set(cluster.place.guests()), pids)

        node.cli("node", "uncordon", "n2")
        self.assertIn("n1: drained", node.cli("node", "drain", "n1"))
        for port in ports.values():
            self.assertFalse(answers(port))
        for name in names:
            vm = self.until_state(cluster, name, "running")
            self.assertEqual(vm["node"], "n2")
            self.assertTrue(answers(vm["published_ports"][0]["host_port"]))
        again = {node.vm(name)["pid"] for name in names}
        self.assertEqual(set(cluster.place.guests()), again)
        self.assertFalse(again & pids)
        self.assertEqual(list((cluster.nodes["n1"].data / "records").iterdir()), [])


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--image", required=True, type=pathlib.Path, help="of guests that boot")
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
