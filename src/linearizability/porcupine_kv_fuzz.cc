#include "linearizability/test_reading.h"

using namespace blixard::linearizability;  // NOLINT(google-build-using-namespace): one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_and_judge(Format::kPorcupineKv, {ModelName::kKeyValue}, data, size);
  return 0;
}
