/* cli/cmd_version.c - stint version: this program, this machine. */
#include "cli/cli.h"

#include "base/cache.h"
#include "base/cpu.h"
#include <stdio.h>

static int run(cli_args *args, st_err *err)
{
    st_isa isa;
    st_err why = {0};
    char cache[4096];
    bool kept = st_cache_folder(cache, sizeof cache, &why) == 0;
    int rc = st_cpu_isa(&isa, err);
    if (rc)
        return rc;
    if (cli_flag(args, "json"))
        return cli_print_json(
            json_pack("{s:s, s:s, s:s, s:i, s:s?}", "version", STINT_VERSION, "isa",
                      st_isa_name(isa), "isa_best", st_isa_name(st_cpu_isa_best()),
                      "processors", (int)st_cpu_count(), "cache", kept ? cache : NULL),
            err);
    printf("stint %s\n%s kernels, %u processors\n", STINT_VERSION, st_isa_name(isa),
           st_cpu_count());
    printf(kept ? "cache %s\n" : "no cache: %s\n", kept ? cache : why.message);
    return 0;
}

static const cli_option options[] = {
    {"json", 0, NULL, "Print one JSON object."},
    {0},
};

const cli_command cli_version = {
    .name = "version",
    .summary = "show the version and what this machine offers",
    .operands = "",
    .options = options,
    .example = "stint version\n"
               "stint " STINT_VERSION "\n"
               "avx2 kernels, 2 processors\n"
               "cache /home/me/.cache/stint",
    .run = run,
};
