#include "app/cli.h"
#include "linux/runtime.h"

int main(int argc, char** argv) {
  const int hidden = blixard::linux_side::run_hidden_command(argc, argv);
  return hidden >= 0 ? hidden : blixard::app::run_command_line(argc, argv);
}
