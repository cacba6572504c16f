// FUSE over io_uring (Linux 6.14, ABI 7.42): submissions to a FUSE device and what comes of them. A ring belongs to the thread
// that made it.
#ifndef LARDER_FUSE_RING_H
#define LARDER_FUSE_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct larder_ring larder_ring;

// NULL with errno: the system has none that fits, or forbids it.
larder_ring *larder_ring_make(void);
void larder_ring_free(larder_ring *ring);

// Gives the kernel an entry for requests of one of its queues: memory for a larder_fuse_ring_header, and for names and data.
// `tag`, not 0, comes back with each request in it.
void larder_ring_register(larder_ring *ring, int device, uint16_t queue, const struct iovec memory[2], uint64_t tag);
// The answer is in the entry: the kernel takes it, and puts a next request there.
void larder_ring_commit(larder_ring *ring, int device, uint16_t queue, uint64_t commit_id, uint64_t tag);
// Has an eventfd read; its tag is 0.
void larder_ring_listen(larder_ring *ring, int eventfd, uint64_t *value);

// Hands over what was prepared, and waits until something has come if it is to. What it fails with passes (a signal, a moment
// without memory), and the next call hands over what is left.
void larder_ring_submit(larder_ring *ring, bool waits);
// What has come: a request in the entry with this tag, or a negative errno that ends the entry's use.
bool larder_ring_next(larder_ring *ring, uint64_t *tag, int32_t *result);
bool larder_ring_has_next(const larder_ring *ring);

int larder_eventfd(void);

#endif
