#include <malloc.h>

#include "app/vopr/command_line.h"

int main(int argc, char** argv) {
  // A run frees all it took; the next one wants it again, and not from the kernel.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
  return blixard::app::run_vopr_command_line(argc, argv);
}
