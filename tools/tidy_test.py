#!/usr/bin/env python3
"""That .clang-tidy finds the faults of the review's checklist that a tool can find."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIDY = shutil.which("clang-tidy-19")

# Each with the check that has to name it, and beside it how it is written right.
FAULTS = {
    "performance-for-range-copy": (
        "std::size_t f(const Names& names) { std::size_t n = 0; for (auto name : names) "
        "n += name.size(); return n; }",
        "std::size_t f(const Names& names) { std::size_t n = 0; for (const auto& name : names) "
        "n += name.size(); return n; }",
    ),
    "performance-unnecessary-copy-initialization": (
        "bool f(const Vm& vm) { const std::string name = vm.name(); return name.empty(); }",
        "bool f(const Vm& vm) { const std::string& name = vm.name(); return name.empty(); }",
    ),
    "performance-inefficient-vector-operation": (
        "Names f(const std::vector<std::string>& names) { std::vector<std::string> all; "
        "for (const auto& name : names) "
        "all.push_back(name); return all; }",
        "Names f(const std::vector<std::string>& names) { std::vector<std::string> all; "
        "all.reserve(names.size()); "
        "for (const auto& name : names) all.push_back(name); return all; }",
    ),
    "performance-inefficient-string-concatenation": (
        "std::string f(const Names& names) { std::string all; for (const auto& name : names) "
        'all = all + name + ","; return all; }',
        "std::string f(const Names& names) { std::string all; for (const auto& name : names) "
        'all.append(name).append(","); return all; }',
    ),
    "performance-move-const-arg": (
        "std::string f(const std::string& name) { return std::move(name); }",
        "std::string f(std::string name) { return name; }",
    ),
    "performance-no-automatic-move": (
        "Owned f(int) { const std::string text = long_text(); return text; }",
        "Owned f(int) { std::string text = long_text(); return text; }",
    ),
}

COROUTINE = "Task f(std::string name) { co_await std::suspend_always{}; look(name.size()); }"

BEFORE = """
#include <coroutine>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>
using Names = std::vector<std::string>;
class Vm {
 public:
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
};
struct Owned {
  Owned(std::string&& text);       // NOLINT(google-explicit-constructor)
  Owned(const std::string& text);  // NOLINT(google-explicit-constructor)
};
std::string long_text();
void look(std::size_t size);
struct Task {
  struct promise_type {  // NOLINT(readability-identifier-naming)
    Task get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
  };
};
"""


def checks_that_speak(samples: dict[str, str]) -> set[str]:
    """Those that speak of the sample they are to find, each in a namespace of its own."""
    text = BEFORE
    for number, code in enumerate(samples.values()):
        text += f"namespace sample_{number} {{\n{code}\n}}\n"
    lines = {}
    for number, line in enumerate(text.splitlines(), 1):
        for i, check in enumerate(samples):
            if line == f"namespace sample_{i} {{":
                lines[number + 1] = check
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "sample.cc"
        file.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [TIDY, "--quiet", f"--config-file={ROOT}/.clang-tidy", file, "--", "-std=c++23"],
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.findall(r"sample\.cc:(\d+):\d+: \w+: .*\[([a-z-]+)[,\]]", done.stdout)
    for line, check in found:
        if lines.get(int(line)) != check:
            raise AssertionError(done.stdout)
    return {check for _, check in found}


@unittest.skipUnless(TIDY, "there is no clang-tidy-19")
class TidyTest(unittest.TestCase):
    def test_each_fault_is_named_and_its_cure_is_not(self):
        faults = {check: fault for check, (fault, _) in FAULTS.items()}
        self.assertEqual(checks_that_speak(faults), set(FAULTS))
        cures = {check: cure for check, (_, cure) in FAULTS.items()}
        # What a coroutine is given must live until it ends, so it takes copies.
        cures["coroutine"] = COROUTINE
        self.assertEqual(checks_that_speak(cures), set())


if __name__ == "__main__":
    unittest.main()
