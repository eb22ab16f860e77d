/* task/checks.c - what must be true of an answer's fields, looked at after the model. */
#include "task/checks.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/rules.h"

enum { MAX_TEXT = 1 << 24 };

void checks_done(check *checks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        relation_free(checks[i].rule);
        rule_free(checks[i].matches);
    }
}

/* Bytes of other alphabets count as letters. */
static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* input[begin, end) does not begin or end inside a word. */
static bool is_whole(const char *input, size_t len, size_t begin, size_t end)
{
    bool left = begin > 0 && is_word(input[begin - 1]) && is_word(input[begin]);
    bool right = end < len && is_word(input[end]) && is_word(input[end - 1]);
    return !left && !right;
}

/* Does it stand in the input as whole words? */
static bool verbatim_text(const char *input, size_t len, const char *text,
                          size_t text_len)
{
    if (text_len == 0)
        return true;
    for (size_t i = 0; i + text_len <= len; i++)
        if (memcmp(input + i, text, text_len) == 0 &&
            is_whole(input, len, i, i + text_len))
            return true;
    return false;
}

/* The number that begins here: digits, maybe in groups of three (12,345.60).  Its length,
 * 0 when there is none. */
static size_t read_number(const char *text, size_t len, double *ret)
{
    char digits[40];
    size_t n = 0;
    size_t i = 0;
    bool point = false;
    for (; i < len && n + 1 < sizeof digits; i++) {
        bool digit = isdigit((unsigned char)text[i]);
        bool next = i + 1 < len && isdigit((unsigned char)text[i + 1]);
        if (digit || (text[i] == '.' && !point && n && next))
            digits[n++] = text[i];
        else if (text[i] != ',' || point || !n || !next)
            break;
        point |= text[i] == '.';
    }
    digits[n] = '\0';
    *ret = n ? strtod(digits, NULL) : 0;
    return n ? i : 0;
}

/* Is there a number of that value? */
static bool verbatim_number(const char *input, size_t len, double number)
{
    for (size_t i = 0; i < len;) {
        double found;
        size_t n = read_number(input + i, len - i, &found);
        /* a comma may also be the point of decimals: 12,50 */
        char *end;
        if (n && fabs(found - fabs(number)) <= 1e-9 * fabs(number))
            return true;
        if (n && memchr(input + i, ',', n)) {
            char text[40];
            size_t whole = n < sizeof text ? n : sizeof text - 1;
            memcpy(text, input + i, whole);
            text[whole] = '\0';
            *strrchr(text, ',') = '.';
            double other = strtod(text, &end);
            if (!*end && fabs(other - fabs(number)) <= 1e-9 * fabs(number))
                return true;
        }
        i += n ? n : 1;
    }
    return false;
}

/* ---- one entry ---- */

typedef struct look { /* at one field, with what is known of it */
    const check *c;
    const char *input;
    size_t len;
    const fields *f;
    uint32_t at;
    const char *text; /* its characters */
    size_t text_len;
    char *why;
    size_t size;
} look;

static bool look_verbatim(const look *k)
{
    bool number = k->f->at[k->at].kind == FIELD_NUMBER;
    bool found = number ? verbatim_number(k->input, k->len, strtod(k->text, NULL))
                        : verbatim_text(k->input, k->len, k->text, k->text_len);
    if (!found)
        snprintf(k->why, k->size, "'%.60s' is not in the input", k->text);
    return found;
}

static bool look_bounds(const look *k, double value)
{
    if (k->c->has_min && value < k->c->min)
        snprintf(k->why, k->size, "%.10g is less than %.10g", value, k->c->min);
    else if (k->c->has_max && value > k->c->max)
        snprintf(k->why, k->size, "%.10g is more than %.10g", value, k->c->max);
    else
        return true;
    return false;
}

static bool look_number(const look *k)
{
    char *end;
    double value = strtod(k->text, &end);
    if (!k->c->has_min && !k->c->has_max)
        return true;
    if (!k->text_len || *end || !isfinite(value)) {
        snprintf(k->why, k->size, "'%.60s' is not a number", k->text);
        return false;
    }
    return look_bounds(k, value);
}

static int look_pattern(const look *k, bool *ret_holds, st_err *err)
{
    if (!k->c->matches)
        return 0;
    st_err why = {0};
    bool match = false;
    int rc = rule_match(k->c->matches, k->text, k->text_len, &match, &why);
    if (rc == ST_ENOMEM)
        return st_err_set(err, rc, "%s", why.message);
    if (rc || !match) {
        *ret_holds = false;
        if (rc)
            snprintf(k->why, k->size, "%.150s", why.message);
        else
            snprintf(k->why, k->size, "'%.60s' does not match %.60s", k->text,
                     k->c->pattern);
    }
    return 0;
}

/* A text or a number. */
static int look_scalar(look *k, bool bounds, bool *ret_holds, st_err *err)
{
    st_buf text;
    st_buf_init(&text, MAX_TEXT);
    int rc = fields_value(k->f, k->at, &text);
    if (rc) {
        st_buf_done(&text);
        return st_err_set(err, rc, "no memory for a check");
    }
    k->text = text.data ? text.data : "";
    k->text_len = text.len;
    *ret_holds = (!k->c->verbatim || look_verbatim(k)) && (!bounds || look_number(k));
    if (*ret_holds)
        rc = look_pattern(k, ret_holds, err);
    st_buf_done(&text);
    return rc;
}

static bool is_in(const fields *f, uint32_t i, uint32_t array)
{
    while (i != UINT32_MAX && i != array)
        i = f->at[i].parent;
    return i == array;
}

static int look_array(look *k, bool *ret_holds, st_err *err)
{
    const fields *f = k->f;
    uint32_t array = k->at;
    double items = 0;
    int rc = 0;
    for (uint32_t i = array + 1; i < f->n && rc == 0 && *ret_holds; i++) {
        items += f->at[i].parent == array;
        if (!is_in(f, i, array) ||
            (f->at[i].kind != FIELD_TEXT && f->at[i].kind != FIELD_NUMBER))
            continue;
        k->at = i;
        rc = look_scalar(k, false, ret_holds, err);
    }
    if (rc == 0 && *ret_holds)
        *ret_holds = look_bounds(k, items);
    return rc;
}

static int look_entry(look *k, bool *ret_holds, st_err *err)
{
    switch (k->f->at[k->at].kind) {
    case FIELD_TEXT:
    case FIELD_NUMBER:
        return look_scalar(k, true, ret_holds, err);
    case FIELD_ARRAY:
        return look_array(k, ret_holds, err);
    case FIELD_BOOLEAN:
    case FIELD_OBJECT:
        *ret_holds = false;
        snprintf(k->why, k->size, "is neither a text, a number nor an array");
        return 0;
    case FIELD_NULL:
        break;
    }
    return 0;
}

static int run_field(look *k, check_fault *fault, bool *ret_holds, st_err *err)
{
    for (uint32_t i = 0; i < k->f->n && *ret_holds; i++) {
        if (!fields_match(k->c->text, fields_pointer(k->f, i)))
            continue;
        k->at = i;
        fault->field = fields_pointer(k->f, i);
        int rc = look_entry(k, ret_holds, err);
        if (rc)
            return rc;
    }
    return 0;
}

int checks_run(const check *checks, uint32_t n, const char *input, size_t len,
               const fields *f, check_fault ret_faults[CHECK_MAX_FAULTS], uint32_t *ret_n,
               st_err *err)
{
    uint32_t n_faults = 0;
    for (uint32_t c = 0; c < n && n_faults < CHECK_MAX_FAULTS; c++) {
        check_fault *fault = &ret_faults[n_faults];
        *fault = (check_fault){.check = c};
        look k = {.c = &checks[c],
                  .input = input,
                  .len = len,
                  .f = f,
                  .why = fault->why,
                  .size = sizeof fault->why};
        bool holds = true;
        int rc = checks[c].rule
                     ? relation_holds(checks[c].rule, checks[c].within, f, &holds,
                                      fault->why, sizeof fault->why, err)
                     : run_field(&k, fault, &holds, err);
        if (rc)
            return rc;
        n_faults += !holds;
    }
    *ret_n = n_faults;
    return 0;
}
