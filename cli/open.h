/* cli/open.h - the options that open a model, shared by the commands that read one. */
#ifndef CLI_OPEN_H
#define CLI_OPEN_H
#include "cli/cli.h"
#include "expert/lm.h"

#define CLI_MODEL_OPTION                                                                 \
    {                                                                                    \
        "model", 'm', "MODEL", "A GGUF file, or a name in $STINT_MODELS."                \
    }
#define CLI_ENGINE_OPTIONS                                                               \
    {"ctx", 0, "N", "Longest sequence in tokens; the model's, at most 4096."},           \
    {                                                                                    \
        "kv", 0, "TYPE", "Keys and values as q8 (default where it goes), f16 or f32."    \
    }
#define CLI_MODEL_OPTIONS                                                                \
    CLI_MODEL_OPTION, {"threads", 't', "N", "Threads; all processors when not given."},  \
        CLI_ENGINE_OPTIONS

/* What CLI_ENGINE_OPTIONS say. */
ST_NODISCARD int cli_engine_opts(const cli_args *args, engine_opts *ret_opts,
                                 st_err *err);

/* Open the model that --model names with these. */
ST_NODISCARD int cli_open_model_with(const cli_args *args, const lm_opts *opts,
                                     lm **ret_lm, st_err *err);

/* Open the model that the options name.  The caller lm_close()s it. */
ST_NODISCARD int cli_open_model(const cli_args *args, lm **ret_lm, st_err *err);
#endif
