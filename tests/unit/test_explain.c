/* Facts in, the cause out: a call that is well, and one thing wrong with it in each row. */
#include "inner-relay/explain.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum { OUT, IN }; /* the two directions of the call: from outside, and from inside */

#define MS UINT64_C(1000)
#define S  (1000 * MS)

static struct explain_end flowing(void)
{
    struct explain_end end = {
        .known = true, .packets = 500, .age_us = 400 * MS, .rtp_age_us = 400 * MS};

    end.stray_age_us = EXPLAIN_NEVER;
    end.verdicts[VERDICT_ACCEPTED] = 500;
    return end;
}

static struct explain_end silent(void)
{
    struct explain_end end = {.known = true,
                              .age_us = EXPLAIN_NEVER,
                              .rtp_age_us = EXPLAIN_NEVER,
                              .stray_age_us = EXPLAIN_NEVER};

    return end;
}

static struct explain_direction direction(uint64_t id, enum sa_side side)
{
    bool outside = side == SA_SIDE_EXTERNAL;

    return (struct explain_direction){
        .id = id,
        .side = side,
        .to_side = sa_other_side(side),
        .policy = SOURCE_STRICT,
        .refused = "",
        .source = sample_addr(outside ? "198.51.100.7:40000" : "10.0.0.7:5004"),
        .destination = sample_addr(outside ? "10.0.0.7:5004" : "198.51.100.7:40000"),
        .rate_kbit = 64,
        .ssrc_count = 1,
        .ssrc = {outside ? 0x80000001 : 0x1234},
        .in = flowing(),
        .out = flowing(),
        .listener = sample_addr(outside ? "203.0.113.10:5004" : "10.0.0.1:5004"),
        .heard_known = true,
        .heard_age_us = 10 * MS};
}

static struct explain_facts well(void)
{
    return (struct explain_facts){
        .dmz = "east",
        .state = "up",
        .last_error = "",
        .up = true,
        .since_us = 200 * S,
        .count = 2,
        .direction = {direction(1, SA_SIDE_EXTERNAL), direction(2, SA_SIDE_INTERNAL)}};
}

/* Packets that the relay at that end dropped, and took none. */
static void drop(struct explain_end *end, enum verdict verdict, const char *from)
{
    *end = silent();
    end->verdicts[verdict] = 52;
    end->stray_verdict = verdict;
    end->stray_age_us = 100 * MS;
    end->stray = sample_addr(from);
}

/* Nothing comes, so nothing goes on either. */
static void mute(struct explain_direction *d)
{
    d->in = d->out = silent();
}

#define ROW(name)                                                                                  \
    static void name(struct explain_facts *f, struct explain_direction *out,                       \
                     struct explain_direction *in)
#define UNUSED                                                                                     \
    do {                                                                                           \
        (void)f;                                                                                   \
        (void)out;                                                                                 \
        (void)in;                                                                                  \
    } while (0)

ROW(nothing_wrong)
{
    UNUSED;
}

ROW(wrong_key)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.7:40000");
}

ROW(wrong_key_inside)
{
    UNUSED;
    mute(in);
    drop(&in->in, VERDICT_AUTH_FAIL, "10.0.0.7:5004");
}

/* Phones behind one NAT: somebody's key is wrong, but whose? */
static void anybodys(struct explain_end *end)
{
    drop(end, VERDICT_AUTH_FAIL, "198.51.100.7:41000");
    end->verdicts[VERDICT_AUTH_FAIL] = 0;
}

ROW(no_key_fits)
{
    UNUSED;
    mute(out);
    anybodys(&out->in);
    out->shares_stray = true;
}

ROW(only_its_key_does_not_fit)
{
    UNUSED;
    mute(out);
    anybodys(&out->in);
}

/* It is on hold, and what the others send is no news of it. */
ROW(others_key_does_not_fit)
{
    UNUSED;
    anybodys(&out->in);
    out->shares_stray = true;
    out->in.age_us = out->in.rtp_age_us = out->out.age_us = out->out.rtp_age_us = 20 * S;
}

/* It counts them: they are its own. */
ROW(its_own_among_many)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.7:40000");
    out->shares_stray = true;
}

/* A new key that the SA was not told of, in the middle of the call. */
ROW(key_changed)
{
    UNUSED;
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.7:40000");
    out->in.age_us = out->in.rtp_age_us = 5 * S;
    out->in.packets = out->in.verdicts[VERDICT_ACCEPTED] = 1000;
    out->out.rtp_age_us = out->out.age_us = 5 * S;
}

ROW(somebody_forges)
{
    UNUSED;
    out->in.verdicts[VERDICT_AUTH_FAIL] = 5000;
    out->in.stray_verdict = VERDICT_AUTH_FAIL;
    out->in.stray_age_us = 1 * MS;
}

ROW(nothing_sent)
{
    UNUSED;
    mute(out);
}

ROW(nothing_from_a_phone_behind_nat)
{
    UNUSED;
    mute(out);
    out->policy = SOURCE_HINTED;
    out->source = sample_addr("192.168.7.7:9000");
    out->hint = sample_addr("198.51.100.10:5060");
}

ROW(nothing_from_a_hint)
{
    nothing_from_a_phone_behind_nat(f, out, in);
    out->source.family = 0;
}

/* Nobody's packets from there are tried for it, and counted nowhere. */
ROW(tried_for_nothing)
{
    nothing_from_a_phone_behind_nat(f, out, in);
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.10:9000");
    out->in.verdicts[VERDICT_AUTH_FAIL] = 0;
}

ROW(nothing_sent_inside)
{
    UNUSED;
    mute(in);
}

ROW(both_silent)
{
    UNUSED;
    mute(out);
    mute(in);
}

ROW(stopped)
{
    UNUSED;
    out->in.age_us = out->in.rtp_age_us = out->out.age_us = out->out.rtp_age_us = 14 * S;
}

ROW(reports_only)
{
    UNUSED;
    out->in.rtp_age_us = EXPLAIN_NEVER;
    out->out.rtp_age_us = EXPLAIN_NEVER;
}

ROW(outer_firewall)
{
    UNUSED;
    mute(out);
    out->heard_age_us = EXPLAIN_NEVER;
}

ROW(rtp_not_prime)
{
    UNUSED;
    mute(in);
    drop(&in->in, VERDICT_MALFORMED, "10.0.0.7:5004");
    in->prime = true;
}

ROW(no_prime)
{
    UNUSED;
    mute(out);
    out->prime = true;
}

/* No firewall is on the way between two sites. */
ROW(other_site)
{
    UNUSED;
    mute(out);
    out->heard_age_us = EXPLAIN_NEVER;
    out->from_site = true;
}

ROW(inner_firewall)
{
    UNUSED;
    mute(in);
    in->heard_age_us = 600 * S;
}

ROW(moved)
{
    UNUSED;
    drop(&out->in, VERDICT_NO_SA, "198.51.100.7:61234");
    out->in.verdicts[VERDICT_NO_SA] = 0;
    out->in.age_us = out->in.rtp_age_us = 8 * S;
    out->out.age_us = out->out.rtp_age_us = 8 * S;
}

ROW(tunnel_down)
{
    UNUSED;
    f->up = false;
    f->state = "connecting";
    f->since_us = 12 * S;
    f->last_error = "connection refused";
    mute(out);
    drop(&in->in, VERDICT_TUNNEL_DOWN, "");
}

ROW(refused)
{
    UNUSED;
    out->refused = "192.0.2.1 is no [peer] of this dmz-relay";
    mute(out);
}

ROW(refused_return)
{
    UNUSED;
    in->refused = "the dmz-relay has no listener of this name and family";
    drop(&in->out, VERDICT_NO_SA, "");
    mute(out);
}

ROW(wrong_ssrc)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_SSRC_MISMATCH, "198.51.100.7:40000");
}

ROW(unreachable)
{
    UNUSED;
    out->out.stray_verdict = VERDICT_UNREACHABLE;
    out->out.stray_age_us = 200 * MS;
    out->out.stray = out->destination;
    out->out.verdicts[VERDICT_UNREACHABLE] = 3;
}

ROW(plain)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_PLAIN_RTP, "198.51.100.7:40000");
}

ROW(plain_opus)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.7:40000");
    out->in.verdicts[VERDICT_PLAIN_RTCP] = 2;
}

ROW(plain_rtcp)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_PLAIN_RTCP, "198.51.100.7:40001");
}

ROW(wrong_port)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_WRONG_PORT, "198.51.100.7:40000");
}

ROW(dtls)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_DTLS, "198.51.100.7:40000");
}

ROW(stun)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_STUN, "198.51.100.7:40000");
}

/* It keeps the path open by it. */
ROW(on_hold_with_stun)
{
    stopped(f, out, in);
    out->in.stray_verdict = VERDICT_STUN;
    out->in.stray_age_us = 2 * S;
    out->in.stray = sample_addr("198.51.100.7:40000");
    out->in.verdicts[VERDICT_STUN] = 3;
}

ROW(zrtp)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_ZRTP, "198.51.100.7:40000");
}

ROW(too_fast)
{
    UNUSED;
    out->in.stray_verdict = VERDICT_RATE;
    out->in.stray_age_us = 300 * MS;
    out->in.verdicts[VERDICT_RATE] = 77;
}

ROW(no_destination)
{
    UNUSED;
    mute(out);
    in->destination.family = 0;
    drop(&in->out, VERDICT_NO_DESTINATION, "");
}

/* What keeps the outside from being learned is the cause. */
ROW(no_destination_for_a_reason)
{
    no_destination(f, out, in);
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.7:40000");
}

ROW(replayed)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_REPLAY, "198.51.100.7:40000");
    out->in.age_us = out->in.rtp_age_us = 60 * S;
}

/* Copies beside the real packets are nobody's trouble. */
ROW(copies)
{
    UNUSED;
    out->in.stray_verdict = VERDICT_REPLAY;
    out->in.stray_age_us = 10 * MS;
    out->in.verdicts[VERDICT_REPLAY] = 500;
}

ROW(key_expired)
{
    UNUSED;
    drop(&out->in, VERDICT_KEY_EXPIRED, "198.51.100.7:40000");
    out->in.age_us = out->in.rtp_age_us = 4 * S;
    mute(out);
    drop(&out->in, VERDICT_KEY_EXPIRED, "198.51.100.7:40000");
}

ROW(too_many_strangers)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_LEARN_LIMIT, "198.51.100.7:40000");
}

ROW(noise)
{
    UNUSED;
    mute(out);
    drop(&out->in, VERDICT_MALFORMED, "198.51.100.7:40000");
}

ROW(big_packets)
{
    UNUSED;
    in->out.stray_verdict = VERDICT_TOO_BIG;
    in->out.stray_age_us = 300 * MS;
    in->out.verdicts[VERDICT_TOO_BIG] = 9;
}

ROW(late)
{
    UNUSED;
    out->out = silent();
    out->in.verdicts[VERDICT_TUNNEL_LATE] = 400;
}

ROW(lost_between)
{
    UNUSED;
    out->out = silent();
}

/* The first packets came before the destination was learned, and the call is well since then. */
ROW(destination_learned)
{
    UNUSED;
    in->out.stray_verdict = VERDICT_NO_DESTINATION;
    in->out.stray_age_us = 2 * S;
    in->out.verdicts[VERDICT_NO_DESTINATION] = 3;
}

/* The originals came, too. */
ROW(copies_on_the_way)
{
    UNUSED;
    out->out.stray_verdict = VERDICT_REPLAY;
    out->out.stray_age_us = 100 * MS;
    out->out.verdicts[VERDICT_REPLAY] = 200;
}

ROW(altered_on_the_way)
{
    UNUSED;
    drop(&out->out, VERDICT_AUTH_FAIL, "");
}

ROW(full)
{
    UNUSED;
    drop(&in->out, VERDICT_SOCKET_FULL, "");
}

ROW(no_report)
{
    UNUSED;
    mute(out);
    out->in.known = out->heard_known = false;
}

ROW(one_direction_only)
{
    UNUSED;
    f->count = 1;
    mute(out);
}

/* Both directions stay on one side: what its relay sees is all that there is to see. */
static void turn(struct explain_direction *out, struct explain_direction *in, enum sa_side side)
{
    bool outside = side == SA_SIDE_EXTERNAL;

    *out = direction(1, side);
    *in = direction(2, side);
    out->to_side = in->to_side = side;
    out->destination = in->source = sample_addr(outside ? "198.51.100.8:40000" : "10.0.0.8:5004");
    in->destination = out->source;
    out->out = out->in;
    in->out = in->in;
}

ROW(hairpin)
{
    UNUSED;
    turn(out, in, SA_SIDE_EXTERNAL);
}

ROW(hairpin_inside)
{
    turn(out, in, SA_SIDE_INTERNAL);
    f->up = false;
}

ROW(hairpin_without_tunnel)
{
    turn(out, in, SA_SIDE_EXTERNAL);
    tunnel_down(f, out, in);
}

ROW(hairpin_unreachable)
{
    UNUSED;
    turn(out, in, SA_SIDE_EXTERNAL);
    out->in.stray_verdict = VERDICT_UNREACHABLE;
    out->in.stray_age_us = 20 * MS;
    out->in.verdicts[VERDICT_UNREACHABLE] = 52;
    out->out = out->in;
}

/* Until the other side was heard; then all goes. */
ROW(hairpin_led_nowhere)
{
    UNUSED;
    turn(out, in, SA_SIDE_EXTERNAL);
    out->in.stray_verdict = VERDICT_NO_DESTINATION;
    out->in.stray_age_us = 600 * MS;
    out->in.verdicts[VERDICT_NO_DESTINATION] = 52;
    out->out = out->in;
}

ROW(hairpin_leads_nowhere)
{
    hairpin_led_nowhere(f, out, in);
    out->in.stray_age_us = out->in.rtp_age_us;
    out->out = out->in;
    mute(in);
}

ROW(hairpin_wrong_key)
{
    UNUSED;
    turn(out, in, SA_SIDE_EXTERNAL);
    drop(&out->in, VERDICT_AUTH_FAIL, "198.51.100.7:40000");
    out->out = out->in;
}

static const struct {
    const char *name;
    void (*spoil)(struct explain_facts *f, struct explain_direction *out,
                  struct explain_direction *in);
    enum explain_cause cause; /* of the whole */
    unsigned worst;
    const char *text; /* a part of the first line */
} rows[] = {
    {"nothing wrong", nothing_wrong, EXPLAIN_FLOWS, OUT, "flow to 10.0.0.7:5004."},
    {"wrong key", wrong_key, EXPLAIN_WRONG_KEY, OUT,
     "sender 198.51.100.7:40000 come to the dmz-relay, but do not verify: its key is another one "
     "than the SA's (52 dropped as auth-fail). The other direction flows."},
    {"wrong key inside", wrong_key_inside, EXPLAIN_WRONG_KEY, IN,
     "10.0.0.7:5004 come to the inner-relay"},
    {"no key fits", no_key_fits, EXPLAIN_NO_KEY_FITS, OUT,
     "from the sender 198.51.100.7:40000. Packets from 198.51.100.7:41000 fit"},
    {"only its key does not fit", only_its_key_does_not_fit, EXPLAIN_WRONG_KEY, OUT,
     "of the sender 198.51.100.7:41000 come"},
    {"another's key does not fit", others_key_does_not_fit, EXPLAIN_STOPPED, OUT,
     "has sent nothing for 20 s."},
    {"its own among many", its_own_among_many, EXPLAIN_WRONG_KEY, OUT, "its key is another one"},
    {"key changed", key_changed, EXPLAIN_WRONG_KEY, OUT, "its key is another one"},
    {"somebody forges", somebody_forges, EXPLAIN_FLOWS, OUT, "flow to"},
    {"nothing sent", nothing_sent, EXPLAIN_NOTHING, OUT,
     "Nothing comes from the sender 198.51.100.7:40000, though the dmz-relay hears others at "
     "203.0.113.10:5004"},
    {"nothing from a phone behind NAT", nothing_from_a_phone_behind_nat, EXPLAIN_NOTHING, OUT,
     "from the sender 192.168.7.7:9000 or 198.51.100.10, though"},
    {"nothing from a hint", nothing_from_a_hint, EXPLAIN_NOTHING, OUT,
     "from the sender 198.51.100.10, though"},
    {"tried for nothing", tried_for_nothing, EXPLAIN_WRONG_KEY, OUT,
     "Packets of the sender 198.51.100.10:9000 come to the dmz-relay, but do not verify: its key "
     "is "
     "another one than the SA's. The other"},
    {"nothing sent inside", nothing_sent_inside, EXPLAIN_NOTHING, IN,
     "Nothing comes from the sender 10.0.0.7:5004"},
    {"both silent", both_silent, EXPLAIN_NOTHING, OUT, "or not to there."},
    {"stopped", stopped, EXPLAIN_STOPPED, OUT, "has sent nothing for 14 s."},
    {"RTCP only", reports_only, EXPLAIN_ONLY_RTCP, OUT, "comes RTCP, but no RTP"},
    {"outer firewall", outer_firewall, EXPLAIN_LISTENER_SILENT, OUT,
     "Nothing of anybody reaches the dmz-relay at 203.0.113.10:5004: a firewall"},
    {"other site", other_site, EXPLAIN_OTHER_SITE, OUT,
     "from the other site of the dmz-relay east, by way of 198.51.100.7:40000:"},
    {"inner firewall", inner_firewall, EXPLAIN_LISTENER_SILENT, IN,
     "reaches the inner-relay at 10.0.0.1:5004"},
    {"moved", moved, EXPLAIN_OTHER_SOURCE, OUT,
     "come from 198.51.100.7:61234, where it may not send from: its source is "
     "198.51.100.7:40000, source-policy strict."},
    {"tunnel down", tunnel_down, EXPLAIN_TUNNEL_DOWN, OUT,
     "The tunnel to the dmz-relay east is down (connecting for 12 s): connection refused."},
    {"peer not configured", refused, EXPLAIN_REFUSED, OUT,
     "refuses this SA: 192.0.2.1 is no [peer] of this dmz-relay."},
    {"the return is refused", refused_return, EXPLAIN_REFUSED, IN, "has no listener"},
    {"wrong SSRC", wrong_ssrc, EXPLAIN_WRONG_SSRC, OUT, "the SA has 0x80000001."},
    {"receiver unreachable", unreachable, EXPLAIN_UNREACHABLE, OUT,
     "The inner-relay cannot reach the receiver 10.0.0.7:5004"},
    {"plain RTP", plain, EXPLAIN_PLAIN_RTP, OUT, "sends plain RTP where SRTP is expected"},
    {"plain RTP of another codec", plain_opus, EXPLAIN_PLAIN_RTP, OUT, "sends plain RTP"},
    {"plain RTCP", plain_rtcp, EXPLAIN_PLAIN_RTCP, OUT, "sends plain RTCP"},
    {"wrong port", wrong_port, EXPLAIN_WRONG_PORT, OUT, "sends to the wrong port of the dmz-relay"},
    {"DTLS", dtls, EXPLAIN_DTLS, OUT, "sends DTLS"},
    {"STUN", stun, EXPLAIN_STUN, OUT, "sends STUN"},
    {"ZRTP", zrtp, EXPLAIN_ZRTP, OUT, "sends ZRTP"},
    {"rate", too_fast, EXPLAIN_RATE, OUT, "more than its SA may, 64 kbit/s"},
    {"no destination", no_destination, EXPLAIN_NO_DESTINATION, IN,
     "Where to send what comes from 10.0.0.7:5004 is not known"},
    {"no destination, and why", no_destination_for_a_reason, EXPLAIN_WRONG_KEY, OUT,
     "do not verify"},
    {"replayed", replayed, EXPLAIN_REPLAY, OUT, "are old ones"},
    {"destination learned", destination_learned, EXPLAIN_FLOWS, OUT, "flow to"},
    {"copies", copies, EXPLAIN_FLOWS, OUT, "flow"},
    {"key expired", key_expired, EXPLAIN_KEY_EXPIRED, OUT, "is used up"},
    {"learn-limit", too_many_strangers, EXPLAIN_LEARN_LIMIT, OUT, "are not tried any more"},
    {"noise", noise, EXPLAIN_MALFORMED, OUT, "is neither SRTP nor the RTCP"},
    {"RTP and not RTP'", rtp_not_prime, EXPLAIN_MALFORMED, IN, "is neither RTP' nor the RTCP"},
    {"no RTP'", no_prime, EXPLAIN_NOTHING, OUT, "or not to there, or RTP and not RTP'."},
    {"too big", big_packets, EXPLAIN_TOO_BIG, IN, "too big"},
    {"late", late, EXPLAIN_LATE, OUT, "(400 dropped as tunnel-late)"},
    {"lost", lost_between, EXPLAIN_LOST, OUT, "do not come to the inner-relay"},
    {"on hold, with STUN", on_hold_with_stun, EXPLAIN_STOPPED, OUT, "has sent nothing for 14 s."},
    {"copies", copies_on_the_way, EXPLAIN_FLOWS, OUT, "flow to"},
    {"altered", altered_on_the_way, EXPLAIN_FAR_DROPS, OUT,
     "the inner-relay drops them: the authentication tag is wrong"},
    {"send buffer", full, EXPLAIN_SOCKET_FULL, IN, "its send buffer is full"},
    {"no report", no_report, EXPLAIN_UNKNOWN, OUT, "has reported nothing"},
    {"hairpin", hairpin, EXPLAIN_FLOWS, OUT, "flow to 198.51.100.8:40000."},
    {"hairpin inside, without a tunnel", hairpin_inside, EXPLAIN_FLOWS, OUT,
     "flow to 10.0.0.8:5004."},
    {"hairpin without a tunnel", hairpin_without_tunnel, EXPLAIN_HAIRPIN_UNSEEN, OUT,
     "is down (connecting for 12 s): connection refused."},
    {"hairpin to nobody", hairpin_unreachable, EXPLAIN_UNREACHABLE, OUT,
     "The dmz-relay cannot reach the receiver 198.51.100.8:40000"},
    {"hairpin led nowhere", hairpin_led_nowhere, EXPLAIN_FLOWS, OUT, "flow to"},
    {"hairpin leads nowhere", hairpin_leads_nowhere, EXPLAIN_NO_DESTINATION, OUT,
     "Where to send what comes from 198.51.100.7:40000 is not known"},
    {"hairpin, wrong key", hairpin_wrong_key, EXPLAIN_WRONG_KEY, OUT, "come to the dmz-relay"},
    {"one SA alone", one_direction_only, EXPLAIN_NOTHING, OUT, "Nothing comes from the sender"},
};

START_TEST(test_cause)
{
    struct explain_facts facts = well();
    struct explained out;

    rows[_i].spoil(&facts, &facts.direction[OUT], &facts.direction[IN]);
    explain(&facts, &out);
    ck_assert_msg(out.direction[out.worst].cause == rows[_i].cause, "%s: %s: %s", rows[_i].name,
                  explain_word(out.direction[out.worst].cause), out.text);
    ck_assert_uint_eq(out.worst, rows[_i].worst);
    ck_assert_msg(strstr(out.text, rows[_i].text) != NULL, "%s: %s", rows[_i].name, out.text);
}
END_TEST

/* What to check first, where that depends on the side. */
static const struct {
    void (*spoil)(struct explain_facts *f, struct explain_direction *out,
                  struct explain_direction *in);
    const char *advice;
} advices[] = {
    {outer_firewall,
     "Let UDP to 203.0.113.10:5004 and to the next port through the external firewall; capture on "
     "both sides of it."},
    {inner_firewall,
     "Look at the sender's route to 10.0.0.1:5004 and at the host firewalls of both: the "
     "sender's, and the inner-relay's for UDP to this port and the next (the internal firewall "
     "needs no rule); capture at the inner-relay."},
};

START_TEST(test_advice)
{
    struct explain_facts facts = well();
    struct explained out;

    advices[_i].spoil(&facts, &facts.direction[OUT], &facts.direction[IN]);
    explain(&facts, &out);
    ck_assert_str_eq(out.direction[out.worst].advice, advices[_i].advice);
}
END_TEST

/* No word in braces is left, nothing is cut, and whoever has trouble is told what to check. */
START_TEST(test_sentences)
{
    struct explain_facts facts = well();
    struct explained out;

    rows[_i].spoil(&facts, &facts.direction[OUT], &facts.direction[IN]);
    explain(&facts, &out);
    for (unsigned i = 0; i < facts.count; i++) {
        const struct explain_verdict *verdict = &out.direction[i];

        ck_assert_ptr_null(strpbrk(verdict->text, "{}"));
        ck_assert_ptr_null(strpbrk(verdict->advice, "{}"));
        ck_assert_ptr_null(strstr(verdict->text, "not known yet"));
        ck_assert_int_eq(verdict->text[strlen(verdict->text) - 1], '.');
        ck_assert_uint_lt(strlen(verdict->text), EXPLAIN_LINE_SIZE - 40);
        ck_assert_uint_lt(strlen(verdict->advice), EXPLAIN_LINE_SIZE - 40);
        ck_assert_int_eq(verdict->advice[0] != '\0', verdict->cause != EXPLAIN_FLOWS);
        ck_assert_uint_eq(verdict->line_count,
                          facts.direction[i].side == facts.direction[i].to_side ? 4 : 5);
    }
}
END_TEST

START_TEST(test_every_cause_has_a_row)
{
    for (enum explain_cause cause = 0; cause < EXPLAIN_COUNT; cause++) {
        bool found = false;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            found = found || rows[i].cause == cause;
        ck_assert_msg(found, "%s", explain_word(cause));
    }
}
END_TEST

START_TEST(test_lines)
{
    static const char *const expected[] = {
        "sender outside, 198.51.100.9:7 (signalled: 198.51.100.7:40000), SSRC 0x80000001",
        ("dmz-relay: 1000 packets taken, the last one 5.0 s ago, dropped: auth-fail 52; the last "
         "drop 0.1 s ago, auth-fail, from 198.51.100.7:40000"),
        "tunnel to east: up for 3 min",
        "inner-relay: 500 packets sent on, the last one 5.0 s ago",
        "receiver inside, 10.0.0.7:5004",
    };
    struct explain_facts facts = well();
    struct explained out;

    key_changed(&facts, &facts.direction[OUT], &facts.direction[IN]);
    facts.direction[OUT].bound = sample_addr("198.51.100.9:7");
    explain(&facts, &out);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_str_eq(out.direction[OUT].line[i], expected[i]);
}
END_TEST

/* The longest of everything is cut, and no more. */
START_TEST(test_long_texts)
{
    struct explain_facts facts = well();
    struct explain_direction *d = &facts.direction[OUT];
    struct explained out;
    char refused[SA_REFUSED_SIZE], name[NAME_SIZE], error[192];

    memset(refused, 'r', sizeof(refused) - 1);
    memset(name, 'n', sizeof(name) - 1);
    memset(error, 'e', sizeof(error) - 1);
    refused[sizeof(refused) - 1] = name[sizeof(name) - 1] = error[sizeof(error) - 1] = '\0';
    facts.dmz = name;
    facts.last_error = error;
    d->refused = refused;
    d->source = d->destination = d->listener =
        sample_addr("[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
    d->ssrc_count = SA_SSRC_MAX;
    d->in.packets = UINT64_MAX;
    for (unsigned v = 0; v < VERDICT_COUNT; v++)
        d->in.verdicts[v] = d->out.verdicts[v] = UINT32_MAX;
    for (int up = 0; up < 2; up++) {
        facts.up = up;
        explain(&facts, &out);
        ck_assert_uint_lt(strlen(out.text), sizeof(out.text));
        ck_assert_int_eq(out.direction[OUT].cause, up ? EXPLAIN_REFUSED : EXPLAIN_TUNNEL_DOWN);
        ck_assert_ptr_nonnull(strstr(out.text, name));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *tc = tcase_create("explain");
    int count = sizeof(rows) / sizeof(rows[0]);

    tcase_add_loop_test(tc, test_cause, 0, count);
    tcase_add_loop_test(tc, test_advice, 0, sizeof(advices) / sizeof(advices[0]));
    tcase_add_loop_test(tc, test_sentences, 0, count);
    tcase_add_test(tc, test_every_cause_has_a_row);
    tcase_add_test(tc, test_lines);
    tcase_add_test(tc, test_long_texts);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
