// System calls and constants that glibc 2.36 does not wrap, or that Swift cannot import.
#ifndef LARDER_LINUX_IO_H
#define LARDER_LINUX_IO_H

#include <stdint.h>
#include <sys/types.h>

// O_PATH: Swift cannot see it without _GNU_SOURCE.
extern const int larder_o_path;

// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS: a path cannot leave the directory it starts from.
int larder_open_beneath(int directory, const char *path, int flags, mode_t mode);

// malloc_trim(3): gives free memory back to the system, also from between pieces in use.
void larder_trim_heap(void);

// Starts writing the file's dirty pages to disk and does not wait. 0, or -1 with errno.
int larder_start_writeback(int fd);

// Whole-file open-file-description locks (fcntl F_OFD_SETLK, F_OFD_SETLKW). 0, or -1 with errno.
int larder_ofd_lock(int fd, int exclusive, int wait);
int larder_ofd_unlock(int fd);

// Receives one descriptor over a unix socket (SCM_RIGHTS), close-on-exec. -1 with errno; EBADMSG if none came.
int larder_receive_descriptor(int socket);

// Names the calling thread; the kernel keeps the first 15 bytes.
void larder_name_thread(const char *name);
// Keeps the calling thread on one processor. -1 with errno where that is not allowed.
int larder_keep_on_processor(int processor);
// How many of the processors that are on a thread may run on. -1 with errno.
int larder_processors_for(pid_t thread);
// Blocks that the calling thread has had read from disks.
int64_t larder_blocks_read(void);
// The calling thread's number (gettid(2)).
pid_t larder_thread(void);
// Policies of sched(7) that are macros of _GNU_SOURCE.
extern const int larder_policy_other, larder_policy_batch, larder_policy_idle;
// Gives a thread of this process the policy; and which it has. -1 with errno.
int larder_set_policy(pid_t thread, int policy);
int larder_policy(pid_t thread);

#endif
