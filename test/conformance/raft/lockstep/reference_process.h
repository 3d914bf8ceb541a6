#pragma once

// The reference as a program at the other end of two pipes: built from the installed package when
// it is not built yet, then fed with inputs and read for answers.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "test/conformance/raft/lockstep/protocol.h"

namespace blixard::raft::lockstep {

// Builds it into `directory`, offline. Errors: kUnimplemented "reference_absent" where Go or the
// package is not installed; kInternal "reference_build" with the compiler's words.
Result<std::string> build_reference(const std::string& directory);

class ReferenceProcess {
 public:
  static Result<ReferenceProcess> start(const std::string& program);
  ReferenceProcess(ReferenceProcess&& other) noexcept;
  ReferenceProcess& operator=(ReferenceProcess&&) = delete;
  ~ReferenceProcess();

  void world(const Settings& settings);
  void input(const Input& input);
  // Sends what was said. False: it is gone.
  bool flush();
  // The next answers. False: it is gone, or said nothing for a minute.
  bool digests(std::vector<std::uint64_t>& out, std::size_t count);
  bool text(std::string& out);

 private:
  ReferenceProcess(int pid, int to, int from) : pid_(pid), to_(to), from_(from) {}
  bool read_all(void* to, std::size_t bytes);
  void put(std::uint64_t word);

  int pid_;
  int to_;
  int from_;
  std::string out_;
};

}  // namespace blixard::raft::lockstep
