// The kernel's random generator, from both ends. What a guest gives out is nobody else's only as
// long as its state is: clones of one memory draw the same bytes until a seed of their own is mixed
// in.

#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { kSeedBytes = 32 };

// Opens the generator, for entropy_mix().
void entropy_start(void);

// Mixes the seed in, credits all of it, and makes every later draw depend on it. false: the kernel
// refused; errno says why. The seed stays the caller's to wipe.
bool entropy_mix(const unsigned char seed[kSeedBytes]);

// Fresh bytes, as of /dev/urandom: never waits, also not for a generator that has no entropy yet.
bool entropy_draw(void* bytes, size_t length);
