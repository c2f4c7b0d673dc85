// Connections: dialling, what is to be sent, waiting for words of a handshake.
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GREETING_MS = 30000 };

static struct sockaddr_in endpoints[ENDPOINTS_MAX];
static int endpoint_count;

void endpoints_from(char *words) {
    for (char *word = strtok(words, ","); word; word = strtok(NULL, ",")) {
        char *port = strrchr(word, ':');
        if (!port || endpoint_count == ENDPOINTS_MAX) errno = EINVAL, die("endpoints");
        *port++ = 0;
        struct sockaddr_in *to = &endpoints[endpoint_count++];
        to->sin_family = AF_INET, to->sin_port = htons((uint16_t)atoi(port));
        if (inet_pton(AF_INET, word, &to->sin_addr) != 1) errno = EINVAL, die(word);
    }
    if (!endpoint_count) errno = EINVAL, die("endpoints");
}

int dial(Connection *c) {
    int one = 1;
    struct sockaddr_in *to = &endpoints[c->endpoint++ % endpoint_count];
    c->in_used = c->out_used = c->out_sent = 0;
    c->waiting_to_write = 0;
    memset(c->own, 0, sizeof c->own);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)to, sizeof *to)) {
        close(c->fd), c->fd = -1;
        return -1;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return 0;
}

unsigned char *room(Connection *c, size_t bytes) {
    if (c->out_used + bytes > c->out_size) {
        c->out_size = 2 * (c->out_used + bytes);
        if (!(c->out_bytes = realloc(c->out_bytes, c->out_size))) die("memory");
    }
    return c->out_bytes + c->out_used;
}

void put(Connection *c, const void *bytes, size_t count) {
    memcpy(room(c, count), bytes, count);
    c->out_used += count;
}

void put_text(Connection *c, const char *text) { put(c, text, strlen(text)); }

int flush(Connection *c) {
    while (c->out_sent < c->out_used) {
        ssize_t n = send(c->fd, c->out_bytes + c->out_sent, c->out_used - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->out_sent += (size_t)n;
    }
    c->out_used = c->out_sent = 0;
    return 1;
}

void flush_blocking(Connection *c) {
    struct pollfd writable = {.fd = c->fd, .events = POLLOUT};
    int done;
    while (!(done = flush(c)))
        if (poll(&writable, 1, GREETING_MS) <= 0) errno = ETIMEDOUT, die("greeting");
    if (done < 0) die("greeting");
}

static void read_more(Connection *c) {
    struct pollfd readable = {.fd = c->fd, .events = POLLIN};
    if (c->in_used == IN_BYTES) errno = EMSGSIZE, die("greeting");
    if (poll(&readable, 1, GREETING_MS) <= 0) errno = ETIMEDOUT, die("greeting");
    ssize_t n = recv(c->fd, c->in + c->in_used, IN_BYTES - c->in_used, 0);
    if (n <= 0) errno = n ? errno : ECONNRESET, die("greeting");
    int one = 1;  // a server that sends its words one by one, and waits for each to be acknowledged, is not waited for
    setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    c->in_used += (size_t)n;
}

void await_bytes(Connection *c, size_t count) {
    while (c->in_used < count) read_more(c);
}

void await_bytes_of(Connection *c, const void *bytes, size_t count) {
    unsigned char *found;
    while (!(found = memmem(c->in, c->in_used, bytes, count))) read_more(c);
    consume(c, (size_t)(found - c->in) + count);
}

void await_text(Connection *c, const char *text) { await_bytes_of(c, text, strlen(text)); }

void consume(Connection *c, size_t count) { memmove(c->in, c->in + count, c->in_used -= count); }

unsigned char *big_endian(unsigned char *p, uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) *p++ = (unsigned char)(value >> shift);
    return p;
}

uint64_t from_big_endian(const unsigned char *p, int bytes) {
    uint64_t value = 0;
    while (bytes--) value = value << 8 | *p++;
    return value;
}

size_t line_of(const unsigned char *p, size_t count) {
    const unsigned char *end = memchr(p, '\n', count);
    return end ? (size_t)(end - p) + 1 : 0;
}
