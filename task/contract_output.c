/* task/contract_output.c - what a task of type extract or draft writes: its schema, its
 * template, its limits and the checks of it. */
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "grammar/grammar.h"
#include "task/checks.h"
#include "task/contract_read.h"
#include "task/draft.h"
#include "task/near.h"
#include "task/outline.h"
#include "task/rules.h"

enum { MAX_SCHEMA = 8 << 20 }; /* bytes */

static int fail_memory(reader *r)
{
    return st_err_set(r->err, ST_ENOMEM, "%s: out of memory", r->c->path);
}

/* ---- YAML as JSON ---- */

static bool is_json_number(const char *s)
{
    s += *s == '-';
    size_t whole = strspn(s, "0123456789");
    if (whole == 0 || (whole > 1 && s[0] == '0'))
        return false;
    s += whole;
    if (*s == '.') {
        size_t digits = strspn(s + 1, "0123456789");
        if (!digits)
            return false;
        s += 1 + digits;
    }
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        if (!*s)
            return false;
        s += strspn(s, "0123456789");
    }
    return !*s;
}

static void put_string(const char *text, st_buf *out)
{
    st_buf_char(out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            st_buf_fmt(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            st_buf_fmt(out, "\\u%04x", (unsigned)*p);
        else
            st_buf_char(out, *p);
    }
    st_buf_char(out, '"');
}

static int put_scalar(reader *r, const yaml_node *node, st_buf *out)
{
    const char *type = yaml_type(node);
    if (strcmp(type, "string") == 0)
        put_string(node->text, out);
    else if (strcmp(type, "boolean") == 0)
        st_buf_str(out, node->text[0] == 't' || node->text[0] == 'T' ? "true" : "false");
    else if (strcmp(type, "null") == 0)
        st_buf_str(out, "null");
    else if (!is_json_number(node->text))
        return yaml_fail(r->c->source, node, r->err,
                         "'%.40s' in a schema; expected a number as JSON writes it",
                         node->text);
    else
        st_buf_str(out, node->text);
    return 0;
}

static int put_node(reader *r, const yaml_node *node, st_buf *out)
{
    bool map = node->kind == YAML_MAP;
    int rc = 0;
    if (node->kind == YAML_SCALAR)
        return put_scalar(r, node, out);
    st_buf_char(out, map ? '{' : '[');
    for (const yaml_node *n = node->first; n && rc == 0; n = n->next) {
        if (n != node->first)
            st_buf_char(out, ',');
        if (map) {
            put_string(n->key, out);
            st_buf_char(out, ':');
        }
        rc = put_node(r, n, out);
    }
    st_buf_char(out, map ? '}' : ']');
    return rc;
}

/* ---- the schema ---- */

/* Compile the schema's text and keep both. */
static int keep_schema(reader *r, const yaml_node *place, const char *text, size_t len)
{
    contract_output *o = &r->c->output;
    grammar_refusal where;
    st_err why = {0};
    st_buf compact;
    st_buf_init(&compact, MAX_SCHEMA);
    int rc = outline_compact(text, len, &compact, &why);
    if (rc == 0)
        o->schema = st_buf_detach(&compact, &o->schema_len);
    st_buf_done(&compact);
    if (rc == 0 && !o->schema)
        return fail_memory(r);
    if (rc == 0)
        rc = grammar_schema(o->schema, o->schema_len,
                            &(grammar_schema_opts){.space = GRAMMAR_SPACED}, &o->grammar,
                            &where, &why);
    if (rc == 0)
        return 0;
    if (rc == ST_ENOMEM)
        return fail_memory(r);
    const char *said = why.message; /* "POINTER: keyword: what is wrong" */
    said += strncmp(said, ": ", 2) == 0 ? 2 : 0;
    yaml_fail(r->c->source, place, r->err, "the schema: %s", said);
    if (why.hint[0])
        st_err_hint(r->err, "%s", why.hint);
    return ST_ECONTRACT;
}

static int read_schema_file(reader *r, const yaml_node *node)
{
    const char *name;
    char *text = NULL;
    size_t len = 0;
    st_err why = {0};
    int rc = reader_string(r, node, "schema", &name);
    if (rc)
        return rc;
    char *path = st_path_beside(r->c->path, name);
    if (!path)
        return fail_memory(r);
    rc = st_file_read(path, MAX_SCHEMA, &text, &len, &why);
    st_free(path);
    if (rc == ST_ENOMEM)
        return fail_memory(r);
    if (rc)
        return yaml_fail(r->c->source, node, r->err, "schema: %s", why.message);
    rc = keep_schema(r, node, text, len);
    st_free(text);
    return rc;
}

int reader_extract(reader *r)
{
    st_buf text;
    if (r->schema->kind == YAML_SCALAR)
        return read_schema_file(r, r->schema);
    st_buf_init(&text, MAX_SCHEMA);
    int rc = put_node(r, r->schema, &text);
    if (rc == 0 && text.code)
        rc = fail_memory(r);
    if (rc == 0)
        rc = keep_schema(r, r->schema, text.data, text.len);
    st_buf_done(&text);
    return rc;
}

/* ---- the slots of a draft ---- */

static int put_slot(reader *r, const draft *d, uint32_t i, st_buf *out)
{
    const char *name = draft_slot(d, i);
    const yaml_node *slot = yaml_find(r->slots, name);
    if (!slot) {
        int rc = yaml_fail(r->c->source, r->text, r->err,
                           "template: {{%.40s}} is no slot of 'slots'", name);
        const char *names[DRAFT_MAX_SLOTS];
        size_t n = 0;
        for (const yaml_node *s = r->slots->first; s && n < DRAFT_MAX_SLOTS; s = s->next)
            names[n++] = s->key;
        near_hint(r->err, name, names, n);
        return rc;
    }
    const yaml_node *type = yaml_find(slot, "type");
    if (slot->kind == YAML_MAP && type && type->kind == YAML_SCALAR &&
        (strcmp(type->text, "object") == 0 || strcmp(type->text, "array") == 0))
        return yaml_fail(r->c->source, type, r->err,
                         "a slot is a text, a number or a boolean, not an %s",
                         type->text);
    st_buf_fmt(out, "%s", i ? "," : "");
    put_string(name, out);
    st_buf_char(out, ':');
    return put_node(r, slot, out);
}

static int put_slots(reader *r, const draft *d, st_buf *out)
{
    int rc = 0;
    st_buf_str(out, "{\"type\":\"object\",\"properties\":{");
    for (uint32_t i = 0; i < draft_n_slots(d) && rc == 0; i++)
        rc = put_slot(r, d, i, out);
    st_buf_str(out, "},\"required\":[");
    for (uint32_t i = 0; i < draft_n_slots(d); i++)
        st_buf_fmt(out, "%s\"%s\"", i ? "," : "", draft_slot(d, i));
    st_buf_str(out, "],\"additionalProperties\":false}");
    return rc;
}

static int check_slots(reader *r, const draft *d)
{
    if (r->slots->kind != YAML_MAP)
        return yaml_fail(r->c->source, r->slots, r->err,
                         "slots is a %s; expected a mapping", yaml_type(r->slots));
    for (const yaml_node *s = r->slots->first; s; s = s->next) {
        uint32_t i = 0;
        while (i < draft_n_slots(d) && strcmp(draft_slot(d, i), s->key))
            i++;
        if (i == draft_n_slots(d))
            return yaml_fail_key(r->c->source, s, r->err,
                                 "slot '%.40s' is not in the template", s->key);
    }
    return 0;
}

int reader_draft(reader *r)
{
    st_err why = {0};
    st_buf text;
    int rc = draft_parse(r->text->text, &r->c->output.draft, &why);
    if (rc == ST_ENOMEM)
        return fail_memory(r);
    if (rc)
        return yaml_fail(r->c->source, r->text, r->err, "template %s", why.message);
    rc = check_slots(r, r->c->output.draft);
    if (rc)
        return rc;
    st_buf_init(&text, MAX_SCHEMA);
    rc = put_slots(r, r->c->output.draft, &text);
    if (rc == 0 && text.code)
        rc = fail_memory(r);
    if (rc == 0)
        rc = keep_schema(r, r->slots, text.data, text.len);
    st_buf_done(&text);
    return rc;
}

/* ---- checks ---- */

static check *this_check(reader *r)
{
    return &r->c->output.checks[r->item];
}

static int take_field(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "field", &this_check(r)->text);
}

static int take_rule(reader *r, const yaml_node *value)
{
    st_err why = {0};
    check *k = this_check(r);
    int rc = reader_string(r, value, "rule", &k->text);
    if (rc)
        return rc;
    rc = relation_parse(k->text, &k->rule, &why);
    if (rc == ST_ENOMEM)
        return fail_memory(r);
    return rc ? yaml_fail(r->c->source, value, r->err, "rule: %s", why.message) : 0;
}

static int take_verbatim(reader *r, const yaml_node *value)
{
    int rc = reader_bool(r, value, "verbatim", &this_check(r)->verbatim);
    if (rc == 0 && !this_check(r)->verbatim)
        rc = yaml_fail(r->c->source, value, r->err,
                       "verbatim: false checks nothing; leave it out");
    return rc;
}

static int take_min(reader *r, const yaml_node *value)
{
    this_check(r)->has_min = true;
    return reader_number(r, value, "min", &this_check(r)->min);
}

static int take_max(reader *r, const yaml_node *value)
{
    this_check(r)->has_max = true;
    return reader_number(r, value, "max", &this_check(r)->max);
}

static int take_pattern(reader *r, const yaml_node *value)
{
    st_err why = {0};
    check *k = this_check(r);
    int rc = reader_string(r, value, "matches", &k->pattern);
    if (rc)
        return rc;
    rc = rule_compile(k->pattern, &k->matches, &why);
    if (rc == ST_EINVAL)
        return yaml_fail(r->c->source, value, r->err, "pattern: %s", why.message);
    return rc ? fail_memory(r) : 0;
}

static int take_within(reader *r, const yaml_node *value)
{
    int rc = reader_number(r, value, "within", &this_check(r)->within);
    if (rc == 0 && !(this_check(r)->within > 0))
        rc = yaml_fail(r->c->source, value, r->err,
                       "within is '%.40s'; expected a number over 0", value->text);
    return rc;
}

static int check_pointer(reader *r, const yaml_node *place, const char *pointer)
{
    const contract_output *o = &r->c->output;
    bool known = false;
    if (pointer[0] != '/')
        return yaml_fail(r->c->source, place, r->err,
                         "field '%.60s'; expected a JSON pointer like /total", pointer);
    if (outline_knows(o->schema, o->schema_len, pointer, &known, r->err))
        return ST_ENOMEM;
    if (!known)
        return yaml_fail(r->c->source, place, r->err, "the schema has no field %.100s",
                         pointer);
    return 0;
}

/* What a check of a field must have, and its field be. */
static int finish_field(reader *r, const yaml_node *node)
{
    const check *k = this_check(r);
    const yaml_node *within = yaml_find(node, "within");
    if (within)
        return yaml_fail_key(r->c->source, within, r->err,
                             "within goes with a rule that compares by ==");
    if (!k->verbatim && !k->has_min && !k->has_max && !k->matches)
        return yaml_fail(r->c->source, node, r->err,
                         "a check of a field needs verbatim, min, max or matches");
    if (k->has_min && k->has_max && k->min > k->max)
        return yaml_fail(r->c->source, yaml_find(node, "max"), r->err,
                         "max is less than min");
    return check_pointer(r, yaml_find(node, "field"), k->text);
}

static int finish_rule(reader *r, const yaml_node *node)
{
    static const char *const others[] = {"field", "verbatim", "min", "max", "matches"};
    const check *k = this_check(r);
    int rc = 0;
    for (size_t i = 0; i < ST_COUNT(others); i++)
        if (yaml_find(node, others[i]))
            return yaml_fail_key(r->c->source, yaml_find(node, others[i]), r->err,
                                 "key '%s' does not go with a rule", others[i]);
    if (yaml_find(node, "within") && !relation_compares_equal(k->rule))
        return yaml_fail_key(r->c->source, yaml_find(node, "within"), r->err,
                             "within goes with a rule that compares by ==");
    for (uint32_t i = 0; i < relation_n(k->rule) && rc == 0; i++)
        rc = check_pointer(r, yaml_find(node, "rule"), relation_pointer(k->rule, i));
    return rc;
}

static int read_check(reader *r, const yaml_node *node)
{
    static const key_row rows[] = {
        {"field", take_field, false},       {"rule", take_rule, false},
        {"verbatim", take_verbatim, false}, {"min", take_min, false},
        {"max", take_max, false},           {"matches", take_pattern, false},
        {"within", take_within, false},
    };
    this_check(r)->line = node->line;
    int rc = reader_map(r, node, "a check", rows, ST_COUNT(rows));
    if (rc)
        return rc;
    if (this_check(r)->rule)
        return finish_rule(r, node);
    if (!this_check(r)->text)
        return yaml_fail(r->c->source, node, r->err, "a check has a field or a rule");
    return finish_field(r, node);
}

static int read_checks(reader *r, const yaml_node *list)
{
    contract_output *o = &r->c->output;
    int rc = reader_list(r, list, "checks");
    if (rc)
        return rc;
    if (list->n > CONTRACT_MAX_CHECKS)
        return yaml_fail(r->c->source, list, r->err, "%u checks; at most %d", list->n,
                         CONTRACT_MAX_CHECKS);
    o->checks = st_zalloc_n(list->n + 1u, sizeof *o->checks);
    if (!o->checks)
        return fail_memory(r);
    for (const yaml_node *node = list->first; node && rc == 0; node = node->next) {
        r->item = o->n_checks++; /* counted first: what is half read is freed too */
        rc = read_check(r, node);
    }
    return rc;
}

/* ---- the whole ---- */

static int take_tokens(reader *r, const yaml_node *value)
{
    return reader_count(r, value, "max_tokens", CONTRACT_MAX_TOKENS,
                        &r->c->output.max_tokens);
}

int reader_output(reader *r)
{
    static const key_row rows[] = {{"max_tokens", take_tokens, true}};
    const yaml_node *extra = r->checks ? r->checks : r->output;
    if (!contract_writes(r->c))
        return extra ? yaml_fail_key(r->c->source, extra, r->err,
                                     "key '%s' goes with a question of type extract or "
                                     "draft",
                                     extra->key)
                     : 0;
    r->c->output.max_tokens = CONTRACT_OUTPUT_TOKENS;
    int rc = r->output ? reader_map(r, r->output, "output", rows, ST_COUNT(rows)) : 0;
    return rc == 0 && r->checks ? read_checks(r, r->checks) : rc;
}

void output_done(contract_output *o)
{
    checks_done(o->checks, o->n_checks);
    st_free(o->checks);
    draft_free(o->draft);
    grammar_free(o->grammar);
    st_free(o->schema);
}
