/* grammar/toolcall_grammar.c - answers that are content, calls or both, as parts.
 *
 *   auto       content that ends, or comes to the trigger and the calls behind it
 *   required   calls
 *   none       content
 *
 *   calls = first call (between call)* end; call = a text, one of the names with its own
 * arguments, a text.  The arguments of each function are its schema's automaton.
 *
 * Content never holds the trigger: where the trigger is done, calls have begun.  Where
 * calls only lead, content is any text that does not begin as calls do, blanks between
 * the marks not counted, which is how toolcalls_read looks.
 */
#include "grammar/dfa_automaton.h"
#include "grammar/kind.h"
#include "grammar/parts_automaton.h"
#include "grammar/regex.h"
#include "grammar/toolcall_priv.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

typedef struct tools_grammar {
    grammar base;
    const toolset *set;
    const toolcall_format *format;
    dfa *content;
    dfa *id; /* NULL where no ids are written */
} tools_grammar;

/* ---- what content is ---- */

/* A mark as an expression; `loose`: with blanks before each of its characters. */
static void mark_expression(const char *mark, bool loose, st_buf *out)
{
    for (; *mark; mark++) {
        if (loose && strchr(" \n\t\r", *mark))
            continue;
        if (loose)
            st_buf_str(out, "[ \\n\\t\\r]*");
        if (strchr("^$\\.*+?()[]{}|/", *mark))
            st_buf_char(out, '\\');
        if (*mark == '\n')
            st_buf_str(out, "\\n");
        else
            st_buf_char(out, *mark);
    }
}

static int content_dfa(const toolcall_format *f, dfa **ret, st_err *err)
{
    dfa *calls = NULL;
    st_buf expression;
    st_buf_init(&expression, 1 << 20);
    if (f->leads)
        st_buf_str(&expression, "^(?:");
    mark_expression(f->trigger, f->leads, &expression);
    if (f->leads && f->tag) {
        st_buf_char(&expression, '|');
        mark_expression(f->tag, true, &expression);
    }
    if (f->leads)
        st_buf_char(&expression, ')');
    int rc = expression.code
                 ? st_err_set(err, expression.code, "no memory for a grammar")
                 : regex_dfa(expression.data, expression.len, REGEX_SEARCH, &calls, err);
    if (rc == 0) {
        const dfa *const out[] = {calls};
        rc = dfa_meet(NULL, 0, out, 1, ret, err);
    }
    dfa_free(calls);
    st_buf_done(&expression);
    return rc;
}

/* ---- the automaton ---- */

static part_id literal(parts *p, const char *text)
{
    return part_text(p, text, strlen(text));
}

/* An automaton as a part; one that could not be made fails the parts. */
static part_id sub(parts *p, int rc, automaton *a, int *first)
{
    if (rc < 0 && *first == 0)
        *first = rc;
    return rc < 0 ? 0 : part_sub(p, a);
}

typedef struct builder {
    const tools_grammar *g;
    parts *p;
    part_id id; /* 0: no ids */
    int code;   /* of the first automaton that could not be made */
    st_err *err;
} builder;

static part_id dfa_part(builder *b, const dfa *d)
{
    automaton *a = NULL;
    int rc = dfa_automaton_new(d, &a, b->err);
    return sub(b->p, rc, a, &b->code);
}

static part_id arguments_part(builder *b, const tool *t)
{
    automaton *a = NULL;
    int rc = t->arguments->ops->automaton(t->arguments, &a, b->err);
    return sub(b->p, rc, a, &b->code);
}

/* Pieces of a call up to the one that is `until`, one after the other. */
static part_id pieces_part(builder *b, const char **at, call_piece until)
{
    part_id row[8];
    uint32_t n = 0;
    call_piece piece;
    const char *text;
    size_t len;
    while (n < ST_COUNT(row) && call_next(at, &piece, &text, &len) && piece != until)
        row[n++] = piece == PIECE_ID ? b->id : part_text(b->p, text, len);
    return part_row(b->p, row, n);
}

static part_id call_part(builder *b)
{
    const toolset *set = b->g->set;
    part_id names[TOOLSET_MAX];
    uint32_t n = 0;
    const char *at = b->g->format->call;
    part_id before = pieces_part(b, &at, PIECE_NAME);
    part_id middle = pieces_part(b, &at, PIECE_ARGUMENTS);
    for (uint32_t i = 0; i < set->n; i++) {
        const tool *t = &set->tools[i];
        if (!t->allowed)
            continue;
        const part_id row[] = {literal(b->p, t->name), middle, arguments_part(b, t)};
        names[n++] = part_row(b->p, row, ST_COUNT(row));
    }
    const part_id row[] = {before, part_choice(b->p, names, n),
                           pieces_part(b, &at, PIECE_ARGUMENTS)};
    return part_row(b->p, row, ST_COUNT(row));
}

static part_id maybe(builder *b, part_id part)
{
    const part_id both[] = {part_row(b->p, NULL, 0), part};
    return part_choice(b->p, both, ST_COUNT(both));
}

/* Calls behind a mark. */
static part_id calls_part(builder *b, const char *mark, part_id loop)
{
    const toolcall_format *f = b->g->format;
    const part_id row[] = {f->tag ? maybe(b, literal(b->p, f->tag))
                                  : part_row(b->p, NULL, 0),
                           literal(b->p, mark), loop, literal(b->p, f->end)};
    return part_row(b->p, row, ST_COUNT(row));
}

static part_id answer_part(builder *b)
{
    const toolcall_format *f = b->g->format;
    const toolset *set = b->g->set;
    const part_id free_text[] = {literal(b->p, f->content ? f->content : ""),
                                 dfa_part(b, b->g->content)};
    part_id content = part_row(b->p, free_text, ST_COUNT(free_text));
    if (set->mode == TOOLS_NONE)
        return content;
    part_id loop =
        part_repeat(b->p, call_part(b), literal(b->p, f->between), set->max_calls);
    part_id calls = calls_part(b, f->first, loop);
    if (set->mode == TOOLS_REQUIRED)
        return calls;
    if (f->leads) {
        const part_id both[] = {content, calls};
        return part_choice(b->p, both, ST_COUNT(both));
    }
    part_id behind = f->behind ? calls_part(b, f->behind, loop) : calls;
    const part_id row[] = {content, maybe(b, behind)};
    const part_id both[] = {part_row(b->p, row, ST_COUNT(row)), calls};
    return f->content ? part_choice(b->p, both, ST_COUNT(both)) : both[0];
}

static int tools_automaton(const grammar *base, automaton **ret, st_err *err)
{
    const tools_grammar *g = (const tools_grammar *)base;
    builder b = {.g = g, .err = err};
    uint32_t n_markers = 0;
    int rc = parts_new(&b.p, err);
    if (rc < 0)
        return rc;
    if (g->id)
        b.id = dfa_part(&b, g->id);
    part_id answer = answer_part(&b);
    if (b.code < 0) {
        parts_free(b.p);
        return b.code;
    }
    while (n_markers < FORMAT_MARKERS && g->format->markers[n_markers])
        n_markers++;
    return parts_automaton(b.p, answer, g->format->markers, n_markers, ret, err);
}

static int tools_validate(const grammar *base, const char *text, size_t len, st_err *err)
{
    const tools_grammar *g = (const tools_grammar *)base;
    toolcalls calls;
    int rc = toolcalls_read(g->set, g->format, text, len, &calls, err);
    if (rc == 0)
        toolcalls_done(&calls);
    return rc;
}

static void tools_free(grammar *base)
{
    tools_grammar *g = (tools_grammar *)base;
    dfa_free(g->content);
    dfa_free(g->id);
    st_free(g);
}

/* A name that the format takes for something else. */
static int names_check(const toolset *set, const toolcall_format *f,
                       grammar_refusal *refusal, st_err *err)
{
    size_t len = f->content ? strcspn(f->content, "\n") : 0;
    for (uint32_t i = 0; len > 0 && i < set->n; i++) {
        const char *name = set->tools[i].name;
        if (strlen(name) != len || memcmp(name, f->content, len) != 0)
            continue;
        snprintf(refusal->pointer, sizeof refusal->pointer, "/tools/%u/function/name", i);
        snprintf(refusal->keyword, sizeof refusal->keyword, "name");
        st_err_set(err, ST_EUNSUPPORTED, "%s: '%s' is what the model writes for no call",
                   refusal->pointer, name);
        st_err_hint(err, "give the function another name");
        return ST_EUNSUPPORTED;
    }
    return 0;
}

int grammar_tools(const toolset *set, const toolcall_format *format, grammar **ret,
                  grammar_refusal *ret_refusal, st_err *err)
{
    static const grammar_ops ops = {
        .free = tools_free, .automaton = tools_automaton, .validate = tools_validate};
    grammar_refusal unasked = {0};
    int rc = names_check(set, format, ret_refusal ? ret_refusal : &unasked, err);
    if (rc < 0)
        return rc;
    tools_grammar *g = st_zalloc_n(1, sizeof *g);
    if (!g)
        return st_err_set(err, ST_ENOMEM, "no memory for a grammar");
    g->base.ops = &ops;
    g->set = set;
    g->format = format;
    rc = content_dfa(format, &g->content, err);
    if (rc == 0 && format->id)
        rc = regex_dfa(format->id, strlen(format->id), REGEX_WHOLE, &g->id, err);
    if (rc < 0) {
        grammar_free(&g->base);
        return rc;
    }
    *ret = &g->base;
    return 0;
}
