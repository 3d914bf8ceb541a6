#include "app/vopr/command_line.h"

int main(int argc, char** argv) { return blixard::app::run_vopr_command_line(argc, argv); }
