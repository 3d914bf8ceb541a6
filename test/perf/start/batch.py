"""Guests that are started all at the same moment, and what they take."""

import os
import pathlib
import queue
import re
import threading
import time

BATCH_SECONDS = 300  # for all of a batch to answer
SETTLE_SECONDS = 1.5  # after which a guest that was just asked is idle


class Failed(Exception):
    """Something did not do what it is measured doing."""


class Answers:
    """Of one guest, in ms after the moment at which its batch began."""

    def __init__(self, agent, page, took=None):
        self.agent, self.page, self.took = agent, page, took


def at_once(count, start):
    """The answers of `start(number, now)` for each number below `count`, begun together: it returns
    an Answers, and `now` gives the ms since the beginning."""
    results, begun = queue.Queue(), []
    gate = threading.Barrier(count, action=lambda: begun.append(time.monotonic()))

    def run(number):
        try:
            gate.wait(timeout=BATCH_SECONDS)
            results.put(start(number, lambda: (time.monotonic() - begun[0]) * 1000))
        except BaseException as error:  # whatever it is, the batch has failed
            results.put(error)

    # They end with the program: whoever interrupts it does not wait for guests.
    for number in range(count):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    end, found = time.monotonic() + BATCH_SECONDS, []
    while len(found) < count:
        try:
            one = results.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise Failed(f"{count - len(found)} of {count} guests did not answer in "
                         f"{BATCH_SECONDS} s") from None
        if isinstance(one, BaseException):
            raise one
        found.append(one)
    return found


def available_mib():
    text = pathlib.Path("/proc/meminfo").read_text(encoding="ascii")
    return int(re.search(r"^MemAvailable: +(\d+) kB$", text, re.M).group(1)) / 1024


def pss_mib(pid):
    """Memory of a process, with its part of what it shares."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Pss: +(\d+) kB$", text, re.M).group(1)) / 1024


def cpu_seconds(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_rest(pids, seconds):
    """Of a guest, on average: MiB of memory, and percent of one CPU while nobody asks it."""
    time.sleep(SETTLE_SECONDS)
    memory = sum(map(pss_mib, pids)) / len(pids)
    before, begin = sum(map(cpu_seconds, pids)), time.monotonic()
    time.sleep(seconds)
    used = sum(map(cpu_seconds, pids)) - before
    return memory, 100 * used / (time.monotonic() - begin) / len(pids)
