/* grammar/toolset.c - OpenAI's `tools` and `tool_choice` read, strictly.
 *
 * Every member that is not known is refused by its name: none is accepted and ignored.
 */
#include "grammar/toolcall_priv.h"

#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct reader { /* where something is wrong */
    grammar_refusal *refusal;
    st_err *err;
} reader;

/* Refuse what stands at a pointer.  `keyword` is the member at fault. */
static int refuse(reader *r, const char *pointer, const char *keyword, const char *fmt,
                  ...) ST_PRINTF(4, 5);
static int refuse(reader *r, const char *pointer, const char *keyword, const char *fmt,
                  ...)
{
    char what[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(r->refusal->pointer, sizeof r->refusal->pointer, "%s", pointer);
    snprintf(r->refusal->keyword, sizeof r->refusal->keyword, "%s", keyword);
    return st_err_set(r->err, ST_EINVAL, "%s: %s", pointer, what);
}

/* Only these members, each at most once (json_read saw to that); NULL ends the list. */
static int members_check(reader *r, const json *object, const char *pointer,
                         const char *const *known)
{
    for (uint32_t i = 0; i < object->n; i++) {
        int k = 0;
        while (known[k] && !json_is(&object->names[i], known[k]))
            k++;
        if (!known[k])
            return refuse(r, pointer, object->names[i].text, "unknown member '%.80s'",
                          object->names[i].text);
    }
    return 0;
}

static int name_check(reader *r, const json *name, const char *pointer)
{
    if (!name || name->type != JSON_STRING)
        return refuse(r, pointer, "name", "a function has a name, a string");
    if (name->n == 0 || name->n > TOOL_NAME_MAX)
        return refuse(r, pointer, "name", "a name has 1 to %d characters", TOOL_NAME_MAX);
    if (strspn(name->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789_-.") != name->n)
        return refuse(r, pointer, "name",
                      "'%s': a name has letters, digits, '_', '-' and '.' only",
                      name->text);
    return 0;
}

static int schema_compile(reader *r, tool *t, uint32_t i)
{
    static const grammar_schema_opts spaced = {.space = GRAMMAR_SPACED};
    char pointer[64];
    st_buf text;
    grammar_refusal inner = {0};
    st_err why = {0};
    snprintf(pointer, sizeof pointer, "/tools/%u/function/parameters", i);
    st_buf_init(&text, 16 << 20);
    int rc = arguments_schema(t->parameters, &text, &why);
    if (rc == 0 && !(t->schema = st_buf_detach(&text, &t->schema_len)))
        rc = st_err_set(&why, ST_ENOMEM, "no memory for a schema");
    st_buf_done(&text);
    if (rc == 0)
        rc = grammar_schema(t->schema, t->schema_len, &spaced, &t->arguments, &inner,
                            &why);
    if (rc == 0)
        return 0;
    snprintf(r->refusal->pointer, sizeof r->refusal->pointer, "%s%s", pointer,
             inner.pointer);
    snprintf(r->refusal->keyword, sizeof r->refusal->keyword, "%s", inner.keyword);
    st_err_set(r->err, rc, "function '%s': %s", t->name, why.message);
    st_err_hint(r->err, "%s", why.hint);
    st_err_at(r->err, "%s%s", pointer, inner.pointer);
    return rc;
}

static int tool_read(reader *r, toolset *set, const json *item, uint32_t i)
{
    static const char *const outer[] = {"type", "function", NULL};
    static const char *const inner[] = {"name", "description", "parameters", "strict",
                                        NULL};
    char pointer[64];
    tool *t = &set->tools[i];
    snprintf(pointer, sizeof pointer, "/tools/%u", i);
    if (item->type != JSON_OBJECT || !json_is(json_get(item, "type"), "function"))
        return refuse(r, pointer, "type",
                      "a tool is an object with \"type\": \"function\"");
    int rc = members_check(r, item, pointer, outer);
    const json *function = json_get(item, "function");
    if (rc == 0 && (!function || function->type != JSON_OBJECT))
        rc = refuse(r, pointer, "function", "a tool has \"function\", an object");
    snprintf(pointer, sizeof pointer, "/tools/%u/function", i);
    if (rc < 0 || (rc = members_check(r, function, pointer, inner)) < 0)
        return rc;
    const json *name = json_get(function, "name");
    const json *says = json_get(function, "description");
    const json *strict = json_get(function, "strict");
    t->parameters = json_get(function, "parameters");
    if (says && says->type != JSON_STRING && says->type != JSON_NULL)
        return refuse(r, pointer, "description", "a description is a string");
    if (strict && strict->type != JSON_TRUE && strict->type != JSON_FALSE &&
        strict->type != JSON_NULL)
        return refuse(r, pointer, "strict", "strict is true or false");
    t->description = says && says->type == JSON_STRING ? says->text : "";
    if (t->parameters && t->parameters->type == JSON_NULL)
        t->parameters = NULL;
    size_t len = strlen(pointer);
    snprintf(pointer + len, sizeof pointer - len, "/name");
    if ((rc = name_check(r, name, pointer)) < 0)
        return rc;
    t->name = name->text;
    for (uint32_t k = 0; k < i; k++) {
        if (strcmp(set->tools[k].name, t->name) == 0)
            return refuse(r, pointer, "name", "two functions are called '%s'", t->name);
    }
    return schema_compile(r, t, i);
}

static int tools_read(reader *r, toolset *set)
{
    if (set->root->type != JSON_ARRAY)
        return refuse(r, "/tools", "tools", "tools is an array");
    if (set->root->n == 0)
        return refuse(r, "/tools", "tools", "tools has no functions");
    if (set->root->n > TOOLSET_MAX)
        return refuse(r, "/tools", "tools", "at most %d functions", TOOLSET_MAX);
    if (!(set->tools = st_zalloc_n(set->root->n, sizeof *set->tools)))
        return st_err_set(r->err, ST_ENOMEM, "no memory for functions");
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < set->root->n; i++) {
        set->n++;
        rc = tool_read(r, set, &set->root->items[i], i);
    }
    return rc;
}

/* ---- tool_choice ---- */

static int mode_read(reader *r, const json *word, const char *pointer, bool none,
                     tools_mode *ret)
{
    if (json_is(word, "auto"))
        *ret = TOOLS_AUTO;
    else if (json_is(word, "required"))
        *ret = TOOLS_REQUIRED;
    else if (none && json_is(word, "none"))
        *ret = TOOLS_NONE;
    else
        return refuse(r, pointer, "mode", "\"auto\"%s or \"required\"",
                      none ? ", \"none\"" : "");
    return 0;
}

/* {"type": "function", "function": {"name": ...}} allows that function. */
static int function_allow(reader *r, toolset *set, const json *item, const char *pointer)
{
    static const char *const outer[] = {"type", "function", NULL};
    static const char *const inner[] = {"name", NULL};
    if (item->type != JSON_OBJECT || !json_is(json_get(item, "type"), "function"))
        return refuse(r, pointer, "type", "an object with \"type\": \"function\"");
    const json *function = json_get(item, "function");
    if (!function || function->type != JSON_OBJECT)
        return refuse(r, pointer, "function", "names a function by {\"name\": ...}");
    int rc = members_check(r, item, pointer, outer);
    if (rc == 0)
        rc = members_check(r, function, pointer, inner);
    if (rc == 0)
        rc = name_check(r, json_get(function, "name"), pointer);
    for (uint32_t i = 0; rc == 0 && i < set->n; i++) {
        if (json_is(json_get(function, "name"), set->tools[i].name)) {
            set->tools[i].allowed = true;
            return 0;
        }
    }
    return rc < 0 ? rc
                  : refuse(r, pointer, "name", "no function is called '%s'",
                           json_get(function, "name")->text);
}

static int allowed_read(reader *r, toolset *set, const json *choice)
{
    static const char *const outer[] = {"type", "allowed_tools", NULL};
    static const char *const inner[] = {"mode", "tools", NULL};
    static const char at[] = "/tool_choice/allowed_tools";
    const json *allowed = json_get(choice, "allowed_tools");
    if (!allowed || allowed->type != JSON_OBJECT)
        return refuse(r, "/tool_choice", "allowed_tools", "allowed_tools is an object");
    int rc = members_check(r, choice, "/tool_choice", outer);
    if (rc == 0)
        rc = members_check(r, allowed, at, inner);
    if (rc == 0)
        rc = mode_read(r, json_get(allowed, "mode"), at, false, &set->mode);
    const json *tools = json_get(allowed, "tools");
    if (rc == 0 && (!tools || tools->type != JSON_ARRAY || tools->n == 0))
        rc = refuse(r, at, "tools", "tools is an array of functions");
    for (uint32_t i = 0; rc == 0 && i < tools->n; i++) {
        char pointer[64];
        snprintf(pointer, sizeof pointer, "%s/tools/%u", at, i);
        rc = function_allow(r, set, &tools->items[i], pointer);
    }
    return rc;
}

static int choice_read(reader *r, toolset *set, const char *text, size_t len)
{
    const json *choice = NULL;
    int rc = json_read(text, len, &choice, r->err);
    if (rc < 0) {
        st_err_at(r->err, "/tool_choice");
        return rc;
    }
    bool all = choice->type == JSON_STRING;
    if (all) {
        rc = mode_read(r, choice, "/tool_choice", true, &set->mode);
    } else if (json_is(json_get(choice, "type"), "allowed_tools")) {
        rc = allowed_read(r, set, choice);
    } else {
        set->mode = TOOLS_REQUIRED;
        rc = function_allow(r, set, choice, "/tool_choice");
    }
    for (uint32_t i = 0; all && i < set->n; i++)
        set->tools[i].allowed = true;
    json_free(choice);
    return rc;
}

int toolset_new(const char *tools, size_t len, const toolset_opts *opts, toolset **ret,
                grammar_refusal *ret_refusal, st_err *err)
{
    static const toolset_opts defaults = {0};
    static const char any[] = "\"auto\"";
    grammar_refusal unasked = {0};
    reader r = {.refusal = ret_refusal ? ret_refusal : &unasked, .err = err};
    opts = opts ? opts : &defaults;
    toolset *set = st_zalloc_n(1, sizeof *set);
    if (!set)
        return st_err_set(err, ST_ENOMEM, "no memory for functions");
    set->max_calls = opts->one_call ? 1 : opts->max_calls;
    int rc = json_read(tools, len, &set->root, err);
    if (rc < 0)
        st_err_at(err, "/tools");
    if (rc == 0)
        rc = tools_read(&r, set);
    if (rc == 0)
        rc = choice_read(&r, set, opts->choice ? opts->choice : any,
                         opts->choice ? opts->choice_len : sizeof any - 1);
    if (rc < 0) {
        toolset_free(set);
        return rc;
    }
    *ret = set;
    return 0;
}

void toolset_free(toolset *set)
{
    if (!set)
        return;
    for (uint32_t i = 0; i < set->n; i++) {
        grammar_free(set->tools[i].arguments);
        st_free(set->tools[i].schema);
    }
    st_free(set->tools);
    json_free(set->root);
    st_free(set);
}

uint32_t toolset_n(const toolset *set)
{
    return set->n;
}

const char *toolset_name(const toolset *set, uint32_t i)
{
    return set->tools[i].name;
}

bool toolset_is_none(const toolset *set)
{
    return set->mode == TOOLS_NONE;
}
