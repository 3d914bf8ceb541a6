// Who this guest is, and how it becomes somebody else: a clone wakes up as its template, with its
// name, its addresses, its time and its random generator, until its host tells it who it is.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "entropy.h"
#include "machine_id.h"
#include "network.h"
#include "settings.h"

enum { kBootIdMax = 63 };

struct Identity {
  char name[kHostNameMax + 1];
  char mac[sizeof "02:00:5e:00:53:01"];       // or "none"
  char address[sizeof "255.255.255.255/32"];  // or "none"
  char machine[kMachineIdDigits + 1];         // or "none"
  char boot[kBootIdMax + 1];                  // or "unknown"
  int64_t time_ms;                            // since 1970, as the guest believes
};

// Reads what stays as it is.
void identity_start(void);

void identity_read(struct Identity* identity);

// What a host asked to be changed. Empty at first.
struct Wish {
  const char* was;   // NULL: whoever it is
  const char* name;  // NULL: as it is, also below
  const char* machine;
  struct NetworkChange network;
  int64_t time_ms;  // 0: as it is
  bool seeded;
  unsigned char seed[kSeedBytes];
};

// Takes one word of a question; what it points to must outlive the wish. NULL, or what is wrong
// with the word.
const char* identity_take(const char* word, struct Wish* wish);

// Whether it is for the guest that this one is, or has become already.
bool identity_is_meant(const struct Wish* wish);

// Makes the wish come true, the seed first. NULL, or what went wrong, errno saying why; then name,
// machine id, card and addresses are as they were before, seed and time perhaps not.
const char* identity_become(const struct Wish* wish, struct Network* network);
