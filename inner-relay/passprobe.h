/*
 * The probes by which two sites see that a packet forwarder passes packets on: their octets, and
 * the keys that say that they are of the other site. A probe has a MAC with a key of a session of
 * the two sites (sites.h), so that a packet forwarder cannot answer in the place of the other site.
 * Pure.
 */
#ifndef INNER_RELAY_PASSPROBE_H
#define INNER_RELAY_PASSPROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/base/writer.h"

enum {
    PASSPROBE_SECRET_OCTETS = 32,
    PASSPROBE_TAG_OCTETS = 16,
    /* Without the octet in front that says what it is. */
    PASSPROBE_OCTETS = 1 + 8 + 8 + 4 + 4 + PASSPROBE_TAG_OCTETS,
    PASSPROBE_REST_US = 500 * 1000, /* a new key has come to the other site, too */
};

struct passprobe_key {
    uint64_t since_us;
    bool made;
    uint8_t out[PASSPROBE_SECRET_OCTETS], in[PASSPROBE_SECRET_OCTETS];
};

/* By who has opened the session (0: we have), each the newest and the one before. */
struct passprobe_keys {
    struct passprobe_key newest[2], former[2];
};

struct passprobe {
    uint64_t clock_us; /* of the sender; not 0 */
    uint64_t echo_us;  /* clock in the newest one that has come to it; 0: none has */
    uint32_t held_us;  /* since that came */
    uint32_t taken;    /* media that came to it by this way, genuine and new; mod 2^32 */
};

/*
 * A session is up. secret: of what goes from who has opened it, and of what goes to it. What was
 * sent with the key before is good still.
 */
void passprobe_keys_add(struct passprobe_keys *keys, bool ours,
                        const uint8_t secret[2][PASSPROBE_SECRET_OCTETS], uint64_t now_us);
/* It is over. Its key stays good, unless it was over at once: then the other site may not have it.
 */
void passprobe_keys_end(struct passprobe_keys *keys, bool ours, uint64_t now_us);
/* False: there is no key, and nothing was written. */
bool passprobe_put(struct writer *w, const struct passprobe_keys *keys,
                   const struct passprobe *probe, uint64_t now_us);
/*
 * ERR_PROTOCOL: it cannot be read; ERR_NOT_FOUND: there is no key of such a session; ERR_FORBIDDEN:
 * it is not the other site's, or not to us.
 */
int passprobe_get(struct reader *r, const struct passprobe_keys *keys, struct passprobe *probe);

#endif
