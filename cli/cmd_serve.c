/* cli/cmd_serve.c - stint serve: the models and tasks of one process over HTTP.
 *
 * The options are the rows of serve/settings_map.h. */
#include "cli/cli.h"

#include "base/compiler.h"
#include "serve/serve.h"
#include "serve/settings_map.h"
#include <string.h>

static const char *value_get(const void *arg, const char *flag, unsigned i)
{
    const cli_args *args = arg;
    const char *value = cli_get_nth(args, flag, i);
    return value || i > 0 || !cli_flag(args, flag) ? value : "";
}

static int run(cli_args *args, st_err *err)
{
    settings set;
    int rc = settings_read(value_get, args, cli_get(args, "config"), &set, err);
    if (rc < 0)
        return rc;
    rc = server_run(&set, err);
    settings_done(&set);
    return rc;
}

#define OPTION(flag, field, type, value, least, most, def, about) {flag, 0, value, about},

static const cli_option flags[] = {
    SETTINGS_MAP(OPTION){"config", 'c', "FILE",
                         "Read settings from this YAML file; flags and environment come "
                         "first."},
    {0},
};
#undef OPTION

const cli_command cli_serve = {
    .name = "serve",
    .summary = "answer requests over HTTP",
    .operands = "",
    .options = flags,
    .details =
        "Speaks OpenAI's API (/v1/decisions, /v1/chat/completions, /v1/responses, "
        "/v1/embeddings and more), TypeSafe's /v1/systemone, KServe's /v2 and its own "
        "/v1/tasks; /openapi.json describes all of it.\n"
        "Every option may also come from the environment (STINT_API_KEYS for --api-keys) "
        "and from the file. Without keys it listens on this machine's own addresses "
        "only. "
        "SIGHUP loads again what has changed on disk; SIGTERM finishes what was accepted "
        "and ends, a second one ends at once.",

    .example = "stint serve --model smollm2-135m-instruct --task examples/support\n"
               "{\"time\":\"2026-11-21T21:00:00Z\",\"level\":\"info\",\"event\":"
               "\"ready\",\"message\":\"requests are answered\"}",
    .run = run,
};
