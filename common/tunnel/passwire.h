/* The bodies of PASS and PASS-STATE: a site wants to exchange packets with another one. */
#ifndef COMMON_TUNNEL_PASSWIRE_H
#define COMMON_TUNNEL_PASSWIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

struct pass_frame {
    char site[SITE_SIZE]; /* the other one, as written */
    bool want;            /* PASS */
    uint8_t state;        /* PASS-STATE: enum pass_state */
    uint8_t number;       /* PASS-STATE, OPEN: below PASS_NUMBERS */
};

void passwire_put(struct writer *w, uint8_t type, const struct pass_frame *frame);
/* 0 or ERR_PROTOCOL: fields that are missing, twice there or of another frame or state, too. */
int passwire_get(uint8_t type, struct reader *r, struct pass_frame *frame);

#endif
