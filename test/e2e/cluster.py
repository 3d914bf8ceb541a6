"""Clusters of real daemons on loopback, and clients that write to them while things happen.

What every test ends with: each acknowledged object is on every node, once, and all nodes that
applied the same part of the log have the same state."""

import http.client
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

import history
from harness import Place, Refused, lasting_port, wait_until

ELECTION_SECONDS = 2  # at most: 20 ticks of 100 ms


def answer_of(daemon, method, target, body=None, timeout=15, key=None):
    """(status, JSON) of one request; status 0: there was no answer."""
    headers = {"Idempotency-Key": key} if key else None
    try:
        status, _, content = daemon.request(method, target, body, headers, timeout=timeout)
        return status, json.loads(content)
    except (ConnectionRefusedError, FileNotFoundError) as error:
        return 0, {"code": "not_connected", "detail": repr(error)}
    except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
        return 0, {"code": "no_answer", "detail": repr(error)}


def small_image(directory):
    """An image folder that is never booted."""
    directory.mkdir()
    kernel = b"\x7fELF" + bytes(4092)
    (directory / "vmlinux").write_bytes(kernel)
    subprocess.run(["zstd", "-q", "--rm", str(directory / "vmlinux")], check=True)
    (directory / "initrd").write_bytes(bytes(512))
    (directory / "image.json").write_text(json.dumps({
        "architecture": "x86_64", "cmdline": "", "format": 1, "kernel_version": "6.1",
        "name": "none",
        "files": {"initrd": {"bytes": 512},
                  "vmlinux.zst": {"bytes": (directory / "vmlinux.zst").stat().st_size,
                                  "unpacked_bytes": len(kernel)}}}))
    return directory


class Load:
    """Clients that create VMs with names of their own, each on another node after each answer, and
    repeat what was not answered, with its key, until it is."""

    def __init__(self, cluster, clients=3):
        self.cluster = cluster
        self.acknowledged = []
        self.wrong = []  # answers that no client should get
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(client,), daemon=True)
                        for client in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        number, turn = 0, client
        name, key = None, None
        while not self.ending.wait(0.005):  # the pace of a client, not a wait for anything
            nodes = [node for node in self.cluster.nodes.values() if node.is_running]
            if not nodes:
                continue
            turn += 1
            if name is None:
                name, key = f"load-{client}-{number}", str(uuid.uuid4())
                number += 1
            status, answer = answer_of(nodes[turn % len(nodes)], "POST", "/v1/vms",
                                       {"name": name, "image": "none", "start": False}, key=key)
            if status == 201:
                self.acknowledged.append(name)
                name = None
            elif status in (400, 403, 404, 409):
                self.wrong.append((name, status, answer))
                name = None

    def count(self):
        return len(self.acknowledged)

    def go_on(self, more=20):
        """Waits until so many more are acknowledged: the cluster works."""
        target = self.count() + more
        wait_until(f"{more} more acknowledged", lambda: self.count() >= target, 30)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a client hangs"
        assert not self.wrong, self.wrong[:3]
        return list(self.acknowledged)


class Cluster:
    def __init__(self, program, options=(), checker=None, histories=None):
        self.place = Place(program, None)
        self.options = list(options)
        self.nodes = {}  # by name, without those that were removed
        self.load = None
        self.checker = checker  # the program that judges histories
        self.histories = histories  # where good ones stay, too
        self.clients = None  # whose history is written down

    def close(self):
        if self.load is not None:
            self.load.ending.set()
        if self.clients is not None:
            self.clients.ending.set()
            self.clients.history.close()
            if not self.clients.is_judged:
                self.keep_history()
        self.place.close()

    # Nodes.

    def make(self, name, *entry, address=None, wrapper=()):
        address = address or f"127.0.0.1:{lasting_port()}"
        # Also when the test itself is killed, no daemon outlives it.
        wrapper = ("setpriv", "--pdeathsig", "KILL", *wrapper)
        return self.place.daemon(name, wrapper=wrapper, entry=[*entry, "--peer-listen", address],
                                 arguments=["--name", name, "--accelerator", "tcg", *self.options])

    def bootstrap(self, name="n1", **options):
        self.nodes[name] = self.make(name, "--bootstrap", **options).start()
        self.nodes[name].cli("image", "import", str(small_image(self.place.path / "image")))
        return self.nodes[name]

    def token(self, through=None, *words):
        return (through or self.any()).cli("token", "create", *words).strip()

    def join(self, *names, through=None, **options):
        """All at once."""
        through = through or self.any()
        joining = [self.make(name, "--join", f"{self.token(through)}@{through.peer_address}",
                             **options) for name in names]
        for node in joining:
            node.launch()
        for name, node in zip(names, joining):
            self.nodes[name] = node.await_ready()
        self.await_voters()

    def form(self, count):
        self.bootstrap()
        if count > 1:
            self.join(*[f"n{i}" for i in range(2, count + 1)])
        return self

    def any(self):
        return next(node for node in self.nodes.values() if node.is_running)

    def running(self):
        return {name: node for name, node in self.nodes.items() if node.is_running}

    def start(self, *names):
        for name in names:
            self.nodes[name].launch()
        for name in names:
            self.nodes[name].await_ready()

    # What nodes say.

    def view(self, name):
        """What this node knows by itself."""
        return answer_of(self.nodes[name], "GET", "/v1/cluster?consistency=stale", timeout=5)[1]

    def status(self, name):
        return answer_of(self.nodes[name], "GET", "/v1/status?consistency=stale", timeout=5)[1]

    def term(self):
        return max(self.view(name)["term"] for name in self.running())

    def leader(self, among=None, seconds=30):
        """The one of them that they agree on."""
        def agreed():
            names = list(among or self.running())
            said = {self.view(name).get("leader") for name in names}
            leader = said.pop()
            return leader if not said and leader in names else None
        return wait_until("all agree on a leader", agreed, seconds)

    def followers(self):
        leader = self.leader()
        return [name for name in self.running() if name != leader]

    def await_voters(self):
        """Every node of the cluster is a voter, and every node says the same of all of them."""
        views = {}

        def equal():
            for name in self.running():
                view = self.view(name)
                views[name] = (view.get("leader"), [
                    (m["id"], m["name"], m["role"], m["membership"], m["address"], m["leaving"])
                    for m in view.get("members", [])])
            first = next(iter(views.values()))
            return (all(view == first for view in views.values()) and first[0] and
                    {m[1] for m in first[1]} == set(self.nodes) and
                    all(m[3] == "voter" for m in first[1]))
        try:
            wait_until("all nodes are voters and agree", equal, 45)
        except AssertionError as error:
            raise AssertionError(f"{error}: {views}") from None

    def names_on(self, name):
        status, answer = answer_of(self.nodes[name], "GET", "/v1/vms?consistency=stale")
        assert status == 200, answer
        return [vm["name"] for vm in answer["vms"]]

    def await_equal(self, seconds=45):
        """All have applied the same entries and have the same state."""
        digests = {}

        def equal():
            digests.clear()
            for name in self.nodes:
                status, answer = answer_of(self.nodes[name], "GET",
                                           "/v1/cluster/digest?consistency=stale")
                if status != 200:
                    digests[name] = answer
                    return False
                digests[name] = (answer["log_applied"], answer["hash"])
            by_index = {}
            for applied, digest in digests.values():
                assert by_index.setdefault(applied, digest) == digest, f"states differ: {digests}"
            return len(set(digests.values())) == 1
        try:
            wait_until("all nodes have the same state", equal, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {digests}, {self.debug()}") from None

    def debug(self):
        return {name: self.status(name) for name in self.running()}

    # Objects.

    def create(self, name, through, timeout=15, key=None):
        return answer_of(through, "POST", "/v1/vms",
                         {"name": name, "image": "none", "start": False}, timeout, key)

    def begin_load(self, clients=3):
        self.load = Load(self, clients)
        self.load.go_on()
        return self.load

    def begin_history(self, **options):
        """Clients whose history is judged in the end."""
        self.clients = history.Clients(
            self.place.path / "clients.jsonl",
            lambda node, method, target, body, key, timeout:
            answer_of(node, method, target, body, timeout, key),
            lambda: list(self.nodes.values()), **options)
        self.clients.go_on()
        return self.clients

    def keep_history(self):
        """Where it is after the test."""
        if self.histories is None:
            folder = pathlib.Path(tempfile.mkdtemp(prefix="blixard-history-"))
        else:
            folder = self.histories
            folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{self.place.path.name}.jsonl"
        shutil.copy(self.clients.history.path, kept)
        print(f"what the clients saw: {kept}, seed {self.clients.seed}", file=sys.stderr)
        return kept

    def judge_history(self):
        clients = self.clients
        clients.end()
        path = clients.history.path
        verdict = history.Verdict(self.checker, path)
        clients.is_judged = True
        if not verdict.is_ok:
            raise AssertionError(f"{verdict.text}\nkept as {self.keep_history()}")
        # It is worth something only if another history would not have passed.
        events = history.events_of(path)
        other = history.write_events(path.with_name("other.jsonl"), history.without_creates(
            events, history.seen_names(events)[0]))
        broken = history.Verdict(self.checker, other)
        assert broken.is_violation, f"a VM that nobody made is taken for right: {broken.text}"
        if self.histories is not None:
            self.keep_history()
        print(f"{clients.history.summary()}, checked in {verdict.seconds:.2f} s", file=sys.stderr)

    def judge(self, acknowledged=()):
        """The end of every test."""
        acknowledged = list(acknowledged)
        if self.clients is not None:
            self.judge_history()
        if self.load is not None:
            acknowledged += self.load.end()
        self.await_voters()
        self.await_equal()
        for name in self.nodes:
            there = self.names_on(name)
            assert len(set(there)) == len(there), f"twice on {name}"
            lost = set(acknowledged) - set(there)
            assert not lost, f"acknowledged and not on {name}: {sorted(lost)[:5]}"
        for node in self.nodes.values():
            node.stop()


def refused(daemon, *words):
    try:
        said = daemon.cli(*words)
    except Refused as refusal:
        return str(refusal)
    raise AssertionError(f"not refused: {words}: {said}")
