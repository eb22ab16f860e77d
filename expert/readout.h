/* expert/readout.h - answer a question with a model and no examples.
 *
 * A decoder reads instructions, options and input in a prompt (contract first, so that
 * all inputs share its beginning, which is run once) and is asked in one of three ways:
 *
 *   text   the exact probability of each option's value as the reply, over a trie of
 *          their tokens, end of turn included
 *   held   the same when nothing but an option can be said: each token's probability
 * among those that some option goes on with.  Runs only where options part codes  options
 * are lettered A, B, ... and the reply is one letter: each code must be exactly one token
 * of its own in its place, or this way is refused
 *
 * An encoder is asked by `names`: cosine between the input and each option's name and
 * description.
 *
 * Score of option i:  s_i = mean over rotations r of
 *     ln softmax_i( ln p_r(i | input) - [pmi] ln p_r(i | neutral input) )
 *     p = softmax(s / temperature)
 * A rotation lists the options from another one on; the geometric mean cancels what the
 * model prefers by position (Zheng 2024).  PMI cancels what it prefers by length and
 * frequency (Holtzman 2021).  The levels of a score keep their order: one rotation.
 *
 * The input is data: whatever it spells, it becomes no control token.  Nothing is cut; a
 * prompt longer than the context is ST_ELIMIT.
 *
 * A decoder is asked through its scheduler (lm_sched); answers that come later are those
 * of expert/readout_ask.h, and what returns them here steps it until they have.
 *
 * Threads: one owner, who owns the lm too; readout_new and what cannot change may be on
 * another, for it touches no engine.  Memory: question and lm must outlive it. */
#ifndef EXPERT_READOUT_H
#define EXPERT_READOUT_H
#include "base/progress.h"
#include "expert/lm.h"
#include "expert/question.h"

enum { READOUT_MAX_ROTATIONS = 8 };

typedef enum readout_mode {
    READOUT_TEXT,
    READOUT_HELD,
    READOUT_CODES,
    READOUT_NAMES, /* encoders only */
} readout_mode;

typedef struct readout_opts {
    readout_mode mode;
    bool pmi;           /* not for READOUT_NAMES */
    uint32_t rotations; /* a power of two, at most READOUT_MAX_ROTATIONS and n_options */
    double temperature; /* > 0 */
} readout_opts;

const char *readout_mode_name(readout_mode mode); /* "text", "held", ... */

/* What is used while nothing has been tuned: label texts with PMI for a decoder, names
 * for an encoder. */
readout_opts readout_default(const lm *l);

/* One line of text for an artifact's settings, and back (ST_EFORMAT). */
int readout_opts_write(const readout_opts *opts, char *ret_text, size_t size);
ST_NODISCARD int readout_opts_read(const char *text, readout_opts *ret_opts, st_err *err);

typedef struct readout readout;

/* ST_EUNSUPPORTED: the mode does not suit the model, or an option has no code of its own
 * (named).  ST_ELIMIT: instructions and options alone do not fit the context. */
ST_NODISCARD int readout_new(lm *l, const question *q, const readout_opts *opts,
                             readout **ret_readout, st_err *err);
/* What is under way ends as ST_ECANCELLED. */
void readout_free(readout *r); /* NULL allowed */

/* What needs the engine: beginnings of prompts are pinned, names embedded.  Asking does
 * it where it is not done. */
ST_NODISCARD int readout_bind(readout *r, st_err *err);

/* Probabilities of the options [n_options], summing to 1.  *ret_mass (may be NULL) is the
 * probability that the model puts on the options at all, mean over rotations; NaN for
 * held and names. */
ST_NODISCARD int readout_decide(readout *r, const char *text, size_t len,
                                double *ret_probs, double *ret_mass, st_err *err);

/* Many texts, their prompts in shared steps; each gets the bytes that it gets alone.
 * ret_codes[n]: 0, or ST_ELIMIT for a text that the context does not hold, whose
 * ret_probs [n, n_options] are not set and whose ret_mass [n] (may be NULL) is NaN;
 * readout_decide of it says why. */
ST_NODISCARD int readout_decide_many(readout *r, const char *const *texts,
                                     const size_t *lens, uint32_t n, double *ret_probs,
                                     double *ret_mass, int *ret_codes, st_err *err);

/* The parts of readout_decide, for choosing among ways to combine them.  Scores before
 * PMI: ret_logp [rotations, n_options], of the input or (text NULL) of the neutral input.
 */
ST_NODISCARD int readout_raw(readout *r, const char *text, size_t len, double *ret_logp,
                             st_err *err);
/* Of many texts: ret_logp [n, rotations, n_options], ret_codes as above. */
ST_NODISCARD int readout_raw_many(readout *r, const char *const *texts,
                                  const size_t *lens, uint32_t n, double *ret_logp,
                                  int *ret_codes, st_err *err);
/* Probabilities of n options from such scores; `neutral` may be NULL when opts->pmi is
 * not set.  Returns the mean probability mass on the options. */
double readout_combine(const readout_opts *opts, uint32_t n, const double *logp,
                       const double *neutral, double *ret_probs);
/* Tokens that one decision about this text runs at most. */
ST_NODISCARD int readout_cost(readout *r, const char *text, size_t len,
                              uint64_t *ret_tokens, st_err *err);

/* Choose mode, PMI, rotations and temperature by the NLL on labelled rows. */
typedef struct readout_trial {
    readout_opts opts; /* with its best temperature */
    double nll;
    double accuracy;
    double us; /* microseconds a decision */
} readout_trial;
typedef struct readout_tuning {
    readout_trial trials[24];
    uint32_t n_trials; /* 0: the model cannot be asked; `refused` says why */
    uint32_t n_rows;   /* that were used */
    uint32_t best;     /* index of the trial with the lowest NLL */
    char refused[200]; /* why a mode was not tried; empty when all were */
} readout_tuning;
/* At most `max_tokens` prompt tokens are run in all (0: 20000), spread over the rows; at
 * least eight rows, or all there are. */
ST_NODISCARD int readout_tune(lm *l, const question *q, const question_row *rows,
                              uint32_t n_rows, uint64_t max_tokens,
                              const st_progress *progress, readout_tuning *ret_tuning,
                              st_err *err);
#endif
