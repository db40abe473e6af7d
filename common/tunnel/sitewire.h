/* The bodies of SITE and SITE-STATE: what goes from one site to another through their dmz-relay. */
#ifndef COMMON_TUNNEL_SITEWIRE_H
#define COMMON_TUNNEL_SITEWIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

struct site_frame {
    char site[SITE_SIZE]; /* the other one, as written */
    uint64_t session;
    uint8_t kind;        /* enum site_kind; SITE-STATE: 0, of no one session */
    const uint8_t *data; /* SITE; points into what was read */
    size_t length;       /* SITE: 1 to SITE_DATA_OCTETS */
    uint8_t state;       /* SITE-STATE: enum site_state */
    uint32_t credit;     /* SITE-STATE, TAKEN: 1 to SITE_WINDOW_OCTETS */
};

void sitewire_put(struct writer *w, uint8_t type, const struct site_frame *frame);
/* 0 or ERR_PROTOCOL: fields that are missing, twice there or of another frame or state, too. */
int sitewire_get(uint8_t type, struct reader *r, struct site_frame *frame);
/* What a frame takes of the window. */
uint32_t sitewire_cost(const struct site_frame *frame);

#endif
