/* task/yaml.c - YAML text to a small tree whose nodes know their line and column.
 *
 * libfyaml's event stream is folded into the tree with a stack of open containers.  In a
 * mapping scalars come in turns, key then value: `key` holds the key that waits for its
 * value. */
#include "task/yaml.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

typedef struct builder {
    yaml *tree;
    yaml_node *open[YAML_MAX_DEPTH]; /* containers around the next node */
    unsigned depth;
    yaml_node *key; /* a key that waits for its value, or NULL */
    unsigned n_documents;
} builder;

ST_PRINTF(5, 0)
static int fail_at(const yaml *y, unsigned line, unsigned column, st_err *err,
                   const char *fmt, va_list ap) ST_PRINTF(5, 0);
static int fail_at(const yaml *y, unsigned line, unsigned column, st_err *err,
                   const char *fmt, va_list ap)
{
    char what[300];
    vsnprintf(what, sizeof what, fmt, ap);
    return st_err_set(err, ST_ECONTRACT, "%s:%u:%u: %s", y->path, line, column, what);
}

int yaml_fail(const yaml *y, const yaml_node *node, st_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = fail_at(y, node->line, node->column, err, fmt, ap);
    va_end(ap);
    return rc;
}

int yaml_fail_key(const yaml *y, const yaml_node *node, st_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = node->key ? fail_at(y, node->key_line, node->key_column, err, fmt, ap)
                       : fail_at(y, node->line, node->column, err, fmt, ap);
    va_end(ap);
    return rc;
}

/* The same for a place that has no node yet. */
static int fail_event(const builder *b, struct fy_event *event, st_err *err,
                      const char *fmt, ...) ST_PRINTF(4, 5);
static int fail_event(const builder *b, struct fy_event *event, st_err *err,
                      const char *fmt, ...)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    va_list ap;
    va_start(ap, fmt);
    int rc = fail_at(b->tree, mark ? (unsigned)mark->line + 1 : 1,
                     mark ? (unsigned)mark->column + 1 : 1, err, fmt, ap);
    va_end(ap);
    return rc;
}

/* A node with room for a text of `len` bytes, NUL-terminated and zero for now. */
static yaml_node *make_node(builder *b, yaml_kind kind, struct fy_event *event,
                            size_t len)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    yaml_node *node = st_zalloc_n(1, sizeof *node + len + 1);
    if (!node)
        return NULL;
    node->kind = kind;
    node->text = (char *)(node + 1);
    node->line = mark ? (unsigned)mark->line + 1 : 1;
    node->column = mark ? (unsigned)mark->column + 1 : 1;
    node->made = b->tree->made;
    b->tree->made = node;
    return node;
}

/* Hang `node` under the open container, or make it the root. */
static int place_node(builder *b, yaml_node *node, st_err *err)
{
    yaml_node *parent = b->depth ? b->open[b->depth - 1] : NULL;
    if (!parent) {
        b->tree->root = node;
        return 0;
    }
    if (parent->kind == YAML_MAP) {
        if (!b->key) {
            if (node->kind != YAML_SCALAR)
                return yaml_fail(b->tree, node, err, "a key must be plain text, not a %s",
                                 yaml_type(node));
            if (parent->n >= YAML_MAX_KEYS)
                return yaml_fail(b->tree, node, err, "more than %d keys in one mapping",
                                 YAML_MAX_KEYS);
            if (yaml_find(parent, node->text))
                return yaml_fail(b->tree, node, err, "key '%s' is here twice",
                                 node->text);
            b->key = node;
            return 0;
        }
        node->key = b->key->text;
        node->key_line = b->key->line;
        node->key_column = b->key->column;
        b->key = NULL;
    }
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->n++;
    return 0;
}

/* Copy a token's text, byte by byte: libfyaml 0.7.12 leaks in fy_token_get_text when a
 * text has many escapes, and fy_token_iter_read puts later pieces over the first. */
static int copy_text(struct fy_token *token, char *to, size_t len)
{
    struct fy_token_iter *iter = fy_token_iter_create(token);
    size_t have = 0;
    if (!iter)
        return ST_ENOMEM;
    while (have < len && fy_token_iter_read(iter, to + have, 1) == 1)
        have++;
    fy_token_iter_destroy(iter);
    if (have == len)
        return 0;
    size_t n = 0; /* a block scalar of line ends only has no pieces */
    const char *text = fy_token_get_text(token, &n);
    if (!text || n != len)
        return ST_ENOMEM;
    memcpy(to, text, len);
    return 0;
}

static int add_scalar(builder *b, struct fy_event *event, st_err *err)
{
    struct fy_token *token = event->scalar.value;
    size_t len = token ? fy_token_get_text_length(token) : 0;
    yaml_node *node =
        len <= YAML_MAX_BYTES ? make_node(b, YAML_SCALAR, event, len) : NULL;
    if (!node || (len && copy_text(token, (char *)(node + 1), len)))
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", b->tree->path);
    if (memchr(node->text, '\0', len))
        return fail_event(b, event, err, "a text may not hold a NUL character");
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    node->plain = style == FYSS_PLAIN;
    if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
        node->column--; /* the scanner's mark is behind the quote */
    if (!fy_event_start_mark(event) && b->key) { /* `key:` and nothing: the key's place */
        node->line = b->key->line;
        node->column = b->key->column;
    }
    return place_node(b, node, err);
}

static int open_container(builder *b, yaml_kind kind, struct fy_event *event, st_err *err)
{
    if (b->depth == YAML_MAX_DEPTH)
        return fail_event(b, event, err, "nested more than %d deep", YAML_MAX_DEPTH);
    yaml_node *node = make_node(b, kind, event, 0);
    if (!node)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", b->tree->path);
    int rc = place_node(b, node, err);
    if (rc == 0)
        b->open[b->depth++] = node;
    return rc;
}

static bool is_decorated(struct fy_event *event)
{
    if (event->type == FYET_SCALAR)
        return event->scalar.anchor || event->scalar.tag;
    if (event->type == FYET_SEQUENCE_START)
        return event->sequence_start.anchor || event->sequence_start.tag;
    if (event->type == FYET_MAPPING_START)
        return event->mapping_start.anchor || event->mapping_start.tag;
    return event->type == FYET_ALIAS;
}

static int take_event(builder *b, struct fy_event *event, st_err *err)
{
    if (is_decorated(event))
        return fail_event(b, event, err, "anchors, aliases and tags are not used here");
    switch (event->type) {
    case FYET_SCALAR:
        return add_scalar(b, event, err);
    case FYET_SEQUENCE_START:
        return open_container(b, YAML_LIST, event, err);
    case FYET_MAPPING_START:
        return open_container(b, YAML_MAP, event, err);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        b->depth--;
        return 0;
    case FYET_DOCUMENT_START:
        if (b->n_documents++)
            return fail_event(b, event, err, "a second document; expected one");
        return 0;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
    case FYET_ALIAS:
        break;
    }
    return 0;
}

/* What the scanner had to say, with its place. */
static int fail_scan(const yaml *y, struct fy_diag *diag, st_err *err)
{
    void *at = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at);
    if (!e)
        return st_err_set(err, ST_ECONTRACT, "%s: is not YAML", y->path);
    return st_err_set(err, ST_ECONTRACT, "%s:%d:%d: %s", y->path,
                      e->line > 0 ? e->line : 1, e->column > 0 ? e->column : 1,
                      e->msg ? e->msg : "is not YAML");
}

static int read_events(builder *b, struct fy_parser *parser, struct fy_diag *diag,
                       st_err *err)
{
    struct fy_event *event;
    int rc = 0;
    while (rc == 0 && (event = fy_parser_parse(parser))) {
        rc = take_event(b, event, err);
        fy_parser_event_free(parser, event);
    }
    if (rc == 0 && fy_parser_get_stream_error(parser))
        rc = fail_scan(b->tree, diag, err);
    if (rc == 0 && !b->tree->root)
        rc = st_err_set(err, ST_ECONTRACT, "%s:1:1: the file is empty", b->tree->path);
    return rc;
}

static int scan(builder *b, const char *text, size_t len, st_err *err)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", b->tree->path);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
                 FYPCF_JSON_NONE,
        .diag = diag,
    };
    int rc = 0;
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (!parser || fy_parser_set_string(parser, text, len))
        rc = st_err_set(err, ST_ENOMEM, "%s: out of memory", b->tree->path);
    else
        rc = read_events(b, parser, diag, err);
    if (parser)
        fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return rc;
}

/* Bytes that no contract needs and that scanners treat differently are refused first. */
static int check_bytes(const yaml *y, const char *text, size_t len, st_err *err)
{
    size_t bad;
    if (len > YAML_MAX_BYTES)
        return st_err_set(err, ST_ELIMIT, "%s: %zu bytes; at most %d are read", y->path,
                          len, YAML_MAX_BYTES);
    unsigned line = 1;
    const char *start = text;
    if (st_utf8_valid(text, len, &bad))
        bad = len;
    for (const char *p = text; p < text + bad; p++) {
        if ((unsigned char)*p < ' ' && *p != '\n' && *p != '\r' && *p != '\t') {
            bad = (size_t)(p - text);
            break;
        }
        if (*p == '\n') {
            line++;
            start = p + 1;
        }
    }
    if (bad == len)
        return 0;
    return st_err_set(err, ST_ECONTRACT, "%s:%u:%u: byte 0x%02x; expected UTF-8 text",
                      y->path, line, (unsigned)(text + bad - start) + 1,
                      (unsigned char)text[bad]);
}

int yaml_parse(const char *path, const char *text, size_t len, yaml **ret_yaml,
               st_err *err)
{
    builder b = {0};
    int rc = ST_ENOMEM;
    yaml *y = st_zalloc_n(1, sizeof *y);
    if (!y || !(y->path = st_strdup(path))) {
        st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    b.tree = y;
    rc = check_bytes(y, text, len, err);
    if (rc == 0 && len == 0)
        rc = st_err_set(err, ST_ECONTRACT, "%s:1:1: the file is empty", path);
    if (rc == 0)
        rc = scan(&b, text, len, err);
    if (rc)
        goto fail;
    *ret_yaml = y;
    return 0;
fail:
    yaml_free(y);
    return rc;
}

void yaml_free(yaml *y)
{
    if (!y)
        return;
    for (yaml_node *node = y->made; node;) {
        yaml_node *older = node->made;
        st_free(node);
        node = older;
    }
    st_free(y->path);
    st_free(y);
}

const yaml_node *yaml_find(const yaml_node *map, const char *key)
{
    for (const yaml_node *child = map->first; child; child = child->next)
        if (child->key && strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

static bool is_one_of(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

/* The numbers of the YAML 1.2 core schema. */
static bool is_number(const char *s)
{
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o'))
        return s[2] && strspn(s + 2, "0123456789abcdefABCDEF") == strlen(s + 2);
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, "0123456789");
    size_t part = 0;
    s += whole;
    if (*s == '.') {
        part = strspn(s + 1, "0123456789");
        s += 1 + part;
    }
    if (whole + part == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t digits = strspn(s, "0123456789");
        if (!digits)
            return false;
        s += digits;
    }
    return *s == '\0';
}

const char *yaml_type(const yaml_node *node)
{
    static const char *const booleans[] = {"true",  "True",  "TRUE",
                                           "false", "False", "FALSE"};
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind == YAML_LIST)
        return "list";
    if (node->kind == YAML_MAP)
        return "mapping";
    if (!node->plain)
        return "string";
    if (is_one_of(node->text, booleans, ST_COUNT(booleans)))
        return "boolean";
    if (is_one_of(node->text, nulls, ST_COUNT(nulls)))
        return "null";
    return is_number(node->text) ? "number" : "string";
}
