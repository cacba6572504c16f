// The loops that Benchmarks/caches times. In C, because an interpreter would cost more than the calls that are measured.
//
//   caches-ops create DIR COUNT           create, write 4 KiB, close; DIR must be new
//   caches-ops stat DIR COUNT ROUNDS      lstat of every file, ROUNDS times
//   caches-ops read DIR COUNT             open, read, close of every file
//   caches-ops rename DIR COUNT           every file to another name and back: twice COUNT renames
//   caches-ops unlink DIR COUNT
//   caches-ops time ROUNDS COMMAND...     the command, ROUNDS times one after another, its output thrown away
//
// Prints the nanoseconds of all of it. Whatever fails is said on standard error, with exit status 1.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { filesPerDirectory = 200, fileBytes = 4096 };

static char content[fileBytes];

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long number(const char *text) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value <= 0) errx(2, "not a count: %s", text);
    return value;
}

static void path(char *buffer, size_t size, const char *directory, long file, const char *suffix) {
    snprintf(buffer, size, "%s/d%03ld/f%03ld%s", directory, file / filesPerDirectory, file % filesPerDirectory, suffix);
}

static void createFile(const char *name) {
    int file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0) err(1, "create %s", name);
    if (write(file, content, fileBytes) != fileBytes) err(1, "write %s", name);
    if (close(file)) err(1, "close %s", name);
}

static void readFile(const char *name) {
    char buffer[2 * fileBytes];
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) err(1, "open %s", name);
    if (read(file, buffer, sizeof buffer) != fileBytes) err(1, "read %s", name);
    close(file);
}

static long long loop(const char *operation, const char *directory, long count, long rounds) {
    char name[4096], other[4096];
    struct stat attributes;
    if (!strcmp(operation, "create")) {
        memset(content, 'x', sizeof content);
        if (mkdir(directory, 0755)) err(1, "mkdir %s", directory);
        for (long file = 0; file < count; file += filesPerDirectory) {
            snprintf(name, sizeof name, "%s/d%03ld", directory, file / filesPerDirectory);
            if (mkdir(name, 0755)) err(1, "mkdir %s", name);
        }
    }
    long long start = now();
    for (long round = 0; round < rounds; round++) {
        for (long file = 0; file < count; file++) {
            path(name, sizeof name, directory, file, "");
            switch (operation[0]) {
            case 'c': createFile(name); break;
            case 's': if (lstat(name, &attributes)) err(1, "stat %s", name); break;
            case 'u': if (unlink(name)) err(1, "unlink %s", name); break;
            case 'r':
                if (operation[2] == 'a') {
                    readFile(name);
                } else {
                    path(other, sizeof other, directory, file, ".new");
                    if (rename(name, other)) err(1, "rename %s", name);
                }
            }
        }
        for (long file = 0; file < count && !strcmp(operation, "rename"); file++) {
            path(name, sizeof name, directory, file, "");
            path(other, sizeof other, directory, file, ".new");
            if (rename(other, name)) err(1, "rename %s", other);
        }
    }
    return now() - start;
}

static long long timed(char **command, long rounds) {
    long long start = now();
    for (long round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child < 0) err(1, "fork");
        if (child == 0) {
            int sink = open("/dev/null", O_WRONLY);
            dup2(sink, 1);
            execvp(command[0], command);
            err(127, "%s", command[0]);
        }
        int status;
        while (waitpid(child, &status, 0) < 0)
            if (errno != EINTR) err(1, "waitpid");
        if (status) errx(1, "%s ended with status %d", command[0], WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    return now() - start;
}

int main(int count, char **words) {
    if (count < 4) errx(2, "usage: see the head of caches-ops.c");
    long long elapsed = !strcmp(words[1], "time")
        ? timed(words + 3, number(words[2]))
        : loop(words[1], words[2], number(words[3]), count > 4 ? number(words[4]) : 1);
    printf("%lld\n", elapsed);
    return 0;
}
