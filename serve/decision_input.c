/* serve/decision_input.c - the items of an input as one text.
 *
 * A single message of a user is its text.  Else each item has a head that says whose it
 * is:
 *
 *   [user]
 *   Clean up, please.
 *
 *   [call: rm]
 *   {"path":"/tmp/a"}
 *
 *   [output: rm]
 *   done
 *
 * A call's id joins it with its output and is not shown: it means nothing. */
#include "base/map.h"
#include "serve/decision_priv.h"
#include <string.h>

static const member message[] = {
    {"type", MEMBER_STRING, .words = "message"},
    {"role", MEMBER_STRING, .need = true, .words = "user assistant system developer"},
    {"content", MEMBER_STRING | MEMBER_ARRAY, .need = true, .nul = true},
    {"phase", MEMBER_STRING | MEMBER_NULL, .words = "commentary final_answer"},
    {0},
};

#define CALL_ID                                                                          \
    {                                                                                    \
        "call_id", MEMBER_STRING, .need = true, .min = 1, .max = 512,                    \
                                  .about = "Joins a call with its output."               \
    }
#define IDLE                                                                             \
    {"id", MEMBER_STRING | MEMBER_NULL, .use = MEMBER_IDLE},                             \
    {                                                                                    \
        "status", MEMBER_STRING | MEMBER_NULL,                                           \
            .use = MEMBER_IDLE, .words = "in_progress completed incomplete"              \
    }

static const member function_call[] = {
    {"type", MEMBER_STRING, .need = true},
    CALL_ID,
    {"name", MEMBER_STRING, .need = true, .min = 1, .max = 512},
    {"arguments", MEMBER_STRING, .need = true, .nul = true},
    {"namespace", MEMBER_STRING | MEMBER_NULL, .max = 512},
    IDLE,
    {0},
};
static const member custom_call[] = {
    {"type", MEMBER_STRING, .need = true},
    CALL_ID,
    {"name", MEMBER_STRING, .need = true, .min = 1, .max = 512},
    {"input", MEMBER_STRING, .need = true, .nul = true},
    {"namespace", MEMBER_STRING | MEMBER_NULL, .max = 512},
    IDLE,
    {0},
};
static const member call_output[] = {
    {"type", MEMBER_STRING, .need = true},
    CALL_ID,
    {"output", MEMBER_STRING | MEMBER_ARRAY, .need = true, .nul = true},
    IDLE,
    {0},
};

typedef struct items {
    decision *d;
    problems *out;
    st_map calls; /* call ids: index of their item */
    uint32_t n_parts;
    bool bare; /* the only one is a user's message */
    const json_t *list;
} items;

typedef struct item_row {
    const char *type;
    const member *members;
    const char *content; /* the member that holds it */
    bool custom;
    bool output;
} item_row;

static const item_row item_rows[] = {
    {"message", message, "content", false, false},
    {"function_call", function_call, "arguments", false, false},
    {"function_call_output", call_output, "output", false, true},
    {"custom_tool_call", custom_call, "input", true, false},
    {"custom_tool_call_output", call_output, "output", true, true},
};

static const item_row *row_find(const json_t *item, const char *at, problems *out)
{
    char place[PROBLEM_PARAM_MAX];
    const json_t *type = json_object_get(item, "type");
    const char *name = type ? json_string_value(type) : "message";
    for (size_t i = 0; name && i < ST_COUNT(item_rows); i++)
        if (strcmp(name, item_rows[i].type) == 0)
            return &item_rows[i];
    param_name(place, at, "type");
    problems_add(out, name ? PROBLEM_VALUE : PROBLEM_TYPE, place,
                 "must be one of: message, function_call, function_call_output, "
                 "custom_tool_call, custom_tool_call_output");
    return NULL;
}

static unsigned parts_of(const char *role)
{
    if (strcmp(role, "user") == 0)
        return PART_TEXT | PART_IMAGE | PART_JSON | PART_BREAKPOINT;
    if (strcmp(role, "assistant") == 0)
        return PART_OUTPUT | PART_REFUSAL;
    return PART_TEXT | PART_BREAKPOINT;
}

static void message_add(items *all, const json_t *item, const char *at)
{
    char place[PROBLEM_PARAM_MAX];
    const char *role = body_text(item, "role", ""), *phase = body_text(item, "phase", "");
    st_buf *text = &all->d->text;
    if (phase[0] && strcmp(role, "assistant") != 0) {
        param_name(place, at, "phase");
        problems_add(all->out, PROBLEM_VALUE, place,
                     "only an assistant's message has it");
    }
    if (!all->bare)
        (void)st_buf_fmt(text, "[%s%s%s]\n", role, phase[0] ? ", " : "", phase);
    param_name(place, at, "content");
    decision_content(json_object_get(item, "content"), parts_of(role), place,
                     &all->n_parts, text, all->out);
}

static void call_add(items *all, const json_t *item, const item_row *row, uint32_t i,
                     const char *at)
{
    char place[PROBLEM_PARAM_MAX];
    const char *id = body_text(item, "call_id", "");
    const char *space = body_text(item, "namespace", "");
    const json_t *said = json_object_get(item, row->content);
    bool is_new = true;
    if (st_map_put(&all->calls, id, strlen(id), i, &is_new) < 0)
        all->out->out_of_memory = true;
    param_name(place, at, "call_id");
    if (!is_new)
        problems_add(all->out, PROBLEM_VALUE, place, "another call has it too");
    (void)st_buf_fmt(&all->d->text, "[call: %s%s%s]\n", space, space[0] ? "." : "",
                     body_text(item, "name", ""));
    param_name(place, at, row->content);
    decision_content(said, 0, place, &all->n_parts, &all->d->text, all->out);
}

static void output_add(items *all, const json_t *item, const item_row *row,
                       const char *at)
{
    char place[PROBLEM_PARAM_MAX];
    const char *id = body_text(item, "call_id", "");
    const char *kind = row->custom ? "custom_tool_call" : "function_call";
    uint32_t i;
    if (!st_map_get(&all->calls, id, strlen(id), &i) ||
        strcmp(body_text(json_array_get(all->list, i), "type", ""), kind) != 0) {
        param_name(place, at, "call_id");
        problems_add(all->out, PROBLEM_VALUE, place, "no %s before it has this call_id",
                     kind);
        return;
    }
    (void)st_buf_fmt(&all->d->text, "[output: %s]\n",
                     body_text(json_array_get(all->list, i), "name", ""));
    param_name(place, at, row->content);
    decision_content(json_object_get(item, row->content),
                     PART_TEXT | PART_IMAGE | PART_BREAKPOINT, place, &all->n_parts,
                     &all->d->text, all->out);
}

static void item_add(items *all, const json_t *item, uint32_t i, const char *at)
{
    uint32_t before = all->out->n + all->out->n_more;
    if (!json_is_object(item)) {
        problems_add(all->out, PROBLEM_TYPE, at, "must be an object");
        return;
    }
    const item_row *row = row_find(item, at, all->out);
    if (!row)
        return;
    body_check(item, row->members, false, at, all->out);
    if (all->out->n + all->out->n_more > before)
        return;
    if (i > 0)
        (void)st_buf_str(&all->d->text, "\n\n");
    if (row->members == message)
        message_add(all, item, at);
    else if (row->output)
        output_add(all, item, row, at);
    else
        call_add(all, item, row, i, at);
}

static bool is_bare(const json_t *input)
{
    const json_t *only = json_array_get(input, 0);
    const char *role = json_string_value(json_object_get(only, "role"));
    return json_array_size(input) == 1 && role && strcmp(role, "user") == 0;
}

void decision_input(decision *d, const json_t *input, problems *out)
{
    items all = {.d = d, .out = out, .list = input, .bare = is_bare(input)};
    char place[PROBLEM_PARAM_MAX];
    size_t i, n = json_array_size(input);
    json_t *item;
    if (n == 0) {
        problems_add(out, PROBLEM_COUNT, "input", "at least 1 item, got 0");
        problems_code(out, "too_short");
    }
    if (n > DECISION_MAX_ITEMS)
        decision_too_long(out, "input", DECISION_MAX_ITEMS, "items", n);
    if (n == 0 || n > DECISION_MAX_ITEMS)
        return;
    st_map_init(&all.calls);
    json_array_foreach(input, i, item)
    {
        param_index(place, "input", i);
        item_add(&all, item, (uint32_t)i, place);
    }
    st_map_done(&all.calls);
}
