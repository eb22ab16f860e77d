/* net/notify.c - tell the service manager how it goes. */
#include "net/notify.h"
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or @NAME for a name that is no file.  False: neither, or too long. */
static bool address_of(const char *name, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t len = strlen(name);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof ret->sun_path)
        return false;
    memcpy(ret->sun_path, name, len);
    if (name[0] == '@')
        ret->sun_path[0] = 0;
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

static const char *text_of(notify_word word, char room[64])
{
    switch (word) {
    case NOTIFY_READY:
        return "READY=1";
    case NOTIFY_RELOADING:
        snprintf(room, 64, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, st_clock_us());
        return room;
    case NOTIFY_STOPPING:
        return "STOPPING=1";
    case NOTIFY_WATCHDOG:
        return "WATCHDOG=1";
    }
    return "";
}

int notify_send(notify_word word, const char *status, st_err *err)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (!name || !*name)
        return 0;
    struct sockaddr_un to;
    socklen_t len = 0;
    if (!address_of(name, &to, &len))
        return st_err_set(err, ST_EINVAL, "NOTIFY_SOCKET is no socket's name: '%s'",
                          name);
    char room[64], text[512];
    int n = snprintf(text, sizeof text, "%s%s%s", text_of(word, room),
                     status ? "\nSTATUS=" : "", status ? status : "");
    if (n < 0 || (size_t)n >= sizeof text)
        return st_err_set(err, ST_ELIMIT, "a status is too long");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return st_err_set(err, ST_EIO, "cannot notify: %s", strerror(errno));
    int rc = 0;
    if (sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&to, len) != n)
        rc = st_err_set(err, ST_EIO, "cannot notify %s: %s", name, strerror(errno));
    close(fd);
    return rc;
}

/* A number of the environment; false: not there, or no number. */
static bool number(const char *name, uint64_t *ret)
{
    const char *text = getenv(name);
    if (!text || *text < '0' || *text > '9')
        return false;
    char *end = NULL;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return !errno && !*end;
}

uint64_t notify_watchdog_us(void)
{
    uint64_t pid = 0, us = 0;
    if (getenv("WATCHDOG_PID") &&
        (!number("WATCHDOG_PID", &pid) || pid != (uint64_t)getpid()))
        return 0;
    return number("WATCHDOG_USEC", &us) ? us / 2 : 0;
}
