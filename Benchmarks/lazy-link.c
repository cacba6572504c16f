/* A link to a registry: a TCP proxy that adds latency, shares one bandwidth among all connections, and counts.
 *
 *   lazy-link PORT        forwards from a port of 127.0.0.1 that it prints to PORT
 *
 * Commands on standard input, one to a line; each is answered with one line:
 *   link MICROSECONDS BYTES    the round trip and the bytes a second towards the client from now on
 *   count                      requests, bytes towards the client and connections so far; the counts begin anew
 *   log FILE                   from now on lines: `> seconds connection request-line range` when a request has arrived from the
 *                              client, `< seconds connection bytes` when a part of an answer has been given to it
 *
 * What it models: everything is late by half a round trip in each direction, the first bytes of a connection by a whole one
 * more (the handshake). Bytes towards the client pass one after the other; a connection has at most two milliseconds'
 * worth waiting, so that connections share the link fairly. There is no slow start and no loss. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 32768, QUEUE = 512, AHEAD = 2000000 };

static atomic_long round_trip = 0, bandwidth = 1L << 40;
static atomic_long requests, bytes, connections;
static int64_t link_free; /* when the link has passed all that it was given; under link_lock */
static pthread_mutex_t link_lock = PTHREAD_MUTEX_INITIALIZER, log_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *request_log;
static int target;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct chunk { int64_t due; int length; char *data; };

struct direction { /* one thread carries one direction of one connection */
    int from, to, number, down;
    int64_t begun, passed; /* passed: when the link has sent our last bytes */
    struct chunk queue[QUEUE];
    int first, count;
    char head[8192]; /* of the request under way */
    int filled;
};

static void noted(struct direction *d) {
    atomic_fetch_add(&requests, 1);
    pthread_mutex_lock(&log_lock);
    if (request_log) {
        d->head[d->filled < (int)sizeof d->head ? d->filled : (int)sizeof d->head - 1] = 0;
        char *range = strcasestr(d->head, "\r\nrange: ");
        int line = strcspn(d->head, "\r"), length = range ? strcspn(range + 9, "\r") : 0;
        fprintf(request_log, "> %.4f %d %.*s %.*s\n", now() / 1e9, d->number, line, d->head, length, range ? range + 9 : "");
    }
    pthread_mutex_unlock(&log_lock);
    d->filled = 0;
}

static void passed(struct direction *d, int length) {
    pthread_mutex_lock(&log_lock);
    if (request_log) fprintf(request_log, "< %.4f %d %d\n", now() / 1e9, d->number, length);
    pthread_mutex_unlock(&log_lock);
}

/* GET and HEAD have no body, so an empty line is the end of a request. */
static void look(struct direction *d, const char *data, int length) {
    for (int i = 0; i < length; i++) {
        if (d->filled == sizeof d->head) memmove(d->head, d->head + 4096, d->filled -= 4096);
        d->head[d->filled++] = data[i];
        if (d->filled >= 4 && !memcmp(d->head + d->filled - 4, "\r\n\r\n", 4)) noted(d);
    }
}

static int64_t due(struct direction *d, int length) {
    int64_t time = now(), trip = atomic_load(&round_trip) * 1000;
    if (!d->down) return time + trip / 2 + (d->begun ? trip : 0);
    atomic_fetch_add(&bytes, length);
    pthread_mutex_lock(&link_lock);
    if (link_free < time) link_free = time;
    link_free += (int64_t)length * 1000000000LL / atomic_load(&bandwidth);
    d->passed = link_free;
    pthread_mutex_unlock(&link_lock);
    return d->passed + trip / 2;
}

static int send_all(int to, const char *data, int length) {
    while (length > 0) {
        ssize_t sent = send(to, data, length, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        data += sent, length -= sent;
    }
    return 0;
}

static void *carry(void *argument) {
    struct direction *d = argument;
    int ended = 0;
    prctl(PR_SET_TIMERSLACK, 1);
    while (!ended || d->count) {
        int64_t time = now(), until = INT64_MAX;
        int reading = !ended && d->count < QUEUE;
        if (d->count) until = d->queue[d->first].due;
        if (reading && d->down && d->passed - AHEAD > time) {
            reading = 0;
            if (d->passed - AHEAD < until) until = d->passed - AHEAD;
        }
        struct pollfd watched = { reading ? d->from : -1, POLLIN, 0 };
        struct timespec wait = { 0 };
        if (until > time) wait = (struct timespec){ (until - time) / 1000000000LL, (until - time) % 1000000000LL };
        ppoll(&watched, 1, until == INT64_MAX ? NULL : &wait, NULL);
        if (reading && watched.revents) {
            char *data = malloc(CHUNK);
            int length = recv(d->from, data, CHUNK, 0);
            if (length > 0) {
                if (!d->down) look(d, data, length);
                d->queue[(d->first + d->count++) % QUEUE] = (struct chunk){ due(d, length), length, data };
                d->begun = 0;
            } else {
                free(data);
                ended = 1;
            }
        }
        for (time = now(); d->count && d->queue[d->first].due <= time; d->count--, d->first = (d->first + 1) % QUEUE) {
            if (send_all(d->to, d->queue[d->first].data, d->queue[d->first].length)) {
                shutdown(d->from, SHUT_RD);
                ended = 1;
            }
            if (d->down) passed(d, d->queue[d->first].length);
            free(d->queue[d->first].data);
        }
    }
    shutdown(d->to, SHUT_WR);
    close(d->from);
    close(d->to);
    free(d);
    return NULL;
}

static void start(int from, int to, int number, int down) {
    struct direction *d = calloc(1, sizeof *d);
    d->from = dup(from), d->to = dup(to), d->number = number, d->down = down, d->begun = 1;
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, carry, d)) abort();
}

static void *serve(void *argument) {
    int listener = *(int *)argument, number = 0, on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(target), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        int server = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(server, (struct sockaddr *)&address, sizeof address)) {
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            atomic_fetch_add(&connections, 1);
            start(client, server, ++number, 0);
            start(server, client, number, 1);
        }
        close(client);
        close(server);
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 2 || !(target = atoi(arguments[1]))) return fprintf(stderr, "usage: lazy-link PORT\n"), 2;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128) || getsockname(listener, (struct sockaddr *)&address, &length)) return perror("lazy-link"), 1;
    pthread_t thread;
    pthread_create(&thread, NULL, serve, &listener);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    char line[4096], name[4000];
    long trip, rate;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "link %ld %ld", &trip, &rate) == 2 && rate > 0) {
            atomic_store(&round_trip, trip);
            atomic_store(&bandwidth, rate);
            puts("ok");
        } else if (!strcmp(line, "count\n")) {
            pthread_mutex_lock(&log_lock);
            if (request_log) fflush(request_log);
            pthread_mutex_unlock(&log_lock);
            printf("%ld %ld %ld\n", atomic_exchange(&requests, 0), atomic_exchange(&bytes, 0), atomic_exchange(&connections, 0));
        } else if (sscanf(line, "log %3999s", name) == 1) {
            pthread_mutex_lock(&log_lock);
            if (request_log) fclose(request_log);
            request_log = fopen(name, "a");
            pthread_mutex_unlock(&log_lock);
            puts(request_log ? "ok" : "failed");
        } else {
            puts("unknown");
        }
        fflush(stdout);
    }
    return 0; /* the benchmark has gone */
}
