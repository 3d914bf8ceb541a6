#!/usr/bin/env python3
"""Clusters whose network is really cut: each daemon lives in a network namespace of its own, on a
bridge; a partition moves some of them to another bridge. Needs root.

    python3 test/e2e/partition_test.py --program build/dev/bin/blixard
            --checker build/dev/bin/blixard-vopr [TEST...]
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
import unittest

from cluster import ELECTION_SECONDS, Cluster, answer_of
from harness import wait_until
from history import Verdict

OPTIONS = None
SKIPPED = 77  # exit code, as ctest is told
# Beyond the election timeout: until the next tick, and for a busy machine.
MARGIN_SECONDS = 3


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Network:
    """A namespace with two bridges, and one for each node with a cable to the first bridge."""

    def __init__(self):
        self.prefix = f"blx{os.getpid()}"
        self.hub = f"{self.prefix}hub"
        self.made = []
        self.namespace(self.hub)
        for bridge in ("main", "apart"):
            ip("-n", self.hub, "link", "add", "name", bridge, "type", "bridge")
            ip("-n", self.hub, "link", "set", bridge, "up")

    def namespace(self, name):
        ip("netns", "add", name)
        self.made.append(name)

    def add(self, number):
        """(address, command that runs a program there)."""
        name = f"{self.prefix}n{number}"
        self.namespace(name)
        ip("-n", self.hub, "link", "add", "name", f"port{number}", "type", "veth",
           "peer", "name", "eth0", "netns", name)
        ip("-n", self.hub, "link", "set", f"port{number}", "master", "main", "up")
        ip("-n", name, "address", "add", f"10.87.0.{number}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "eth0", "up")
        return f"10.87.0.{number}:7481", ("nsenter", f"--net=/run/netns/{name}")

    def move(self, numbers, bridge):
        for number in numbers:
            ip("-n", self.hub, "link", "set", f"port{number}", "master", bridge)

    def close(self):
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


class Partition(unittest.TestCase):
    def form(self, count):
        self.network = Network()
        self.addCleanup(self.network.close)
        cluster = Cluster(OPTIONS.program, (), OPTIONS.checker, OPTIONS.histories)
        self.addCleanup(cluster.close)
        address, wrapper = self.network.add(1)
        cluster.bootstrap(address=address, wrapper=wrapper)
        joining = {}
        for number in range(2, count + 1):
            address, wrapper = self.network.add(number)
            token = f"{cluster.token()}@{cluster.nodes['n1'].peer_address}"
            joining[f"n{number}"] = cluster.make(f"n{number}", "--join", token, address=address,
                                                 wrapper=wrapper)
        for node in joining.values():
            node.launch()
        for name, node in joining.items():
            cluster.nodes[name] = node.await_ready()
        cluster.await_voters()
        return cluster

    def cut(self, names):
        self.network.move([name[1:] for name in names], "apart")
        return time.monotonic()

    def heal(self, names):
        self.network.move([name[1:] for name in names], "main")

    def refused_in_time(self, cluster, names):
        """Each refuses a write and a linearizable read, asked at once, and says why."""
        def ask(question):
            name, method, body = question
            began = time.monotonic()
            status, answer = answer_of(cluster.nodes[name], method, "/v1/vms", body, timeout=30)
            return question, status, answer, time.monotonic() - began
        questions = [(name, method, body) for name in names for method, body in (
            ("GET", None),
            ("POST", {"name": f"lonely-{name}", "image": "none", "start": False}))]
        with concurrent.futures.ThreadPoolExecutor(len(questions)) as pool:
            for question, status, answer, seconds in pool.map(ask, questions):
                self.assertIn(status, (503, 504), (question, answer))
                self.assertIn(answer["code"], ("no_leader", "no_quorum", "not_committed",
                                               "leadership_lost", "leader_unreachable"))
                self.assertTrue(answer["action"], answer)
                self.assertLess(seconds, ELECTION_SECONDS + MARGIN_SECONDS, (question, answer))

    def test_the_minority_says_no_and_the_majority_goes_on(self):
        cluster = self.form(5)
        load = cluster.begin_load()
        clients = cluster.begin_history()
        leader = cluster.leader()
        minority = [leader, cluster.followers()[0]]
        majority = [name for name in cluster.nodes if name not in minority]
        self.cut(minority)
        self.refused_in_time(cluster, minority)
        self.assertIn(cluster.leader(majority), majority)
        for name in majority:
            self.assertEqual(answer_of(cluster.nodes[name], "GET", "/v1/vms")[0], 200)
        load.go_on()
        clients.go_on()
        wait_until("the old leader knows that it is none",
                   lambda: cluster.view(leader)["leader"] != leader, 10)
        # What it knew it still shows to who asks for no more.
        self.assertTrue(cluster.names_on(leader))
        self.heal(minority)
        cluster.await_voters()
        load.go_on()
        cluster.judge()

    def test_what_a_lonely_leader_wrote_down_vanishes(self):
        cluster = self.form(3)
        leader = cluster.leader()
        others = cluster.followers()
        before = cluster.status(leader)["log_last"]
        self.cut([leader])
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            lonely = list(pool.map(lambda i: cluster.create(f"lonely-{i}", cluster.nodes[leader],
                                                            timeout=30), range(12)))
        for status, answer in lonely:
            self.assertIn(status, (503, 504), answer)
        self.assertGreater(cluster.status(leader)["log_last"], before)  # written, not committed
        new = cluster.leader(others)
        for number in range(20):
            status, answer = cluster.create(f"kept-{number}", cluster.nodes[new])
            self.assertEqual(status, 201, answer)
        self.heal([leader])
        cluster.await_voters()
        cluster.await_equal()
        for name in cluster.nodes:
            self.assertEqual(sorted(cluster.names_on(name)),
                             sorted(f"kept-{number}" for number in range(20)))
        cluster.judge()

    def test_a_follower_that_was_cut_off_does_not_disturb(self):
        cluster = self.form(3)
        load = cluster.begin_load()
        clients = cluster.begin_history()
        leader, term = cluster.leader(), cluster.term()
        lonely = cluster.followers()[0]
        self.cut([lonely])
        wait_until("it misses its leader", lambda: not cluster.view(lonely)["leader"], 15)
        target = load.count() + 50  # it has tried to be elected meanwhile
        wait_until("50 more acknowledged", lambda: load.count() >= target, 60)
        clients.go_on(50)
        self.heal([lonely])
        cluster.await_voters()
        load.go_on()
        self.assertEqual((cluster.leader(), cluster.term()), (leader, term))
        cluster.judge()


    def test_clients_ask_both_sides_of_two_cuts(self):
        cluster = self.form(5)
        clients = cluster.begin_history(count=10)
        for many in (1, 2):
            lonely = [cluster.leader(), *cluster.followers()][:many]
            self.cut(lonely)
            majority = [name for name in cluster.nodes if name not in lonely]
            cluster.leader(majority)
            clients.go_on(60)
            self.heal(lonely)
            cluster.leader()
            clients.go_on(60)
        cluster.judge()


    def test_stale_reads_would_be_found(self):
        cluster = self.form(3)
        clients = cluster.begin_history(is_stale=True)
        lonely = cluster.followers()[:1]
        self.cut(lonely)
        clients.go_on(60)
        self.heal(lonely)
        clients.end()
        verdict = Verdict(OPTIONS.checker, clients.history.path)
        self.assertTrue(verdict.is_violation, verdict.text)
        cluster.clients = None  # it was judged
        cluster.judge()


def can_make_namespaces():
    if os.geteuid() != 0:
        return False
    name = f"blx{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    if made.returncode != 0:
        return False
    linked = subprocess.run(["ip", "-n", name, "link", "add", "name", "b", "type", "bridge"],
                            capture_output=True)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    return linked.returncode == 0


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--checker", required=True, type=pathlib.Path)
    parser.add_argument("--histories", type=pathlib.Path, help="keep what clients saw here")
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    if not can_make_namespaces():
        print("SKIPPED: only root, where the kernel has namespaces and bridges, can cut a network")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
