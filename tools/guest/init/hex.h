// Bytes as lower-case hexadecimal digits, two for each: how seeds, machine ids and random bytes are
// written in the protocol and on the page.

#pragma once

#include <stdbool.h>
#include <stddef.h>

// Exactly 2 * count digits and nothing after them. On false, bytes may be partly written.
bool hex_parse(const char* text, unsigned char* bytes, size_t count);

// Writes 2 * count digits and a terminating zero.
void hex_write(const unsigned char* bytes, size_t count, char* text);
