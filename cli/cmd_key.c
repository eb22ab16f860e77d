/* cli/cmd_key.c - stint key: who may ask a server. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/api_keys.h"
#include <stdlib.h>
#include <string.h>

static int take_name(const cli_args *args, char ret_name[KEY_NAME_MAX], st_err *err)
{
    const char *name;
    int rc = cli_need(args, "name", &name, err);
    if (!rc && strlen(name) >= KEY_NAME_MAX)
        rc = st_err_set(err, ST_EINVAL, "key: a name of at most %d characters",
                        KEY_NAME_MAX - 1);
    if (!rc)
        memcpy(ret_name, name, strlen(name) + 1);
    return rc;
}

/* A day, a time, or "30d": so many days from now. */
static int take_expires(const cli_args *args, int64_t *ret_time, st_err *err)
{
    const char *text = cli_get(args, "expires");
    char *end;
    if (!text || key_time(text, ret_time))
        return 0;
    long days = strtol(text, &end, 10);
    if (days < 1 || days > 36500 || strcmp(end, "d") != 0)
        return st_err_set(err, ST_EINVAL,
                          "key: --expires '%s': expected 2027-01-31, a time as "
                          "2027-01-31T12:00:00Z, or days as 30d",
                          text);
    *ret_time = st_clock_unix() + days * 86400;
    return 0;
}

static int run_new(const cli_args *args, const char *path, st_err *err)
{
    key_info what = {0};
    char text[KEY_TEXT_MAX];
    const char *role = cli_get(args, "role");
    const char *tasks = cli_get(args, "tasks");
    int rc = take_name(args, what.name, err);
    if (!rc)
        rc = take_expires(args, &what.expires, err);
    if (!rc && role && strcmp(role, "client") != 0 && strcmp(role, "admin") != 0)
        rc = st_err_set(err, ST_EINVAL, "key: --role '%s': expected client or admin",
                        role);
    if (!rc && tasks && strlen(tasks) >= KEY_TASKS_MAX)
        rc = st_err_set(err, ST_EINVAL, "key: --tasks: at most %d characters",
                        KEY_TASKS_MAX - 1);
    if (rc)
        return rc;
    what.role = role && *role == 'a' ? KEY_ADMIN : KEY_CLIENT;
    if (tasks)
        memcpy(what.tasks, tasks, strlen(tasks) + 1);
    rc = api_keys_file_new(path, &what, text, err);
    if (!rc)
        printf("%s\n", text);
    return rc;
}

static void print_key(const key_info *k)
{
    char created[24], expires[24] = "never";
    key_time_text(k->created, created);
    if (k->expires)
        key_time_text(k->expires, expires);
    printf("%-24s %-7s made %s  expires %-20s  %s\n", k->name,
           k->role == KEY_ADMIN ? "admin" : "client", created, expires,
           *k->tasks ? k->tasks : "all");
}

static int run_list(const char *path, st_err *err)
{
    key_info *list;
    uint32_t n;
    int rc = api_keys_file_list(path, &list, &n, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        print_key(&list[i]);
    st_free(list);
    return 0;
}

static int run_revoke(const cli_args *args, const char *path, st_err *err)
{
    char name[KEY_NAME_MAX];
    int rc = take_name(args, name, err);
    return rc ? rc : api_keys_file_revoke(path, name, err);
}

/* An option that the action would not look at. */
static int refuse(const cli_args *args, const char *action, const char *option,
                  st_err *err)
{
    if (!cli_get(args, option))
        return 0;
    return st_err_set(err, ST_EINVAL, "key: --%s says nothing to %s", option, action);
}

static int check_options(const cli_args *args, const char *action, st_err *err)
{
    static const char *const of_new[] = {"role", "tasks", "expires"};
    int rc = strcmp(action, "list") == 0 ? refuse(args, action, "name", err) : 0;
    for (size_t i = 0; i < 3 && !rc && strcmp(action, "new") != 0; i++)
        rc = refuse(args, action, of_new[i], err);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *action = cli_operand(args, 0);
    const char *path;
    int rc = cli_need(args, "api-keys", &path, err);
    if (!rc)
        rc = check_options(args, action, err);
    if (rc)
        return rc;
    if (strcmp(action, "new") == 0)
        return run_new(args, path, err);
    if (strcmp(action, "list") == 0)
        return run_list(path, err);
    if (strcmp(action, "revoke") == 0)
        return run_revoke(args, path, err);
    return st_err_set(err, ST_EINVAL, "key: '%s': expected new, list or revoke", action);
}

static const cli_option options[] = {
    {"api-keys", 0, "FILE", "The file of keys; stint serve --api-keys reads it."},
    {"name", 0, "NAME", "Name of the key, in logs and for revoke."},
    {"role", 0, "ROLE", "client (default), or admin, which may load and unload."},
    {"tasks", 0, "NAMES",
     "Only these tasks, models and adapters, with a comma between; all by default."},
    {"expires", 0, "TIME", "The day or time from which it is refused, or days as 30d."},
    {0},
};

const cli_command cli_key = {
    .name = "key",
    .summary = "make, list and revoke the keys of a server",
    .operands = "new|list|revoke",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .details =
        "new prints a key once; the file keeps its hash alone, and is written with mode "
        "0600. A server that runs reads the file again on SIGHUP: keys that were revoked "
        "are refused from then on.",
    .example = "stint key new --api-keys keys --name ci --tasks triage --expires 90d\n"
               "sk-stint-3qLhvVYzjTZqVbSAm0Wnq8GkQH0Ws9cJw9mK3b8yJ2E",
    .run = run,
};
