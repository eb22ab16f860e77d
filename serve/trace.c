/* serve/trace.c - a request's timeline in Chrome's trace-event format: one bar for the
 * request, below it the others, and one for each mark until the next. */
#include "serve/trace.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { MAX_NUMBERS = 16, MAX_FILE = 1 << 20 };

struct trace {
    uint64_t started_us;
    uint32_t n, n_lost, n_numbers;
    struct {
        const char *what;
        uint64_t at_us;
        uint64_t to_us; /* 0: until the next mark */
    } marks[TRACE_MAX_MARKS];
    struct {
        const char *name;
        uint64_t value;
    } numbers[MAX_NUMBERS];
};

trace *trace_begin(uint64_t started_us)
{
    trace *t = st_alloc(sizeof *t);
    if (t) {
        t->started_us = started_us;
        t->n = t->n_lost = t->n_numbers = 0;
    }
    return t;
}

static void add(trace *t, const char *what, uint64_t at_us, uint64_t to_us)
{
    if (!t)
        return;
    if (t->n == TRACE_MAX_MARKS) {
        t->n_lost++;
        return;
    }
    t->marks[t->n].what = what;
    t->marks[t->n].at_us = at_us;
    t->marks[t->n++].to_us = to_us;
}

void trace_mark(trace *t, const char *what)
{
    add(t, what, st_clock_us(), 0);
}

void trace_bar(trace *t, const char *what, uint64_t from_us, uint64_t to_us)
{
    add(t, what, from_us, to_us > from_us ? to_us : from_us);
}

void trace_number(trace *t, const char *name, uint64_t value)
{
    if (!t || t->n_numbers == MAX_NUMBERS)
        return;
    t->numbers[t->n_numbers].name = name;
    t->numbers[t->n_numbers++].value = value;
}

void trace_free(trace *t)
{
    st_free(t);
}

/* Letters, digits, '-' and '_'; the rest is '_': it becomes a file's name and part of a
 * JSON string. */
static void plain(const char *id, char *ret, size_t room)
{
    size_t n = 0;
    for (; id[n] && n + 1 < room; n++) {
        char c = id[n];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                    (c >= 'A' && c <= 'Z') || c == '-';
        ret[n] = word ? c : '_';
    }
    ret[n] = '\0';
}

static void put_bar(st_buf *out, const char *what, uint64_t from, uint64_t to)
{
    st_buf_fmt(out,
               "{\"name\":\"%s\",\"ph\":\"X\",\"ts\":%llu,\"dur\":%llu,\"pid\":1,"
               "\"tid\":1",
               what, (unsigned long long)from, (unsigned long long)(to - from));
}

/* Of a bar; of a mark the next mark, or the end of all. */
static uint64_t mark_end(const trace *t, uint32_t i, uint64_t end_us)
{
    if (t->marks[i].to_us)
        return t->marks[i].to_us;
    for (uint32_t k = i + 1; k < t->n; k++)
        if (!t->marks[k].to_us)
            return t->marks[k].at_us;
    return end_us;
}

static void put_all(const trace *t, const char *id, const char *route, uint64_t end_us,
                    st_buf *out)
{
    st_buf_str(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    put_bar(out, route, t->started_us, end_us);
    st_buf_fmt(out, ",\"args\":{\"id\":\"%s\"", id);
    for (uint32_t i = 0; i < t->n_numbers; i++)
        st_buf_fmt(out, ",\"%s\":%llu", t->numbers[i].name,
                   (unsigned long long)t->numbers[i].value);
    if (t->n_lost)
        st_buf_fmt(out, ",\"marks lost\":%u", t->n_lost);
    st_buf_str(out, "}}");
    for (uint32_t i = 0; i < t->n; i++) {
        uint64_t from = t->marks[i].at_us;
        uint64_t to = mark_end(t, i, end_us);
        st_buf_str(out, ",\n");
        put_bar(out, t->marks[i].what, from, to < from ? from : to);
        st_buf_char(out, '}');
    }
    st_buf_str(out, "\n]}\n");
}

int trace_end(trace *t, const char *folder, const char *id, const char *route,
              st_err *err)
{
    char name[80];
    st_buf text, path;
    if (!t)
        return st_err_set(err, ST_ENOMEM, "no memory for a request's timeline");
    plain(id, name, sizeof name);
    st_buf_init(&text, MAX_FILE);
    st_buf_init(&path, MAX_FILE);
    st_buf_fmt(&path, "%s/%lld-%llu-%s.json", folder, (long long)st_clock_unix(),
               (unsigned long long)t->started_us, name);
    put_all(t, name, route, st_clock_us(), &text);
    int rc = text.code ? text.code : path.code;
    if (rc)
        st_err_set(err, rc, "no memory for a request's timeline");
    else
        rc = st_file_write(path.data, text.data, text.len, err);
    st_buf_done(&text);
    st_buf_done(&path);
    st_free(t);
    return rc;
}
