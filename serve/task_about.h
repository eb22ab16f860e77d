/* serve/task_about.h - what a task is, as JSON.
 *
 * Threads: any that holds the use. */
#ifndef SERVE_TASK_ABOUT_H
#define SERVE_TASK_ABOUT_H
#include "serve/body.h"
#include "serve/hub.h"

/* `whole`: with its options' descriptions, schema and checks.  NULL: no memory. */
json_t *task_about(const hub_use *u, bool whole);

extern const member task_about_members[];
#endif
