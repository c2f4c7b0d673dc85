// ZMTP 3.0 (rfc.zeromq.org/spec/23, mechanism NULL): requests as REQ or DEALER in Recado's long form, or in the short
// one (docs/protocol.md); publications straight to a broker as PUB; subscriptions as SUB.
#include "zmtp.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONG = 2, COMMAND = 4 };

size_t head_of(const unsigned char *p) { return *p & LONG ? 9 : 2; }

size_t unit_of_zmtp(const unsigned char *p, size_t count) {
    if (count < 2 || count < head_of(p)) return 0;
    size_t whole = head_of(p) + (*p & LONG ? from_big_endian(p + 1, 8) : p[1]);
    return whole <= count ? whole : 0;
}

void put_head(Connection *c, int flags, size_t count) {
    unsigned char head[9], *p = head;
    if (count > 255) *p++ = (unsigned char)(flags | LONG), p = big_endian(p, count, 8);
    else *p++ = (unsigned char)flags, *p++ = (unsigned char)count;
    put(c, head, (size_t)(p - head));
}

void put_frame(Connection *c, int flags, const void *bytes, size_t count) {
    put_head(c, flags, count);
    put(c, bytes, count);
}

void shake_hands(Connection *c, const char *kind) {
    unsigned char greeting[64] = {0xff, [9] = 0x7f, 3}, ready[64] = "\5READY\13Socket-Type";
    memcpy(greeting + 12, "NULL", 4);
    put(c, greeting, 64);
    unsigned char *p = big_endian(ready + 18, strlen(kind), 4);
    memcpy(p, kind, strlen(kind));
    put_frame(c, COMMAND, ready, (size_t)(p - ready) + strlen(kind));
    flush_blocking(c);
    await_bytes(c, 64);
    consume(c, 64);
    size_t whole;
    while (!(whole = unit_of_zmtp(c->in, c->in_used))) await_bytes(c, c->in_used + 1);
    if (whole < 8 || memcmp(c->in + head_of(c->in), "\5READY", 6)) errno = EPROTO, die("refused by the server");
    consume(c, whole);
}

static void greet(Connection *c) { shake_hands(c, settings.window == 1 ? "REQ" : "DEALER"); }
static void greet_short(Connection *c) { shake_hands(c, "DEALER"); }
static void greet_pub(Connection *c) { shake_hands(c, "PUB"); }

static void subscribe(Connection *c, const void *wish, size_t count) {
    shake_hands(c, "SUB");
    put_frame(c, 0, wish, count);
    flush_blocking(c);
    c->own[LISTENS] = 1;
}

void listen_as_sub(Connection *c) { subscribe(c, "\1bench-0", 8); }
void listen_to_runs(Connection *c) { subscribe(c, "\1\0runs\0bench-0\0", 15); }

// What goes ---------------------------------------------------------------------------------------------

uint64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// The id: six bytes of time, then connection and slot, to find them again, then a count.
unsigned char *put_id(unsigned char *p, Connection *c, unsigned slot, uint64_t ms) {
    static uint64_t ids;
    *p++ = 0xc4, *p++ = ID_BYTES, p = big_endian(p, ms, 6);
    p = big_endian(p, (uint64_t)c->number, 2), p = big_endian(p, slot, 2);
    return big_endian(p, ++ids << 16 | (uint64_t)(rand() & 0xffff), 6);
}

static unsigned char *fields(unsigned char *p, Connection *c, unsigned slot, const char *text, size_t count) {
    static uint64_t requests;
    char name[32];
    uint64_t ms = wall_ms();
    requests++;
    snprintf(name, sizeof name, "bench-%d", c->number % USERS);
    p = word(p, "user"), p = word(p, name);
    snprintf(name, sizeof name, "bench-%u", next_channel());
    p = word(p, "channel"), p = word(p, name);
    p = word(p, "message"), p = long_word(p, text, count);
    p = word(p, "timestamp"), p = number(p, ms / 1000);
    p = word(p, "clock"), p = number(p, requests);
    return put_id(word(p, "id"), c, slot, ms);
}

static size_t publish(unsigned char *start, Connection *c, unsigned slot, const char *text, size_t count) {
    unsigned char *p = start;
    *p++ = 0x82, p = word(p, "service"), p = word(p, "publish"), p = word(p, "data"), *p++ = settings.level ? 0x87 : 0x86;
    p = fields(p, c, slot, text, count);
    if (settings.level) p = word(p, "level"), p = word(p, settings.level);
    return (size_t)(p - start);
}

static void ask(Connection *c, unsigned slot, const char *text, size_t count) {
    unsigned char body[REQUEST_MAX];
    put_frame(c, MORE, "", 0);
    put_frame(c, 0, body, publish(body, c, slot, text, count));
}

static void ask_short(Connection *c, unsigned slot, const char *text, size_t count) {
    unsigned char body[REQUEST_MAX] = {MARK};
    big_endian(body + 1, slot, 8);
    put_frame(c, 0, body, HEAD_BYTES + publish(body + HEAD_BYTES, c, slot, text, count));
}

static void ask_pub(Connection *c, unsigned slot, const char *text, size_t count) {
    unsigned char body[REQUEST_MAX] = {0x86};
    char topic[32];
    int n = snprintf(topic, sizeof topic, "bench-%u", next_channel());
    put_frame(c, MORE, topic, (size_t)n);
    put_frame(c, 0, body, (size_t)(fields(body + 1, c, slot, text, count) - body));
}

// What comes --------------------------------------------------------------------------------------------

int take_command(Connection *c, const unsigned char *frame, const unsigned char *body, size_t count) {
    if (!(*frame & COMMAND)) return 0;
    if (count >= 7 && count <= 64 && !memcmp(body, "\4PING", 5)) {
        unsigned char pong[64] = "\4PONG";
        memcpy(pong + 5, body + 7, count - 7);  // without the time to live
        put_frame(c, COMMAND, pong, count - 2);
    }
    return 1;
}

static int is_ok(const unsigned char *body, size_t count) { return !!memmem(body, count, "\xa6status\xa2OK", 10); }

void take_publication(Connection *c, unsigned char *frame, size_t whole) {
    const unsigned char *body = frame + head_of(frame);
    size_t count = whole - head_of(frame);
    if (!take_command(c, frame, body, count) && !(*frame & MORE)) delivered(c, body, count);
}

static void take(Connection *c, unsigned char *frame, size_t whole) {
    if (c->own[LISTENS]) return take_publication(c, frame, whole);
    const unsigned char *body = frame + head_of(frame);
    size_t count = whole - head_of(frame);
    if (take_command(c, frame, body, count) || *frame & MORE) return;
    const unsigned char *id = memmem(body, count, "\xa2id\xc4\x10", 5);
    if (!id || id + 5 + ID_BYTES > body + count) errno = EPROTO, die("a reply without its id");
    acknowledged(c, (unsigned)from_big_endian(id + 5 + 8, 2), is_ok(body, count));
}

static void take_short(Connection *c, unsigned char *frame, size_t whole) {
    if (c->own[LISTENS]) return take_publication(c, frame, whole);
    const unsigned char *body = frame + head_of(frame);
    size_t count = whole - head_of(frame);
    if (take_command(c, frame, body, count)) return;
    if (count < HEAD_BYTES || *body != MARK) errno = EPROTO, die("a reply in the long form");
    acknowledged(c, (unsigned)from_big_endian(body + 1, 8), is_ok(body, count));
}

const Protocol zmtp_long = {"recado", WINDOW_MAX, 0, greet, listen_as_sub, ask, unit_of_zmtp, take};
const Protocol zmtp_short = {"recado-short", WINDOW_MAX, 0, greet_short, listen_as_sub, ask_short, unit_of_zmtp, take_short};
const Protocol zmtp_pub = {"recado-pub", WINDOW_MAX, 1, greet_pub, listen_as_sub, ask_pub, unit_of_zmtp, take_publication};
