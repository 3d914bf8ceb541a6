"""One guest in QEMU under software emulation, for tests: start it, ask its agent, watch its end.

Every wait is for a condition and has a deadline; a wait that runs out raises Late with the end of
the guest's console, because that is the first thing to look at. A machine ends only the process it
started itself.
"""

import dataclasses
import json
import secrets
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from build import COMPILERS

HERE = Path(__file__).resolve().parent
BOOT_DEADLINE_S = 30.0
ANSWER_DEADLINE_S = 10.0
LINE_MAX = 512
KERNEL_ARGUMENTS = ("console=ttyS0 quiet cryptomgr.notests nokaslr mitigations=off"
                    " random.trust_cpu=on tsc=reliable")
NETWORK = "blx.ip=10.0.2.15/24 blx.gw=10.0.2.2"
TEMPLATE_MAC = "02:00:00:00:00:01"
FORWARDED = range(15, 19)  # the guest addresses 10.0.2.N that a loopback port leads to


class Late(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition, seconds: float, what: str, console=lambda: ""):
    """The first true value of condition(); looked at every 10 ms."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(f"{what}: not within {seconds} s; the console ends with\n{console()}")
        time.sleep(0.01)  # between two looks


def measure_tsc_khz(folder: Path) -> int:
    """Without this number on its command line a guest under load may hang at boot: it cannot
    calibrate its time stamp counter against the emulated timer."""
    compiler = next(name for name in COMPILERS if shutil.which(name))
    program = folder / "tsc_khz"
    subprocess.run([compiler, "-std=c17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror",
                    "-o", str(program), str(HERE / "tsc_khz.c")], check=True)
    return int(subprocess.run([str(program)], check=True, capture_output=True).stdout)


class LineSocket:
    """Lines over a unix socket, every read with a deadline."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.settimeout(ANSWER_DEADLINE_S)
        self._rest = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send_with_file(self, data: bytes, file: int) -> None:
        sent = socket.send_fds(self._socket, [data], [file])
        self._socket.sendall(data[sent:])

    def send_until_stuck(self, data: bytes, seconds: float = 0.5) -> int:
        """Sends until the other side has taken nothing for that long; returns the bytes sent."""
        sent = 0
        while sent < len(data) and select.select([], [self._socket], [], seconds)[1]:
            sent += self._socket.send(data[sent : sent + 4096], socket.MSG_DONTWAIT)
        return sent

    def read_line(self, seconds: float = ANSWER_DEADLINE_S) -> bytes | None:
        """The next line without its end; None: none came in time, or the other side is gone."""
        end = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return None
            data = self._socket.recv(65536)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def close(self) -> None:
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Agent(LineSocket):
    """A host's end of the agent port. `ignored` collects lines that answered nothing we asked."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.ignored: list[str] = []
        self.send(b"\n")  # ends what a host before us may have left unfinished

    def strangers(self) -> list[str]:
        """The ignored lines, but for the ready line, which may come at any place."""
        return [line for line in self.ignored if not line.startswith("ready ")]

    def ask(self, verb: str, *arguments: str, nonce: str | None = None,
            seconds: float = ANSWER_DEADLINE_S) -> str:
        """The answer to this question: "ok ..." or "error ...", without the nonce."""
        nonce = nonce or secrets.token_hex(8)
        self.send(" ".join((verb, nonce, *arguments)).encode() + b"\n")
        return self.answer(nonce, seconds)

    def answer(self, nonce: str, seconds: float = ANSWER_DEADLINE_S) -> str:
        end = time.monotonic() + seconds
        while True:
            line = self.read_line(max(0.0, end - time.monotonic()))
            if line is None:
                raise Late(f"no answer to {nonce} within {seconds} s; ignored {self.ignored[-5:]}")
            words = line.decode("ascii", "replace").split(" ")
            if len(words) >= 2 and words[0] in ("ok", "error") and words[1] == nonce:
                return " ".join((words[0], *words[2:]))
            self.ignored.append(line.decode("ascii", "replace"))

    def expect(self, wanted: str, seconds: float = ANSWER_DEADLINE_S) -> None:
        """Reads until exactly this line comes."""
        end = time.monotonic() + seconds
        seen = []
        while True:
            line = self.read_line(max(0.0, end - time.monotonic()))
            if line is None:
                raise Late(f"the line {wanted!r} did not come within {seconds} s; seen {seen}")
            if line.decode("ascii", "replace") == wanted:
                return
            seen.append(line)


@dataclasses.dataclass(frozen=True)
class Saved:
    """Where a template leaves its memory, while it runs, and its devices' state, at save()."""

    memory: Path
    state: Path

    @staticmethod
    def below(folder: str) -> "Saved":
        return Saved(Path(folder) / "memory", Path(folder) / "state")


class Machine:
    """A running QEMU. Use it in a with block."""

    def __init__(self, qemu: str, vmlinux: Path, initrd: Path, tsc_khz: int, keys: str = NETWORK,
                 template: Saved | None = None, clone: Saved | None = None,
                 mac: str | None = TEMPLATE_MAC):
        """template: boot with the memory in that file, for save(). clone: wait for load() of what
        a template with the same arguments saved; its memory is mapped, and its file left alone.
        Of the arguments mac alone may differ; after load() the card has the template's. Without
        mac there is no card."""
        self._folder = tempfile.TemporaryDirectory(prefix="blixard-vm-")
        run = Path(self._folder.name)
        self.agent_path = run / "agent"
        self._console = run / "console"
        self._errors = run / "errors"
        forward = ",".join(f"hostfwd=tcp:127.0.0.1:0-10.0.2.{last}:80" for last in FORWARDED)
        saved = template or clone
        kind = (f"file,share={'on' if template else 'off'},mem-path={saved.memory}" if saved
                else "ram")
        command = [
            qemu, "-nodefaults", "-no-user-config", "-display", "none",
            "-M", "microvm,acpi=on,memory-backend=ram0",
            "-object", f"memory-backend-{kind},id=ram0,size=128M", "-m", "128", "-smp", "1",
            "-accel", "tcg,tb-size=64", "-cpu", "qemu64,+arat",
            "-kernel", str(vmlinux), "-initrd", str(initrd),
            "-append", f"{KERNEL_ARGUMENTS} tsc_early_khz={tsc_khz} {keys}",
            "-chardev", f"file,id=con,path={self._console}", "-serial", "chardev:con",
            "-qmp", f"unix:{run / 'qmp'},server=on,wait=off",
            "-device", "virtio-rng-device",
            *(["-netdev", f"user,id=n0,restrict=on,{forward}",
               "-device", f"virtio-net-device,netdev=n0,mac={mac}"] if mac else []),
            "-device", "virtio-serial-device",
            "-chardev", f"socket,path={self.agent_path},server=on,wait=off,id=ag",
            "-device", "virtserialport,chardev=ag,name=org.blixard.agent",
            "-device", "pvpanic", "-action", "reboot=reset,shutdown=pause,panic=pause",
        ]
        if clone is not None:
            command += ["-incoming", "defer"]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors,
                                             stderr=errors)
        self._qmp: LineSocket | None = None
        try:
            self._qmp = self._connect(run / "qmp")
            self._qmp.read_line()
            self.qmp("qmp_capabilities")
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self) -> None:
        if self._qmp is not None:
            self._qmp.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _connect(self, path: Path) -> LineSocket:
        def attempt():
            if self._process.poll() is not None:
                raise AssertionError(f"QEMU ended: {self._errors.read_text(errors='replace')}")
            try:
                return LineSocket(path)
            except (FileNotFoundError, ConnectionRefusedError):
                return None

        return wait_until(attempt, ANSWER_DEADLINE_S, "a connection to QEMU")

    def console(self) -> str:
        try:
            return self._console.read_text(errors="replace")[-3000:]
        except FileNotFoundError:
            return ""

    def wait_until(self, condition, what: str, seconds: float = ANSWER_DEADLINE_S):
        return wait_until(condition, seconds, what, self.console)

    def wait_console(self, text: str, seconds: float = BOOT_DEADLINE_S) -> None:
        self.wait_until(lambda: text in self.console(), f"{text!r} on the console", seconds)

    def qmp(self, command: str, *, with_file: int | None = None, **arguments):
        """The result of a QMP command, sent with an open file if one is given; events that come
        before the result are dropped."""
        request = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        if with_file is None:
            self._qmp.send(request)
        else:
            self._qmp.send_with_file(request, with_file)
        while True:
            line = self._qmp.read_line()
            if line is None:
                raise Late(f"QEMU does not answer {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def status(self) -> str:
        return self.qmp("query-status")["status"]

    def wait_status(self, wanted: str, seconds: float = ANSWER_DEADLINE_S) -> None:
        self.wait_until(lambda: self.status() == wanted, f"status {wanted}", seconds)

    def _with_state(self, file, command: str) -> None:
        self.qmp("migrate-set-capabilities",
                 capabilities=[{"capability": "x-ignore-shared", "state": True}])
        self.qmp("getfd", with_file=file.fileno(), fdname="state")
        self.qmp(command, uri="fd:state")

    def save(self, saved: Saved) -> None:
        """Stops the guest and writes its devices' state; its memory is in its file already."""
        self.qmp("stop")
        with saved.state.open("wb") as file:
            self._with_state(file, "migrate")
            self.wait_until(lambda: self.qmp("query-migrate").get("status") == "completed", "saved")

    def load(self, saved: Saved) -> None:
        """Reads a template's state. The guest stands still until `cont`."""
        with saved.state.open("rb") as file:
            self._with_state(file, "migrate-incoming")
            self.wait_until(lambda: self.status() != "inmigrate", "the state is read")

    def port(self, last: int = 15) -> int:
        """The loopback port that leads to port 80 of the guest address 10.0.2.<last>."""
        table = self.qmp("human-monitor-command", **{"command-line": "info usernet"})
        for row in table.splitlines():
            words = row.split()
            if words[:1] == ["TCP[HOST_FORWARD]"] and words[4] == f"10.0.2.{last}":
                return int(words[3])
        raise AssertionError(f"no forward in {table}")

    def _card_filter(self) -> dict:
        return self.qmp("query-rx-filter")[0]

    def card_mac(self) -> str:
        """The hardware address that QEMU lets pass to the guest."""
        return self._card_filter()["main-mac"]

    def solicited(self) -> set[str]:
        """The groups of neighbour discovery that the guest listens to: one for each ending of its
        IPv6 addresses, if it has any."""
        groups = self._card_filter()["multicast-table"]
        return {group for group in groups if group.startswith("33:33:ff:")}

    def memory(self, path: Path) -> bytes:
        """All of the guest's memory, by way of a file."""
        self.qmp("pmemsave", val=0, size=128 << 20, filename=str(path))
        return path.read_bytes()

    def agent_port_free(self) -> bool:
        """No host is connected, as QEMU sees it."""
        port = next(row for row in self.qmp("query-chardev") if row["label"] == "ag")
        return port["filename"].startswith("disconnected:")

    def booted_agent(self, seconds: float = BOOT_DEADLINE_S) -> Agent:
        """Connects, and waits until the guest has answered."""
        agent = Agent(self.agent_path)
        try:
            agent.ask("ping", seconds=seconds)
        except Late as error:
            agent.close()
            raise Late(f"{error}; the console ends with\n{self.console()}") from error
        return agent
