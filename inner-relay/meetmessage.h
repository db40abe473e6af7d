/*
 * The fields of the messages by which two sites agree to meet (MEET, MEET-END), or to connect to
 * each other at once (PUNCH, PUNCH-END).
 */
#ifndef INNER_RELAY_MEETMESSAGE_H
#define INNER_RELAY_MEETMESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "inner-relay/sites.h"

struct meet_message {
    uint64_t number;                  /* of the meeting, or the attempt; never 0 */
    char reason[MESSAGE_REASON_SIZE]; /* of an END; "": not said */
};

void meetmessage_put(struct writer *w, uint8_t type, const struct meet_message *message);
/* 0 or ERR_PROTOCOL. ERR_UNSUPPORTED: a message of another kind. */
int meetmessage_get(uint8_t type, struct reader *r, struct meet_message *message);
/* In a session that is up; else nobody is told. reason: of an END; "": none. */
void meetmessage_send(struct site *site, enum sites_side side, uint8_t type, uint64_t number,
                      const char *reason, uint64_t now_us);
/* Of two sites the one asks whose name comes first: is that the other one? */
bool meetmessage_is_theirs(const struct site *site);
/* Why there is nothing yet where nothing is in its way. */
const char *meetmessage_not_yet(const struct site *site);

#endif
