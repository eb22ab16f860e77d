/* model/narrow.c - float matrices packed as 8-bit blocks, a panel of rows at a time. */
#include "model/narrow.h"

#include "base/mem.h"
#include "gguf/encode.h"
#include <stdatomic.h>

typedef struct narrow_job {
    const kmat *m;
    st_dtype from;
    const unsigned char *rows;
    size_t row_bytes;
    unsigned char *room;
    size_t panel_bytes;
    float *floats; /* [workers][KERN_PANEL, cols] */
    unsigned char *blocks;
    size_t block_bytes; /* of a worker */
    atomic_int failed;
} narrow_job;

static int panel_pack(const narrow_job *job, uint32_t panel, uint32_t worker)
{
    const uint32_t first = panel * KERN_PANEL, left = job->m->rows - first;
    const kmat one = {ST_Q8_0, left < KERN_PANEL ? left : KERN_PANEL, job->m->cols, NULL};
    const size_t n = (size_t)one.rows * one.cols;
    float *floats = job->floats + (size_t)worker * KERN_PANEL * one.cols;
    unsigned char *blocks = job->blocks + worker * job->block_bytes;
    int rc = kern_dequant(job->from, job->rows + first * job->row_bytes, n, floats, NULL);
    if (!rc)
        rc = encode_floats(ST_Q8_0, floats, n, blocks, NULL);
    if (!rc)
        kmat_pack(&one, blocks, job->room + panel * job->panel_bytes, 0, 1);
    return rc;
}

static void panel_chunk(void *arg, uint32_t panel, uint32_t worker)
{
    narrow_job *job = arg;
    int rc = panel_pack(job, panel, worker);
    if (rc)
        atomic_store(&job->failed, rc);
}

/* Room for one panel a worker: its floats and its blocks. */
static bool take_scratch(narrow_job *job, size_t n_workers)
{
    size_t n, total;
    if (!st_mul_ok(KERN_PANEL, job->m->cols, &n) ||
        !st_dtype_size(ST_Q8_0, n, &job->block_bytes) || !st_mul_ok(n, n_workers, &n) ||
        !st_mul_ok(job->block_bytes, n_workers, &total))
        return false;
    job->floats = st_alloc_n(n, sizeof *job->floats);
    job->blocks = st_alloc(total);
    return job->floats && job->blocks;
}

int narrow_pack(const kmat *m, st_dtype from, const void *rows, workers *w, void *room,
                st_err *err)
{
    narrow_job job = {.m = m, .from = from, .rows = rows, .room = room};
    int rc = 0;
    if (!st_dtype_size(from, m->cols, &job.row_bytes) ||
        !kmat_bytes(ST_Q8_0, KERN_PANEL, m->cols, &job.panel_bytes) ||
        !take_scratch(&job, w ? workers_count(w) : 1)) {
        rc = st_err_set(err, ST_ENOMEM, "out of memory for a panel of %u columns",
                        m->cols);
    } else {
        for (uint32_t i = 0; !w && i < kmat_panels(m); i++)
            panel_chunk(&job, i, 0);
        if (w)
            workers_run(w, kmat_panels(m), panel_chunk, &job);
        if (atomic_load(&job.failed))
            rc = st_err_set(err, ST_EFORMAT,
                            "some value is not finite, or is beyond what "
                            "8 bits can hold");
    }
    st_free(job.floats);
    st_free(job.blocks);
    return rc;
}
