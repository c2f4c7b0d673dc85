/* Gives each process of a cluster a wall clock of its own: LD_PRELOAD=skew.so SKEW_DIRECTORY=DIR.
 *
 * A process started with `--config .../NAME.toml` finds its offset, one double in seconds, in DIR/NAME,
 * which is mapped: a test that rewrites it sets the clock of the running process.  Only CLOCK_REALTIME,
 * gettimeofday and time are shifted; monotonic clocks, sleeps and timeouts stay true. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*true_gettime)(clockid_t, struct timespec *);
static const volatile double *offset_seconds;

/* The offset's file, from this process's own command line; 0 if it has none. */
static int find_file(char *path, size_t size) {
    const char *directory = getenv("SKEW_DIRECTORY");
    char line[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (!directory || fd < 0) return 0;
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    for (char *word = line; length > 0 && word < line + length; word += strlen(word) + 1) {
        line[length] = 0;
        char *suffix = strstr(word, ".toml"), *slash = strrchr(word, '/');
        if (!suffix || !slash) continue;
        *suffix = 0;
        return snprintf(path, size, "%s/%s", directory, slash + 1) < (int)size;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    char path[4096];
    true_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (!find_file(path, sizeof path)) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) offset_seconds = mapped;
    close(fd);
}

int clock_gettime(clockid_t which, struct timespec *t) {
    if (!true_gettime) /* called before our constructor */
        true_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = true_gettime(which, t);
    if (failed || !offset_seconds || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return failed;
    long long ns = t->tv_nsec + (long long)(*offset_seconds * 1e9);
    t->tv_sec += ns / 1000000000LL;
    t->tv_nsec = ns % 1000000000LL;
    if (t->tv_nsec < 0) {
        t->tv_nsec += 1000000000L;
        t->tv_sec -= 1;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict v, void *restrict zone) {
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    v->tv_sec = t.tv_sec;
    v->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
