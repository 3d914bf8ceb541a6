#!/usr/bin/env python3
"""Builds the tiny guest image of Blixard from Debian's kernel package and our init program.

Needs no root, installs nothing and leaves the machine's own kernel alone. The same inputs give the
same bytes. The result is described in docs/formats/image.md.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import bzimage
import debian
import module_order
import newc

HERE = Path(__file__).resolve().parent
COMPILERS = ("clang-19", "clang")
COMPILE_FLAGS = (
    "-std=c17 -D_GNU_SOURCE -static -Os -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow"
    " -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror -ffunction-sections -fdata-sections"
    " -Wl,--gc-sections,--build-id=none,--strip-all"
).split()
# Level 12 costs 3 s and 10 MB, level 19 costs ten times that and saves 1 MB.
COMPRESS = ["zstd", "-q", "-12", "--single-thread", "-c"]
NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
EXAMPLES = """examples:
  tools/guest/build.py --output build/guest --cache build/guest-cache
  tools/guest/build.py --output out --name tiny-generic --kernel-package linux-image-amd64
  tools/guest/build.py --output out --init build/init"""


class BuildError(Exception):
    """The build cannot go on; the text says why and what to do."""


class Progress:
    """Lines on stderr, each with the seconds since the start."""

    def __init__(self):
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:5.1f} s] {text}", file=sys.stderr, flush=True)


def find_program(name: str, package: str) -> str:
    # depmod lives in sbin, which is not on the path of ordinary users.
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise BuildError(f"the program {name} is missing; install the package {package}")
    return found


def run(command: list[str], **options) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, check=False, **options)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done


def compile_init(work: Path) -> Path:
    sources = sorted(path.name for path in (HERE / "init").glob("*.c"))
    compiler = next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise BuildError("no compiler: install clang-19, or give a binary by --init")
    result = work / "init"
    run([compiler, *COMPILE_FLAGS, "-o", str(result), *sources], cwd=HERE / "init")
    return result


def read_init(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        raise BuildError(f"{path} is not an ELF program")
    return data


def unpack_package(package: Path, root: Path) -> str:
    """Unpacks the kernel and its modules below root; returns the kernel's version."""
    wanted = re.compile(
        r"^\./(boot/vmlinuz-[^/]+|lib/modules/[^/]+/(kernel/.*\.ko|modules\.[^/]+))$")
    with subprocess.Popen([find_program("dpkg-deb", "dpkg"), "--fsys-tarfile", str(package)],
                          stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                if member.isreg() and wanted.match(member.name) and ".." not in member.name:
                    target = root / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.extractfile(member) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
        process.stdout.read()
    if process.returncode != 0:
        raise BuildError(f"dpkg-deb cannot unpack {package}")
    versions = [path.name for path in (root / "lib/modules").glob("*")]
    if len(versions) != 1:
        raise BuildError(f"expected one kernel in {package.name}, found {versions}")
    return versions[0]


def choose_modules(root: Path, version: str) -> list[Path]:
    run([find_program("depmod", "kmod"), "-b", str(root), version])
    folder = root / "lib/modules" / version
    dependencies = module_order.parse_dependencies((folder / "modules.dep").read_text())
    builtin_list = (folder / "modules.builtin").read_text()
    builtin = {module_order.module_name(line) for line in builtin_list.splitlines()}
    return [folder / path for path in module_order.order(dependencies, builtin)]


def make_initrd(init: bytes, modules: list[Path]) -> bytes:
    order = "".join(f"{path.name}\n" for path in modules).encode()
    entries = [newc.folder(name) for name in ("dev", "lib", "lib/modules", "proc", "sys")]
    entries += [newc.file(f"lib/modules/{path.name}", path.read_bytes()) for path in modules]
    entries += [
        newc.file("lib/modules/order", order),
        newc.file("init", init, executable=True),
        newc.character_device("dev/console", 5, 1),  # the kernel opens it before init runs
    ]
    return newc.archive(entries)


def describe(name: str, version: str, files: dict[str, bytes], unpacked: int) -> bytes:
    about = {
        file: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for file, data in files.items()
    }
    about["vmlinux.zst"]["unpacked_bytes"] = unpacked
    image = {"format": 1, "name": name, "architecture": "x86_64", "kernel_version": version,
             "cmdline": "", "files": about}
    return (json.dumps(image, indent=2, sort_keys=True) + "\n").encode()


def store(output: Path, files: dict[str, bytes], image_json: bytes) -> bool:
    """Puts the image in place; False if it was there already, byte for byte.

    image.json is removed first and renamed into place last, so that whoever finds it finds the
    files it describes.
    """
    output.mkdir(parents=True, exist_ok=True)
    everything = {**files, "image.json": image_json}
    if all((output / name).is_file() and (output / name).read_bytes() == data
           for name, data in everything.items()):
        return False
    for name, data in everything.items():
        with (output / f".{name}.new").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    (output / "image.json").unlink(missing_ok=True)
    for name in everything:  # image.json is the last of them
        (output / f".{name}.new").replace(output / name)
    return True


def build(arguments: argparse.Namespace, say: Progress) -> None:
    cache = arguments.cache
    cache.mkdir(parents=True, exist_ok=True)
    apt = debian.Apt(cache, say)
    package = debian.find_kernel(apt, arguments.kernel_package)
    package_file = debian.fetch(apt, package, cache, say)
    with tempfile.TemporaryDirectory(prefix="blixard-guest-") as work_name:
        work = Path(work_name)
        init = read_init(arguments.init or compile_init(work))
        say(f"init has {len(init)} bytes")
        version = unpack_package(package_file, work)
        say(f"unpacked the package, kernel {version}")
        modules = choose_modules(work, version)
        say("modules: " + " ".join(path.name for path in modules))
        initrd = make_initrd(init, modules)
        kernel = bzimage.unpack((work / f"boot/vmlinuz-{version}").read_bytes())
    say(f"unpacked the kernel, {len(kernel) / 1e6:.1f} MB")
    find_program("zstd", "zstd")
    packed = run(COMPRESS, input=kernel).stdout
    files = {"initrd": initrd, "vmlinux.zst": packed}
    changed = store(arguments.output, files, describe(arguments.name, version, files, len(kernel)))
    total = len(initrd) + len(packed)
    say(f"{arguments.output}: {total / 1e6:.1f} MB" + ("" if changed else ", unchanged"))


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", metavar="DIR", type=Path, required=True,
                        help="where the image goes: vmlinux.zst, initrd, image.json")
    parser.add_argument("--name", default="tiny", help="the image's name (default: %(default)s)")
    parser.add_argument("--cache", metavar="DIR", type=Path,
                        default=Path.home() / ".cache/blixard/guest",
                        help="where the kernel package is kept (default: %(default)s)")
    parser.add_argument("--kernel-package", metavar="NAME", default="linux-image-cloud-amd64",
                        help="a linux-image metapackage or package (default: %(default)s)")
    parser.add_argument("--init", metavar="PATH", type=Path,
                        help="a static init program to use instead of compiling tools/guest/init")
    arguments = parser.parse_args(words)
    if not NAME.match(arguments.name):
        parser.error("--name: 1 to 63 of a-z 0-9 . - with a letter or digit at both ends")
    return arguments


def main() -> int:
    arguments = parse()
    try:
        build(arguments, Progress())
    except (BuildError, OSError, debian.NoPackage, bzimage.BadKernel,
            module_order.MissingModule) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
