"""QEMU without the product: started with the product's own arguments, and driven as it is, but by
nothing that checks, records or limits. What it takes is what no product can be below."""

import array
import contextlib
import ctypes
import json
import os
import pathlib
import re
import secrets
import select
import shutil
import socket
import subprocess
import time
import uuid

import batch
from batch import Answers, Failed
from harness import lasting_port
from product import await_page

LOOK_AGAIN = 0.002  # at how far a load is, as the product does
ASK_AGAIN = 1.0  # an agent that does not answer
IN_CREATE = 0x100
TEMPLATE_NAME = "bare-template"

LIBC = ctypes.CDLL(None, use_errno=True)


def mac_of(identity):
    return "02:" + ":".join(f"{byte:02x}" for byte in identity.bytes[11:])


class Command:
    """How the product started a guest: read of its process, and made anew for others."""

    def __init__(self, words, directory, owner):
        self.words, self.directory, self.owner = words, pathlib.Path(directory), owner

    @classmethod
    def of_process(cls, pid):
        proc = pathlib.Path(f"/proc/{pid}")
        words = (proc / "cmdline").read_bytes().decode().split("\0")[:-1]
        status = (proc / "status").read_text(encoding="utf-8")
        owner = tuple(int(re.search(rf"^{which}:\s+(\d+)", status, re.M).group(1))
                      for which in ("Uid", "Gid"))
        return cls(words, os.readlink(proc / "cwd"), owner)

    def value(self, option):
        return self.words[self.words.index(option) + 1]

    def memory_mib(self):
        return int(re.search(r"size=(\d+)M", self.value("-object")).group(1))

    def changed(self, *changes):
        """A copy in which, for each (option, pattern, by), `pattern` is replaced in the one value
        of that option that has it; with paths that hold everywhere."""
        words = list(self.words)
        for option in ("-kernel", "-initrd"):
            at = words.index(option) + 1
            words[at] = str((self.directory / words[at]).resolve())
        for option, pattern, by in changes:
            places = [at + 1 for at, word in enumerate(words[:-1])
                      if word == option and re.search(pattern, words[at + 1])]
            if len(places) != 1:
                raise Failed(f"QEMU's arguments are not understood: {pattern!r} is "
                             f"{len(places)} times after {option}")
            words[places[0]] = re.sub(pattern, lambda _, text=by: text, words[places[0]], count=1)
        return Command(words, self.directory, self.owner)

    def for_guest(self, name, identity, port):
        return self.changed(("-name", r"^.*$", f"blx-{name}"), ("-uuid", r"^.*$", str(identity)),
                            ("-append", r"\bblx\.name=\S+", f"blx.name={name}"),
                            ("-netdev", r"hostfwd=tcp:127\.0\.0\.1:\d+-",
                             f"hostfwd=tcp:127.0.0.1:{port}-"),
                            ("-device", r"\bmac=[0-9a-f:]+", f"mac={mac_of(identity)}"))

    def for_template(self, memory):
        """Of a clone's command: that of the guest which is saved in `memory`."""
        shared = self.with_memory(memory).changed(("-object", r"\bshare=off\b", "share=on"))
        at = shared.words.index("-incoming")
        del shared.words[at:at + 2]
        return shared

    def with_memory(self, memory):
        return self.changed(("-object", r"\bmem-path=[^,]+", f"mem-path={memory}"))


class Arrivals:
    """Tells when files come into a folder, without looking again and again."""

    def __init__(self, folder):
        self.folder = folder
        self.descriptor = LIBC.inotify_init1(os.O_CLOEXEC)
        if self.descriptor < 0 or LIBC.inotify_add_watch(
                self.descriptor, os.fsencode(folder), IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def wait(self, name, is_hopeless):
        while not (self.folder / name).exists():
            if select.select([self.descriptor], [], [], 0.1)[0]:
                os.read(self.descriptor, 4096)
            elif is_hopeless():
                raise Failed(f"QEMU made no {name}")

    def close(self):
        os.close(self.descriptor)


class Lines:
    """A connection that carries lines of text."""

    def __init__(self, path):
        self.socket, self.rest = socket.socket(socket.AF_UNIX), b""
        end = time.monotonic() + batch.BATCH_SECONDS
        while True:
            try:
                self.socket.connect(str(path))
                return
            except ConnectionRefusedError:  # it is there and not yet listened at
                if time.monotonic() > end:
                    raise
                time.sleep(0.0002)

    def send(self, text, descriptor=None):
        rights = [] if descriptor is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.socket.sendmsg([text.encode() + b"\n"], rights)

    def read(self, seconds):
        """The next line, or None after that time."""
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                return None
            if not more:
                raise Failed("QEMU closed a connection")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def close(self):
        self.socket.close()


class Monitor(Lines):
    def __init__(self, path):
        super().__init__(path)
        self.next()
        self.execute("qmp_capabilities")

    def next(self):
        line = self.read(batch.BATCH_SECONDS)
        if line is None:
            raise Failed("QEMU's monitor does not answer")
        return json.loads(line)

    def execute(self, command, descriptor=None, **arguments):
        asked = {"execute": command}
        if arguments:
            asked["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.send(json.dumps(asked), descriptor)
        while True:
            answer = self.next()
            if "error" in answer:
                raise Failed(f"{command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def share_memory(self):
        self.execute("migrate-set-capabilities",
                     capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def hand_over(self, path, flags):
        descriptor = os.open(path, flags, 0o600)
        try:
            self.execute("getfd", descriptor, fdname="state")
        finally:
            os.close(descriptor)

    def load(self, state):
        self.share_memory()
        self.execute("migrate-set-parameters", announce_rounds=0)
        self.hand_over(state, os.O_RDONLY)
        self.execute("migrate-incoming", uri="fd:state")
        while self.execute("query-status")["status"] == "inmigrate":
            time.sleep(LOOK_AGAIN)
        self.execute("cont")

    def save(self, state):
        self.execute("stop")
        self.share_memory()
        self.execute("migrate-set-parameters", max_bandwidth=10 << 30)
        self.hand_over(state, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.execute("migrate", uri="fd:state")
        while True:
            said = self.execute("query-migrate").get("status")
            if said == "completed":
                return
            if said in ("failed", "cancelled"):
                raise Failed("QEMU did not save its guest")
            time.sleep(LOOK_AGAIN)


class Guest:
    """One QEMU of ours, in a folder of its own."""

    def __init__(self, command, folder):
        self.folder = folder
        folder.mkdir(mode=0o700)
        run_as = {}
        if os.geteuid() == 0:
            user, group = command.owner
            os.chown(folder, user, group)
            run_as = {"user": user, "group": group, "extra_groups": []}
        self.arrivals, self.open = Arrivals(folder), []
        with open(folder / "output", "wb") as output:
            self.process = subprocess.Popen(command.words, cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output, start_new_session=True,
                                            **run_as)

    def connect(self, name, kind):
        try:
            self.arrivals.wait(name, lambda: self.process.poll() is not None)
            self.open.append(kind(self.folder / name))
        except Failed as error:
            said = (self.folder / "output").read_text(errors="replace").strip()
            raise Failed(f"{error}: {said}") from None
        return self.open[-1]

    def ask(self, verb, *words):
        """The answer of the guest's agent, which may come up first."""
        agent, nonces = self.connect("agent", Lines), []
        end = time.monotonic() + batch.BATCH_SECONDS
        while time.monotonic() < end:
            nonces.append(secrets.token_hex(8))
            # An empty line first: whoever asked before may have left one without its end.
            agent.send(("" if len(nonces) > 1 else "\n") + " ".join([verb, nonces[-1], *words]))
            again = time.monotonic() + ASK_AGAIN
            while (line := agent.read(max(0.0, again - time.monotonic()))) is not None:
                said = line.split(" ", 2)
                if said[0] in ("ok", "error") and said[1] in nonces:
                    if said[0] == "error":
                        raise Failed(f"the guest's agent refused {verb}: {line}")
                    return
        raise Failed("the guest's agent did not answer")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for each in [*self.open, self.arrivals]:
            each.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bare:
    """Starts guests by the commands of the product's, of which there is one of each kind."""

    def __init__(self, folder, commands):
        self.folder, self.commands, self.guests = folder, commands, []
        folder.mkdir(mode=0o711)
        self.memory, self.state = folder / "ram", folder / "state"
        if "warm" in commands:
            self.make_template(commands["warm"])

    def make_template(self, clone):
        self.memory.touch(mode=0o600)
        os.truncate(self.memory, clone.memory_mib() << 20)
        if os.geteuid() == 0:
            os.chown(self.memory, *clone.owner)
        command = clone.for_guest(TEMPLATE_NAME, uuid.uuid4(), lasting_port())
        with self.guest(command.for_template(self.memory), "template") as guest:
            guest.ask("ping")
            monitor = guest.connect("qmp", Monitor)
            monitor.save(self.state)
            monitor.execute("quit")
            guest.process.wait(timeout=batch.BATCH_SECONDS)

    def accelerator(self):
        return next(iter(self.commands.values())).value("-accel").partition(",")[0]

    @contextlib.contextmanager
    def guest(self, command, name):
        guest = Guest(command, self.folder / name)
        try:
            yield guest
        finally:
            guest.close()

    def start_all(self, kind, prefix, count):
        """Answers and pids of a batch."""
        ports = set()
        while len(ports) < count:
            ports.add(lasting_port())
        ports = list(ports)
        names = [f"{prefix}-{number}" for number in range(count)]
        identities = [uuid.uuid4() for _ in names]
        is_warm, common = kind == "warm", self.commands[kind]
        if is_warm:
            common = common.with_memory(self.memory)
        commands = [common.for_guest(*of_one) for of_one in zip(names, identities, ports)]

        def start(number, now):
            guest = Guest(commands[number], self.folder / names[number])
            self.guests.append(guest)
            if is_warm:
                guest.connect("qmp", Monitor).load(self.state)
                identity = identities[number]
                guest.ask("identity", f"was={TEMPLATE_NAME}", f"name={names[number]}",
                          f"mac={mac_of(identity)}", f"machine={identity.hex}",
                          f"time_ms={int(time.time() * 1000)}", f"seed={secrets.token_hex(32)}")
            else:
                guest.ask("ping")
            agent = now()
            await_page(ports[number], names[number], time.monotonic() + batch.BATCH_SECONDS)
            return Answers(agent, now())

        answers = batch.at_once(count, start)
        return answers, [guest.process.pid for guest in self.guests]

    def delete_all(self):
        while self.guests:
            self.guests.pop().close()
