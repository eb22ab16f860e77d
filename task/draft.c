/* task/draft.c - a text with slots: literal pieces and slots in turn. */
#include "task/draft.h"

#include <string.h>

#include "base/mem.h"

typedef struct place { /* literal text, then a slot */
    size_t begin, end; /* in the template */
    uint32_t slot;     /* DRAFT_MAX_SLOTS: the text ends here */
} place;

struct draft {
    char *text;
    place places[DRAFT_MAX_PLACES];
    uint32_t n_places;
    char *slots[DRAFT_MAX_SLOTS];
    uint32_t n_slots;
};

static int fail_at(size_t at, st_err *err, const char *what)
{
    return st_err_set(err, ST_EINVAL, "at character %zu: %s", at + 1, what);
}

/* The slot's number, which is a new one for a new name. */
static int find_slot(draft *d, const char *name, size_t len, size_t at, uint32_t *ret,
                     st_err *err)
{
    for (uint32_t i = 0; i < d->n_slots; i++) {
        if (strlen(d->slots[i]) == len && memcmp(d->slots[i], name, len) == 0) {
            *ret = i;
            return 0;
        }
    }
    if (d->n_slots == DRAFT_MAX_SLOTS)
        return fail_at(at, err, "too many slots");
    if (!(d->slots[d->n_slots] = st_dup(name, len)))
        return st_err_set(err, ST_ENOMEM, "no memory for a template");
    *ret = d->n_slots++;
    return 0;
}

/* The slot between "{{" at `open` and its "}}"; *ret_end is behind it. */
static int read_slot(draft *d, size_t open, uint32_t *ret_slot, size_t *ret_end,
                     st_err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *name = d->text + open + 2;
    name += strspn(name, " ");
    size_t len = strspn(name, letters);
    const char *close = name + len + strspn(name + len, " ");
    if (len == 0 || strncmp(close, "}}", 2) != 0)
        return fail_at(open, err,
                       "expected {{NAME}}, a name of letters, digits, _ and -");
    *ret_end = (size_t)(close - d->text) + 2;
    return find_slot(d, name, len, open, ret_slot, err);
}

static int read_places(draft *d, st_err *err)
{
    size_t at = 0;
    for (;;) {
        const char *open = strstr(d->text + at, "{{");
        place p = {.begin = at,
                   .end = open ? (size_t)(open - d->text) : strlen(d->text),
                   .slot = DRAFT_MAX_SLOTS};
        if (d->n_places == DRAFT_MAX_PLACES)
            return fail_at(at, err, "too many places for slots");
        int rc = open ? read_slot(d, p.end, &p.slot, &at, err) : 0;
        if (rc)
            return rc;
        d->places[d->n_places++] = p;
        if (!open)
            return 0;
    }
}

int draft_parse(const char *text, draft **ret, st_err *err)
{
    draft *d = st_zalloc_n(1, sizeof *d);
    if (!d || !(d->text = st_strdup(text))) {
        st_free(d);
        return st_err_set(err, ST_ENOMEM, "no memory for a template");
    }
    int rc = read_places(d, err);
    if (rc == 0 && d->n_slots == 0)
        rc = st_err_set(err, ST_EINVAL, "has no slot {{NAME}}");
    if (rc) {
        draft_free(d);
        return rc;
    }
    *ret = d;
    return 0;
}

void draft_free(draft *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->n_slots; i++)
        st_free(d->slots[i]);
    st_free(d->text);
    st_free(d);
}

const char *draft_template(const draft *d)
{
    return d->text;
}

uint32_t draft_n_slots(const draft *d)
{
    return d->n_slots;
}

const char *draft_slot(const draft *d, uint32_t i)
{
    return d->slots[i];
}

static int render_slot(const char *name, const fields *slots, st_buf *out, st_err *err)
{
    for (uint32_t i = 0; i < slots->n; i++) {
        field_kind kind = slots->at[i].kind;
        if (slots->at[i].parent != 0 || strcmp(fields_pointer(slots, i) + 1, name))
            continue;
        if (kind != FIELD_TEXT && kind != FIELD_NUMBER && kind != FIELD_BOOLEAN)
            return st_err_set(err, ST_EFORMAT, "slot '%s' is no text and no number",
                              name);
        return fields_value(slots, i, out)
                   ? st_err_set(err, out->code, "no memory for a text")
                   : 0;
    }
    return st_err_set(err, ST_EFORMAT, "slot '%s' is missing", name);
}

int draft_render(const draft *d, const fields *slots, st_buf *out, st_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < d->n_places && rc == 0; i++) {
        const place *p = &d->places[i];
        if (st_buf_add(out, d->text + p->begin, p->end - p->begin))
            return st_err_set(err, out->code, "no memory for a text");
        if (p->slot != DRAFT_MAX_SLOTS)
            rc = render_slot(d->slots[p->slot], slots, out, err);
    }
    return rc;
}
