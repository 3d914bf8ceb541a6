#!/usr/bin/env python3
"""Tests of the guest image: its builder alone, and, given --image, real guests in QEMU.

  python3 tools/guest/guest_test.py                                   the builder, without QEMU
  python3 tools/guest/guest_test.py --image build/guest               the builder and real guests
  python3 tools/guest/guest_test.py --image build/guest --boots 30    cold boots beside busy loops
"""

import argparse
import contextlib
import gzip
import hashlib
import http.client
import io
import json
import lzma
import os
import re
import secrets
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import build
import bzimage
import debian
import module_order
import newc
from machine import (ANSWER_DEADLINE_S, BOOT_DEADLINE_S, LINE_MAX, NETWORK, TEMPLATE_MAC, Agent,
                     Late, Machine, Saved, measure_tsc_khz)

OPTIONS = argparse.Namespace(image=None, qemu="qemu-system-x86_64", cache=None, boots=0)


def parse_newc(data: bytes) -> list[tuple[str, dict[str, int], bytes]]:
    """A reader written from the format's description, to check the writer against."""
    fields = ("ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize"
              " check").split()
    members, at = [], 0
    while True:
        assert data[at : at + 6] == b"070701", f"no header at {at}"
        header = {field: int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16)
                  for i, field in enumerate(fields)}
        name_end = at + 110 + header["namesize"]
        name = data[at + 110 : name_end - 1].decode()
        body = name_end + -name_end % 4
        end = body + header["filesize"]
        if name == "TRAILER!!!":
            assert end + -end % 4 == len(data)
            return members
        members.append((name, header, data[body:end]))
        at = end + -end % 4


class NewcTest(unittest.TestCase):
    ENTRIES = [newc.file("init", b"abc", executable=True), newc.folder("dev"),
               newc.character_device("dev/console", 5, 1), newc.file("a", b"")]

    def test_members_read_back(self):
        members = parse_newc(newc.archive(self.ENTRIES))
        self.assertEqual([name for name, _, _ in members], ["a", "dev", "dev/console", "init"])
        by_name = {name: (header, data) for name, header, data in members}
        self.assertEqual(by_name["init"][1], b"abc")
        self.assertEqual(by_name["init"][0]["mode"], stat.S_IFREG | 0o755)
        console = by_name["dev/console"][0]
        self.assertEqual((console["rdevmajor"], console["rdevminor"]), (5, 1))
        self.assertEqual(console["mode"], stat.S_IFCHR | 0o600)

    def test_nothing_of_the_machine_gets_in(self):
        members = parse_newc(newc.archive(self.ENTRIES))
        self.assertEqual([header["ino"] for _, header, _ in members], [1, 2, 3, 4])
        for _, header, _ in members:
            self.assertEqual((header["uid"], header["gid"], header["mtime"]), (0, 0, 0))

    def test_order_given_does_not_matter(self):
        self.assertEqual(newc.archive(self.ENTRIES), newc.archive(self.ENTRIES[::-1]))

    def test_refuses_what_the_kernel_cannot_unpack(self):
        with self.assertRaisesRegex(ValueError, "folder is missing"):
            newc.archive([newc.file("lib/x", b"")])
        with self.assertRaisesRegex(ValueError, "twice"):
            newc.archive([newc.file("x", b""), newc.file("x", b"")])


ELF = b"\x7fELF" + bytes(range(256)) * 64


def pack(command: list[str], data: bytes) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def bzimage_around(packed: bytes, size: int | None = None, version: int = 0x20F,
                   sectors: int = 3) -> bytes:
    """A bzImage with this payload; size None: no size after it (gzip has its own)."""
    payload = packed if size is None else packed + struct.pack("<I", size)
    image = bytearray((sectors + 1) * 512 + 64) + payload + b"after the payload"
    image[0x1F1] = sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    struct.pack_into("<II", image, 0x248, 64, len(payload))
    return bytes(image)


class BzImageTest(unittest.TestCase):
    def test_each_compression(self):
        packed = {
            "lz4": bzimage_around(pack(["lz4", "-l", "-c"], ELF), len(ELF)),
            "xz": bzimage_around(lzma.compress(ELF, check=lzma.CHECK_CRC32), len(ELF)),
            "zstd": bzimage_around(pack(["zstd", "-c", "-q"], ELF), len(ELF)),
            "gzip": bzimage_around(gzip.compress(ELF)),
        }
        for name, image in packed.items():
            with self.subTest(name):
                self.assertEqual(bzimage.unpack(image), ELF)

    def test_zero_setup_sectors_mean_four(self):
        image = bytearray(bzimage_around(gzip.compress(ELF), sectors=4))
        image[0x1F1] = 0
        self.assertEqual(bzimage.unpack(bytes(image)), ELF)

    def test_refuses(self):
        good = gzip.compress(ELF)
        zstd = pack(["zstd", "-c", "-q"], ELF)
        cases = [
            ("too short", b"MZ"),
            ("HdrS", bytes(4096)),
            ("2.07 has no payload", bzimage_around(good, version=0x207)),
            ("beyond the end", bzimage_around(good)[:-100]),
            ("unknown compression", bzimage_around(b"BZh9" + bytes(64), 64)),
            ("the image says", bzimage_around(zstd, len(ELF) - 1)),
            ("more than", bzimage_around(zstd, 1 << 30)),
            ("cannot unpack", bzimage_around(zstd[:-20], len(ELF))),
            ("not an ELF", bzimage_around(gzip.compress(b"no elf" * 99))),
        ]
        for reason, image in cases:
            with self.subTest(reason), self.assertRaisesRegex(bzimage.BadKernel, reason):
                bzimage.unpack(image)


class ModuleOrderTest(unittest.TestCase):
    DEPENDENCIES = {
        "k/virtio_net.ko": ["k/net_failover.ko", "k/failover.ko", "k/virtio_ring.ko",
                            "k/virtio.ko"],
        "k/net_failover.ko": ["k/failover.ko"],
        "k/failover.ko": [],
        "k/virtio.ko": ["k/virtio_ring.ko"],
        "k/virtio_ring.ko": [],
        "k/virtio-rng.ko": ["k/virtio_ring.ko", "k/virtio.ko"],
    }

    def test_each_module_follows_what_it_needs(self):
        order = module_order.order(self.DEPENDENCIES, set(), ("virtio_rng", "virtio_net"))
        self.assertEqual(len(order), 6)
        for path in order:
            for needed in self.DEPENDENCIES[path]:
                self.assertLess(order.index(needed), order.index(path), f"{needed} before {path}")

    def test_builtin_is_left_out_and_missing_is_an_error(self):
        self.assertEqual(module_order.order(self.DEPENDENCIES, {"evdev"}, ("evdev",)), [])
        with self.assertRaisesRegex(module_order.MissingModule, "evdev"):
            module_order.order(self.DEPENDENCIES, set(), ("evdev",))

    def test_circle_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "needs itself"):
            module_order.order({"a.ko": ["b.ko"], "b.ko": ["a.ko"]}, set(), ("a",))

    def test_parses_the_file(self):
        text = "k/a.ko: k/b.ko k/c-d.ko\nk/b.ko:\nk/c-d.ko:\n"
        parsed = module_order.parse_dependencies(text)
        self.assertEqual(parsed["k/a.ko"], ["k/b.ko", "k/c-d.ko"])
        self.assertEqual(module_order.module_name("k/x/c-d.ko"), "c_d")


class FakeApt:
    """The two calls of debian.Apt that matter, answered from tables."""

    def __init__(self, records=None, content=b""):
        self.records = records or {}
        self.content = content
        self.downloads = 0

    def record(self, name, version=None):
        return self.records[name, version]

    def download(self, package, folder):
        self.downloads += 1
        (folder / "x.deb").write_bytes(self.content)


class DebianTest(unittest.TestCase):
    KERNEL = {"Package": "linux-image-6.1.0-1-cloud-amd64", "Version": "6.1.9-1", "Size": "7",
              "SHA256": hashlib.sha256(b"content").hexdigest()}

    def test_metapackage_leads_to_the_kernel(self):
        apt = FakeApt({
            ("linux-image-cloud-amd64", None): {
                "Package": "linux-image-cloud-amd64", "Version": "1", "Size": "1", "SHA256": "0",
                "Depends": "other, linux-image-6.1.0-1-cloud-amd64 (= 6.1.9-1)"},
            (self.KERNEL["Package"], "6.1.9-1"): self.KERNEL})
        package = debian.find_kernel(apt, "linux-image-cloud-amd64")
        self.assertEqual((package.version, package.size), ("6.1.9-1", 7))

    def test_metapackage_without_kernel(self):
        apt = FakeApt({("x", None): {"Package": "x", "Version": "1", "Size": "1", "SHA256": "0",
                                     "Depends": "libc6"}})
        with self.assertRaisesRegex(debian.NoPackage, "no linux-image"):
            debian.find_kernel(apt, "x")

    def test_record_takes_the_first_paragraph(self):
        text = "Package: a\nSize: 5\nDescription: x\n y: z\n\nPackage: b\nSize: 6\n"
        self.assertEqual(debian.parse_record(text),
                         {"Package": "a", "Size": "5", "Description": "x"})

    def test_cache_is_used_and_damage_is_repaired(self):
        package = debian.Package("p", "1:2", 7, self.KERNEL["SHA256"])
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder)
            apt = FakeApt(content=b"content")
            path = debian.fetch(apt, package, cache, lambda _: None)
            self.assertEqual((path.name, path.read_bytes()), ("p_1%3a2_amd64.deb", b"content"))
            debian.fetch(apt, package, cache, lambda _: None)
            self.assertEqual(apt.downloads, 1)
            path.write_bytes(b"damaged")
            debian.fetch(apt, package, cache, lambda _: None)
            self.assertEqual((apt.downloads, path.read_bytes()), (2, b"content"))

    def test_wrong_content_is_refused_and_not_kept(self):
        package = debian.Package("p", "1", 7, self.KERNEL["SHA256"])
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaisesRegex(debian.NoPackage, "SHA-256"):
                debian.fetch(FakeApt(content=b"wrong!!"), package, Path(folder), lambda _: None)
            self.assertEqual(list(Path(folder).iterdir()), [])


class BuildTest(unittest.TestCase):
    def test_init_is_the_same_bytes_wherever_it_is_built(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            first = build.read_init(build.compile_init(Path(one)))
            second = build.read_init(build.compile_init(Path(two)))
        self.assertEqual(first, second)
        self.assertNotIn(str(build.HERE).encode(), first)
        self.assertLess(len(first), 2 << 20)

    def test_initrd_lists_its_modules_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            modules = [Path(folder) / name for name in ("z.ko", "a.ko")]
            for path in modules:
                path.write_bytes(path.name.encode())
            initrd = build.make_initrd(b"\x7fELF", modules)
            os.utime(modules[0], (1, 1))
            self.assertEqual(initrd, build.make_initrd(b"\x7fELF", modules))
        members = {name: data for name, _, data in parse_newc(initrd)}
        self.assertEqual(members["lib/modules/order"], b"z.ko\na.ko\n")
        self.assertEqual(members["lib/modules/a.ko"], b"a.ko")
        self.assertIn("dev/console", members)

    def test_description(self):
        files = {"initrd": b"i", "vmlinux.zst": b"vm"}
        text = build.describe("tiny", "6.1", files, 9)
        image = json.loads(text)
        self.assertEqual(image["files"]["vmlinux.zst"]["unpacked_bytes"], 9)
        self.assertEqual(image["files"]["initrd"],
                         {"bytes": 1, "sha256": hashlib.sha256(b"i").hexdigest()})
        self.assertEqual(list(image), sorted(image))

    def test_store_never_shows_a_half_image(self):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "image"
            self.assertTrue(build.store(output, {"initrd": b"1", "vmlinux.zst": b"2"}, b"{}"))
            self.assertFalse(build.store(output, {"initrd": b"1", "vmlinux.zst": b"2"}, b"{}"))
            (output / "vmlinux.zst").unlink()
            (output / "vmlinux.zst").mkdir()  # renaming onto it fails, in the middle of the change
            with self.assertRaises(OSError):
                build.store(output, {"initrd": b"3", "vmlinux.zst": b"4"}, b"{3}")
            self.assertFalse((output / "image.json").exists())

    def test_names(self):
        for name in ("tiny", "a", "a-1.b"):
            self.assertEqual(build.parse(["--output", "x", "--name", name]).name, name)
        for name in ("", "-a", "a/b", "A", "a" * 64):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                build.parse(["--output", "x", "--name", name])


class WholeBuildTest(unittest.TestCase):
    """Needs the kernel package: from the cache, or from the network."""

    def test_two_builds_are_equal_and_small(self):
        with tempfile.TemporaryDirectory() as folder:
            hashes = []
            for i, umask in enumerate((0o022, 0o077)):
                output = Path(folder) / str(i)
                before = os.umask(umask)
                try:
                    subprocess.run([sys.executable, str(build.HERE / "build.py"), "--output",
                                    str(output), "--cache", str(OPTIONS.cache)], check=True,
                                   cwd=folder, capture_output=True, timeout=60,
                                   env={**os.environ, "TZ": f"UTC-{i}", "LC_ALL": "C"})
                finally:
                    os.umask(before)
                self.assertEqual(sorted(path.name for path in output.iterdir()),
                                 ["image.json", "initrd", "vmlinux.zst"])
                hashes.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                               for path in output.iterdir()})
            self.assertEqual(hashes[0], hashes[1])
            image = json.loads((output / "image.json").read_text())
            self.assertLess(sum(file["bytes"] for file in image["files"].values()), 20_000_000)
            for name, file in image["files"].items():
                self.assertEqual(file["sha256"], hashes[1][name])


class Image:
    """The image under test, unpacked once for all guests."""

    folder: tempfile.TemporaryDirectory
    vmlinux: Path
    initrd: Path
    tsc_khz: int

    @classmethod
    def open(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory(prefix="blixard-image-")
        work = Path(cls.folder.name)
        cls.vmlinux, cls.initrd = work / "vmlinux", work / "initrd"
        about = json.loads((OPTIONS.image / "image.json").read_text())
        for name, file in about["files"].items():
            data = (OPTIONS.image / name).read_bytes()
            if hashlib.sha256(data).hexdigest() != file["sha256"]:
                raise SystemExit(f"{OPTIONS.image / name} is not what image.json describes")
        cls.initrd.write_bytes((OPTIONS.image / "initrd").read_bytes())
        subprocess.run(["zstd", "-dq", str(OPTIONS.image / "vmlinux.zst"), "-o", str(cls.vmlinux)],
                       check=True)
        cls.tsc_khz = measure_tsc_khz(work)

    @classmethod
    def start(cls, keys: str = NETWORK, **options) -> Machine:
        return Machine(OPTIONS.qemu, cls.vmlinux, cls.initrd, cls.tsc_khz, keys, **options)


def http_get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_DEADLINE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def raw_http(port: int, request: bytes) -> bytes:
    """Everything the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_DEADLINE_S) as client:
        client.settimeout(ANSWER_DEADLINE_S)
        client.sendall(request)
        said = b""
        while data := client.recv(4096):
            said += data
        return said


def identity_page(port: int) -> dict[str, str]:
    status, page = http_get(port, "/identity")
    assert status == 200, page
    return dict(line.split(": ", 1) for line in page.splitlines())


def now_ms() -> int:
    return int(time.time() * 1000)


class SharedGuest(unittest.TestCase):
    """Tests that leave their guest as they found it share one: a boot costs more than they do."""

    machine: Machine

    @classmethod
    def setUpClass(cls):
        cls.machine = Image.start(NETWORK + " blx.name=hello")
        cls.addClassCleanup(cls.machine.end)
        cls.machine.booted_agent().close()

    def connect(self) -> Agent:
        agent = Agent(self.machine.agent_path)
        self.addCleanup(agent.close)
        return agent


class AgentTest(SharedGuest):
    def test_ping(self):
        agent = self.connect()
        for nonce in ("0", "f" * 32, "0123456789abcdef"):
            self.assertEqual(agent.ask("ping", nonce=nonce), "ok")

    def test_identity(self):
        agent = self.connect()
        pattern = (r"ok protocol=1 name=hello boot=([0-9a-f-]{36}) uptime_ms=(\d+)"
                   rf" mac={TEMPLATE_MAC} machine=[0-9a-f]{{32}}")
        first = re.fullmatch(pattern, agent.ask("identity"))
        second = re.fullmatch(pattern, agent.ask("identity"))
        self.assertEqual(first[1], second[1])
        self.assertLessEqual(int(first[2]), int(second[2]))

    def test_identity_renames(self):
        agent = self.connect()
        try:
            self.assertIn(" name=web-1.example ", agent.ask("identity", "name=web-1.example"))
            self.assertIn("hello from web-1.example\n", http_get(self.machine.port(), "/")[1])
        finally:
            agent.ask("identity", "name=hello")

    def test_identity_readdresses(self):
        agent = self.connect()
        moved, home = self.machine.port(16), self.machine.port(15)
        try:
            answer = agent.ask("identity", "ip=10.0.2.16/24", "gw=10.0.2.2")
            self.assertRegex(answer, "^ok protocol")
            self.assertEqual(http_get(moved, "/health"), (200, "ok\n"))
        finally:
            agent.ask("identity", "ip=10.0.2.15/24")
        self.assertEqual(http_get(home, "/health"), (200, "ok\n"))

    def test_errors(self):
        agent = self.connect()
        for question, answer in [
            ("ping", "error - no nonce"),
            ("ping XYZ", "error - no nonce"),
            ("ping " + "a" * 33, "error - no nonce"),
            ("frob a1", "error a1 unknown verb"),
            ("PING a2", "error a2 unknown verb"),
            ("ping a3 more", "error a3 unknown argument"),
            ("shutdown a4 now", "error a4 unknown argument"),
            ("identity a5 name=", "error a5 bad name"),
            ("identity a6 name=-x", "error a6 bad name"),
            ("identity a7 name=" + "n" * 64, "error a7 bad name"),
            ("identity a8 ip=10.0.2.15", "error a8 bad ip"),
            ("identity a9 ip=10.0.2.15/33", "error a9 bad ip"),
            ("identity b1 ip=10.0.2.256/24", "error b1 bad ip"),
            ("identity b2 gw=0.0.0.0", "error b2 bad gw"),
            ("identity b3 name=a name=b", "error b3 name given twice"),
            ("identity b4 mood=good", "error b4 unknown argument"),
            ("identity b5" + " name=a" * 10, "error b5 too many arguments"),
            ("ping\tb6", "error - not a line of text"),
            ("ping b7\r", "error - not a line of text"),
        ]:
            with self.subTest(question):
                agent.send(question.encode() + b"\n")
                agent.expect(answer)

    def test_wrong_arguments_change_nothing(self):
        agent = self.connect()
        self.assertEqual(agent.ask("identity", "name=other", "ip=nonsense"), "error bad ip")
        self.assertIn(" name=hello ", agent.ask("identity"))

    def test_refused_change_is_undone(self):
        agent = self.connect()
        before = self.lasting()
        answer = agent.ask("identity", *self.OTHER, "ip=10.0.2.16/24", "gw=192.0.2.1")
        self.assertRegex(answer, "^error cannot set the gateway: ")
        self.assertEqual(self.lasting(), before)
        self.assertEqual(self.machine.card_mac(), TEMPLATE_MAC)
        self.assertIn(" name=hello ", agent.ask("identity", "gw=10.0.2.2"))

    def test_refused_time_stops_what_follows(self):
        agent = self.connect()
        before = self.lasting()
        for time_ms in ("1", str(1 << 53)):  # before the boot; further than the kernel counts
            answer = agent.ask("identity", *self.OTHER, f"time_ms={time_ms}")
            self.assertRegex(answer, "^error cannot set the time: ")
        self.assertEqual(self.lasting(), before)

    OTHER = ("name=other", "mac=02:00:00:00:00:77", "machine=" + "7" * 32, "seed=" + "7" * 64)

    def lasting(self) -> dict[str, str]:
        """Who the guest is, without what is different each time."""
        page = identity_page(self.machine.port())
        return {key: page[key] for key in ("name", "mac", "address", "machine", "boot")}

    def test_malformed_words_change_nothing(self):
        agent = self.connect()
        before = self.lasting()
        good = dict(word.split("=", 1) for word in self.OTHER)
        good |= {"time_ms": "1000000000000", "ip": "10.0.2.16/24", "gw": "10.0.2.2"}
        wrong = {
            "mac": ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "02-00-00-00-00-01",
                    "02:00:00:00:00:0A", "02:00:00:00:00:0g", "2:0:0:0:0:1", "03:00:00:00:00:01",
                    "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02:00:00:00:00:01:"],
            "time_ms": ["", "0", "-1", "+1", "1e3", "1.5", "0x10", str((1 << 53) + 1),
                        "99999999999999999999", "00000000000000001"],
            "seed": ["", "7" * 63, "7" * 65, "A" * 64, "7" * 63 + "g", "0x" + "7" * 62],
            "machine": ["", "7" * 31, "7" * 33, "A" * 32, "7" * 31 + "-"],
        }
        for key, values in wrong.items():
            for value in values:
                with self.subTest(f"{key}={value}"):
                    words = [f"{k}={v}" for k, v in good.items() if k != key]
                    answer = agent.ask("identity", *words, f"{key}={value}")
                    self.assertEqual(answer, f"error bad {key}")
            with self.subTest(f"{key} twice"):
                words = [f"{k}={v}" for k, v in good.items()]
                answer = agent.ask("identity", *words, f"{key}={good[key]}")
                self.assertEqual(answer, f"error {key} given twice")
        self.assertEqual(self.lasting(), before)
        self.assertGreater(int(identity_page(self.machine.port())["time_ms"]), 10**12 + 10**9)

    def test_a_question_for_another_guest_is_refused(self):
        agent = self.connect()
        before = self.lasting()
        self.assertEqual(agent.ask("identity", "was=nobody"), "error another guest")
        self.assertEqual(agent.ask("identity", "was=nobody", *self.OTHER), "error another guest")
        self.assertEqual(agent.ask("identity", "was=-"), "error bad was")
        self.assertEqual(self.lasting(), before)
        # The question of a host that did not hear the answer may come again.
        for _ in range(2):
            self.assertIn(" name=other ", agent.ask("identity", "was=hello", "name=other"))
        self.assertIn(" name=hello ", agent.ask("identity", "was=other", "name=hello"))

    def test_identity_of_another_card(self):
        agent = self.connect()
        mac = "02:00:5e:00:53:01"
        try:
            self.assertIn(f" mac={mac} ", agent.ask("identity", f"mac={mac}"))
            self.assertEqual(self.machine.card_mac(), mac)
            page = identity_page(self.machine.port())  # the card stayed up, with its routes
            self.assertEqual((page["mac"], page["address"]), (mac, "10.0.2.15/24"))
            self.assertIn(" mac=02:00:5e:00:53:02 ", agent.ask(
                "identity", "gw=10.0.2.2", "mac=02:00:5e:00:53:02", "ip=10.0.2.17/24"))
            page = identity_page(self.machine.port(17))
            self.assertEqual((page["mac"], page["address"]), ("02:00:5e:00:53:02", "10.0.2.17/24"))
        finally:
            answer = agent.ask("identity", f"mac={TEMPLATE_MAC}", "ip=10.0.2.15/24")
            self.assertIn(f" mac={TEMPLATE_MAC} ", answer)
        self.assertEqual(http_get(self.machine.port(), "/health"), (200, "ok\n"))

    def test_identity_of_another_machine(self):
        agent = self.connect()
        before = self.lasting()["machine"]
        self.assertRegex(before, "^[0-9a-f]{32}$")
        machine = secrets.token_hex(16)
        answer = agent.ask("identity", f"machine={machine}")
        self.assertTrue(answer.endswith(f" machine={machine}"), answer)
        self.assertEqual(self.lasting()["machine"], machine)

    def test_time_jumps_and_nothing_waits_for_it(self):
        agent = self.connect()
        port = self.machine.port()
        uptime = int(re.search(r"uptime_ms=(\d+)", agent.ask("identity"))[1])
        day_ms = 86_400_000
        try:
            for wanted in (now_ms() + 4000 * day_ms, now_ms() - 4000 * day_ms):
                with socket.create_connection(("127.0.0.1", port), ANSWER_DEADLINE_S) as client:
                    client.settimeout(ANSWER_DEADLINE_S)
                    client.sendall(b"GET /health HTTP/1.1\r\n")
                    self.assertRegex(agent.ask("identity", f"time_ms={wanted}"), "^ok ")
                    is_ms = int(identity_page(port)["time_ms"])
                    self.assertTrue(wanted <= is_ms < wanted + 2000, (wanted, is_ms))
                    client.sendall(b"\r\n")
                    self.assertIn(b"200 OK", client.recv(4096))
        finally:
            answer = agent.ask("identity", f"time_ms={now_ms()}")
        after = int(re.search(r"uptime_ms=(\d+)", answer)[1])
        self.assertTrue(uptime <= after < uptime + 3_600_000, (uptime, after))

    def test_seed_leaves_no_trace(self):
        agent = self.connect()
        whole, pieces, refused = (secrets.token_hex(32) for _ in range(3))
        self.assertEqual(agent.ask("identity", f"seed={refused}", "name=-"), "error bad name")
        nonce = secrets.token_hex(8)
        agent.send(f"identity {nonce} seed=".encode())
        for at in range(0, 64, 16):
            agent.send(pieces[at : at + 16].encode())
            http_get(self.machine.port(), "/health")  # meanwhile QEMU has passed that piece on
        agent.send(b"\n")
        self.assertRegex(agent.answer(nonce), "^ok ")
        self.assertRegex(agent.ask("identity", f"seed={whole}"), "^ok ")
        with tempfile.TemporaryDirectory(prefix="blixard-memory-") as folder:
            memory = self.machine.memory(Path(folder) / "memory")
        # The kernel takes what a host sends into 1024 pages in turn and does not wipe them.
        for seed, copies_of_kernel in ((whole, 1), (refused, 1), (pieces, 0)):
            self.assertEqual(memory.count(seed.encode()), copies_of_kernel)
            self.assertEqual(memory.count(seed[8:40].encode()), copies_of_kernel)
            self.assertEqual(memory.count(bytes.fromhex(seed)), 0)

    def test_line_length(self):
        agent = self.connect()
        longest = b"ping aa" + b" " * (LINE_MAX - 8)
        agent.send(longest + b"\n")
        agent.expect("ok aa")
        agent.send(longest + b" \n")
        agent.expect("error - line too long")
        agent.send(b"x" * 100_000 + b"\nping bb\n")
        agent.expect("error - line too long")
        agent.expect("ok bb")

    def test_garbage(self):
        agent = self.connect()
        agent.send(bytes(i for i in range(256) if i != 10) + b"\n" + b"\n" * 50)
        agent.expect("error - not a line of text")
        self.assertEqual(agent.ask("ping"), "ok")
        self.assertEqual(agent.strangers(), [])

    def test_lines_in_pieces_and_in_one(self):
        agent = self.connect()
        for byte in b"ping c1\n":
            agent.send(bytes([byte]))
        agent.expect("ok c1")
        agent.send(b"ping c2\nping c3\n")
        agent.expect("ok c2")
        agent.expect("ok c3")

    def test_host_that_does_not_read_loses_nothing(self):
        agent = self.connect()
        self.assertEqual(agent.ask("ping"), "ok")
        count = self.flood(agent)
        for i in range(count):
            self.assertRegex(agent.answer(f"{i:x}"), "^ok protocol=1 ")
        self.assertEqual(agent.strangers(), [])
        self.assertGreater(count, 1000)
        agent.send(b"\n")
        self.assertEqual(agent.ask("ping"), "ok")

    def flood(self, agent: Agent) -> int:
        """Asks until all queues up to the guest's own are full; the number of whole lines sent."""
        lines = (f"identity {i:x}".ljust(LINE_MAX - 1) + "\n" for i in range(60_000))
        question = "".join(lines).encode()
        sent = agent.send_until_stuck(question)
        self.assertLess(sent, len(question), "more than all queues can hold")
        return sent // LINE_MAX

    def test_host_after_one_that_did_not_read(self):
        with Agent(self.machine.agent_path) as gone:
            self.assertEqual(gone.ask("ping"), "ok")
            self.flood(gone)
        agent = self.connect()
        self.assertEqual(agent.ask("ping", nonce="b" * 32, seconds=BOOT_DEADLINE_S), "ok")

    def test_three_hosts_one_after_another(self):
        for _ in range(3):
            self.machine.wait_until(self.machine.agent_port_free, "QEMU sees that no host is there")
            for _ in range(2):  # the guest's turn to see it: it does so before it serves these
                self.assertEqual(http_get(self.machine.port(), "/health")[0], 200)
            with Agent(self.machine.agent_path) as agent:
                agent.expect("ready 1 hello")
                self.assertEqual(agent.ask("ping"), "ok")

    def test_unfinished_line_of_the_host_before_does_no_harm(self):
        for _ in range(5):
            left = Agent(self.machine.agent_path)
            left.send(b"shutdow")
            left.close()
            with Agent(self.machine.agent_path) as agent:
                self.assertEqual(agent.ask("ping"), "ok")

    def test_answers_to_hosts_before_are_told_apart(self):
        for i in range(20):
            with Agent(self.machine.agent_path) as gone:
                gone.send(b"ping aaaa\nidentity aaaa\n" * 5)
            with Agent(self.machine.agent_path) as agent:
                self.assertEqual(agent.ask("ping", nonce=f"b{i:031}"), "ok")
                for line in agent.strangers():
                    self.assertRegex(line, "^ok aaaa")


class HttpTest(SharedGuest):
    def setUp(self):
        self.port = self.machine.port()

    def test_pages(self):
        status, page = http_get(self.port, "/")
        self.assertEqual(status, 200)
        self.assertRegex(page, r"\Ahello from hello\nkernel \S+\nuptime \d+ s\n\Z")
        self.assertEqual(http_get(self.port, "/health"), (200, "ok\n"))
        self.assertEqual(http_get(self.port, "/health?probe=1"), (200, "ok\n"))
        self.assertEqual(http_get(self.port, "/nothing")[0], 404)
        self.assertEqual(http_get(self.port, "/health", "HEAD"), (200, ""))
        self.assertEqual(http_get(self.port, "/", "POST")[0], 405)

    def test_identity_page(self):
        status, page = http_get(self.port, "/identity")
        self.assertEqual(status, 200)
        self.assertRegex(page, r"\Aname: hello\nmac: " + TEMPLATE_MAC
                         + r"\naddress: 10\.0\.2\.15/24\nmachine: [0-9a-f]{32}"
                         r"\nboot: [0-9a-f-]{36}\nrandom: [0-9a-f]{64}\ntime_ms: [0-9]{13}\n\Z")
        drawn = {identity_page(self.port)["random"] for _ in range(10)}
        self.assertEqual(len(drawn), 10)
        self.assertEqual(http_get(self.port, "/identity", "HEAD"), (200, ""))

    def test_bad_requests(self):
        for request, status in [
            (b"nonsense\r\n\r\n", b"400"),
            (b"GET\r\n\r\n", b"400"),
            (b"\r\n\r\n", b"400"),
            (b"GET nowhere HTTP/1.1\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1 more\r\n\r\n", b"400"),
            (b"GET / SPDY\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\0\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 5000 + b"\r\n\r\n", b"431"),
            (b"GET / HTTP/1.0\n\n", b"200"),
        ]:
            with self.subTest(request[:30]):
                self.assertEqual(raw_http(self.port, request).split(b" ")[1], status)

    def test_request_in_pieces(self):
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_DEADLINE_S) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"GET /health HTTP/1.1\r\n\r\n":
                client.sendall(bytes([byte]))
            self.assertIn(b"200 OK", client.recv(4096))

    def test_slow_clients_are_dropped_and_others_served(self):
        began = time.monotonic()
        slow = []
        for _ in range(40):
            slow.append(socket.create_connection(("127.0.0.1", self.port), ANSWER_DEADLINE_S))
            self.addCleanup(slow[-1].close)
            slow[-1].settimeout(ANSWER_DEADLINE_S)
            slow[-1].sendall(b"GET / HT")
        self.assertEqual(slow[0].recv(1), b"")
        self.assertGreater(time.monotonic() - began, 4.0)
        self.assertEqual(http_get(self.port, "/health"), (200, "ok\n"))


class LifeTest(unittest.TestCase):
    """Tests that end their guest, or boot it in a special way."""

    def boot(self, keys: str = NETWORK) -> Machine:
        machine = Image.start(keys)
        self.addCleanup(machine.end)
        return machine

    def agent_of(self, machine: Machine) -> Agent:
        agent = machine.booted_agent()
        self.addCleanup(agent.close)
        return agent

    def test_host_waiting_from_the_start_gets_the_ready_line(self):
        machine = self.boot(NETWORK + " blx.name=early")
        with Agent(machine.agent_path) as agent:
            agent.expect("ready 1 early", BOOT_DEADLINE_S)
        machine.wait_console("blixard: ready")

    def test_host_that_comes_late(self):
        machine = self.boot()
        machine.wait_console("blixard: ready")
        port = machine.port()

        def uptime() -> int:
            return int(re.search(r"uptime (\d+)", http_get(port, "/")[1])[1])

        begin = uptime()
        machine.wait_until(lambda: uptime() >= begin + 2, "a second has passed in the guest")
        with Agent(machine.agent_path) as agent:
            self.assertEqual(agent.ask("ping", seconds=2), "ok")
            self.assertEqual(agent.ignored, ["ready 1 guest"])

    def test_shutdown(self):
        machine = self.boot()
        self.assertEqual(self.agent_of(machine).ask("shutdown"), "ok")
        machine.wait_status("shutdown")
        self.assertIn("power off: the host asked", machine.console())

    def test_shutdown_of_a_host_that_does_not_wait(self):
        machine = self.boot()
        machine.booted_agent().close()
        with Agent(machine.agent_path) as agent:
            agent.send(b"shutdown 1\n")
        machine.wait_status("shutdown")

    def test_power_button(self):
        machine = self.boot()
        self.agent_of(machine)
        machine.qmp("system_powerdown")
        machine.wait_status("shutdown")
        self.assertIn("power off: power button", machine.console())

    def test_reset_boots_again(self):
        machine = self.boot()
        agent = self.agent_of(machine)
        before = re.search("boot=(\\S+) .* machine=(\\S+)", agent.ask("identity"))
        machine.qmp("system_reset")
        agent.close()
        agent = self.agent_of(machine)
        after = re.search("boot=(\\S+) .* machine=(\\S+)", agent.ask("identity"))
        for first, second in zip(before.groups(), after.groups()):
            self.assertNotEqual(first, second)

    def test_without_an_address(self):
        machine = self.boot("blx.name=alone blx.ip=nonsense")
        self.assertIn("name=alone", self.agent_of(machine).ask("identity"))
        self.assertIn("ignoring blx.ip=nonsense", machine.console())
        self.assertIn("no blx.ip given", machine.console())

    def test_network_from_the_agent_alone(self):
        machine = self.boot("blx.name=clone")
        agent = self.agent_of(machine)
        self.assertRegex(agent.ask("identity", "gw=10.0.2.2"), "^error no address: ")
        self.assertRegex(agent.ask("identity", "ip=10.0.2.15/24", "gw=10.0.2.2"), "^ok ")
        self.assertEqual(http_get(machine.port(), "/health"), (200, "ok\n"))

    def test_without_a_card(self):
        machine = Image.start("blx.name=alone", mac=None)
        self.addCleanup(machine.end)
        agent = self.agent_of(machine)
        answer = agent.ask("identity", "mac=02:00:00:00:00:07", "name=other", "machine=" + "7" * 32)
        self.assertEqual(answer, "error cannot set the mac: No such device")
        self.assertRegex(agent.ask("identity"), " name=alone .* mac=none machine=(?!7{32})")

    def test_ordered_panics_are_seen(self):
        for fault in ("panic", "exit-init"):
            with self.subTest(fault):
                machine = self.boot(f"{NETWORK} blx.test={fault}")
                machine.wait_status("guest-panicked", BOOT_DEADLINE_S)
                self.assertIn("blixard: ready", machine.console())

    def test_ordered_deafness(self):
        machine = self.boot(f"{NETWORK} blx.test=ignore-shutdown")
        agent = self.agent_of(machine)
        self.assertEqual(agent.ask("shutdown"), "ok")
        machine.qmp("system_powerdown")
        for _ in range(20):
            self.assertEqual(agent.ask("ping"), "ok")
            self.assertEqual(http_get(machine.port(), "/health"), (200, "ok\n"))
        self.assertEqual(machine.status(), "running")

    def test_ordered_silence(self):
        for fault in ("hang-agent", "no-agent"):
            with self.subTest(fault):
                machine = self.boot(f"{NETWORK} blx.test={fault}")
                machine.wait_console("blixard: ready")
                self.assertEqual(http_get(machine.port(), "/health"), (200, "ok\n"))
                with Agent(machine.agent_path) as agent, self.assertRaises(Late):
                    agent.ask("ping", seconds=1)
                machine.qmp("system_powerdown")
                machine.wait_status("shutdown")


class CloneTest(unittest.TestCase):
    """Guests that go on from the saved memory of another one."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="blixard-saved-")
        self.addCleanup(folder.cleanup)
        self.saved = Saved.below(folder.name)

    def make_template(self) -> dict[str, str]:
        """Saves a guest that is an hour behind; its page."""
        with Image.start(template=self.saved) as template:
            with template.booted_agent() as agent:
                agent.ask("identity", f"time_ms={now_ms() - 3_600_000}")
                page = identity_page(template.port())
            template.wait_until(template.agent_port_free, "the agent's connection is gone")
            template.save(self.saved)
        return page

    def become(self, number: int) -> dict[str, str]:
        """Starts a clone as a node does, and ends it; its page."""
        mac, machine = f"02:00:5e:00:53:0{number}", secrets.token_hex(16)
        with Image.start(clone=self.saved, mac=mac) as clone, Agent(clone.agent_path) as agent:
            clone.load(self.saved)
            self.assertEqual(clone.card_mac(), TEMPLATE_MAC)
            clone.qmp("set_link", name="n0", up=False)
            clone.qmp("cont")
            began = time.monotonic()
            self.assertEqual(agent.ask("ping", seconds=2), "ok")
            pinged = time.monotonic()
            answer = agent.ask(
                "identity", f"name=clone-{number}", f"ip=10.0.2.{15 + number}/24", "gw=10.0.2.2",
                f"mac={mac}", f"machine={machine}", f"time_ms={now_ms()}",
                f"seed={secrets.token_hex(32)}", seconds=2)
            identified = time.monotonic()
            clone.qmp("set_link", name="n0", up=True)
            page = identity_page(clone.port(15 + number))
            served = time.monotonic()
            self.assertLess(abs(int(page["time_ms"]) - now_ms()), 2000)
            self.assertRegex(answer, rf"^ok protocol=1 name=clone-{number} boot={page['boot']}"
                             rf" uptime_ms=\d+ mac={mac} machine={machine}$")
            self.assertEqual((page["name"], page["mac"], page["address"], page["machine"]),
                             (f"clone-{number}", mac, f"10.0.2.{15 + number}/24", machine))
            self.assertEqual(clone.card_mac(), mac)
            self.assertEqual(clone.solicited(), set(), "no address of the template's hardware")
        print(f"\nclone {number}, ms after cont: ping {(pinged - began) * 1e3:.1f},"
              f" identified {(identified - began) * 1e3:.1f}, page {(served - began) * 1e3:.1f}",
              file=sys.stderr, flush=True)
        return page

    def test_clones(self):
        pages = [self.make_template(), *(self.become(number) for number in (1, 2, 3))]
        for key in ("name", "mac", "address", "machine", "random"):
            with self.subTest(key):
                self.assertEqual(len({page[key] for page in pages}), len(pages), key)
        self.assertEqual(len({page["boot"] for page in pages}), 1)

    def test_template_with_a_host(self):
        with Image.start(template=self.saved) as template, template.booted_agent():
            template.save(self.saved)  # the clone's host is another one
        with Image.start(clone=self.saved) as clone:
            clone.load(self.saved)
            clone.qmp("cont")
            with Agent(clone.agent_path) as agent:
                self.assertEqual(agent.ask("ping", seconds=2), "ok")
                answer = agent.ask("identity", "name=one", "ip=10.0.2.16/24", "gw=10.0.2.2")
                self.assertIn(" name=one ", answer)
            self.assertIn("hello from one\n", http_get(clone.port(16), "/")[1])


def boot_under_load(count: int) -> int:
    """Cold boots, one after another, beside two busy loops. The exit code of the program."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    times = []
    try:
        for i in range(count):
            began = time.monotonic()
            with Image.start() as machine:
                machine.booted_agent(BOOT_DEADLINE_S).close()
            times.append(time.monotonic() - began)
            print(f"boot {i + 1} of {count}: answered after {times[-1]:.2f} s", flush=True)
    except Late as error:
        print(f"boot {len(times) + 1} of {count}: {error}", file=sys.stderr)
        return 1
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    print(f"{count} boots beside two busy loops: median {sorted(times)[count // 2]:.2f} s,"
          f" slowest {max(times):.2f} s, limit {BOOT_DEADLINE_S:.0f} s")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, metavar="DIR", help="an image made by build.py")
    parser.add_argument("--qemu", default=OPTIONS.qemu, help="(default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="build twice with the kernel package kept there, and compare")
    parser.add_argument("--boots", type=int, default=0, metavar="N",
                        help="only boot N times beside two busy loops")
    parser.add_argument("tests", nargs="*", help="names of tests, as unittest takes them")
    parser.parse_args(namespace=OPTIONS)
    if OPTIONS.boots and not OPTIONS.image:
        parser.error("--boots needs --image")
    if OPTIONS.image:
        Image.open()
        if OPTIONS.boots:
            return boot_under_load(OPTIONS.boots)
    classes = [NewcTest, BzImageTest, ModuleOrderTest, DebianTest, BuildTest]
    if OPTIONS.cache:
        classes.append(WholeBuildTest)
    if OPTIONS.image:
        classes += [AgentTest, HttpTest, LifeTest, CloneTest]
    loader = unittest.TestLoader()
    if OPTIONS.tests:
        suite = loader.loadTestsFromNames(OPTIONS.tests, sys.modules[__name__])
    else:
        suite = unittest.TestSuite(loader.loadTestsFromTestCase(each) for each in classes)
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
