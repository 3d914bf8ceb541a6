#!/usr/bin/env python3
"""What runs in simulation must not reach the operating system: no clock, socket, file, thread,
process, random source or environment, other than through env/. The layering check sees what a file
includes; this one sees what the compiler made of it, through headers of others as well.

Looks at the undefined symbols of the libraries that blixard-vopr simulates with, and at their
instructions: a clock can be read without a symbol, as protobuf's maps do to seed their hash.
Weak symbols are allowed: they only ask whether somebody else linked the thing. What the shared
libraries of others do inside is not seen, only what is called in them.
"""

import argparse
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Iterator, Optional

# Libraries below a build folder. Of each there must be one.
SIMULATED = [
    "base", "observe", "env", "proto", "core_*", "linearizability", "node", "node_*", "sim",
    "sim_*", "vopr",
]  # fmt: skip

# Symbol (without version), by what it reaches. Matched as a whole.
BANNED = [
    (r"(__)?clock_(gettime|getres|nanosleep)|gettimeofday|time|timespec_get|ftime", "the clock"),
    (r"times|clock|getrusage|nanosleep|usleep|sleep|alarm|timerfd_\w+|timer_\w+", "the clock"),
    (r"_ZNSt6chrono3_V2\d+\w+_clock3nowEv|_ZN5boost6chrono\w*|_ZN4absl\w*3NowEv", "the clock"),
    (r"localtime(_r)?|gmtime|mktime|tzset", "the time zone"),
    (r"socket(pair)?|connect|bind|listen|accept4?", "the network"),
    (r"send(to|m?msg)?|recv(from|m?msg)?", "the network"),
    (r"getaddrinfo|gethost\w+|poll|ppoll|select|pselect|epoll_\w+|eventfd", "the network"),
    (r"if_nametoindex|getifaddrs|_ZN5boost4asio\w*", "the network"),
    (r"(open|openat|creat|fopen|freopen|fdopen)(64)?|__open(at)?(64)?_2|memfd_create", "a file"),
    (r"p?readv?(64)?|p?writev?(64)?|mmap(64)?|unlink(at)?|rename(at2?)?|[fl]?stat(64)?", "a file"),
    (r"fread|fgets|getc|getline|fstatat(64)?|__[fl]?xstat(64)?|statx|ioctl|fcntl(64)?", "a file"),
    (r"ftruncate(64)?|f(data)?sync|fallocate(64)?|mkdir(at)?|rmdir|opendir|readdir(64)?", "a file"),
    (r"io_uring_\w+|inotify_\w+|pipe2?|dup[23]?|flock|sendfile(64)?|tmpfile|mkstemp\w*", "a file"),
    (r"dlopen|dlsym|isatty|getcwd|chdir|access|remove|shm_open|link(at)?|symlink(at)?", "a file"),
    (r"_ZNSt(13basic_filebuf|14basic_[io]fstream|13basic_fstream)\w*", "a file"),
    (r"_ZNK?St10filesystem\w*|_ZN5boost10filesystem\w*", "a file"),
    (r"_ZN6google8protobuf2io\d+(File|[IO]stream)(In|Out)putStream\w*", "a file"),
    (r"[vf]*printf|__[vf]*printf_chk|f?puts|f?putc|putchar|fwrite|fflush", "standard output"),
    (r"_ZSt[34]w?(cout|cerr|clog|cin)|_ZN3fmt\w+(v?print)\w*8_IO_FILE\w*", "standard output"),
    (r"pthread_\w+|thrd_\w+|mtx_\w+|sem_\w+|sched_\w+|__once_proxy|gettid", "a thread"),
    (r"_ZNSt6thread\w*|_ZNSt18condition_variable\w*|_ZNSt13__future_base\w*", "a thread"),
    (r"_ZN5boost6thread\w*|_ZNSt11this_thread\w*", "a thread"),
    (r"v?fork|clone3?|f?execv?[lpe]*|posix_spawnp?|system|popen|kill|wait(pid|id)?", "a process"),
    (r"getp?pid|signal|sigaction|raise|syscall|prctl|ptrace|_exit", "a process"),
    (r"getrandom|getentropy|s?rand(_r)?|s?random(_r)?", "a random source"),
    (r"[dlm]rand48|arc4random\w*", "a random source"),
    (r"_ZNSt13random_device\w*|_ZN5boost\w+13random_device\w*|RAND_\w+", "a random source"),
    (r"(secure_)?getenv|setenv|putenv|environ|__environ|setlocale", "the environment"),
    (r"sysconf|sysinfo|uname|get_nprocs\w*|_ZNSt6localeC[12]EPKc", "the environment"),
]
_BANNED = [(re.compile(pattern), what) for pattern, what in BANNED]
_WEAK = {"w", "v", "W", "V"}

# Library and symbol, and why it needs it.
ALLOWED = {
    ("base", "fprintf"): "an assertion says what was wrong before it aborts",
    ("env", "fputs"): "likewise, of what was thrown into a coroutine",
    ("env", "fwrite"): "what the compiler makes of that fputs",
    ("node_api", "pthread_once"): "protobuf fills in a descriptor at its first use; no one waits",
    ("node_api", "__once_proxy"): "likewise",
}

# Mnemonic and operands.
INSTRUCTION = re.compile(
    r"\t(rdtscp?|rdrand\w?|rdseed\w?|rdpid|syscall|sysenter|int\s+\$0x80|svc|mrs\s.*cnt\w*)\b", re.I
)


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


def is_allowed(library: str, symbol: str) -> bool:
    folder = library.removeprefix("libblx_").removesuffix(".a")
    return (folder, symbol.partition("@")[0]) in ALLOWED


def parse(output: str, library: str) -> Iterator[Use]:
    """Uses of banned symbols in the output of `nm --undefined-only` over an archive."""
    current = "?"
    for line in output.splitlines():
        fields = line.split()
        if len(fields) == 1 and line.endswith(":"):
            current = line[:-1]
        elif len(fields) == 2 and fields[0] not in _WEAK:
            what = reaches(fields[1])
            if what and not is_allowed(library, fields[1]):
                yield Use(library, current, fields[1], what)


def parse_instructions(output: str, library: str) -> Iterator[Use]:
    """Instructions that need no symbol, in the output of `objdump -d` over an archive."""
    current = "?"
    for line in output.splitlines():
        if line and not line[0].isspace() and ":" in line and "file format" in line:
            current = line.partition(":")[0].partition("(")[2].rstrip(")") or line.split(":")[0]
        elif found := INSTRUCTION.search(line):
            yield Use(library, current, found.group(1), "the processor's clock or the kernel")


def libraries(build: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
    """The archives, and which of SIMULATED are not there."""
    found: set[pathlib.Path] = set()
    missing = []
    for name in SIMULATED:
        archives = list(build.rglob(f"libblx_{name}.a"))
        found.update(archives)
        if not archives:
            missing.append(name)
    return sorted(found), missing


def tool(name: str) -> Optional[str]:
    return shutil.which(f"llvm-{name}-19") or shutil.which(f"llvm-{name}") or shutil.which(name)


def output_of(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise OSError(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", type=pathlib.Path, help="a build folder, as build/dev")
    options = parser.parse_args(arguments)
    nm, objdump = tool("nm"), tool("objdump")
    if nm is None or objdump is None:
        print("symbols: no nm or objdump on this machine; ./do setup installs them")
        return 1
    archives, missing = libraries(options.build)
    if missing:
        print(f"symbols: nothing of {', '.join(missing)} below {options.build}; build first")
        return 1
    uses: list[Use] = []
    try:
        for archive in archives:
            name = archive.name
            uses.extend(parse(output_of([nm, "--undefined-only", str(archive)]), name))
            command = [objdump, "--disassemble", "--no-show-raw-insn", str(archive)]
            uses.extend(parse_instructions(output_of(command), name))
    except OSError as error:
        print(f"symbols: {error}")
        return 1
    for use in uses:
        print(use)
    print(f"symbols: {len(archives)} libraries under simulation, {len(uses)} ways out")
    return 1 if uses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
