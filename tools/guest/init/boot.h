// What has to be there before anything else: the kernel's file systems and the drivers. Failures
// are told on the console and are not fatal, because a guest without (say) a balloon is still
// worth running; what is missing shows in the parts that need it.

#pragma once

// Mounts /proc, /sys and /dev.
void boot_mount(void);

// Inserts the modules that /lib/modules/order names, one file name per line, in that order.
void boot_load_modules(void);

// Writes everything to disk and turns the machine off. Does not return.
_Noreturn void boot_power_off(const char* reason);

// A kernel panic on purpose. Does not return.
_Noreturn void boot_panic(void);
