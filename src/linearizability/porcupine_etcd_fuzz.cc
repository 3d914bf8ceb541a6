#include "linearizability/test_reading.h"

using namespace blixard::linearizability;  // NOLINT(google-build-using-namespace): one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_and_judge(Format::kPorcupineEtcd, {ModelName::kCasRegister, ModelName::kRegister}, data,
                 size);
  return 0;
}
