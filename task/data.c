/* task/data.c - labelled rows from JSON lines or CSV.
 *
 * Both formats give one `row_parts` per row; add_row() judges it.  Strings are copied
 * into blocks that the set owns. */
#include "task/data.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "task/csv.h"
#include "task/fields.h"
#include "task/near.h"

enum { BLOCK_BYTES = 256 * 1024 };

typedef struct data_block { /* strings, one after the other */
    struct data_block *next;
    size_t used;
    size_t size;
    char bytes[];
} data_block;

typedef struct row_parts { /* what one row says; views */
    const char *id;
    size_t id_len;
    char id_digits[24]; /* of an integer id */
    bool id_number;
    const char *text;
    size_t len;
    const char *label; /* NULL: none */
    size_t label_len;
    const char *source;
    size_t source_len;
    const char *output; /* of a task that writes: JSON text; NULL: none */
    size_t output_len;
    bool both_inputs; /* has "input" and "text" */
} row_parts;

typedef struct loader {
    data_set *set;
    const question *q;
    bool writes; /* rows have an "output" and no "label" */
    const data_opts *opts;
    st_map labels; /* value -> option */
    st_map ids;
    uint32_t cap;
    st_err *err;
} loader;

/* A copy of `n` bytes and a NUL in the set's blocks; NULL when out of memory. */
static const char *keep_text(data_set *set, const char *text, size_t n)
{
    data_block *b = set->blocks;
    if (!b || b->size - b->used <= n) {
        size_t size = n + 1 > BLOCK_BYTES ? n + 1 : BLOCK_BYTES;
        data_block *fresh = st_alloc(sizeof *fresh + size);
        if (!fresh)
            return NULL;
        *fresh = (data_block){.next = b, .size = size};
        set->blocks = b = fresh;
    }
    char *copy = b->bytes + b->used;
    if (n)
        memcpy(copy, text, n);
    copy[n] = '\0';
    b->used += n + 1;
    return copy;
}

static int fail_memory(loader *l)
{
    return st_err_set(l->err, ST_ENOMEM, "%s: out of memory", l->set->path);
}

/* A row that cannot be used: an error, or one more line in the list. */
static int reject(loader *l, size_t line, const char *fmt, ...) ST_PRINTF(3, 4);
static int reject(loader *l, size_t line, const char *fmt, ...)
{
    data_set *set = l->set;
    char why[sizeof set->rejects->why];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (!l->opts->keep_going)
        return st_err_set(l->err, ST_EFORMAT, "%s:%zu: %s", set->path, line, why);
    set->n_rejected++;
    if (set->n_rejects == DATA_MAX_REJECTS)
        return 0;
    if (!set->rejects)
        set->rejects = st_zalloc_n(DATA_MAX_REJECTS, sizeof *set->rejects);
    if (!set->rejects)
        return fail_memory(l);
    data_reject *r = &set->rejects[set->n_rejects++];
    r->line = line;
    memcpy(r->why, why, sizeof why);
    return 0;
}

static int note_extra(loader *l, const char *name)
{
    data_set *set = l->set;
    for (uint32_t i = 0; i < set->n_extra; i++)
        if (strcmp(set->extra[i], name) == 0)
            return 0;
    if (set->n_extra == DATA_MAX_EXTRA)
        return 0;
    const char *copy = keep_text(set, name, strlen(name));
    if (!copy)
        return fail_memory(l);
    set->extra[set->n_extra++] = copy;
    return 0;
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n", text[i]) || text[i] == '\0')
            return false;
    return true;
}

static int grow_rows(loader *l)
{
    data_set *set = l->set;
    if (set->n < l->cap)
        return 0;
    uint32_t cap = l->cap ? l->cap * 2 : 256;
    data_row *rows = st_realloc_n(set->rows, cap, sizeof *rows);
    if (!rows)
        return fail_memory(l);
    set->rows = rows;
    l->cap = cap;
    return 0;
}

static int reject_label(loader *l, size_t line, const char *label)
{
    const char *names[QUESTION_MAX_OPTIONS];
    for (uint32_t i = 0; i < l->q->n_options; i++)
        names[i] = l->q->options[i].value;
    int rc = reject(l, line, "label '%.60s' is no option of the task", label);
    if (rc) {
        near_hint(l->err, label, names, l->q->n_options);
        st_err_hint(l->err, "add it to the choices, or, with `abstain: true`, label the "
                            "row " QUESTION_NONE);
    }
    return rc;
}

/* Why the row cannot be used goes to reject(); *ret_bad tells that it did. */
static int judge_row(loader *l, const row_parts *f, size_t line, int32_t *ret_label,
                     bool *ret_bad)
{
    uint32_t value;
    *ret_label = -1;
    *ret_bad = true;
    if (f->both_inputs)
        return reject(l, line, "has both \"input\" and \"text\"; expected one of them");
    if (!f->text)
        return reject(l, line, "has no \"input\" (or \"text\")");
    if (is_blank(f->text, f->len))
        return reject(l, line, "the input is empty");
    if (l->opts->need_labels && !(l->writes ? f->output : f->label))
        return reject(l, line, "has no \"%s\"", l->writes ? "output" : "label");
    if (f->label && !st_map_get(&l->labels, f->label, f->label_len, &value))
        return reject_label(l, line, f->label);
    if (f->label)
        *ret_label = (int32_t)value;
    if (f->id && st_map_get(&l->ids, f->id, f->id_len, &value))
        return reject(l, line, "id '%.60s' is on line %zu too", f->id,
                      l->set->rows[value].line);
    *ret_bad = false;
    return 0;
}

static int add_row(loader *l, const row_parts *f, size_t line)
{
    data_set *set = l->set;
    data_row row = {.len = f->len, .line = line, .id_number = f->id_number};
    bool bad;
    int rc = judge_row(l, f, line, &row.label, &bad);
    if (rc || bad)
        return rc;
    rc = grow_rows(l);
    if (rc)
        return rc;
    row.text = keep_text(set, f->text, f->len);
    row.id = f->id ? keep_text(set, f->id, f->id_len) : NULL;
    row.source = f->source ? keep_text(set, f->source, f->source_len) : NULL;
    row.output = f->output ? keep_text(set, f->output, f->output_len) : NULL;
    row.output_len = f->output_len;
    if (!row.text || (f->id && !row.id) || (f->source && !row.source) ||
        (f->output && !row.output))
        return fail_memory(l);
    if (row.id && st_map_put(&l->ids, row.id, f->id_len, set->n, NULL))
        return fail_memory(l);
    set->rows[set->n++] = row;
    set->n_labelled += l->writes ? row.output != NULL : row.label >= 0;
    return 0;
}

/* A member that must be a string; null counts as absent. */
static int take_string(loader *l, const json_t *value, const char *name, size_t line,
                       const char **ret, size_t *ret_len, bool *ret_bad)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_string(value)) {
        *ret_bad = true;
        return reject(l, line, "\"%s\" is not a string", name);
    }
    *ret = json_string_value(value);
    *ret_len = json_string_length(value);
    return 0;
}

static int take_id(loader *l, const json_t *value, size_t line, row_parts *f,
                   bool *ret_bad)
{
    if (!json_is_integer(value))
        return take_string(l, value, "id", line, &f->id, &f->id_len, ret_bad);
    int n = snprintf(f->id_digits, sizeof f->id_digits, "%" JSON_INTEGER_FORMAT,
                     json_integer_value(value));
    f->id = f->id_digits;
    f->id_len = (size_t)n;
    f->id_number = true;
    return 0;
}

/* The text of the member "output" as it is written, so that a number stays 12.50. */
static int take_output(loader *l, const json_t *value, const char *text, size_t len,
                       size_t line, row_parts *f, bool *ret_bad)
{
    fields members;
    st_err why = {0};
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value)) {
        *ret_bad = true;
        return reject(l, line, "\"output\" is not an object");
    }
    int rc = fields_read(text, len, &members, &why);
    if (rc == ST_ENOMEM)
        return fail_memory(l);
    if (rc) {
        *ret_bad = true;
        return reject(l, line, "\"output\": %s", why.message);
    }
    for (uint32_t i = 0; i < members.n && !f->output; i++) {
        const field *m = &members.at[i];
        if (strcmp(fields_pointer(&members, i), "/output"))
            continue;
        f->output = text + m->begin;
        f->output_len = m->end - m->begin;
    }
    fields_done(&members);
    return 0;
}

static int add_json_row(loader *l, json_t *row, const char *text, size_t len, size_t line)
{
    row_parts f = {0};
    bool bad = false;
    const char *key;
    json_t *value;
    int rc = 0;
    if (!json_is_object(row))
        return reject(l, line, "is not a JSON object");
    json_object_foreach(row, key, value)
    {
        bool is_input = strcmp(key, "input") == 0 || strcmp(key, "text") == 0;
        f.both_inputs |= is_input && f.text;
        if (is_input)
            rc = take_string(l, value, key, line, &f.text, &f.len, &bad);
        else if (l->writes && strcmp(key, "output") == 0)
            rc = take_output(l, value, text, len, line, &f, &bad);
        else if (!l->writes && strcmp(key, "label") == 0)
            rc = take_string(l, value, key, line, &f.label, &f.label_len, &bad);
        else if (strcmp(key, "id") == 0)
            rc = take_id(l, value, line, &f, &bad);
        else if (strcmp(key, "source") == 0)
            rc = take_string(l, value, key, line, &f.source, &f.source_len, &bad);
        else
            rc = note_extra(l, key);
        if (rc || bad)
            return rc;
    }
    return add_row(l, &f, line);
}

static int read_jsonl(loader *l, const char *text, size_t len)
{
    const char *end = text + len;
    int rc = 0;
    for (size_t line = 1; text < end && rc == 0; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        if (!is_blank(text, (size_t)(stop - text))) {
            json_error_t why;
            json_t *row = json_loadb(text, (size_t)(stop - text),
                                     JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
            if (row)
                rc = add_json_row(l, row, text, (size_t)(stop - text), line);
            else if (json_error_code(&why) == json_error_out_of_memory)
                rc = fail_memory(l);
            else
                rc = reject(l, line, "column %d: %.120s", why.column, why.text);
            json_decref(row);
        }
        text = newline ? newline + 1 : end;
    }
    return rc;
}

/* What a column of the header means. */
enum {
    COLUMN_EXTRA,
    COLUMN_INPUT,
    COLUMN_LABEL,
    COLUMN_ID,
    COLUMN_SOURCE,
    COLUMN_OUTPUT
};

static int column_kind(const loader *l, const char *name)
{
    static const struct {
        const char *name;
        int kind;
    } known[] = {{"input", COLUMN_INPUT},   {"text", COLUMN_INPUT},
                 {"label", COLUMN_LABEL},   {"id", COLUMN_ID},
                 {"source", COLUMN_SOURCE}, {"output", COLUMN_OUTPUT}};
    for (size_t i = 0; i < ST_COUNT(known); i++)
        if (strcmp(name, known[i].name) == 0 &&
            known[i].kind != (l->writes ? COLUMN_LABEL : COLUMN_OUTPUT))
            return known[i].kind;
    return COLUMN_EXTRA;
}

/* An unreadable header leaves nothing to go on with, so it is an error in any case. */
static int read_header(loader *l, const csv *c, int *kinds)
{
    unsigned seen[COLUMN_OUTPUT + 1] = {0};
    for (unsigned i = 0; i < c->n_fields; i++) {
        kinds[i] = column_kind(l, csv_field(c, i));
        if (kinds[i] != COLUMN_EXTRA && seen[kinds[i]]++)
            return st_err_set(l->err, ST_EFORMAT, "%s:%zu: column '%s' is here twice",
                              l->set->path, c->record_line, csv_field(c, i));
        if (kinds[i] == COLUMN_EXTRA) {
            int rc = note_extra(l, csv_field(c, i));
            if (rc)
                return rc;
        }
    }
    if (!seen[COLUMN_INPUT])
        return st_err_set(l->err, ST_EFORMAT,
                          "%s:%zu: the header has no column 'input' (or 'text')",
                          l->set->path, c->record_line);
    return 0;
}

static int add_csv_row(loader *l, const csv *c, const int *kinds, unsigned n_columns)
{
    row_parts f = {0};
    if (c->n_fields != n_columns)
        return reject(l, c->record_line, "%u fields; the header has %u", c->n_fields,
                      n_columns);
    for (unsigned i = 0; i < n_columns; i++) {
        const char *text = csv_field(c, i);
        size_t len = c->len[i];
        if (!st_utf8_valid(text, len, NULL))
            return reject(l, c->record_line, "field %u is not UTF-8", i + 1);
        if (kinds[i] == COLUMN_INPUT) {
            f.text = text;
            f.len = len;
        } else if (kinds[i] == COLUMN_LABEL && len) {
            f.label = text;
            f.label_len = len;
        } else if (kinds[i] == COLUMN_ID && len) {
            f.id = text;
            f.id_len = len;
        } else if (kinds[i] == COLUMN_SOURCE && len) {
            f.source = text;
            f.source_len = len;
        } else if (kinds[i] == COLUMN_OUTPUT && len) {
            st_err why = {0};
            fields members;
            if (text[0] != '{' || fields_read(text, len, &members, &why))
                return reject(l, c->record_line, "\"output\" is not a JSON object");
            fields_done(&members);
            f.output = text;
            f.output_len = len;
        }
    }
    return add_row(l, &f, c->record_line);
}

static int read_csv(loader *l, const char *text, size_t len)
{
    int kinds[CSV_MAX_FIELDS];
    unsigned n_columns = 0;
    bool more = true;
    csv c;
    csv_init(&c, text, len);
    int rc = csv_next(&c, &more, l->err);
    if (rc == 0 && !more)
        rc = st_err_set(l->err, ST_EFORMAT, "line 1: no header");
    if (rc) {
        st_err_at(l->err, "%s", l->set->path);
        goto done;
    }
    n_columns = c.n_fields;
    rc = read_header(l, &c, kinds);
    while (rc == 0) {
        rc = csv_next(&c, &more, l->err);
        if (rc)
            st_err_at(l->err, "%s", l->set->path);
        if (rc || !more)
            break;
        rc = add_csv_row(l, &c, kinds, n_columns);
    }
done:
    csv_done(&c);
    return rc;
}

static bool is_csv(const char *path)
{
    size_t len = strlen(path);
    return len >= 4 &&
           (strcmp(path + len - 4, ".csv") == 0 || strcmp(path + len - 4, ".CSV") == 0);
}

static int read_rows(loader *l, const char *text, size_t len)
{
    for (uint32_t i = 0; i < l->q->n_options; i++) {
        const char *value = l->q->options[i].value;
        if (st_map_put(&l->labels, value, strlen(value), i, NULL))
            return fail_memory(l);
    }
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        text += 3;
        len -= 3;
    }
    return is_csv(l->set->path) ? read_csv(l, text, len) : read_jsonl(l, text, len);
}

int data_parse(const char *path, const char *text, size_t len, const question *q,
               const data_opts *opts, data_set **ret_set, st_err *err)
{
    loader l = {.q = q, .opts = opts, .err = err};
    l.writes = q->type == QUESTION_EXTRACT || q->type == QUESTION_DRAFT;
    st_map_init(&l.labels);
    st_map_init(&l.ids);
    int rc = ST_ENOMEM;
    l.set = st_zalloc_n(1, sizeof *l.set);
    if (!l.set || !(l.set->path = st_strdup(path))) {
        st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    st_sha_of(text, len, l.set->digest);
    rc = read_rows(&l, text, len);
    if (rc == 0 && l.set->n == 0 && l.set->n_rejected == 0)
        rc = st_err_set(err, ST_EFORMAT, "%s: has no rows", path);
    if (rc)
        goto fail;
    st_map_done(&l.labels);
    st_map_done(&l.ids);
    *ret_set = l.set;
    return 0;
fail:
    st_map_done(&l.labels);
    st_map_done(&l.ids);
    data_free(l.set);
    return rc;
}

int data_load(const char *path, const question *q, const data_opts *opts,
              data_set **ret_set, st_err *err)
{
    char *text;
    size_t len;
    int rc = st_file_read(path, DATA_MAX_BYTES, &text, &len, err);
    if (rc)
        return rc;
    rc = data_parse(path, text, len, q, opts, ret_set, err);
    st_free(text);
    return rc;
}

void data_free(data_set *set)
{
    if (!set)
        return;
    for (data_block *b = set->blocks; b;) {
        data_block *next = b->next;
        st_free(b);
        b = next;
    }
    st_free(set->rejects);
    st_free(set->rows);
    st_free(set->path);
    st_free(set);
}

/* text -> index of the first row that has it */
static int index_texts(const data_set *set, st_map *map, st_err *err)
{
    if (st_map_reserve(map, set->n))
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", set->path);
    for (uint32_t i = 0; i < set->n; i++)
        if (st_map_put(map, set->rows[i].text, set->rows[i].len, i, NULL))
            return st_err_set(err, ST_ENOMEM, "%s: out of memory", set->path);
    return 0;
}

int data_compare(const data_set *a, const data_set *b, data_overlap *ret, st_err *err)
{
    data_overlap found = {0};
    st_map map;
    st_map_init(&map);
    int rc = index_texts(a, &map, err);
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        uint32_t other;
        if (!st_map_get(&map, b->rows[i].text, b->rows[i].len, &other))
            continue;
        if (found.n++ == 0) {
            found.row_a = other;
            found.row_b = i;
        }
    }
    st_map_done(&map);
    if (rc == 0)
        *ret = found;
    return rc;
}

int data_find_repeats(const data_set *set, data_repeats *ret, st_err *err)
{
    data_repeats found = {0};
    st_map map;
    st_map_init(&map);
    int rc = index_texts(set, &map, err);
    for (uint32_t i = 0; rc == 0 && i < set->n; i++) {
        uint32_t first = i;
        (void)st_map_get(&map, set->rows[i].text, set->rows[i].len, &first);
        if (first == i)
            continue;
        bool conflict = set->rows[first].label != set->rows[i].label;
        if (found.n == 0 || (conflict && found.n_conflicting == 0)) {
            found.row_a = first;
            found.row_b = i;
        }
        found.n++;
        found.n_conflicting += conflict;
    }
    st_map_done(&map);
    if (rc == 0)
        *ret = found;
    return rc;
}
