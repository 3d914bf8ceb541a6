#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "linux/descriptor.h"
#include "linux/kvm_probe.h"

namespace blixard::linux_side {
namespace {

// The guest: 2 MiB of memory, its page tables and its code.
constexpr std::size_t kMemoryBytes = std::size_t{2} << 20;
constexpr std::uint64_t kTopTable = 0x1000;
constexpr std::uint64_t kMiddleTable = 0x2000;
constexpr std::uint64_t kLowTable = 0x3000;
constexpr std::uint64_t kCode = 0x8000;
constexpr std::uint64_t kStackEnd = 0x10000;
constexpr std::uint64_t kPresentWritable = 0x3;
constexpr std::uint64_t kLargePage = 0x80;

constexpr std::uint64_t kCr0Protected = 1u << 0;
constexpr std::uint64_t kCr0Paging = 1u << 31;
constexpr std::uint64_t kCr4Pae = 1u << 5;
constexpr std::uint64_t kEferLongMode = (1u << 8) | (1u << 10);

constexpr std::uint16_t kDonePort = 0x10;

// mov al,1; out 0x10,al: the same bytes in every mode.
constexpr std::array<std::uint8_t, 4> kRealModeCode{0xb0, 0x01, 0xe6, kDonePort};
// mov ecx,100000; dec ecx; jnz -2; mov al,2; out 0x10,al.
constexpr std::array<std::uint8_t, 13> kLoopCode{0xb9, 0xa0, 0x86, 0x01, 0x00, 0xff,     0xc9,
                                                 0x75, 0xfc, 0xb0, 0x02, 0xe6, kDonePort};

int failed(const char* what) {
  std::printf("failed %s %d\n", what, errno);
  return 1;
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool has_needed_abilities(int kvm) {
  for (const int ability : {KVM_CAP_USER_MEMORY, KVM_CAP_IRQCHIP, KVM_CAP_IRQFD,
                            KVM_CAP_SET_TSS_ADDR, KVM_CAP_IMMEDIATE_EXIT})
    if (ioctl(kvm, KVM_CHECK_EXTENSION, ability) <= 0) return false;
  return true;
}

kvm_segment flat_segment(bool is_code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = is_code ? 0x08 : 0x10;
  segment.type = is_code ? 11 : 3;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.l = is_code ? 1 : 0;
  segment.db = is_code ? 0 : 1;
  return segment;
}

bool enter_real_mode(int vcpu) {
  kvm_sregs special{};
  if (ioctl(vcpu, KVM_GET_SREGS, &special) != 0) return false;
  special.cs.base = 0;
  special.cs.selector = 0;
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rflags = 2;
  return ioctl(vcpu, KVM_SET_SREGS, &special) == 0 && ioctl(vcpu, KVM_SET_REGS, &registers) == 0;
}

bool enter_long_mode(int vcpu) {
  kvm_sregs special{};
  if (ioctl(vcpu, KVM_GET_SREGS, &special) != 0) return false;
  special.cr3 = kTopTable;
  special.cr4 |= kCr4Pae;
  special.cr0 |= kCr0Protected | kCr0Paging;
  special.efer |= kEferLongMode;
  special.cs = flat_segment(true);
  special.ds = special.es = special.fs = special.gs = special.ss = flat_segment(false);
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rsp = kStackEnd;
  registers.rflags = 2;
  return ioctl(vcpu, KVM_SET_SREGS, &special) == 0 && ioctl(vcpu, KVM_SET_REGS, &registers) == 0;
}

void write_page_tables(std::uint8_t* memory) {
  const auto put = [memory](std::uint64_t at, std::uint64_t entry) {
    std::memcpy(memory + at, &entry, sizeof entry);
  };
  put(kTopTable, kMiddleTable | kPresentWritable);
  put(kMiddleTable, kLowTable | kPresentWritable);
  put(kLowTable, kPresentWritable | kLargePage);  // the first 2 MiB onto themselves
}

// Until the guest writes to the port that says "done".
bool run_to_port(int vcpu, const kvm_run* state) {
  const int result = retry_interrupted([vcpu] { return ioctl(vcpu, KVM_RUN, 0); });
  if (result != 0) return false;
  if (state->exit_reason == KVM_EXIT_IO && state->io.port == kDonePort) return true;
  errno = static_cast<int>(1000 + state->exit_reason);
  return false;
}

int time_loop(int vcpu, const kvm_run* state, std::uint8_t* memory) {
  std::memcpy(memory + kCode, kRealModeCode.data(), kRealModeCode.size());
  if (!enter_real_mode(vcpu)) return failed("registers");
  if (!run_to_port(vcpu, state)) return failed("real_mode");
  std::memcpy(memory + kCode, kLoopCode.data(), kLoopCode.size());
  write_page_tables(memory);
  if (!enter_long_mode(vcpu)) return failed("registers");
  const std::int64_t begin = now_ns();
  if (!run_to_port(vcpu, state)) return failed("long_mode");
  std::printf("ok %lld\n", static_cast<long long>(now_ns() - begin));
  return 0;
}

}  // namespace

int run_kvm_loop() {
  const Fd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) return failed("open");
  if (ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) return failed("version");
  if (!has_needed_abilities(kvm.get())) return failed("abilities");
  const Fd machine(ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!machine) return failed("create");
  void* memory =
      mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failed("memory");
  kvm_userspace_memory_region region{};
  region.memory_size = kMemoryBytes;
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory);
  constexpr unsigned long kTssAddress = 0xfffbd000;  // below 4 GiB, outside the guest's memory
  if (ioctl(machine.get(), KVM_SET_TSS_ADDR, kTssAddress) != 0 ||
      ioctl(machine.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return failed("memory");
  }
  const Fd vcpu(ioctl(machine.get(), KVM_CREATE_VCPU, 0));
  if (!vcpu) return failed("create");
  const int state_bytes = ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (state_bytes < static_cast<int>(sizeof(kvm_run))) return failed("create");
  void* state = mmap(nullptr, static_cast<std::size_t>(state_bytes), PROT_READ | PROT_WRITE,
                     MAP_SHARED, vcpu.get(), 0);
  if (state == MAP_FAILED) return failed("memory");
  // Both mappings go with the process, which ends now.
  return time_loop(vcpu.get(), static_cast<const kvm_run*>(state),
                   static_cast<std::uint8_t*>(memory));
}

}  // namespace blixard::linux_side
