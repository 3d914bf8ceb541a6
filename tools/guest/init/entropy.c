#include "entropy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "console.h"

// struct rand_pool_info, whose last member has no size.
struct Credit {
  int bits;
  int bytes;
  unsigned char seed[kSeedBytes];
};

// Open since the start: a clone that has to walk to it is later by milliseconds under software
// emulation.
static int generator = -1;

void entropy_start(void) {
  generator = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  if (generator < 0) console_say("no random generator: %s", strerror(errno));
}

bool entropy_mix(const unsigned char seed[kSeedBytes]) {
  struct Credit credit = {.bits = kSeedBytes * 8, .bytes = kSeedBytes};
  memcpy(credit.seed, seed, kSeedBytes);
  // Added alone, the seed would reach what is drawn only at the generator's next reseeding, which
  // may be a minute away.
  const bool done =
      ioctl(generator, RNDADDENTROPY, &credit) == 0 && ioctl(generator, RNDRESEEDCRNG) == 0;
  const int reason = errno;
  explicit_bzero(&credit, sizeof credit);
  errno = reason;
  return done;
}

bool entropy_draw(void* bytes, size_t length) {
  return getrandom(bytes, length, GRND_INSECURE) == (ssize_t)length;
}
