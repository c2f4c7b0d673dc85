// Requests that carry many publishes, in the short form: what a connection has to ask when it is its turn to write goes
// out together, at most `many` to a request.  Nothing waits for more to come.  Listeners hear runs, as our clients do.
#include "zmtp.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    unsigned count;
    uint16_t slots[MANY_MAX];
} Asked;

typedef struct {
    Asked now;                     // gathered and not yet sent
    Asked out[WINDOW_MAX];         // by the number of the request; count 0: free
    unsigned next;
    size_t used, size;
    unsigned char *items;
} Gathered;

static void greet(Connection *c) {
    Gathered *g = c->gathered;
    if (!g && !(g = c->gathered = calloc(1, sizeof *g))) die("memory");
    g->now.count = 0, g->used = 0;
    for (size_t i = 0; i < WINDOW_MAX; i++) g->out[i].count = 0;
    shake_hands(c, "DEALER");
}

static unsigned free_number(Gathered *g) {
    while (g->out[g->next % WINDOW_MAX].count) g->next++;  // at most as many are out as there are slots
    return g->next++ % WINDOW_MAX;
}

static void gather(Connection *c) {
    static uint64_t requests;
    Gathered *g = c->gathered;
    if (!g->now.count) return;
    unsigned char head[256] = {MARK}, *p = head + HEAD_BYTES;
    char name[32];
    unsigned which = free_number(g);
    big_endian(head + 1, which, 8);
    snprintf(name, sizeof name, "bench-%d", c->number % USERS);
    *p++ = 0x82, p = word(p, "service"), p = word(p, "publish_many"), p = word(p, "data");
    *p++ = settings.level ? 0x85 : 0x84;
    p = word(p, "user"), p = word(p, name);
    if (settings.level) p = word(p, "level"), p = word(p, settings.level);
    p = word(p, "timestamp"), p = number(p, wall_ms() / 1000);
    p = word(p, "clock"), p = number(p, ++requests);
    p = word(p, "items"), *p++ = 0xdc, p = big_endian(p, g->now.count, 2);
    put_head(c, 0, (size_t)(p - head) + g->used);
    put(c, head, (size_t)(p - head));
    put(c, g->items, g->used);
    g->out[which] = g->now, g->now.count = 0, g->used = 0;
}

static void ask(Connection *c, unsigned slot, const char *text, size_t count) {
    Gathered *g = c->gathered;
    if (g->used + REQUEST_MAX > g->size && !(g->items = realloc(g->items, g->size = 2 * (g->used + REQUEST_MAX)))) die("memory");
    char name[32];
    unsigned char *p = g->items + g->used;
    snprintf(name, sizeof name, "bench-%u", next_channel());
    *p++ = 0x93, p = word(p, name), p = long_word(p, text, count), p = put_id(p, c, slot, wall_ms());
    g->used = (size_t)(p - g->items);
    g->now.slots[g->now.count++] = (uint16_t)slot;
    if (g->now.count == (unsigned)settings.many) gather(c);
}

// A map, or a list of them.
static void take_run(Connection *c, const unsigned char *frame, const unsigned char *body, const unsigned char *end) {
    size_t count = 0;
    const unsigned char *p = open_array(body, end, &count), *next;
    if (*frame & MORE) return;
    if (!p) delivered(c, body, (size_t)(end - body));
    for (; p && count-- && (next = past(p, end)); p = next) delivered(c, p, (size_t)(next - p));
}

// Each of them has its own answer: a failure if it says so itself, or if it says nothing and the whole reply is one.
static void take(Connection *c, unsigned char *frame, size_t whole) {
    const unsigned char *body = frame + head_of(frame), *end = frame + whole;
    if (take_command(c, frame, body, (size_t)(end - body))) return;
    if (c->own[LISTENS]) return take_run(c, frame, body, end);
    if (end - body < HEAD_BYTES || *body != MARK) errno = EPROTO, die("a reply in the long form");
    Gathered *g = c->gathered;
    Asked *asked = &g->out[from_big_endian(body + 1, 8) % WINDOW_MAX], of = *asked;
    asked->count = 0;
    const unsigned char *data = value_of(body + HEAD_BYTES, end, "data"), *all = value_of(data, end, "status");
    size_t answers = 0;
    const unsigned char *p = open_array(value_of(data, end, "answers"), end, &answers);
    int accepted = all && !is_word(all, end, "erro");
    if (accepted && answers != of.count) errno = EPROTO, die("not an answer for each publish");
    for (unsigned i = 0; i < of.count; i++) {
        int taken = accepted;
        if (p && i < answers) {
            const unsigned char *own = value_of(p, end, "status");
            if (own) taken = !is_word(own, end, "erro");
            p = past(p, end);
        }
        acknowledged(c, of.slots[i], taken);
    }
}

const Protocol zmtp_many = {"recado-many", WINDOW_MAX, 0, greet, listen_to_runs, ask, unit_of_zmtp, take, gather};
