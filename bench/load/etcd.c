// etcd's HTTP API, version 2: PUT of a key, answered when the quorum has it.  One request at a time on a connection.
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 1000 };  // of each connection, overwritten in turn

static void greet(Connection *c) { (void)c; }

static void ask(Connection *c, unsigned slot, const char *text, size_t count) {
    char head[256];
    (void)slot;
    uint64_t key = c->own[0]++ % KEYS;
    int n = snprintf(head, sizeof head,
                     "PUT /v2/keys/bench-%d-%lu HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                     "Content-Length: %zu\r\n\r\nvalue=", c->number, key, count + 6);
    put(c, head, (size_t)n);
    for (size_t i = 0; i < count; i++) put(c, text[i] == '=' || text[i] == '@' ? "-" : text + i, 1);
}

static size_t unit(const unsigned char *p, size_t count) {
    const unsigned char *end = memmem(p, count, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - p) + 4;
    const unsigned char *length = memmem(p, head, "Content-Length: ", 16);
    size_t whole = head + (length ? (size_t)atol((const char *)length + 16) : 0);
    return whole <= count ? whole : 0;
}

static void take(Connection *c, unsigned char *p, size_t count) { acknowledged_oldest(c, count > 12 && p[9] == '2'); }

const Protocol etcd_put = {"etcd", 1, 0, greet, greet, ask, unit, take};
