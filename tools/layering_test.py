#!/usr/bin/env python3
"""Each rule of the layering table, violated once in a small tree, and kept once."""

import contextlib
import io
import pathlib
import sys
import tempfile
import tomllib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import layering

TABLE = pathlib.Path(__file__).resolve().parent / "layering.toml"

HEADERS = [
    "base/ids.h", "observe/metrics.h", "env/disk.h", "core/raft/core.h", "core/cluster/model.h",
    "core/sched/plan.h", "core/image/tree.h", "core/policy/policy.h", "core/wire/frame.h",
    "core/health/verdict.h", "node/node.h", "node/log/log.h", "node/peer/pool.h",
    "node/http/request.h", "node/vm/driver.h", "node/vm/qemu/qmp.h", "node/image/store.h",
    "node/replica/replica.h", "node/swarm/swarm.h", "node/placement/loop.h",
    "node/agent/agent.h", "node/api/handlers.h", "linux/disk.h", "sim/world.h", "app/command.h",
    "app/vopr_report.h",
]  # fmt: skip


class LayeringTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for header in HEADERS:
            self.write("src/" + header, "#pragma once\n")
        everything = "".join(f'#include "{header}"\n' for header in HEADERS if "app/" not in header)
        self.write("test/everything_test.cc", everything)
        programs = '#include "app/command.h"\n#include "app/vopr_report.h"\n'
        self.write("src/app/vopr_main.cc", programs)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def violations(self, table: str = "") -> list[str]:
        with TABLE.open("rb") as file:
            data = tomllib.load(file)
        if table:
            for name, entry in tomllib.loads(table)["folder"].items():
                data["folder"][name] = entry
        check = layering.Check(self.root, layering.Table(data))
        return [str(violation) for violation in check.run()]

    def assert_allowed(self, path: str, text: str) -> None:
        self.write(path, text)
        self.assertEqual(self.violations(), [])

    def assert_refused(self, path: str, text: str, line: int, rule: str) -> None:
        self.write(path, text)
        found = self.violations()
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{path}:{line}: "), found[0])
        self.assertIn(rule, found[0])
        rest = found[0].partition("; instead: ")[2]
        self.assertNotEqual(rest, "", "every violation says what to do instead")

    def test_headers_alone_are_clean(self):
        self.assertEqual(self.violations(), [])

    def test_folders_that_may_not_be_included(self):
        cases = [
            ("base/x.cc", "observe/metrics.h", "base may not include observe"),
            ("observe/x.cc", "env/disk.h", "observe may not include env"),
            ("env/x.cc", "core/raft/core.h", "env may not include core/raft"),
            ("core/raft/x.cc", "env/disk.h", "core/raft may not include env"),
            ("core/raft/x.cc", "observe/metrics.h", "core/raft may not include observe"),
            ("core/raft/x.cc", "core/cluster/model.h", "core/raft may not include core/cluster"),
            ("core/cluster/x.cc", "core/sched/plan.h", "core/cluster may not include core/sched"),
            ("core/sched/x.cc", "core/health/verdict.h", "core/sched may not include core/health"),
            ("core/wire/x.cc", "core/cluster/model.h", "core/wire may not include core/cluster"),
            ("core/image/x.cc", "node/image/store.h", "core/image may not include node/image"),
            ("node/log/x.cc", "node/peer/pool.h", "node/log may not include node/peer"),
            ("node/vm/x.cc", "node/agent/agent.h", "node/vm may not include node/agent"),
            ("node/vm/qemu/x.cc", "node/log/log.h", "node/vm may not include node/log"),
            ("node/http/x.cc", "node/api/handlers.h", "node/http may not include node/api"),
            ("node/image/x.cc", "node/log/log.h", "node/image may not include node/log"),
            ("node/replica/x.cc", "node/agent/agent.h", "node/replica may not include node/agent"),
            ("node/placement/x.cc", "node/agent/agent.h", "may not include node/agent"),
            ("node/agent/x.cc", "node/api/handlers.h", "node/agent may not include node/api"),
            ("node/api/x.cc", "node/vm/driver.h", "node/api may not include node/vm"),
            ("node/api/x.cc", "node/node.h", "node/api may not include node "),
            ("node/node.cc", "linux/disk.h", "node may not include linux"),
            ("node/log/x.cc", "linux/disk.h", "node/log may not include linux"),
            ("node/log/x.cc", "sim/world.h", "node/log may not include sim"),
            ("linux/x.cc", "core/raft/core.h", "linux may not include core/raft"),
            ("linux/x.cc", "node/node.h", "linux may not include node"),
            ("sim/x.cc", "linux/disk.h", "sim may not include linux"),
            ("sim/x.cc", "app/command.h", "sim may not include app"),
            ("app/x.cc", "sim/world.h", "app may not include sim"),
            ("linux/x_test.cc", "node/log/log.h", "linux may not include node/log"),
            ("core/raft/x_test.cc", "linux/disk.h", "core/raft may not include linux"),
        ]
        for path, header, rule in cases:
            with self.subTest(path=path, header=header):
                self.assert_refused("src/" + path, f'// Why.\n#include "{header}"\n', 2, rule)
                (self.root / "src" / path).unlink()

    def test_folders_that_may_be_included(self):
        cases = [
            ("core/sched/x.cc", "core/cluster/model.h"),
            ("core/wire/x.cc", "core/raft/core.h"),
            ("node/vm/x.cc", "node/vm/qemu/qmp.h"),
            ("node/vm/qemu/x.cc", "node/vm/driver.h"),
            ("node/replica/x.cc", "node/log/log.h"),
            ("node/placement/x.cc", "node/replica/replica.h"),
            ("node/placement/x.cc", "core/sched/plan.h"),
            ("node/agent/x.cc", "node/vm/driver.h"),
            ("node/agent/x.cc", "node/image/store.h"),
            ("node/api/x.cc", "node/http/request.h"),
            ("node/api/x.cc", "node/image/store.h"),
            ("node/node.cc", "node/agent/agent.h"),
            ("node/log/log_test.cc", "sim/world.h"),
            ("node/log/log_bench.cc", "linux/disk.h"),
            ("sim/x.cc", "node/node.h"),
            ("app/node_command.cc", "linux/disk.h"),
            ("app/vopr.cc", "sim/world.h"),
            ("app/vopr_shrink.cc", "app/vopr_report.h"),
        ]
        for path, header in cases:
            with self.subTest(path=path, header=header):
                self.assert_allowed("src/" + path, f'#include "{header}"\n')

    def test_whole_programs_under_test_see_everything_but_app(self):
        path = "test/e2e/x_test.cc"
        self.assert_allowed(path, '#include "sim/world.h"\n#include "linux/disk.h"\n')
        self.assert_refused(path, '#include "app/command.h"\n', 1, "test may not include app")

    def test_libraries(self):
        refused = [
            ("node/log/x.cc", "boost/asio.hpp", "asio"),
            ("node/vm/x.cc", "boost/asio/io_context.hpp", "asio"),
            ("node/log/x.cc", "unistd.h", "posix"),
            ("node/agent/x.cc", "sys/stat.h", "posix"),
            ("core/raft/x.cc", "google/protobuf/message.h", "protobuf"),
            ("core/raft/x.cc", "boost/unordered/unordered_flat_map.hpp", "flat_map"),
            ("core/sched/x.cc", "boost/json.hpp", "json"),
            ("env/x.cc", "fmt/core.h", "fmt"),
            ("node/api/x.cc", "boost/beast/http/parser.hpp", "beast"),
            ("node/api/x.cc", "CLI/CLI.hpp", "cli11"),
            ("node/log/x.cc", "spdlog/spdlog.h", "spdlog"),
            ("node/vm/x.cc", "openssl/ssl.h", "openssl"),
            ("core/raft/x.cc", "gtest/gtest.h", "test_library"),
        ]
        for path, header, library in refused:
            with self.subTest(path=path, header=header):
                rule = f"may not use {library}"
                self.assert_refused("src/" + path, f"#include <{header}>\n", 1, rule)
                (self.root / "src" / path).unlink()
        allowed = [
            ("node/vm/qemu/x.cc", "boost/json.hpp"),
            ("node/http/x.cc", "boost/beast/http/parser.hpp"),
            ("core/image/x.cc", "blake3.h"),
            ("linux/x.cc", "boost/asio/ip/tcp.hpp"),
            ("linux/x.cc", "sys/stat.h"),
            ("app/x.cc", "toml++/toml.h"),
            ("core/raft/x_test.cc", "gtest/gtest.h"),
            ("core/raft/x_bench.cc", "benchmark/benchmark.h"),
        ]
        for path, header in allowed:
            with self.subTest(path=path, header=header):
                self.assert_allowed("src/" + path, f"#include <{header}>\n")

    def test_headers_of_tests(self):
        self.write("src/core/raft/x_test.cc", '#include "core/raft/test_model.h"\n')
        self.assert_allowed("src/core/raft/test_model.h", "#include <gtest/gtest.h>\n")

    def test_generated_headers(self):
        include = '#include "blixard/v1/cluster.pb.h"\n'
        for folder in ("core/cluster", "core/wire", "node/replica", "node/api", "sim", "app"):
            self.assert_allowed(f"src/{folder}/x.cc", include)
        self.assert_refused("src/core/raft/x.cc", include, 1, "core/raft may not use protobuf")

    def test_banned_headers(self):
        headers = ["thread", "mutex", "random", "fstream", "filesystem", "atomic", "future"]
        for header in headers:
            with self.subTest(header=header):
                self.assert_refused("src/node/log/x.cc", f"#include <{header}>\n", 1, f"<{header}>")
                (self.root / "src/node/log/x.cc").unlink()
                self.assert_allowed("src/linux/x.cc", f"#include <{header}>\n")
        self.assert_allowed("src/observe/x.cc", "#include <atomic>\n")
        self.assert_refused("src/core/raft/x.cc", "#include <unordered_map>\n", 1, "unordered_map")

    def test_clocks(self):
        call = "#include <chrono>\n\nauto f() {\n  return std::chrono::steady_clock::now();\n}\n"
        self.assert_refused("src/node/log/x.cc", call, 4, "steady_clock")
        (self.root / "src/node/log/x.cc").unlink()
        self.assert_allowed("src/linux/x.cc", call)
        self.assert_allowed("src/node/log/x.cc", "auto g(env::Clock& c) { return c.now(); }\n")

    def test_words_in_comments_and_strings_do_not_count(self):
        text = (
            '// Not steady_clock::now().\n/* #include "env/disk.h"\n#include <thread> */\n'
            'const char* a = "system_clock";\nconst char* b = R"(\n#include <mutex>\n)";\n'
            "int c = 1'000'000;\n"
        )
        self.assert_allowed("src/core/raft/x.cc", text)

    def test_words_allowed_in_one_file(self):
        self.assert_allowed("src/base/name.cc", "thread_local int texts = 0;\n")
        self.assert_refused("src/base/ids.cc", "thread_local int texts = 0;\n", 1,
                            "base may not use thread_local")

    def test_other_calls(self):
        for call, folder in [
            ("getenv(a)", "linux"), ("std::this_thread::yield()", "linux"), ("srand(1)", "linux"),
        ]:  # fmt: skip
            with self.subTest(call=call):
                text = f"void f() {{ {call}; }}\n"
                self.assert_refused("src/core/raft/x.cc", text, 1, "may not use")
                (self.root / "src/core/raft/x.cc").unlink()
                self.assert_allowed(f"src/{folder}/x.cc", text)

    def test_header_that_does_not_exist(self):
        text = '\n#include "log.h"\n'
        self.assert_refused("src/node/log/x.cc", text, 2, "not a header below src/")

    def test_unknown_library_and_folder(self):
        text = "#include <folly/String.h>\n"
        self.assert_refused("src/node/log/x.cc", text, 1, "no library we know")
        (self.root / "src/node/log/x.cc").unlink()
        self.assert_refused("src/node/helpers/x.cc", "int a;\n", 1, "no entry in the table")

    def test_header_that_nothing_includes(self):
        self.assert_refused("src/base/x.h", "#pragma once\n", 1, "nothing includes this header")
        self.assert_allowed("src/base/x.cc", '#include "base/x.h"\n')

    def test_circle_of_headers(self):
        self.write("src/base/a.h", '#pragma once\n#include "base/b.h"\n')
        self.write("src/base/b.h", '#pragma once\n#include "base/a.h"\n')
        found = self.violations()
        self.assertEqual(len(found), 1, found)
        self.assertIn("base/a.h -> base/b.h -> base/a.h", found[0])

    def test_circle_in_the_table(self):
        found = self.violations('[folder."core/raft"]\nmay = ["core/wire"]\nlibraries = []\n')
        self.assertEqual(len(found), 1, found)
        self.assertIn("the table has a circle", found[0])

    def test_program_exits_1_and_counts(self):
        self.write("src/core/raft/x.cc", '#include "env/disk.h"\n')
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(layering.main(["--root", str(self.root)]), 1)
        self.assertIn("src/core/raft/x.cc:1: core/raft may not include env", output.getvalue())
        self.assertIn("1 violations", output.getvalue())


if __name__ == "__main__":
    unittest.main()
