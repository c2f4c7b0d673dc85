// As much of MessagePack (github.com/msgpack/msgpack, spec.md) as requests need, and all of it for passing over values.
#include "zmtp.h"
#include <string.h>

unsigned char *word(unsigned char *p, const char *value) {
    size_t n = strlen(value);
    *p++ = (unsigned char)(0xa0 | n);
    memcpy(p, value, n);
    return p + n;
}

unsigned char *long_word(unsigned char *p, const char *value, size_t count) {
    *p++ = 0xda, p = big_endian(p, count, 2);
    memcpy(p, value, count);
    return p + count;
}

unsigned char *number(unsigned char *p, uint64_t value) {
    *p++ = 0xcf;
    return big_endian(p, value, 8);
}

// How a value begins: bytes of its head with what follows it that is no value, and how many values follow.
typedef struct {
    size_t bytes, values;
} Extent;

// Of a value whose head says in `width` bytes how much there is, in units of bytes or of values.
static Extent counted(const unsigned char *p, const unsigned char *end, int width, size_t bytes, size_t values) {
    if (end - p < 1 + width) return (Extent){SIZE_MAX, 0};
    uint64_t count = from_big_endian(p + 1, width);
    return (Extent){1 + (size_t)width + count * bytes, count * values};
}

static Extent extent(const unsigned char *p, const unsigned char *end) {
    unsigned char b = *p;
    if (b < 0x80 || b >= 0xe0 || b == 0xc0 || b == 0xc2 || b == 0xc3) return (Extent){1, 0};
    if (b < 0x90) return (Extent){1, 2 * (size_t)(b & 15)};
    if (b < 0xa0) return (Extent){1, b & 15};
    if (b < 0xc0) return (Extent){1 + (size_t)(b & 31), 0};
    if (b >= 0xc4 && b <= 0xc6) return counted(p, end, 1 << (b - 0xc4), 1, 0);
    if (b >= 0xca && b <= 0xcb) return (Extent){b == 0xca ? 5 : 9, 0};
    if (b >= 0xcc && b <= 0xcf) return (Extent){1 + ((size_t)1 << (b - 0xcc)), 0};
    if (b >= 0xd0 && b <= 0xd3) return (Extent){1 + ((size_t)1 << (b - 0xd0)), 0};
    if (b >= 0xd9 && b <= 0xdb) return counted(p, end, 1 << (b - 0xd9), 1, 0);
    if (b == 0xdc || b == 0xdd) return counted(p, end, b == 0xdc ? 2 : 4, 0, 1);
    if (b == 0xde || b == 0xdf) return counted(p, end, b == 0xde ? 2 : 4, 0, 2);
    return (Extent){SIZE_MAX, 0};  // extension types are not ours
}

const unsigned char *past(const unsigned char *p, const unsigned char *end) {
    for (size_t left = 1; left; left--) {
        if (!p || p >= end) return NULL;
        Extent found = extent(p, end);
        if (found.bytes > (size_t)(end - p)) return NULL;
        p += found.bytes, left += found.values;
    }
    return p;
}

const unsigned char *open_array(const unsigned char *p, const unsigned char *end, size_t *count) {
    if (!p || p >= end || ((*p & 0xf0) != 0x90 && *p != 0xdc)) return NULL;
    Extent found = extent(p, end);
    if (found.bytes > (size_t)(end - p)) return NULL;
    *count = found.values;
    return p + found.bytes;
}

const unsigned char *value_of(const unsigned char *map, const unsigned char *end, const char *key) {
    if (!map || map >= end || ((*map & 0xf0) != 0x80 && *map != 0xde)) return NULL;
    Extent found = extent(map, end);
    if (found.bytes > (size_t)(end - map)) return NULL;
    const unsigned char *p = map + found.bytes;
    for (size_t i = 0; i < found.values / 2 && p; i++) {
        const unsigned char *value = past(p, end);
        if (value && is_word(p, end, key)) return value;
        p = past(value, end);
    }
    return NULL;
}

int is_word(const unsigned char *p, const unsigned char *end, const char *value) {
    size_t n = strlen(value);
    return p && p < end && n < 32 && (size_t)(end - p) > n && *p == (0xa0 | n) && !memcmp(p + 1, value, n);
}
