// A load of publishes: closed loop, CONNECTIONS x WINDOW requests out, each answered before its next one goes.
//
//   load HOST PORT CONNECTIONS WINDOW WARM_SECONDS SECONDS TEXT_BYTES
//
// One line of JSON on standard output: what was answered, how late, and the processor time that asking took.
// It speaks ZMTP 3.0 (rfc.zeromq.org/spec/23, mechanism NULL) over plain TCP itself, as REQ if WINDOW is 1 and
// as DEALER with a delimiter otherwise: a generator on libzmq costs about as much processor time as the server,
// on a small machine that time is missing there.  Users bench-0 .. bench-63 and channels bench-0 .. bench-15
// must exist.  Latency runs from the making of a request to the reading of the reply with its id.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    USERS = 64, CHANNELS = 16, CONNECTIONS_MAX = 1024, WINDOW_MAX = 1024, TEXT_MAX = 16384, REQUEST_MAX = TEXT_MAX + 512,
    IN_BYTES = 1 << 18, LATENCY_MAX_US = 4000000, ID_BYTES = 16, MORE = 1, LONG = 2, COMMAND = 4,
};

typedef struct {
    int fd;
    int greeted;                   // their greeting of 64 bytes is behind us
    size_t in_used, out_used, out_sent, out_size;
    unsigned char in[IN_BYTES], *out;
    uint64_t asked_ns[WINDOW_MAX]; // when the request of this slot was made
} Connection;

static Connection *connections[CONNECTIONS_MAX];
static int window, text_bytes, epoll;
static uint64_t measure_from_ns, end_ns, requests, answered, measured, refused;
static uint32_t latencies[LATENCY_MAX_US + 1];  // how many took that many microseconds

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

// MessagePack -----------------------------------------------------------------------------------------

static unsigned char *big_endian(unsigned char *p, uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) *p++ = (unsigned char)(value >> shift);
    return p;
}

static unsigned char *text(unsigned char *p, const char *value) {
    size_t n = strlen(value);
    *p++ = (unsigned char)(0xa0 | n);
    memcpy(p, value, n);
    return p + n;
}

static unsigned char *number(unsigned char *p, uint64_t value) {
    *p++ = 0xcf;
    return big_endian(p, value, 8);
}

// A publish whose id is six bytes of time, then connection and slot (to find them again), then a count.
static size_t publish(unsigned char *start, int connection, int slot) {
    unsigned char *p = start;
    char name[32];
    uint64_t ms = now_ns(CLOCK_REALTIME) / 1000000;
    requests++;
    *p++ = 0x82, p = text(p, "service"), p = text(p, "publish"), p = text(p, "data"), *p++ = 0x86;
    snprintf(name, sizeof name, "bench-%d", connection % USERS);
    p = text(p, "user"), p = text(p, name);
    snprintf(name, sizeof name, "bench-%d", (int)(requests % CHANNELS));
    p = text(p, "channel"), p = text(p, name);
    p = text(p, "message"), *p++ = 0xda, p = big_endian(p, (uint64_t)text_bytes, 2);
    memset(p, 'x', (size_t)text_bytes), p += text_bytes;
    p = text(p, "timestamp"), p = number(p, ms / 1000);
    p = text(p, "clock"), p = number(p, requests);
    p = text(p, "id"), *p++ = 0xc4, *p++ = ID_BYTES, p = big_endian(p, ms, 6);
    p = big_endian(p, (uint64_t)connection, 2), p = big_endian(p, (uint64_t)slot, 2), p = big_endian(p, requests, 6);
    return (size_t)(p - start);
}

// ZMTP ------------------------------------------------------------------------------------------------

static unsigned char *room(Connection *c, size_t bytes) {
    if (c->out_used + bytes > c->out_size) {
        c->out_size = 2 * (c->out_used + bytes);
        if (!(c->out = realloc(c->out, c->out_size))) die("memory");
    }
    return c->out + c->out_used;
}

static void put_frame(Connection *c, int flags, const void *bytes, size_t count) {
    unsigned char *p = room(c, count + 9), *start = p;
    if (count > 255) *p++ = (unsigned char)(flags | LONG), p = big_endian(p, count, 8);
    else *p++ = (unsigned char)flags, *p++ = (unsigned char)count;
    memcpy(p, bytes, count);
    c->out_used += (size_t)(p - start) + count;
}

static void ask(int connection, int slot) {
    unsigned char body[REQUEST_MAX];
    Connection *c = connections[connection];
    c->asked_ns[slot] = now_ns(CLOCK_MONOTONIC);
    put_frame(c, MORE, "", 0);
    put_frame(c, 0, body, publish(body, connection, slot));
}

static void flush(int connection) {
    Connection *c = connections[connection];
    while (c->out_sent < c->out_used) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN) die("send");
        if (n < 0) break;
        c->out_sent += (size_t)n;
    }
    int blocked = c->out_sent < c->out_used;
    if (!blocked) c->out_used = c->out_sent = 0;
    struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.u32 = (uint32_t)connection};
    static unsigned char was_blocked[CONNECTIONS_MAX];
    if (blocked != was_blocked[connection] && epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event)) die("epoll_ctl");
    was_blocked[connection] = (unsigned char)blocked;
}

static void dial(int connection, const char *host, int port) {
    Connection *c = connections[connection] = calloc(1, sizeof *c);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    if (!c || inet_pton(AF_INET, host, &to.sin_addr) != 1) die(host);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
    unsigned char *greeting = room(c, 64);
    memset(greeting, 0, 64);
    greeting[0] = 0xff, greeting[9] = 0x7f, greeting[10] = 3;
    memcpy(greeting + 12, "NULL", 4);
    c->out_used = 64;
    const char *kind = window == 1 ? "REQ" : "DEALER";
    unsigned char ready[64] = "\5READY\13Socket-Type", *p = big_endian(ready + 18, strlen(kind), 4);
    memcpy(p, kind, strlen(kind)), p += strlen(kind);
    put_frame(c, COMMAND, ready, (size_t)(p - ready));
    flush(connection);
}

static void take_command(int connection, const unsigned char *body, size_t count) {
    if (count >= 6 && !memcmp(body, "\5READY", 6)) {
        for (int slot = 0; slot < window; slot++) ask(connection, slot);
    } else if (count >= 7 && count <= 64 && !memcmp(body, "\4PING", 5)) {
        unsigned char pong[64] = "\4PONG";
        memcpy(pong + 5, body + 7, count - 7);  // without the time to live
        put_frame(connections[connection], COMMAND, pong, count - 2);
    } else if (count >= 6 && !memcmp(body, "\5ERROR", 6)) {
        errno = EPROTO;
        die("refused by the server");
    }
}

static void take_reply(int connection, const unsigned char *body, size_t count, uint64_t now) {
    Connection *c = connections[connection];
    const unsigned char *id = memmem(body, count, "\xa2id\xc4\x10", 5);
    int slot = id && id + 5 + ID_BYTES <= body + count ? id[5 + 8] << 8 | id[5 + 9] : -1;
    if (slot < 0 || slot >= window) {
        errno = EPROTO;
        die("a reply without its id");
    }
    answered++;
    if (!memmem(body, count, "\xa6status\xa2OK", 10)) refused++;
    if (now >= measure_from_ns) {
        uint64_t us = (now - c->asked_ns[slot]) / 1000;
        latencies[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
        measured++;
    }
    ask(connection, slot);
}

static void take_input(int connection) {
    Connection *c = connections[connection];
    ssize_t n = recv(c->fd, c->in + c->in_used, IN_BYTES - c->in_used, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) die("the server closed the connection");
    c->in_used += (size_t)n;
    size_t at = 0;
    if (!c->greeted) {
        if (c->in_used < 64) return;
        c->greeted = 1, at = 64;
    }
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    while (c->in_used - at >= 2) {
        unsigned char *p = c->in + at;
        size_t head = p[0] & LONG ? 9 : 2, count = p[1];
        if (c->in_used - at < head) break;
        for (int i = 2; p[0] & LONG && i < 9; i++) count = count << 8 | p[i];
        if (count > IN_BYTES - 9) errno = EMSGSIZE, die("reply");
        if (c->in_used - at < head + count) break;
        if (p[0] & COMMAND) take_command(connection, p + head, count);
        else if (!(p[0] & MORE)) take_reply(connection, p + head, count, now);
        at += head + count;
    }
    memmove(c->in, c->in + at, c->in_used -= at);
    flush(connection);
}

static unsigned percentile_us(double fraction) {
    uint64_t seen = 0;
    for (unsigned us = 0; us <= LATENCY_MAX_US; us++)
        if ((seen += latencies[us]) && (double)seen >= fraction * (double)measured) return us;
    return LATENCY_MAX_US;
}

int main(int count, char **words) {
    if (count != 8) {
        fprintf(stderr, "usage: load HOST PORT CONNECTIONS WINDOW WARM_SECONDS SECONDS TEXT_BYTES\n");
        return 2;
    }
    int number_of = atoi(words[3]);
    window = atoi(words[4]), text_bytes = atoi(words[7]), epoll = epoll_create1(0);
    if (number_of < 1 || number_of > CONNECTIONS_MAX || window < 1 || window > WINDOW_MAX || text_bytes < 1 || text_bytes > TEXT_MAX)
        errno = ERANGE, die("arguments");
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    measure_from_ns = start + (uint64_t)(atof(words[5]) * 1e9);
    end_ns = measure_from_ns + (uint64_t)(atof(words[6]) * 1e9);
    for (int i = 0; i < number_of; i++) dial(i, words[1], atoi(words[2]));
    struct epoll_event events[256];
    while (now_ns(CLOCK_MONOTONIC) < end_ns) {
        int ready = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            if (events[i].events & EPOLLOUT) flush((int)events[i].data.u32);
            if (events[i].events & ~(uint32_t)EPOLLOUT) take_input((int)events[i].data.u32);
        }
    }
    double seconds = (double)(now_ns(CLOCK_MONOTONIC) - measure_from_ns) / 1e9;
    double processor = (double)now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
    printf("{\"answered\": %lu, \"measured\": %lu, \"refused\": %lu, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %u, "
           "\"p99_us\": %u, \"p999_us\": %u, \"generator_cores\": %.3f}\n",
           answered, measured, refused, seconds, (double)measured / seconds, percentile_us(0.5), percentile_us(0.99),
           percentile_us(0.999), processor / ((double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9));
    return measured ? 0 : 1;
}
