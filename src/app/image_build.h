#pragma once

// `blixard image build`: runs the guest image builder (tools/guest, or where the package put it).

#include <string>

#include "app/cli.h"
#include "env/env.h"
#include "env/task.h"

namespace blixard::app {

// Builds into `directory`. The builder's progress goes to standard error. Errors: kNotFound
// "builder_missing", kInternal "build_failed".
env::Task<Result<void>> build_image(env::Env env, ImageBuild build, std::string directory);

}  // namespace blixard::app
