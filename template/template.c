/* template/template.c - the door: parse once, render many times.
 *
 * The variables come as JSON; their strings are not copied, so the JSON object must stay
 * as it is while the render runs. */
#include "template/template.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "template/run.h"
#include <string.h>

enum {
    SOURCE_MAX = 4 << 20, /* bytes of a template: real ones have 1 to 20 KiB */
    PARSE_MEMORY = 256 << 20,
    STEPS_DEFAULT = 10000000,
    OUTPUT_DEFAULT = 16 << 20,
    MEMORY_DEFAULT = 256 << 20,
};

void tmpl_out_init(tmpl_out *out)
{
    st_buf_init(&out->text, SIZE_MAX / 2);
    st_buf_init(&out->marks, SIZE_MAX / 2);
}

void tmpl_out_done(tmpl_out *out)
{
    st_buf_done(&out->text);
    st_buf_done(&out->marks);
}

/* --- parse --- */

static int check_source(const char *source, size_t len, st_err *err)
{
    size_t bad;
    if (len > SOURCE_MAX)
        return st_err_set(err, ST_ELIMIT, "template of %zu bytes, over %d", len,
                          SOURCE_MAX);
    if (!st_utf8_valid(source, len, &bad))
        return st_err_set(err, ST_EFORMAT, "template: byte %zu is not UTF-8", bad);
    return 0;
}

static void parse_done(parse_state *p)
{
    st_free(p->tokens);
    st_free(p->interned);
    if (p->names)
        st_map_done(p->names);
}

static int parse_source(parse_state *p, tmpl *t)
{
    int rc = lex_all(p);
    if (!rc)
        rc = parse_all(p, &t->body);
    return rc ? rc : scope_resolve(p, t->body, &t->root);
}

int tmpl_parse(const char *source, size_t len, tmpl **ret_tmpl, st_err *err)
{
    st_err local = {0};
    st_map names;
    int rc = check_source(source, len, err);
    if (rc)
        return rc;
    tmpl *t = st_zalloc_n(1, sizeof *t);
    if (!t)
        return st_err_set(err, ST_ENOMEM, "out of memory while parsing");
    st_map_init(&names);
    parse_state p = {.s = source, .len = len, .names = &names};
    p.r =
        (rt){.steps_left = UINT64_MAX, .max_output = SIZE_MAX, .line = 1, .err = &local};
    tarena_init(&p.r.mem, PARSE_MEMORY);
    rc = parse_source(&p, t);
    parse_done(&p);
    t->mem = p.r.mem;
    if (rc) {
        tmpl_free(t);
        return st_err_set(err, rc, "template: %s", local.message);
    }
    *ret_tmpl = t;
    return 0;
}

void tmpl_free(tmpl *t)
{
    if (t)
        tarena_done(&t->mem);
    st_free(t);
}

/* --- variables --- */

static int from_json(rt *r, const json_t *json, unsigned char mark, val *ret);

static int list_from_json(rt *r, const json_t *json, val *ret)
{
    size_t n = json_array_size(json);
    tlist *list = tlist_new(r, L_LIST, n);
    int rc = list ? rt_enter(r) : r->err->code;
    if (rc)
        return rc;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = from_json(r, json_array_get(json, i), 1, &list->v[i]);
        list->n = i + 1;
    }
    r->depth--;
    *ret = val_list(list);
    return rc;
}

/* The tokens that a template puts around texts are its own, not data. */
static unsigned char mark_of(const char *key, bool is_top)
{
    static const char *const own[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    for (size_t i = 0; i < ST_COUNT(own) && is_top; i++) {
        if (strcmp(key, own[i]) == 0)
            return 0;
    }
    return 1;
}

static int dict_from_json(rt *r, const json_t *json, bool is_top, tdict **ret)
{
    tdict *d = tdict_new(r, json_object_size(json));
    int rc = d ? rt_enter(r) : r->err->code;
    if (rc)
        return rc;
    void *it = json_object_iter((json_t *)(uintptr_t)json);
    for (; it && !rc; it = json_object_iter_next((json_t *)(uintptr_t)json, it)) {
        const char *key = json_object_iter_key(it);
        const tstr *name = tstr_new(r, key, json_object_iter_key_len(it), 1);
        val value;
        rc = name ? from_json(r, json_object_iter_value(it), mark_of(key, is_top), &value)
                  : r->err->code;
        if (!rc)
            rc = tdict_add(r, d, val_str(name), value);
    }
    r->depth--;
    *ret = d;
    return rc;
}

static int string_from_json(rt *r, const json_t *json, unsigned char mark, val *ret)
{
    const char *s = json_string_value(json);
    size_t n = json_string_length(json);
    const tstr *str = tstr_new(r, s, n, mark);
    if (!str)
        return r->err->code;
    if (!st_utf8_valid(s, n, NULL))
        return rt_fail(r, ST_EINVAL, "a variable is not UTF-8");
    *ret = val_str(str);
    return 0;
}

static int from_json(rt *r, const json_t *json, unsigned char mark, val *ret)
{
    tdict *d;
    int rc = 0;
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        rc = dict_from_json(r, json, false, &d);
        if (!rc)
            *ret = val_dict(d);
        return rc;
    case JSON_ARRAY:
        return list_from_json(r, json, ret);
    case JSON_STRING:
        return string_from_json(r, json, mark, ret);
    case JSON_INTEGER:
        *ret = val_int(json_integer_value(json));
        break;
    case JSON_REAL:
        *ret = val_float(json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        *ret = val_bool(json_is_true(json));
        break;
    case JSON_NULL:
        *ret = val_of(V_NONE);
        break;
    }
    ret->data = true;
    return rc;
}

/* --- render --- */

static int run(rt *r, const tmpl *t, const json_t *vars, tbuild *out)
{
    int rc = dict_from_json(r, vars, true, &r->vars);
    frame *root = rc ? NULL : frame_new(r, NULL, t->root);
    if (!root)
        return r->err->code;
    rc = frame_load(r, root);
    tbuild_init(out, r);
    out->limit = r->max_output;
    r->out = out;
    return rc ? rc : exec(r, root, t->body);
}

static int give_out(const tbuild *b, tmpl_out *out, st_err *err)
{
    int rc = st_buf_room(&out->text, b->len);
    if (!rc)
        rc = st_buf_room(&out->marks, b->len);
    if (rc)
        return st_err_set(err, rc, "no room for %zu bytes of output", b->len);
    st_buf_add(&out->text, b->s, b->len);
    if (b->marks) {
        st_buf_add(&out->marks, b->marks, b->len);
    } else if (b->len) {
        memset(out->marks.data + out->marks.len, b->mark, b->len);
        out->marks.len += b->len;
        out->marks.data[out->marks.len] = '\0';
    }
    return 0;
}

int tmpl_render(const tmpl *t, const json_t *vars, const tmpl_opts *opts, tmpl_out *out,
                st_err *err)
{
    static const tmpl_opts none = {0};
    st_err local = {0};
    tbuild text;
    opts = opts ? opts : &none;
    if (!json_is_object(vars))
        return st_err_set(err, ST_EINVAL,
                          "the variables of a template are a JSON object");
    rt r = {.steps_left = opts->max_steps ? opts->max_steps : STEPS_DEFAULT,
            .max_output = opts->max_output ? opts->max_output : OUTPUT_DEFAULT,
            .line = 1,
            .now_unix = opts->now_unix,
            .err = &local,
            .tmpl = t};
    tarena_init(&r.mem, opts->max_memory ? opts->max_memory : MEMORY_DEFAULT);
    int rc = run(&r, t, vars, &text);
    if (!rc && local.code)
        rc = local.code;
    if (rc)
        st_err_set(err, rc, "%s", local.message);
    else
        rc = give_out(&text, out, err);
    tarena_done(&r.mem);
    return rc;
}
