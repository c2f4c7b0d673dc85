// AMQP 0-9-1 of RabbitMQ: persistent messages to a durable queue with publisher confirms; a fanout exchange with
// an exclusive queue for each subscriber.
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { METHOD = 1, HEADER = 2, BODY = 3, END = 0xce, TAGS = 4 * WINDOW_MAX, BASIC = 60, ACK = 80, NACK = 120 };

// A method's frame: class, method, then its arguments as they are.
typedef struct { unsigned char bytes[512]; size_t used; } Arguments;

static void add(Arguments *a, const void *bytes, size_t count) { memcpy(a->bytes + a->used, bytes, count), a->used += count; }
static void add_number(Arguments *a, uint64_t value, int bytes) { big_endian(a->bytes + a->used, value, bytes), a->used += (size_t)bytes; }
static void add_short(Arguments *a, const char *text) { add_number(a, strlen(text), 1), add(a, text, strlen(text)); }

static void put_frame(Connection *c, int type, int channel, const void *bytes, size_t count) {
    unsigned char head[7] = {(unsigned char)type};
    big_endian(head + 1, (uint64_t)channel, 2), big_endian(head + 3, count, 4);
    put(c, head, 7), put(c, bytes, count), put(c, &(unsigned char){END}, 1);
}

static Arguments method(int of_class, int number) {
    Arguments a = {.used = 0};
    add_number(&a, (uint64_t)of_class, 2), add_number(&a, (uint64_t)number, 2);
    return a;
}

static void await_method(Connection *c, int of_class, int number) {
    unsigned char wanted[4];
    big_endian(wanted, (uint64_t)of_class, 2), big_endian(wanted + 2, (uint64_t)number, 2);
    flush_blocking(c);
    for (;;) {
        await_bytes(c, 7);
        size_t count = from_big_endian(c->in + 3, 4) + 8;
        await_bytes(c, count);
        int found = c->in[0] == METHOD && !memcmp(c->in + 7, wanted, 4);
        if (!found && c->in[0] == METHOD && (c->in[10] == 40 || c->in[10] == 50)) {
            fprintf(stderr, "load: %.*s\n", (int)count, c->in + 11), errno = EPROTO, die("closed by the server");
        }
        consume(c, count);
        if (found) return;
    }
}

static void call(Connection *c, const Arguments *a, int of_class, int answer) {
    put_frame(c, METHOD, of_class == 10 ? 0 : 1, a->bytes, a->used);
    await_method(c, of_class, answer);
}

static void enter(Connection *c) {
    put(c, "AMQP\0\0\11\1", 8);
    await_method(c, 10, 10);
    Arguments start = method(10, 11);
    add_number(&start, 0, 4), add_short(&start, "PLAIN");
    add_number(&start, 12, 4), add(&start, "\0guest\0guest", 12), add_short(&start, "en_US");
    call(c, &start, 10, 30);
    Arguments tune = method(10, 31);
    add_number(&tune, 2047, 2), add_number(&tune, 131072, 4), add_number(&tune, 0, 2);
    put_frame(c, METHOD, 0, tune.bytes, tune.used);
    Arguments open = method(10, 40);
    add_short(&open, "/"), add_short(&open, ""), add_number(&open, 0, 1);
    call(c, &open, 10, 41);
    Arguments channel = method(20, 10);
    add_short(&channel, "");
    call(c, &channel, 20, 11);
    Arguments exchange = method(40, 10);
    add_number(&exchange, 0, 2), add_short(&exchange, "fan"), add_short(&exchange, "fanout");
    add_number(&exchange, 0, 1), add_number(&exchange, 0, 4);
    call(c, &exchange, 40, 11);
}

static void declare(Connection *c, const char *name, int bits) {
    Arguments queue = method(50, 10);
    add_number(&queue, 0, 2), add_short(&queue, name), add_number(&queue, (uint64_t)bits, 1), add_number(&queue, 0, 4);
    call(c, &queue, 50, 11);
}

static void greet(Connection *c) {
    enter(c);
    declare(c, "bench", 2);  // durable
    Arguments confirm = method(85, 10);
    add_number(&confirm, 0, 1);
    call(c, &confirm, 85, 11);
    c->own[0] = 1, c->own[1] = 1;  // the oldest tag without a confirm, the next one
}

static void listen(Connection *c) {
    char name[32];
    snprintf(name, sizeof name, "bench-%d-%d", getpid(), c->number);
    enter(c);
    declare(c, name, 4 | 8);  // exclusive, deleted with its subscriber
    Arguments bind = method(50, 20);
    add_number(&bind, 0, 2), add_short(&bind, name), add_short(&bind, "fan"), add_short(&bind, ""), add_number(&bind, 0, 1), add_number(&bind, 0, 4);
    call(c, &bind, 50, 21);
    Arguments consume_it = method(BASIC, 20);
    add_number(&consume_it, 0, 2), add_short(&consume_it, name), add_short(&consume_it, ""), add_number(&consume_it, 2, 1), add_number(&consume_it, 0, 4);
    call(c, &consume_it, BASIC, 21);
}

static unsigned short slots[CONNECTIONS_MAX][TAGS];  // of each tag, plus one; 0 once it is confirmed

static void send_message(Connection *c, unsigned slot, const char *text, size_t count) {
    int fan = settings.protocol == &amqp_fanout;
    Arguments publish = method(BASIC, 40);
    add_number(&publish, 0, 2), add_short(&publish, fan ? "fan" : ""), add_short(&publish, fan ? "" : "bench"), add_number(&publish, 0, 1);
    put_frame(c, METHOD, 1, publish.bytes, publish.used);
    Arguments header = {.used = 0};
    add_number(&header, BASIC, 2), add_number(&header, 0, 2), add_number(&header, count, 8);
    add_number(&header, 0x1000, 2), add_number(&header, fan ? 1 : 2, 1);  // delivery mode: persistent
    put_frame(c, HEADER, 1, header.bytes, header.used);
    put_frame(c, BODY, 1, text, count);
    slots[c->number][c->own[1]++ % TAGS] = (unsigned short)(slot + 1);
}

static size_t unit(const unsigned char *p, size_t count) {
    if (count < 8) return 0;
    size_t whole = from_big_endian(p + 3, 4) + 8;
    return whole <= count ? whole : 0;
}

static void confirm(Connection *c, uint64_t tag, int accepted) {
    unsigned short slot = slots[c->number][tag % TAGS];
    slots[c->number][tag % TAGS] = 0;
    if (slot) acknowledged(c, slot - 1u, accepted);
}

static void take(Connection *c, unsigned char *p, size_t count) {
    if (*p == BODY) delivered(c, p, count);
    if (*p != METHOD || p[8] != BASIC || (p[10] != ACK && p[10] != NACK)) return;
    uint64_t tag = from_big_endian(p + 11, 8);
    int multiple = p[19] & 1;
    if (!multiple) confirm(c, tag, p[10] == ACK);
    if (multiple && c->own[0] + TAGS < c->own[1]) c->own[0] = c->own[1] - TAGS;
    while (multiple && c->own[0] <= tag) confirm(c, c->own[0]++, p[10] == ACK);
}

const Protocol amqp_queue = {"amqp", WINDOW_MAX, 0, greet, listen, send_message, unit, take};
const Protocol amqp_fanout = {"amqp-fanout", WINDOW_MAX, 0, greet, listen, send_message, unit, take};
