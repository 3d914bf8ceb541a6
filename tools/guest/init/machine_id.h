// /etc/machine-id, by which programs tell one machine from another: 32 hexadecimal digits and a
// line feed. A guest draws its own when it boots; a clone has its template's until its host gives
// it another one.

#pragma once

#include <stdbool.h>

enum { kMachineIdDigits = 32 };

// Exactly 32 lower-case hexadecimal digits.
bool machine_id_valid(const char* id);

// Makes the file, which stays open, with an id drawn at random.
void machine_id_start(void);

// Replaces the id by one write, of the same length as what it replaces. false: the kernel refused,
// errno says why, and the old one is still there.
bool machine_id_set(const char* id);

// The id that was set last; "none" if there is none.
void machine_id_read(char id[kMachineIdDigits + 1]);
