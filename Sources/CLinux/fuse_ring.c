#include "fuse_ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

// struct fuse_uring_cmd_req of linux/fuse.h, ABI 7.42; its place is the second half of a submission of twice the size.
struct command {
    uint64_t flags;
    uint64_t commit_id;
    uint16_t queue;
    uint8_t padding[6];
};

// enum fuse_uring_cmd
enum { REGISTER = 1, COMMIT_AND_FETCH = 2 };

// Linux 6.15, younger than Debian's headers.
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

struct larder_ring {
    struct io_uring ring;
    // A thread that waits for requests need not look like one that waits for a disk, which is what Linux takes it for.
    bool may_wait_idly;
};

larder_ring *larder_ring_make(void) {
    larder_ring *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    struct io_uring_params parameters = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    const int code = io_uring_queue_init_params(64, &made->ring, &parameters);
    if (code == 0) {
        made->may_wait_idly = parameters.features & IORING_FEAT_NO_IOWAIT;
        return made;
    }
    free(made);
    errno = -code;
    return NULL;
}

void larder_ring_free(larder_ring *ring) {
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

static struct io_uring_sqe *submission(larder_ring *ring) {
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&ring->ring))) io_uring_submit(&ring->ring);
    memset(entry, 0, 2 * sizeof *entry);
    return entry;
}

static struct io_uring_sqe *prepare(larder_ring *ring, int device, uint32_t operation, struct command command, uint64_t tag) {
    struct io_uring_sqe *entry = submission(ring);
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = device;
    entry->cmd_op = operation;
    entry->user_data = tag;
    memcpy(entry->cmd, &command, sizeof command);
    return entry;
}

void larder_ring_register(larder_ring *ring, int device, uint16_t queue, const struct iovec memory[2], uint64_t tag) {
    struct io_uring_sqe *entry = prepare(ring, device, REGISTER, (struct command){.queue = queue}, tag);
    entry->addr = (uint64_t)(uintptr_t)memory;
    entry->len = 2;
}

void larder_ring_commit(larder_ring *ring, int device, uint16_t queue, uint64_t commit_id, uint64_t tag) {
    prepare(ring, device, COMMIT_AND_FETCH, (struct command){.queue = queue, .commit_id = commit_id}, tag);
}

void larder_ring_listen(larder_ring *ring, int eventfd, uint64_t *value) {
    struct io_uring_sqe *entry = submission(ring);
    io_uring_prep_read(entry, eventfd, value, sizeof *value, 0);
    entry->user_data = 0;
}

// io_uring_submit_and_wait with a flag that Debian's liburing cannot be told of (io_uring_set_iowait came with 2.10).
static void submit_and_wait_idly(struct io_uring *ring) {
    struct io_uring_sq *queue = &ring->sq;
    while (queue->sqe_head != queue->sqe_tail) {
        const unsigned place = queue->sqe_head++ & queue->ring_mask;
        if (queue->array) queue->array[place] = place;
    }
    __atomic_store_n(queue->ktail, queue->sqe_tail, __ATOMIC_RELEASE);
    const unsigned count = queue->sqe_tail - __atomic_load_n(queue->khead, __ATOMIC_ACQUIRE);
    io_uring_enter(ring->ring_fd, count, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_NO_IOWAIT, NULL);
}

void larder_ring_submit(larder_ring *ring, bool waits) {
    if (!waits) io_uring_submit(&ring->ring);
    else if (ring->may_wait_idly) submit_and_wait_idly(&ring->ring);
    else io_uring_submit_and_wait(&ring->ring, 1);
}

bool larder_ring_next(larder_ring *ring, uint64_t *tag, int32_t *result) {
    struct io_uring_cqe *completion;
    if (io_uring_peek_cqe(&ring->ring, &completion) != 0) return false;
    *tag = completion->user_data;
    *result = completion->res;
    io_uring_cqe_seen(&ring->ring, completion);
    return true;
}

bool larder_ring_has_next(const larder_ring *ring) { return io_uring_cq_ready(&ring->ring) > 0; }

int larder_eventfd(void) { return eventfd(0, EFD_CLOEXEC); }
