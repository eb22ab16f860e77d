/* net/http_request.c - the head of a request: copied out of the wire, so that it lasts.
 *
 * What two programs could read in two ways is refused: more than one length, a length
 * beside chunks, NUL bytes. */
#include "base/mem.h"
#include "net/http_priv.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

typedef struct copier {
    http_exchange *x;
    size_t bytes; /* that the texts take */
    uint32_t n;
    char *at; /* NULL: only count */
    bool wrong;
} copier;

static const char *copy(copier *c, const char *text, size_t len)
{
    if (!text)
        text = "", len = 0;
    if (memchr(text, 0, len))
        c->wrong = true;
    c->bytes += len + 1;
    if (!c->at)
        return NULL;
    char *here = c->at;
    memcpy(here, text, len);
    here[len] = 0;
    c->at += len + 1;
    return here;
}

static enum MHD_Result copy_pair(void *arg, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
{
    copier *c = arg;
    http_pair pair = {.kind = kind};
    while (kind == MHD_HEADER_KIND && value_len &&
           (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
        value_len--;
    pair.name = copy(c, name, name_len);
    pair.value = copy(c, value, value_len);
    if (c->at)
        c->x->pairs[c->n] = pair;
    c->n++;
    return MHD_YES;
}

static void copy_all(copier *c, struct MHD_Connection *connection, const char *url,
                     const char *method)
{
    c->x->method = copy(c, method, strlen(method));
    c->x->path = copy(c, url, strlen(url));
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, copy_pair, c);
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, copy_pair, c);
}

static void copy_client(http_exchange *x, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    if (address && address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, x->client, sizeof x->client);
    } else if (address && address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr))
            inet_ntop(AF_INET, &in.sin6_addr.s6_addr[12], x->client, sizeof x->client);
        else
            inet_ntop(AF_INET6, &in.sin6_addr, x->client, sizeof x->client);
    }
}

/* 0, or 400 where it is not clear how long the body is. */
static unsigned check_length(const http_exchange *x)
{
    uint32_t lengths = 0, encodings = 0;
    bool chunked = true;
    for (uint32_t i = 0; i < x->n_pairs; i++) {
        const http_pair *p = &x->pairs[i];
        if (p->kind != MHD_HEADER_KIND)
            continue;
        lengths += strcasecmp(p->name, "Content-Length") == 0;
        if (strcasecmp(p->name, "Transfer-Encoding") == 0) {
            encodings++;
            chunked &= strcasecmp(p->value, "chunked") == 0;
        }
    }
    return lengths + encodings > 1 || !chunked ? MHD_HTTP_BAD_REQUEST : 0;
}

unsigned request_head(http_exchange *x, struct MHD_Connection *c, const char *url,
                      const char *method)
{
    copier count = {.x = x};
    copy_all(&count, c, url, method);
    if (count.wrong)
        return MHD_HTTP_BAD_REQUEST;
    x->pairs = st_zalloc_n(count.n, sizeof *x->pairs);
    x->head = st_alloc(count.bytes);
    if (!x->pairs || !x->head)
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    copier really = {.x = x, .at = x->head};
    copy_all(&really, c, url, method);
    x->n_pairs = count.n;
    copy_client(x, c);
    return check_length(x);
}

const char *request_value(const http_exchange *x, enum MHD_ValueKind kind,
                          const char *name)
{
    for (uint32_t i = 0; i < x->n_pairs; i++) {
        const http_pair *p = &x->pairs[i];
        if (p->kind == kind && (kind == MHD_HEADER_KIND ? strcasecmp(p->name, name) == 0
                                                        : strcmp(p->name, name) == 0))
            return p->value;
    }
    return NULL;
}

const char *http_method(const http_exchange *x)
{
    return x->method;
}

const char *http_path(const http_exchange *x)
{
    return x->path;
}

const char *http_query(const http_exchange *x, const char *name)
{
    return request_value(x, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_request_header(const http_exchange *x, const char *name)
{
    return request_value(x, MHD_HEADER_KIND, name);
}

const char *http_body(const http_exchange *x, size_t *ret_len)
{
    *ret_len = x->fault ? 0 : x->body.len;
    return *ret_len ? x->body.data : "";
}

const char *http_client(const http_exchange *x)
{
    return x->client;
}

const char *http_client_name(const http_exchange *x)
{
    return x->client_name;
}

http_fault http_fault_of(const http_exchange *x)
{
    return x->fault;
}

uint64_t http_arrived_us(const http_exchange *x)
{
    return x->arrived_us;
}
