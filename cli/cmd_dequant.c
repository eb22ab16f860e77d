/* cli/cmd_dequant.c - stint dequant: raw blocks of a format as floats. */
#include "cli/cli.h"

#include "base/file.h"
#include "base/mem.h"
#include "kernels/kernels.h"

static int dequant_map(const st_dtype_info *info, const st_file_map *in, const char *out,
                       st_err *err)
{
    uint64_t n = (uint64_t)(in->len / info->bytes) * info->block;
    if (in->len % info->bytes)
        return st_err_set(err, ST_EFORMAT, "%zu bytes are not whole %s blocks of %u",
                          in->len, info->name, info->bytes);
    float *floats = st_alloc_n((size_t)n, sizeof *floats);
    if (!floats)
        return st_err_set(err, ST_ENOMEM, "out of memory for %llu numbers",
                          (unsigned long long)n);
    int rc = kern_dequant((st_dtype)info->id, in->data, n, floats, err);
    if (!rc)
        rc = st_file_write(out, floats, (size_t)n * sizeof *floats, err);
    st_free(floats);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *type, *in, *out;
    st_file_map map;
    int rc = cli_need(args, "type", &type, err);
    if (!rc)
        rc = cli_need(args, "in", &in, err);
    if (!rc)
        rc = cli_need(args, "out", &out, err);
    if (rc)
        return rc;
    const st_dtype_info *info = st_dtype_by_name(type);
    if (!info) {
        st_err_set(err, ST_EINVAL, "dequant: no number format is called '%s'", type);
        st_err_hint(err, "names are as in GGUF: F16, Q8_0, Q4_K, IQ4_XS, MXFP4, ...");
        return ST_EINVAL;
    }
    rc = st_file_map_open(in, &map, err);
    if (rc)
        return rc;
    rc = dequant_map(info, &map, out, err);
    st_file_map_close(&map);
    return rc;
}

static const cli_option options[] = {
    {"type", 't', "TYPE", "Number format of the blocks, such as Q4_K."},
    {"in", 'i', "FILE", "Blocks as they lie in a GGUF tensor."},
    {"out", 'o', "FILE", "Gets the numbers: little-endian float32, no header."},
    {0},
};

const cli_command cli_dequant = {
    .name = "dequant",
    .summary = "turn raw quantised blocks into float32, exactly",
    .operands = "",
    .options = options,
    .details = "For checking number formats against other programs.",
    .example = "stint dequant --type Q4_K --in blocks.bin --out f32.bin",
    .run = run,
};
