#pragma once

// env::Machine from /proc, /sys and uname.

#include "env/machine.h"
#include "env/process.h"
#include "linux/pool.h"

namespace blixard::linux_side {

class Clock;

class Machine final : public env::Machine {
 public:
  Machine(Clock& clock, Pool& pool, env::Process& process);

  [[nodiscard]] const env::MachineFacts& facts() const override { return facts_; }
  env::Task<Result<env::KvmReport>> probe_kvm() override;
  env::Task<Result<std::uint64_t>> measure_tsc_khz() override;
  double load_average() override;
  Bytes memory_available() override;
  env::ProgramUsage program_usage() override;

 private:
  Clock& clock_;
  Pool& pool_;
  env::Process& process_;
  env::MachineFacts facts_;
};

}  // namespace blixard::linux_side
