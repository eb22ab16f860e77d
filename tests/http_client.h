/* tests/http_client.h - a client over a plain socket, for tests of the server.
 *
 * It waits as long as a test may hang (client_open sets it), never for less. */
#ifndef TESTS_HTTP_CLIENT_H
#define TESTS_HTTP_CLIENT_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CLIENT_HANG_S = 60, CLIENT_ROOM = 1 << 20 };

typedef struct client {
    int fd;
    size_t len; /* of what was read and not yet used */
    char *data; /* [CLIENT_ROOM], NUL behind */
} client;

typedef struct client_answer {
    int status; /* 0: the connection ended before a whole answer */
    char head[4096];
    char *body; /* the client's buffer: valid until the next answer */
    size_t len;
} client_answer;

static inline client client_open(uint16_t port)
{
    client c = {.fd = socket(AF_INET, SOCK_STREAM, 0), .data = malloc(CLIENT_ROOM + 1)};
    struct timeval hang = {.tv_sec = CLIENT_HANG_S};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof hang);
    setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &hang, sizeof hang);
    if (connect(c.fd, (struct sockaddr *)&to, sizeof to)) {
        close(c.fd);
        c.fd = -1;
    }
    return c;
}

static inline void client_close(client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->data);
    *c = (client){.fd = -1};
}

/* Close so that the other side is told at once, with a reset. */
static inline void client_abort(client *c)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    client_close(c);
}

static inline bool client_send(client *c, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool client_say(client *c, const char *text)
{
    return client_send(c, text, strlen(text));
}

/* Read on; false: the connection has ended. */
static inline bool client_more(client *c)
{
    if (c->len == CLIENT_ROOM)
        return false;
    ssize_t n = recv(c->fd, c->data + c->len, CLIENT_ROOM - c->len, 0);
    if (n <= 0)
        return false;
    c->len += (size_t)n;
    c->data[c->len] = 0;
    return true;
}

static inline void client_used(client *c, size_t n)
{
    c->len -= n;
    memmove(c->data, c->data + n, c->len + 1);
}

/* Read a head: status and headers into `a`. */
static inline bool client_head(client *c, client_answer *a)
{
    char *end = NULL;
    if (!c->len)
        c->data[0] = 0;
    while (!(end = strstr(c->data, "\r\n\r\n")))
        if (!client_more(c))
            return false;
    size_t n = (size_t)(end - c->data) + 4;
    if (n >= sizeof a->head || sscanf(c->data, "HTTP/1.%*d %d", &a->status) != 1)
        return false;
    memcpy(a->head, c->data, n);
    a->head[n] = 0;
    client_used(c, n);
    return true;
}

/* One chunk of a stream into `to`; -1: the connection ended before its end. */
static inline ssize_t client_chunk(client *c, char *to, size_t room)
{
    char *line = NULL;
    if (!c->len)
        c->data[0] = 0;
    while (!(line = strstr(c->data, "\r\n")))
        if (!client_more(c))
            return -1;
    size_t n = strtoul(c->data, NULL, 16), head = (size_t)(line - c->data) + 2;
    while (c->len < head + n + 2)
        if (!client_more(c))
            return -1;
    if (n > room)
        return -1;
    memcpy(to, c->data + head, n);
    client_used(c, head + n + 2);
    return (ssize_t)n;
}

/* The value of a header of the answer as a number; -1 without it. */
static inline long client_number(const client_answer *a, const char *name)
{
    for (const char *line = strstr(a->head, "\r\n"); line;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0)
            return atol(line + 2 + strlen(name) + 1);
    return -1;
}

/* A whole answer with Content-Length. */
static inline client_answer client_read(client *c)
{
    client_answer a = {0};
    if (!client_head(c, &a))
        return (client_answer){0};
    long n = client_number(&a, "Content-Length");
    a.len = n > 0 ? (size_t)n : 0;
    while (c->len < a.len)
        if (!client_more(c))
            return (client_answer){0};
    static _Thread_local char body[CLIENT_ROOM + 1];
    memcpy(body, c->data, a.len);
    body[a.len] = 0;
    a.body = body;
    if (c->len || a.len)
        client_used(c, a.len);
    return a;
}
#endif
