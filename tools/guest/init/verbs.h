// What the agent answers to one line. Apart from the port and its races, so that the language of
// the protocol stands in one place.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "network.h"

// Reads one line (no line feed; modified in the process) and writes its answer, line feed included,
// into answer, which has room for `room` >= 512 bytes. Returns the answer's length: 0 for an empty
// line, which is not answered. *shutdown becomes true if the line asks for the end.
size_t verbs_answer(char* line, size_t length, struct Network* network, bool* shutdown,
                    char* answer, size_t room);

// "ready 1 <hostname>\n", sent to every host that connects.
size_t verbs_ready(char* answer, size_t room);
