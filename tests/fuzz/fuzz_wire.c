/*
 * SA and sync frames: the input is a row of frames, which go to the replica of
 * one site beside another site's SA, and to an authority (which takes SA-NAK and SA-REPORT).
 * What must hold: no SA in the table breaks a rule that the packet path relies
 * on, the other site's SA is not touched, the quota is kept, an SA that was
 * accepted reads back the same, a refusal can be read by the authority, and a report
 * that was read is kept and written as it was.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/authority.h"
#include "common/sa/far.h"
#include "common/sa/replica.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/frame.h"
#include "tests/unit/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUOTA = 4, FOREIGN = 1, FOREIGN_NUMBER = 2 };

struct run {
    struct table *table, *inside;
    struct replica replica;
    struct authority authority;
    struct target_rules rules;
    struct sa *foreign;
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void on_nak(void *ctx, const struct wire_nak *nak)
{
    struct run *run = ctx;
    uint8_t memory[256];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    wire_put_nak(&w, nak);
    expect(!w.failed && nak->error < 0 && nak->reason[0]);
    reader_init(&r, memory, writer_length(&w));
    expect(authority_nak(&run->authority, &r) == 0);
}

static const char *listener_refusal(void *ctx, const struct sa *sa)
{
    (void)ctx;
    return sa_text(sa, SA_LISTENER_OUT)[0] == 'x' ? "no such listener" : NULL;
}

static const struct replica_hooks hooks = {on_nak, listener_refusal, NULL};

/* In the view that has its key, and with a master key in all fields. */
static void expect_same_again(const struct sa *sa)
{
    bool verify_only = sa->srtp && srtp_session_kind(sa->srtp) == SRTP_KEY_AUTH;
    uint8_t memory[FRAME_MAX_OCTETS];
    struct sa *again = sa_new();
    struct srtp_key key;
    struct writer w;
    struct reader r;

    expect(again != NULL);
    writer_init(&w, memory, sizeof(memory) - FRAME_HEAD_OCTETS);
    wire_put_sa(&w, sa, verify_only ? WIRE_REPLICA_VERIFY_ONLY : WIRE_STATE);
    expect(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    expect(wire_get_sa(&r, again, &key) == 0);
    if (key.kind != SRTP_KEY_NONE)
        expect(sa_open(again, sample_engine(), &key) == 0);
    expect(sample_same(sa, again, !verify_only));
    sa_free(again);
}

static void expect_sound(void *ctx, struct sa *sa)
{
    struct run *run = ctx;

    if (sa == run->foreign)
        return;
    expect(sa->owner == 0);
    expect(sa->stream_count <= SA_SSRC_MAX);
    expect((sa->side == SA_SIDE_EXTERNAL ? sa->encap_in : sa->encap_out) == SA_ENCAP_RTP);
    expect(table_by_id(run->table, 0, sa->id) == sa);
    expect(table_by_label(run->table, 0, sa->label) == sa);
    expect(table_conflict(run->table, sa) == NULL);
    expect(!sa->hairpin || (sa->side == SA_SIDE_EXTERNAL && sa->srtp));
    if (sa->side == SA_SIDE_EXTERNAL) {
        expect(sa->suite && (sa->source.rtp.family || sa->source_policy != SOURCE_STRICT));
        for (int rtcp = 0; rtcp < 2; rtcp++)
            expect(sa->srtp || !table_shares_source(run->table, sa, rtcp));
    }
    if (sa_to_side(sa) == SA_SIDE_EXTERNAL) {
        for (int rtcp = 0; rtcp < 2; rtcp++) {
            const struct addr *to = sa_transport_addr(&sa->destination, rtcp);

            expect(!to || !target_refusal(&run->rules, SA_SIDE_EXTERNAL, to));
        }
    }
    expect_same_again(sa);
}

static void judge(struct run *run)
{
    struct sa *foreign = run->foreign, *found = NULL;

    expect(table_count_owner(run->table, 0) <= QUOTA);
    expect(table_count_owner(run->table, FOREIGN) == 1);
    expect(table_by_id(run->table, FOREIGN, foreign->id) == foreign);
    while (found != foreign) {
        found =
            table_by_stream(run->table, foreign->side, &foreign->source.rtp, FOREIGN_NUMBER, found);
        expect(found != NULL);
    }
    table_each(run->table, expect_sound, run);
}

static void set_up(struct run *run)
{
    struct sa *own = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, 1);

    sample_engine_start();
    run->table = table_new(QUOTA + 1);
    run->inside = table_new(QUOTA);
    run->foreign = sample_keyed_sa(SA_SIDE_EXTERNAL, 1, FOREIGN_NUMBER);
    run->foreign->owner = FOREIGN;
    expect(run->table && run->inside && table_insert(run->table, run->foreign) == 0);
    replica_init(&run->replica, run->table, sample_engine(), 0, QUOTA, &run->rules, &hooks, run);
    expect(authority_init(&run->authority, run->inside, 0) == 0);
    /* One SA of the authority, refused before: a SA-NAK writes no log line of its own. */
    sample_text(own, SA_REFUSED, "before");
    expect(table_insert(run->inside, own) == 0);
    authority_added(&run->authority, own);
}

static void tear_down(struct run *run)
{
    authority_fini(&run->authority);
    table_free(run->inside);
    table_free(run->table);
}

static void nak(struct run *run, struct reader body)
{
    struct sa *own = run->authority.newest;
    int result = authority_nak(&run->authority, &body);

    expect(result == 0 || result == ERR_PROTOCOL);
    expect(sa_text(own, SA_REFUSED)[0] && strlen(sa_text(own, SA_REFUSED)) < SA_REFUSED_SIZE);
}

static size_t put_report(const struct sa_report *report, uint8_t *memory, size_t size)
{
    struct writer w;

    writer_init(&w, memory, size);
    reportwire_put(&w, report);
    expect(!w.failed);
    return writer_length(&w);
}

/* Under a clock that is older than any age. */
static void report(struct run *run, struct reader body)
{
    uint8_t first[FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS], second[sizeof(first)];
    uint64_t now_us = REPORT_NEVER;
    struct sa *own = run->authority.newest;
    struct sa_report read, again;
    size_t length;

    if (reportwire_get(&body, &read) < 0)
        return;
    length = put_report(&read, first, sizeof(first));
    expect(far_store(own, &read, now_us) == 0 && far_get(own, &again, NULL, now_us));
    again.id = read.id;
    expect(put_report(&again, second, sizeof(second)) == length);
    expect(memcmp(first, second, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {0};
    struct frame frame;
    int taken, result = 0;

    set_up(&run);
    while (result == 0 && (taken = frame_parse(data, size, &frame)) > 0) {
        if (frame.type == FRAME_SA_NAK)
            nak(&run, frame.body);
        else if (frame.type == FRAME_SA_REPORT)
            report(&run, frame.body);
        else if (frame.type == FRAME_BYE)
            replica_disconnected(&run.replica);
        else
            result = replica_frame(&run.replica, frame.type, &frame.body);
        expect(result == 0 || result == ERR_PROTOCOL);
        judge(&run);
        data += taken;
        size -= (size_t)taken;
    }
    tear_down(&run);
    return 0;
}
