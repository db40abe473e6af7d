#include "inner-relay/callexplain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "inner-relay/callreport.h"

/* ------------------------------------------------------------ words */

static void say(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list ap;

    va_start(ap, format);
    vsnprintf(text + used, CALLEXPLAIN_SIZE - used, format, ap);
    va_end(ap);
}

static const char *place_of(enum sa_side side)
{
    return side == SA_SIDE_EXTERNAL ? "outside" : "inside";
}

static void say_age(char *text, uint64_t then_us, uint64_t now_us)
{
    uint64_t s = now_us > then_us ? (now_us - then_us) / 1000000 : 0;

    if (s < 120)
        say(text, "%llu s", (unsigned long long)s);
    else
        say(text, "%llu min", (unsigned long long)(s / 60));
}

static const struct call_stage *newest_waiting(const struct call *call)
{
    for (unsigned i = call->stage_count; i-- > 0;) {
        if (!call->stage[i]->answered)
            return call->stage[i];
    }
    return NULL;
}

static void say_offerer(char *text, const struct call *call, const struct call_stage *stage)
{
    const char *tag = call->party[stage->offerer]->tag;

    say(text, "%s", place_of(stage->offerer_side));
    if (tag && tag[0])
        say(text, " (tag %.60s)", tag);
}

/* ------------------------------------------------------------ what there is to say */

static void explain_offered(const struct calls *calls, const struct call *call, uint64_t now_us,
                            struct callexplain *out)
{
    const struct call_stage *stage = newest_waiting(call);
    unsigned waiting = callreport_waiting(call);

    out->cause = "offered";
    if (!stage)
        return;
    say(out->text, "The call was offered ");
    say_age(out->text, stage->at_us, now_us);
    say(out->text, " ago from ");
    say_offerer(out->text, call, stage);
    say(out->text, " to %s", place_of(stage->side));
    if (waiting > 1)
        say(out->text, ", in %u branches,", waiting);
    say(out->text, " and there is no answer yet: the phone does not ring, or rings and nobody has "
                   "taken the call, or the answer did not come to this relay. Until then it has no "
                   "SA, and no media comes through.");
    say(out->check, "Does the phone ring? If not, where did the SIP proxy send the INVITE? If the "
                    "call was taken, does the proxy hand the SDP of the 200 (and of a 183) on to "
                    "this relay, and was it refused (log, ng_errors of relayctl stats)? The offer "
                    "is forgotten ");
    say_age(out->check, now_us, stage->at_us + calls->options.offer_timeout_us);
    say(out->check, " from now (offer-timeout).");
}

static bool has_way(const struct call *call, enum call_way way)
{
    for (unsigned i = 0; i < call->party_count; i++) {
        for (unsigned k = 0; k < call->party[i]->line_count; k++) {
            if (call->party[i]->line[k].way == way)
                return true;
        }
    }
    return false;
}

/* Answered, and it has no SA. */
static void explain_bare(const struct call *call, struct callexplain *out)
{
    if (has_way(call, CALL_WAY_DIRECT)) {
        out->cause = "direct";
        say(out->text, "Both parties are inside, and their SDP was left as it is: their media does "
                       "not go through this relay.");
        say(out->check, "Can the two phones reach each other? With [signalling] relay-internal = "
                        "yes such calls go through the relay.");
    } else if (has_way(call, CALL_WAY_RELAYED)) {
        out->cause = "deleted";
        say(out->text, "The SAs of the call were deleted (relayctl sa delete): it ends within "
                       "seconds.");
        say(out->check, "The next offer and answer of the phones make a call of it again.");
    } else {
        out->cause = "no-media";
        say(out->text, "The call was answered, but none of its m= lines goes through this relay: "
                       "each was rejected, or is not RTP.");
        say(out->check, "Which codecs and crypto suites have the two phones in common?");
    }
}

static void explain_pending(const struct call *call, uint64_t now_us, struct callexplain *out)
{
    const struct call_stage *stage = newest_waiting(call);

    if (!stage || !call->answered)
        return;
    out->cause = "offered-again";
    say(out->text, "A new offer came ");
    say_age(out->text, stage->at_us, now_us);
    say(out->text, " ago from ");
    say_offerer(out->text, call, stage);
    say(out->text, " and is not answered yet; until it is, all stays as it was agreed before. ");
}

static void explain_holds(const struct call *call, struct callexplain *out)
{
    for (unsigned i = 0; i < call->party_count; i++) {
        const struct call_party *party = call->party[i];
        unsigned lines = 0;

        for (unsigned k = 0; k < party->line_count; k++) {
            if (!party->line[k].held)
                continue;
            say(out->text, "%sm= line %u", lines++ ? ", " : "On hold: ", k);
            if (party->line[k].kind)
                say(out->text, " (%s)", callreport_kind((enum call_kind)party->line[k].kind));
        }
        if (lines == 0)
            continue;
        out->cause = "held";
        say(out->text, ", by the party %s. ", place_of(party->side));
    }
}

/* A branch that another one has taken the call from sends to nobody: that is no fault. */
static unsigned list_sas(const struct calls *calls, const struct call *call,
                         struct callexplain *out)
{
    unsigned parked = 0;

    for (unsigned i = 0; i < call->party_count; i++) {
        const struct call_party *party = call->party[i];

        if (party->partner < 0 && party->hub >= 0 && call->party[party->hub]->partner >= 0) {
            parked++;
            continue;
        }
        for (unsigned k = 0; k < party->line_count; k++) {
            if (party->line[k].sa && inner_find_sa(calls->inner, party->line[k].sa))
                out->sa[out->sa_count++] = party->line[k].sa;
        }
    }
    return parked;
}

void callexplain(const struct calls *calls, const struct call *call, uint64_t now_us,
                 struct callexplain *out)
{
    unsigned parked;

    *out = (struct callexplain){.cause = "answered"};
    parked = list_sas(calls, call, out);
    if (!call->answered) {
        explain_offered(calls, call, now_us, out);
        return;
    }
    if (out->sa_count == 0)
        explain_bare(call, out);
    explain_pending(call, now_us, out);
    explain_holds(call, out);
    if (parked > 0)
        say(out->text, "Of %u other branch%s of the fork the media leads nowhere, as it should. ",
            parked, parked > 1 ? "es" : "");
    for (size_t end = strlen(out->text); end > 0 && out->text[end - 1] == ' '; end--)
        out->text[end - 1] = '\0';
}
