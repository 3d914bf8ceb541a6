#!/usr/bin/env python3
"""The recorder of histories against a store in this process: a right one passes, and each way of
being wrong is found. No daemon is started.

    python3 test/e2e/history_test.py --checker build/dev/bin/blixard-vopr [TEST...]
"""

import argparse
import copy
import pathlib
import random
import sys
import tempfile
import threading
import unittest

import history
from history import End, Verdict

OPTIONS = None


class Store:
    """VMs as the product keeps them, behind a network that loses requests and answers. `wrong`
    names what it does badly."""

    def __init__(self, wrong="", losing=0.1):
        self.wrong = wrong
        self.losing = losing  # how often each
        self.lock = threading.Lock()
        self.chance = random.Random(7)
        self.vms, self.before, self.answers, self.made = {}, {}, {}, 0

    def ask(self, _node, method, target, body, key, _timeout):
        with self.lock:
            luck = self.chance.random()
            if luck < self.losing:
                return 0, {"code": "not_connected"}
            if luck < 2 * self.losing:
                return 503, {"code": "no_leader"}
            answer = self.answer(method, target, body, key)
            return (0, {"code": "no_answer"}) if luck < 3 * self.losing else answer

    def answer(self, method, target, body, key):
        if method == "GET":
            vms = self.before if self.wrong == "stale" and self.chance.random() < 0.1 else self.vms
            return self.read(vms, target.removeprefix("/v1/vms").strip("/"))
        if key not in self.answers or self.wrong == "forgetful":
            if self.chance.random() < 0.2:
                self.before = copy.deepcopy(self.vms)
            if self.wrong == "lossy" and self.chance.random() < 0.05:
                self.vms.pop(self.chance.choice([*self.vms, None]), None)
            self.answers[key] = self.change(method, target, body)
        return self.answers[key]

    def read(self, vms, name):
        if not name:
            return 200, {"vms": copy.deepcopy(list(vms.values()))}
        return (200, dict(vms[name])) if name in vms else (404, {"code": "vm_not_found"})

    def change(self, method, target, body):
        if target == "/v1/vms":
            if body["name"] in self.vms:
                return 409, {"code": "vm_exists"}
            self.made += 1
            vm = {"id": self.made, "name": body["name"], "state": "pending", "generation": 0,
                  "desired": "running" if body["start"] else "stopped"}
            self.vms[vm["name"]] = vm
            return 201, dict(vm)
        name, _, operation = target.removeprefix("/v1/vms/").partition("/")
        if name not in self.vms:
            return 404, {"code": "vm_not_found"}
        vm = self.vms[name]
        if method == "DELETE":
            return 200, dict(self.vms.pop(name))
        vm["desired"] = {"start": "running", "stop": "stopped"}[operation]
        return 202, dict(vm)


class HistoryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="blixard-history-test-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "clients.jsonl"

    def record(self, store, operations=600, **habits):
        clients = history.Clients(self.path, store.ask, lambda: [None], seed=11, pace=0.002,
                                  pause=0.001, **habits)
        self.addCleanup(clients.ending.set)
        clients.go_on(operations)
        return clients

    def good(self, hasty=0):
        """Without open operations unless clients are hasty: those could explain what is altered."""
        self.record(Store(), hasty=hasty).end()
        return history.events_of(self.path)

    def judge(self, events):
        return Verdict(OPTIONS.checker, history.write_events(self.path, events))


class Recording(HistoryTest):
    def test_a_right_store_passes(self):
        events = self.good(hasty=0.3)
        verdict = Verdict(OPTIONS.checker, self.path)
        self.assertTrue(verdict.is_ok, verdict.text)
        kinds = {(event["f"], event["type"]) for event in events}
        for operation in history.WORK:
            self.assertIn((operation, "ok"), kinds)
        self.assertIn(("get", "fail"), kinds)
        self.assertTrue({("create", "info"), ("delete", "info"), ("stop", "info")} & kinds)
        self.assertEqual({event["error"] for event in events if "error" in event},
                         {"vm_exists", "vm_not_found"})

    def found(self, store):
        self.record(store, noisy=0).end()
        verdict = Verdict(OPTIONS.checker, self.path)
        self.assertTrue(verdict.is_violation, verdict.text)

    def test_stale_reads_are_found(self):
        self.found(Store("stale"))

    def test_lost_writes_are_found(self):
        self.found(Store("lossy"))

    def test_requests_that_act_twice_are_found(self):
        self.found(Store("forgetful"))

    def test_another_answer_to_the_same_request_is_told(self):
        clients = self.record(Store("forgetful", losing=0), noisy=1)
        with self.assertRaisesRegex(AssertionError, "repeated:"):
            clients.end()

    def test_an_answer_of_another_form_is_told(self):
        clients = self.record(Store(), 10)
        clients.ask = lambda *_: (200, {})
        history.wait_until("a client tells", lambda: clients.wrong, 30)
        with self.assertRaisesRegex(AssertionError, "KeyError"):
            clients.end()

    def test_an_unexpected_refusal_is_told(self):
        clients = self.record(Store(), 10)
        clients.ask = lambda *_: (409, {"code": "request_id_reused"})
        history.wait_until("a client tells", lambda: clients.wrong, 30)
        with self.assertRaisesRegex(AssertionError, "request_id_reused"):
            clients.end()


class Alterations(HistoryTest):
    """A recorded history in which one thing is made untrue."""

    def test_a_vm_that_nobody_made(self):
        events = self.good()
        name = history.seen_names(events)[0]
        verdict = self.judge(history.without_creates(events, name))
        self.assertTrue(verdict.is_violation, verdict.text)

    def test_two_answers_swapped(self):
        events = self.good()
        told = [event for event in events if event["type"] == "ok" and event["f"] == "create" and
                "value" in event]
        first = told[len(told) // 2]
        second = next(event for event in told if event["key"] == first["key"] and
                      event["value"] != first["value"])
        first["value"], second["value"] = second["value"], first["value"]
        verdict = self.judge(events)
        self.assertTrue(verdict.is_violation, verdict.text)
        self.assertIn(first["key"], verdict.text)

    def test_a_create_that_did_not_happen(self):
        events = self.good()
        seen = {(vm["name"], vm["id"]) for event in events if event["f"] == "get" and
                "value" in event for vm in [event["value"]]}
        end = next(event for event in events if event["type"] == "ok" and event["f"] == "create" and
                   (event["key"], event.get("value", {}).get("id")) in seen)
        end["type"] = "fail"
        verdict = self.judge(events)
        self.assertTrue(verdict.is_violation, verdict.text)


class Ends(unittest.TestCase):
    """What each answer says, as docs/formats/history.md has it."""

    def test_each(self):
        vm = {"id": 7, "name": "seen-1", "desired": "running", "generation": 1, "state": "placed",
              "reason": "", "pid": 4}
        sight = {"id": 7, "name": "seen-1", "desired": "running", "generation": 1,
                 "state": "placed"}
        other = {**vm, "name": "load-1"}
        for operation, status, answer, end in (
                ("get", 200, vm, End("ok", sight)),
                ("list", 200, {"vms": [other, vm]}, End("ok", [sight])),
                ("create", 201, vm, End("ok", {"id": 7})),
                ("delete", 202, vm, End("ok", {"id": 7})),
                ("create", 409, {"code": "vm_exists"}, End("ok", None, "vm_exists")),
                ("get", 404, {"code": "vm_not_found"}, End("ok", None, "vm_not_found")),
                ("stop", 409, {"code": "vm_being_deleted"}, End("ok", None, "vm_being_deleted")),
                ("create", 404, {"code": "vm_not_found"}, End("ok")),
                ("create", 404, {"code": "image_not_found"}, End("fail", None, "image_not_found")),
                ("create", 507, {"code": "too_many_vms"}, End("fail", None, "too_many_vms")),
                ("stop", 503, {"code": "leadership_lost"}, End("open", None, "leadership_lost")),
                ("stop", 504, {"code": "deadline_exceeded"}, End("open", None,
                                                                 "deadline_exceeded")),
                ("stop", 500, {"code": "internal"}, End("open", None, "internal")),
                ("stop", 0, {"code": "no_answer"}, End("open", None, "no_answer")),
                ("stop", 0, {"code": "not_connected"}, End("unsent"))):
            with self.subTest(operation=operation, status=status, code=answer.get("code")):
                self.assertEqual(history.end_of(operation, status, answer), end)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checker", required=True, type=pathlib.Path)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
