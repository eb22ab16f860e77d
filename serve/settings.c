/* serve/settings.c - settings from flags, environment and a file, through one table. */
#include "serve/settings_priv.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/mem.h"
#include "serve/settings_map.h"
#include "task/near.h"
#include "task/yaml.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PLACE = 320, MAX_ENV_NAME = 48, MAX_SECRET_FILE = 4096 };

#define ROW(flag, member, type, value, min, max, def, about)                             \
    {flag, offsetof(settings, member), SETTING_##type, value, min, max, def},
static const setting rows[] = {SETTINGS_MAP(ROW) SETTINGS_SECRETS(ROW)};
#undef ROW

#define ROW(flag, member, type, value, min, max, def, about) {flag, value, about},
const setting_row setting_rows[] = {SETTINGS_MAP(ROW){0}};
#undef ROW

/* Names that begin with STINT_ and are not settings of the server: of the other commands,
 * and what Kubernetes puts in for a service called stint. */
static const char *const other_names[] = {"STINT_CONFIG", "STINT_CACHE", "STINT_CPU",
                                          "STINT_MODELS", "STINT_EXE",   "STINT_PORT"};
static const char *const other_beginnings[] = {"STINT_PORT_", "STINT_SERVICE_",
                                               "STINT_TEST_", "STINT_MODEL_"};

typedef struct reader {
    settings s;
    const char *file;
    const yaml *source; /* NULL: no file */
    st_err *err;
} reader;

/* ---- the environment ---- */

static void env_name(const char *flag, const char *tail, char ret[MAX_ENV_NAME])
{
    snprintf(ret, MAX_ENV_NAME, "STINT_%s%s", flag, tail);
    for (char *c = ret; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static int from_env_list(reader *rd, const setting *r, const char *name, const char *text)
{
    int rc = 0;
    for (bool more = true; more && !rc;) {
        size_t len = strcspn(text, ",");
        rc = setting_add(&rd->s, r, name, text, len, rd->err);
        more = text[len];
        text += len + more;
    }
    return rc;
}

static int from_secret_file(reader *rd, const setting *r, bool *ret_found)
{
    char name[MAX_ENV_NAME];
    char *text;
    size_t len;
    env_name(r->flag, "_FILE", name);
    const char *path = getenv(name);
    if (!path)
        return 0;
    int rc = st_file_read(path, MAX_SECRET_FILE, &text, &len, rd->err);
    if (rc)
        return rc;
    while (len && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    rc = strlen(text) == len ? setting_set(&rd->s, r, name, text, rd->err)
                             : setting_fail(name, "expected text", "a NUL", rd->err);
    st_free(text);
    *ret_found = true;
    return rc;
}

static int from_env(reader *rd, const setting *r, bool *ret_found)
{
    char name[MAX_ENV_NAME];
    env_name(r->flag, "", name);
    const char *text = getenv(name);
    if (!text)
        return r->type == SETTING_SECRET ? from_secret_file(rd, r, ret_found) : 0;
    *ret_found = true;
    if (r->type == SETTING_LIST)
        return from_env_list(rd, r, name, text);
    return setting_set(&rd->s, r, name, text, rd->err);
}

static bool is_other(const char *name)
{
    for (size_t i = 0; i < ST_COUNT(other_names); i++)
        if (strcmp(name, other_names[i]) == 0)
            return true;
    for (size_t i = 0; i < ST_COUNT(other_beginnings); i++)
        if (strncmp(name, other_beginnings[i], strlen(other_beginnings[i])) == 0)
            return true;
    return false;
}

static int check_env_name(reader *rd, const char *name)
{
    char known[2 * ST_COUNT(rows)][MAX_ENV_NAME];
    const char *names[2 * ST_COUNT(rows)];
    size_t n = 0;
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        env_name(rows[i].flag, "", known[n++]);
        if (rows[i].type == SETTING_SECRET)
            env_name(rows[i].flag, "_FILE", known[n++]);
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = known[i];
        if (strcmp(name, known[i]) == 0)
            return 0;
    }
    if (is_other(name))
        return 0;
    st_err_set(rd->err, ST_EINVAL, "%.60s: no such setting is known", name);
    near_hint(rd->err, name, names, n);
    return ST_EINVAL;
}

extern char **environ;

static int check_env_names(reader *rd)
{
    char name[MAX_PLACE];
    int rc = 0;
    for (char **e = environ; e && *e && !rc; e++) {
        if (strncmp(*e, "STINT_", 6) != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
        rc = check_env_name(rd, name);
    }
    return rc;
}

/* ---- the file ---- */

static int from_node(reader *rd, const setting *r, const yaml_node *node)
{
    char place[MAX_PLACE];
    snprintf(place, sizeof place, "%s:%u:%u: %s", rd->file, node->line, node->column,
             r->flag);
    if (node->kind != YAML_SCALAR)
        return st_err_set(rd->err, ST_EINVAL, "%s: expected one value, got a %s", place,
                          yaml_type(node));
    return setting_set(&rd->s, r, place, node->text, rd->err);
}

static int from_file(reader *rd, const setting *r)
{
    const yaml_node *node = rd->source ? yaml_find(rd->source->root, r->flag) : NULL;
    if (!node || (node->kind == YAML_SCALAR && strcmp(yaml_type(node), "null") == 0))
        return 0;
    if (r->type != SETTING_LIST || node->kind != YAML_LIST)
        return from_node(rd, r, node);
    int rc = 0;
    for (const yaml_node *item = node->first; item && !rc; item = item->next)
        rc = from_node(rd, r, item);
    return rc;
}

static int check_keys(reader *rd)
{
    const char *names[ST_COUNT(rows)];
    const yaml_node *root = rd->source->root;
    if (root->kind != YAML_MAP)
        return st_err_set(rd->err, ST_EINVAL, "%s: expected a mapping of settings",
                          rd->file);
    for (size_t i = 0; i < ST_COUNT(rows); i++)
        names[i] = rows[i].flag;
    for (const yaml_node *c = root->first; c; c = c->next) {
        size_t i = 0;
        while (i < ST_COUNT(rows) && strcmp(c->key, names[i]) != 0)
            i++;
        if (i < ST_COUNT(rows))
            continue;
        st_err_set(rd->err, ST_EINVAL, "%s:%u:%u: no setting '%.60s' is known", rd->file,
                   c->key_line, c->key_column, c->key);
        near_hint(rd->err, c->key, names, ST_COUNT(rows));
        return ST_EINVAL;
    }
    return 0;
}

static int open_file(reader *rd, yaml **ret_yaml)
{
    char *text = NULL;
    size_t len = 0;
    if (!rd->file)
        rd->file = getenv("STINT_CONFIG");
    if (!rd->file || !*rd->file)
        return 0;
    int rc = st_file_read(rd->file, YAML_MAX_BYTES, &text, &len, rd->err);
    if (!rc)
        rc = yaml_parse(rd->file, text, len, ret_yaml, rd->err);
    st_free(text);
    if (rc)
        return rc;
    rd->source = *ret_yaml;
    return check_keys(rd);
}

/* ---- together ---- */

static int from_flag(reader *rd, const setting *r, settings_get *get, const void *arg,
                     bool *ret_found)
{
    char place[MAX_PLACE];
    const char *text;
    int rc = 0;
    snprintf(place, sizeof place, "--%s", r->flag);
    for (unsigned i = 0; !rc && (text = get(arg, r->flag, i)); i++) {
        *ret_found = true;
        rc = setting_set(&rd->s, r, place,
                         r->type == SETTING_SWITCH && !*text ? "true" : text, rd->err);
        if (r->type != SETTING_LIST)
            break;
    }
    return rc;
}

static int read_row(reader *rd, const setting *r, settings_get *get, const void *arg,
                    bool *ret_by_hand)
{
    bool found = false;
    int rc = r->type == SETTING_SECRET ? 0 : from_flag(rd, r, get, arg, &found);
    if (!rc && !found)
        rc = from_env(rd, r, &found);
    *ret_by_hand = found;
    return rc || found ? rc : from_file(rd, r);
}

static void set_defaults(settings *s)
{
    for (size_t i = 0; i < ST_COUNT(rows); i++)
        if (rows[i].type == SETTING_NUMBER || rows[i].type == SETTING_BYTES)
            *(uint64_t *)setting_field(s, &rows[i]) = rows[i].def;
}

static int no_memory(reader *rd)
{
    return st_err_set(rd->err, ST_ENOMEM, "settings: out of memory");
}

/* HOST:PORT of a port alone. */
static int set_listen(reader *rd, const char *host, const char *port)
{
    char text[160];
    snprintf(text, sizeof text, "%s:%s", host, port);
    st_free(rd->s.listen);
    rd->s.listen = st_strdup(text);
    return rd->s.listen ? 0 : no_memory(rd);
}

static bool is_port(const char *text)
{
    uint64_t n;
    return setting_number(text, false, &n) && n <= 65535;
}

static int finish_listen(reader *rd, bool by_hand)
{
    const settings *s = &rd->s;
    const char *port = by_hand ? NULL : getenv("PORT");
    bool guarded = s->api_keys || s->api_key || s->no_auth;
    if (port && !is_port(port))
        return setting_fail("PORT", "expected a port from 0 to 65535", port, rd->err);
    if (port)
        return set_listen(rd, guarded ? "0.0.0.0" : "127.0.0.1", port);
    if (!s->listen)
        return set_listen(rd, "127.0.0.1", "8080");
    if (is_port(s->listen)) {
        char copy[8];
        snprintf(copy, sizeof copy, "%s", s->listen);
        return set_listen(rd, "127.0.0.1", copy);
    }
    const char *colon = strrchr(s->listen, ':');
    if (!colon || colon == s->listen || !is_port(colon + 1))
        return setting_fail("listen", "expected HOST:PORT", s->listen, rd->err);
    return 0;
}

static int finish(reader *rd, bool listen_by_hand)
{
    settings *s = &rd->s;
    if (!s->log_level && !(s->log_level = st_strdup("info")))
        return no_memory(rd);
    if (!s->tls_cert != !s->tls_key)
        return st_err_set(rd->err, ST_EINVAL,
                          "tls-cert and tls-key: both are needed, or neither");
    if (s->tls_client_ca && !s->tls_cert)
        return st_err_set(rd->err, ST_EINVAL, "tls-client-ca: needs tls-cert");
    if (s->no_auth && (s->api_keys || s->api_key))
        return st_err_set(rd->err, ST_EINVAL,
                          "no-auth contradicts api-keys: drop one of them");
    return finish_listen(rd, listen_by_hand);
}

int settings_read(settings_get *get, const void *arg, const char *file,
                  settings *ret_settings, st_err *err)
{
    st_err why = {0};
    reader rd = {.file = file, .err = &why};
    yaml *y = NULL;
    bool by_hand = false;
    bool listen_by_hand = false;
    set_defaults(&rd.s);
    int rc = check_env_names(&rd);
    if (!rc)
        rc = open_file(&rd, &y);
    for (size_t i = 0; i < ST_COUNT(rows) && !rc; i++) {
        rc = read_row(&rd, &rows[i], get, arg, &by_hand);
        if (rows[i].at == offsetof(settings, listen))
            listen_by_hand = by_hand;
    }
    if (!rc)
        rc = finish(&rd, listen_by_hand);
    yaml_free(y);
    if (!rc) {
        *ret_settings = rd.s;
        return 0;
    }
    settings_done(&rd.s);
    if (rc == ST_ECONTRACT)
        rc = ST_EINVAL; /* bad YAML, but no contract's */
    st_err_set(err, rc, "%s", why.message);
    if (*why.hint)
        st_err_hint(err, "%s", why.hint);
    return rc;
}

void settings_done(settings *s)
{
    for (size_t i = 0; i < ST_COUNT(rows); i++) {
        setting_list *list = setting_field(s, &rows[i]);
        if (rows[i].type == SETTING_LIST)
            for (uint32_t k = 0; k < list->n; k++)
                st_free(list->items[k]);
        if (rows[i].type == SETTING_TEXT || rows[i].type == SETTING_WORD ||
            rows[i].type == SETTING_SECRET)
            st_free(*(char **)setting_field(s, &rows[i]));
    }
    *s = (settings){0};
}
