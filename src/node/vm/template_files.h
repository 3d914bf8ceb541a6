#pragma once

// The files of a template as bytes with names: what they are when they were made, and whether they
// still are that. What is in them is the driver's own.
//
// Names may come from a manifest that was damaged or planted: none leads out of the folder.
//
// Errors of all: kInvalidArgument "template_invalid" for names that no driver gives, kDataLoss
// "template_damaged" with the name of the first file that is missing or is another one.

#include <string>
#include <vector>

#include "base/result.h"
#include "env/disk.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::vm {

// Sizes and digests of files that were just made; reads all of them.
env::Task<Result<Template>> measure_template(env::Disk& disk, std::string key,
                                             std::string directory, std::vector<std::string> names);

// Every file is there with its size and digest; reads all of them.
env::Task<Result<void>> check_template(env::Disk& disk, Template measured);

// Every file is there with its size; cheap enough for each start of a clone.
env::Task<Result<void>> check_template_sizes(env::Disk& disk, Template measured);

}  // namespace blixard::vm
