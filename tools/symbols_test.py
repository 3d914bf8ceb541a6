#!/usr/bin/env python3
"""symbols.py on recorded output of nm and objdump, and on archives made by the compiler here."""

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

DISASSEMBLED = """
lib/libblx_node_x.a(map.cc.o):\tfile format elf64-x86-64

0000000000000000 <_ZNK6google8protobuf3MapImmE8InnerMap4SeedEv>:
       0:      \trdtsc
       2:      \tshlq\t$0x20, %rdx
       6:      \tcallq\t0x6 <rdtsc>

libm.cc.o:     file format elf64-x86-64

   0:\tsyscall
   2:\tmovq   %rdi,%rdx
   4:\tint    $0x80
"""

COMPILER = shutil.which("clang++-19") or shutil.which("c++")


class SymbolsTest(unittest.TestCase):
    def test_recorded_output(self):
        found = [(use.object, use.symbol) for use in symbols.parse(RECORDED, "libblx_core_x.a")]
        expected = ["clock_gettime@GLIBC_2.17", "open", "pthread_mutex_lock"]
        self.assertEqual(found, [("term.cc.o", symbol) for symbol in expected])

    def test_what_is_allowed(self):
        both = "x.o:\n U pthread_once@GLIBC_2.34\n U pthread_create\n"
        for library, left in [
            ("libblx_node_api.a", ["pthread_create"]),
            ("libblx_node.a", ["pthread_once@GLIBC_2.34", "pthread_create"]),
        ]:
            self.assertEqual([use.symbol for use in symbols.parse(both, library)], left)
        for (library, symbol), why in symbols.ALLOWED.items():
            self.assertIsNotNone(symbols.reaches(symbol), f"{symbol} needs no leave")
            self.assertTrue(symbols.is_allowed(f"libblx_{library}.a", symbol) and why)

    def test_instructions(self):
        uses = symbols.parse_instructions(DISASSEMBLED, "libblx_node_x.a")
        self.assertEqual(
            [(use.object, use.symbol.split()[0]) for use in uses],
            [("map.cc.o", "rdtsc"), ("libm.cc.o", "syscall"), ("libm.cc.o", "int")],
        )

    def test_what_is_banned(self):
        for symbol in [
            "clock_gettime", "time", "socket", "open", "open64", "openat", "fopen", "pthread_once",
            "getrandom", "getentropy", "rand", "getenv", "secure_getenv", "read", "pwrite64",
            "_ZNSt6chrono3_V212steady_clock3nowEv", "_ZNSt6chrono3_V212system_clock3nowEv",
            "_ZNSt13random_device7_M_finiEv", "_ZNSt6thread4joinEv", "posix_spawn", "nanosleep",
            "fork", "execve", "execlp", "wait", "connect", "sendmmsg", "recvfrom", "fread", "fsync",
            "__fxstat64", "dup3", "pipe2", "fstat", "puts", "printf", "vfprintf", "__printf_chk",
            "_ZSt4cout", "_ZSt4cerr", "_ZN3fmt2v96vprintEP8_IO_FILENS0_17basic_string_viewIcEE",
            "_ZNSt14basic_ifstreamIcSt11char_traitsIcEEC1EPKcSt13_Ios_Openmode", "getpid", "clone",
            "_ZNSt10filesystem6statusERKNS_7__cxx114pathE", "_ZNSt6localeC1EPKc", "drand48",
            "_ZNSt11this_thread11__sleep_forE", "sysconf", "syscall", "arc4random_uniform",
            "_ZN6google8protobuf2io15FileInputStreamC1Eii", "dlopen", "pthread_create",
        ]:  # fmt: skip
            self.assertIsNotNone(symbols.reaches(symbol), symbol)
        for symbol in [
            "memcpy", "_Znwm", "abort", "snprintf", "stderr", "_ZNSt8ios_base4InitC1Ev",
            "timespec_of", "reopen", "XXH3_64bits",
            "vsnprintf", "__cxa_thread_atexit", "_ZNSt6localeC1Ev", "strerror_r", "gmtime_r",
            "_ZN7blixard3env5Clock3nowEv", "strtol", "_ZNSt6vectorIiE4readEv", "operation",
        ]:  # fmt: skip
            self.assertIsNone(symbols.reaches(symbol), symbol)

    @unittest.skipIf(COMPILER is None or shutil.which("ar") is None, "no compiler here")
    def test_archives(self):
        with tempfile.TemporaryDirectory() as folder:
            build = pathlib.Path(folder)
            self.assertEqual(self.check(build)[0], 1, "nothing to check is a failure")
            for name in symbols.SIMULATED:
                self.assertEqual(self.check(build)[0], 1, f"nothing of {name} is a failure")
                archive = f"lib/libblx_{name.replace('*', 'a')}.a"
                self.archive(build, archive, "int f() { return 1; }")
            self.assertEqual(self.check(build)[0], 0)
            text = "#include <cstdlib>\nchar* g() { return getenv(\"A\"); }"
            self.archive(build, "lib/libblx_linux.a", text)
            self.assertEqual(self.check(build)[0], 0, "the world is for linux/")
            for name, code, what in [
                ("core_c", "#include <chrono>\nauto a = std::chrono::steady_clock::now();",
                 "the clock"),
                ("node_b", text, "the environment"),
                ("sim", "#include <thread>\nvoid g() { std::thread([] {}).join(); }", "a thread"),
                ("vopr", "#include <random>\nauto g() { return std::random_device()(); }",
                 "a random source"),
                ("node", "#include <fstream>\nvoid g() { std::ifstream(\"a\").get(); }", "a file"),
                ("env", "#include <cstdio>\nint g() { return puts(\"a\"); }", "standard output"),
                ("base", "unsigned long long g() { return __builtin_ia32_rdtsc(); }", "clock"),
            ]:  # fmt: skip
                archive = f"lib/libblx_{name}.a"
                self.archive(build, archive, code)
                status, output = self.check(build)
                self.assertEqual(status, 1, name)
                self.assertRegex(output, rf"libblx_{name}\.a\(x\.o\): \S+ reaches .*{what}")
                (build / archive).unlink()
                self.archive(build, archive, "int f() { return 1; }")

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
