// How many took how many microseconds.
#include "load.h"
#include <stdio.h>
#include <string.h>

void took(Histogram *h, uint64_t us) {
    h->of[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
    if (us > h->max_us) h->max_us = us;
    h->count++;
}

void forget(Histogram *h) { memset(h, 0, sizeof *h); }

static unsigned percentile_us(const Histogram *h, double fraction) {
    uint64_t seen = 0;
    for (unsigned us = 0; us <= LATENCY_MAX_US; us++)
        if ((seen += h->of[us]) && (double)seen >= fraction * (double)h->count) return us;
    return 0;
}

void print_percentiles(const Histogram *h) {
    printf("\"p50_us\": %u, \"p99_us\": %u, \"p999_us\": %u, \"max_us\": %lu", percentile_us(h, 0.5), percentile_us(h, 0.99),
           percentile_us(h, 0.999), h->max_us);
}
