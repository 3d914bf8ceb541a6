#!/usr/bin/env python3
"""Real guests that are paused, suspended, woken, and restored from snapshots: what a user sees, and
what is left when daemons and guests are killed on the way.

    python3 test/e2e/suspend_test.py --program build/dev/bin/blixard --image build/guest [TEST...]
    ... --steps 500 Churn          as many random starts, suspends, wakes and kills
"""

import argparse
import collections
import hashlib
import os
import pathlib
import random
import signal
import sys
import time
import unittest

import harness
from cluster import Cluster
from harness import Refused, page, wait_until

OPTIONS = None


def inside(vm):
    """What the guest says of itself."""
    port = vm["published_ports"][0]["host_port"]
    return dict(line.split(": ", 1) for line in page(port, "/identity")[1].splitlines())


def refusal(test, daemon, *words):
    with test.assertRaises(Refused) as caught:
        daemon.cli(*words)
    return str(caught.exception)


def saved_files(daemon):
    return sorted(path.name for path in (daemon.data / "saved").iterdir())


class SuspendTest(unittest.TestCase):
    def setUp(self):
        self.place = harness.Place(OPTIONS.program, OPTIONS.image)
        self.addCleanup(self.place.close)

    def node(self, templates_mib=0):
        daemon = self.place.daemon(arguments=["--accelerator", "tcg"],
                                   templates_mib=templates_mib).start()
        daemon.cli("image", "import", str(OPTIONS.image), "--name", "guest")
        return daemon

    def create(self, daemon, name="web", *more):
        daemon.cli("vm", "create", name, "--image", "guest", "--publish", "80", "--wait", *more)
        return daemon.vm(name)


class Suspend(SuspendTest):
    def test_paused_guests_go_on_where_they_stood(self):
        daemon = self.node()
        before = inside(self.create(daemon))
        daemon.cli("vm", "pause", "web", "--wait")
        vm = daemon.vm("web")
        self.assertEqual((vm["state"], vm["desired"]), ("paused", "paused"))
        self.assertEqual(self.place.guests(), [vm["pid"]])
        # A new daemon finds it paused and leaves it so.
        daemon.kill()
        daemon.start()
        wait_until("adopted", lambda: f"adopted, pid {vm['pid']}" in daemon.log())
        self.assertEqual(daemon.vm("web")["state"], "paused")
        daemon.cli("vm", "resume", "web", "--wait")
        after = inside(daemon.vm("web"))
        self.assertEqual(after["boot"], before["boot"])
        self.assertEqual(daemon.vm("web")["pid"], vm["pid"])

    def test_a_suspended_guest_takes_nothing_and_wakes_as_it_was(self):
        daemon = self.node()
        before = inside(self.create(daemon))
        daemon.cli("vm", "suspend", "web", "--wait")
        vm = daemon.vm("web")
        self.assertEqual(vm["state"], "suspended")
        self.assertEqual(self.place.guests(), [])
        self.assertEqual(list((daemon.data / "vms").glob("[0-9]*")), [])
        self.assertEqual(saved_files(daemon), [vm["saved"]["digest"]])
        self.assertIn(f"MiB on {vm['saved']['node']}, saved", daemon.cli("vm", "status", "web"))

        daemon.kill()
        daemon.start()
        self.assertEqual(daemon.vm("web")["state"], "suspended")
        for verb in ("pause", "snapshot"):
            self.assertIn("vm_not_running", refusal(self, daemon, "vm", verb, "web"))
        daemon.cli("vm", "suspend", "web", "--wait")  # as it is already
        daemon.cli("vm", "resume", "web", "--wait")
        vm = daemon.vm("web")
        self.assertEqual(vm["start"]["kind"], "resumed")
        self.assertNotIn("saved", vm)
        after = inside(vm)
        for same in ("boot", "mac", "machine", "name"):
            self.assertEqual(after[same], before[same])
        self.assertNotEqual(after["random"], before["random"])
        self.assertLess(abs(int(after["time_ms"]) / 1000 - time.time()), 5)
        wait_until("the file is gone", lambda: saved_files(daemon) == [])

    def test_a_snapshot_is_restored_as_often_as_wanted(self):
        daemon = self.node()
        before = inside(self.create(daemon))
        self.assertIn("no_snapshot", refusal(self, daemon, "vm", "restore", "web"))
        daemon.cli("vm", "snapshot", "web", "--wait")
        self.assertEqual(inside(daemon.vm("web"))["boot"], before["boot"])
        drawn = set()
        for _ in range(2):
            daemon.cli("vm", "restore", "web", "--wait")
            vm = daemon.vm("web")
            self.assertEqual(vm["start"]["kind"], "resumed")
            after = inside(vm)
            self.assertEqual(after["boot"], before["boot"])
            drawn.add(after["random"])
        self.assertEqual(len(drawn), 2)
        # Also of a guest that is not there any more.
        daemon.cli("vm", "stop", "web", "--wait")
        daemon.cli("vm", "restore", "web", "--wait")
        self.assertEqual(inside(daemon.vm("web"))["boot"], before["boot"])
        daemon.cli("vm", "snapshot", "web", "--delete")
        wait_until("the file is gone", lambda: saved_files(daemon) == [])
        daemon.cli("vm", "delete", "web", "--wait")
        self.assertEqual(self.place.guests(), [])

    def test_what_was_saved_and_is_damaged_is_a_boot_that_says_why(self):
        def cut(path):
            os.truncate(path, path.stat().st_size // 2)

        def change(path):
            with open(path, "r+b") as file:
                file.seek(path.stat().st_size // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))

        def forge(path):
            """What it says of itself is not believed either, if the whole file is not right."""
            whole = path.read_bytes()
            path.write_bytes(whole.replace(b'"format":1', b'"format":2', 1))
            self.assertNotEqual(path.read_bytes(), whole)

        daemon = self.node()
        before = inside(self.create(daemon))
        for damage, why in ((forge, "saved_guest_damaged"), (cut, "saved_guest_damaged"),
                            (change, "saved_guest_damaged"),
                            (pathlib.Path.unlink, "saved_guest_not_here")):
            with self.subTest(damage=damage.__name__):
                daemon.cli("vm", "suspend", "web", "--wait")
                [file] = saved_files(daemon)
                damage(daemon.data / "saved" / file)
                daemon.cli("vm", "resume", "web", "--wait")
                start = daemon.vm("web")["start"]
                self.assertEqual(start["kind"], "cold")
                self.assertIn(why, start["why"])
                boot = inside(daemon.vm("web"))["boot"]
                self.assertNotEqual(boot, before["boot"])
                before = inside(daemon.vm("web"))


class Elsewhere(unittest.TestCase):
    def cluster(self):
        cluster = Cluster(OPTIONS.program)
        self.addCleanup(cluster.close)
        cluster.form(2)
        for node in cluster.nodes.values():
            node.cli("image", "import", str(OPTIONS.image), "--name", "guest")
        return cluster

    def test_a_guest_wakes_on_the_other_node(self):
        cluster = self.cluster()
        n1, n2 = cluster.nodes["n1"], cluster.nodes["n2"]
        n1.cli("node", "cordon", "n2")
        n1.cli("vm", "create", "web", "--image", "guest", "--publish", "80", "--wait")
        before = inside(n1.vm("web"))
        n1.cli("vm", "snapshot", "web", "--wait")
        n1.cli("vm", "suspend", "web", "--wait")
        self.assertEqual(n1.vm("web")["saved"]["node"], "n1")
        n1.cli("node", "uncordon", "n2")
        n1.cli("node", "cordon", "n1")
        n1.cli("vm", "resume", "web", "--wait")
        vm = n2.vm("web")
        self.assertEqual((vm["node"], vm["start"]["kind"]), ("n2", "resumed"))
        self.assertEqual(inside(vm)["boot"], before["boot"])
        self.assertEqual(cluster.place.guests(), [vm["pid"]])
        wait_until("the copy is gone", lambda: saved_files(n2) == [])
        # The snapshot stays where it was made, and is fetched from there.
        [snapshot] = wait_until("only the snapshot", lambda: len(saved_files(n1)) == 1 and
                                saved_files(n1))
        n1.cli("vm", "restore", "web", "--wait")
        vm = n2.vm("web")
        self.assertEqual((vm["node"], vm["start"]["kind"]), ("n2", "resumed"))
        self.assertEqual(inside(vm)["boot"], before["boot"])
        self.assertEqual(saved_files(n1), [snapshot])

    def test_who_holds_it_is_away(self):
        cluster = self.cluster()
        n1, n2 = cluster.nodes["n1"], cluster.nodes["n2"]
        n2.cli("node", "cordon", "n1")
        n2.cli("vm", "create", "web", "--image", "guest", "--publish", "80", "--wait")
        before = inside(n2.vm("web"))
        n2.cli("vm", "suspend", "web", "--wait")
        self.assertEqual(n2.vm("web")["saved"]["node"], "n2")
        n2.cli("node", "uncordon", "n1")
        n2.cli("node", "cordon", "n2")
        # Both daemons, at the worst moment: the other one has begun to fetch.
        n1.cli("vm", "resume", "web")
        n2.kill()
        n1.kill()
        self.assertLessEqual(len(cluster.place.guests()), 1)
        cluster.start("n1", "n2")
        vm = wait_until("it runs", lambda: n1.vm("web")["state"] == "running" and n1.vm("web"))
        self.assertEqual(cluster.place.guests(), [vm["pid"]])
        woken = inside(vm)
        if vm["start"]["kind"] == "resumed":
            self.assertEqual(woken["boot"], before["boot"])
        else:
            self.assertIn("saved guest", vm["start"]["why"])
            self.assertNotEqual(woken["boot"], before["boot"])


# In which state a VM may be for good, by what is desired.
RESTS_IN = {"running": ["running"], "paused": ["paused"], "stopped": ["stopped"],
            "suspended": ["suspended", "stopped", "failed"]}
# What may be said of a request that comes at a bad moment.
FAIR = ["vm_not_running", "no_snapshot", "snapshot_in_use", "vm_not_found", "vm_being_deleted"]


class Churn(SuspendTest):
    """Four VMs of one node; a random step after the other, daemons and guests killed between."""

    def test_nothing_is_left_without_an_owner(self):
        chance = random.Random(OPTIONS.seed)
        daemon = self.daemon = self.node(templates_mib=1024)
        daemon.cli("template", "create", "guest")
        template = self.template_digest()
        self.groups = None
        self.counts = collections.Counter()
        names = [f"vm-{number}" for number in range(4)]
        for _ in range(OPTIONS.steps):
            self.step(chance, chance.choice(names))
        print("steps:", dict(sorted(self.counts.items())))
        vms = self.settled()
        self.check_owners(vms)
        # A guest that was killed while it was cloned may have cost its template.
        now = self.template_digest()
        if now.get("manifest.json") == template["manifest.json"]:
            self.assertEqual(now, template)
        for vm in vms:
            daemon.cli("vm", "delete", vm["name"], "--wait")
        self.check_owners([])
        daemon.stop()
        self.assertEqual(self.place.processes(), {})
        self.check_owners([], standbys=0)
        self.assertGreater(self.counts["suspend"], 0)
        self.assertGreater(self.counts["daemon killed"], 0)

    def step(self, chance, name):
        there = [vm["name"] for vm in self.daemon.json("vm", "list")["vms"]]
        words = ["vm", "create", name, "--image", "guest", "--publish", "80", "--restart", "always"]
        if name in there:
            verb = chance.choices(
                ["suspend", "resume", "start", "pause", "snapshot", "restore", "stop", "delete"],
                [6, 6, 3, 2, 2, 2, 1, 1])[0]
            words = ["vm", verb, name]
        try:
            self.daemon.cli(*words)
            self.counts[words[1]] += 1
        except Refused as refused:
            self.assertTrue(any(word in str(refused) for word in FAIR), f"{words}: {refused}")
            self.counts["refused"] += 1
        dice = chance.random()
        if dice < 0.2:
            looks = iter(range(1000))
            end = chance.randrange(40)
            wait_until("a moment", lambda: next(looks) >= end)
            self.daemon.kill()
            self.daemon.start()
            self.counts["daemon killed"] += 1
        elif dice < 0.25 and self.place.guests():
            try:
                os.kill(chance.choice(self.place.guests()), signal.SIGKILL)
                self.counts["guest killed"] += 1
            except (ProcessLookupError, IndexError):
                pass
        elif dice < 0.75:
            self.settled()

    def settled(self):
        def at_rest():
            vms = self.daemon.json("vm", "list")["vms"]
            rest = all(vm["state"] in RESTS_IN.get(vm["desired"], []) for vm in vms)
            return [vms] if rest else []
        [vms] = wait_until("all VMs are as they are wanted", at_rest)
        return [self.daemon.vm(vm["name"]) for vm in vms]

    def template_digest(self):
        """Of its files; of none while it is made anew."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for template in (self.daemon.data / "templates").iterdir()
                if not template.name.startswith(".") for path in template.iterdir()}

    def check_owners(self, vms, standbys=4):
        """Processes, folders, groups, records and saved guests: those of these VMs, no other, and
        so many at most that stand by."""
        here = [vm for vm in vms if vm["state"] in ("running", "paused")]
        pids = {vm["pid"] for vm in here}
        wait_until("no process without an owner", lambda: set(self.place.guests()) == pids)
        ids = sorted(str(vm["id"]) for vm in vms if vm.get("node") and vm in here)

        def folders():
            return sorted(path.name for path in (self.daemon.data / "vms").iterdir()
                          if path.is_dir())

        def owned(names):
            waiting = [name for name in names if name.startswith("standby-")]
            self.assertLessEqual(len(waiting), standbys)
            return [name for name in names if name not in waiting]
        wait_until("no folder without an owner", lambda: owned(folders()) == ids)
        records = sorted(path.stem for path in (self.daemon.data / "records").iterdir())
        self.assertEqual(records, sorted(f"vm-{number}" for number in ids))
        for pid in pids:
            self.groups = self.group_of(pid).parent
        if self.groups is not None:
            wait_until("no group without an owner", lambda: sum(
                1 for path in self.groups.glob("vm-*")) == len(folders()))
        named = set()
        for vm in vms:
            for saved in (vm.get("saved"), vm.get("snapshot", {}).get("guest")):
                if saved:
                    named.add(saved["digest"])
        wait_until("no saved guest without an owner",
                   lambda: set(saved_files(self.daemon)) == named)

    @staticmethod
    def group_of(pid):
        [line] = [line for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
                  if line.startswith("0::")]
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            path = pathlib.Path(root + line[3:])
            if path.exists():
                return path
        raise AssertionError(f"no group of {pid}: {line}")


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--image", required=True, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=60, help="of Churn")
    parser.add_argument("--seed", type=int, default=11, help="of Churn")
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.program = OPTIONS.program.resolve()
    OPTIONS.image = OPTIONS.image.resolve()
    if not (OPTIONS.image / "image.json").exists():
        sys.exit(f"{OPTIONS.image} holds no guest image: run ./do test, or tools/guest/build.py")
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
