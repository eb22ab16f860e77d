/* net/notify.h - tell the service manager how it goes: systemd's datagrams.
 *
 * Without $NOTIFY_SOCKET nothing is sent and nothing fails.
 *
 * Threads: any, as long as nobody changes the environment. */
#ifndef NET_NOTIFY_H
#define NET_NOTIFY_H
#include "base/err.h"
#include <stdint.h>

typedef enum notify_word {
    NOTIFY_READY,     /* serves; also after a reload */
    NOTIFY_RELOADING, /* until the next NOTIFY_READY */
    NOTIFY_STOPPING,
    NOTIFY_WATCHDOG, /* is alive: due at least every notify_watchdog_us() */
} notify_word;

/* `status` is one line for people, NULL: none. */
ST_NODISCARD int notify_send(notify_word word, const char *status, st_err *err);

/* How often the manager wants to hear NOTIFY_WATCHDOG: half of the time after which it
 * would give the program up; 0: never. */
uint64_t notify_watchdog_us(void);
#endif
