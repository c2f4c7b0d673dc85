// The text protocol of NATS: publishes that JetStream acknowledges to a reply subject, and core publish/subscribe,
// where a PONG at the end of each window says that the server has taken what was before it.
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void subscribe(Connection *c, const char *subject) {
    char words[256];
    await_text(c, "\r\n");
    put_text(c, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\n");
    if (subject) put(c, words, (size_t)snprintf(words, sizeof words, "SUB %s 1\r\n", subject));
    put_text(c, "PING\r\n");
    flush_blocking(c);
    await_text(c, "PONG\r\n");
}

static void greet(Connection *c) {
    char inbox[64];
    snprintf(inbox, sizeof inbox, "_INBOX.%d.%d.*", getpid(), c->number);
    subscribe(c, inbox);
}

static void greet_core(Connection *c) { subscribe(c, NULL); }
static void listen(Connection *c) { subscribe(c, "bench.0"); }

static void ask_stream(Connection *c, unsigned slot, const char *text, size_t count) {
    char head[128];
    put(c, head, (size_t)snprintf(head, sizeof head, "PUB bench.%u _INBOX.%d.%d.%u %zu\r\n", next_channel(), getpid(), c->number, slot, count));
    put(c, text, count);
    put(c, "\r\n", 2);
}

static void ask_core(Connection *c, unsigned slot, const char *text, size_t count) {
    char head[64];
    put(c, head, (size_t)snprintf(head, sizeof head, "PUB bench.%u %zu\r\n", next_channel(), count));
    put(c, text, count);
    put_text(c, last_of_window(slot) ? "\r\nPING\r\n" : "\r\n");
}

static size_t unit(const unsigned char *p, size_t count) {
    size_t line = line_of(p, count);
    if (line < 2 || (*p != 'M' && *p != 'H')) return line;
    size_t space = line - 1;
    while (p[space] != ' ') space--;
    size_t whole = line + (size_t)atol((const char *)p + space) + 2;
    return whole <= count ? whole : 0;
}

static void take(Connection *c, unsigned char *p, size_t count) {
    if (!memcmp(p, "PING", 4)) put_text(c, "PONG\r\n");
    else if (!memcmp(p, "PONG", 4)) acknowledged_all(c);
    else if (*p == '-') fprintf(stderr, "load: %.*s", (int)count, p);
    else if (*p == 'M' && settings.protocol == &nats_core) delivered(c, p, count);
    else if (*p == 'M') {
        unsigned char *end = memchr(p + 4, ' ', count - 4), *dot = end;
        while (dot > p && *dot != '.') dot--;
        acknowledged(c, (unsigned)atoi((char *)dot + 1), !memmem(p, count, "\"error\"", 7));
    }
}

const Protocol nats_stream = {"nats-stream", WINDOW_MAX, 0, greet, listen, ask_stream, unit, take};
const Protocol nats_core = {"nats-core", WINDOW_MAX, 0, greet_core, listen, ask_core, unit, take};
