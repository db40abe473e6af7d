#include "common/carrier/choice.h"

#include <string.h>

enum {
    /* A silence is known to be one after this, an RTT, one more of these, and the way: in all less
     * than 200 ms where the RTT is 40. */
    PROBE_INTERVAL_US = 20 * 1000,
    SILENCE_LEAST_US = 50 * 1000, /* over the RTT */
    SILENCE_MOST_US = 100 * 1000,
    /* Proved: so many reports, and for so long, and not in longer than that. */
    PROVED_REPORTS = 8,
    PROVED_US = 200 * 1000,
    HOLE_REPORTS = 2, /* a hole is left after so many */
    PROVING_MOST_US = 2 * 1000 * 1000,
    /* In doubt for longer: it has failed. Well again: so many reports in a row. */
    DOUBT_MOST_US = 1000 * 1000,
    WELL_REPORTS = 8,
    /* Nobody has looked for so long whether the carrier lives. */
    RESUME_US = 1000 * 1000,
    RETRY_LEAST_US = 1000 * 1000,
    RETRY_MOST_US = 60 * 1000 * 1000,
    RETRY_USELESS_US = 600 * 1000 * 1000,
    /* After so long on the carrier failures of before are forgotten. */
    STEADY_US = 60 * 1000 * 1000,
    /* So many segments were lost, and nothing came before them. */
    HELD_BACK_LOST = 10,
    /* Raw segments that are lost are lost for good. A lost PROBE weighs as many as are to come for
     * it; a silence, till it is one, must not suffice. */
    LOSS_WEIGHT = 10,
    LOSSES_MOST = 24 * LOSS_WEIGHT,
};

const char *choice_way_name(const struct choice *choice)
{
    static const char *const names[CHOICE_STATES] = {"stream", "both", "carrier", "both"};

    return names[choice->state];
}

const char *choice_why_text(const struct choice *choice)
{
    static const char *const texts[CHOICE_WHYS] = {
#define X(name, text) text,
        CHOICE_WHY_LIST(X)
#undef X
    };

    return texts[choice->why];
}

const char *choice_count_name(enum choice_count which)
{
    static const char *const names[CHOICE_COUNTS] = {
#define X(name, word, text) word,
        CHOICE_COUNT_LIST(X)
#undef X
    };

    return names[which];
}

/* The only one that changes the state. */
static void enter(struct choice *choice, enum choice_state state, enum choice_why why,
                  uint64_t now_us)
{
    choice->state = state;
    choice->why = why;
    choice->state_us = now_us;
    choice->first = choice->next;
    choice->good = 0;
}

void choice_init(struct choice *choice)
{
    memset(choice, 0, sizeof(*choice));
    enter(choice, CHOICE_STREAM, CHOICE_NO_CONNECTION_, 0);
}

void choice_open(struct choice *choice, bool holes, uint64_t now_us)
{
    choice->open = true;
    choice->holes = holes;
    choice->heard = 0;
    choice->rtt_us = choice->deviation_us = 0;
    choice->reported = choice->next;
    choice->packet_us = 0;
    choice->due_us = 0;
    choice->overtook = choice->lost = choice->lost_now = 0;
    choice->owed = choice->losses = 0;
    enter(choice, CHOICE_STREAM, CHOICE_IDLE_, now_us);
}

/* It backs off where it does not last, however that ends. */
static void put_off(struct choice *choice, uint64_t now_us)
{
    uint64_t wait_us = RETRY_LEAST_US;

    for (unsigned i = 0; i < choice->failures && wait_us < RETRY_MOST_US; i++)
        wait_us *= 2;
    choice->failures++;
    choice->retry_us = now_us + (wait_us < RETRY_MOST_US ? wait_us : RETRY_MOST_US);
}

static void fall(struct choice *choice, enum choice_why why, uint64_t now_us)
{
    choice->counts[CHOICE_COUNT_FALLS]++;
    put_off(choice, now_us);
    enter(choice, CHOICE_STREAM, why, now_us);
}

void choice_close(struct choice *choice, uint64_t now_us)
{
    choice->open = false;
    if (choice->state != CHOICE_STREAM)
        fall(choice, CHOICE_NO_CONNECTION_, now_us);
    else
        enter(choice, CHOICE_STREAM, CHOICE_NO_CONNECTION_, now_us);
}

void choice_path(struct choice *choice, bool gains, uint64_t lost)
{
    choice->gains = gains;
    choice->lost_now = lost;
}

/* ---------------------------------------------------------------- loss */

static uint64_t bit_of(uint32_t number)
{
    return UINT64_C(1) << number % CHOICE_RING;
}

static void note_sent(struct choice *choice, uint32_t number)
{
    if (choice->owed & bit_of(number))
        choice->losses += LOSS_WEIGHT;
    choice->owed &= ~bit_of(number);
    if (choice->holes && choice->state == CHOICE_CARRIER)
        choice->owed |= bit_of(number);
}

/* However late. */
static void note_came(struct choice *choice, uint32_t number)
{
    if (!(choice->owed & bit_of(number)))
        return;
    choice->owed &= ~bit_of(number);
    choice->losses -= choice->losses > 0;
}

static bool is_lossy(const struct choice *choice)
{
    return choice->losses > LOSSES_MOST &&
           (choice->state == CHOICE_CARRIER || choice->state == CHOICE_DOUBTING);
}

/* ---------------------------------------------------------------- reports */

static void note_rtt(struct choice *choice, uint32_t rtt_us)
{
    uint32_t away = rtt_us > choice->rtt_us ? rtt_us - choice->rtt_us : choice->rtt_us - rtt_us;

    if (choice->rtt_us == 0) {
        choice->rtt_us = rtt_us > 0 ? rtt_us : 1;
        choice->deviation_us = rtt_us / 2;
        return;
    }
    choice->deviation_us = (3 * choice->deviation_us + away) / 4;
    choice->rtt_us = (7 * choice->rtt_us + rtt_us) / 8;
}

static uint64_t bound_of(const struct choice *choice)
{
    uint64_t over_us = 4 * (uint64_t)choice->deviation_us;

    if (over_us < SILENCE_LEAST_US)
        over_us = SILENCE_LEAST_US;
    if (over_us > SILENCE_MOST_US)
        over_us = SILENCE_MOST_US;
    return choice->rtt_us + over_us;
}

/* The oldest PROBE that may still be reported, or taken, has been out for too long. */
static bool is_silent(const struct choice *choice, uint64_t now_us)
{
    uint64_t bound_us = bound_of(choice);

    if (choice->due_us > 0 && now_us - choice->due_us > bound_us)
        return true;
    return choice->next != choice->reported &&
           now_us - choice->sent_us[choice->reported % CHOICE_RING] > bound_us;
}

/* Segments were lost, and none came before those that were sent again. */
static bool is_held_back(const struct choice *choice, const struct choice_report *report)
{
    return choice->lost_now - choice->lost >= HELD_BACK_LOST &&
           report->overtook == choice->overtook;
}

static void useless(struct choice *choice, enum choice_why why, uint64_t now_us)
{
    enter(choice, CHOICE_STREAM, why, now_us);
    choice->retry_us = now_us + RETRY_USELESS_US;
}

static void move(struct choice *choice, const struct choice_report *report, uint64_t now_us)
{
    choice->counts[CHOICE_COUNT_MOVES]++;
    choice->overtook = report->overtook;
    choice->lost = choice->lost_now;
    choice->owed = choice->losses = 0;
    enter(choice, CHOICE_CARRIER, CHOICE_PROVED_, now_us);
}

static bool is_proved(const struct choice *choice, const struct choice_report *report,
                      uint64_t now_us)
{
    if (choice->holes && (!choice->holed || report->overtook <= choice->hole))
        return false;
    return !is_silent(choice, now_us) && choice->good >= PROVED_REPORTS &&
           now_us - choice->state_us >= PROVED_US;
}

bool choice_wants_hole(const struct choice *choice)
{
    return choice->holes && !choice->holed && choice->state == CHOICE_PROBING &&
           choice->good >= HOLE_REPORTS;
}

void choice_left_hole(struct choice *choice)
{
    choice->holed = true;
    choice->hole = choice->heard;
}

static void judge(struct choice *choice, const struct choice_report *report, uint64_t now_us)
{
    bool well = !is_silent(choice, now_us);

    switch (choice->state) {
    case CHOICE_PROBING:
        if (!report->early)
            useless(choice, CHOICE_IN_ORDER_, now_us);
        else if (is_proved(choice, report, now_us))
            move(choice, report, now_us);
        break;
    case CHOICE_DOUBTING:
        if (!well || (choice->good < WELL_REPORTS && choice->why != CHOICE_RESUMED_))
            break;
        choice->lost = choice->lost_now; /* what a silence loses says nothing of holes */
        enter(choice, CHOICE_CARRIER, CHOICE_PROVED_, now_us);
        break;
    case CHOICE_CARRIER:
        if (!report->early)
            useless(choice, CHOICE_IN_ORDER_, now_us);
        else if (is_held_back(choice, report))
            useless(choice, CHOICE_HELD_BACK_, now_us);
        break;
    default:
        break;
    }
}

bool choice_reported(struct choice *choice, const struct choice_report *report, uint64_t now_us)
{
    uint32_t age = choice->next - report->number; /* 1: the newest */
    uint32_t out = choice->next - choice->reported;

    if (age == 0 || age > choice->next)
        return false;
    choice->counts[CHOICE_COUNT_REPORTS]++;
    choice->heard = report->overtook > choice->heard ? report->overtook : choice->heard;
    if (age <= CHOICE_RING)
        note_came(choice, report->number);
    if (age > CHOICE_RING || age > out)
        return true; /* a later one has come already */
    note_rtt(choice, (uint32_t)(now_us - choice->sent_us[report->number % CHOICE_RING]));
    choice->reported = report->number + 1;
    if (choice->next - choice->first >= age)
        choice->good++;
    /* What was lost is of the past as soon as something came before it. */
    if (choice->state == CHOICE_CARRIER && report->overtook != choice->overtook) {
        choice->overtook = report->overtook;
        choice->lost = choice->lost_now;
    }
    judge(choice, report, now_us);
    return true;
}

/* ---------------------------------------------------------------- packets */

static bool is_due(const struct choice *choice, uint64_t now_us)
{
    return choice->state != CHOICE_STREAM &&
           (choice->next == choice->first || now_us - choice->probed_us >= PROBE_INTERVAL_US);
}

/* Whatever was not reported till now does not count. */
static void forget(struct choice *choice)
{
    choice->reported = choice->next;
    choice->due_us = 0;
    choice->owed = 0;
}

static void on_stream(struct choice *choice, uint64_t now_us)
{
    if (!choice->open || now_us < choice->retry_us)
        return;
    if (!choice->gains) {
        choice->why = CHOICE_NO_LOSS_;
        return;
    }
    forget(choice);
    choice->holed = false;
    enter(choice, CHOICE_PROBING, CHOICE_PROBING_, now_us);
}

static void doubt(struct choice *choice, enum choice_why why, uint64_t now_us)
{
    if (why == CHOICE_SILENT_)
        choice->counts[CHOICE_COUNT_DOUBTS]++;
    enter(choice, CHOICE_DOUBTING, why, now_us);
}

static void on_carrier(struct choice *choice, uint64_t now_us)
{
    if (now_us - choice->state_us >= STEADY_US)
        choice->failures = 0;
    if (now_us - choice->packet_us >= RESUME_US) {
        forget(choice);
        doubt(choice, CHOICE_RESUMED_, now_us);
    } else if (is_silent(choice, now_us)) {
        doubt(choice, CHOICE_SILENT_, now_us);
    } else if (!choice->gains) {
        enter(choice, CHOICE_STREAM, CHOICE_NO_LOSS_, now_us);
    }
}

static void on_both(struct choice *choice, uint64_t now_us)
{
    bool proving = choice->state == CHOICE_PROBING;
    uint64_t most_us = proving ? PROVING_MOST_US : DOUBT_MOST_US;

    if (now_us - choice->packet_us >= RESUME_US) {
        enter(choice, choice->state, choice->why, now_us); /* nobody could be heard meanwhile */
        forget(choice);
    } else if (now_us - choice->state_us >= most_us && (proving || is_silent(choice, now_us))) {
        fall(choice, proving ? CHOICE_UNPROVED_ : CHOICE_FAILED_, now_us);
    }
}

struct choice_ways choice_packet(struct choice *choice, uint64_t now_us)
{
    if (is_lossy(choice))
        fall(choice, CHOICE_LOSSY_, now_us);
    switch (choice->state) {
    case CHOICE_STREAM:
        on_stream(choice, now_us);
        break;
    case CHOICE_CARRIER:
        on_carrier(choice, now_us);
        break;
    default:
        on_both(choice, now_us);
        break;
    }
    choice->packet_us = now_us;
    if (choice->due_us == 0 && is_due(choice, now_us))
        choice->due_us = now_us;
    return (struct choice_ways){.stream = choice->state != CHOICE_CARRIER,
                                .carrier = choice->state != CHOICE_STREAM};
}

bool choice_probe(struct choice *choice, uint64_t now_us, uint32_t *number)
{
    if (!is_due(choice, now_us))
        return false;
    choice->due_us = 0;
    *number = choice->next++;
    note_sent(choice, *number);
    choice->sent_us[*number % CHOICE_RING] = choice->probed_us = now_us;
    choice->counts[CHOICE_COUNT_PROBES]++;
    /* Those that are forgotten are lost. */
    if (choice->next - choice->reported > CHOICE_RING)
        choice->reported = choice->next - CHOICE_RING;
    return true;
}
