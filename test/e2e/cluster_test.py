#!/usr/bin/env python3
"""Clusters of real daemons, nearly without guests: nodes that come, go, stop, crash and are
damaged, while clients write. Where nodes are killed, `blixard-vopr check` judges what clients saw.

    python3 test/e2e/cluster_test.py --program build/dev/bin/blixard
            --checker build/dev/bin/blixard-vopr --image build/guest [TEST...]
"""

import argparse
import concurrent.futures
import pathlib
import signal
import socket
import ssl
import sys
import unittest

from cluster import ELECTION_SECONDS, Cluster, answer_of, refused
from harness import wait_until

OPTIONS = None
REMOVED = 3  # exit code of a daemon that the cluster removed


class ClusterTest(unittest.TestCase):
    def cluster(self, *options):
        cluster = Cluster(OPTIONS.program, options, OPTIONS.checker, OPTIONS.histories)
        self.addCleanup(cluster.close)
        return cluster


class Restarts(ClusterTest):
    def test_each_node_in_turn_then_all_at_once(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load()
        clients = cluster.begin_history()
        for name in cluster.nodes:
            cluster.nodes[name].stop()
            load.go_on()  # two of three are enough
            cluster.start(name)
            cluster.await_voters()
        for node in cluster.nodes.values():
            node.process.send_signal(signal.SIGTERM)
        for node in cluster.nodes.values():
            self.assertEqual(node.process.wait(timeout=60), 0, node.log())
        cluster.start(*cluster.nodes)
        load.go_on()
        clients.go_on(100)
        cluster.judge()

    def test_all_killed_at_once(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load()
        clients = cluster.begin_history()
        for node in cluster.nodes.values():
            node.process.send_signal(signal.SIGKILL)
        for node in cluster.nodes.values():
            node.process.wait(timeout=30)
        cluster.start(*cluster.nodes)
        load.go_on()
        clients.go_on(100)
        cluster.judge()

    def test_the_leader_is_killed_right_after_an_acknowledgement(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load(clients=2)
        clients = cluster.begin_history()
        mine = []
        for turn in range(4):
            leader = cluster.leader()
            status, answer = cluster.create(f"last-words-{turn}", cluster.nodes[leader])
            cluster.nodes[leader].kill()
            self.assertEqual(status, 201, answer)
            mine.append(f"last-words-{turn}")
            # Found on the others, by a read that is sure to be current.
            for name in cluster.running():
                def read(name=name):
                    return answer_of(cluster.nodes[name], "GET", f"/v1/vms/last-words-{turn}")
                status, answer = wait_until("a read is answered", lambda: next(
                    (said for said in [read()] if said[0] in (200, 404)), None), 30)
                self.assertEqual(status, 200, answer)
            load.go_on(5)
            clients.go_on()
            cluster.start(leader)
        cluster.judge(mine)

    def test_a_follower_restarts_twenty_times(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load()
        cluster.begin_history()
        name = cluster.followers()[0]
        for turn in range(20):
            node = cluster.nodes[name]
            if turn % 2 == 0:
                node.kill()
            else:
                node.stop()
            cluster.start(name)
        load.go_on()
        cluster.judge()


class Histories(ClusterTest):
    def test_real_guests_while_nodes_are_killed(self):
        cluster = self.cluster().form(3)
        for node in cluster.nodes.values():
            node.cli("image", "import", str(OPTIONS.image), "--name", "guest")
        clients = cluster.begin_history(count=8, images=("guest", "none", "none", "none"))
        for victims in (cluster.followers()[:1], [cluster.leader()], list(cluster.nodes), ["n1"],
                        cluster.followers(), [cluster.leader()]):
            for name in victims:
                cluster.nodes[name].process.send_signal(signal.SIGKILL)
            for name in victims:
                cluster.nodes[name].process.wait(timeout=30)
            if len(victims) == 1:
                clients.go_on()
            cluster.start(*victims)
            clients.go_on()
        wait_until("a guest was seen running", lambda: "running" in clients.history.states)
        cluster.judge()


class Forming(ClusterTest):
    def form(self, count):
        cluster = self.cluster().form(count)
        views = [cluster.view(name)["members"] for name in cluster.nodes]
        for view in views:
            self.assertEqual(sorted(m["name"] for m in view), sorted(cluster.nodes))
            self.assertEqual(len({m["id"] for m in view}), count)
        # A write through each is known to each.
        for name, node in cluster.nodes.items():
            self.assertEqual(cluster.create(f"through-{name}", node)[0], 201)
        cluster.judge([f"through-{name}" for name in cluster.nodes])

    def test_three_with_parallel_joins(self):
        self.form(3)

    def test_five_with_parallel_joins(self):
        self.form(5)

    def test_seven_with_parallel_joins(self):
        self.form(7)

    def test_through_a_follower_under_load(self):
        cluster = self.cluster().form(3)
        cluster.begin_load()
        follower = cluster.nodes[cluster.followers()[0]]
        cluster.join("n4", through=follower)
        cluster.join("n5", through=cluster.nodes["n4"])
        cluster.judge()

    def test_the_lead_is_given_away(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load()
        for name in ("n1", "n2", "n3", "n1"):
            if cluster.leader() == name:
                continue
            # Asked of any node; the others hear of it.
            said = cluster.nodes["n3"].cli("node", "transfer-leader", name)
            self.assertIn(name, said)
            self.assertEqual(cluster.leader(), name)
            load.go_on(5)
        cluster.judge()

    def test_certificates_change_while_the_cluster_works(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load()
        for node in cluster.nodes.values():
            before = (node.data / "node.crt").read_text()
            self.assertIn("valid until", node.cli("node", "rotate-certificate"))
            self.assertNotEqual((node.data / "node.crt").read_text(), before)
        load.go_on()
        cluster.nodes["n2"].stop()
        cluster.start("n2")
        cluster.judge()


class Leaving(ClusterTest):
    def gone(self, cluster, name):
        """Its daemon ends by itself, says why, and does not come back."""
        node = cluster.nodes.pop(name)
        self.assertIn("removed", node.fails(exit_code=REMOVED))
        cluster.await_voters()
        node.launch()
        self.assertIn("removed", node.fails(exit_code=REMOVED))

    def test_as_follower_and_as_leader(self):
        cluster = self.cluster().form(5)
        load = cluster.begin_load()
        follower = cluster.followers()[0]
        # The node itself may be asked, or any other.
        cluster.nodes[follower].cli("node", "remove", follower, "--force")
        self.gone(cluster, follower)
        load.go_on()
        leader = cluster.leader()
        other = cluster.followers()[0]
        self.assertIn("node_has_vms", refused(cluster.nodes[other], "node", "remove", leader))
        cluster.nodes[other].cli("node", "remove", leader, "--force")
        self.gone(cluster, leader)
        load.go_on()
        cluster.join("n6")
        self.assertEqual({m["id"] for m in cluster.view("n6")["members"]} & {6}, {6})
        cluster.judge()

    def test_the_last_voter_stays(self):
        cluster = self.cluster().form(1)
        self.assertIn("last voter", refused(cluster.nodes["n1"], "node", "remove", "n1"))
        cluster.judge()

    def test_late_messages_of_a_removed_node(self):
        cluster = self.cluster().form(3)
        late = cluster.followers()[0]
        others = [name for name in cluster.nodes if name != late]
        node = cluster.nodes[late]
        node.process.send_signal(signal.SIGSTOP)
        cluster.nodes[others[0]].cli("node", "remove", late)
        leader = cluster.leader(others)
        term = cluster.view(leader)["term"]
        cluster.nodes.pop(late)
        cluster.begin_load()
        # It wakes up as what it was, and wants to be elected.
        node.process.send_signal(signal.SIGCONT)
        self.assertIn("removed", node.fails(exit_code=REMOVED))
        cluster.load.go_on()
        self.assertEqual(cluster.leader(), leader)
        self.assertEqual(cluster.term(), term)
        cluster.judge()


class Tokens(ClusterTest):
    def fails_to_join(self, cluster, token, through, name):
        node = cluster.make(name, "--join", f"{token}@{through.peer_address}")
        node.launch()
        return node.fails(seconds=90)

    def test_what_is_refused(self):
        cluster, other = self.cluster().form(1), self.cluster().form(1)
        first, stranger = cluster.nodes["n1"], other.nodes["n1"]
        token = cluster.token()
        cluster.nodes["n2"] = cluster.make("n2", "--join", f"{token}@{first.peer_address}").start()
        cluster.await_voters()
        self.assertIn("token_used", self.fails_to_join(cluster, token, first, "again"))
        revoked = first.json("token", "create")
        first.cli("token", "revoke", revoked["id"])
        self.assertIn("token_refused",
                      self.fails_to_join(cluster, revoked["token"], first, "revoked"))
        short = first.json("token", "create", "--expires", "1s")
        wait_until("the token has expired", lambda: next(
            t for t in first.json("token", "list")["tokens"] if t["id"] == short["id"])["expired"])
        self.assertIn("token_expired", self.fails_to_join(cluster, short["token"], first, "late"))
        # A secret that is wrong by one digit, and a token of another cluster.
        good = cluster.token()
        id_part, secret, authority = good.split(".")[1:]
        wrong = ".".join(["blx1", id_part, f"{int(secret[0], 16) ^ 1:x}{secret[1:]}", authority])
        self.assertIn("token_refused", self.fails_to_join(cluster, wrong, first, "guessed"))
        self.assertIn("unknown authority", self.fails_to_join(cluster, good, stranger, "lost"))
        # What was tried left no trace, and the good token is still good.
        self.assertEqual(len(cluster.view("n1")["members"]), 2)
        cluster.nodes["n3"] = cluster.make("n3", "--join", f"{good}@{first.peer_address}").start()
        cluster.judge()
        other.judge()

    def test_strangers_at_the_peer_port(self):
        cluster, other = self.cluster().form(3), self.cluster().form(1)
        term = cluster.term()
        host, _, port = cluster.nodes["n2"].peer_address.rpartition(":")

        def says(certificate, greeting):
            """All that a client gets to read before the node hangs up."""
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if certificate is not None:
                context.load_cert_chain(certificate / "node.crt", certificate / "node.key")
            said = b""
            with socket.create_connection((host, int(port)), timeout=30) as plain:
                try:
                    with context.wrap_socket(plain) as stream:
                        stream.sendall(greeting)
                        while part := stream.recv(4096):
                            said += part
                except (ssl.SSLError, ConnectionError):
                    pass  # an alert, or hung up
            return said

        # Without a certificate one may only enrol; the welcome is all that anybody else gets.
        self.assertEqual(says(None, bytes(4096)), b"\x01")
        for greeting in (b"", bytes(4096)):
            self.assertEqual(says(other.nodes["n1"].data, greeting), b"")
        with socket.create_connection((host, int(port)), timeout=15) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            try:
                while plain.recv(4096):
                    pass
            except ConnectionError:
                pass
        self.assertEqual(cluster.term(), term)
        cluster.judge()
        other.judge()


class Requests(ClusterTest):
    def test_a_batch_with_invalid_items_answers_each_rightly(self):
        cluster = self.cluster().form(3)
        nodes = list(cluster.nodes.values())
        self.assertEqual(cluster.create("taken", nodes[0])[0], 201)

        def create(number):
            node = nodes[number % 3]
            if number % 8 == 3:
                return cluster.create("taken", node)
            if number % 8 == 5:
                return answer_of(node, "POST", "/v1/vms",
                                 {"name": f"b-{number}", "image": "absent"})
            return cluster.create(f"b-{number}", node)
        with concurrent.futures.ThreadPoolExecutor(48) as pool:
            answers = list(pool.map(create, range(96)))
        for number, (status, answer) in enumerate(answers):
            if number % 8 == 3:
                self.assertEqual((status, answer["code"]), (409, "vm_exists"))
            elif number % 8 == 5:
                self.assertEqual((status, answer["code"]), (404, "image_not_found"))
            else:
                self.assertEqual((status, answer.get("name")), (201, f"b-{number}"))
        self.assertEqual(len(cluster.names_on("n1")), 1 + 96 * 6 // 8)
        cluster.judge()

    def test_a_repeated_request_acts_once_through_any_node(self):
        cluster = self.cluster().form(3)
        key = "6f1c6a1e-7d0a-4d2c-9a55-0f4f6f1d2b11"
        made = [cluster.create("once", node, key=key) for node in cluster.nodes.values()]
        self.assertEqual([status for status, _ in made], [201] * 3, made)
        self.assertEqual(len({answer["id"] for _, answer in made}), 1)
        cluster.judge(["once"])

    def test_a_lone_survivor_says_that_it_has_no_quorum(self):
        cluster = self.cluster().form(3)
        survivor = cluster.nodes["n1"]
        for name in ("n2", "n3"):
            cluster.nodes[name].kill()
        wait_until("it knows", lambda: not cluster.view("n1")["leader"], ELECTION_SECONDS + 5)
        for method, target, body in (("GET", "/v1/vms", None), ("POST", "/v1/vms", {
                "name": "never", "image": "none", "start": False})):
            status, answer = answer_of(survivor, method, target, body, timeout=30)
            self.assertIn(status, (503, 504), answer)
            self.assertIn(answer["code"], ("no_leader", "no_quorum", "not_committed"))
            self.assertTrue(answer["action"])
        self.assertIn("leader", refused(survivor, "vm", "list"))
        self.assertEqual(answer_of(survivor, "GET", "/v1/vms?consistency=stale")[0], 200)
        cluster.start("n2", "n3")
        cluster.begin_load().go_on()
        cluster.judge()


class Damage(ClusterTest):
    def test_a_damaged_vote_is_not_used(self):
        cluster = self.cluster().form(3)
        load = cluster.begin_load()
        name = cluster.followers()[0]
        node = cluster.nodes[name]
        node.stop()
        vote = node.data / "log" / "vote"
        whole = vote.read_bytes()
        for offset in (24, 40, 60):
            vote.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1:])
            node.launch()
            said = node.fails()
            self.assertIn("vote_damaged", said)
            self.assertRegex(said, "(?i)restore|join")  # what to do about it
        vote.unlink()
        node.launch()
        self.assertIn("vote_damaged", node.fails())
        load.go_on()  # the others do without it
        # Replaced by a new one, as the text says.
        cluster.nodes.pop(name)
        cluster.any().cli("node", "remove", name, "--force")
        cluster.join("n4")
        cluster.judge()

    def test_a_follower_that_was_away_too_long_gets_a_snapshot(self):
        cluster = self.cluster("--snapshot-entries", "100").form(3)
        name = cluster.followers()[0]
        had = cluster.status(name)["log_last"]
        cluster.nodes[name].kill()
        load = cluster.begin_load(clients=6)
        clients = cluster.begin_history(count=3)
        wait_until("the log begins after what it has", lambda: all(
            cluster.status(other)["log_snapshot"] > had + 200 for other in cluster.running()), 60)
        cluster.start(name)
        load.go_on()
        wait_until("it has the snapshot", lambda: cluster.status(name)["log_snapshot"] > had, 30)
        clients.go_on(60)
        cluster.judge()

    def test_a_node_that_joins_a_long_log_gets_a_snapshot(self):
        cluster = self.cluster("--snapshot-entries", "50").form(1)
        load = cluster.begin_load()
        load.go_on(200)
        cluster.join("n2", "n3")
        load.go_on()
        cluster.judge()


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--checker", required=True, type=pathlib.Path)
    parser.add_argument("--image", required=True, type=pathlib.Path, help="of guests that boot")
    parser.add_argument("--histories", type=pathlib.Path, help="keep what clients saw here")
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
