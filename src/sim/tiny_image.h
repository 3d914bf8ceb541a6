#pragma once

// The smallest folder that can be imported as an image.

#include <string>
#include <utility>

#include <fmt/format.h>

#include "env/env.h"
#include "env/task.h"

namespace blixard::sim {

// The image "tiny", with a kernel of a few bytes in one uncompressed block of zstd.
inline env::Task<Result<void>> write_image(env::Env env, std::string folder, std::string cmdline) {
  const std::string kernel = "kernel";
  std::string packed("\x28\xb5\x2f\xfd\x20", 5);
  packed += static_cast<char>(kernel.size());
  packed += static_cast<char>(kernel.size() << 3 | 1);
  packed += std::string(2, '\0') + kernel;
  BLX_CO_TRY(co_await env.disk.make_directory(folder));
  const std::string about = fmt::format(
      R"({{"format":1,"name":"tiny","architecture":"x86_64","kernel_version":"6.1","cmdline":"{}",)"
      R"("files":{{"initrd":{{"bytes":6}},"vmlinux.zst":{{"bytes":{},"unpacked_bytes":{}}}}}}})",
      cmdline, packed.size(), kernel.size());
  BLX_CO_TRY(co_await env.disk.replace_file(env::join_path(folder, "image.json"), about));
  BLX_CO_TRY(co_await env.disk.replace_file(env::join_path(folder, "initrd"), "initrd"));
  co_return co_await env.disk.replace_file(env::join_path(folder, "vmlinux.zst"), packed);
}

}  // namespace blixard::sim
