#include "inner-relay/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Media that flows comes every 20 ms; the dmz-relay's word of it is a second old, and may be
 * late by half of one more.
 */
#define FLOW_US (UINT64_C(3) * 1000 * 1000)
/* Nobody's packet for so long: a listener that others use hears them more often. */
#define SILENCE_US (UINT64_C(30) * 1000 * 1000)

static const struct {
    const char *word;
    unsigned weight;
    const char *text, *advice;
} causes[EXPLAIN_COUNT] = {
#define X(name, word, weight, text, advice) {word, weight, text, advice},
    EXPLAIN_LIST(X)
#undef X
};

const char *explain_word(enum explain_cause cause)
{
    return causes[cause].word;
}

/* ------------------------------------------------------------ what is wrong */

/* Of a packet that the relay did not take from its sender. */
static enum explain_cause cause_in(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_STUN:
        return EXPLAIN_STUN;
    case VERDICT_DTLS:
        return EXPLAIN_DTLS;
    case VERDICT_ZRTP:
        return EXPLAIN_ZRTP;
    case VERDICT_WRONG_PORT:
        return EXPLAIN_WRONG_PORT;
    case VERDICT_TOO_BIG:
        return EXPLAIN_TOO_BIG;
    case VERDICT_NO_SA:
        return EXPLAIN_OTHER_SOURCE;
    case VERDICT_LEARN_LIMIT:
        return EXPLAIN_LEARN_LIMIT;
    case VERDICT_PLAIN_RTP:
        return EXPLAIN_PLAIN_RTP;
    case VERDICT_PLAIN_RTCP:
        return EXPLAIN_PLAIN_RTCP;
    case VERDICT_AUTH_FAIL:
        return EXPLAIN_WRONG_KEY;
    case VERDICT_REPLAY:
        return EXPLAIN_REPLAY;
    case VERDICT_KEY_EXPIRED:
        return EXPLAIN_KEY_EXPIRED;
    case VERDICT_SSRC_MISMATCH:
        return EXPLAIN_WRONG_SSRC;
    case VERDICT_RATE:
        return EXPLAIN_RATE;
    case VERDICT_TUNNEL_LATE:
    case VERDICT_TUNNEL_DOWN:
        return EXPLAIN_LATE;
    default:
        return EXPLAIN_MALFORMED;
    }
}

/* Of a packet that came through the tunnel and did not leave. */
static enum explain_cause cause_out(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_NO_DESTINATION:
        return EXPLAIN_NO_DESTINATION;
    case VERDICT_TOO_BIG:
        return EXPLAIN_TOO_BIG;
    case VERDICT_UNREACHABLE:
        return EXPLAIN_UNREACHABLE;
    case VERDICT_SOCKET_FULL:
        return EXPLAIN_SOCKET_FULL;
    default:
        return EXPLAIN_FAR_DROPS;
    }
}

static bool is_recent(uint64_t age_us)
{
    return age_us <= FLOW_US;
}

static bool flows(const struct explain_end *end)
{
    return is_recent(end->rtp_age_us);
}

/* Drops that go on beside packets that come through: half a conversation. */
static bool spoils(const struct explain_end *end)
{
    return is_recent(end->stray_age_us) &&
           (end->stray_verdict == VERDICT_RATE || end->stray_verdict == VERDICT_TOO_BIG);
}

/* Nothing comes, and nothing that comes is dropped. */
static enum explain_cause silence(const struct explain_direction *d)
{
    if (d->in.rtp_age_us != EXPLAIN_NEVER)
        return EXPLAIN_STOPPED;
    if (d->in.age_us != EXPLAIN_NEVER)
        return EXPLAIN_ONLY_RTCP;
    if (d->from_site)
        return EXPLAIN_OTHER_SITE;
    if (d->heard_known && d->heard_age_us > SILENCE_US)
        return EXPLAIN_LISTENER_SILENT;
    if (!d->in.known && !d->heard_known)
        return EXPLAIN_UNKNOWN;
    return EXPLAIN_NOTHING;
}

/*
 * A packet that was tried for several SAs and fits none: each of them has seen it, none counts it,
 * and it says nothing of most of them.
 */
static bool is_anybodys(const struct explain_direction *d)
{
    enum verdict verdict = d->in.stray_verdict;

    return d->shares_stray && d->in.verdicts[verdict] == 0 && verdict != VERDICT_NO_SA &&
           verdict != VERDICT_LEARN_LIMIT;
}

static enum explain_cause diagnose_in(const struct explain_direction *d)
{
    const struct explain_end *in = &d->in;

    if (flows(in))
        return spoils(in) ? cause_in(in->stray_verdict) : EXPLAIN_FLOWS;
    /* The last that was heard of the sender is what counts. */
    if (in->stray_age_us >= in->rtp_age_us)
        return silence(d);
    /* Who has sent SRTP waits for no answer of ICE: on hold it keeps the path open so. */
    if (in->stray_verdict == VERDICT_STUN && in->rtp_age_us != EXPLAIN_NEVER)
        return silence(d);
    if (is_anybodys(d))
        return in->age_us == EXPLAIN_NEVER ? EXPLAIN_NO_KEY_FITS : silence(d);
    /* Not all plain RTP looks plain, but plain RTCP does. */
    if (in->stray_verdict == VERDICT_AUTH_FAIL && in->verdicts[VERDICT_PLAIN_RTCP])
        return EXPLAIN_PLAIN_RTP;
    return cause_in(in->stray_verdict);
}

/* What keeps from leaving what was taken: other drops are of copies, or of what others made up. */
static bool is_in_the_way(const struct explain_end *out)
{
    switch (out->stray_verdict) {
    case VERDICT_NO_DESTINATION: /* until it was learned, which is for all packets after that */
        return out->stray_age_us <= out->rtp_age_us;
    case VERDICT_RATE:
    case VERDICT_TOO_BIG:
    case VERDICT_UNREACHABLE:
    case VERDICT_SOCKET_FULL:
        return true;
    default:
        return false;
    }
}

static bool is_hairpin(const struct explain_direction *d)
{
    return d->to_side == d->side;
}

/* The other relay, when packets come in; of a hairpin the one where they came in. */
static enum explain_cause diagnose_out(const struct explain_direction *d)
{
    const struct explain_end *in = &d->in, *out = &d->out;

    if (is_hairpin(d))
        return is_recent(out->stray_age_us) && is_in_the_way(out) ? cause_out(out->stray_verdict)
                                                                  : EXPLAIN_FLOWS;
    if (is_recent(out->stray_age_us) && (!flows(out) || is_in_the_way(out)))
        return cause_out(out->stray_verdict);
    if (flows(out))
        return EXPLAIN_FLOWS;
    if (!out->known)
        return EXPLAIN_UNKNOWN;
    return in->verdicts[VERDICT_TUNNEL_LATE] ? EXPLAIN_LATE : EXPLAIN_LOST;
}

static enum explain_cause diagnose(const struct explain_facts *facts,
                                   const struct explain_direction *d)
{
    enum explain_cause cause;

    /* What stays inside needs no dmz-relay. */
    if (!facts->up && !(is_hairpin(d) && d->side == SA_SIDE_INTERNAL))
        return is_hairpin(d) ? EXPLAIN_HAIRPIN_UNSEEN : EXPLAIN_TUNNEL_DOWN;
    if (d->refused[0])
        return EXPLAIN_REFUSED;
    cause = diagnose_in(d);
    return cause == EXPLAIN_FLOWS ? diagnose_out(d) : cause;
}

/* ------------------------------------------------------------ words for facts */

struct text {
    char *at;
    size_t left;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text->at, text->left, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    n = (size_t)n < text->left ? n : (int)text->left - 1;
    text->at += n;
    text->left -= (size_t)n;
}

static void say_addr(struct text *text, const struct addr *addr)
{
    char memory[ADDR_TEXT_SIZE];

    say(text, "%s", addr->family ? addr_format(addr, memory, sizeof(memory)) : "(not known yet)");
}

static void say_age(struct text *text, uint64_t age_us)
{
    uint64_t s = age_us / 1000000;

    if (age_us == EXPLAIN_NEVER)
        say(text, "never");
    else if (s < 10)
        say(text, "%" PRIu64 ".%" PRIu64 " s", s, age_us / 100000 % 10);
    else if (s < 120)
        say(text, "%" PRIu64 " s", s);
    else
        say(text, "%" PRIu64 " min", s / 60);
}

/* What a sentence is about. */
struct subject {
    const struct explain_facts *facts;
    const struct explain_direction *d;
    enum explain_cause cause;
};

static const char *relay_name(const struct subject *s, bool in)
{
    enum sa_side side = in ? s->d->side : s->d->to_side;

    return side == SA_SIDE_EXTERNAL ? "dmz-relay" : "inner-relay";
}

static const struct addr *source_of(const struct explain_direction *d)
{
    return d->bound.family ? &d->bound : &d->source;
}

/* "192.168.7.7:9000 or 198.51.100.10": where it was heard, else where it is expected. */
static void say_source(struct text *text, const struct subject *s)
{
    const struct explain_direction *d = s->d;
    bool hinted = !d->bound.family && d->policy != SOURCE_STRICT && d->hint.family &&
                  !addr_ip_equal(&d->hint, &d->source);
    char memory[ADDR_TEXT_SIZE];

    if (!hinted || source_of(d)->family)
        say_addr(text, source_of(d));
    if (hinted)
        say(text, "%s%s", d->source.family ? " or " : "",
            addr_format_ip(&d->hint, memory, sizeof(memory)));
}

static void say_destination(struct text *text, const struct subject *s)
{
    say_addr(text, &s->d->destination);
}

/* A packet's own source, where it was seen; else where the sender should be. */
static void say_stray(struct text *text, const struct subject *s)
{
    say_addr(text, s->d->in.stray.family ? &s->d->in.stray : source_of(s->d));
}

static void say_listener(struct text *text, const struct subject *s)
{
    if (s->d->listener.family)
        say_addr(text, &s->d->listener);
    else
        say(text, "its UDP ports");
}

static void say_in(struct text *text, const struct subject *s)
{
    say(text, "%s", relay_name(s, true));
}

static void say_out(struct text *text, const struct subject *s)
{
    say(text, "%s", relay_name(s, false));
}

/* Who is inside comes through no firewall of ours, and no hole in one would help. */
static void say_let_in(struct text *text, const struct subject *s)
{
    bool inside = s->d->side == SA_SIDE_INTERNAL;

    say(text, inside ? "Look at the sender's route to " : "Let UDP to ");
    say_listener(text, s);
    say(text,
        inside
            ? " and at the host firewalls of both: the sender's, and the inner-relay's for UDP to "
              "this port and the next (the internal firewall needs no rule); capture at the "
              "inner-relay"
            : " and to the next port through the external firewall; capture on both sides of it");
}

static void say_dmz(struct text *text, const struct subject *s)
{
    say(text, "%s", s->facts->dmz);
}

static void say_state(struct text *text, const struct subject *s)
{
    say(text, "%s", s->facts->state);
    if (s->facts->since_us == EXPLAIN_NEVER)
        return;
    say(text, " for ");
    say_age(text, s->facts->since_us);
}

static void say_error(struct text *text, const struct subject *s)
{
    if (s->facts->last_error && s->facts->last_error[0])
        say(text, ": %.160s", s->facts->last_error);
}

static void say_refused(struct text *text, const struct subject *s)
{
    say(text, "%s", s->d->refused);
}

static void say_policy(struct text *text, const struct subject *s)
{
    say(text, "%s", sa_source_policy_name(s->d->policy));
}

static void say_rate(struct text *text, const struct subject *s)
{
    say(text, "%" PRIu32, s->d->rate_kbit);
}

static void say_rtp_age(struct text *text, const struct subject *s)
{
    say_age(text, s->d->in.rtp_age_us);
}

static void say_ssrcs(struct text *text, const struct subject *s)
{
    for (unsigned i = 0; i < s->d->ssrc_count; i++)
        say(text, "%s0x%08" PRIx32, i ? ", " : "", s->d->ssrc[i]);
    if (s->d->ssrc_count == 0)
        say(text, "none");
}

/* The relay whose drops are the cause. */
static const struct explain_end *culprit(const struct subject *s)
{
    return diagnose_in(s->d) == EXPLAIN_FLOWS ? &s->d->out : &s->d->in;
}

static enum verdict verdict_of(const struct subject *s)
{
    return s->cause == EXPLAIN_LATE ? VERDICT_TUNNEL_LATE : culprit(s)->stray_verdict;
}

/* An SA that it was only tried for counts nothing. */
static void say_drops_of(struct text *text, const struct subject *s)
{
    const struct explain_end *end = s->cause == EXPLAIN_LATE ? &s->d->in : culprit(s);
    enum verdict verdict = verdict_of(s);

    if (end->verdicts[verdict])
        say(text, " (%" PRIu32 " dropped as %s)", end->verdicts[verdict], verdict_name(verdict));
}

static void say_out_verdict(struct text *text, const struct subject *s)
{
    say(text, "%s", verdict_text(s->d->out.stray_verdict));
}

static void say_form(struct text *text, const struct subject *s)
{
    say(text, "%s", s->d->prime ? "RTP'" : "SRTP");
}

/* What comes from there in another form finds no SA. */
static void say_no_form(struct text *text, const struct subject *s)
{
    if (s->d->prime)
        say(text, ", or RTP and not RTP'");
}

static const struct {
    const char *word;
    void (*say)(struct text *text, const struct subject *s);
} words[] = {
    {"source", say_source},
    {"destination", say_destination},
    {"stray", say_stray},
    {"listener", say_listener},
    {"in", say_in},
    {"out", say_out},
    {"let_in", say_let_in},
    {"dmz", say_dmz},
    {"state", say_state},
    {"error", say_error},
    {"policy", say_policy},
    {"refused", say_refused},
    {"rate", say_rate},
    {"rtp_age", say_rtp_age},
    {"ssrcs", say_ssrcs},
    {"drops", say_drops_of},
    {"out_verdict", say_out_verdict},
    {"form", say_form},
    {"no_form", say_no_form},
};

static void say_word(struct text *text, const char *word, size_t length, const struct subject *s)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) == length && strncmp(words[i].word, word, length) == 0)
            words[i].say(text, s);
    }
}

/* The sentence, with what is known in place of the words in braces. */
static void fill(char *out, const char *sentence, const struct subject *s)
{
    struct text text = {out, EXPLAIN_LINE_SIZE};

    out[0] = '\0';
    while (*sentence) {
        size_t plain = strcspn(sentence, "{"), word;

        say(&text, "%.*s", (int)plain, sentence);
        sentence += plain;
        if (!*sentence)
            break;
        word = strcspn(++sentence, "}");
        say_word(&text, sentence, word, s);
        sentence += word + 1;
    }
}

/* ------------------------------------------------------------ how far packets come */

static struct text next_line(struct explain_verdict *out)
{
    char *line = out->line[out->line_count++];

    line[0] = '\0';
    return (struct text){line, EXPLAIN_LINE_SIZE};
}

static void line_of_sender(struct explain_verdict *out, const struct subject *s)
{
    struct text text = next_line(out);

    say(&text, "sender %s ", s->d->side == SA_SIDE_EXTERNAL ? "outside," : "inside,");
    say_source(&text, s);
    if (s->d->bound.family && !addr_equal(&s->d->bound, &s->d->source)) {
        say(&text, " (signalled: ");
        say_addr(&text, &s->d->source);
        say(&text, ")");
    }
    say(&text, ", SSRC ");
    say_ssrcs(&text, s);
}

static void say_drops(struct text *text, const struct explain_end *end)
{
    unsigned said = 0;

    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        if (v != VERDICT_ACCEPTED && end->verdicts[v])
            say(text, "%s%s %" PRIu32, said++ ? ", " : ", dropped: ", verdict_name(v),
                end->verdicts[v]);
    }
}

static void say_last_stray(struct text *text, const struct explain_end *end)
{
    if (end->stray_age_us == EXPLAIN_NEVER)
        return;
    say(text, "; the last drop ");
    say_age(text, end->stray_age_us);
    say(text, " ago, %s", verdict_name(end->stray_verdict));
    if (!end->stray.family)
        return;
    say(text, ", %s ", end->stray_verdict == VERDICT_UNREACHABLE ? "to" : "from");
    say_addr(text, &end->stray);
}

static void line_of_end(struct explain_verdict *out, const struct subject *s, bool in)
{
    const struct explain_end *end = in ? &s->d->in : &s->d->out;
    struct text text = next_line(out);

    say(&text, "%s: ", relay_name(s, in));
    if (!end->known) {
        say(&text, "nothing reported yet");
        return;
    }
    say(&text, "%" PRIu64 " packets %s", end->packets, in ? "taken" : "sent on");
    if (end->packets > 0) {
        say(&text, ", the last one ");
        say_age(&text, end->age_us);
        say(&text, " ago");
    }
    say_drops(&text, end);
    say_last_stray(&text, end);
}

static void line_of_tunnel(struct explain_verdict *out, const struct subject *s)
{
    struct text text = next_line(out);

    say(&text, "tunnel to %s: ", s->facts->dmz);
    say_state(&text, s);
}

/* It is no fault that the other relay sees nothing. */
static void line_of_turn(struct explain_verdict *out, const struct subject *s)
{
    struct text text = next_line(out);

    say(&text, "not through the tunnel: the %s sends the packets out again on the %s side",
        relay_name(s, false), sa_side_name(s->d->to_side));
}

static void line_of_receiver(struct explain_verdict *out, const struct subject *s)
{
    struct text text = next_line(out);

    say(&text, "receiver %s ", s->d->to_side == SA_SIDE_EXTERNAL ? "outside," : "inside,");
    say_destination(&text, s);
}

static void explain_direction(const struct subject *s, struct explain_verdict *out)
{
    out->cause = s->cause;
    out->line_count = 0;
    fill(out->text, causes[s->cause].text, s);
    fill(out->advice, causes[s->cause].advice, s);
    line_of_sender(out, s);
    line_of_end(out, s, true);
    if (is_hairpin(s->d)) {
        line_of_turn(out, s);
    } else {
        line_of_tunnel(out, s);
        line_of_end(out, s, false);
    }
    line_of_receiver(out, s);
}

/* One direction flows and the other does not: what operators call one-way audio. */
static const char *tail_of(const struct explain_facts *facts, const struct explained *out)
{
    bool silent = out->direction[out->worst].cause != EXPLAIN_FLOWS;

    return facts->count == 2 && silent && out->direction[!out->worst].cause == EXPLAIN_FLOWS
               ? " The other direction flows."
               : "";
}

void explain(const struct explain_facts *facts, struct explained *out)
{
    struct text text = {out->text, sizeof(out->text)};

    out->worst = 0;
    for (unsigned i = 0; i < facts->count; i++) {
        struct subject s = {facts, &facts->direction[i], EXPLAIN_FLOWS};

        s.cause = diagnose(facts, s.d);
        explain_direction(&s, &out->direction[i]);
        if (causes[s.cause].weight > causes[out->direction[out->worst].cause].weight)
            out->worst = i;
    }
    say(&text, "%s%s", out->direction[out->worst].text, tail_of(facts, out));
}
