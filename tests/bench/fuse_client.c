/*
 * What the FUSE rows time: reads lines "OPERATION PATH COUNT", does the operation that often, and prints how
 * many nanoseconds it took. PATH is a file for what reads and writes, else a directory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE (1 << 20)
#define PAGE 4096
#define SMALL 1024

static char buffer[PIECE];
static struct timespec began;

static void start(void) {
    clock_gettime(CLOCK_MONOTONIC, &began);
}

static int need(long result, const char *what) {
    if (result < 0) {
        printf("%s: %s\n", what, strerror(errno));
        exit(1);
    }
    return result;
}

static const char *name(const char *directory, const char *letter, int number) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s%06d", directory, letter, number);
    return path;
}

static void stat_all(const char *path, int count) {
    struct stat st;
    for (int i = 0; i < count; i++)
        need(stat(name(path, "f", i), &st), "stat");
}

static void miss_all(const char *path, int count) {
    for (int i = 0; i < count; i++)
        if (access(name(path, "absent", i), F_OK) == 0)
            need(-1, "access");
}

static void open_close(const char *path, int count) {
    for (int i = 0; i < count; i++)
        close(need(open(path, O_RDONLY), "open"));
}

static void create(const char *path, int count) {
    for (int i = 0; i < count; i++)
        close(need(open(name(path, "new", i), O_CREAT | O_EXCL | O_WRONLY, 0644), "create"));
}

static void fill(const char *path, int count) {
    for (int i = 0; i < count; i++) {
        int fd = need(open(name(path, "f", i), O_CREAT | O_EXCL | O_WRONLY, 0644), "create");
        need(write(fd, buffer, SMALL), "write");
        close(fd);
    }
}

static void unlink_all(const char *path, int count) {
    for (int i = 0; i < count; i++)
        need(unlink(name(path, "new", i)), "unlink");
}

static void read_all(const char *path, int count) {
    int fd = need(open(path, O_RDONLY), "open");
    for (int i = 0; i < count; i++)
        need(pread(fd, buffer, PIECE, (off_t)i * PIECE), "read");
    close(fd);
}

static void read_cold(const char *path, int count) {
    int fd = need(open(path, O_RDONLY), "open");
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    start();
    read_all(path, count);
    close(fd);
}

static void read_random(const char *path, int count) {
    struct stat st;
    int fd = need(open(path, O_RDONLY), "open");
    fstat(fd, &st);
    unsigned long pages = st.st_size / PAGE;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    start();
    for (int i = 0; i < count; i++)
        need(pread(fd, buffer, PAGE, (i * 7919UL + 13) % pages * PAGE), "read");
    close(fd);
}

static void write_pieces(const char *path, int count, size_t size) {
    int fd = need(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), "open");
    start();
    for (int i = 0; i < count; i++)
        need(pwrite(fd, buffer, size, (off_t)i * size), "write");
    close(fd);
}

static void write_large(const char *path, int count) {
    write_pieces(path, count, PIECE);
}

static void write_small(const char *path, int count) {
    write_pieces(path, count, PAGE);
}

static const struct {
    const char *name;
    void (*body)(const char *, int);
} operations[] = {
    {"stat", stat_all}, {"miss", miss_all}, {"open_close", open_close}, {"create", create}, {"fill", fill},
    {"unlink", unlink_all}, {"read", read_all}, {"read_cold", read_cold}, {"read_random", read_random},
    {"write_large", write_large}, {"write_small", write_small},
};

int main(void) {
    char operation[32], path[3000];
    int count;
    struct timespec ended;
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(buffer, 'x', sizeof buffer);
    while (scanf("%31s %2999s %d", operation, path, &count) == 3) {
        for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
            if (!strcmp(operation, operations[i].name)) {
                start();
                operations[i].body(path, count);
            }
        clock_gettime(CLOCK_MONOTONIC, &ended);
        printf("%ld\n", (ended.tv_sec - began.tv_sec) * 1000000000L + ended.tv_nsec - began.tv_nsec);
    }
    return 0;
}
