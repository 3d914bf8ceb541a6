#include "entropy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

// struct rand_pool_info, whose last member has no size.
struct Credit {
  int bits;
  int bytes;
  unsigned char seed[kSeedBytes];
};

bool entropy_mix(const unsigned char seed[kSeedBytes]) {
  const int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct Credit credit = {.bits = kSeedBytes * 8, .bytes = kSeedBytes};
  memcpy(credit.seed, seed, kSeedBytes);
  // Added alone, the seed would reach what is drawn only at the generator's next reseeding, which
  // may be a minute away.
  const bool done = ioctl(fd, RNDADDENTROPY, &credit) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
  const int reason = errno;
  explicit_bzero(&credit, sizeof credit);
  close(fd);
  errno = reason;
  return done;
}

bool entropy_draw(void* bytes, size_t length) {
  return getrandom(bytes, length, GRND_INSECURE) == (ssize_t)length;
}
