#define _GNU_SOURCE
#include "cache_locks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

// glibc 2.36 has the field, but no public name for it.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static struct flock range(enum larder_lock_kind kind, int64_t start, int64_t length) {
    short type = kind == LARDER_LOCK_SHARED ? F_RDLCK : kind == LARDER_LOCK_EXCLUSIVE ? F_WRLCK : F_UNLCK;
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

int larder_range_lock(int fd, enum larder_lock_kind kind, int64_t start, int64_t length, int wait) {
    struct flock lock = range(kind, start, length);
    return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
}

int larder_range_conflict(int fd, enum larder_lock_kind kind, int64_t start, int64_t length) {
    struct flock lock = range(kind, start, length);
    if (fcntl(fd, F_OFD_GETLK, &lock) == -1) return -1;
    return lock.l_type != F_UNLCK;
}

struct larder_alarm {
    timer_t timer;
};

static void interrupted(int signal) { (void)signal; }

static void install(void) {
    // No SA_RESTART: the whole point is that the call fails.
    struct sigaction action = {.sa_handler = interrupted};
    sigaction(SIGURG, &action, NULL);
}

larder_alarm *larder_alarm_create(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    larder_alarm *alarm = malloc(sizeof *alarm);
    if (!alarm) return NULL;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG};
    event.sigev_notify_thread_id = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &alarm->timer) == -1) {
        free(alarm);
        return NULL;
    }
    sigset_t mine;
    sigemptyset(&mine);
    sigaddset(&mine, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &mine, NULL);
    return alarm;
}

void larder_alarm_set(larder_alarm *alarm, int64_t nanoseconds) {
    struct itimerspec when = {
        .it_value = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000},
        .it_interval = {.tv_nsec = nanoseconds ? 5000000 : 0},
    };
    timer_settime(alarm->timer, 0, &when, NULL);
}

void larder_alarm_free(larder_alarm *alarm) {
    timer_delete(alarm->timer);
    free(alarm);
}

int larder_sync_filesystem(int fd) { return syncfs(fd); }

uint32_t larder_filesystem_type(int fd) {
    struct statfs status;
    return fstatfs(fd, &status) == 0 ? (uint32_t)status.f_type : 0;
}

int larder_process_open(int32_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int larder_process_signal(int process, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, process, signal, NULL, 0);
}

static int copy_plainly(int source, int target, off_t from, off_t length) {
    char buffer[1 << 16];
    while (length > 0) {
        ssize_t got = pread(source, buffer, (size_t)(length < (off_t)sizeof buffer ? length : (off_t)sizeof buffer), from);
        if (got == 0) return 0;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(target, buffer + done, (size_t)(got - done), from + done);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) return -1;
            done += put;
        }
        from += got;
        length -= got;
    }
    return 0;
}

static int copy_range(int source, int target, off_t from, off_t length) {
    while (length > 0) {
        off_t in = from, out = from;
        ssize_t copied = copy_file_range(source, &in, target, &out, (size_t)length, 0);
        if (copied < 0 && errno == EINTR) continue;
        // 0: the end, or a filesystem that cannot say so (procfs, some FUSE).
        if (copied <= 0) return copy_plainly(source, target, from, length);
        from += copied;
        length -= copied;
    }
    return 0;
}

int larder_copy_content(int source, int target) {
    if (ioctl(target, FICLONE, source) == 0) return 0;
    struct stat status;
    if (fstat(source, &status) == -1) return -1;
    for (off_t position = 0; position < status.st_size;) {
        off_t data = lseek(source, position, SEEK_DATA);
        if (data == -1 && errno == ENXIO) break;
        off_t end = data == -1 ? -1 : lseek(source, data, SEEK_HOLE);
        if (data == -1 || end == -1) {
            data = position;
            end = status.st_size;
        }
        if (copy_range(source, target, data, end - data) == -1) return -1;
        position = end;
    }
    return ftruncate(target, status.st_size);
}

void larder_copy_attributes(int source, int target) {
    // The kernel's own limits, linux/limits.h.
    enum { list_limit = 1 << 16, value_limit = 1 << 16 };
    if (flistxattr(source, NULL, 0) <= 0) return;
    char *names = malloc(list_limit + value_limit);
    if (!names) return;
    char *value = names + list_limit;
    ssize_t listed = flistxattr(source, names, list_limit);
    for (char *name = names; name < names + listed; name += strlen(name) + 1) {
        ssize_t size = fgetxattr(source, name, value, value_limit);
        if (size >= 0) fsetxattr(target, name, value, (size_t)size, 0);
    }
    free(names);
}
