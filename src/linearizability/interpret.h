#pragma once

// Calls as operations of a model. What a model does not know is an error with its line; an answer
// that says nothing drops the call.

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "linearizability/calls.h"
#include "linearizability/key_value_model.h"
#include "linearizability/multi_register_model.h"
#include "linearizability/mutex_model.h"
#include "linearizability/register_model.h"
#include "linearizability/vm_model.h"

namespace blixard::linearizability {

template <class Model>
struct Interpreted {
  History<Model> history;
  std::vector<std::size_t> calls;  // of which call an operation is
};

// Call `number` as an operation.
template <class Model>
void keep(Interpreted<Model>& kept, const Call& call, std::size_t number,
          typename Model::Input input, std::optional<typename Model::Output> output) {
  kept.history.push_back({.process = call.process,
                          .input = std::move(input),
                          .output = std::move(output),
                          .invoked = call.invoked,
                          .returned = call.returned});
  kept.calls.push_back(number);
}

// All errors: kInvalidArgument "history_invalid" with the line.
enum class CompareAndSet : bool { kUnknown, kKnown };
Result<Interpreted<RegisterModel>> as_registers(const RecordedHistory& recorded, CompareAndSet cas);
Result<Interpreted<KeyValueModel>> as_key_values(const RecordedHistory& recorded);
Result<Interpreted<MutexModel>> as_mutexes(const RecordedHistory& recorded);
Result<Interpreted<MultiRegisterModel>> as_multi_registers(const RecordedHistory& recorded);
Result<Interpreted<VmModel>> as_vms(const RecordedHistory& recorded);

}  // namespace blixard::linearizability
