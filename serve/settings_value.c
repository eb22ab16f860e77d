/* serve/settings_value.c - one value of a setting, from text. */
#include "serve/settings_priv.h"

#include "base/mem.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

void *setting_field(settings *s, const setting *r)
{
    return (char *)s + r->at;
}

int setting_fail(const char *place, const char *what, const char *text, st_err *err)
{
    return st_err_set(err, ST_EINVAL, "%s: %s, got '%.60s'", place, what, text);
}

static int no_memory(st_err *err)
{
    return st_err_set(err, ST_ENOMEM, "settings: out of memory");
}

static int set_text(settings *s, const setting *r, const char *place, const char *text,
                    st_err *err)
{
    char **at = setting_field(s, r);
    if (!*text)
        return setting_fail(place, "expected a value", text, err);
    st_free(*at);
    *at = st_strdup(text);
    return *at ? 0 : no_memory(err);
}

int setting_add(settings *s, const setting *r, const char *place, const char *text,
                size_t len, st_err *err)
{
    setting_list *list = setting_field(s, r);
    if (!len)
        return setting_fail(place, "expected a value", text, err);
    if (list->n == SETTINGS_MAX_LIST)
        return st_err_set(err, ST_EINVAL, "%s: more than %d", place, SETTINGS_MAX_LIST);
    char *item = st_dup(text, len);
    if (!item)
        return no_memory(err);
    list->items[list->n++] = item;
    return 0;
}

bool setting_number(const char *text, bool bytes, uint64_t *ret)
{
    static const char units[] = "KMGT";
    uint64_t n = 0;
    const char *c = text;
    for (; isdigit((unsigned char)*c); c++)
        if (__builtin_mul_overflow(n, 10U, &n) ||
            __builtin_add_overflow(n, (unsigned)(*c - '0'), &n))
            return false;
    const char *unit = bytes && *c ? strchr(units, *c) : NULL;
    if (c == text || (*c && !unit))
        return false;
    if (unit) {
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (n > UINT64_MAX >> shift)
            return false;
        n <<= shift;
        c++;
        c += strcmp(c, "iB") == 0 ? 2 : strcmp(c, "B") == 0 ? 1 : 0;
    }
    *ret = n;
    return !*c;
}

static int set_number(settings *s, const setting *r, const char *place, const char *text,
                      st_err *err)
{
    char what[120];
    uint64_t n;
    bool bytes = r->type == SETTING_BYTES;
    if (setting_number(text, bytes, &n) && n >= r->min && (!r->max || n <= r->max)) {
        *(uint64_t *)setting_field(s, r) = n;
        return 0;
    }
    if (r->max)
        snprintf(what, sizeof what, "expected a %s from %llu to %llu",
                 bytes ? "size (8G, 512M)" : "whole number", (unsigned long long)r->min,
                 (unsigned long long)r->max);
    else
        snprintf(what, sizeof what, "expected a %s",
                 bytes ? "size (8G, 512M)" : "whole number");
    return setting_fail(place, what, text, err);
}

static int set_switch(settings *s, const setting *r, const char *place, const char *text,
                      st_err *err)
{
    static const char *const words[] = {"true",  "1", "yes", "on",
                                        "false", "0", "no",  "off"};
    for (size_t i = 0; i < ST_COUNT(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *(bool *)setting_field(s, r) = i < ST_COUNT(words) / 2;
            return 0;
        }
    return setting_fail(place, "expected true or false", text, err);
}

static int set_word(settings *s, const setting *r, const char *place, const char *text,
                    st_err *err)
{
    char what[120];
    size_t len = strlen(text);
    for (const char *w = r->value; w; w = strchr(w, '|')) {
        w += *w == '|';
        if (strcspn(w, "|") == len && memcmp(w, text, len) == 0)
            return set_text(s, r, place, text, err);
    }
    snprintf(what, sizeof what, "expected one of %s", r->value);
    return setting_fail(place, what, text, err);
}

/* The text of a secret is in no message. */
static int set_secret(settings *s, const setting *r, const char *place, const char *text,
                      st_err *err)
{
    size_t n = strlen(text);
    if (n < r->min || n > r->max || strpbrk(text, " \t\r\n"))
        return st_err_set(err, ST_EINVAL,
                          "%s: expected %u to %u characters without blanks", place,
                          (unsigned)r->min, (unsigned)r->max);
    return set_text(s, r, place, text, err);
}

int setting_set(settings *s, const setting *r, const char *place, const char *text,
                st_err *err)
{
    switch (r->type) {
    case SETTING_LIST:
        return setting_add(s, r, place, text, strlen(text), err);
    case SETTING_WORD:
        return set_word(s, r, place, text, err);
    case SETTING_SWITCH:
        return set_switch(s, r, place, text, err);
    case SETTING_NUMBER:
    case SETTING_BYTES:
        return set_number(s, r, place, text, err);
    case SETTING_SECRET:
        return set_secret(s, r, place, text, err);
    default:
        return set_text(s, r, place, text, err);
    }
}
