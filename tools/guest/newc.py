"""The initramfs archive: cpio in the "newc" format, the one the kernel unpacks at boot.

Written here and not by the cpio program, because the bytes must depend on the content alone: names
are sorted, times are zero, everything belongs to uid 0 and inodes count from 1. A device node is an
entry like any other, so none has to exist on the building machine and no root is needed.
"""

import stat
from dataclasses import dataclass

MAGIC = "070701"
TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One member. `name` has no leading slash; `data` is empty but for files."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, executable: bool = False) -> Entry:
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data)


def character_device(name: str, major: int, minor: int) -> Entry:
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _member(entry: Entry, inode: int) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    owner, time, archive_device, check = (0, 0), 0, (0, 0), 0
    numbers = [inode, entry.mode, *owner, links, time, len(entry.data), *archive_device,
               *entry.device, len(name), check]
    header = MAGIC + "".join(f"{number:08x}" for number in numbers)
    return _padded(header.encode() + name) + _padded(entry.data)


def archive(entries: list[Entry]) -> bytes:
    """The archive of these entries, in the order of their names. Each name must occur once, and
    the folder of each entry must be an entry too: the kernel creates none by itself."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    names = {entry.name for entry in ordered}
    if len(names) != len(ordered):
        raise ValueError("a name occurs twice")
    for entry in ordered:
        above, _, _ = entry.name.rpartition("/")
        if above and above not in names:
            raise ValueError(f"{entry.name}: its folder is missing")
    members = [_member(entry, inode) for inode, entry in enumerate(ordered, start=1)]
    members.append(_member(Entry(TRAILER, 0), 0))
    return b"".join(members)
