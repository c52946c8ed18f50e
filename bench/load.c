// SPDX-License-Identifier: MIT
// The load: so many connections, each with one search outstanding, for so long.
//
// It has to cost far less than the servers that it measures: requests are encoded before the clock starts, and answers
// are only cut into messages and counted by the tag of their operation.  About 5 µs of processor time a search.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 24, BUFFER = 1 << 18, EVENTS = 256, MOST_ERRORS = 1000 };
enum { BIND_RESPONSE = 0x61, ENTRY = 0x64, DONE = 0x65, SUCCESS = 0, SIZE_LIMIT_EXCEEDED = 4 };

// What is to be done; times in nanoseconds.
typedef struct {
    uint32_t port, connections, fresh;   // fresh: a connection and a bind for each search
    uint32_t same_id;                    // all messages have the messageID 1
    uint64_t warmup, span, patience;     // patience: more time for the searches that `least` wants
    uint64_t least;                      // searches that have to end before the clock stops
    const uint8_t *requests, *bind;      // requests: one behind the other
    const uint32_t *offsets;             // where each of them begins, and where the last one ends
    uint32_t count, bind_length;
    uint64_t *latencies, capacity;       // room for the time of each search
} load;

// What was found, in the time behind the warm-up.  `found`: entries of the searches that ended.
typedef struct { uint64_t searches, entries, found, bytes, errors, last_code, timed, elapsed; } report;

typedef enum { CONNECTING, BINDING, SEARCHING } phase;
typedef struct {
    int fd;
    phase phase;
    uint8_t id;
    uint64_t start, entries;
    uint64_t skip;                       // octets that are still to come of a message that was counted
    int carried;
    uint8_t carry[HEAD];                 // the beginning of a message, too short to tell what it is
} connection;

static const load *L;
static report *R;
static int poller;
static uint32_t next_request;
static uint64_t counted_from;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void hang_up(connection *c) {
    close(c->fd);
    c->fd = -1;
}

static void dial(connection *c) {
    static uint32_t serial;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(L->port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    int one = 1;
    c->start = now();
    c->phase = CONNECTING;
    c->skip = c->carried = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        R->errors++;
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // Many addresses of our own: ports that wait for their end (TIME-WAIT) never run out.
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    from.sin_addr.s_addr = htonl(0x7f000002u + serial++ % 200);
    bind(c->fd, (void *)&from, sizeof from);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(c->fd, (void *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        R->errors++;
        hang_up(c);
        return;
    }
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void put(connection *c, const uint8_t *data, uint32_t length) {
    // Requests are small: what does not go out at once is an error.
    if (send(c->fd, data, length, MSG_NOSIGNAL) != (ssize_t)length) R->errors++;
}

static void ask(connection *c) {
    uint8_t request[4096];
    uint32_t at = next_request++ % L->count, length = L->offsets[at + 1] - L->offsets[at];
    memcpy(request, L->requests + L->offsets[at], length);
    if (!L->same_id) c->id = c->id % 126 + 1;
    request[request[1] < 128 ? 4 : 4 + (request[1] & 127)] = c->id;
    c->phase = SEARCHING;
    c->entries = 0;
    if (!L->fresh) c->start = now();
    put(c, request, length);
}

static void connected(connection *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    c->id = 1;
    c->phase = BINDING;
    put(c, L->bind, L->bind_length);
}

static void done(connection *c, int code) {
    static const uint8_t unbind[] = {0x30, 5, 2, 1, 127, 0x42, 0};
    uint64_t ended = now();
    if (code != SUCCESS && code != SIZE_LIMIT_EXCEEDED) {
        R->errors++;
        R->last_code = code;
    } else if (c->start >= counted_from) {
        R->searches++;
        R->found += c->entries;
        if (R->timed < L->capacity) L->latencies[R->timed++] = ended - c->start;
    }
    if (!L->fresh) {
        ask(c);
        return;
    }
    put(c, unbind, sizeof unbind);
    hang_up(c);
    dial(c);
}

// A message by its first octets: (SEQUENCE (messageID, protocolOp …)), with a messageID of one octet.
static void message(connection *c, const uint8_t *data, int length) {
    int at = data[1] < 128 ? 2 : 2 + (data[1] & 127);
    if (data[0] != 0x30 || at + 5 > length || data[at] != 2 || data[at + 1] != 1 || data[at + 2] != c->id) {
        R->errors++;
        return;
    }
    int tag = data[at + 3], in = data[at + 4] < 128 ? at + 5 : at + 5 + (data[at + 4] & 127);
    if (tag == ENTRY) {
        R->entries++;
        c->entries++;
        return;
    }
    int code = in + 3 <= length && data[in] == 10 ? data[in + 2] : 255;
    if (tag == DONE && c->phase == SEARCHING) {
        done(c, code);
    } else if (tag == BIND_RESPONSE && c->phase == BINDING && code == SUCCESS) {
        ask(c);
    } else {
        R->errors++;
        R->last_code = code;
    }
}

// How long a message is; 0 where not enough of it is there to tell what it is.
static uint64_t whole(const uint8_t *data, uint64_t there) {
    if (there < 2) return 0;
    uint64_t length = data[1], head = 2;
    if (length >= 128) {
        head += length & 127;
        if (head > 10 || there < head) return 0;
        length = 0;
        for (uint64_t i = 2; i < head; i++) length = length << 8 | data[i];
    }
    return there >= head + length || there >= HEAD ? head + length : 0;
}

static void readable(connection *c) {
    static uint8_t buffer[HEAD + BUFFER];
    int fd = c->fd;
    memcpy(buffer, c->carry, c->carried);
    ssize_t got = recv(fd, buffer + c->carried, BUFFER, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        R->errors++;
        hang_up(c);
        dial(c);
        return;
    }
    R->bytes += got;
    uint8_t *at = buffer, *end = buffer + c->carried + got;
    c->carried = 0;
    while (at < end) {
        uint64_t left = end - at, over = c->skip < left ? c->skip : left;
        at += over;
        c->skip -= over;
        if (!(left -= over)) return;
        uint64_t length = whole(at, left);
        if (!length) {
            memcpy(c->carry, at, left);
            c->carried = left;
            return;
        }
        c->skip = length;
        message(c, at, left < HEAD ? left : HEAD);
        if (c->fd != fd || c->phase == CONNECTING) return;  // it is another connection now
    }
}

static void happened(connection *c, uint32_t events) {
    if (c->fd < 0) return;
    if (c->phase != CONNECTING) {
        readable(c);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        R->errors++;
        hang_up(c);
        usleep(1000);
        dial(c);
    } else {
        connected(c);
    }
}

// Returns 0, or 1 when a signal came: what was asked for is to be ended.
int run(const load *wanted, report *found) {
    struct epoll_event events[EVENTS];
    uint64_t time, bytes = 0, entries = 0;
    int counted = 0, interrupted = 0;
    L = wanted;
    R = found;
    memset(R, 0, sizeof *R);
    next_request = 0;
    poller = epoll_create1(0);
    connection *all = calloc(L->connections, sizeof *all);
    counted_from = now() + L->warmup;
    uint64_t stop = counted_from + L->span;
    for (uint32_t i = 0; i < L->connections; i++) dial(&all[i]);
    while ((time = now()) < stop || (R->searches < L->least && time < stop + L->patience)) {
        if (!counted && time >= counted_from) {
            bytes = R->bytes;
            entries = R->entries;
            counted = 1;
        }
        int ready = epoll_wait(poller, events, EVENTS, 50);
        if (ready < 0 || R->errors > MOST_ERRORS) {
            interrupted = ready < 0;
            break;
        }
        for (int i = 0; i < ready; i++) happened(events[i].data.ptr, events[i].events);
    }
    R->elapsed = now() - counted_from;
    R->bytes -= bytes;
    R->entries -= entries;
    for (uint32_t i = 0; i < L->connections; i++)
        if (all[i].fd > 0) close(all[i].fd);
    close(poller);
    free(all);
    return interrupted;
}
