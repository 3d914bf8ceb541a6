"""A sampling profile of one process while a load runs: by perf where that is permitted, else by
gdb, which stops the process for each sample and so sees less and disturbs more."""

import pathlib
import shutil
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import flame_graph  # noqa: E402

HERTZ = 499  # not in step with anything
GDB_PAUSE_SECONDS = 0.2


def perf_works(pid):
    """Whether perf may look at the process: the reason if not, or None."""
    if not shutil.which("perf"):
        return "perf is not installed (Debian: linux-perf)"
    tried = subprocess.run(["perf", "record", "-o", "/dev/null", "-e", "cpu-clock", "-p", str(pid),
                            "--", "sleep", "0.1"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    lines = tried.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {tried.returncode}"


class Profile:
    """While it is entered samples are taken; finish() writes what they say."""

    def __init__(self, pid, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.pid, self.data = pid, directory / "perf.data"
        self.refusal = perf_works(pid)
        self.stacks, self.process, self.thread = {}, None, None
        self.ending = threading.Event()

    def __enter__(self):
        if self.refusal is None:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", "perf", "record", "-q", "-F", str(HERTZ),
                 "-e", "cpu-clock", "--call-graph", "dwarf,16384", "-p", str(self.pid),
                 "-o", str(self.data)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True)
        else:
            print(f"perf is not permitted here ({self.refusal}): sampling with gdb, which is slow",
                  file=sys.stderr)
            self.thread = threading.Thread(target=self.sample, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        else:
            self.ending.set()
            self.thread.join(timeout=60)

    def sample(self):
        if not shutil.which("gdb"):
            return
        while not self.ending.wait(GDB_PAUSE_SECONDS):
            said = subprocess.run(["gdb", "-p", str(self.pid), "-batch", "-nx", "-ex",
                                   "thread apply all bt 60"], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False, timeout=60)
            for stack in flame_graph.stacks_of_gdb(said.stdout):
                self.stacks[stack] = self.stacks.get(stack, 0) + 1

    def finish(self, directory):
        """Writes folded stacks and the flame graph; returns the top frames as text."""
        if self.refusal is None:
            script = subprocess.Popen(
                ["perf", "script", "-i", str(self.data), "--no-inline", "-F", "comm,ip,sym"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.stacks = flame_graph.stacks_of_perf(script.stdout)
            script.wait()
        (directory / "folded.txt").write_text(flame_graph.folded(self.stacks))
        page = directory / "flame.html"
        page.write_text(flame_graph.page(self.stacks, "blixard node, the leader under load"))
        return f"the flame graph is {page}\n{flame_graph.top_text(self.stacks)}"
