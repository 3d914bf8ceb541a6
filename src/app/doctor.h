#pragma once

// `blixard doctor`: what this machine can do for guests, each line a fact and what it means.

#include "app/cli.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::app {

// Returns the exit code: failed when guests cannot run here at all.
env::Task<int> run_doctor(env::Env env, DoctorCommand command, OutputFormat output);

}  // namespace blixard::app
