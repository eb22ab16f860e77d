/* net/inherit.c - a listening socket that the service manager opened. */
#include "net/inherit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 3 };

/* -1 for what is no number. */
static long number(const char *text)
{
    char *end = NULL;
    if (!text || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno || *end ? -1 : n;
}

int inherit_socket(int *ret_fd, st_err *err)
{
    const char *pid = getenv("LISTEN_PID"), *n_text = getenv("LISTEN_FDS");
    bool ours = pid && n_text && number(pid) == (long)getpid();
    long n = ours ? number(n_text) : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (n < 0)
        return st_err_set(err, ST_EINVAL, "LISTEN_FDS is no number");
    if (n > 1) {
        st_err_set(err, ST_EUNSUPPORTED, "%ld sockets were handed over", n);
        st_err_hint(err, "write one ListenStream= in the socket unit");
        return ST_EUNSUPPORTED;
    }
    if (n == 1 && fcntl(FIRST, F_SETFD, FD_CLOEXEC))
        return st_err_set(err, ST_EINVAL, "the socket that was handed over: %s",
                          strerror(errno));
    *ret_fd = n == 1 ? FIRST : -1;
    return 0;
}
