/* grammar/schema_run_priv.h - frames of the automaton of a JSON Schema; private to
 * schema_run*.c.
 *
 * A state is a frame: the value under way, with the number of the frame around it.  A
 * frame has threads: one for each shape that the value may still take.  A shape belongs
 * to a goal that the frame around asks for; when the value ends, the goals of the threads
 * that accept are those it satisfies, and the threads around whose goal is not among them
 * die.  All threads read the same text, each in its own way, so no thread is ever twice.
 *
 *   frame  = parent, head (place, depth, flags), escape, threads
 *   thread = plan, then by type:
 *     string: DFA state, length        number: 4 words of number_state
 *     array:  index, counts of contains
 *     object: DFA state of the name or its label, count, position, exists, names seen */
#ifndef GRAMMAR_SCHEMA_RUN_PRIV_H
#define GRAMMAR_SCHEMA_RUN_PRIV_H
#include "grammar/intern.h"
#include "grammar/schema_run.h"

enum { FRAME_PARENT, FRAME_HEAD, FRAME_ESCAPE, FRAME_THREADS };
/* See schema_run_repeat.c. */
enum { FLAG_NAME = 1, FLAG_ITEM = 2, FLAG_ENDED = 4, FLAG_FEW = 8, FLAG_UNIQUE = 16 };

/* What the bytes so far are. */
typedef enum place {
    ROOT_VALUE, /* nothing; the value comes */
    ROOT_DONE,
    LITERAL,
    NUMBER,
    STRING,
    ARRAY_OPEN, /* '[' */
    ARRAY_COMMA,
    ARRAY_VALUE, /* the item comes */
    ARRAY_AFTER, /* an item has ended */
    OBJECT_OPEN, /* '{' */
    OBJECT_COMMA,
    OBJECT_NAME,  /* '"' comes */
    OBJECT_KEY,   /* inside a name */
    OBJECT_KEYED, /* ':' comes */
    OBJECT_COLON,
    OBJECT_VALUE, /* the value comes */
    OBJECT_AFTER, /* a value has ended */
} place;

/* Words of a thread. */
enum { THREAD_PLAN };
/* Of a goal asked for, and of a plan in a thread: nobody needs it, but its values are
 * counted.  Such threads are the last of a frame, and alone they do not keep it alive. */
#define COUNTED (UINT32_C(1) << 31)
enum { TEXT_AT = 1, TEXT_N, TEXT_WORDS };
enum { NUMBER_STATE = 1, NUMBER_WORDS = 5 };
enum { ITEM_INDEX = 1, ITEM_COUNTS };
#define NO_LABEL UINT32_MAX
enum { NAME_AT = 1, NAME_COUNT, NAME_POSITION, NAME_EXISTS, NAME_SEEN };

enum { MANY = 255 };

typedef struct run_plan { /* a shape of a goal, and what is known of it beforehand */
    goal_id goal;
    const shape *shape;
    uint32_t words; /* of a thread */
    uint32_t depth; /* levels of arrays and objects that it needs */
    /* strings that are items of arrays with unique ones, names that may run out: */
    uint8_t *few; /* [n_states] how many texts lead from there to acceptance, or MANY;
                   * NULL: many from everywhere */
    bool few_known;
    /* arrays */
    uint32_t max;       /* items: `max`, or up to the first that nothing satisfies */
    uint32_t index_cap; /* an index beyond is not told apart */
    /* objects */
    bool simple;  /* members that are allowed one by one are allowed together */
    uint32_t min; /* members; 0 where the required ones are enough */
    uint32_t count_cap;
    uint32_t n_seen;     /* words of names seen */
    uint32_t supply;     /* names that are not listed; UINT32_MAX: endless */
    uint32_t free_label; /* of a name that is not listed and allowed; NO_LABEL: none */
    const uint32_t *nearest; /* [n_names + 1] the next required one from there on */
    uint8_t *open;           /* [n_states] any text is the beginning of an allowed name
                              * that is not listed; NULL: not known of any */
} run_plan;

typedef struct run {
    automaton base;
    const schema *s;
    grammar_space space;
    bool any_order;
    intern states;
    uint32_t n_goals;
    uint32_t *first; /* [n_goals + 1] plan of each goal */
    run_plan *plans;
    uint32_t *goal_depth; /* [n_goals] levels that it needs; UINT32_MAX: no value */
    uint32_t deep;        /* at this depth and below, needs are looked at */
    uint32_t *nearest;    /* of all plans */
    uint8_t *marks;  /* [most names of an object] for names_*; nothing is kept there */
    bool repeats;    /* some names or items may not come twice */
    uint32_t *next;  /* the frame being made */
    uint32_t n;      /* its words so far */
    uint32_t *made;  /* a frame that is no state: a number ended there */
    uint32_t *asked; /* goals asked for, or satisfied */
    uint32_t n_asked;
    uint32_t *stamp; /* [n_goals] `now` when satisfied */
    uint32_t now;
} run;

static inline place frame_place(const uint32_t *f)
{
    return (place)(f[FRAME_HEAD] & 255);
}
static inline uint32_t frame_depth(const uint32_t *f)
{
    return f[FRAME_HEAD] >> 8 & 255;
}
static inline uint32_t frame_flags(const uint32_t *f)
{
    return f[FRAME_HEAD] >> 16;
}
static inline uint32_t frame_head(place p, uint32_t depth, uint32_t flags)
{
    return (uint32_t)p | depth << 8 | flags << 16;
}
static inline const uint32_t *run_frame(const run *r, state_id s, uint32_t *ret_n)
{
    size_t len;
    const uint32_t *f = intern_get(&r->states, s, &len);
    *ret_n = (uint32_t)(len / sizeof *f);
    return f;
}

/* ---- schema_run_plan.c ---- */
ST_NODISCARD int run_plans(run *r, st_err *err);
void run_plans_done(run *r);
/* May a value of the goal stand inside `depth` arrays and objects? */
static inline bool goal_fits(const run *r, goal_id goal, uint32_t depth)
{
    return goal != GOAL_NONE &&
           (depth < r->deep || r->goal_depth[goal] <= SCHEMA_DEPTH - depth);
}

/* ---- schema_run_items.c: threads of arrays ---- */
/* The goal that the next item must satisfy; GOAL_NONE: there can be none. */
goal_id items_goal(const run *r, const run_plan *p, const uint32_t *thread,
                   uint32_t depth);
bool items_may_end(const run_plan *p, const uint32_t *thread);
/* Ask for the goals beside it that are counted. */
void items_counted(run *r, const run_plan *p, const uint32_t *thread, uint32_t depth);
/* An item has ended; goals satisfied are stamped.  False: the thread dies. */
bool items_ended(const run *r, const run_plan *p, uint32_t *thread);

/* ---- schema_run_names.c: threads of objects ---- */
bool names_may_more(const run *r, const run_plan *p, const uint32_t *thread,
                    uint32_t depth);
bool names_may_end(const run *r, const run_plan *p, const uint32_t *thread);
/* Where the name is after one more byte; DFA_DEAD: no allowed name begins so. */
uint32_t names_step(const run *r, const run_plan *p, const uint32_t *thread, uint8_t byte,
                    uint32_t depth);
/* The name has ended. */
bool names_keyed(const run *r, const run_plan *p, uint32_t *thread, uint32_t depth);
goal_id names_goal(const run *r, const run_plan *p, const uint32_t *thread,
                   uint32_t depth);
void names_counted(run *r, const run_plan *p, const uint32_t *thread, uint32_t depth);
bool names_ended(const run *r, const run_plan *p, uint32_t *thread, uint32_t depth);
/* Is any text the beginning of an allowed name? */
bool names_open(const run *r, const run_plan *p, const uint32_t *thread, uint32_t depth);
/* And does it lead back to the same place? */
bool names_loop(const run *r, const run_plan *p, const uint32_t *thread, uint32_t depth);
/* Its index in the list of names; UINT32_MAX: it is not there. */
uint32_t names_place(const run_plan *p, const char *name, size_t len);
/* Has the name that was read no place in the list? */
bool names_unlisted(const run_plan *p, const uint32_t *thread);

/* ---- schema_run_value.c: the frame being made, r->next ---- */
void run_begin(run *r, uint32_t parent, place p, uint32_t depth, uint32_t flags);
void run_begin_at(run *r, const uint32_t *f, place p); /* the same value elsewhere */
/* A thread at its end, which counts once r->n has grown by its words. */
uint32_t *run_copy(run *r, const uint32_t *thread, const run_plan *p);
bool run_alive(const run *r);        /* has it threads that are needed? */
void run_ask(run *r, uint32_t goal); /* or goal | COUNTED */
void run_none_satisfied(run *r);
void run_satisfy(run *r, const run_plan *p);
/* The frame around, after a value whose goals are satisfied. */
bool run_after_value(run *r, uint32_t parent, uint32_t flags);
bool run_close(run *r, const uint32_t *f, uint32_t n, uint32_t flags);
/* The frame of a value with this first byte, in the frame s at the place `at`. */
ST_NODISCARD int run_begin_value(run *r, state_id s, place at, uint8_t byte,
                                 bool *ret_alive, st_err *err);

number_state run_number(const uint32_t *thread);

/* ---- schema_run_text.c: one byte of a string or a name ---- */
bool run_step_string(run *r, const uint32_t *f, uint32_t n, uint8_t byte);

/* ---- schema_run_repeat.c: operations of the automaton ---- */
/* Of the frame being made, an item that may not come twice: FLAG_FEW where what it can
 * still become is so little that all of it may be there already. */
void run_flag_few(run *r);
bool run_may_repeat(const automaton *a, state_id s);
bool run_repeats(const automaton *a, state_id s, const char *text, size_t len);
bool run_taken(const automaton *a, state_id s, const char *text, size_t len, st_buf *out);

/* for each thread: `t` at its words, `p` its plan */
#define FOR_THREADS(r, f, n, t, p)                                                       \
    for (const uint32_t *t = (f) + FRAME_THREADS, *end_ = (f) + (n); t < end_;           \
         t += (r)->plans[t[THREAD_PLAN] & ~COUNTED].words)                               \
        for (const run_plan *p = &(r)->plans[t[THREAD_PLAN] & ~COUNTED]; p; p = NULL)

#endif
