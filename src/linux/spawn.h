#pragma once

// The small system calls around starting a child: pipes, posix_spawn, reading what it wrote.

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "env/process.h"
#include "linux/descriptor.h"

namespace blixard::linux_side {

struct Pipe {
  Fd read_end;  // non-blocking
  Fd write_end;
};
Result<Pipe> make_pipe();

// Errors: kInvalidArgument "spawn_invalid".
Result<void> check_spec(const env::SpawnSpec& spec);

// Starts the launcher with /dev/null as input, `output` (or /dev/null, if negative) as output and
// `status` on kStatusFd. Blocks until it runs. Gives the pid.
Result<std::int64_t> spawn_launcher(const Fd& launcher, const std::vector<std::string>& arguments,
                                    int output, int status);

// Kills and reaps a child that cannot be watched.
void discard_child(std::int64_t pid);

env::ExitStatus exit_status_of(const siginfo_t& info);

// Reads once; keeps at most `output_max` bytes in all and drops the rest. False at the end of the
// stream, with errno 0, and on an error (EAGAIN: nothing there now).
bool read_some_output(int fd, std::string& text, std::size_t output_max);

// `name` as an absolute path; with a slash it is taken as it is. Errors: kNotFound
// "program_missing".
Result<std::string> find_in_path(const std::string& name, const std::string& search_path);

}  // namespace blixard::linux_side
