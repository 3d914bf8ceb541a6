#!/usr/bin/env python3
"""One request is one trace, over three real nodes with pretended guests: as the nodes tell it when
one of them is asked, and as a collector gets it.

    python3 test/e2e/trace_test.py --program build/dev/bin/blixard [--keep DIRECTORY] [TEST...]
"""

import argparse
import collections
import json
import os
import pathlib
import secrets
import subprocess
import sys
import unittest

from cluster import Cluster, small_image
from collector import Collector, read_traces
from harness import wait_until

OPTIONS = None
TOLERANCE_NS = 2_000_000  # the nodes are on one machine, whose wall clock tells milliseconds

# What `vm create --wait` through a follower leaves at least, and how often.
EXPECTED = {
    "create_vm": 1, "api.wait": 1, "propose CreateVm": 1, "raft.forward": 1,
    "apply CreateVm": 3, "placement.plan": 1, "propose PlaceVm": 1, "apply PlaceVm": 3,
    "agent.start": 1, "image.prepare": 1, "driver.prepare": 1, "driver.start": 1,
    "guest.ready": 1, "agent.report": 1, "propose ReportVms": 1, "raft.replicate": 3,
}
# docs/tracing.md says what each is; these may be there, too.
ALSO = {"apply ReportVms", "propose ExplainPending", "apply ExplainPending"}


def name_of(resource):
    return resource["blixard.node.name"]


class TraceTest(unittest.TestCase):
    def cluster(self, ratio=0.01, collector=None):
        cluster = Cluster(OPTIONS.program, ["--hypervisor", "simulated"])
        self.addCleanup(cluster.close)
        file = cluster.place.path / "blixard.toml"
        endpoint = f'otlp_endpoint = "{collector.url}"\n' if collector else ""
        file.write_text(f"[telemetry]\ntrace_sample_ratio = {ratio}\n{endpoint}")
        cluster.options += ["--config", str(file)]
        cluster.form(3)
        image = small_image(cluster.place.path / "pretended")
        for node in cluster.nodes.values():
            node.cli("image", "import", str(image), "--name", "pretended")
        return cluster

    def check_tree(self, found, nodes, remote_parent=None):
        """Every parent is there, children lie within what they are part of."""
        spans = {span["spanId"]: span for _, span in found}
        self.assertEqual(len(spans), len(found), "a span was told twice")
        self.assertEqual({name_of(of) for of, _ in found}, set(nodes))
        roots = [span for span in spans.values()
                 if span.get("parentSpanId") in (None, remote_parent)]
        self.assertEqual([span["name"] for span in roots], ["create_vm"])
        for span in spans.values():
            if span in roots:
                continue
            parent = spans.get(span["parentSpanId"])
            self.assertIsNotNone(parent, f"{span['name']} has no parent")
            self.assertGreaterEqual(int(span["startTimeUnixNano"]) + TOLERANCE_NS,
                                    int(parent["startTimeUnixNano"]), (span, parent))
            # The last word of what happened may be spread after the client has its answer, and
            # followers apply after the leader has committed.
            if span["name"].startswith(("apply", "propose ReportVms", "agent.report")):
                continue
            if parent["name"] == "create_vm" and span["name"] != "api.wait":
                continue
            self.assertLessEqual(int(span["endTimeUnixNano"]),
                                 int(parent["endTimeUnixNano"]) + TOLERANCE_NS, (span, parent))
        counts = collections.Counter(span["name"] for span in spans.values())
        for name, count in EXPECTED.items():
            self.assertGreaterEqual(counts[name], count, (name, counts))
        self.assertLessEqual(set(counts), set(EXPECTED) | ALSO)
        for span in spans.values():
            self.assertEqual(span["status"], {}, span)
        return counts

    def whole(self, node, trace_id, remote_parent=None):
        """The trace as the nodes tell it, once all that began has ended: the client has its answer
        before the last report is applied everywhere."""
        def told():
            status, _, body = node.request("GET", f"/v1/traces/{trace_id}")
            if status != 200:
                return None
            document = json.loads(body)
            self.assertNotIn("missingNodes", document)
            found = read_traces(document)
            names = {span["spanId"]: span["name"] for _, span in found}
            parents = collections.Counter(span.get("parentSpanId") for _, span in found)
            ended = set(parents) - {None, remote_parent} <= set(names)
            applied = all(parents[span] == 3 for span, name in names.items()
                          if name == "raft.replicate")
            return found if ended and applied else None
        return wait_until("all that began has ended", told, 30)

    def test_vm_create_through_a_follower(self):
        collector = Collector()
        cluster = self.cluster(0.0, collector)
        follower = cluster.nodes[cluster.followers()[0]]
        # The node with most free memory is next: not the leader nor the one that is asked.
        for name in (cluster.leader(), follower.data.name):
            vm = follower.json("vm", "create", f"on-{name}", "--image", "pretended", "--wait")
            self.assertTrue(vm["node"])
        trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)
        status, headers, body = follower.request(
            "POST", "/v1/vms?wait=running", {"name": "web", "image": "pretended"},
            {"traceparent": f"00-{trace_id}-{parent}-01"})
        self.assertEqual(status, 201, body)
        answer = headers["traceresponse"].split("-")
        self.assertEqual((answer[0], answer[1], answer[3]), ("00", trace_id, "01"))

        # Whichever node is asked tells the same.
        told = {name: self.whole(node, trace_id, parent) for name, node in cluster.nodes.items()}
        self.check_tree(told["n1"], cluster.nodes, parent)
        spans = {name: {span["spanId"] for _, span in found} for name, found in told.items()}
        self.assertEqual(spans["n1"], spans["n2"])
        self.assertEqual(spans["n1"], spans["n3"])
        server = next(span for _, span in told["n1"] if span["name"] == "create_vm")
        self.assertEqual((server["spanId"], server["parentSpanId"], server["kind"]),
                         (answer[2], parent, 2))
        # Who did what.
        leader = cluster.leader()
        by_name = collections.defaultdict(set)
        for of, span in told["n1"]:
            by_name[span["name"]].add(name_of(of))
        self.assertEqual(by_name["create_vm"], {follower.data.name})
        self.assertEqual(by_name["raft.replicate"], {leader})
        self.assertEqual(by_name["placement.plan"], {leader})
        owner = follower.vm("web")["node"]
        self.assertEqual(by_name["driver.start"], {owner})
        self.assertEqual(by_name["guest.ready"], {owner})

        # And so does what the collector got from the three of them.
        wait_until("the collector has it",
                   lambda: {s["spanId"] for _, s in collector.trace(trace_id)} >= spans["n1"], 30)
        self.check_tree(collector.trace(trace_id), cluster.nodes, parent)
        wait_until("metrics of all nodes", lambda: len(collector.metrics) >= 3, 60)
        self.assertIn("blixard_trace_spans_total", collector.metrics[-1])
        self.keep(cluster, follower, trace_id)
        for node in cluster.nodes.values():
            node.stop()
        collector.close()

    def keep(self, cluster, node, trace_id):
        """The command line's three forms of it; for docs and to look at, with --keep."""
        text = node.cli("trace", "show", trace_id)
        self.assertIn("create_vm", text)
        self.assertIn("guest.ready", text)
        page = cluster.place.path / "trace.html"
        node.cli("trace", "show", trace_id, "--html", str(page))
        html = page.read_text()
        self.assertNotIn("://", html)
        document = node.cli("trace", "show", trace_id, "--output", "json")
        read_traces(json.loads(document))
        listed = node.json("trace", "list")["traces"]
        self.assertIn(trace_id, [trace["id"] for trace in listed])
        if OPTIONS.keep:
            OPTIONS.keep.mkdir(parents=True, exist_ok=True)
            (OPTIONS.keep / "trace.txt").write_text(text)
            (OPTIONS.keep / "trace.html").write_text(html)
            (OPTIONS.keep / "trace.json").write_text(document)

    def test_the_command_line_begins_a_trace_or_follows_one(self):
        cluster = self.cluster(0.0)
        node = cluster.nodes[cluster.followers()[-1]]
        vm = node.json("vm", "create", "web", "--image", "pretended", "--wait")
        found = self.whole(node, vm["trace_id"])
        self.check_tree(found, cluster.nodes)
        said = subprocess.run(
            [node.program, "--socket", node.socket, "--verbose", "vm", "stop", "web", "--wait"],
            capture_output=True, text=True, timeout=60, check=True).stderr
        stopped = said.split()[1].rstrip(":")
        _, _, body = node.request("GET", f"/v1/traces/{stopped}")
        names = {span["name"] for _, span in read_traces(json.loads(body))}
        self.assertLessEqual({"stop_vm", "api.wait", "apply SetDesired", "driver.stop"}, names)
        trace_id, parent = secrets.token_hex(16), secrets.token_hex(8)
        subprocess.run(
            [node.program, "--socket", node.socket, "vm", "delete", "web", "--wait"], check=True,
            capture_output=True, timeout=60,
            env={**os.environ, "TRACEPARENT": f"00-{trace_id}-{parent}-01"})
        _, _, body = node.request("GET", f"/v1/traces/{trace_id}")
        server, = [span for _, span in read_traces(json.loads(body))
                   if span["name"] == "delete_vm"]
        self.assertEqual(server["parentSpanId"], parent)

    def test_what_is_not_sampled_leaves_nothing(self):
        cluster = self.cluster(1.0)
        node = cluster.any()
        trace_id = secrets.token_hex(16)
        for context in (f"00-{trace_id}-{secrets.token_hex(8)}-00",):
            status, headers, _ = node.request(
                "POST", "/v1/vms", {"name": "quiet", "image": "pretended"},
                {"traceparent": context})
            self.assertEqual(status, 201)
            self.assertNotIn("traceresponse", headers)
        status, _, body = node.request("GET", f"/v1/traces/{trace_id}")
        self.assertEqual((status, json.loads(body)["code"]), (404, "trace_not_found"))
        # One that is no traceparent is as none: here everything of that kind is traced.
        _, headers, _ = node.request("GET", "/v1/vms", headers={"traceparent": "00-zz"})
        self.assertRegex(headers["traceresponse"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
        status, _, body = node.request("GET", "/v1/traces/ABC")
        self.assertEqual((status, json.loads(body)["code"]), (400, "trace_id_invalid"))

    def test_a_node_that_is_away_is_named(self):
        cluster = self.cluster()
        follower = cluster.followers()[0]
        node = cluster.nodes[cluster.leader()]
        vm = node.json("vm", "create", "web", "--image", "pretended", "--wait")
        self.whole(node, vm["trace_id"])
        cluster.nodes[follower].kill()
        status, _, body = node.request("GET", f"/v1/traces/{vm['trace_id']}")
        document = json.loads(body)
        self.assertEqual((status, document["missingNodes"]), (200, [follower]))
        read_traces(document, optional=("missingNodes",))
        self.assertIn(f"{follower} could not be asked",
                      node.cli("trace", "show", vm["trace_id"]))


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="leave a trace in all its forms here")
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
