/* serve/stint_extra.h - the member `stint` of answers that a task gave: who answered, and
 * what its probabilities are worth.
 *
 *   task, version          what answered: the same version gives the same answers
 *   route                  "rule", "experts", "zero-shot"; "few-shot" of what is written
 *   calibrated             are the probabilities fitted on examples?
 *   p                      of the option that was chosen
 *   label_mass             zero-shot: probability of all options together
 *   experts                each fitted expert's own distribution
 *   rule                   which one answered, from 1
 *   examples               of what is written: how many were shown
 *   accepted               and whether all checks hold
 *   truncated              the middle of the input was left out
 *
 * Members that do not apply are not there.
 *
 * Threads: any. */
#ifndef SERVE_STINT_EXTRA_H
#define SERVE_STINT_EXTRA_H
#include "serve/body.h"
#include "serve/hub.h"

/* Of an input that has an answer.  NULL: no memory. */
json_t *stint_extra(const hub_use *u, const hub_answer *answer);
const char *stint_route(const hub_answer *answer); /* a constant */

extern const member stint_extra_members[]; /* for descriptions */
#endif
