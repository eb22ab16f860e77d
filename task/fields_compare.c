/* task/fields_compare.c - two objects compared field by field.
 *
 * Each object becomes a list of units, each a pointer and a value in one spelling; lists
 * are short, so units find each other by looking through them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/fields.h"

enum { MAX_BYTES = 256 << 20 };

typedef struct unit {
    uint32_t field; /* entry of its field: an item's is that of the array */
    size_t value;   /* in the list's bytes */
    size_t len;
    bool met;
} unit;

typedef struct units {
    const fields *of;
    unit *at;
    uint32_t n;
    st_buf bytes;
} units;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void put_tidy(const char *text, size_t len, st_buf *out)
{
    size_t begin = out->len;
    for (size_t i = 0; i < len; i++) {
        if (!is_space(text[i]))
            st_buf_char(out, text[i]);
        else if (out->len > begin && i + 1 < len && !is_space(text[i + 1]))
            st_buf_char(out, ' ');
    }
}

/* A value in one spelling; containers as they are written, without white space between
 * their parts. */
static int put_value(const fields *f, uint32_t i, st_buf *out)
{
    const field *x = &f->at[i];
    st_buf text;
    st_buf_init(&text, MAX_BYTES);
    int rc = fields_value(f, i, &text);
    const char *data = text.data ? text.data : "";
    st_buf_char(out, (char)('a' + x->kind));
    if (x->kind == FIELD_TEXT) {
        put_tidy(data, text.len, out);
    } else if (x->kind == FIELD_NUMBER) {
        st_buf_fmt(out, "%.15g", strtod(data, NULL));
    } else {
        bool quoted = false;
        for (size_t k = 0; k < text.len; k++) {
            quoted ^= data[k] == '"' && (k == 0 || data[k - 1] != '\\');
            if (quoted || !is_space(data[k]))
                st_buf_char(out, data[k]);
        }
    }
    st_buf_done(&text);
    return rc ? rc : out->code;
}

static void units_done(units *u)
{
    st_free(u->at);
    st_buf_done(&u->bytes);
}

/* The field that an entry is a unit of: itself, or the array that it is an item of. */
static bool unit_field(const fields *f, uint32_t i, uint32_t *ret)
{
    const field *x = &f->at[i];
    if (fields_is(f, i)) {
        *ret = i;
        return x->kind != FIELD_ARRAY && x->kind != FIELD_NULL;
    }
    *ret = x->parent;
    return x->inside && fields_is(f, x->parent);
}

static int units_read(const fields *f, units *ret, st_err *err)
{
    *ret = (units){.of = f, .at = st_alloc_n(f->n, sizeof *ret->at)};
    st_buf_init(&ret->bytes, MAX_BYTES);
    int rc = ret->at ? 0 : ST_ENOMEM;
    for (uint32_t i = 0; i < f->n && rc == 0; i++) {
        unit u = {.value = ret->bytes.len};
        if (!unit_field(f, i, &u.field))
            continue;
        rc = put_value(f, i, &ret->bytes);
        u.len = ret->bytes.len - u.value;
        ret->at[ret->n++] = u;
    }
    return rc ? st_err_set(err, rc, "no memory to compare fields") : 0;
}

static bool unit_same(const units *a, const unit *x, const units *b, const unit *y)
{
    return x->len == y->len &&
           memcmp(a->bytes.data + x->value, b->bytes.data + y->value, x->len) == 0 &&
           strcmp(fields_pointer(a->of, x->field), fields_pointer(b->of, y->field)) == 0;
}

static uint32_t units_meet(units *given, units *wanted)
{
    uint32_t hits = 0;
    for (uint32_t i = 0; i < given->n; i++) {
        for (uint32_t j = 0; j < wanted->n; j++) {
            unit *x = &given->at[i];
            unit *y = &wanted->at[j];
            if (y->met || !unit_same(given, x, wanted, y))
                continue;
            x->met = y->met = true;
            hits++;
            break;
        }
    }
    return hits;
}

/* A field is right when all of its units met and none is wanted beside them. */
static void judge_fields(const units *given, const units *wanted, bool *ret_right)
{
    for (uint32_t i = 0; i < given->of->n; i++)
        ret_right[i] = fields_is(given->of, i);
    for (uint32_t i = 0; i < given->n; i++)
        if (!given->at[i].met)
            ret_right[given->at[i].field] = false;
    for (uint32_t j = 0; j < wanted->n; j++) {
        const char *pointer = fields_pointer(wanted->of, wanted->at[j].field);
        for (uint32_t i = 0; i < given->of->n && !wanted->at[j].met; i++)
            if (strcmp(fields_pointer(given->of, i), pointer) == 0)
                ret_right[i] = false;
    }
}

int fields_compare(const fields *given, const fields *wanted, fields_count *count,
                   bool *ret_right, st_err *err)
{
    units a = {0};
    units b = {0};
    int rc = units_read(given, &a, err);
    if (rc == 0)
        rc = units_read(wanted, &b, err);
    if (rc == 0) {
        count->hits += units_meet(&a, &b);
        count->given += a.n;
        count->wanted += b.n;
        if (ret_right)
            judge_fields(&a, &b, ret_right);
    }
    units_done(&b);
    units_done(&a);
    return rc;
}

double fields_f1(const fields_count *c)
{
    uint64_t all = c->given + c->wanted;
    return all ? 2.0 * (double)c->hits / (double)all : 1;
}
