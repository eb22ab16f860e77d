/* cli/open.h - the options that open a model, shared by the commands that read one. */
#ifndef CLI_OPEN_H
#define CLI_OPEN_H
#include "cli/cli.h"
#include "expert/lm.h"

#define CLI_MODEL_OPTIONS                                                                \
    {"model", 'm', "MODEL", "A GGUF file, or a name in $STINT_MODELS."},                 \
        {"threads", 't', "N", "Threads; all processors when not given."},                \
        {"ctx", 0, "N", "Longest sequence in tokens; the model's, at most 4096."},       \
    {                                                                                    \
        "kv", 0, "TYPE", "Keys and values kept as f32 (default) or f16."                 \
    }

/* Open the model that the options name.  The caller lm_close()s it. */
ST_NODISCARD int cli_open_model(const cli_args *args, lm **ret_lm, st_err *err);
#endif
