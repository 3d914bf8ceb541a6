#pragma once

// Text of the core's values as the reference prints them, for judges that compare texts.

#include <string>

#include "core/raft/progress.h"
#include "core/raft/quorum.h"
#include "core/raft/types.h"

namespace blixard::raft::text {

std::string voters(Voters list);                   // (1 2 3)
std::string configuration(const ConfState& conf);  // voters=(1 2)&&(1) learners=(3) autoleave
std::string progress(const Progress& progress, ProgressRules rules = {});
std::string progress(const ProgressMap& all, ProgressRules rules = {});  // a line a member
std::string index(LogIndex index);                                       // ∞ for kEverything
std::string_view vote_result(VoteResult result);

}  // namespace blixard::raft::text
