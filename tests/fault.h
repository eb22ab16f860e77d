/* tests/fault.h - make one allocation fail, then the next, until nothing fails.
 *
 * A test program that lists fault_dep has malloc, calloc, realloc and posix_memalign of
 * all our code wrapped at link time.  A sweep runs a piece of work again and again; in
 * run k the k-th allocation fails.  The work must return ST_ENOMEM (or succeed, where it
 * can do without), leave its outputs untouched and leak nothing (the sanitizers look).
 *
 * Threads: counters are atomic; one sweep at a time. */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

/* The work: returns what the code under test returned, after releasing what it got. */
typedef int fault_work(void *arg);

void fault_arm(long nth); /* the nth allocation from now on fails, once; 0: none */
long fault_disarm(void);  /* allocations seen since fault_arm */
int fault_fired(void);    /* did the armed allocation fail? */

/* Run `work` with allocation 1, 2, 3, ... failing until a run needs no more, stepping by
 * `step` (1 for every allocation).  Fails the cmocka test when a run returns anything but
 * 0 or ST_ENOMEM, or when the last run does not return 0.  Returns the number of runs. */
long fault_sweep(fault_work *work, void *arg, long step);
#endif
