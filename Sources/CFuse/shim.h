// libfuse's low-level API as of 3.14 (Debian 12).
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
