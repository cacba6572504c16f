#define _GNU_SOURCE
#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct larder_open_how) == sizeof(struct open_how), "struct open_how");
_Static_assert(sizeof(struct larder_mount_attributes) == MOUNT_ATTR_SIZE_VER0, "struct mount_attr");

int larder_clone_tree(int directory, const char *path, int recursive) {
    return (int)syscall(SYS_open_tree, directory, path,
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}

int larder_set_mount_attributes(int mount, uint64_t set, uint64_t clear, int user_namespace, int recursive) {
    struct larder_mount_attributes attributes = {.set = set, .clear = clear};
    if (user_namespace >= 0) {
        attributes.set |= MOUNT_ATTR_IDMAP;
        attributes.user_namespace = (uint64_t)user_namespace;
    }
    return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes, sizeof attributes);
}

int larder_attach_mount(int mount, int directory, const char *path) {
    return (int)syscall(SYS_move_mount, mount, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH);
}

static int write_text(int directory, const char *name, const char *text) {
    int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t done = write(fd, text, strlen(text));
    int code = errno;
    close(fd);
    errno = code;
    return done < 0 ? -1 : 0;
}

int larder_user_namespace(const char *uid_map, const char *gid_map) {
    // The kernel writes a map for a process that is in the namespace; so one is there, for a moment.
    int ready[2], done[2];
    if (pipe2(ready, O_CLOEXEC) < 0) return -1;
    if (pipe2(done, O_CLOEXEC) < 0) {
        close(ready[0]);
        close(ready[1]);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        int32_t code = unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
        char byte;
        if (write(ready[1], &code, sizeof code) == sizeof code && code == 0) {
            while (read(done[0], &byte, 1) < 0 && errno == EINTR) {}
        }
        _exit(0);
    }
    int result = -1, code = errno;
    close(ready[1]);
    close(done[0]);
    if (pid > 0) {
        int32_t answer = EIO;
        ssize_t count;
        do {
            count = read(ready[0], &answer, sizeof answer);
        } while (count < 0 && errno == EINTR);
        code = answer;
        if (count == sizeof answer && answer == 0) {
            char path[32] = "/proc/", digits[12];
            size_t length = 6, count_digits = 0;
            for (pid_t rest = pid; rest > 0; rest /= 10) digits[count_digits++] = (char)('0' + rest % 10);
            while (count_digits > 0) path[length++] = digits[--count_digits];
            path[length] = 0;
            int process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
            if (process < 0 || write_text(process, "uid_map", uid_map) < 0 || write_text(process, "gid_map", gid_map) < 0) {
                code = errno;
            } else {
                result = openat(process, "ns/user", O_RDONLY | O_CLOEXEC);
                code = errno;
            }
            if (process >= 0) close(process);
        }
    }
    close(done[1]);
    close(ready[0]);
    if (pid > 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    errno = code;
    return result;
}

int larder_open_in_root(int root, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long result;
    int attempts = 100;
    do {
        result = syscall(SYS_openat2, root, path, &how, sizeof how);
    } while (result == -1 && (errno == EINTR || (errno == EAGAIN && --attempts > 0)));
    return (int)result;
}

int larder_process_descriptor(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int larder_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int larder_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }

// MARK: a child that begins with system calls

static void report_and_leave(const struct larder_child *child, size_t step, int code) {
    struct larder_report report = {.step = (int32_t)step, .code = code};
    while (write(child->report, &report, sizeof report) < 0 && errno == EINTR) {}
    _exit(125);
}

// Only async-signal-safe calls from here to the exec: other threads of the parent may have held any lock at the fork.
static void begin(const struct larder_child *child) {
    for (int number = 1; number < _NSIG; number++) {
        if (number == SIGKILL || number == SIGSTOP) continue;
        signal(number, number <= 64 && (child->ignored_signals >> (number - 1) & 1) ? SIG_IGN : SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    long slots[larder_slot_count];
    for (size_t index = 0; index < child->step_count; index++) {
        const struct larder_step *step = &child->steps[index];
        long arguments[6];
        for (int position = 0; position < 6; position++)
            arguments[position] = step->slots[position] < 0 ? step->arguments[position] : slots[step->slots[position]];
        long result;
        do {
            result = syscall(step->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
        } while (result == -1 && errno == EINTR);
        if (result == -1 && errno != step->accepted[0] && errno != step->accepted[1]) report_and_leave(child, index, errno);
        if (step->result >= 0) slots[step->result] = result;
    }

    int code = ENOENT;
    for (char *const *path = child->candidates; *path; path++) {
        execve(*path, child->arguments, child->environment);
        if (errno == ENOEXEC && child->shell_arguments) {
            child->shell_arguments[1] = *path;
            execve("/bin/sh", child->shell_arguments, child->environment);
            errno = ENOEXEC;
        }
        // As execvp(3): what may not be executed is remembered, and a better one is looked for.
        if (errno == EACCES) code = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE && errno != ENODEV && errno != ETIMEDOUT)
            report_and_leave(child, child->step_count, errno);
    }
    report_and_leave(child, child->step_count, code);
}

pid_t larder_launch(const struct larder_child *child) {
    // No handler of the parent may run in the child, where its threads do not exist.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) begin(child);
    int code = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return pid;
}

// MARK: signals

static pid_t forward_target;
static int forward_noted;
static volatile int forward_notes = -1;

static void forward(int number, siginfo_t *info, void *context) {
    (void)context;
    int code = errno;
    pid_t target = __atomic_load_n(&forward_target, __ATOMIC_SEQ_CST);
    if (target <= 0) {
        unsigned char byte = (unsigned char)number;
        __atomic_store_n(&forward_noted, number, __ATOMIC_SEQ_CST);
        if (forward_notes >= 0) (void)!write(forward_notes, &byte, 1);
        // A target that came just now may not have seen the note; one of the two takes it.
        target = __atomic_load_n(&forward_target, __ATOMIC_SEQ_CST);
        if (target > 0 && (number = __atomic_exchange_n(&forward_noted, 0, __ATOMIC_SEQ_CST))) kill(target, number);
    }
    // A process sent it, and to this process alone for all we know. The kernel (a terminal) would have told the group.
    else if (info->si_code <= 0) kill(target, number);
    errno = code;
}

void larder_forward_signal(int number) {
    struct sigaction action = {.sa_sigaction = forward, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void larder_forward_target(pid_t target) {
    __atomic_store_n(&forward_target, target, __ATOMIC_SEQ_CST);
    int number = target > 0 ? __atomic_exchange_n(&forward_noted, 0, __ATOMIC_SEQ_CST) : 0;
    if (number) kill(target, number);
}

int larder_forward_pending(void) { return __atomic_load_n(&forward_noted, __ATOMIC_SEQ_CST); }

void larder_forward_notes(int fd) { forward_notes = fd; }

pid_t larder_wait_event(pid_t pid, int *event) {
    siginfo_t info;
    int result;
    do {
        result = waitid(pid > 0 ? P_PID : P_ALL, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return -1;
    *event = info.si_code;
    return info.si_pid;
}

const int larder_event_stopped = CLD_STOPPED, larder_event_continued = CLD_CONTINUED;

void larder_reset_signal(int number) {
    signal(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

uint64_t larder_ignored_signals(void) {
    uint64_t ignored = 0;
    for (int number = 1; number <= 64 && number < _NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) ignored |= (uint64_t)1 << (number - 1);
    }
    return ignored;
}

int larder_adopt_orphans(int on) { return prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0); }

void larder_refuse_core(void) { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

int larder_has_mount_capability(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective >> CAP_SYS_ADMIN & 1);
}

// MARK: constants

const long larder_call_chdir = SYS_chdir, larder_call_chmod = SYS_fchmodat, larder_call_chown = SYS_fchownat, larder_call_close = SYS_close,
           larder_call_close_range = SYS_close_range, larder_call_dup3 = SYS_dup3, larder_call_setsid = SYS_setsid, larder_call_fchmod = SYS_fchmod, larder_call_fchown = SYS_fchown, larder_call_fcntl = SYS_fcntl,
           larder_call_fsconfig = SYS_fsconfig, larder_call_fsmount = SYS_fsmount, larder_call_fsopen = SYS_fsopen, larder_call_bind = SYS_bind,
           larder_call_listen = SYS_listen, larder_call_mkdir = SYS_mkdirat, larder_call_mknod = SYS_mknodat, larder_call_openat2 = SYS_openat2, larder_call_mount = SYS_mount,
           larder_call_mount_setattr = SYS_mount_setattr, larder_call_move_mount = SYS_move_mount, larder_call_open = SYS_openat,
           larder_call_open_tree = SYS_open_tree, larder_call_pivot_root = SYS_pivot_root, larder_call_prctl = SYS_prctl,
           larder_call_prlimit = SYS_prlimit64, larder_call_symlink = SYS_symlinkat, larder_call_umask = SYS_umask,
           larder_call_umount = SYS_umount2, larder_call_unlink = SYS_unlinkat, larder_call_unshare = SYS_unshare, larder_call_write = SYS_write;

const long larder_clone_newns = CLONE_NEWNS, larder_clone_newuser = CLONE_NEWUSER, larder_close_range_cloexec = 1 << 2;
const long larder_open_tree_clone = OPEN_TREE_CLONE, larder_open_tree_cloexec = OPEN_TREE_CLOEXEC, larder_at_recursive = AT_RECURSIVE,
           larder_at_empty_path = AT_EMPTY_PATH, larder_move_from_empty_path = MOVE_MOUNT_F_EMPTY_PATH;
const long larder_fsconfig_flag = FSCONFIG_SET_FLAG, larder_fsconfig_string = FSCONFIG_SET_STRING, larder_fsconfig_create = FSCONFIG_CMD_CREATE;
const long larder_attr_readonly = MOUNT_ATTR_RDONLY, larder_attr_nosuid = MOUNT_ATTR_NOSUID, larder_attr_nodev = MOUNT_ATTR_NODEV,
           larder_attr_noexec = MOUNT_ATTR_NOEXEC, larder_attr_idmap = MOUNT_ATTR_IDMAP;
const long larder_ms_slave_recursive = MS_SLAVE | MS_REC, larder_mnt_detach = MNT_DETACH, larder_pr_set_pdeathsig = PR_SET_PDEATHSIG;
const uint64_t larder_resolve_in_root = RESOLVE_IN_ROOT, larder_resolve_no_magiclinks = RESOLVE_NO_MAGICLINKS;
