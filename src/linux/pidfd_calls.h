#pragma once

// pidfds. By system call number, because the C library's header (2.36) gives these functions C++
// linkage, which nothing then defines.

#include <sys/syscall.h>
#include <unistd.h>

#include "linux/descriptor.h"

namespace blixard::linux_side {

inline Fd open_pidfd(pid_t pid) { return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

// Like kill(2), but of exactly the process the descriptor was opened for.
inline int signal_pidfd(int pidfd, int number) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0));
}

}  // namespace blixard::linux_side
