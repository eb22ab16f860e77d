/* serve/loaded.c - what admin routes have loaded, kept in a file for the next start. */
#include "serve/loaded.h"

#include "base/file.h"
#include "base/mem.h"
#include "serve/body.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 4 << 20, MAX_DEPTH = 4, MAX_PATH = 4096 };

struct loaded {
    char *path;
    json_t *rows; /* an array, as in the file */
};

static const char *const kinds[] = {"model", "task", "adapter"};

const char *hub_kind_text(hub_kind kind)
{
    return kinds[kind];
}

hub_kind hub_kind_of(const char *text)
{
    hub_kind kind = HUB_MODEL;
    while (kind < HUB_ADAPTER && strcmp(kinds[kind], text) != 0)
        kind++;
    return kind;
}

static const member row_members[] = {
    {"kind", MEMBER_STRING, .need = true, .words = "model task adapter"},
    {"name", MEMBER_STRING, .need = true},
    {"path", MEMBER_STRING, .need = true},
    {"base", MEMBER_STRING | MEMBER_NULL, .need = true},
    {"scale", MEMBER_NUMBER, .need = true},
    {0},
};

static const member file_members[] = {
    {"loaded", MEMBER_ARRAY, .need = true, .of = row_members},
    {0},
};

static int rows_read(loaded *l, st_err *err)
{
    char *text;
    size_t len;
    problems p = {0};
    int rc = 0;
    if (access(l->path, F_OK) != 0 && errno == ENOENT) {
        l->rows = json_array();
        return l->rows ? 0 : st_err_set(err, ST_ENOMEM, "no memory for %s", l->path);
    }
    if ((rc = st_file_read(l->path, MAX_FILE, &text, &len, err)) < 0)
        return rc;
    json_t *all = body_parse(text, len, MAX_DEPTH, &p);
    if (all)
        body_check(all, file_members, false, "", &p);
    if (p.n > 0) {
        rc = st_err_set(err, ST_EFORMAT, "%s: %s%s%s", l->path, p.list[0].param,
                        p.list[0].param[0] ? ": " : "", p.list[0].message);
        st_err_hint(err, "it was not written by this server: put it right or away");
    } else if (!all) {
        rc = st_err_set(err, ST_ENOMEM, "no memory for %s", l->path);
    } else {
        l->rows = json_incref(json_object_get(all, "loaded"));
    }
    problems_done(&p);
    json_decref(all);
    st_free(text);
    return rc;
}

int loaded_open(const char *folder, loaded **ret_loaded, st_err *err)
{
    st_buf path;
    loaded *l = st_zalloc_n(1, sizeof *l);
    int rc = 0;
    st_buf_init(&path, MAX_PATH);
    st_buf_fmt(&path, "%s/loaded.json", folder);
    if (!l || !(l->path = st_buf_detach(&path, NULL)))
        rc = st_err_set(err, ST_ENOMEM, "no memory for what is loaded");
    if (rc == 0 && mkdir(folder, 0700) != 0 && errno != EEXIST)
        rc = st_err_set(err, ST_EIO, "--data %s: %s", folder, strerror(errno));
    if (rc == 0)
        rc = rows_read(l, err);
    st_buf_done(&path);
    if (rc < 0)
        loaded_free(l);
    else
        *ret_loaded = l;
    return rc;
}

void loaded_free(loaded *l)
{
    if (!l)
        return;
    json_decref(l->rows);
    st_free(l->path);
    st_free(l);
}

uint32_t loaded_count(const loaded *l)
{
    return (uint32_t)json_array_size(l->rows);
}

void loaded_get(const loaded *l, uint32_t i, loaded_row *ret_row)
{
    const json_t *row = json_array_get(l->rows, i);
    *ret_row = (loaded_row){
        .kind = hub_kind_of(body_text(row, "kind", "")),
        .name = body_text(row, "name", ""),
        .path = body_text(row, "path", ""),
        .base = body_text(row, "base", NULL),
        .scale = body_number(row, "scale", 1),
    };
}

static bool is_named(const json_t *row, const char *name)
{
    return strcmp(body_text(row, "name", ""), name) == 0;
}

bool loaded_has(const loaded *l, const char *name)
{
    for (size_t i = 0; i < json_array_size(l->rows); i++)
        if (is_named(json_array_get(l->rows, i), name))
            return true;
    return false;
}

/* All rows but those of a name; NULL: no memory. */
static json_t *rows_without(const loaded *l, const char *name)
{
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < json_array_size(l->rows); i++) {
        json_t *row = json_array_get(l->rows, i);
        if (!is_named(row, name) && json_array_append(rows, row) != 0) {
            json_decref(rows);
            rows = NULL;
        }
    }
    return rows;
}

/* Write the file with these rows, which are taken, and only then go on with them. */
static int rows_set(loaded *l, json_t *rows, st_err *err)
{
    json_t *all = json_pack("{s:O}", "loaded", rows);
    size_t len = all ? json_dumpb(all, NULL, 0, JSON_INDENT(2)) : 0;
    char *text = st_alloc(len + 1);
    int rc;
    if (!all || !text || json_dumpb(all, text, len, JSON_INDENT(2)) != len) {
        rc = st_err_set(err, ST_ENOMEM, "no memory for %s", l->path);
    } else {
        text[len] = '\n';
        rc = st_file_write(l->path, text, len + 1, err);
    }
    if (rc == 0) {
        json_decref(l->rows);
        l->rows = json_incref(rows);
    }
    st_free(text);
    json_decref(all);
    json_decref(rows);
    return rc;
}

/* A model's plain name is looked up in folders; all else is a path. */
static bool is_path(const loaded_row *row)
{
    size_t len = strlen(row->path);
    return row->kind != HUB_MODEL || strchr(row->path, '/') ||
           (len > 5 && strcmp(row->path + len - 5, ".gguf") == 0);
}

/* The path from the root on; a heap string, NULL: no memory, or no working folder. */
static char *whole_path(const loaded_row *row)
{
    char here[MAX_PATH];
    size_t len;
    if (!is_path(row))
        return st_strdup(row->path);
    if (!getcwd(here, sizeof here - 1))
        return NULL;
    len = strlen(here);
    here[len] = '/';
    here[len + 1] = '\0';
    return st_path_beside(here, row->path);
}

int loaded_put(loaded *l, const loaded_row *row, st_err *err)
{
    char *path = whole_path(row);
    json_t *rows = rows_without(l, row->name);
    json_t *own =
        path ? json_pack("{s:s, s:s, s:s, s:s?, s:f}", "kind", kinds[row->kind], "name",
                         row->name, "path", path, "base", row->base, "scale", row->scale)
             : NULL;
    int rc = 0;
    if (!rows || !own || json_array_append(rows, own) != 0)
        rc = st_err_set(err, ST_ENOMEM, "no memory for %s", l->path);
    else
        rc = rows_set(l, json_incref(rows), err);
    json_decref(own);
    json_decref(rows);
    st_free(path);
    return rc;
}

int loaded_drop(loaded *l, const char *name, st_err *err)
{
    if (!loaded_has(l, name))
        return 0;
    json_t *rows = rows_without(l, name);
    return rows ? rows_set(l, rows, err)
                : st_err_set(err, ST_ENOMEM, "no memory for %s", l->path);
}
