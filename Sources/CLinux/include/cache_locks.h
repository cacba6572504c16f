// What caches need of the kernel: locks on ranges of a file, a way to end a thread's wait for one, and copies.
#ifndef LARDER_CACHE_LOCKS_H
#define LARDER_CACHE_LOCKS_H

#include <stdint.h>

enum larder_lock_kind { LARDER_LOCK_SHARED, LARDER_LOCK_EXCLUSIVE, LARDER_LOCK_NONE };

// Takes, changes or drops an open-file-description lock on `length` bytes from `start`; length 0 reaches to the end of
// all offsets. 0, or -1 with errno: EAGAIN or EACCES where another is in the way and `wait` is 0, EINTR where a signal
// ended the wait.
int larder_range_lock(int fd, enum larder_lock_kind kind, int64_t start, int64_t length, int wait);

// Whether another open file holds a lock that stands in the way of `kind` there: 1 or 0, -1 with errno.
int larder_range_conflict(int fd, enum larder_lock_kind kind, int64_t start, int64_t length);

// Interrupts blocking calls of the thread that made it: those fail with EINTR. One signal could come just before the
// thread enters the call and be lost, so the alarm goes on every 5 ms until it is set again or freed.
typedef struct larder_alarm larder_alarm;

// For the calling thread; unblocks SIGURG in it, which everybody else may go on ignoring. NULL with errno.
larder_alarm *larder_alarm_create(void);
// First goes off after `nanoseconds` (at least 1). Any thread may call this; 0 turns it off.
void larder_alarm_set(larder_alarm *alarm, int64_t nanoseconds);
void larder_alarm_free(larder_alarm *alarm);

// syncfs(2), which Swift cannot see without _GNU_SOURCE.
int larder_sync_filesystem(int fd);

// f_type of statfs(2), which tells filesystems apart; 0 where it cannot be had.
uint32_t larder_filesystem_type(int fd);

// Copies all of `source` to the empty file `target`: as a reference where the filesystem can, else data by data, so that holes
// stay holes. 0, or -1 with errno.
int larder_copy_content(int source, int target);

// Copies the extended attributes that both sides allow.
void larder_copy_attributes(int source, int target);

// pidfd_open(2) and pidfd_send_signal(2): a process that stays the same one whatever becomes of its pid.
int larder_process_open(int32_t pid);
int larder_process_signal(int process, int signal);

#endif
