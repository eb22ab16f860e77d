/* serve/api_keys_line.c - the file of keys, line by line:
 *
 *     name role blake2b:HASH CREATED [tasks=a,b] [expires=TIME]
 *
 * Empty lines and lines that begin with # say nothing. */
#include "base/file.h"
#include "base/mem.h"
#include "serve/api_keys_priv.h"
#include <ctype.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_WORDS = 6 };

static const char hash_mark[] = "blake2b:";

/* ---- times ---- */

/* Days since 1970-01-01 of the proleptic Gregorian calendar (H. Hinnant's
 * days_from_civil). */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool key_time(const char *text, int64_t *ret_time)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    int n[6] = {0};
    size_t len = strlen(text);
    size_t field = 0;
    if (len != 10 && len != sizeof shape - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (shape[i] != 'd') {
            if (text[i] != shape[i])
                return false;
            field++;
        } else {
            if (!isdigit((unsigned char)text[i]))
                return false;
            n[field] = n[field] * 10 + text[i] - '0';
        }
    }
    if (n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 || n[4] > 59 ||
        n[5] > 59)
        return false;
    *ret_time = days_of(n[0], n[1], n[2]) * 86400 + n[3] * 3600 + n[4] * 60 + n[5];
    return true;
}

/* ---- one line ---- */

bool key_name_ok(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return n > 0 && n < KEY_NAME_MAX && name[0] != '.';
}

bool key_tasks_ok(const char *tasks)
{
    size_t n = strlen(tasks);
    bool before = false; /* a name stands before the comma */
    for (size_t i = 0; i < n; i++) {
        bool comma = tasks[i] == ',';
        if ((comma && !before) || (unsigned char)tasks[i] <= ' ')
            return false;
        before = !comma;
    }
    return n < KEY_TASKS_MAX && (before || !n);
}

static bool take_hash(const char *word, unsigned char hash[KEY_HASH])
{
    size_t mark = sizeof hash_mark - 1;
    size_t n = 0;
    const char *end = NULL;
    return strncmp(word, hash_mark, mark) == 0 && strlen(word) == mark + 2 * KEY_HASH &&
           sodium_hex2bin(hash, KEY_HASH, word + mark, 2 * KEY_HASH, NULL, &n, &end) ==
               0 &&
           n == KEY_HASH;
}

static const char *take_option(const char *word, key_info *info)
{
    if (strncmp(word, "tasks=", 6) == 0) {
        if (*info->tasks || !word[6] || !key_tasks_ok(word + 6))
            return "names with a comma between behind tasks=";
        snprintf(info->tasks, KEY_TASKS_MAX, "%s", word + 6);
        return NULL;
    }
    if (strncmp(word, "expires=", 8) == 0)
        return !info->expires && key_time(word + 8, &info->expires) && info->expires
                   ? NULL
                   : "a time behind expires=, as 2027-01-01T00:00:00Z";
    return "tasks=... or expires=...";
}

/* What was expected; NULL: it is good. */
static const char *take_words(char *const *words, size_t n, key_entry *e)
{
    if (n < 4)
        return "name, role, hash and time";
    if (!key_name_ok(words[0]))
        return "a name of letters, digits, '-', '_', '.'";
    snprintf(e->info.name, KEY_NAME_MAX, "%s", words[0]);
    if (strcmp(words[1], "client") != 0 && strcmp(words[1], "admin") != 0)
        return "client or admin behind the name";
    e->info.role = words[1][0] == 'a' ? KEY_ADMIN : KEY_CLIENT;
    if (!take_hash(words[2], e->hash))
        return "blake2b: and 64 hexadecimal digits";
    if (!key_time(words[3], &e->info.created))
        return "a time behind the hash, as 2027-01-01T00:00:00Z";
    for (size_t i = 4; i < n; i++) {
        const char *why = take_option(words[i], &e->info);
        if (why)
            return why;
    }
    return NULL;
}

/* Cut in place; one more than MAX_WORDS says that there are too many. */
static size_t cut(char *line, char *words[MAX_WORDS + 1])
{
    size_t n = 0;
    for (char *c = line; n <= MAX_WORDS;) {
        c += strspn(c, " \t\r");
        if (!*c)
            break;
        words[n++] = c;
        c += strcspn(c, " \t\r");
        if (*c)
            *c++ = '\0';
    }
    return n;
}

/* ---- the list ---- */

int key_list_add(key_list *list, const key_entry *entry, st_err *err)
{
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? 2 * list->cap : 8;
        key_entry *more = st_realloc_n(list->entries, cap, sizeof *more);
        if (!more)
            return st_err_set(err, ST_ENOMEM, "keys: out of memory");
        list->entries = more;
        list->cap = cap;
    }
    key_entry *e = &list->entries[list->n++];
    *e = *entry;
    memcpy(&e->info.id, e->hash, sizeof e->info.id);
    e->info.id |= e->info.id == 0;
    return 0;
}

void key_list_done(key_list *list)
{
    st_free(list->entries);
    *list = (key_list){0};
}

static int read_line(const char *path, size_t number, char *line, key_list *list,
                     st_err *err)
{
    char *words[MAX_WORDS + 1];
    key_entry e = {0};
    if (*line == '#')
        return 0;
    size_t n = cut(line, words);
    if (!n)
        return 0;
    const char *expected =
        n > MAX_WORDS ? "no more than six words" : take_words(words, n, &e);
    if (expected)
        return st_err_set(err, ST_EFORMAT, "%s:%zu: expected %s", path, number, expected);
    for (uint32_t i = 0; i < list->n; i++)
        if (strcmp(list->entries[i].info.name, e.info.name) == 0)
            return st_err_set(err, ST_EFORMAT, "%s:%zu: a second key of the name '%s'",
                              path, number, e.info.name);
    if (list->n == API_KEYS_MAX)
        return st_err_set(err, ST_ELIMIT, "%s:%zu: more than %d keys", path, number,
                          API_KEYS_MAX);
    return key_list_add(list, &e, err);
}

/* Who may write the file may let anybody in. */
static int check_mode(const char *path, st_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH)) {
        st_err_set(err, ST_EINVAL, "%s: everybody may write it", path);
        st_err_hint(err, "chmod 600 %s", path);
        return ST_EINVAL;
    }
    return 0;
}

int key_list_read(const char *path, bool missing_ok, key_list *ret_list, st_err *err)
{
    char *text;
    size_t len;
    key_list list = {0};
    st_err why = {0};
    int rc = st_file_read(path, KEY_FILE_MAX, &text, &len, &why);
    if (rc == ST_ENOTFOUND && missing_ok) {
        *ret_list = list;
        return 0;
    }
    if (rc)
        return st_err_set(err, rc, "%s", why.message);
    rc = check_mode(path, err);
    if (!rc && strlen(text) != len)
        rc = st_err_set(err, ST_EFORMAT, "%s: holds a NUL byte", path);
    size_t number = 1;
    for (char *line = text; line && !rc; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        rc = read_line(path, number, line, &list, err);
        line = end ? end + 1 : NULL;
    }
    st_free(text);
    if (rc)
        key_list_done(&list);
    else
        *ret_list = list;
    return rc;
}
