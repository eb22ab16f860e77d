/* net/inherit.h - a listening socket that the service manager opened.
 *
 * systemd hands sockets over from descriptor 3 on and says so in $LISTEN_FDS and
 * $LISTEN_PID: the socket exists before and after the program, so that a restart refuses
 * nobody.
 *
 * Threads: none may run yet, because the environment is changed. */
#ifndef NET_INHERIT_H
#define NET_INHERIT_H
#include "base/err.h"

/* *ret_fd is the socket, -1 when none was handed over.  More than one: ST_EUNSUPPORTED.
 * The variables are gone after. */
ST_NODISCARD int inherit_socket(int *ret_fd, st_err *err);
#endif
