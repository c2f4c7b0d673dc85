// One load on one protocol: who asks, when, and what came of it.
//
//   load publish|subscribe PROTOCOL HOST:PORT[,HOST:PORT..] [NAME=VALUE ..]
//
//   connections, window   that many connections, each with so many publishes out (closed loop)
//   warm, seconds         answers of the first so many seconds are not measured; then it measures for so long
//   count                 instead of seconds: until so many were asked and answered; with subscribe: that many are
//                         expected on each connection
//   many                  of recado-many: how many publishes one request carries at most
//   rate                  instead of the closed loop: so many a second, evenly
//   bytes, channels       of each text (with its stamp); among how many channels publishes go around
//   level                 of ours: how many servers have to have it before it is answered
//   retry_ms              a connection that is closed, or not answered for so long, is made anew to the next endpoint
//   together              1: all connections begin at the first endpoint, instead of at each in turn
//   slice                 besides, a line about each so many seconds, as they end
//   patience              of subscribe: seconds without a delivery after which the rest counts as lost
//   probing               1: texts that subscribers hear and do not count
//
// One line of JSON on standard output.  It speaks each protocol itself over plain TCP: a generator on client
// libraries costs as much processor time as a server, which on a small machine is missing there.  A text begins
// with the time it was made at, so that latency of subscribers needs one machine and no table.  `subscribe`
// says "connected" once all connections are, and "hearing" once each has heard something.
#include "load.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

Settings settings = {.connections = 1, .window = 1, .many = 64, .bytes = 120, .channels = 16, .warm_seconds = 0.2, .seconds = 1, .patience_seconds = 3};

static Connection *connections[CONNECTIONS_MAX];
static int epoll, subscribing, hearing;
static uint64_t start_ns, measure_from_ns, end_ns, last_ns, first_stamp_ns, longest_gap_ns;
static uint64_t asked, answered, measured, refused, repeated, redialled;
static double processor_from;
static Histogram whole, slice;

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double processor_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void end_gap(Connection *c, uint64_t now) {
    if (c->last_ns && now - c->last_ns > longest_gap_ns) longest_gap_ns = now - c->last_ns;
    c->last_ns = now;
}

static void measure(Connection *c, uint64_t now, uint64_t since) {
    uint64_t us = now > since ? (now - since) / 1000 : 0;
    took(&whole, us);
    if (settings.slice_seconds) took(&slice, us);
    end_gap(c, now);
    last_ns = now;
    measured++;
}

// Publishing --------------------------------------------------------------------------------------------

unsigned next_channel(void) { return (unsigned)(asked % (uint64_t)settings.channels); }

int last_of_window(unsigned slot) { return slot + 1 == (unsigned)settings.window || asked == settings.count; }

static void ask(Connection *c, unsigned slot) {
    char text[TEXT_MAX];
    uint64_t now = now_ns();
    memset(text, 'x', (size_t)settings.bytes);
    char stamp[STAMP_BYTES + 1];
    snprintf(stamp, sizeof stamp, "recado%c=%016lx", settings.probing ? '?' : '@', now);
    memcpy(text, stamp, STAMP_BYTES);
    asked++, c->out++, c->asked_ns[slot] = now;
    settings.protocol->ask(c, slot, text, (size_t)settings.bytes);
}

static void push(Connection *c);

static int may_ask(void) {
    return !settings.rate && (!settings.count || asked < settings.count);
}

void acknowledged(Connection *c, unsigned slot, int accepted) {
    if (slot >= (unsigned)settings.window || !c->asked_ns[slot]) return;  // an answer to what was asked again
    uint64_t now = now_ns(), since = c->asked_ns[slot];
    c->asked_ns[slot] = 0, c->out--, answered++;
    if (!accepted) refused++;
    if (now >= measure_from_ns && accepted) measure(c, now, since);
    if (may_ask()) ask(c, slot);
}

void acknowledged_oldest(Connection *c, int accepted) {
    unsigned slot = c->oldest;
    c->oldest = (c->oldest + 1) % (unsigned)settings.window;
    acknowledged(c, slot, accepted);
}

void acknowledged_all(Connection *c) {
    for (unsigned slot = 0; slot < (unsigned)settings.window; slot++) acknowledged(c, slot, 1);
}

// Connections take turns.  What is late because all of them wait for answers is measured from when it was due: otherwise
// a server that stands still would be asked less, and look the better for it ("coordinated omission", Gil Tene).
static void ask_at_rate(void) {
    static uint64_t all_waited_ns;
    for (uint64_t now = now_ns(); !settings.count || asked < settings.count;) {
        uint64_t due = start_ns + (uint64_t)((double)asked / settings.rate * 1e9);
        if (due > now) break;
        Connection *c = NULL;
        for (int i = 0; i < settings.connections && !c; i++) {
            Connection *one = connections[(asked + (uint64_t)i) % (uint64_t)settings.connections];
            if (!one->asked_ns[one->next]) c = one;
        }
        if (!c) {
            all_waited_ns = now;
            break;
        }
        unsigned slot = c->next;  // one after the other, as some protocols answer
        c->next = (slot + 1) % (unsigned)settings.window;
        ask(c, slot);
        if (due < all_waited_ns) c->asked_ns[slot] = due;
    }
    for (int i = 0; i < settings.connections; i++) push(connections[i]);
}

// Hearing -----------------------------------------------------------------------------------------------

void delivered(Connection *c, const unsigned char *bytes, size_t count) {
    const unsigned char *stamp = memmem(bytes, count, "recado", 6);
    if (!stamp || stamp + STAMP_BYTES > bytes + count) return;
    if (!c->own[3]) {
        c->own[3] = 1;
        if (++hearing == settings.connections) printf("hearing\n"), fflush(stdout);
    }
    if (stamp[6] != '@') return;
    char digits[17] = {0};
    memcpy(digits, stamp + 8, 16);
    uint64_t since = strtoull(digits, NULL, 16);
    if (!first_stamp_ns) processor_from = processor_seconds();
    if (!first_stamp_ns || since < first_stamp_ns) first_stamp_ns = since;
    measure(c, now_ns(), since);
    c->delivered++;
}

// The loop ----------------------------------------------------------------------------------------------

static int begin(Connection *c) {
    if (dial(c)) return -1;
    subscribing ? settings.protocol->listen(c) : settings.protocol->greet(c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
    return 0;
}

// What was out is asked again at the next endpoint; its latency runs on from when it was asked first.
static void begin_anew(Connection *c) {
    if (!settings.retry_ms) errno = ECONNRESET, die("closed by the server");
    if (c->fd >= 0) close(c->fd);
    redialled++;
    for (int i = 0; begin(c); i++) {
        if (i == 1000) errno = ECONNREFUSED, die("no endpoint");
        usleep(5000);
    }
    c->out = 0, c->oldest = 0;
    uint64_t before[WINDOW_MAX];
    memcpy(before, c->asked_ns, sizeof before);
    for (unsigned slot = 0; slot < (unsigned)settings.window; slot++) {
        if (!before[slot]) continue;
        ask(c, slot), asked--, repeated++;
        c->asked_ns[slot] = before[slot];
    }
    c->own[2] = now_ns();
}

static int send_all(Connection *c) {
    if (settings.protocol->gather && !subscribing) settings.protocol->gather(c);
    return flush(c);
}

static void push(Connection *c) {
    int done = send_all(c);
    if (done < 0) {
        begin_anew(c);
        done = send_all(c);
    }
    if (done && settings.protocol->silent && !subscribing) {
        acknowledged_all(c);
        done = !c->out_used;  // the next window goes when it is this one's turn again
    }
    if (done == c->waiting_to_write) {
        c->waiting_to_write = !done;
        struct epoll_event event = {.events = EPOLLIN | (done ? 0 : EPOLLOUT), .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event)) die("epoll_ctl");
    }
}

static void take_all(Connection *c) {
    size_t at = 0, count;
    while (at < c->in_used && (count = settings.protocol->unit(c->in + at, c->in_used - at))) {
        settings.protocol->take(c, c->in + at, count);
        at += count;
    }
    if (!at && c->in_used == IN_BYTES) errno = EMSGSIZE, die("answer");
    consume(c, at);
}

static void take_input(Connection *c) {
    ssize_t n = recv(c->fd, c->in + c->in_used, IN_BYTES - c->in_used, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        begin_anew(c);
        push(c);
        return;
    }
    c->in_used += (size_t)n;
    take_all(c);
    push(c);
}

static void look_for_silence(uint64_t now) {
    for (int i = 0; i < settings.connections && settings.retry_ms; i++) {
        Connection *c = connections[i];
        uint64_t since = UINT64_MAX;
        for (unsigned slot = 0; slot < (unsigned)settings.window; slot++)
            if (c->asked_ns[slot] && c->asked_ns[slot] < since) since = c->asked_ns[slot];
        if (since < c->own[2]) since = c->own[2];  // since it was last asked again
        if (since != UINT64_MAX && now > since + (uint64_t)settings.retry_ms * 1000000) begin_anew(c), push(c);
    }
}

static int ended(uint64_t now) {
    if (!subscribing && settings.count) return answered >= settings.count || now > end_ns;
    if (!subscribing) return now >= end_ns;
    if (measured >= settings.count * (uint64_t)settings.connections) return 1;
    uint64_t waited = now - (last_ns ? last_ns : start_ns), patience = (uint64_t)(settings.patience_seconds * 1e9);
    return waited > (last_ns ? patience : 5 * patience + 10000000000u);
}

static void end_slice(uint64_t now) {
    static uint64_t from_ns;
    if (!from_ns) from_ns = measure_from_ns;
    if (!settings.slice_seconds || now < from_ns || (double)(now - from_ns) < settings.slice_seconds * 1e9) return;
    double seconds = (double)(now - from_ns) / 1e9;
    printf("{\"at\": %.3f, \"seconds\": %.3f, \"rate\": %.1f, \"refused\": %lu, ", (double)(from_ns - measure_from_ns) / 1e9,
           seconds, (double)slice.count / seconds, refused);
    print_percentiles(&slice), printf("}\n"), fflush(stdout);
    forget(&slice);
    from_ns = now;
}

static void run(void) {
    struct epoll_event events[256];
    for (uint64_t now = now_ns(); !ended(now); now = now_ns()) {
        if (settings.rate && !subscribing) ask_at_rate();
        int wait_ms = subscribing ? 50 : settings.rate ? 1 : settings.retry_ms ? 10 : 100;
        int ready = epoll_wait(epoll, events, 256, wait_ms);
        for (int i = 0; i < ready; i++) {
            Connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT) take_input(c);
        }
        if (settings.retry_ms) look_for_silence(now);
        end_slice(now);
    }
}

// A socket closed with something unread takes back what was sent last.
static void finish(void) {
    for (int i = 0; i < settings.connections && settings.protocol->silent && !subscribing; i++) {
        shutdown(connections[i]->fd, SHUT_WR);
        struct timeval patience = {.tv_sec = 5};
        setsockopt(connections[i]->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        while (recv(connections[i]->fd, connections[i]->in, IN_BYTES, 0) > 0) {}
    }
}

static void report(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < settings.connections; i++) {
        if (settings.retry_ms) end_gap(connections[i], now_ns());  // one that never came back
        if (connections[i]->delivered < least) least = connections[i]->delivered;
    }
    // Of a burst the time from its first message to the last answer counts, of a duration the duration.
    uint64_t from = subscribing ? first_stamp_ns : measure_from_ns, to = subscribing || settings.count ? last_ns : now_ns();
    double seconds = to > from ? (double)(to - from) / 1e9 : 0;
    double processor = processor_seconds() - processor_from;
    uint64_t last = subscribing && last_ns ? last_ns : now_ns();
    double since_start = (double)(last - (subscribing && first_stamp_ns ? first_stamp_ns : start_ns)) / 1e9;
    printf("{\"asked\": %lu, \"answered\": %lu, \"measured\": %lu, \"refused\": %lu, \"repeated\": %lu, \"redialled\": %lu, "
           "\"seconds\": %.6f, \"rate\": %.1f, "
           "\"longest_gap_us\": %lu, \"least_delivered\": %lu, \"generator_cores\": %.3f, ",
           asked, answered, measured, refused, repeated, redialled, seconds, seconds > 0 ? (double)measured / seconds : 0,
           longest_gap_ns / 1000, subscribing ? least : 0, since_start > 0 ? processor / since_start : 0);
    print_percentiles(&whole), printf("}\n");
}

static void set(char *word) {
    char *value = strchr(word, '=');
    if (!value) errno = EINVAL, die(word);
    *value++ = 0;
    double number = atof(value);
    if (!strcmp(word, "connections")) settings.connections = (int)number;
    else if (!strcmp(word, "window")) settings.window = (int)number;
    else if (!strcmp(word, "many")) settings.many = (int)number;
    else if (!strcmp(word, "warm")) settings.warm_seconds = number;
    else if (!strcmp(word, "seconds")) settings.seconds = number;
    else if (!strcmp(word, "count")) settings.count = (uint64_t)number;
    else if (!strcmp(word, "rate")) settings.rate = number;
    else if (!strcmp(word, "bytes")) settings.bytes = (int)number;
    else if (!strcmp(word, "channels")) settings.channels = (int)number;
    else if (!strcmp(word, "level")) settings.level = value;
    else if (!strcmp(word, "retry_ms")) settings.retry_ms = (int)number;
    else if (!strcmp(word, "together")) settings.together = (int)number;
    else if (!strcmp(word, "slice")) settings.slice_seconds = number;
    else if (!strcmp(word, "patience")) settings.patience_seconds = number;
    else if (!strcmp(word, "probing")) settings.probing = (int)number;
    else errno = EINVAL, die(word);
}

static const Protocol *protocol_of(const char *name) {
    static const Protocol *all[] = {&zmtp_long, &zmtp_short, &zmtp_many, &zmtp_pub, &redis_streams, &redis_pubsub, &nats_stream, &nats_core,
                                    &amqp_queue, &amqp_fanout, &mqtt_qos1, &irc_channel, &etcd_put};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i]->name, name)) return all[i];
    errno = EINVAL, die(name);
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "usage: load publish|subscribe PROTOCOL HOST:PORT[,..] [NAME=VALUE ..]\n");
        return 2;
    }
    subscribing = !strcmp(words[1], "subscribe"), epoll = epoll_create1(0);
    settings.protocol = protocol_of(words[2]);
    endpoints_from(words[3]);
    for (int i = 4; i < count; i++) set(words[i]);
    if (settings.connections < 1 || settings.connections > CONNECTIONS_MAX || settings.window < 1 || settings.channels < 1 ||
        settings.window > settings.protocol->window_max || settings.bytes < STAMP_BYTES || settings.bytes > TEXT_MAX || settings.many < 1 ||
        settings.many > 256)
        errno = ERANGE, die("arguments");
    for (int i = 0; i < settings.connections; i++) {
        Connection *c = connections[i] = calloc(1, sizeof *c);
        if (!c || !(c->in = malloc(IN_BYTES))) die("memory");
        c->number = i, c->endpoint = settings.together ? 0 : i;
        if (begin(c)) die("connect");
    }
    if (subscribing) printf("connected\n"), fflush(stdout);
    processor_from = processor_seconds();
    start_ns = now_ns(), measure_from_ns = start_ns + (uint64_t)(settings.count ? 0 : settings.warm_seconds * 1e9);
    end_ns = measure_from_ns + (uint64_t)(settings.seconds * 1e9);
    for (int i = 0; i < settings.connections && !subscribing; i++) {
        for (unsigned slot = 0; slot < (unsigned)settings.window && may_ask(); slot++) ask(connections[i], slot);
        push(connections[i]);
    }
    run();
    report();
    finish();
    return measured || settings.probing ? 0 : 1;
}
