// /etc/machine-id, by which programs tell one machine from another: 32 hexadecimal digits and a
// line feed. A guest draws its own when it boots; a clone has its template's until its host gives
// it another one.

#pragma once

#include <stdbool.h>

enum { kMachineIdDigits = 32 };

// Exactly 32 lower-case hexadecimal digits.
bool machine_id_valid(const char* id);

// Writes an id drawn at random.
void machine_id_start(void);

// Replaces the id in one step: whoever reads the file finds the old one or the new one. false: the
// kernel refused, errno says why, and the old one is still there.
bool machine_id_set(const char* id);

// "none" if there is none.
void machine_id_read(char id[kMachineIdDigits + 1]);
