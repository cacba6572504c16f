#include "file_use.h"

#include <sys/file.h>

int larder_flock_shared(int fd) { return flock(fd, LOCK_SH | LOCK_NB); }

int larder_flock_exclusive(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }
