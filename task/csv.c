/* task/csv.c - records of a CSV text (RFC 4180), one at a time. */
#include "task/csv.h"

#include <string.h>

void csv_init(csv *c, const char *text, size_t len)
{
    *c = (csv){.at = text, .end = text + len, .line = 1};
    st_buf_init(&c->text, (size_t)1 << 30);
}

void csv_done(csv *c)
{
    st_buf_done(&c->text);
}

const char *csv_field(const csv *c, unsigned i)
{
    return c->text.data + c->start[i];
}

static bool at_line_end(const csv *c)
{
    return c->at == c->end || *c->at == '\n' ||
           (*c->at == '\r' && (c->at + 1 == c->end || c->at[1] == '\n'));
}

static void pass_line_end(csv *c)
{
    if (c->at < c->end && *c->at == '\r')
        c->at++;
    if (c->at < c->end && *c->at == '\n')
        c->at++;
    c->line++;
}

static int read_quoted(csv *c, st_err *err)
{
    size_t opened = c->line;
    for (c->at++;; c->at++) {
        if (c->at == c->end)
            return st_err_set(err, ST_EFORMAT, "line %zu: a quote is never closed",
                              opened);
        if (*c->at == '"' && (c->at + 1 == c->end || c->at[1] != '"'))
            break;
        if (*c->at == '"')
            c->at++;
        if (*c->at == '\n')
            c->line++;
        (void)st_buf_char(&c->text, *c->at);
    }
    c->at++;
    if (!at_line_end(c) && *c->at != ',')
        return st_err_set(err, ST_EFORMAT, "line %zu: text after a closing quote",
                          c->line);
    return 0;
}

static int read_field(csv *c, st_err *err)
{
    if (c->n_fields == CSV_MAX_FIELDS)
        return st_err_set(err, ST_EFORMAT, "line %zu: more than %d fields", c->line,
                          CSV_MAX_FIELDS);
    size_t start = c->text.len;
    int rc = 0;
    if (c->at < c->end && *c->at == '"') {
        rc = read_quoted(c, err);
    } else {
        for (; !at_line_end(c) && *c->at != ','; c->at++) {
            if (*c->at == '"')
                return st_err_set(err, ST_EFORMAT, "line %zu: a quote inside a field",
                                  c->line);
            (void)st_buf_char(&c->text, *c->at);
        }
    }
    c->start[c->n_fields] = start;
    c->len[c->n_fields++] = c->text.len - start;
    (void)st_buf_char(&c->text, '\0');
    return rc;
}

int csv_next(csv *c, bool *ret_more, st_err *err)
{
    while (c->at < c->end && at_line_end(c))
        pass_line_end(c);
    st_buf_reset(&c->text);
    c->n_fields = 0;
    c->record_line = c->line;
    if (c->at == c->end) {
        *ret_more = false;
        return 0;
    }
    for (;;) {
        int rc = read_field(c, err);
        if (rc)
            return rc;
        if (at_line_end(c))
            break;
        c->at++; /* the comma */
    }
    pass_line_end(c);
    if (c->text.code)
        return st_err_set(err, c->text.code, "line %zu: no memory for the record",
                          c->record_line);
    *ret_more = true;
    return 0;
}
