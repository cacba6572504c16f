#define _GNU_SOURCE
#include "cache_locks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
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
