"""What the clients of a cluster did and saw, written down as docs/formats/history.md says, so that
`blixard-vopr check` can say whether it is linearizable.

The clients share few names, speak to another node with each request, and repeat with its request id
what got no certain answer; some give up at once instead, and some repeat what was answered. All
events go through one lock into one file, so that the order of its lines is that of the events.
"""

import json
import pathlib
import random
import re
import subprocess
import threading
import time
import uuid

from harness import wait_until

PREFIX = "seen-"  # of the names that are ours; a list shows others, too, which are left out
# Refusals that tell something of the VM.
TELLING = ("vm_exists", "vm_not_found", "vm_being_deleted")
SHOWN = ("id", "name", "desired", "generation", "state")  # of a VM
# How long a request may take, and an operation with all its repetitions: long before the cluster
# forgets a request id, which it does after 10,000 others.
REQUEST_SECONDS = 3
PATIENCE_SECONDS = 20
WORK = {"get": 38, "create": 22, "delete": 16, "stop": 10, "start": 8, "list": 6}
READS = ("get", "list")
RESTARTS = ("never", "on-failure", "always")


class History:
    """The file. An operation is open from its invoke to its ok, fail or info."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.lock = threading.Lock()
        self.file = open(self.path, "w", encoding="ascii")
        self.answered = {operation: 0 for operation in WORK}
        self.undecided = 0
        self.states = set()  # in which VMs were seen
        self.write({"blixard_history": 1})

    def write(self, event):
        self.file.write(json.dumps(event, separators=(",", ":")) + "\n")
        self.file.flush()  # it is wanted above all when the test ends badly

    def add(self, process, kind, operation, name, value=None, error=None):
        event = {"process": process, "type": kind, "f": operation}
        for member, content in (("key", name), ("value", value), ("error", error)):
            if content is not None and content != "":
                event[member] = content
        with self.lock:
            if self.file.closed:
                return  # the client was given up; its operation stays open
            self.write(event)
            self.answered[operation] += kind == "ok"
            self.states |= {vm["state"] for vm in vms_of(event)}
            self.undecided += kind == "info"

    def count(self):
        return sum(self.answered.values())

    def summary(self):
        counts = ", ".join(f"{count} {operation}" for operation, count in self.answered.items())
        return (f"{self.count()} operations answered ({counts}), {self.undecided} undecided, VMs "
                f"seen {', '.join(sorted(self.states))}")

    def close(self):
        with self.lock:
            self.file.close()


def vms_of(event):
    """Those that the answer to a read shows."""
    if event["type"] != "ok" or event["f"] not in READS or "value" not in event:
        return []
    return event["value"] if event["f"] == "list" else [event["value"]]


class End:
    """What one exchange says of its operation: kind "ok" or "fail", or "open" if it may have
    happened or happen yet, or "unsent" if it cannot have happened and another try may do better."""

    def __init__(self, kind, value=None, error=None):
        self.kind, self.value, self.error = kind, value, error

    def __eq__(self, other):
        return vars(self) == vars(other)

    def contradicts(self, first):
        """As the answer to the same request once more."""
        if self.kind != "ok":
            return self.kind == "fail"
        is_other = None not in (self.value, first.value) and self.value != first.value
        return self.error != first.error or is_other

    def __repr__(self):
        return f"{self.kind} {self.value} {self.error}"


def shown(vm, members=SHOWN):
    return {member: vm[member] for member in members}


def end_of(operation, status, answer):
    code = answer.get("code") if status >= 400 or status == 0 else None
    if 200 <= status < 300:
        if operation == "get":
            return End("ok", shown(answer))
        if operation == "list":
            return End("ok", [shown(vm) for vm in answer["vms"] if vm["name"].startswith(PREFIX)])
        return End("ok", shown(answer, ("id",)))
    if operation == "create" and code == "vm_not_found":
        return End("ok")  # made by this request, and deleted since
    if code in TELLING:
        return End("ok", None, code)
    if code == "not_connected":
        return End("unsent")
    if 400 <= status < 500 or status == 507:
        return End("fail", None, code)
    return End("open", None, code)


class Clients:
    """`ask(node, method, target, body, key, timeout)` is one exchange with a node, giving (status,
    JSON); `nodes()` are those to choose from, also ones that are down. `hasty` is how often a
    change is tried only once, `noisy` how often one is repeated that was answered; `pace` and
    `pause` are the mean seconds before an operation and before a repetition. With `is_stale` the
    reads are not linearizable, which is to be found."""

    def __init__(self, path, ask, nodes, count=6, images=("none",), names=8, seed=None, hasty=0.05,
                 noisy=0.1, pace=0.04, pause=0.05, is_stale=False):
        self.history = History(path)
        self.read_query = "?consistency=stale" if is_stale else ""
        self.ask, self.nodes = ask, nodes
        self.hasty, self.noisy, self.pace, self.pause = hasty, noisy, pace, pause
        self.seed = random.getrandbits(32) if seed is None else seed
        # What a VM is made like goes with its name. Odd ones are made without a start. Those of
        # the first image are changed seldom, so that they get somewhere.
        self.vms = {f"{PREFIX}{i}": {"image": images[i % len(images)], "start": i % 2 == 0,
                                     "restart": RESTARTS[i % len(RESTARTS)]} for i in range(names)}
        self.weights = [1 if len(images) > 1 and vm["image"] == images[0] else 12
                        for vm in self.vms.values()]
        self.wrong = []  # answers that no client should get
        self.is_judged = False
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(client,), daemon=True)
                        for client in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        chance = random.Random(f"{self.seed}-{client}")
        try:
            while not self.ending.wait(chance.uniform(0, 2 * self.pace)):
                [operation] = chance.choices(list(WORK), WORK.values())
                [name] = chance.choices(list(self.vms),
                                        None if operation in READS else self.weights)
                name = "" if operation == "list" else name
                self.operate(client, operation, name, chance)
        except Exception as error:  # an answer of another form than the API promises
            self.wrong.append((client, repr(error)))

    def operate(self, client, operation, name, chance):
        argument, request = self.request_of(operation, name, chance)
        key = None if operation in READS else str(uuid.UUID(int=chance.getrandbits(128)))
        # A read has no request id: a second one is another operation.
        tries = 1 if operation in READS or chance.random() < self.hasty else 1000
        self.history.add(client, "invoke", operation, name, argument)
        end = self.insist(operation, request, key, tries, chance)
        if end.kind == "ok" and key and chance.random() < self.noisy:
            again = end_of(operation, *self.exchange(request, key, chance))
            if again.contradicts(end):
                self.wrong.append((operation, name, end, "repeated:", again))
        if end.kind == "ok":
            self.history.add(client, "ok", operation, name, end.value, end.error)
            return
        if end.kind == "fail":
            self.wrong.append((operation, name, end))
        may_happen = end.kind == "open" and operation not in READS
        self.history.add(client, "info" if may_happen else "fail", operation, name)

    def request_of(self, operation, name, chance):
        if operation == "create":
            body = {"name": name, **self.vms[name]}
            return None if body["start"] else {"start": False}, ("POST", "/v1/vms", body)
        if operation == "list":
            return None, ("GET", f"/v1/vms{self.read_query}", None)
        method = {"get": "GET", "delete": "DELETE"}.get(operation, "POST")
        tail = {"POST": f"/{operation}", "GET": self.read_query}.get(method, "")
        return None, (method, f"/v1/vms/{name}{tail}", None)

    def exchange(self, request, key, chance):
        method, target, body = request
        return self.ask(chance.choice(self.nodes()), method, target, body, key, REQUEST_SECONDS)

    def insist(self, operation, request, key, tries, chance):
        """The end of all tries together: what was open once stays so until an answer comes."""
        is_open, last = False, time.monotonic() + PATIENCE_SECONDS
        while True:
            end = end_of(operation, *self.exchange(request, key, chance))
            if end.kind in ("ok", "fail"):
                return end
            is_open = is_open or end.kind == "open"
            tries -= 1
            if tries == 0 or time.monotonic() > last:
                return End("open") if is_open else end
            time.sleep(chance.uniform(0, 2 * self.pause))  # the pace of a client

    def go_on(self, more=30, seconds=60):
        """Waits until so many more operations are answered, or refused by the VM's state."""
        target = self.history.count() + more
        wait_until(f"{more} more operations answered",
                   lambda: self.wrong or self.history.count() >= target, seconds)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(timeout=PATIENCE_SECONDS + 2 * REQUEST_SECONDS + 10)
        self.history.close()
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"
        assert not self.wrong, f"{self.wrong[:3]}, seed {self.seed}"


class Verdict:
    """What `blixard-vopr check` says of a file."""

    def __init__(self, checker, path, *more):
        began = time.monotonic()
        done = subprocess.run([str(checker), "check", "--model", "vm", "--format", "blixard-json",
                               "--time-limit", "60s", *more, str(path)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        self.seconds = time.monotonic() - began
        self.exit_code, self.text = done.returncode, done.stdout + done.stderr
        said = re.match(r".*: (ok|violation|unknown)\n", self.text)
        self.word = said[1] if said else "none"

    @property
    def is_ok(self):
        return self.exit_code == 0 and self.word == "ok"

    @property
    def is_violation(self):
        return self.exit_code == 1 and self.word == "violation"


def events_of(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()][1:]


def write_events(path, events):
    path = pathlib.Path(path)
    lines = [{"blixard_history": 1}, *events]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def seen_names(events):
    """Those that an answer showed, in order."""
    return list(dict.fromkeys(vm["name"] for event in events for vm in vms_of(event)))


def without_creates(events, name):
    """The same history, but nobody made what is seen in it."""
    return [event for event in events if (event["f"], event.get("key")) != ("create", name)]
