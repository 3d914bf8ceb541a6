// What the guest tells a human: one line on the console, "blixard: ..." in front. The console is a
// log and no proof of anything; the host learns the state of the guest from the agent port.

#pragma once

void console_say(const char* format, ...) __attribute__((format(printf, 1, 2)));
