#include "console.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { kConsoleLineMax = 256 };

void console_say(const char* format, ...) {
  static const char kPrefix[] = "blixard: ";
  char line[kConsoleLineMax];
  size_t length = (size_t)snprintf(line, sizeof line, "%s", kPrefix);
  va_list arguments;
  va_start(arguments, format);
  const int added = vsnprintf(line + length, sizeof line - length - 1, format, arguments);
  va_end(arguments);
  if (added < 0) return;
  length += (size_t)added;
  if (length > sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  const ssize_t written = write(STDOUT_FILENO, line, length);
  (void)written;  // a console that does not take the line has no better place to say so
}
