/* grammar/schema_node.c - nodes and what they are made of, each numbered once: names,
 * patterns, numbers; and where a schema is refused. */
#include "grammar/schema_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The path of a place in the document, as a JSON pointer.  False: not below `at`. */
static bool write_pointer(const json *at, const json *target, st_buf *out)
{
    if (at == target)
        return true;
    if (at->type != JSON_ARRAY && at->type != JSON_OBJECT)
        return false;
    for (uint32_t i = 0; i < at->n; i++) {
        size_t len = out->len;
        if (at->type == JSON_ARRAY) {
            st_buf_fmt(out, "/%u", i);
        } else {
            st_buf_char(out, '/');
            for (const char *ch = at->names[i].text; *ch; ch++) {
                if (*ch == '~' || *ch == '/')
                    st_buf_str(out, *ch == '~' ? "~0" : "~1");
                else
                    st_buf_char(out, *ch);
            }
        }
        if (write_pointer(&at->items[i], target, out))
            return true;
        if (out->code == 0)
            out->len = len;
    }
    return false;
}

int refuse_place(compiler *c, const json *at, const char *keyword, int code, st_err *err,
                 const char *message)
{
    st_buf pointer;
    st_buf_init(&pointer, sizeof c->refusal->pointer - 1);
    if (at)
        write_pointer(c->root, at, &pointer);
    snprintf(c->refusal->pointer, sizeof c->refusal->pointer, "%s",
             pointer.len ? pointer.data : "");
    snprintf(c->refusal->keyword, sizeof c->refusal->keyword, "%s", keyword);
    st_err_set(err, code, "%s", message);
    st_err_at(err, "%s: %s", c->refusal->pointer, keyword);
    st_buf_done(&pointer);
    return code;
}

int refuse(compiler *c, uint32_t at, const char *keyword, int code, st_err *err,
           const char *fmt, ...)
{
    char message[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return refuse_place(c, at < c->n_nodes ? c->nodes[at].raw : NULL, keyword, code, err,
                        message);
}

int name_of(compiler *c, const char *text, size_t len, uint32_t *ret, st_err *err)
{
    return intern_put(&c->names, text, len, ret, err);
}

/* Equal schemas of one resource are one node: what they ask is the same. */
static uint32_t find_equal(const compiler *c, const json *raw, uint32_t resource,
                           bool value, uint64_t hash)
{
    enum { TRIES = 8 };
    for (uint64_t i = 0; i < TRIES; i++) {
        uint64_t key[2] = {hash, (uint64_t)resource << 32 | i << 1 | value};
        uint32_t number = intern_find(&c->equal_index, key, sizeof key);
        if (number == 0)
            break;
        if (json_same(c->nodes[c->equal_nodes[number]].raw, raw))
            return c->equal_nodes[number];
    }
    return NODE_NO;
}

/* So that it is found by find_equal. */
static int keep_equal(compiler *c, uint32_t id, uint64_t hash, st_err *err)
{
    enum { TRIES = 8 };
    const node *n = &c->nodes[id];
    for (uint64_t i = 0; i < TRIES; i++) {
        uint64_t key[2] = {hash, (uint64_t)n->resource << 32 | i << 1 | n->value};
        uint32_t number, known = c->equal_index.n;
        int rc = intern_put(&c->equal_index, key, sizeof key, &number, err);
        if (rc < 0)
            return rc;
        if (number <= known)
            continue;
        rc = array_room(&c->equal_nodes, number, &c->cap_equal, sizeof *c->equal_nodes,
                        err);
        if (rc == 0)
            c->equal_nodes[number] = id;
        return rc;
    }
    return 0;
}

int node_of(compiler *c, const json *raw, uint32_t resource, bool value, uint32_t *ret,
            st_err *err)
{
    struct {
        const json *raw;
        uint64_t value;
    } key = {raw, value};
    uint32_t number, known = c->node_index.n;
    int rc = intern_put(&c->node_index, &key, sizeof key, &number, err);
    if (rc == 0 && number > known)
        rc = array_room(&c->node_ids, number, &c->cap_node_ids, sizeof *c->node_ids, err);
    if (rc < 0)
        return rc;
    if (number > known) {
        uint64_t hash = json_hash(raw);
        resource = refs_resource(c, raw, resource);
        uint32_t id = find_equal(c, raw, resource, value, hash);
        if (id == NODE_NO) {
            rc = array_room(&c->nodes, c->n_nodes, &c->cap_nodes, sizeof *c->nodes, err);
            if (rc < 0)
                return rc;
            id = c->n_nodes++;
            c->nodes[id] = (node){.raw = raw, .resource = resource, .value = value};
            rc = keep_equal(c, id, hash, err);
        }
        c->node_ids[number] = id;
    }
    *ret = c->node_ids[number];
    return rc;
}

int text_of(compiler *c, text_kind kind, uint32_t at, const json *from, uint32_t n,
            uint32_t *ret, st_err *err)
{
    struct {
        uint64_t kind, hash;
        const json *set;
    } key = {kind, 0, from};
    if (kind != TEXT_SET) { /* equal patterns are one */
        uint32_t name;
        int rc = name_of(c, from->text, from->n, &name, err);
        if (rc < 0)
            return rc;
        key.set = NULL;
        key.hash = name;
    }
    uint32_t number, known = c->text_index.n;
    int rc = intern_put(&c->text_index, &key, sizeof key, &number, err);
    if (rc == 0 && number > known)
        rc = array_room(&c->texts, c->n_texts, &c->cap_texts, sizeof *c->texts, err);
    if (rc < 0)
        return rc;
    if (number > known)
        c->texts[c->n_texts++] =
            (text_part){.kind = kind, .node = at, .from = from, .n = n};
    *ret = number - 1;
    return 0;
}

int decimal_of(compiler *c, const json *number, uint32_t at, const char *keyword,
               uint32_t *ret, st_err *err)
{
    decimal d;
    if (!decimal_read(number->text, number->n, &d))
        return refuse(c, at, keyword, ST_EUNSUPPORTED, err, "an exponent over 10^9");
    for (uint32_t i = 0; i < c->n_decimals && i < 64; i++) {
        if (decimal_cmp(&c->decimals[i], &d) == 0) {
            *ret = i;
            return 0;
        }
    }
    int rc = array_room(&c->decimals, c->n_decimals, &c->cap_decimals,
                        sizeof *c->decimals, err);
    if (rc < 0)
        return rc;
    c->decimals[c->n_decimals] = d;
    *ret = c->n_decimals++;
    return 0;
}
