// What the kernel's FUSE device protocol has and libfuse 3.14 does not show.
#ifndef LARDER_FUSE_WIRE_H
#define LARDER_FUSE_WIRE_H

#include <stdint.h>

#endif
