/* serve/gate.c - whose a call is, and whether they may. */
#include "serve/gate.h"

#include "base/clock.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 256 };

/* "[::1]:80", "localhost:80", "::1", "localhost" -> the name without brackets and port;
 * false when it is none. */
static bool host_of(const char *text, char ret_host[HOST_MAX])
{
    const char *begin = text[0] == '[' ? text + 1 : text;
    const char *colon = strrchr(text, ':');
    const char *end = text[0] == '['                        ? strchr(text, ']')
                      : colon && strchr(text, ':') == colon ? colon
                                                            : text + strlen(text);
    if (!end || end - begin >= HOST_MAX)
        return false;
    memcpy(ret_host, begin, (size_t)(end - begin));
    ret_host[end - begin] = '\0';
    return true;
}

static bool is_loopback_address(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&v6) ||
            (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

static bool is_address(const char *host)
{
    unsigned char any[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, any) == 1 || inet_pton(AF_INET6, host, any) == 1;
}

static bool is_localhost(const char *host)
{
    static const char suffix[] = ".localhost";
    size_t len = strlen(host), n = sizeof suffix - 1;
    return strcasecmp(host, "localhost") == 0 ||
           (len > n && strcasecmp(host + len - n, suffix) == 0);
}

/* The address that a socket listens on as text; "" for one that has none. */
static void socket_address(int fd, char ret_host[HOST_MAX])
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    ret_host[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return;
    if (at.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&at)->sin_addr, ret_host, HOST_MAX);
    if (at.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&at)->sin6_addr, ret_host, HOST_MAX);
}

int gate_check_listen(const settings *s, int fd, st_err *err)
{
    char host[HOST_MAX] = "";
    if (s->api_keys || s->api_key || s->no_auth || s->tls_client_ca)
        return 0;
    if (fd >= 0)
        socket_address(fd, host);
    else if (!host_of(s->listen, host))
        host[0] = '\0';
    if (is_loopback_address(host) || is_localhost(host))
        return 0;
    st_err_set(err, ST_EINVAL, "%s is open to other machines, and there are no keys",
               fd >= 0 ? "the socket that was handed over" : s->listen);
    st_err_hint(err, "make one with 'stint key new' and give --api-keys FILE; listen on "
                     "127.0.0.1; or say --no-auth");
    return ST_EINVAL;
}

/* A page that a browser got elsewhere can reach this machine under its own name. */
static bool host_is_ours(const call *c)
{
    char host[HOST_MAX];
    const char *given = http_request_header(c->x, "host");
    return !given || (host_of(given, host) && (is_address(host) || is_localhost(host)));
}

static void enter_without_keys(call *c, scope need, problems *out)
{
    const settings *s = c->server->settings;
    const char *certified = http_client_name(c->x);
    if (!s->no_auth && !s->tls_client_ca && !host_is_ours(c)) {
        problems_add(out, PROBLEM_FORBIDDEN, "",
                     "without keys only requests to this machine's own names are served, "
                     "and the Host is another's");
        return;
    }
    c->who.key = call_key_part(c, certified ? certified : "");
    snprintf(c->who.info.name, sizeof c->who.info.name, "%s", certified ? certified : "");
    if (need == SCOPE_ADMIN && !is_loopback_address(http_client(c->x)))
        problems_add(out, PROBLEM_FORBIDDEN, "",
                     "without keys only callers on this machine may load and unload");
}

/* The key that a request shows; NULL: none. */
static const char *shown_key(const call *c)
{
    static const char bearer[] = "bearer ";
    const char *given = http_request_header(c->x, "authorization");
    if (!given)
        return http_request_header(c->x, "x-api-key");
    if (strncasecmp(given, bearer, sizeof bearer - 1) != 0)
        return NULL;
    given += sizeof bearer - 1;
    return given + strspn(given, " ");
}

static void enter_with_key(call *c, scope need, problems *out)
{
    const char *text = shown_key(c);
    if (!text || !*text) {
        problems_add(out, PROBLEM_NO_KEY, "",
                     "a key is needed: send the header 'Authorization: Bearer KEY'");
    } else if (!api_keys_find(c->server->keys, text, strlen(text), st_clock_unix(),
                              &c->who.info)) {
        problems_add(out, PROBLEM_BAD_KEY, "", "the key is not known, or has expired");
    } else if (need == SCOPE_ADMIN && c->who.info.role != KEY_ADMIN) {
        problems_add(out, PROBLEM_FORBIDDEN, "", "this needs the key of an admin");
    } else {
        c->who.key = c->who.info.id;
    }
}

void gate_enter(call *c, scope need, problems *out)
{
    if (need == SCOPE_OPEN)
        return;
    if (c->server->keys)
        enter_with_key(c, need, out);
    else
        enter_without_keys(c, need, out);
}
