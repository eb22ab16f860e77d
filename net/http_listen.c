/* net/http_listen.c - the socket that a server listens on. */
#include "net/http_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, HOST_MAX = 256 };

/* "HOST:PORT" or "[HOST]:PORT" apart. */
static int split(const char *where, char host[HOST_MAX], const char **ret_port,
                 st_err *err)
{
    const char *colon = strrchr(where, ':');
    const char *from = where, *to = colon;
    if (colon && where[0] == '[' && colon > where + 1 && colon[-1] == ']')
        from++, to--;
    else if (colon && memchr(where, ':', (size_t)(colon - where)))
        colon = NULL; /* an address of version 6 without brackets */
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (!colon || to == from || to - from >= HOST_MAX || !digits || digits > 5 ||
        colon[1 + digits] || strtoul(colon + 1, NULL, 10) > 65535) {
        st_err_set(err, ST_EINVAL, "cannot listen on '%s': no address and port", where);
        st_err_hint(err, "write HOST:PORT or [HOST]:PORT, for example 127.0.0.1:8080");
        return ST_EINVAL;
    }
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = 0;
    *ret_port = colon + 1;
    return 0;
}

/* Every error that has something to do about it says so. */
static int cannot(const char *where, int number, st_err *err)
{
    int code = number == EADDRINUSE ? ST_EBUSY : ST_EIO;
    st_err_set(err, code, "cannot listen on '%s': %s", where, strerror(number));
    if (number == EADDRINUSE)
        st_err_hint(err, "another program has this port: stop it, or choose another one "
                         "(port 0: any that is free)");
    else if (number == EACCES)
        st_err_hint(err,
                    "ports below 1024 need a right of their own: choose a higher one");
    else if (number == EADDRNOTAVAIL)
        st_err_hint(err, "this machine has no such address; 0.0.0.0 means all it has");
    return code;
}

/* The socket, or -1 with errno. */
static int open_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

int listen_open(const char *where, int *ret_fd, st_err *err)
{
    char host[HOST_MAX];
    const char *port = NULL;
    int rc = split(where, host, &port, err);
    if (rc)
        return rc;
    struct addrinfo want = {.ai_family = AF_UNSPEC,
                            .ai_socktype = SOCK_STREAM,
                            .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *all = NULL;
    int failed = getaddrinfo(host, port, &want, &all);
    if (failed)
        return st_err_set(err, ST_EINVAL, "cannot listen on '%s': %s", where,
                          gai_strerror(failed));
    int fd = -1, number = 0;
    for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
        fd = open_one(a);
        if (fd < 0 && (!number || number == EAFNOSUPPORT))
            number = errno; /* of the first address that could have been */
    }
    freeaddrinfo(all);
    if (fd < 0)
        return cannot(where, number, err);
    *ret_fd = fd;
    return 0;
}

int listen_check(int fd, uint16_t *ret_port, st_err *err)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) ||
        !listens)
        return st_err_set(err, ST_EINVAL, "descriptor %d is no socket that listens", fd);
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK))
        return st_err_set(err, ST_EIO, "cannot listen: %s", strerror(errno));
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage room;
    } address = {0};
    len = sizeof address;
    if (getsockname(fd, &address.any, &len))
        return st_err_set(err, ST_EIO, "cannot listen: %s", strerror(errno));
    *ret_port = 0; /* of a socket that has no port */
    if (address.any.sa_family == AF_INET)
        *ret_port = ntohs(address.in.sin_port);
    else if (address.any.sa_family == AF_INET6)
        *ret_port = ntohs(address.in6.sin6_port);
    return 0;
}
