// Frames of ZMTP and values of MessagePack, for whoever speaks to ours.
#pragma once
#include "load.h"

enum { MORE = 1, ID_BYTES = 16, MARK = 0xc1, HEAD_BYTES = 9, MANY_MAX = 256, LISTENS = 0 };

// zmtp.c
size_t head_of(const unsigned char *frame);  // bytes before its body
size_t unit_of_zmtp(const unsigned char *p, size_t count);
void put_head(Connection *c, int flags, size_t count);
void put_frame(Connection *c, int flags, const void *bytes, size_t count);
void shake_hands(Connection *c, const char *kind);
void listen_as_sub(Connection *c);
void listen_to_runs(Connection *c);
uint64_t wall_ms(void);
unsigned char *put_id(unsigned char *p, Connection *c, unsigned slot, uint64_t ms);
int take_command(Connection *c, const unsigned char *frame, const unsigned char *body, size_t count);

// msgpack.c: writing returns where the next value goes, reading NULL for what is not all there.
unsigned char *word(unsigned char *p, const char *value);
unsigned char *long_word(unsigned char *p, const char *value, size_t count);
unsigned char *number(unsigned char *p, uint64_t value);
const unsigned char *past(const unsigned char *p, const unsigned char *end);
const unsigned char *open_array(const unsigned char *p, const unsigned char *end, size_t *count);
const unsigned char *value_of(const unsigned char *map, const unsigned char *end, const char *key);
int is_word(const unsigned char *p, const unsigned char *end, const char *value);
