// How soon a guest answers that was asked for: start.py runs `blixard node`, which stands beside
// this program, and QEMU without it.

#include "test/perf/report/on_linux.h"

int main(int argc, char** argv) { blixard::perf::become_script("start/start.py", argc, argv); }
