// MQTT 3.1.1: publishes with QoS 1, acknowledged by PUBACK; subscriptions with QoS 0.
#include "load.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void put_length(Connection *c, size_t count) {
    do {
        unsigned char byte = (unsigned char)((count & 127) | (count > 127 ? 128 : 0));
        put(c, &byte, 1);
    } while (count >>= 7);
}

static void greet(Connection *c) {
    char name[32];
    size_t n = (size_t)snprintf(name, sizeof name, "bench%d-%d", getpid(), c->number);
    put(c, "\x10", 1);
    put_length(c, 12 + n);
    put(c, "\0\4MQTT\4\2\0\0\0", 11);
    put(c, &(unsigned char){(unsigned char)n}, 1);
    put(c, name, n);
    flush_blocking(c);
    await_bytes_of(c, "\x20\2\0\0", 4);
}

static void listen(Connection *c) {
    greet(c);
    put(c, "\x82\14\0\1\0\7bench-0\0", 14);
    flush_blocking(c);
    await_bytes_of(c, "\x90\3\0\1", 4);
    await_bytes(c, 1);
    consume(c, 1);
}

static void ask(Connection *c, unsigned slot, const char *text, size_t count) {
    char channel[32];
    unsigned char number[2];
    size_t n = (size_t)snprintf(channel, sizeof channel, "bench-%u", next_channel());
    put(c, "\x32", 1);
    put_length(c, 2 + n + 2 + count);
    big_endian(number, n, 2), put(c, number, 2);
    put(c, channel, n);
    big_endian(number, slot + 1, 2), put(c, number, 2);
    put(c, text, count);
}

static size_t unit(const unsigned char *p, size_t count) {
    size_t length = 0, at = 1;
    for (int shift = 0; at < count; shift += 7) {
        length |= (size_t)(p[at] & 127) << shift;
        if (!(p[at++] & 128)) return at + length <= count ? at + length : 0;
    }
    return 0;
}

static void take(Connection *c, unsigned char *p, size_t count) {
    if (*p >> 4 == 4 && count == 4) acknowledged(c, (unsigned)from_big_endian(p + 2, 2) - 1, 1);
    else if (*p >> 4 == 3) delivered(c, p, count);
}

const Protocol mqtt_qos1 = {"mqtt", WINDOW_MAX, 0, greet, listen, ask, unit, take};
