/* net/http.h - an HTTP/1.1 server: whole requests in, whole answers or event streams out.
 *
 *   net thread        reads a request, bounded in every part -> on_request(exchange)
 *   any thread        http_reply; or http_stream_begin, _send ..., _end
 *   watching thread   a client hangs up while its answer is awaited -> on_gone
 *
 * An exchange is one request and its answer.  It is the receiver's from on_request until
 * http_reply or http_stream_end, which every exchange needs exactly once, also when its
 * client is gone; after that it must not be touched.
 *
 * A client that shuts down its sending side has hung up.  What the wire cannot read (a
 * broken head, one that is too large, a request that takes too long to arrive) it answers
 * itself, with a line of text.
 *
 * libmicrohttpd does the wire: epoll, keep-alive, chunks, TLS.
 *
 * Threads: as above; on_request and on_gone must not block.  Memory: what accessors
 * return lasts as long as the exchange. */
#ifndef NET_HTTP_H
#define NET_HTTP_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_server http_server;
typedef struct http_exchange http_exchange;

typedef struct http_opts {
    const char *listen; /* "127.0.0.1:8080", "[::1]:0"; port 0: any that is free */
    int fd; /* a listening socket, the server's from now on; -1: bind `listen` */
    const char *tls_cert; /* PEM files: certificate chain and its key, both or neither */
    const char *tls_key;
    const char *tls_client_ca; /* clients must show a certificate that it signed; NULL */
    unsigned n_threads;        /* 0: 2 */
    uint32_t max_connections;  /* 0: 1024; one more is closed at once */
    size_t max_header;         /* 0: 32 KiB; 431 */
    size_t max_body;           /* 0: 16 MiB; HTTP_FAULT_TOO_LARGE */
    uint32_t idle_s;           /* 0: 30; of silence inside a request or between two */
    uint32_t request_s;        /* 0: 60; for a whole request to arrive: 408 */
    size_t max_unsent;         /* 0: 8 MiB; of a stream that its client does not read */
    void (*on_request)(void *arg, http_exchange *x);
    void *arg;
} http_opts;

typedef enum http_fault { /* of a request that did not arrive whole */
                          HTTP_FAULT_NONE,
                          HTTP_FAULT_TOO_LARGE, /* its body: 413 */
                          HTTP_FAULT_MEMORY,    /* none left for its body: 503 */
} http_fault;

typedef struct http_header {
    const char *name;
    const char *value;
} http_header;

ST_NODISCARD int http_listen(const http_opts *opts, http_server **ret_server,
                             st_err *err);
uint16_t http_port(const http_server *s); /* that it listens on */
uint32_t http_n_connections(const http_server *s);
void http_quiesce(http_server *s); /* accept no more connections; those there go on */
/* Accepts no more, waits until every exchange has been answered and, for a moment, until
 * the answers are on their way; closes what is open. */
void http_close(http_server *s); /* NULL allowed */

const char *http_method(const http_exchange *x);
const char *http_path(const http_exchange *x); /* decoded, without the query */
const char *http_query(const http_exchange *x, const char *name); /* NULL: none */
const char *http_request_header(const http_exchange *x,
                                const char *name);              /* NULL: none */
const char *http_body(const http_exchange *x, size_t *ret_len); /* "" when empty */
const char *http_client(const http_exchange *x);                /* its address as text */
const char *http_client_name(const http_exchange *x); /* of its certificate; NULL: none */
http_fault http_fault_of(const http_exchange *x);
uint64_t http_arrived_us(const http_exchange *x); /* st_clock_us() of its first byte */

/* Answer.  Headers and body are copied; Content-Length is set. */
void http_reply(http_exchange *x, unsigned status, const http_header *headers,
                uint32_t n_headers, const char *body, size_t len);

/* Answer piece by piece: each piece is on its way when the call returns, without waiting
 * for the client.  False: the client is gone, or reads too slowly; end the stream. */
void http_stream_begin(http_exchange *x, unsigned status, const http_header *headers,
                       uint32_t n_headers);
bool http_stream_send(http_exchange *x, const char *bytes, size_t len);
void http_stream_end(http_exchange *x);
/* End it so that the client sees a broken answer, not a short one. */
void http_stream_break(http_exchange *x);

/* Call `fn` once when the client hangs up before the answer has ended; at once when it
 * has already.  Never called after http_reply or http_stream_end returned.  `fn` may not
 * answer. */
void http_on_gone(http_exchange *x, void (*fn)(void *arg), void *arg);
bool http_is_gone(http_exchange *x);
#endif
