/* The dmz-relay as a daemon. */
#ifndef DMZ_RELAY_RELAY_H
#define DMZ_RELAY_RELAY_H

#include "common/daemon/daemon.h"
#include "common/tunnel/acceptor.h"
#include "dmz-relay/dmz.h"
#include "dmz-relay/meet.h"
#include "dmz-relay/settings.h"

struct relay {
    struct dmz core;
    const char *names[DMZ_SITES_MAX + 1]; /* of the sites; ended by NULL */
    struct acceptor *acceptor;
    struct meets *meets; /* NULL: no sites can meet here */
    struct forward
        *forwards[SETTINGS_FORWARDS_MAX + 1]; /* as the ini file has them; ended by NULL */
};

static inline struct relay *relay_of(const void *daemon)
{
    return ((const struct daemon *)daemon)->state;
}

/* forward.c: before the tunnel comes, and after it has gone. Negative with a sentence in error. */
int relay_forwards_start(struct daemon *daemon, char *error, size_t error_size);
void relay_forwards_stop(struct daemon *daemon);
/* commands.c */
extern const struct control_command relay_commands[];
/* relay.c */
extern const struct daemon_kind relay_kind;

#endif
