#!/usr/bin/env python3
"""What failpoints cost in object code, with the compiler and flags of a release.

Compiles one function with no failpoint in it, and with one of each kind. In a build without
failpoints the object files must be the same, byte for byte. In a build with them, the way past a
site that is not armed must be one load with its test and one branch, on top of what is there anyway
and what keeps registers for the other way.

usage: object_code.py COMPILER SOURCE_DIRECTORY FLAGS...
"""

import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

# In the coroutine the error leaves by co_return, as everywhere.
HEAD = """
#include "env/failpoint.h"
namespace blixard {
struct World { env::Executor& executor; env::Clock& clock; };
"""
FUNCTIONS = {
    "BLX_FAILPOINT": (
        'BLX_FAILPOINT("test::read", kUnavailable, "io_error");',
        "Result<int> hot(int value) {\n  @\n  return value * 3;\n}\n",
    ),
    "BLX_FAILPOINT_FIRES": (
        'if (BLX_FAILPOINT_FIRES("test::forge")) value += 100;',
        "int hot(int value) {\n  @\n  return value * 3;\n}\n",
    ),
    "BLX_FAILPOINT_ERROR": (
        'if (auto error = BLX_FAILPOINT_ERROR("test::full", kResourceExhausted, "full")) '
        "return std::unexpected(*std::move(error));",
        "Result<int> hot(int value) {\n  @\n  return value * 3;\n}\n",
    ),
    "BLX_CO_FAILPOINT": (
        'BLX_CO_FAILPOINT(world, "test::waits", kUnavailable, "io_error");',
        "env::Task<Result<int>> hot([[maybe_unused]] World world, int value) {\n  @\n"
        "  co_return value * 3;\n}\n",
    ),
}


def compiled(compiler, flags, source, directory, site, function, built):
    """The object file of the function, with the site in it or nothing in its place."""
    path = directory / "probe.cc"  # always the same name: it is in the object file
    path.write_text(HEAD + function.replace("@", site) + "}  // namespace blixard\n")
    output = directory / "probe.o"
    define = ["-DBLX_FAILPOINTS"] if built else []
    subprocess.run(
        [compiler, "-std=c++23", "-fPIC", *flags, "-g0", *define, f"-I{source}/src",
         "-c", path.name, "-o", output.name],
        check=True, cwd=directory,
    )
    return output.read_bytes()


def instructions(directory, name):
    """Of the function, in order, without the padding behind it."""
    (directory / "listed.o").write_bytes(name)
    text = subprocess.run(
        ["llvm-objdump-19", "-d", "-r", "--no-show-raw-insn", "listed.o"],
        check=True, cwd=directory, capture_output=True, text=True,
    ).stdout
    body = re.search(r"<_ZN7blixard3hotE[^>]*>:\n(.*?)(?:\n\n|\Z)", text, re.S)
    lines = re.findall(r"^ +[0-9a-f]+:\s+(\S.*)$", body.group(1), re.M)
    lines = [" ".join(line.split("#")[0].split()) for line in lines]
    return [line for line in lines if not line.startswith(("nop", "int3"))]


def way_past(listed):
    """How many instructions run when no branch that leads to the armed case is taken."""
    for at, line in enumerate(listed):
        if line.startswith("ret"):
            return listed[: at + 1]
    return listed


def main():
    compiler, source, *flags = sys.argv[1:]
    flags = [flag for word in flags for flag in word.split()]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        for macro, (site, function) in FUNCTIONS.items():
            bare = compiled(compiler, flags, source, directory, "", function, False)
            without = compiled(compiler, flags, source, directory, site, function, False)
            same = bare == without
            failed += not same
            digests = [hashlib.sha256(code).hexdigest()[:16] for code in (bare, without)]
            print(f"{macro}: {len(bare)} bytes without the site, {len(without)} with it, "
                  f"sha256 {' and '.join(digests)}: {'the same' if same else 'NOT THE SAME'}")
            built = compiled(compiler, flags, source, directory, site, function, True)
            if built == without:
                print(f"{macro}: a build with failpoints has none either")
                failed += 1
            if "co_return" in function:
                continue  # its parts are many functions; the check in them is the same
            before = way_past(instructions(directory, without))
            after = way_past(instructions(directory, built))
            more = len(after) - len(before)
            loads = [line for line in after if "(%rip)" in line]
            branches = [line for line in after if re.match(r"j[a-z]+\s", line)]
            frame = [line for line in after if re.match(r"(push|pop|mov|sub|add)q", line)]
            print(f"{macro}: {len(before)} instructions; {len(after)} past a site that is not "
                  f"armed, of which {len(frame)} keep registers: {'; '.join(after)}")
            # The load, its test and the branch; the rest keeps registers for the armed case.
            if more - len(frame) > 4 or len(loads) != 1 or len(branches) != 1:
                print(f"{macro}: more than one load and one branch")
                failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
