#!/usr/bin/env python3
"""Tests of start.py and its parts, with a daemon and a QEMU that only pretend."""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import time
import unittest
import uuid
import xml.etree.ElementTree
from unittest import mock

import start

import bare
import batch
import product

# Both are programs of their own, and begin quickly.
SHEBANG = f"#!{sys.executable} -IS\n"

# Speaks as much QMP and as much of the agent's protocol as the bench asks for. A guest that is
# loaded is whoever was saved.
QEMU = SHEBANG + r'''
import array, json, os, socket, sys, threading
words = sys.argv[1:]
value = lambda option: words[words.index(option) + 1]
is_product, log = os.environ.get("FAKE_PRODUCT"), os.environ["FAKE_LOG"]
name = next(w[9:] for w in value("-append").split() if w.startswith("blx.name="))
guest = {"name": name if is_product or "-incoming" not in words else "",
         "status": "inmigrate" if "-incoming" in words else "running"}
page = socket.create_server(("127.0.0.1", int(value("-netdev").split(":")[2].split("-")[0])))
agent, monitor = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)

def note(text):
    with open(log, "a") as file:
        file.write(f"{name} {text}\n")

def obey(command, rights, given):
    if command == "getfd":
        given.append(rights[0])
    if command == "migrate":
        os.write(given[-1], guest["name"].encode())
    if command == "migrate-incoming":
        guest.update(name=os.read(given[-1], 99).decode(), status="paused")
    if command == "cont":
        guest["status"] = "running"
    if command == "query-migrate":
        return {"status": "completed"}
    return {"status": guest["status"]} if command == "query-status" else {}

def serve_monitor():
    talk, given = monitor.accept()[0], []
    talk.sendall(b'{"QMP": {}}\n')
    while True:
        line, ancillary, *_ = talk.recvmsg(65536, 999)
        if not line:
            return
        rights = [array.array("i", one[2])[0] for one in ancillary]
        command = json.loads(line)["execute"]
        note(command)
        talk.sendall(b'{"event": "X"}\n' + json.dumps(
            {"return": obey(command, rights, given)}).encode() + b"\n")
        if command == "quit":
            os._exit(0)

def serve_agent():
    while True:
        talk = agent.accept()[0]
        for line in talk.makefile():
            if not line.strip():
                continue
            verb, nonce, *asked = line.split()
            note(verb)
            to = dict(each.split("=") for each in asked)
            if to.get("was", guest["name"]) != guest["name"] or "refuse" in name:
                talk.sendall(f"error {nonce} another guest\n".encode())
                continue
            guest["name"] = to.get("name", guest["name"])
            talk.sendall(f"ready 1 x\nok ff\nok {nonce}\n".encode())

for server, path, serve in ((agent, "agent", serve_agent), (monitor, "qmp", serve_monitor)):
    server.bind(path)
    server.listen()
    threading.Thread(target=serve).start()
while True:
    talk = page.accept()[0]
    talk.recv(9999)
    body = f"hello from {guest['name']}\n"
    talk.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    talk.close()
'''

DAEMON = SHEBANG + r'''
import json, os, signal, socket, sys, threading
bin = os.path.dirname(sys.argv[0])
data = sys.argv[sys.argv.index("--data") + 1]
is_warm = sys.argv[sys.argv.index("--templates-mib") + 1] != "0"
standbys = int(sys.argv[sys.argv.index("--standbys") + 1])
launched = 0
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
vms = {}

def launch(name):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    memory = ("file,id=ram0,size=1M,mem-path=../../ram,share=off" if is_warm
              else "ram,id=ram0,size=1M")
    words = ["-name", f"blx-{name}", "-uuid", "00000000-0000-0000-0000-000000000001",
             "-object", f"memory-backend-{memory}", "-accel", "tcg,tb-size=64",
             "-kernel", "../../image/vmlinux", "-initrd", "../../image/initrd",
             "-append", f"quiet blx.name={name} blx.gw=10.0.2.2", "-qmp", "unix:qmp",
             "-device", "virtio-rng-device",
             "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:80",
             "-device", "virtio-net-device,netdev=n0,mac=02:00:00:00:00:01",
             *(["-incoming", "defer"] if is_warm else [])]
    folder = f"{data}/vms/{name}"
    os.makedirs(folder)
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["FAKE_PRODUCT"] = "1"
        os.execv(f"{bin}/qemu-system-fake", [f"{bin}/qemu-system-fake", *words])
    vms[name] = pid
    while True:
        talk = socket.socket(socket.AF_UNIX)
        try:
            talk.connect(f"{folder}/agent")
            break
        except OSError:
            talk.close()
            signal.sigtimedwait([], 0.002)
    talk.sendall(b"ping 1\n")
    talk.recv(99)
    kind = os.environ.get("FAKE_KIND") or ("warm" if is_warm else "cold")
    return 201, {"name": name, "pid": pid, "published_ports": [{"host_port": port}],
                 "start": {"kind": kind, "took_ms": 7, "why": "template_unusable: it is torn"}}

def answer(method, target, body):
    name = target.partition("?")[0].split("/")[-1]
    global launched
    if (method, name) == ("POST", "vms"):
        launched += 1
        return launch(body["name"])
    if name == "metrics":
        return 200, f"# HELP\nblixard_standbys {min(standbys, launched - 1)}\nother 1\n"
    if method == "DELETE":
        os.kill(vms[name], signal.SIGKILL)
        os.waitpid(vms.pop(name), 0)
    return (404, {"code": "vm_not_found", "detail": "no"}) if method == "GET" else (200, {})

def serve(talk):
    stream = talk.makefile("rb")
    method, target, _ = stream.readline().decode().split()
    length = 0
    while (line := stream.readline().strip()):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split()[1])
    status, found = answer(method, target, json.loads(stream.read(length) or "{}"))
    with open(os.environ["FAKE_LOG"], "a") as file:
        file.write(f"api {method} {target}\n")
    text = (found if isinstance(found, str) else json.dumps(found)).encode()
    talk.sendall(f"HTTP/1.1 {status} OK\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
    stream.close()
    talk.close()

os.makedirs(data)
api = socket.socket(socket.AF_UNIX)
api.bind(f"{data}/api.sock")
api.listen(99)
print("ready, API on 127.0.0.1:1", flush=True)
while True:
    threading.Thread(target=serve, args=(api.accept()[0],), daemon=True).start()
'''

WORDS = ["/usr/bin/qemu-system-x86_64", "-name", "blx-sample", "-uuid", "u", "-object",
         "memory-backend-file,id=ram0,size=128M,mem-path=../../templates/k/ram,share=off",
         "-accel", "tcg,tb-size=64", "-kernel", "../../images/vmlinux", "-initrd", "/srv/initrd",
         "-append", "quiet blx.ip=10.0.2.15/24 blx.name=sample x=1", "-device", "virtio-rng-device",
         "-netdev", "user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:4000-10.0.2.15:80", "-device",
         "virtio-net-device,netdev=n0,mac=02:00:00:00:00:01", "-incoming", "defer"]
IDENTITY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")


class Commands(unittest.TestCase):
    def setUp(self):
        self.command = bare.Command(WORDS, "/data/vms/7", (1, 2))

    def changes(self, command):
        """What differs from the product's, by place."""
        self.assertEqual(len(command.words), len(WORDS))
        return {theirs: ours for theirs, ours in zip(WORDS, command.words) if theirs != ours}

    def test_only_who_the_guest_is_differs(self):
        found = self.changes(self.command.for_guest("other", IDENTITY, 5000))
        self.assertEqual(found, {
            "blx-sample": "blx-other", "u": str(IDENTITY),
            "../../images/vmlinux": "/data/images/vmlinux",
            WORDS[14]: "quiet blx.ip=10.0.2.15/24 blx.name=other x=1",
            WORDS[18]: "user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:5000-10.0.2.15:80",
            WORDS[20]: "virtio-net-device,netdev=n0,mac=02:bb:cc:dd:ee:ff"})
        self.assertEqual(self.command.words, WORDS)

    def test_a_template_shares_its_memory_and_boots(self):
        words = self.command.for_template("/x/ram").words
        self.assertEqual(words[6], "memory-backend-file,id=ram0,size=128M,mem-path=/x/ram,share=on")
        self.assertNotIn("-incoming", words)
        self.assertEqual(words[-1], WORDS[20])
        self.assertEqual(self.command.memory_mib(), 128)

    def test_arguments_that_are_not_understood(self):
        for at, other, what in ((20, "virtio-net-device,netdev=n0", "mac"),
                                (18, "user,id=n0", "hostfwd"), (14, "quiet", "blx"),
                                (16, WORDS[20], "mac")):
            words = [*WORDS[:at], other, *WORDS[at + 1:]]
            with self.assertRaisesRegex(batch.Failed, f"not understood: .*{what}.* (0|2) times"):
                bare.Command(words, "/", (1, 2)).for_guest("a", IDENTITY, 1)

    def test_a_process_is_read_as_it_was_started(self):
        command = bare.Command.of_process(os.getpid())
        self.assertEqual(command.words[1:][-len(sys.argv[1:]) or None:], sys.argv[1:] or
                         command.words[1:])
        self.assertEqual((str(command.directory), command.owner),
                         (os.getcwd(), (os.getuid(), os.getgid())))


class AtOnce(unittest.TestCase):
    def test_all_begin_together(self):
        begun = []

        def one(number, now):
            begun.append(time.monotonic())
            time.sleep(0.01 * number)
            return number, now()

        found = batch.at_once(4, one)
        self.assertEqual(sorted(number for number, _ in found), [0, 1, 2, 3])
        for number, took in found:
            self.assertGreaterEqual(took, 10 * number)
        self.assertLess(max(begun) - min(begun), 1)

    def test_the_failure_of_one_is_that_of_all(self):
        def one(number, _):
            if number == 2:
                raise batch.Failed("no")

        with self.assertRaisesRegex(batch.Failed, "^no$"):
            batch.at_once(3, one)

    def test_a_guest_that_never_answers(self):
        with mock.patch.object(batch, "BATCH_SECONDS", 0.05):
            with self.assertRaisesRegex(batch.Failed, "1 of 2 guests did not answer"):
                batch.at_once(2, lambda number, _: time.sleep(0.2 * number))

    def test_a_process_at_rest(self):
        with mock.patch.object(batch, "SETTLE_SECONDS", 0):
            memory, cpu = batch.at_rest([os.getpid()] * 2, 0.02)
        self.assertTrue(1 < memory < 1000, memory)
        self.assertTrue(0 <= cpu < 400, cpu)


def answers(*pairs):
    return [batch.Answers(agent, page, 3) for agent, page in pairs]


class Figures(unittest.TestCase):
    """Of rounds that are told."""

    def bench(self, rounds, rest=(40.0, 2.0), accelerator="tcg"):
        told = mock.Mock(rounds=20, minutes=1)
        nodes = dict.fromkeys(kind for kind, _ in rounds)
        bench = start.Bench(nodes, mock.Mock(accelerator=lambda: accelerator), told)
        for (kind, count), found in rounds.items():
            bench.rounds[kind, count] = [start.Round(*one) for one in found]
            bench.rest[kind, count] = {"ours": start.Rest(*rest), "theirs": start.Rest(20.0, 4.0)}
        return bench

    def cases(self, bench):
        return {one["name"]: one for one in bench.cases()}

    def test_medians_are_of_the_rounds_and_ratios_within_them(self):
        bench = self.bench({("warm", 2): [
            (answers((10, 20), (30, 40)), answers((10, 20), (10, 20))),
            (answers((50, 60), (50, 60)), answers((25, 30), (25, 60))),
            (answers((40, 40), (80, 80)), answers((80, 80), (80, 80)))]})
        found = self.cases(bench)
        one = found["warm, 2 at once, agent, p50"]
        self.assertEqual((one["value"], one["baselines"], one["ratios"], one["unit"]),
                         (50, {start.RIVAL: 25}, {start.RIVAL: 1 / 2}, "ms"))
        one = found["warm, 2 at once, first page, all"]
        self.assertEqual((one["value"], one["baselines"], one["ratios"]),
                         (60, {start.RIVAL: 60}, {start.RIVAL: 1.0}))
        self.assertEqual(found["warm, 2 at once, memory of a guest"]["ratios"], {start.RIVAL: 0.5})
        self.assertEqual(found["warm, 2 at once, idle CPU of a guest"]["value"], 2.0)
        self.assertEqual(len(found), 6)

    def test_the_own_share_is_the_median_difference(self):
        pair = [(answers((20, 30)), answers((18, 30))), (answers((90, 99)), answers((30, 30))),
                (answers((50, 99)), answers((40.5, 30)))]
        one = self.cases(self.bench({("warm", 1): pair}))["warm, the product's own share"]
        self.assertEqual((one["value"], one["met"], one["target"], one["varies"]),
                         (9.5, True, "< 10 ms", True))
        slow = [(answers((30, 30)), answers((20, 30)))]
        one = self.cases(self.bench({("cold", 1): slow}))["cold, the product's own share"]
        self.assertEqual((one["value"], one["met"]), (10, False))

    def test_many_warm_starts_are_near_to_the_bare_ones(self):
        for last, met in ((150, True), (151, False)):
            bench = self.bench({(kind, 64): [(answers((10, 10), (last, 200)),
                                              answers((10, 10), (100, 200)))]
                                for kind in ("cold", "warm")})
            aims = [one for one in bench.cases() if "target" in one]
            self.assertEqual([(one["name"], one["met"], one["target"]) for one in aims],
                             [("warm, 64 at once, agent, all", met, "<= 1.5x bare QEMU")])
            self.assertEqual("**missed**" in bench.page(bench.cases()), not met)

    def test_a_pooled_start_has_a_time_of_its_own(self):
        for took, met in ((59, True), (60, False)):
            bench = self.bench({("pooled", 1): [(answers((took, 90)), answers((80, 99)))]})
            aims = [one for one in bench.cases() if "target" in one]
            self.assertEqual([(one["name"], one["met"], one["target"]) for one in aims],
                             [("pooled, 1 at once, agent", met, "< 60 ms")])

    def test_what_is_written_for_people(self):
        bench = self.bench({("cold", 1): [(answers((1500, 1600)), answers((1000, 1600)))]})
        page = bench.page(bench.cases()).splitlines()
        for line in ("| cold | 1 | 1,500 ms | 1,000 ms (1.50x) | 1,500 ms | 1,000 ms (1.50x) "
                     "| 3 ms |",
                     "| cold | 1 | 1,600 ms | 1,600 ms (1.00x) | 1,600 ms | 1,600 ms (1.00x) |",
                     "| cold | 1 | 40.0 MiB | 20.0 MiB | 2.00 % | 4.00 % |",
                     "| cold, the product's own share | 500.0 ms | < 10 ms: **missed** |"):
            self.assertIn(line, page)
        self.assertIn("(1 of 1 at once)", page[-1])
        self.assertTrue(page[-1].endswith(", tcg."), page[-1])

    def test_the_plot_has_the_last_answers_by_number(self):
        bench = self.bench({("warm", count): [(answers((5, 5), (9 * count, 5)),
                                               answers((5, 5), (7 * count, 5)))]
                            for count in (1, 4)})
        self.assertEqual(bench.series(), {"warm": [(1, 9), (4, 36)],
                                          f"warm, {start.RIVAL}": [(1, 7), (4, 28)]})

    def test_it_ends_after_its_time(self):
        bench = self.bench({("cold", 1): []})
        bench.end = time.monotonic() - 1
        with self.assertRaisesRegex(batch.Failed, "^it takes more than 1 minutes; fewer --rounds"):
            bench.measure(1)
        bench.bare.start_all.assert_not_called()

    def test_many_at_once_need_fewer_rounds(self):
        bench = self.bench({})
        self.assertEqual([bench.rounds_of(count) for count in (1, 4, 16, 64)], [20, 5, 3, 3])
        bench.arguments.rounds = 1
        self.assertEqual([bench.rounds_of(count) for count in (1, 64)], [1, 1])


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.log = self.folder / "log"
        for name, text in (("bin/blixard", DAEMON), ("bin/qemu-system-fake", QEMU),
                           ("image/image.json", "{}")):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)
        # As root, those of other users read it.
        self.folder.chmod(0o755)
        self.log.touch()
        self.patch(os.environ, {"FAKE_LOG": str(self.log), "TMPDIR": str(self.folder / "tmp")})
        (self.folder / "tmp").mkdir()
        self.patched(tempfile, "tempdir", None)
        self.patched(batch, "SETTLE_SECONDS", 0)
        self.patched(batch, "BATCH_SECONDS", 10)
        self.patched(start.signal, "signal", mock.Mock())

    def patch(self, what, values):
        patch = mock.patch.dict(what, values)
        patch.start()
        self.addCleanup(patch.stop)

    def patched(self, *where):
        patch = mock.patch.object(*where)
        patch.start()
        self.addCleanup(patch.stop)

    def run_with(self, *options):
        """Why it ended, or None, and what was printed."""
        words = ["start.py", str(self.folder / "bin/start_bench"), "--rounds", "1", "--at-once",
                 "2", "--idle", "0.01", "--image", str(self.folder / "image"), "--json",
                 str(self.folder / "out/start.json"), "--plot", str(self.folder / "out/start.svg"),
                 *options]
        printed, said = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(printed), \
                contextlib.redirect_stderr(said):
            try:
                start.main()
            except SystemExit as end:
                return f"{said.getvalue()}{end.code}", printed.getvalue()
        return None, printed.getvalue()

    def asked(self, who):
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{who} ")]

    def check_nothing_is_left(self):
        self.assertEqual(list((self.folder / "tmp").iterdir()), [])
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
                self.assertNotIn(os.fsencode(self.folder / "bin"), words)


class Whole(Folder):
    def test_the_whole(self):
        end, printed = self.run_with()
        self.assertIsNone(end)
        self.check_nothing_is_left()
        result = json.loads((self.folder / "out/start.json").read_text(encoding="utf-8"))
        self.assertEqual((result["bench"], result["experiment"]), ("start", {"at_once": [2]}))
        self.assertEqual(printed, result["page"] + "\n")
        for name in ("cold, 2 at once, agent, p50", "warm, 2 at once, first page, all"):
            [case] = [one for one in result["cases"] if one["name"] == name]
            self.assertGreater(min(case["value"], *case["baselines"].values()), 1)
        picture = xml.etree.ElementTree.parse(self.folder / "out/start.svg")
        self.assertEqual(len([one for one in picture.iter() if one.tag.endswith("polyline")]), 6)
        # A clone's way, as the product has it, and a template's.
        clone = ["ping",  # of the product's
                 "qmp_capabilities", "migrate-set-capabilities", "migrate-set-parameters", "getfd",
                 "migrate-incoming", "query-status", "cont", "identity"]
        self.assertEqual(self.asked("vm-2-0-1"), [
            "ping",  # of the product's, cold
            "ping",
            *clone,  # warm
            *clone])  # pooled, for which QEMU alone has nothing
        self.assertEqual(self.asked("ready-1"), ["ping"])  # before that two stand by
        self.assertEqual(self.asked(bare.TEMPLATE_NAME), [
            "ping", "qmp_capabilities", "stop", "migrate-set-capabilities",
            "migrate-set-parameters", "getfd", "migrate", "query-migrate", "quit"])
        self.assertEqual(self.asked("api").count("POST /v1/templates"), 2)

    def test_a_warm_start_that_was_cold_is_no_measurement(self):
        os.environ["FAKE_KIND"] = "cold"
        end, _ = self.run_with("--only", "warm")
        self.assertIn("start: the start of sample was not warm: template_unusable: it is torn", end)
        self.check_nothing_is_left()

    def test_a_guest_that_refuses_is_told(self):
        with mock.patch.object(bare, "TEMPLATE_NAME", "refuse"):
            end, _ = self.run_with("--only", "warm")
        self.assertRegex(end, "start: the guest's agent refused ping: error .* another guest")
        self.check_nothing_is_left()

    def test_a_qemu_that_ends_is_told_with_its_words(self):
        words = ["/bin/sh", "-c", "echo no such machine >&2; exit 1"]
        guest = bare.Guest(bare.Command(words, "/", (os.getuid(), os.getgid())),
                           self.folder / "guest")
        with self.assertRaisesRegex(batch.Failed, "^QEMU made no qmp: no such machine$"):
            guest.connect("qmp", bare.Monitor)
        guest.close()
        self.assertFalse(guest.folder.exists())

    def test_whoever_interrupts_it_leaves_nothing(self):
        with mock.patch.object(start.Bench, "one_round", side_effect=KeyboardInterrupt):
            self.assertEqual(self.run_with("--only", "cold")[0], "130")
        self.check_nothing_is_left()
        self.assertFalse((self.folder / "out").exists())


class Refused(Folder):
    def refused(self, why, *options):
        end, printed = self.run_with(*options)
        self.assertIn(why, end or "it was not refused")
        self.assertEqual(printed, "")
        self.assertEqual(self.log.read_text(encoding="utf-8"), "")

    def test_options(self):
        for options, why in ((["--rounds", "0"], "0 is not within 1 and 1000"),
                             (["--at-once", "0"], "invalid numbers value"),
                             (["--at-once", "1,1"], "invalid numbers value"),
                             (["--at-once", "129"], "invalid numbers value"),
                             (["--at-once", "x"], "invalid numbers value"),
                             (["--idle", "601"], "is not within"),
                             (["--image", str(self.folder)], "holds no guest image"),
                             (["--program", "/nowhere"], "/nowhere is not built")):
            self.refused(why, *options)

    def test_a_machine_without_room(self):
        with mock.patch.object(start, "available_mib", lambda: 447.9):
            self.refused("2 guests at once take up to 448 MiB, and 448 are available; see --at-on")


if __name__ == "__main__":
    unittest.main()
