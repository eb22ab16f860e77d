/* task/contract.c - a task's YAML file, read strictly.
 *
 * A mapping is read through a table of its keys: for each key a function that takes its
 * value.  What the table does not have is refused, what it requires must be there. */
#include "task/contract.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "task/checks.h"
#include "task/contract_read.h"
#include "task/draft.h"
#include "task/near.h"
#include "task/rules.h"

static const char *const type_names[] = {
    [QUESTION_PREDICATE] = "predicate", [QUESTION_CHOICE] = "choice",
    [QUESTION_SCORE] = "score",         [QUESTION_EXTRACT] = "extract",
    [QUESTION_DRAFT] = "draft",
};
static const char *const too_long_names[] = {
    [CONTRACT_REJECT] = "reject",
    [CONTRACT_TRUNCATE_MIDDLE] = "truncate_middle",
};

static int take_name(reader *r, const yaml_node *value)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    int rc = reader_string(r, value, "task", &r->c->name);
    if (rc)
        return rc;
    size_t len = strlen(value->text);
    if (len > 64 || strspn(value->text, allowed) != len || value->text[0] == '.')
        return yaml_fail(r->c->source, value, r->err,
                         "task '%.70s': expected at most 64 letters, digits, '-', '_' or "
                         "'.', not '.' first",
                         value->text);
    return 0;
}

static int take_models(reader *r, const yaml_node *value)
{
    contract *c = r->c;
    int rc = reader_list(r, value, "models");
    for (const yaml_node *m = value->first; m && rc == 0; m = m->next) {
        if (c->n_models == CONTRACT_MAX_MODELS)
            return yaml_fail(c->source, m, r->err, "more than %d models",
                             CONTRACT_MAX_MODELS);
        rc = reader_string(r, m, "a model", &c->models[c->n_models]);
        for (uint32_t i = 0; rc == 0 && i < c->n_models; i++)
            if (strcmp(c->models[i], m->text) == 0)
                rc = yaml_fail(c->source, m, r->err, "model '%.80s' is here twice",
                               m->text);
        c->n_models += rc == 0;
    }
    return rc;
}

static int take_type(reader *r, const yaml_node *value)
{
    unsigned type = 0;
    int rc =
        reader_enum(r, value, "question type", type_names, ST_COUNT(type_names), &type);
    if (rc == 0)
        r->c->question.type = (question_type)type;
    return rc;
}

static int take_instructions(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "instructions", &r->c->question.instructions);
}

static int take_choices(reader *r, const yaml_node *value)
{
    r->choices = value;
    return 0;
}

static int take_levels(reader *r, const yaml_node *value)
{
    r->levels = value;
    return 0;
}

static int take_abstain(reader *r, const yaml_node *value)
{
    r->abstain = value;
    return reader_bool(r, value, "abstain", &r->c->question.abstain);
}

static int take_value(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "the label", &r->option->value);
}

static int take_description(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "the description", &r->option->description);
}

/* One option, {value|label, description?}; it may not repeat an earlier one. */
static int read_option(reader *r, const yaml_node *node, const char *key,
                       question_option *to)
{
    const key_row rows[] = {{key, take_value, true},
                            {"description", take_description, false}};
    contract *c = r->c;
    *to = (question_option){0};
    r->option = to;
    int rc = reader_map(r, node, "an option", rows, ST_COUNT(rows));
    if (rc)
        return rc;
    const yaml_node *value = yaml_find(node, key);
    if (strcmp(to->value, QUESTION_NONE) == 0) {
        rc = yaml_fail(c->source, value, r->err, "label '%s' is reserved", QUESTION_NONE);
        st_err_hint(r->err, "write `abstain: true` for \"none of these\"");
        return rc;
    }
    if (contract_option(c, to->value, strlen(to->value)) >= 0)
        return yaml_fail(c->source, value, r->err, "label '%.60s' is here twice",
                         to->value);
    return 0;
}

static int read_options(reader *r, const yaml_node *list, const char *what,
                        const char *key, unsigned most)
{
    contract *c = r->c;
    bool none = c->question.abstain;
    int rc = reader_list(r, list, what);
    if (rc)
        return rc;
    if (list->n < 2u - none || list->n > most - none)
        return yaml_fail(c->source, list, r->err, "%u %s; expected %u to %u%s", list->n,
                         what, 2u - none, most - none, none ? " beside \"none\"" : "");
    c->options = st_zalloc_n(list->n + 1u, sizeof *c->options);
    if (!c->options)
        return st_err_set(r->err, ST_ENOMEM, "%s: out of memory", c->path);
    c->question.options = c->options;
    for (const yaml_node *node = list->first; node && rc == 0; node = node->next) {
        rc = read_option(r, node, key, &c->options[c->question.n_options]);
        c->question.n_options += rc == 0;
    }
    if (rc == 0 && none)
        c->options[c->question.n_options++] =
            (question_option){QUESTION_NONE, "none of these"};
    return rc;
}

static int set_predicate_options(reader *r)
{
    contract *c = r->c;
    c->options = st_zalloc_n(2, sizeof *c->options);
    if (!c->options)
        return st_err_set(r->err, ST_ENOMEM, "%s: out of memory", c->path);
    c->options[0].value = "true";
    c->options[1].value = "false";
    c->question.options = c->options;
    c->question.n_options = 2;
    return 0;
}

/* Refuse a key that the type has no use for. */
static int refuse_extra(reader *r)
{
    question_type type = r->c->question.type;
    const struct {
        const yaml_node *node;
        bool fits;
    } keys[] = {
        {r->choices, type == QUESTION_CHOICE}, {r->abstain, type == QUESTION_CHOICE},
        {r->levels, type == QUESTION_SCORE},   {r->schema, type == QUESTION_EXTRACT},
        {r->text, type == QUESTION_DRAFT},     {r->slots, type == QUESTION_DRAFT},
    };
    for (size_t i = 0; i < ST_COUNT(keys); i++)
        if (keys[i].node && !keys[i].fits)
            return yaml_fail_key(r->c->source, keys[i].node, r->err,
                                 "key '%s' does not belong to a question of type %s",
                                 keys[i].node->key, type_names[type]);
    return 0;
}

static int fail_missing(reader *r, const yaml_node *node, const char *key)
{
    return yaml_fail(r->c->source, node, r->err, "question has no key '%s'", key);
}

/* What the type needs, and nothing that it has no use for. */
static int finish_question(reader *r, const yaml_node *node)
{
    question *q = &r->c->question;
    int rc = refuse_extra(r);
    if (rc)
        return rc;
    if (!q->instructions && !contract_writes(r->c))
        return fail_missing(r, node, "instructions");
    switch (q->type) {
    case QUESTION_PREDICATE:
        return set_predicate_options(r);
    case QUESTION_CHOICE:
        if (r->choices)
            return read_options(r, r->choices, "choices", "value", QUESTION_MAX_OPTIONS);
        return fail_missing(r, node, "choices");
    case QUESTION_SCORE:
        if (r->levels)
            return read_options(r, r->levels, "levels", "label", CONTRACT_MAX_LEVELS);
        return fail_missing(r, node, "levels");
    case QUESTION_EXTRACT:
        return r->schema ? reader_extract(r) : fail_missing(r, node, "schema");
    case QUESTION_DRAFT:
        if (!r->text || !r->slots)
            return fail_missing(r, node, r->text ? "slots" : "template");
        return reader_draft(r);
    }
    return 0;
}

static int take_schema(reader *r, const yaml_node *value)
{
    r->schema = value;
    return 0;
}

static int take_template(reader *r, const yaml_node *value)
{
    const char *text;
    r->text = value;
    return reader_string(r, value, "template", &text);
}

static int take_slots(reader *r, const yaml_node *value)
{
    r->slots = value;
    return 0;
}

static int take_question(reader *r, const yaml_node *value)
{
    static const key_row rows[] = {
        {"type", take_type, true},          {"instructions", take_instructions, false},
        {"choices", take_choices, false},   {"levels", take_levels, false},
        {"abstain", take_abstain, false},   {"schema", take_schema, false},
        {"template", take_template, false}, {"slots", take_slots, false},
    };
    int rc = reader_map(r, value, "question", rows, ST_COUNT(rows));
    return rc ? rc : finish_question(r, value);
}

static int take_max_tokens(reader *r, const yaml_node *value)
{
    return reader_count(r, value, "max_tokens", CONTRACT_MAX_TOKENS, &r->c->max_tokens);
}

static int take_too_long(reader *r, const yaml_node *value)
{
    unsigned how = 0;
    int rc = reader_enum(r, value, "on_too_long", too_long_names,
                         ST_COUNT(too_long_names), &how);
    if (rc == 0)
        r->c->too_long = (contract_too_long)how;
    return rc;
}

static int take_input(reader *r, const yaml_node *value)
{
    static const key_row rows[] = {
        {"max_tokens", take_max_tokens, false},
        {"on_too_long", take_too_long, false},
    };
    int rc = reader_map(r, value, "input", rows, ST_COUNT(rows));
    if (rc == 0 && r->c->too_long == CONTRACT_TRUNCATE_MIDDLE && !r->c->max_tokens)
        rc = yaml_fail_key(r->c->source, yaml_find(value, "on_too_long"), r->err,
                           "on_too_long: truncate_middle needs max_tokens");
    return rc;
}

static int take_train(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "train", &r->c->train);
}

static int take_dev(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "dev", &r->c->dev);
}

static int take_golden(reader *r, const yaml_node *value)
{
    return reader_string(r, value, "golden", &r->c->golden);
}

static int take_data(reader *r, const yaml_node *value)
{
    static const key_row rows[] = {
        {"train", take_train, false},
        {"dev", take_dev, false},
        {"golden", take_golden, false},
    };
    return reader_map(r, value, "data", rows, ST_COUNT(rows));
}

static int take_rules(reader *r, const yaml_node *value)
{
    r->rules = value;
    return 0;
}

static int take_checks(reader *r, const yaml_node *value)
{
    r->checks = value;
    return 0;
}

static int take_output(reader *r, const yaml_node *value)
{
    r->output = value;
    return 0;
}

static int take_matches(reader *r, const yaml_node *value)
{
    contract_rule *rule = &r->c->rules[r->item];
    st_err why = {0};
    int rc = reader_string(r, value, "matches", &rule->matches);
    if (rc)
        return rc;
    rc = rule_compile(rule->matches, &rule->code, &why);
    if (rc == ST_EINVAL)
        return yaml_fail(r->c->source, value, r->err, "pattern: %s", why.message);
    return rc ? st_err_set(r->err, rc, "%s: %s", r->c->path, why.message) : 0;
}

static int take_if(reader *r, const yaml_node *value)
{
    static const key_row rows[] = {{"matches", take_matches, true}};
    return reader_map(r, value, "if", rows, ST_COUNT(rows));
}

/* An answer is an option's value; true and false may stand without quotes in a predicate,
 * where they are what they say. */
static int take_answer(reader *r, const yaml_node *value)
{
    const contract *c = r->c;
    const char *text = value->text;
    bool boolean = strcmp(yaml_type(value), "boolean") == 0;
    if (!(boolean && c->question.type == QUESTION_PREDICATE)) {
        int rc = reader_string(r, value, "answer", &text);
        if (rc)
            return rc;
    } else {
        text = text[0] == 't' || text[0] == 'T' ? "true" : "false";
    }
    int32_t option = contract_option(c, text, strlen(text));
    if (option >= 0) {
        r->c->rules[r->item].answer = (uint32_t)option;
        return 0;
    }
    const char *names[QUESTION_MAX_OPTIONS];
    for (uint32_t i = 0; i < c->question.n_options; i++)
        names[i] = c->options[i].value;
    int rc = yaml_fail(c->source, value, r->err,
                       "answer '%.60s' is no option of the question", text);
    near_hint(r->err, text, names, c->question.n_options);
    return rc;
}

static int read_rules(reader *r, const yaml_node *list)
{
    static const key_row rows[] = {{"if", take_if, true}, {"answer", take_answer, true}};
    contract *c = r->c;
    int rc = reader_list(r, list, "rules");
    if (rc)
        return rc;
    if (contract_writes(c))
        return yaml_fail_key(
            c->source, list, r->err,
            "rules answer with an option; a question of type %s has none",
            type_names[c->question.type]);
    if (list->n > CONTRACT_MAX_RULES)
        return yaml_fail(c->source, list, r->err, "%u rules; at most %d", list->n,
                         CONTRACT_MAX_RULES);
    c->rules = st_zalloc_n(list->n, sizeof *c->rules);
    if (!c->rules)
        return st_err_set(r->err, ST_ENOMEM, "%s: out of memory", c->path);
    for (const yaml_node *node = list->first; node && rc == 0; node = node->next) {
        r->item =
            c->n_rules++; /* counted first: what is half read is freed with the rest */
        c->rules[r->item].line = node->line;
        rc = reader_map(r, node, "a rule", rows, ST_COUNT(rows));
    }
    return rc;
}

static int read_contract(reader *r)
{
    static const key_row rows[] = {
        {"task", take_name, true},         {"models", take_models, false},
        {"question", take_question, true}, {"input", take_input, false},
        {"rules", take_rules, false},      {"data", take_data, false},
        {"checks", take_checks, false},    {"output", take_output, false},
    };
    const yaml *y = r->c->source;
    int rc = reader_map(r, y->root, "the contract", rows, ST_COUNT(rows));
    if (rc == 0)
        rc = reader_output(r);
    if (rc == 0 && r->rules)
        rc = read_rules(r, r->rules);
    return rc;
}

static json_t *describe_options(const question *q)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < q->n_options; i++) {
        const question_option *o = &q->options[i];
        json_t *row =
            json_pack("{s:s, s:s?}", "value", o->value, "description", o->description);
        if (json_array_append_new(list, row)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *describe_rules(const contract *c)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < c->n_rules; i++) {
        const contract_rule *rule = &c->rules[i];
        json_t *row = json_pack("{s:s, s:s}", "matches", rule->matches, "answer",
                                c->options[rule->answer].value);
        if (json_array_append_new(list, row)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *describe_checks(const contract_output *o)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < o->n_checks; i++) {
        const check *k = &o->checks[i];
        json_t *row = json_pack("{s:s, s:b, s:f, s:b, s:s?}", "of", k->text, "rule",
                                k->rule != NULL, "within", k->within, "verbatim",
                                k->verbatim, "matches", k->pattern);
        int failed = !row;
        if (k->has_min)
            failed |= json_object_set_new(row, "min", json_real(k->min));
        if (k->has_max)
            failed |= json_object_set_new(row, "max", json_real(k->max));
        if (failed)
            json_decref(row);
        if (failed || json_array_append_new(list, row)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* What a task that writes has beside the others. */
static int add_output(const contract *c, json_t *whole)
{
    const contract_output *o = &c->output;
    json_t *row =
        json_pack("{s:s%, s:s?, s:I, s:o}", "schema", o->schema, o->schema_len,
                  "template", o->draft ? draft_template(o->draft) : NULL, "max_tokens",
                  (json_int_t)o->max_tokens, "checks", describe_checks(o));
    return row ? json_object_set_new(whole, "output", row) : -1;
}

static int digest_contract(contract *c, st_err *err)
{
    const question *q = &c->question;
    json_t *whole = json_pack(
        "{s:i, s:s, s:{s:s, s:s, s:o, s:b}, s:{s:I, s:s}, s:o}", "contract", 1, "task",
        c->name, "question", "type", type_names[q->type], "instructions",
        q->instructions ? q->instructions : "", "options", describe_options(q), "abstain",
        q->abstain, "input", "max_tokens", (json_int_t)c->max_tokens, "on_too_long",
        too_long_names[c->too_long], "rules", describe_rules(c));
    if (whole && contract_writes(c) && add_output(c, whole)) {
        json_decref(whole);
        whole = NULL;
    }
    char *text = whole ? json_dumps(whole, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(whole);
    if (!text)
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", c->path);
    st_sha_of(text, strlen(text), c->digest);
    st_free(text);
    return 0;
}

int contract_parse(const char *path, const char *text, size_t len,
                   contract **ret_contract, st_err *err)
{
    contract *c = st_zalloc_n(1, sizeof *c);
    reader r = {.c = c, .err = err};
    int rc = ST_ENOMEM;
    if (!c || !(c->path = st_strdup(path))) {
        st_err_set(err, ST_ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    rc = yaml_parse(path, text, len, &c->source, err);
    if (rc == 0)
        rc = read_contract(&r);
    if (rc == 0)
        rc = digest_contract(c, err);
    if (rc)
        goto fail;
    *ret_contract = c;
    return 0;
fail:
    contract_free(c);
    return rc;
}

int contract_load(const char *path, contract **ret_contract, st_err *err)
{
    char *text;
    size_t len;
    int rc = st_file_read(path, YAML_MAX_BYTES, &text, &len, err);
    if (rc)
        return rc;
    rc = contract_parse(path, text, len, ret_contract, err);
    st_free(text);
    return rc;
}

void contract_free(contract *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->n_rules; i++)
        rule_free(c->rules[i].code);
    st_free(c->rules);
    output_done(&c->output);
    st_free(c->options);
    yaml_free(c->source);
    st_free(c->path);
    st_free(c);
}

bool contract_writes(const contract *c)
{
    return c->question.type == QUESTION_EXTRACT || c->question.type == QUESTION_DRAFT;
}

int32_t contract_option(const contract *c, const char *text, size_t len)
{
    for (uint32_t i = 0; i < c->question.n_options; i++) {
        const char *value = c->options[i].value;
        if (strlen(value) == len && memcmp(value, text, len) == 0)
            return (int32_t)i;
    }
    return -1;
}

int contract_match(const contract *c, const char *text, size_t len, int32_t *ret_rule,
                   st_err *err)
{
    for (uint32_t i = 0; i < c->n_rules; i++) {
        bool match;
        int rc = rule_match(c->rules[i].code, text, len, &match, err);
        if (rc) {
            st_err_at(err, "%s:%u: rule %u", c->path, c->rules[i].line, i + 1);
            return rc;
        }
        if (match) {
            *ret_rule = (int32_t)i;
            return 0;
        }
    }
    *ret_rule = -1;
    return 0;
}

char *contract_artifact_path(const contract *c)
{
    char name[64 + sizeof ".stint"];
    snprintf(name, sizeof name, "%s.stint", c->name);
    return st_path_beside(c->path, name);
}
