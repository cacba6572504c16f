// Mount namespaces, the mount API by descriptors (Linux 5.2 to 5.12), and starting a program through a list of system calls.
// glibc 2.36 declares part of this, under macros that Swift cannot import.
#ifndef LARDER_NAMESPACES_H
#define LARDER_NAMESPACES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// MARK: mounts as descriptors

// A copy of the mount at `path` (relative to `directory`; "" for `directory` itself), attached nowhere: open_tree(2) with
// OPEN_TREE_CLONE. `recursive` takes the mounts below along. Close-on-exec; -1 with errno.
int larder_clone_tree(int directory, const char *path, int recursive);

// Adds and removes MOUNT_ATTR_* of a detached mount: mount_setattr(2). `user_namespace` is -1, or the descriptor of a user
// namespace whose mapping the mount shall show owners by (MOUNT_ATTR_IDMAP). 0, or -1 with errno.
int larder_set_mount_attributes(int mount, uint64_t set, uint64_t clear, int user_namespace, int recursive);

// Attaches a detached mount at `path`: move_mount(2). 0, or -1 with errno.
int larder_attach_mount(int mount, int directory, const char *path);

// A user namespace that no process is in, with these contents of uid_map and gid_map. Needs CAP_SETUID and CAP_SETGID
// over the ids outside. Close-on-exec; -1 with errno.
int larder_user_namespace(const char *uid_map, const char *gid_map);

// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: `root` is "/" for everything in `path`, links included.
int larder_open_in_root(int root, const char *path, int flags);

// A descriptor for a process, which becomes readable when that has ended. Close-on-exec; -1 with errno.
int larder_process_descriptor(pid_t pid);

// Memory that is a file: memfd_create(2). Close-on-exec; -1 with errno.
int larder_memory_file(const char *name);

// Accepts a connection: accept4(2), close-on-exec. -1 with errno.
int larder_accept(int listener);

// MARK: a child that begins with system calls

// One system call of a child between fork and exec.
struct larder_step {
    long number;
    long arguments[6];
    // For each argument -1, or the slot whose value it is.
    int8_t slots[6];
    // -1, or the slot that keeps the result.
    int8_t result;
    // Values of errno that count as success, 0 for none.
    int32_t accepted[2];
};

enum { larder_slot_count = 120 };

// What the child reports when it could not start the program: which step failed, and why. The number of steps stands for
// the exec itself. Nothing is reported when the program runs.
struct larder_report {
    int32_t step;
    int32_t code;
};

struct larder_child {
    const struct larder_step *steps;
    size_t step_count;
    // Paths to try in turn, as execvp(3) does with PATH; NULL-terminated.
    char *const *candidates;
    char *const *arguments;
    char *const *environment;
    // As `arguments`, for /bin/sh where the kernel says ENOEXEC; element 1 is set to the path.
    char **shell_arguments;
    // Bit N - 1: signal N stays ignored. Every other signal has its default action, and none is blocked.
    uint64_t ignored_signals;
    // Where a larder_report goes; close-on-exec.
    int report;
};

// fork(2), the steps, execve(2). -1 with errno where the fork failed.
pid_t larder_launch(const struct larder_child *child);

// MARK: signals

// Signal `number` is passed on to `target` from now on, unless the terminal sent it: that has told the whole foreground
// process group already.
void larder_forward_signal(int number);
// The process that signals are passed on to, 0 for none. It gets the last one that came while there was none.
void larder_forward_target(pid_t target);
// The last signal that came while there was no target, 0 for none.
int larder_forward_pending(void);
// Where one byte, the number, is written for a signal that comes while there is no target; -1 for nowhere.
void larder_forward_notes(int fd);
// Gives the signal its default action again.
void larder_reset_signal(int number);
// Bit N - 1: signal N is ignored by this process.
uint64_t larder_ignored_signals(void);

// Waits until a child has ended or stopped, and leaves its status to be fetched by waitpid(2). `pid` 0 is any child. Returns
// the child, with what happened to it (CLD_EXITED, ...) in `event`; -1 with errno.
pid_t larder_wait_event(pid_t pid, int *event);
extern const int larder_event_stopped, larder_event_continued;

// prctl(PR_SET_CHILD_SUBREAPER): whose parents die become children of this process.
int larder_adopt_orphans(int on);
// prctl(PR_SET_DUMPABLE, 0): no core of this process.
void larder_refuse_core(void);
// Whether this process may do what CAP_SYS_ADMIN allows.
int larder_has_mount_capability(void);

// MARK: constants

extern const long larder_call_chdir, larder_call_chmod, larder_call_chown, larder_call_close, larder_call_close_range, larder_call_dup3, larder_call_fchmod, larder_call_setsid,
    larder_call_fchown, larder_call_fcntl, larder_call_fsconfig, larder_call_fsmount, larder_call_fsopen, larder_call_bind, larder_call_listen,
    larder_call_mkdir, larder_call_mount, larder_call_mount_setattr, larder_call_move_mount, larder_call_mknod, larder_call_open, larder_call_openat2, larder_call_open_tree,
    larder_call_pivot_root, larder_call_prctl, larder_call_prlimit, larder_call_symlink, larder_call_umask, larder_call_umount, larder_call_unlink,
    larder_call_unshare, larder_call_write;

extern const long larder_clone_newns, larder_clone_newuser, larder_close_range_cloexec;
extern const long larder_open_tree_clone, larder_open_tree_cloexec, larder_at_recursive, larder_at_empty_path, larder_move_from_empty_path;
extern const long larder_fsconfig_flag, larder_fsconfig_string, larder_fsconfig_create;
extern const long larder_attr_readonly, larder_attr_nosuid, larder_attr_nodev, larder_attr_noexec, larder_attr_idmap;
extern const long larder_ms_slave_recursive, larder_mnt_detach, larder_pr_set_pdeathsig;

extern const uint64_t larder_resolve_in_root, larder_resolve_no_magiclinks;

// struct mount_attr of linux/mount.h, struct open_how of linux/openat2.h.
struct larder_open_how {
    uint64_t flags, mode, resolve;
};
struct larder_mount_attributes {
    uint64_t set, clear, propagation, user_namespace;
};

#endif
