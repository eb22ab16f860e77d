/* cli/output.c - rows in, rows out, and the progress bar.
 *
 * A row is one line of JSON.  Reading is by line and not by file, so that a command in a
 * pipe answers each row as it comes. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_LINE = 64 << 20,    /* bytes of one row */
    BAR_CELLS = 24,         /* width of the bar */
    BAR_AFTER_US = 1000000, /* work shorter than this shows none */
    BAR_EVERY_US = 100000,  /* between two drawings */
};

/* The one bar of the process; main thread only. */
static struct {
    uint64_t start_us; /* when the present phase began */
    uint64_t drawn_us; /* 0: not on screen */
    char what[64];     /* the phase */
} bar;

bool cli_stdout_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

void cli_progress_end(void)
{
    if (bar.drawn_us)
        fputs("\r\033[K", stderr);
    memset(&bar, 0, sizeof bar);
}

static void draw_bar(uint64_t now, uint64_t done, uint64_t total)
{
    char cells[BAR_CELLS + 1];
    double part = total ? (double)done / (double)total : 0;
    int full = (int)(part * BAR_CELLS);
    double spent = (double)(now - bar.start_us) / 1e6;
    memset(cells, '.', BAR_CELLS);
    memset(cells, '#', (size_t)full);
    cells[BAR_CELLS] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %llu/%llu", bar.what, cells, part * 100,
            (unsigned long long)done, (unsigned long long)total);
    if (part > 0.01)
        fprintf(stderr, "  %.0f s left", spent / part - spent);
    fflush(stderr);
    bar.drawn_us = now;
}

static bool report_bar(void *arg, const char *what, uint64_t done, uint64_t total)
{
    uint64_t now = st_clock_us();
    (void)arg;
    if (strncmp(bar.what, what, sizeof bar.what - 1) != 0) {
        cli_progress_end();
        bar.start_us = now;
        snprintf(bar.what, sizeof bar.what, "%s", what);
    }
    if (done > total)
        done = total;
    if (now - bar.start_us >= BAR_AFTER_US && now - bar.drawn_us >= BAR_EVERY_US)
        draw_bar(now, done, total);
    return true;
}

st_progress cli_progress(void)
{
    st_progress none = {0};
    st_progress drawn = {.report = report_bar};
    return isatty(STDERR_FILENO) == 1 ? drawn : none;
}

/* One line without its end into `line`; *ret_more is false at the end of the file. */
static int read_line(FILE *in, st_buf *line, bool *ret_more, st_err *err)
{
    int c;
    st_buf_reset(line);
    while ((c = getc_unlocked(in)) != EOF && c != '\n') {
        if (st_buf_char(line, (char)c))
            return st_err_set(err, line->code, "%s", st_code_text(line->code));
    }
    if (c == EOF && ferror(in))
        return st_err_set(err, ST_EIO, "cannot read: %s", strerror(errno));
    *ret_more = c != EOF || line->len;
    return 0;
}

static bool is_blank(const st_buf *line)
{
    for (size_t i = 0; i < line->len; i++) {
        if (!strchr(" \t\r", line->data[i]) || !line->data[i])
            return false;
    }
    return true;
}

static int give_row(const st_buf *line, size_t number, cli_row_fn *fn, void *arg,
                    st_err *err)
{
    static const char bom[] = "\xEF\xBB\xBF";
    size_t skip =
        number == 1 && line->len >= 3 && memcmp(line->data, bom, 3) == 0 ? 3 : 0;
    json_error_t why;
    json_t *row = json_loadb(line->data + skip, line->len - skip,
                             JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
    if (!row && !why.text[0]) /* jansson says why, but for this */
        return st_err_set(err, ST_ENOMEM, "out of memory");
    if (!json_is_object(row)) {
        int rc = row ? st_err_set(err, ST_EFORMAT, "not a JSON object")
                     : st_err_set(err, ST_EFORMAT, "column %d: %s", why.column, why.text);
        st_err_hint(err, "each line holds one JSON object");
        json_decref(row);
        return rc;
    }
    int rc = fn(arg, row, number, err);
    json_decref(row);
    return rc;
}

int cli_each_row(const char *path, cli_row_fn *fn, void *arg, st_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "rb");
    st_buf line;
    bool more = true;
    int rc = 0;
    if (!in) {
        int code = errno == ENOENT ? ST_ENOTFOUND : ST_EIO;
        return st_err_set(err, code, "%s: cannot open: %s", path, strerror(errno));
    }
    st_buf_init(&line, MAX_LINE);
    for (size_t number = 1; !rc; number++) {
        rc = read_line(in, &line, &more, err);
        if (!rc && !more)
            break;
        if (!rc && !is_blank(&line))
            rc = give_row(&line, number, fn, arg, err);
        if (rc)
            st_err_at(err, "%s:%zu", standard ? "standard input" : path, number);
    }
    st_buf_done(&line);
    if (!standard)
        fclose(in);
    return rc;
}

int cli_print_json(json_t *row, st_err *err)
{
    if (!row)
        return st_err_set(err, ST_ENOMEM, "out of memory");
    int failed = json_dumpf(row, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(row);
    if (failed)
        return st_err_set(err, ST_EIO, "standard output: cannot write the row");
    if (putchar('\n') == EOF || fflush(stdout) == EOF)
        return st_err_set(err, ST_EIO, "standard output: %s", strerror(errno));
    return 0;
}

/* Controls (C0, DEL, C1), and the marks that turn the direction of what follows. */
static bool drives_terminal(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) ||
           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

void cli_put_text(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t code = st_utf8_decode(text + i, len - i, &n);
        if (code == ST_UTF8_BAD || drives_terminal(code))
            putc('?', out);
        else
            fwrite(text + i, 1, n, out);
    }
}

json_t *cli_json_text(const char *s, size_t len)
{
    st_buf text;
    if (st_utf8_valid(s, len, NULL))
        return json_stringn(s, len);
    st_buf_init(&text, len * 3 + 1);
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t code = st_utf8_decode(s + i, len - i, &n);
        st_buf_add(&text, code == ST_UTF8_BAD ? "\xEF\xBF\xBD" : s + i,
                   code == ST_UTF8_BAD ? 3 : n);
    }
    json_t *json = text.code ? NULL : json_stringn(text.data, text.len);
    st_buf_done(&text);
    return json;
}
