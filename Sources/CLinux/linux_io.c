#define _GNU_SOURCE
#include "linux_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

const int larder_o_path = O_PATH;

int larder_open_beneath(int directory, const char *path, int flags, mode_t mode) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        // openat2 refuses a mode where nothing is created. O_TMPFILE contains the bit of O_DIRECTORY, so all of it is compared.
        .mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    // EAGAIN: a rename elsewhere made the kernel unsure whether ".." stays beneath; it asks to be asked again.
    // EXDEV: the path leads out, and will again; or what it leads to was moved out while it was opened.
    long result;
    int attempts = 100;
    do {
        result = syscall(SYS_openat2, directory, path, &how, sizeof how);
    } while (result == -1 && (errno == EINTR || ((errno == EAGAIN || errno == EXDEV) && --attempts > 0)));
    return (int)result;
}

void larder_trim_heap(void) { malloc_trim(0); }

int larder_start_writeback(int fd) { return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); }

static int set_lock(int fd, short type, int wait) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    int result;
    do {
        result = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    } while (result == -1 && errno == EINTR);
    return result;
}

int larder_ofd_lock(int fd, int exclusive, int wait) { return set_lock(fd, exclusive ? F_WRLCK : F_RDLCK, wait); }

int larder_ofd_unlock(int fd) { return set_lock(fd, F_UNLCK, 0); }

int larder_receive_descriptor(int socket) {
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got == -1 && errno == EINTR);
    if (got == -1) return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
        errno = EBADMSG;
        return -1;
    }
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

void larder_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

int larder_keep_on_processor(int processor) {
    cpu_set_t set;
    if (processor < 0 || processor >= CPU_SETSIZE) {
        errno = EINVAL;
        return -1;
    }
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set);
}

int larder_processors_for(pid_t thread) {
    cpu_set_t set;
    return sched_getaffinity(thread, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

int64_t larder_blocks_read(void) {
    struct rusage usage = {0};
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_inblock;
}

pid_t larder_thread(void) { return gettid(); }

const int larder_policy_other = SCHED_OTHER, larder_policy_batch = SCHED_BATCH, larder_policy_idle = SCHED_IDLE;

int larder_set_policy(pid_t thread, int policy) {
    const struct sched_param none = {0};
    return sched_setscheduler(thread, policy, &none);
}

int larder_policy(pid_t thread) { return sched_getscheduler(thread); }
