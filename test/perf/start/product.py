"""A node of one machine, asked for VMs as a client of its API does."""

import contextlib
import http.client
import json
import pathlib
import re
import time

import batch
from batch import Answers, Failed
from harness import page

IMAGE = "guest"
GUEST_MIB = 128
TEMPLATES_MIB = 1024
CPU_MILLI = 10  # of a core is promised to each: many run on few
PAGE_AGAIN = 0.005
STANDBYS = 64  # of the pooled one, at most
STANDBY_SECONDS = 8.0
GROUPS = pathlib.Path("/sys/fs/cgroup")


def await_page(port, name, end):
    """Until the guest's page is there, with status 200, and is that of this guest."""
    while True:
        try:
            status, body = page(port)
            if status == 200 and body.startswith(f"hello from {name}\n"):
                return
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() > end:
            raise Failed(f"there was no page of {name}")
        time.sleep(PAGE_AGAIN)


class Node:
    """With templates its VMs start warm, pooled ones in hypervisors that stand by; without, all of
    them boot."""

    def __init__(self, place, kind, image):
        self.is_warm, self.is_pooled = kind != "cold", kind == "pooled"
        self.groups, self.names = set(), []
        # No daemon outlives this script, however it ends.
        self.daemon = place.daemon(kind, templates_mib=TEMPLATES_MIB if self.is_warm else 0,
                                   arguments=["--name", kind, "--log-level", "warn", "--standbys",
                                              str(STANDBYS if self.is_pooled else 0)],
                                   wrapper=("setpriv", "--pdeathsig", "KILL"))
        self.daemon.start()
        self.ask("POST", "/v1/images", {"path": str(image), "name": IMAGE})
        if self.is_warm:
            self.ask("POST", "/v1/templates", {"image": IMAGE, "memory_mib": GUEST_MIB})

    def ask(self, method, target, body=None):
        status, _, text = self.daemon.request(method, target, body, timeout=batch.BATCH_SECONDS)
        answer = json.loads(text)
        if status >= 300:
            raise Failed(f"{method} {target}: {answer.get('code')}: {answer.get('detail')}")
        return answer

    def create(self, name):
        """The VM, once its agent has answered."""
        self.names.append(name)
        vm = self.ask("POST", f"/v1/vms?wait=running&timeout={batch.BATCH_SECONDS}s", {
            "name": name, "image": IMAGE, "memory_mib": GUEST_MIB, "stop_grace_seconds": 0,
            "publish": [{"guest_port": 80}], "placement": {"cpu_milli": CPU_MILLI}})
        kind = "warm" if self.is_warm else "cold"
        if vm["start"]["kind"] != kind:
            raise Failed(f"the start of {name} was not {kind}: {vm['start'].get('why')}")
        return vm

    @contextlib.contextmanager
    def sample(self):
        """A VM like those that are measured."""
        vm = self.create("sample")
        self.groups |= groups_of(vm["pid"])
        yield vm
        self.delete_all()

    def standbys(self):
        status, _, text = self.daemon.request("GET", "/metrics")
        if status != 200:
            raise Failed(f"GET /metrics: {status}")
        return float(re.search(r"^blixard_standbys (\S+)$", text.decode(), re.M).group(1))

    def make_ready(self, count):
        """So many hypervisors stand by, if any do: they follow the starts of the last seconds."""
        if not self.is_pooled:
            return
        end = time.monotonic() + batch.BATCH_SECONDS
        while self.standbys() < count:
            if time.monotonic() > end:
                raise Failed(f"there were never {count} hypervisors that stand by")
            self.start_all("ready", count)
            self.delete_all()
            looks_end = time.monotonic() + STANDBY_SECONDS
            while self.standbys() < count and time.monotonic() < looks_end:
                time.sleep(0.02)  # between two looks

    def start_all(self, prefix, count):
        """Answers and pids of a batch."""
        pids = []

        def start(number, now):
            name = f"{prefix}-{number}"
            vm = self.create(name)
            agent = now()
            await_page(vm["published_ports"][0]["host_port"], name,
                       time.monotonic() + batch.BATCH_SECONDS)
            pids.append(vm["pid"])
            return Answers(agent, now(), vm["start"]["took_ms"])

        return batch.at_once(count, start), pids

    def delete_all(self):
        for name in self.names:
            self.ask("DELETE", f"/v1/vms/{name}")
        for name in self.names:
            with contextlib.suppress(Failed):  # it is gone
                self.ask("GET", f"/v1/vms/{name}?wait=deleted&timeout=60s")
        self.names.clear()


def groups_of(pid):
    """The folders of control groups that the daemon of this guest made for all of its own."""
    found = set()
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        parts = pathlib.PurePath(line.split(":", 2)[2]).parts[1:]
        ours = next((at for at, part in enumerate(parts) if part.startswith("blixard-")), None)
        if ours is not None:
            roots = [GROUPS, *(each for each in GROUPS.iterdir() if each.is_dir())]
            found |= {root.joinpath(*parts[:ours + 1]) for root in roots}
    return {folder for folder in found if folder.is_dir()}


def remove_groups(folders):
    """Those that are left where a daemon was killed, once nobody is in them."""
    for folder in folders:
        inner = [path for path in folder.rglob("*") if path.is_dir()] if folder.is_dir() else []
        for each in [*sorted(inner, reverse=True), folder]:
            with contextlib.suppress(OSError):
                each.rmdir()
