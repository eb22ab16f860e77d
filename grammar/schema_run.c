/* grammar/schema_run.c - one byte more of a value held to a schema.
 *
 *   ROOT_VALUE --value--> ROOT_DONE
 *   ARRAY_OPEN --item--> ARRAY_AFTER --,--> [COMMA --space-->] VALUE --item--> AFTER ...
 *   OBJECT_OPEN --"--> KEY --"--> KEYED --:--> [COLON --space-->] VALUE --value--> AFTER
 *               AFTER --,--> [COMMA --space-->] NAME --"--> KEY ...
 *
 * A value's first byte makes a frame of its own, whose parent is the frame at a ..VALUE
 * place; its last byte makes the parent's frame at the AFTER place.  A number is over
 * only at the byte behind it: that byte is then read by the parent's frame.
 *
 * Where nothing was changed (any text inside a string) the state is the same, and is not
 * looked for. */
#include "grammar/schema_run.h"

#include "base/mem.h"
#include "grammar/schema_run_priv.h"
#include <string.h>

/* ---- the other places ---- */

static bool step_literal(run *r, const uint32_t *f, uint32_t n, uint8_t byte)
{
    uint32_t first = f[FRAME_ESCAPE] >> 8, read = f[FRAME_ESCAPE] & 255;
    const char *word = first == 't' ? "true" : first == 'f' ? "false" : "null";
    if (byte != (uint8_t)word[read])
        return false;
    if (word[read + 1]) {
        memcpy(r->next, f, n * sizeof *f);
        r->n = n;
        r->next[FRAME_HEAD] = frame_head(LITERAL, frame_depth(f), 0);
        r->next[FRAME_ESCAPE]++;
        return true;
    }
    run_none_satisfied(r);
    FOR_THREADS(r, f, n, t, p)
    run_satisfy(r, p);
    return run_after_value(r, f[FRAME_PARENT], 0);
}

static bool step_number(run *r, const uint32_t *f, uint32_t n, uint8_t byte)
{
    run_begin_at(r, f, NUMBER);
    r->next[FRAME_HEAD] |= frame_head(0, 0, frame_flags(f) & FLAG_UNIQUE);
    FOR_THREADS(r, f, n, t, p)
    {
        number_state s = number_step(&p->shape->number, run_number(t), byte);
        if (number_dead(s))
            continue;
        uint32_t *copy = r->next + r->n;
        copy[THREAD_PLAN] = t[THREAD_PLAN];
        memcpy(copy + NUMBER_STATE, &s, sizeof s);
        r->n += p->words;
    }
    run_flag_few(r);
    return run_alive(r);
}

static bool end_number(run *r, const uint32_t *f, uint32_t n)
{
    run_none_satisfied(r);
    FOR_THREADS(r, f, n, t, p)
    {
        if (number_accepts(&p->shape->number, run_number(t)))
            run_satisfy(r, p);
    }
    return run_after_value(r, f[FRAME_PARENT], 0);
}

/* Threads that may have one more item or member. */
static bool step_comma(run *r, const uint32_t *f, uint32_t n, bool number)
{
    uint32_t depth = frame_depth(f);
    bool array = frame_place(f) == ARRAY_AFTER, tight = r->space == GRAMMAR_COMPACT;
    run_begin_at(r, f,
                 array ? (tight ? ARRAY_VALUE : ARRAY_COMMA)
                       : (tight ? OBJECT_NAME : OBJECT_COMMA));
    if (number && (frame_flags(f) & FLAG_ITEM))
        r->next[FRAME_HEAD] |= frame_head(0, 0, FLAG_ENDED);
    FOR_THREADS(r, f, n, t, p)
    {
        if (array ? items_goal(r, p, t, depth) == GOAL_NONE
                  : !names_may_more(r, p, t, depth))
            continue;
        run_copy(r, t, p);
        r->n += p->words;
    }
    return run_alive(r);
}

/* Behind an item or a member; `number`: it was a number that this byte ends. */
static bool step_after(run *r, const uint32_t *f, uint32_t n, uint8_t byte, bool number)
{
    bool array = frame_place(f) == ARRAY_AFTER;
    if (frame_place(f) == ROOT_DONE)
        return false;
    if (byte == ',')
        return step_comma(r, f, n, number);
    if (byte != (array ? ']' : '}'))
        return false;
    bool ended = number && (frame_flags(f) & FLAG_ITEM);
    return run_close(r, f, n, ended ? FLAG_ENDED : 0);
}

/* The same threads at another place. */
static bool move_to(run *r, const uint32_t *f, uint32_t n, place to)
{
    memcpy(r->next, f, n * sizeof *f);
    r->n = n;
    r->next[FRAME_HEAD] = frame_head(to, frame_depth(f), 0);
    return true;
}

static bool begin_name(run *r, const uint32_t *f, uint32_t n)
{
    run_begin_at(r, f, OBJECT_KEY);
    FOR_THREADS(r, f, n, t, p)
    {
        if (!names_may_more(r, p, t, frame_depth(f)))
            continue;
        run_copy(r, t, p)[NAME_AT] = p->shape->object.keys->start;
        r->n += p->words;
    }
    run_flag_few(r);
    return run_alive(r);
}

/* Is a space what comes, where the comma or colon was the last byte? */
static bool step_space(run *r, const uint32_t *f, uint32_t n, place to)
{
    return r->space != GRAMMAR_COMPACT && move_to(r, f, n, to);
}

static bool step_structure(run *r, const uint32_t *f, uint32_t n, uint8_t byte)
{
    place at = frame_place(f);
    bool may_be_tight = r->space != GRAMMAR_SPACED;
    switch (at) {
    case ARRAY_OPEN:
    case OBJECT_OPEN:
        if (byte == '"' && at == OBJECT_OPEN)
            return begin_name(r, f, n);
        return byte == (at == ARRAY_OPEN ? ']' : '}') && run_close(r, f, n, 0);
    case OBJECT_COMMA:
        if (byte == ' ')
            return step_space(r, f, n, OBJECT_NAME);
        return byte == '"' && may_be_tight && begin_name(r, f, n);
    case OBJECT_NAME:
        return byte == '"' && begin_name(r, f, n);
    case OBJECT_KEYED:
        return byte == ':' &&
               move_to(r, f, n,
                       r->space == GRAMMAR_COMPACT ? OBJECT_VALUE : OBJECT_COLON);
    case ARRAY_COMMA:
        return byte == ' ' && move_to(r, f, n, ARRAY_VALUE);
    case OBJECT_COLON:
        return byte == ' ' && move_to(r, f, n, OBJECT_VALUE);
    default:
        return step_after(r, f, n, byte, false);
    }
}

/* A number's last digit was before this byte: the frame around reads it. */
static bool step_behind_number(run *r, const uint32_t *f, uint32_t n, uint8_t byte)
{
    if (!end_number(r, f, n))
        return false;
    uint32_t *made = r->next;
    r->next = r->made;
    r->made = made;
    return step_after(r, made, r->n, byte, true);
}

static bool step_frame(run *r, const uint32_t *f, uint32_t n, uint8_t byte)
{
    switch (frame_place(f)) {
    case STRING:
    case OBJECT_KEY:
        return run_step_string(r, f, n, byte);
    case LITERAL:
        return step_literal(r, f, n, byte);
    case NUMBER:
        if (byte == ',' || byte == ']' || byte == '}')
            return step_behind_number(r, f, n, byte);
        return step_number(r, f, n, byte);
    default:
        return step_structure(r, f, n, byte);
    }
}

/* Where a value may begin with this byte, and as whose part. */
static bool value_begins(const run *r, const uint32_t *f, uint8_t byte, place *ret)
{
    place at = frame_place(f);
    bool tight = r->space != GRAMMAR_SPACED;
    *ret = at == ROOT_VALUE                        ? ROOT_VALUE
           : at >= ARRAY_OPEN && at <= ARRAY_VALUE ? ARRAY_VALUE
                                                   : OBJECT_VALUE;
    return at == ROOT_VALUE || at == ARRAY_VALUE || at == OBJECT_VALUE ||
           (at == ARRAY_OPEN && byte != ']') ||
           ((at == ARRAY_COMMA || at == OBJECT_COLON) && tight && byte != ' ');
}

static int run_step(automaton *a, state_id s, uint8_t byte, state_id *ret, st_err *err)
{
    run *r = (run *)a;
    uint32_t n;
    if (s == STATE_DEAD) {
        *ret = STATE_DEAD;
        return 0;
    }
    const uint32_t *f = run_frame(r, s, &n);
    place around;
    bool alive = false, value = value_begins(r, f, byte, &around);
    if (value) {
        int rc = run_begin_value(r, s, around, byte, &alive, err);
        if (rc < 0)
            return rc;
    } else {
        alive = step_frame(r, f, n, byte);
    }
    if (!alive) {
        *ret = STATE_DEAD;
        return 0;
    }
    if (!value && r->n == n && memcmp(r->next, f, n * sizeof *f) == 0) {
        *ret = s;
        return 0;
    }
    return intern_put(&r->states, r->next, r->n * sizeof *r->next, ret, err);
}

/* ---- the automaton ---- */

static bool run_accepts(const automaton *a, state_id s)
{
    const run *r = (const run *)a;
    uint32_t n;
    if (s == STATE_DEAD)
        return false;
    const uint32_t *f = run_frame(r, s, &n);
    if (frame_place(f) == ROOT_DONE)
        return true;
    if (frame_place(f) != NUMBER || f[FRAME_PARENT] != STATE_START)
        return false;
    FOR_THREADS(r, f, n, t, p)
    {
        if (number_accepts(&p->shape->number, run_number(t)))
            return true;
    }
    return false;
}

static uint32_t run_room(const automaton *a, state_id s)
{
    const run *r = (const run *)a;
    uint32_t n, room = 0;
    if (s == STATE_DEAD)
        return 0;
    const uint32_t *f = run_frame(r, s, &n);
    if (f[FRAME_ESCAPE] != 0)
        return 0;
    if (frame_place(f) == STRING) {
        FOR_THREADS(r, f, n, t, p)
        {
            text_state at = {t[TEXT_AT], t[TEXT_N]};
            uint32_t of_this = text_room(&p->shape->string, at);
            room = of_this > room ? of_this : room;
        }
    } else if (frame_place(f) == OBJECT_KEY) {
        FOR_THREADS(r, f, n, t, p)
        {
            if (names_open(r, p, t, frame_depth(f)))
                return UINT32_MAX;
        }
    }
    return room;
}

static bool run_loops(const automaton *a, state_id s)
{
    const run *r = (const run *)a;
    uint32_t n;
    const uint32_t *f = run_frame(r, s, &n);
    if (f[FRAME_ESCAPE] != 0)
        return false;
    FOR_THREADS(r, f, n, t, p)
    {
        if (frame_place(f) == STRING
                ? !text_loops(&p->shape->string, (text_state){t[TEXT_AT], t[TEXT_N]})
                : !names_loop(r, p, t, frame_depth(f)))
            return false;
    }
    return true;
}

static size_t run_bytes(const automaton *a)
{
    return intern_bytes(&((const run *)a)->states);
}

static void run_forget(automaton *a)
{
    intern_keep(&((run *)a)->states, STATE_START);
}

static void run_free(automaton *a)
{
    run *r = (run *)a;
    if (!r)
        return;
    run_plans_done(r);
    intern_done(&r->states);
    st_free(r);
}

static const automaton_ops plain_ops = {.free = run_free,
                                        .step = run_step,
                                        .accepts = run_accepts,
                                        .bytes = run_bytes,
                                        .forget = run_forget,
                                        .room = run_room,
                                        .loops = run_loops};

static const automaton_ops repeat_ops = {.free = run_free,
                                         .step = run_step,
                                         .accepts = run_accepts,
                                         .bytes = run_bytes,
                                         .forget = run_forget,
                                         .room = run_room,
                                         .loops = run_loops,
                                         .may_repeat = run_may_repeat,
                                         .repeats = run_repeats,
                                         .taken = run_taken};

/* ---- a known value ---- */

/* What a shape that the frame may take asks of the value at this place. */
static goal_id goal_inside(const run *r, const uint32_t *f, uint32_t n, uint32_t as)
{
    if (frame_place(f) == ROOT_VALUE)
        return schema_root(r->s);
    FOR_THREADS(r, f, n, t, p)
    {
        if (t[THREAD_PLAN] != as)
            continue;
        return frame_place(f) == ARRAY_VALUE ? items_goal(r, p, t, frame_depth(f))
                                             : names_goal(r, p, t, frame_depth(f));
    }
    return GOAL_NONE;
}

bool schema_automaton_shape(const automaton *a, state_id s, uint32_t around, uint32_t way,
                            uint32_t *ret_shape)
{
    const run *r = (const run *)a;
    uint32_t n;
    if ((a->ops != &plain_ops && a->ops != &repeat_ops) || s == STATE_DEAD)
        return false;
    const uint32_t *f = run_frame(r, s, &n);
    if (frame_place(f) != OBJECT_OPEN && frame_place(f) != ARRAY_OPEN)
        return false;
    uint32_t n_outer;
    const uint32_t *outer = run_frame(r, f[FRAME_PARENT], &n_outer);
    goal_id goal = goal_inside(r, outer, n_outer, around);
    FOR_THREADS(r, f, n, t, p)
    {
        if (p->goal == goal && !(t[THREAD_PLAN] & COUNTED) && way-- == 0) {
            *ret_shape = t[THREAD_PLAN];
            return true;
        }
    }
    return false;
}

bool schema_automaton_still(const automaton *a, state_id s, uint32_t around)
{
    const run *r = (const run *)a;
    uint32_t n;
    if (s == STATE_DEAD)
        return false;
    const uint32_t *f = run_frame(r, s, &n);
    if (frame_place(f) == ROOT_DONE)
        return true;
    FOR_THREADS(r, f, n, t, p)
    {
        if (t[THREAD_PLAN] == around)
            return true;
    }
    return false;
}

uint32_t schema_automaton_place(const automaton *a, uint32_t as, const char *name,
                                size_t len)
{
    return names_place(&((const run *)a)->plans[as], name, len);
}

int schema_automaton_new(const schema *s, grammar_space space, bool any_order,
                         automaton **ret, st_err *err)
{
    run *r = st_zalloc_n(1, sizeof *r);
    if (!r)
        return st_err_set(err, ST_ENOMEM, "out of memory for a schema's automaton");
    *r = (run){.base = {&plain_ops}, .s = s, .space = space, .any_order = any_order};
    uint32_t start;
    int rc = run_plans(r, err);
    if (rc == 0 && !goal_fits(r, schema_root(s), 0))
        rc = st_err_set(err, ST_ELIMIT, "no value fits that nests at most %d deep",
                        SCHEMA_DEPTH);
    if (rc == 0) {
        r->base.ops = r->repeats ? &repeat_ops : &plain_ops;
        run_begin(r, 0, ROOT_VALUE, 0, 0);
        rc = intern_put(&r->states, r->next, r->n * sizeof *r->next, &start, err);
    }
    if (rc < 0) {
        run_free(&r->base);
        return rc;
    }
    *ret = &r->base;
    return 0;
}
