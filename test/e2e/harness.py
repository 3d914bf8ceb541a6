"""Runs real daemons for the end-to-end tests and talks to them as a user does: by the program's
command line and by HTTP. Waits are for conditions, each with a deadline."""

import http.client
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

DEADLINE_SECONDS = 90


class Refused(Exception):
    """The program ended with a failure; the text is what it told the user."""


def wait_until(what, condition, seconds=DEADLINE_SECONDS):
    """The first true value of condition(); fails with `what` after the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)  # between two looks at the condition


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lasting_port():
    """A port for a daemon that comes back to it: not one of those that the kernel gives to whoever
    dials while the daemon is down."""
    ephemeral = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, ephemeral), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port is free")


def alive(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def start_ticks(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])


# As whom programs are started: the extra arguments of subprocess, and none for ourselves.
identity = {}


def start_programs_as(user):
    entry = pwd.getpwnam(user)
    identity.update(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """One `blixard node` on a data directory of its own."""

    def __init__(self, program, data, arguments=(), environment=None, wrapper=(),
                 entry=("--bootstrap", "--peer-listen", "127.0.0.1:0"), templates_mib=0):
        self.program = str(program)
        self.data = pathlib.Path(data)
        self.entry = list(entry)  # how it comes to its cluster, and where the others reach it
        self.wrapper = list(wrapper)  # the command that starts the program, such as ip netns exec
        # None, as a rule: they are made when it suits the node, by a QEMU more than there are VMs.
        self.arguments = ["--templates-mib", str(templates_mib), *arguments]
        self.environment = environment
        self.process = None
        self.log_path = self.data.parent / (self.data.name + ".log")
        self.address = None
        self.peer_address = None

    @property
    def socket(self):
        return str(self.data / "api.sock")

    def launch(self, *more):
        """Starts it without waiting; returns the process."""
        log = open(self.log_path, "ab")
        self.log_from = self.log_path.stat().st_size
        self.process = subprocess.Popen(
            [*self.wrapper, self.program, "node", "--data", str(self.data), "--listen",
             "127.0.0.1:0", *self.entry, *self.arguments, *more],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
            start_new_session=True, **identity)
        log.close()
        return self.process

    def log(self):
        return self.log_path.read_bytes()[self.log_from:].decode(errors="replace")

    def start(self, *more):
        self.launch(*more)
        return self.await_ready()

    def await_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended: {self.log()}")
            return [line for line in self.log().splitlines() if line.startswith("ready")]
        line = wait_until("the daemon is ready", ready, 60)[0]
        self.address = line.rpartition(" ")[2]
        self.peer_address = line.partition("peers on ")[2].partition(")")[0]
        return self

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def fails(self, seconds=30, exit_code=1):
        """The log of a daemon that must end by itself with a failure."""
        code = self.process.wait(timeout=seconds)
        assert code == exit_code, f"exit code {code}: {self.log()}"
        return self.log()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        assert code == 0, f"exit code {code} at a clean stop: {self.log()}"

    def cli(self, *words):
        done = subprocess.run([self.program, "--socket", self.socket, *words],
                              capture_output=True, text=True, timeout=180, **identity)
        if done.returncode != 0:
            raise Refused(done.stderr)
        return done.stdout

    def json(self, *words):
        return json.loads(self.cli(*words, "--output", "json"))

    def vm(self, name):
        return self.json("vm", "status", name)

    def request(self, method, target, body=None, headers=None, tcp=False, timeout=60):
        """(status, headers, body) of one HTTP exchange."""
        if tcp:
            host, _, port = self.address.rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        else:
            connection = UnixConnection(self.socket, timeout)
        text = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
        fields = dict(headers or {})
        if text is not None:
            fields.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, target, body=text, headers=fields)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


def page(port, path="/", seconds=10):
    """Status and body of the guest's web page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def answers(port):
    try:
        return page(port)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


class Place:
    """A directory for one test; on leaving, every guest and daemon of the test is gone."""

    def __init__(self, program, image):
        self.program = program
        self.image = image
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="blixard-e2e-"))
        if identity:
            os.chown(self.path, identity["user"], identity["group"])
        self.daemons = []

    def daemon(self, name="node", **options):
        daemon = Daemon(self.program, self.path / name, **options)
        self.daemons.append(daemon)
        return daemon

    def guests(self):
        """Pids of QEMU processes with a guest, in this test's directory."""
        return [pid for pid, folder in self.processes().items()
                if not folder.startswith("standby-")]

    def standbys(self):
        """Pids of those that wait for one."""
        return [pid for pid, folder in self.processes().items() if folder.startswith("standby-")]

    def processes(self):
        """Folders of all QEMU processes of this test, by pid."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes()
                works_in = os.readlink(entry / "cwd")
            except OSError:
                continue
            if b"qemu-system" in words and works_in.startswith(f"{self.path}/"):
                found[int(entry.name)] = pathlib.PurePath(works_in).name
        return found

    def close(self):
        for daemon in self.daemons:
            if daemon.is_running:
                daemon.kill()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until("guests of the test are gone", lambda: not self.processes(), 30)
        shutil.rmtree(self.path, ignore_errors=True)
