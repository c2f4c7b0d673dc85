// What the parts of the generator share: connections, protocols, and the tally of a run.
#pragma once
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>

enum {
    CONNECTIONS_MAX = 4096, WINDOW_MAX = 1024, TEXT_MAX = 16384, ENDPOINTS_MAX = 16,
    REQUEST_MAX = 2 * TEXT_MAX, IN_BYTES = 1 << 18, USERS = 64, STAMP_BYTES = 24,
};

typedef struct {
    int number, fd, endpoint;
    int waiting_to_write;
    unsigned out;                   // asked and not answered
    size_t in_used, out_used, out_sent, out_size;
    unsigned char *in, *out_bytes;
    uint64_t asked_ns[WINDOW_MAX];  // by slot; 0 if nothing is out there
    unsigned next;                  // of paced loads: the slot asked next
    unsigned oldest;                // of protocols that answer in order: the slot answered next
    uint64_t delivered, last_ns;    // how many, and when it was answered or heard something
    uint64_t own[4];                // for the protocol, until it is dialled again
    void *gathered;                 // for the protocol
} Connection;

typedef struct {
    const char *name;
    int window_max;
    int silent;  // nothing answers: a publish counts once it is handed to TCP
    // Both are blocking: until the connection can publish, or hear what is published.
    void (*greet)(Connection *c);
    void (*listen)(Connection *c);
    void (*ask)(Connection *c, unsigned slot, const char *text, size_t count);
    size_t (*unit)(const unsigned char *p, size_t count);  // bytes of the first whole unit, 0 if it is not all there
    void (*take)(Connection *c, unsigned char *unit, size_t count);
    void (*gather)(Connection *c);  // perhaps: what was asked since goes out now
} Protocol;

extern const Protocol zmtp_long, zmtp_short, zmtp_many, zmtp_pub, redis_streams, redis_pubsub, nats_stream, nats_core, amqp_queue,
    amqp_fanout, mqtt_qos1, irc_channel, etcd_put;

typedef struct {
    const Protocol *protocol;
    int connections, window, many, bytes, channels, retry_ms, together;
    double warm_seconds, seconds, rate, patience_seconds, slice_seconds;
    uint64_t count;
    const char *level;
    int probing;  // texts that listeners hear and do not count
} Settings;

extern Settings settings;

// histogram.c: latencies, to the microsecond; longer ones than LATENCY_MAX_US count as that.
enum { LATENCY_MAX_US = 4000000 };
typedef struct {
    uint64_t count, max_us;
    uint32_t of[LATENCY_MAX_US + 1];
} Histogram;
void took(Histogram *h, uint64_t us);
void forget(Histogram *h);
void print_percentiles(const Histogram *h);  // fields of JSON

// loop.c
uint64_t now_ns(void);
_Noreturn void die(const char *what);
void acknowledged(Connection *c, unsigned slot, int accepted);
void acknowledged_oldest(Connection *c, int accepted);
void acknowledged_all(Connection *c);
void delivered(Connection *c, const unsigned char *bytes, size_t count);
unsigned next_channel(void);
int last_of_window(unsigned slot);  // whether nothing is asked after this until something is answered

// connection.c
void endpoints_from(char *words);
int dial(Connection *c);                                  // 0, or -1 if nobody listens there
unsigned char *room(Connection *c, size_t bytes);         // at the end of what will be sent
void put(Connection *c, const void *bytes, size_t count);
void put_text(Connection *c, const char *text);
int flush(Connection *c);                                 // 1 if all is sent, 0 if not yet, -1 if it is closed
void flush_blocking(Connection *c);
void await_bytes(Connection *c, size_t count);            // until so many are in c->in
void await_text(Connection *c, const char *text);         // until that was read; what is before it is thrown away
void await_bytes_of(Connection *c, const void *bytes, size_t count);
void consume(Connection *c, size_t count);
unsigned char *big_endian(unsigned char *p, uint64_t value, int bytes);
uint64_t from_big_endian(const unsigned char *p, int bytes);
size_t line_of(const unsigned char *p, size_t count);     // bytes of the first line with its end, 0 if it has none
