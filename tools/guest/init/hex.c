#include "hex.h"

#include <string.h>

static const char kDigits[] = "0123456789abcdef";

bool hex_parse(const char* text, unsigned char* bytes, size_t count) {
  if (strlen(text) != 2 * count || strspn(text, kDigits) != 2 * count) return false;
  for (size_t i = 0; i < count; ++i) {
    const size_t high = (size_t)(strchr(kDigits, text[2 * i]) - kDigits);
    const size_t low = (size_t)(strchr(kDigits, text[2 * i + 1]) - kDigits);
    bytes[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

void hex_write(const unsigned char* bytes, size_t count, char* text) {
  for (size_t i = 0; i < count; ++i) {
    text[2 * i] = kDigits[bytes[i] >> 4];
    text[2 * i + 1] = kDigits[bytes[i] & 15];
  }
  text[2 * count] = '\0';
}
