// RESP2 of Redis: XADD to a stream of each channel; PUBLISH and SUBSCRIBE.
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void greet(Connection *c) { (void)c; }

static void listen(Connection *c) {
    put_text(c, "*2\r\n$9\r\nSUBSCRIBE\r\n$7\r\nbench-0\r\n");
    flush_blocking(c);
    await_text(c, ":1\r\n");
}

static void put_bulk(Connection *c, const char *bytes, size_t count) {
    char head[32];
    put(c, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", count));
    put(c, bytes, count);
    put(c, "\r\n", 2);
}

static void ask_xadd(Connection *c, unsigned slot, const char *text, size_t count) {
    char channel[32];
    (void)slot;
    int n = snprintf(channel, sizeof channel, "bench-%u", next_channel());
    put_text(c, "*5\r\n$4\r\nXADD\r\n");
    put_bulk(c, channel, (size_t)n);
    put_text(c, "$1\r\n*\r\n$1\r\nm\r\n");
    put_bulk(c, text, count);
}

static void ask_publish(Connection *c, unsigned slot, const char *text, size_t count) {
    (void)slot;
    put_text(c, "*3\r\n$7\r\nPUBLISH\r\n$7\r\nbench-0\r\n");
    put_bulk(c, text, count);
}

static size_t unit(const unsigned char *p, size_t count) {
    size_t at = line_of(p, count);
    if (!at) return 0;
    long many = atol((const char *)p + 1);
    if (*p == '$') {
        size_t whole = at + (many < 0 ? 0 : (size_t)many + 2);
        return whole <= count ? whole : 0;
    }
    if (*p != '*') return at;
    for (long i = 0; i < many; i++) {
        size_t part = at < count ? unit(p + at, count - at) : 0;
        if (!part) return 0;
        at += part;
    }
    return at;
}

static void take(Connection *c, unsigned char *p, size_t count) {
    if (*p == '*') delivered(c, p, count);
    else acknowledged_oldest(c, *p != '-');
}

const Protocol redis_streams = {"redis-streams", WINDOW_MAX, 0, greet, listen, ask_xadd, unit, take};
const Protocol redis_pubsub = {"redis-pubsub", WINDOW_MAX, 0, greet, listen, ask_publish, unit, take};
