/* serve/log.c - JSON lines, made in a fixed room so that a line needs no memory that may
 * be missing just when something goes wrong. */
#include "serve/log.h"

#include "base/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 4096, TAIL = 4 }; /* TAIL: room for what ends a line */

static const char *const level_names[] = {"error", "warning", "info", "debug"};

bool log_level_of(const char *name, log_level *ret_level)
{
    for (log_level i = LOG_ERROR; i <= LOG_DEBUG; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = i;
            return true;
        }
    return false;
}

typedef struct line {
    char text[LINE];
    size_t n;
} line;

/* All of it or nothing. */
static bool put(line *l, const char *s, size_t n)
{
    if (l->n + n > LINE - TAIL)
        return false;
    memcpy(l->text + l->n, s, n);
    l->n += n;
    return true;
}

/* One character of a JSON string; what is not UTF-8 is '?'. */
static bool put_char(line *l, const char *s, size_t n, size_t *ret_len)
{
    char escaped[8];
    uint32_t c = st_utf8_decode(s, n, ret_len);
    if (c == ST_UTF8_BAD)
        return put(l, "?", 1);
    if (c >= 0x20 && c != '"' && c != '\\')
        return put(l, s, *ret_len);
    int len = snprintf(escaped, sizeof escaped, "\\u%04x", c);
    return put(l, escaped, (size_t)len);
}

/* A long text is cut. */
static void put_quoted(line *l, const char *s)
{
    size_t left = strlen(s);
    size_t len;
    put(l, "\"", 1);
    for (; left && l->n < LINE - 4 * TAIL && put_char(l, s, left, &len); left -= len)
        s += len;
    put(l, "\"", 1);
}

static bool has_room(const line *l, const char *name)
{
    return l->n + strlen(name) + 64 < LINE;
}

static void put_text(line *l, const char *name, const char *value)
{
    if (!value || !*value || !has_room(l, name))
        return;
    put(l, ",\"", 2);
    put(l, name, strlen(name));
    put(l, "\":", 2);
    put_quoted(l, value);
}

static void put_number(line *l, const char *name, double value)
{
    char text[96];
    int n = snprintf(text, sizeof text, ",\"%s\":%.15g", name, value);
    put(l, text, (size_t)n);
}

static void begin(line *l, log_level level, const char *event)
{
    struct timespec now = {0};
    struct tm day = {0};
    char time[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &day);
    strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &day);
    l->n = (size_t)snprintf(l->text, LINE, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\"",
                            time, now.tv_nsec / 1000000, level_names[level]);
    put_text(l, "event", event);
}

static void end(line *l, int fd)
{
    memcpy(l->text + l->n, "}\n", 2);
    l->n += 2;
    ssize_t n;
    do
        n = write(fd, l->text, l->n);
    while (n < 0 && errno == EINTR);
}

void log_event(const logger *l, log_level level, const char *event, const char *fmt, ...)
{
    char text[LINE / 2];
    line row;
    va_list args;
    if (level > l->level)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    begin(&row, level, event);
    put_text(&row, "message", text);
    end(&row, l->fd);
}

void log_failure(const logger *l, log_level level, const char *event, const st_err *err)
{
    line row;
    if (level > l->level)
        return;
    begin(&row, level, event);
    put_text(&row, "message", *err->message ? err->message : st_code_text(err->code));
    put_text(&row, "hint", err->hint);
    put_text(&row, "kind", st_code_text(err->code));
    end(&row, l->fd);
}

void log_request(const logger *l, const log_request_row *r)
{
    line row;
    log_level level = r->status >= 500 ? LOG_WARNING : LOG_INFO;
    if (level > l->level)
        return;
    begin(&row, level, "request");
    put_text(&row, "id", r->id);
    put_text(&row, "method", r->method);
    put_text(&row, "route", r->route);
    put_number(&row, "status", r->status);
    put_number(&row, "ms", (double)r->total_us / 1000);
    put_text(&row, "code", r->code);
    put_text(&row, "key", r->key);
    put_text(&row, "client", r->client);
    put_text(&row, "model", r->model);
    put_text(&row, "finish", r->finish);
    if (r->model && *r->model) {
        put_number(&row, "queued_ms", (double)r->queued_us / 1000);
        put_number(&row, "prompt_tokens", r->n_prompt);
        put_number(&row, "cached_tokens", r->n_cached);
        put_number(&row, "new_tokens", r->n_new);
    }
    end(&row, l->fd);
}
