#include "inner-relay/branches.h"

#include "common/sa/sa.h"
#include "inner-relay/inner.h"
#include "inner-relay/leg.h"

/* Who has the media is silent for so long; who is to have it was heard that recently. */
enum { SILENT_S = 5, HEARD_S = 2 };

static bool is_parked(const struct call *call, unsigned number, unsigned hub)
{
    return call->party[number]->hub == (int)hub && call->party[number]->partner < 0;
}

/* Of a hairpin the dmz-relay tells seconds later: too late for this. */
static bool is_heard(const struct calls *calls, const struct call_party *party, uint32_t seconds,
                     uint64_t now_us)
{
    for (unsigned i = 0; i < party->line_count; i++) {
        const struct sa *sa =
            party->line[i].sa ? inner_find_sa(calls->inner, party->line[i].sa) : NULL;

        if (sa && !sa->hairpin && sa->last_packet_us > 0 &&
            !inner_is_silent(calls->inner, sa, seconds, now_us))
            return true;
    }
    return false;
}

static bool has_hairpins(const struct calls *calls, const struct call_party *party)
{
    for (unsigned i = 0; i < party->line_count; i++) {
        const struct sa *sa =
            party->line[i].sa ? inner_find_sa(calls->inner, party->line[i].sa) : NULL;

        if (sa && sa->hairpin)
            return true;
    }
    return false;
}

void branches_fall_back(struct calls *calls, struct call *call, unsigned hub, uint64_t now_us)
{
    int best = -1;

    for (unsigned i = 0; i < call->party_count; i++) {
        if (is_parked(call, i, hub) &&
            (best < 0 || call->party[i]->answered_us >= call->party[best]->answered_us))
            best = (int)i;
    }
    if (best >= 0 && call->party[hub]->partner < 0)
        (void)leg_resume(calls, call, hub, (unsigned)best, now_us);
}

static bool has_offered(const struct call *call, unsigned number)
{
    for (unsigned i = 0; i < call->stage_count; i++) {
        if (call->stage[i]->offerer == number && !call->stage[i]->answered)
            return true;
    }
    return false;
}

int branches_oldest(const struct call *call, int not_this)
{
    int best = -1;

    for (unsigned i = 0; i < call->party_count; i++) {
        const struct call_party *party = call->party[i];

        if ((int)i == not_this || party->hub < 0 || party->partner >= 0 || has_offered(call, i))
            continue;
        if (best < 0 || party->answered_us < call->party[best]->answered_us)
            best = (int)i;
    }
    return best;
}

/* Whom the offerer has talked to until then is one without media. */
bool branches_have_room(const struct call *call, unsigned offerer)
{
    int partner = call->party[offerer]->partner;

    return call->party_count < CALL_PARTIES_MAX || branches_oldest(call, (int)offerer) >= 0 ||
           (partner >= 0 && call->party[partner]->hub >= 0 &&
            !has_offered(call, (unsigned)partner));
}

void branches_make_room(struct calls *calls, struct call *call, uint64_t now_us)
{
    int oldest = call->party_count > CALL_PARTIES_MAX ? branches_oldest(call, -1) : -1;

    if (oldest < 0)
        return;
    calls_drop_lines(calls, call->party[oldest], 0, now_us);
    call_remove_party(call, (unsigned)oldest);
}

static bool follow(struct calls *calls, struct call *call, unsigned hub, uint64_t now_us)
{
    const struct call_party *now = call->party[call->party[hub]->partner];

    if (now_us - now->answered_us < SILENT_S * UINT64_C(1000000) ||
        is_heard(calls, now, SILENT_S, now_us) || has_hairpins(calls, now))
        return false;
    for (unsigned i = 0; i < call->party_count; i++) {
        if (is_parked(call, i, hub) && is_heard(calls, call->party[i], HEARD_S, now_us))
            return leg_resume(calls, call, hub, i, now_us);
    }
    return false;
}

bool branches_follow(struct calls *calls, struct call *call, uint64_t now_us)
{
    if (call->party_count < 3 || call_is_held(call))
        return false;
    for (unsigned i = 0; i < call->party_count; i++) {
        int partner = call->party[i]->partner;

        if (partner >= 0 && call->party[partner]->hub == (int)i && follow(calls, call, i, now_us))
            return true;
    }
    return false;
}
