#!/usr/bin/env python3
"""symbols.py on recorded output of nm, and on archives made by the compiler here."""

import contextlib
import io
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import symbols

RECORDED = """
quorum.cc.o:
                 U _ZN7blixard4base11assert_failEPKc
                 U memcpy
                 w pthread_key_create
                 v getenv

term.cc.o:
                 U clock_gettime@GLIBC_2.17
                 U open
                 U my_open
                 U pthread_mutex_lock
"""

COMPILER = shutil.which("clang++-19") or shutil.which("c++")


class SymbolsTest(unittest.TestCase):
    def test_recorded_output(self):
        found = [(use.object, use.symbol) for use in symbols.parse(RECORDED, "libblx_core_x.a")]
        expected = ["clock_gettime@GLIBC_2.17", "open", "pthread_mutex_lock"]
        self.assertEqual(found, [("term.cc.o", symbol) for symbol in expected])

    def test_what_is_banned(self):
        for symbol in [
            "clock_gettime", "time", "socket", "open", "open64", "openat", "fopen", "pthread_once",
            "getrandom", "getentropy", "rand", "getenv", "secure_getenv", "read", "pwrite64",
            "_ZNSt6chrono3_V212steady_clock3nowEv", "_ZNSt6chrono3_V212system_clock3nowEv",
            "_ZNSt13random_device7_M_finiEv", "_ZNSt6thread4joinEv", "posix_spawn", "nanosleep",
        ]:  # fmt: skip
            self.assertIsNotNone(symbols.reaches(symbol), symbol)
        for symbol in [
            "memcpy", "_Znwm", "abort", "fwrite", "stderr", "timespec_of", "reopen", "XXH3_64bits",
            "_ZN7blixard3env5Clock3nowEv", "strtol", "_ZNSt6vectorIiE4readEv", "operation",
        ]:  # fmt: skip
            self.assertIsNone(symbols.reaches(symbol), symbol)

    @unittest.skipIf(COMPILER is None or shutil.which("ar") is None, "no compiler here")
    def test_archives(self):
        with tempfile.TemporaryDirectory() as folder:
            build = pathlib.Path(folder)
            self.assertEqual(self.check(build)[0], 1, "nothing to check is a failure")
            self.archive(build, "libblx_core_a.a", "int f(int a) { return a + 1; }")
            self.assertEqual(self.check(build)[0], 0)
            text = "#include <cstdlib>\nchar* g() { return getenv(nullptr); }"
            self.archive(build, "libblx_node_b.a", text)
            self.assertEqual(self.check(build)[0], 0, "only the core libraries are pure")
            self.archive(
                build, "lib/libblx_core_c.a",
                "#include <chrono>\nauto g() { return std::chrono::steady_clock::now(); }",
            )  # fmt: skip
            code, output = self.check(build)
            self.assertEqual(code, 1)
            self.assertIn("libblx_core_c.a(x.o)", output)
            self.assertIn("reaches the clock", output)

    def archive(self, build: pathlib.Path, name: str, code: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "x.cc")
            source.write_text(code)
            compiled = source.with_suffix(".o")
            subprocess.run([COMPILER, "-std=c++20", "-c", source, "-o", compiled], check=True)
            (build / name).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["ar", "rc", build / name, compiled], check=True)

    def check(self, build: pathlib.Path) -> tuple[int, str]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = symbols.main([str(build)])
        return code, output.getvalue()


if __name__ == "__main__":
    unittest.main()
