#!/usr/bin/env python3
"""The core libraries must not reach the operating system: no clock, socket, file, thread, random
source or environment. The layering check sees what a file includes; this one sees what the compiler
made of it, through headers of others as well.

Looks at the undefined symbols of every libblx_core_*.a below a build folder. Weak ones are allowed:
they only ask whether somebody else linked the thing.
"""

import argparse
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Iterator, Optional

# Symbol (without version), by what it reaches. Matched as a whole.
BANNED = [
    (r"(__)?clock_(gettime|getres|nanosleep)|gettimeofday|time|ftime|times|clock", "the clock"),
    (r"nanosleep|usleep|sleep|alarm|timerfd_\w+|timer_\w+", "the clock"),
    (r"_ZNSt6chrono3_V2\d+(steady|system)_clock3nowEv", "the clock"),
    (r"localtime(_r)?|gmtime|mktime|tzset", "the time zone"),
    (r"socket(pair)?|connect|bind|listen|accept4?|send(to|msg)?|recv(from|msg)?", "the network"),
    (r"getaddrinfo|gethostby\w+|poll|ppoll|select|pselect|epoll_\w+|eventfd", "the network"),
    (r"(open|openat|creat|fopen|freopen)(64)?|__open(at)?(64)?_2", "a file"),
    (r"p?readv?(64)?|p?writev?(64)?|mmap(64)?|unlink(at)?|rename(at2?)?|stat(64)?", "a file"),
    (r"_ZNSt(13basic_filebuf|14basic_[io]fstream)\w*", "a file"),
    (r"_ZNSt10filesystem\w*", "a file"),
    (r"pthread_\w+|thrd_\w+|mtx_\w+|_ZNSt6thread\w*|_ZNSt18condition_variable\w*", "a thread"),
    (r"fork|vfork|execv?p?e?|posix_spawnp?|system|popen|kill|waitpid|waitid", "a process"),
    (r"getrandom|getentropy|s?rand(_r)?|s?random|arc4random\w*", "a random source"),
    (r"_ZNSt13random_device\w*", "a random source"),
    (r"(secure_)?getenv|setenv|putenv", "the environment"),
]
_BANNED = [(re.compile(pattern), what) for pattern, what in BANNED]
_WEAK = {"w", "v", "W", "V"}


@dataclasses.dataclass(frozen=True)
class Use:
    library: str
    object: str
    symbol: str
    reaches: str

    def __str__(self) -> str:
        return (
            f"{self.library}({self.object}): {self.symbol} reaches {self.reaches}; instead: take "
            "the value as an input of the pure function, and touch the world in node/ through env/"
        )


def reaches(symbol: str) -> Optional[str]:
    name = symbol.partition("@")[0]
    return next((what for pattern, what in _BANNED if pattern.fullmatch(name)), None)


def parse(output: str, library: str) -> Iterator[Use]:
    """Uses of banned symbols in the output of `nm --undefined-only` over an archive."""
    current = "?"
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 1 and line.endswith(":"):
            current = line[:-1]
        elif len(fields) == 2 and fields[0] not in _WEAK:
            what = reaches(fields[1])
            if what:
                yield Use(library, current, fields[1], what)


def libraries(build: pathlib.Path) -> list[pathlib.Path]:
    return sorted(build.rglob("libblx_core_*.a"))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", type=pathlib.Path, help="a build folder, as build/dev")
    options = parser.parse_args(arguments)
    nm = shutil.which("llvm-nm-19") or shutil.which("llvm-nm") or shutil.which("nm")
    if nm is None:
        print("symbols: no nm on this machine; ./do setup installs one")
        return 1
    archives = libraries(options.build)
    if not archives:
        print(f"symbols: no libblx_core_*.a below {options.build}; build first")
        return 1
    uses: list[Use] = []
    for archive in archives:
        command = [nm, "--undefined-only", str(archive)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            print(f"symbols: {' '.join(command)} failed: {result.stderr.strip()}")
            return 1
        uses.extend(parse(result.stdout, archive.name))
    for use in uses:
        print(use)
    print(f"symbols: {len(archives)} core libraries, {len(uses)} banned symbols")
    return 1 if uses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
