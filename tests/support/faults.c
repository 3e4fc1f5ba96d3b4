/* Loaded into agent or operator by LD_PRELOAD: makes file calls below FAULT_DIR fail, or kills the process before one of them.
 *
 * FAULT is "CALL:ERRNO" (fsync:5 lets each fsync fail with EIO), "write:short" (each write takes half of its bytes),
 * "kill:N" (SIGKILL before the N-th call that changes a file) or "clock:FILE" (the wall clock runs ahead by the number of
 * seconds in FILE). The program itself knows nothing of this.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int calls;

static int is_below(int descriptor) {
    const char *folder = getenv("FAULT_DIR");
    char link[64], path[4096];
    if (!folder || descriptor <= 2) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

/* Whether the call is to fail; errno is set then. */
static int strike(const char *call, int concerned) {
    const char *fault = getenv("FAULT");
    if (!fault || !concerned) return 0;
    if (strncmp(fault, "kill:", 5) == 0) {
        if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == atoi(fault + 5)) kill(getpid(), SIGKILL);
        return 0;
    }
    size_t length = strlen(call);
    if (strncmp(fault, call, length) != 0 || fault[length] != ':' || strcmp(fault + length + 1, "short") == 0) return 0;
    errno = atoi(fault + length + 1);
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void *data, size_t size) {
    int concerned = is_below(descriptor);
    const char *fault = getenv("FAULT");
    if (strike("write", concerned)) return -1;
    if (concerned && fault && strcmp(fault, "write:short") == 0 && size > 1) size /= 2;
    return REAL(write)(descriptor, data, size);
}

int fsync(int descriptor) {
    return strike("fsync", is_below(descriptor)) ? -1 : REAL(fsync)(descriptor);
}

int fchmod(int descriptor, mode_t mode) {
    return strike("fchmod", is_below(descriptor)) ? -1 : REAL(fchmod)(descriptor, mode);
}

int renameat(int from, const char *old, int to, const char *new) {
    return strike("rename", is_below(to)) ? -1 : REAL(renameat)(from, old, to, new);
}

int rename(const char *old, const char *new) {
    const char *folder = getenv("FAULT_DIR");
    return strike("rename", folder && strncmp(new, folder, strlen(folder)) == 0) ? -1 : REAL(rename)(old, new);
}

int unlinkat(int folder, const char *name, int flags) {
    return strike("unlink", is_below(folder)) ? -1 : REAL(unlinkat)(folder, name, flags);
}

#define OPENAT(name)                                                                     \
    int name(int folder, const char *path, int flags, ...) {                             \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;                        \
        va_end(more);                                                                    \
        if (strike("open", (flags & O_CREAT) && is_below(folder))) return -1;            \
        return REAL(name)(folder, path, flags, mode);                                    \
    }
OPENAT(openat)
OPENAT(openat64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = REAL(clock_gettime)(clock, now);
    const char *fault = getenv("FAULT");
    if (done == 0 && clock == CLOCK_REALTIME && fault && strncmp(fault, "clock:", 6) == 0) {
        FILE *file = fopen(fault + 6, "r");
        long seconds = 0;
        if (file) {
            if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds;
            fclose(file);
        }
    }
    return done;
}
