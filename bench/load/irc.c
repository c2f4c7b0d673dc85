// IRC: PRIVMSG to a channel; a PING behind each is answered when the server has taken what was before it.
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void enter(Connection *c, const char *kind) {
    char words[128];
    put(c, words, (size_t)snprintf(words, sizeof words, "NICK %s%d_%d\r\nUSER bench 0 * :bench\r\n", kind, getpid() % 100000, c->number));
    flush_blocking(c);
    await_text(c, " 001 ");
    put_text(c, "JOIN #bench-0\r\n");
    flush_blocking(c);
    await_text(c, " 366 ");
    await_text(c, "\n");
}

static void greet(Connection *c) { enter(c, "p"); }
static void listen(Connection *c) { enter(c, "s"); }

static void ask(Connection *c, unsigned slot, const char *text, size_t count) {
    char ping[32];
    put_text(c, "PRIVMSG #bench-0 :");
    put(c, text, count);
    put(c, ping, (size_t)snprintf(ping, sizeof ping, "\r\nPING %u\r\n", slot));
}

static void take(Connection *c, unsigned char *p, size_t count) {
    if (!memcmp(p, "PING", 4)) {
        p[1] = 'O';
        put(c, p, count);
    } else if (count >= 5 && !memcmp(p, "ERROR", 5)) {
        fprintf(stderr, "load: %.*s", (int)count, p);
    } else if (memmem(p, count, " PONG ", 6)) {
        unsigned char *colon = memrchr(p, ':', count);
        acknowledged(c, (unsigned)atoi((char *)colon + 1), 1);
    } else if (memmem(p, count, " PRIVMSG ", 9)) {
        delivered(c, p, count);
    }
}

const Protocol irc_channel = {"irc", WINDOW_MAX, 0, greet, listen, ask, line_of, take};
