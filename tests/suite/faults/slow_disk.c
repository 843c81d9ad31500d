// A disk that takes its time: loaded before the C library, it lets each write and each sync of a file in
// `staging/` or `blobs/` wait. Reads and the databases are as fast as ever.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_for_the_disk(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (strstr(path, "/staging") || strstr(path, "/blobs")) usleep(100 * 1000);
}

#define ORIGINAL(type, name, parameters) type(*original) parameters = (type(*) parameters)dlsym(RTLD_NEXT, name)

int fsync(int fd) {
    ORIGINAL(int, "fsync", (int));
    wait_for_the_disk(fd);
    return original(fd);
}

int fdatasync(int fd) {
    ORIGINAL(int, "fdatasync", (int));
    wait_for_the_disk(fd);
    return original(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    ORIGINAL(ssize_t, "pwrite64", (int, const void *, size_t, off64_t));
    wait_for_the_disk(fd);
    return original(fd, bytes, count, at);
}
