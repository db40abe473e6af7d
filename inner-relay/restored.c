#include "inner-relay/restored.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "inner-relay/inner.h"

static bool is_restored(const struct call_party *party)
{
    return !party->tag[0];
}

/* ------------------------------------------------------------ from SAs to calls */

/* A party without a tag that may have sent this; NULL: no room. */
static struct call_party *party_for(struct call *call, const struct sa *sa)
{
    int number;

    for (unsigned i = 0; i < call->party_count; i++) {
        if (call->party[i]->side == sa->side && !call->party[i]->line[sa->media_index].sa)
            return call->party[i];
    }
    number = call->party_count < CALL_PARTIES_MAX ? call_add_party(call, "") : ERR_FULL;
    if (number < 0)
        return NULL;
    call->party[number]->side = sa->side;
    return call->party[number];
}

static void restore(struct calls *calls, struct sa *sa, uint64_t wall_us, uint64_t now_us)
{
    const char *call_id = sa_text(sa, SA_CALL_ID);
    struct call *call = calls_find(calls, call_id, "", "");
    struct call_party *party = NULL;

    while (call && !(party = party_for(call, sa)))
        call = calls_find_next(call);
    if (!call)
        call = calls_add(calls, call_id, wall_us, now_us);
    if (call && !party)
        party = party_for(call, sa);
    if (!party) { /* it ends by itself */
        sa->media_timeout_s = calls->inner->options.media_timeout_s;
        return;
    }
    call->restored = true;
    calls_set_answered(calls, call);
    call->link = sa->owner;
    party->line[sa->media_index].sa = sa->id;
    party->line[sa->media_index].at = sa->source;
    party->line[sa->media_index].way = CALL_WAY_RELAYED;
    party->line[sa->media_index].held = sa->media_timeout_s == SA_TIMEOUT_BY_CALL_HELD;
    if (party->line_count <= sa->media_index)
        party->line_count = sa->media_index + 1u;
}

void calls_restore(struct calls *calls, uint64_t wall_us, uint64_t now_us)
{
    struct table_walk walk;
    struct sa *sa;

    table_walk_begin(calls->inner->table, &walk);
    while ((sa = table_walk_next(calls->inner->table, &walk))) {
        if (sa_ends_with_call(sa) && sa->media_index < CALL_LINES_MAX)
            restore(calls, sa, wall_us, now_us);
    }
}

/* ------------------------------------------------------------ from messages to SAs */

/* The SA of a party from before; NULL: it has none there. */
static struct sa *sa_at(const struct calls *calls, const struct call_party *party,
                        enum sa_side side, unsigned line)
{
    struct sa *sa = is_restored(party) && line < party->line_count && party->line[line].sa
                        ? inner_find_sa(calls->inner, party->line[line].sa)
                        : NULL;

    return sa && sa->side == side ? sa : NULL;
}

struct sa *restored_sa(const struct calls *calls, const struct call *call, enum sa_side side,
                       unsigned line, const struct suite *suite, const struct srtp_key *key)
{
    struct sa *found = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < call->party_count && call->restored; i++) {
        struct sa *sa = sa_at(calls, call->party[i], side, line);

        if (!sa || (key && !(sa->srtp && srtp_session_is(sa->srtp, suite, key))))
            continue;
        found = sa;
        count++;
    }
    return count == 1 || key ? found : NULL;
}

bool restored_assigned(const struct calls *calls, const struct call *call, enum sa_side side)
{
    for (unsigned i = 0; i < call->party_count && call->restored; i++) {
        for (unsigned line = 0; line < call->party[i]->line_count; line++) {
            const struct sa *sa = sa_at(calls, call->party[i], side, line);

            if (sa && sa_is_assigned(sa))
                return true;
        }
    }
    return false;
}

static bool is_taken_over(const struct call *call, uint64_t id)
{
    for (unsigned i = 0; i < call->party_count; i++) {
        const struct call_party *party = call->party[i];

        for (unsigned line = 0; line < party->line_count && !is_restored(party); line++) {
            if (party->line[line].sa == id)
                return true;
        }
    }
    return false;
}

/* The state file may have no more than a label. */
static void set_call_id(struct call *call, const char *call_id)
{
    char *copy = strcmp(call->call_id, call_id) == 0 ? NULL : strdup(call_id);

    if (!copy)
        return;
    free(call->call_id);
    call->call_id = copy;
}

void restored_settle(struct calls *calls, struct call *call, const char *call_id, uint64_t now_us)
{
    if (!call->restored)
        return;
    for (unsigned i = call->party_count; i-- > 0;) {
        struct call_party *party = call->party[i];

        if (!is_restored(party))
            continue;
        for (unsigned line = 0; line < party->line_count; line++) {
            if (is_taken_over(call, party->line[line].sa))
                party->line[line].sa = 0;
        }
        calls_drop_lines(calls, party, 0, now_us);
        call_remove_party(call, i);
    }
    set_call_id(call, call_id);
    call->restored = false;
}
