"""The kernel package: which one it is, and its file, checked.

Everything goes through apt as the machine has it configured, without root: the package lists tell
name, size and SHA-256, `apt-get download` fetches. Nothing is ever installed; installing a kernel
would change how the building machine boots. A file in the cache that matches size and hash is used
without asking the network.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KERNEL_DEPENDENCY = re.compile(r"^(linux-image-\d\S*)(?: \(= (\S+)\))?$")
CONCRETE_KERNEL = re.compile(r"^linux-image-\d")


class NoPackage(Exception):
    """The package cannot be found or fetched; the text says what to do."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_amd64.deb"


def parse_record(text: str) -> dict[str, str]:
    """The first paragraph of `apt-cache show`; continuation lines are left out."""
    fields = {}
    for line in text.strip().split("\n\n")[0].splitlines():
        if line[:1].isspace():
            continue
        key, colon, value = line.partition(":")
        if colon:
            fields[key] = value.strip()
    return fields


class Apt:
    """apt with the machine's lists, or, if the machine has none, with lists of our own."""

    def __init__(self, cache: Path, say):
        self._cache = cache
        self._say = say
        self._own_lists = False
        self._options: list[str] = []
        if os.geteuid() == 0:
            # The cache may be a folder that the user _apt cannot enter.
            self._options = ["-o", "APT::Sandbox::User=root"]

    def _run(self, program: str, *arguments: str, folder: Path | None = None):
        try:
            return subprocess.run([program, *self._options, *arguments], cwd=folder, check=False,
                                  capture_output=True, text=True,
                                  env={**os.environ, "LC_ALL": "C"})
        except FileNotFoundError as error:
            raise NoPackage(f"{program} is missing: this build needs Debian's apt") from error

    def _use_own_lists(self) -> None:
        root = self._cache / "apt"
        for name in ("state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for setting in (f"Dir::State={root / 'state'}", f"Dir::State::lists={root / 'state/lists'}",
                        f"Dir::Cache={root / 'cache'}",
                        "Dir::State::status=/var/lib/dpkg/status"):
            self._options += ["-o", setting]
        self._own_lists = True

    def _update_own_lists(self) -> None:
        self._say("the machine's package lists do not know the kernel; fetching our own")
        done = self._run("apt-get", "update", "-q")
        if done.returncode != 0:
            self._say(f"apt-get update: {done.stderr.strip()[-300:]}")

    def record(self, name: str, version: str | None = None) -> dict[str, str]:
        wanted = f"{name}={version}" if version else name
        done = self._run("apt-cache", "show", "--no-all-versions", wanted)
        if not done.stdout.strip() and not self._own_lists:
            self._use_own_lists()  # perhaps an earlier build has fetched them
            done = self._run("apt-cache", "show", "--no-all-versions", wanted)
            if not done.stdout.strip():
                self._update_own_lists()
                done = self._run("apt-cache", "show", "--no-all-versions", wanted)
        fields = parse_record(done.stdout)
        if not {"Package", "Version", "Size", "SHA256"} <= fields.keys():
            raise NoPackage(
                f"apt knows no package {wanted} with size and hash. Run `apt-get update` as root,"
                " or check that /etc/apt names a Debian 12 mirror (main) that can be reached.")
        return fields

    def download(self, package: Package, folder: Path) -> None:
        done = self._run("apt-get", "download", "-q", f"{package.name}={package.version}",
                         folder=folder)
        if done.returncode != 0:
            raise NoPackage(
                f"apt-get cannot download {package.name} {package.version}:"
                f" {done.stderr.strip()[-300:]}\nIf the file is gone from the mirror, the package"
                " lists are old: run `apt-get update` as root (and remove the folder apt of the"
                " cache, if there is one), and try again.")


def find_kernel(apt: Apt, name: str) -> Package:
    """The package that holds the kernel: `name` itself, or what that metapackage depends on."""
    fields = apt.record(name)
    if not CONCRETE_KERNEL.match(name):
        for dependency in fields.get("Depends", "").split(","):
            match = KERNEL_DEPENDENCY.match(dependency.strip())
            if match:
                fields = apt.record(match[1], match[2])
                break
        else:
            raise NoPackage(f"{name} depends on no linux-image package")
    return Package(fields["Package"], fields["Version"], int(fields["Size"]), fields["SHA256"])


def _matches(path: Path, package: Package) -> bool:
    try:
        if path.stat().st_size != package.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == package.sha256
    except FileNotFoundError:
        return False


def fetch(apt: Apt, package: Package, cache: Path, say) -> Path:
    """The package's file in the cache; downloaded if it is not there or not what it should be."""
    kept = cache / package.file_name
    if _matches(kept, package):
        say(f"{package.file_name} is in the cache")
        return kept
    say(f"downloading {package.file_name}, {package.size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
        apt.download(package, Path(folder))
        files = list(Path(folder).glob("*.deb"))
        if len(files) != 1 or not _matches(files[0], package):
            raise NoPackage(f"what apt downloaded is not {package.name} {package.version} with"
                            f" SHA-256 {package.sha256}")
        files[0].replace(kept)
    return kept
