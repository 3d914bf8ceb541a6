// Where VMs go, how well and how fast: place.py runs `blixard-vopr place`, which stands beside this
// program.

#include "test/perf/report/on_linux.h"

int main(int argc, char** argv) { blixard::perf::become_script("placement/place.py", argc, argv); }
