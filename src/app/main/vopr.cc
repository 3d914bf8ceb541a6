#include "app/vopr_cli.h"

int main(int argc, char** argv) { return blixard::app::run_vopr_command_line(argc, argv); }
