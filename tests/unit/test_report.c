/* What the daemons show, row by row; whole answers are in the tests of their commands. */
#include "common/daemon/report.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/members.h"
#include "tests/unit/unit.h"

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static json_int_t number_of(const json_t *object, const char *name)
{
    ck_assert(json_is_integer(json_object_get(object, name)));
    return json_integer_value(json_object_get(object, name));
}

static bool is_null(const json_t *object, const char *name)
{
    return json_is_null(json_object_get(object, name));
}

START_TEST(test_tunnel)
{
    struct report_tunnel tunnel = {
        .name = "east", .state = "down", .sync = "none", .last_error = "", .connects = 3, .sas = 9};
    json_t *row = report_tunnel(&tunnel);

    members_are(
        row, "name peer state since rtt_ms connects last_error sync queued sas via congestion "
             "tcp_refused "
             "frames_in frames_out octets_in octets_out late larger srtp_engine media_connections "
             "carrier choice sealed early carrier_reason raw");
    ck_assert(is_null(row, "since") && is_null(row, "last_error") && is_null(row, "peer") &&
              is_null(row, "rtt_ms") && is_null(row, "congestion") && is_null(row, "srtp_engine"));
    ck_assert_int_eq(number_of(row, "connects"), 3);
    ck_assert_int_eq(number_of(row, "sas"), 9);
    ck_assert_int_eq(number_of(row, "late"), 0);
    json_decref(row);
    tunnel.changed_us = clock_now_us() - 5500000;
    tunnel.last_error = "connection refused";
    tunnel.engine = "evp";
    row = report_tunnel(&tunnel);
    ck_assert_int_ge(number_of(row, "since"), 5);
    ck_assert_int_le(number_of(row, "since"), 60);
    ck_assert_str_eq(text_of(row, "last_error"), "connection refused");
    ck_assert_str_eq(text_of(row, "srtp_engine"), "evp");
    json_decref(row);
}
END_TEST

/* Every verdict by its word, and received is their sum and what is queued. */
START_TEST(test_place)
{
    struct verdict_counts counts = {.queued = 4};
    json_int_t sum = 0;
    const json_t *verdicts;
    json_t *row;

    for (int v = 0; v < VERDICT_COUNT; v++)
        counts.n[v] = (uint64_t)(v + 1);
    counts.received = counts.queued + verdict_sum(&counts);
    row = report_place("tunnel east", &counts);
    members_are(row, "place received queued verdicts");
    verdicts = json_object_get(row, "verdicts");
    ck_assert_uint_eq(json_object_size(verdicts), VERDICT_COUNT);
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        ck_assert_int_eq(number_of(verdicts, verdict_name(v)), (json_int_t)v + 1);
        sum += number_of(verdicts, verdict_name(v));
    }
    ck_assert_int_eq(number_of(row, "received"), sum + number_of(row, "queued"));
    json_decref(row);
}
END_TEST

/* A replica knows but one half of an SA: what is not known is null, and the row is still whole. */
START_TEST(test_half_an_sa)
{
    struct sa *sa = sa_new();
    json_t *row;
    const json_t *streams;

    sa->id = UINT32_MAX + 7ull;
    sa->side = SA_SIDE_INTERNAL;
    sa->label = UINT32_MAX;
    sa->encap_out = SA_ENCAP_RTP_PRIME;
    sa->last_packet_us = clock_now_us() - 1500000;
    sa->created_us = 1700000000999999;
    sa->reverse = 12;
    ck_assert_int_eq(sa_stream_add(sa, UINT32_MAX, SSRC_ORIGIN_ASSIGNED), 0);
    ck_assert_int_eq(sa_stream_add(sa, 1, SSRC_ORIGIN_LEARNED), 0);
    for (int v = 0; v < VERDICT_COUNT; v++)
        sa->verdicts[v] = 1;
    row = report_sa(NULL, sa, "site", "inner.example", true);
    ck_assert_ptr_nonnull(row);
    ck_assert(is_null(row, "source") && is_null(row, "destination") && is_null(row, "suite") &&
              is_null(row, "source_rtcp") && is_null(row, "listener") && is_null(row, "refused"));
    ck_assert_int_eq(number_of(row, "id"), UINT32_MAX + 7ll);
    ck_assert_int_eq(number_of(row, "label"), UINT32_MAX);
    ck_assert_int_eq(number_of(row, "reverse"), 12);
    ck_assert_int_eq(number_of(row, "created"), 1700000000);
    ck_assert_int_eq(number_of(row, "dropped"), VERDICT_COUNT - 1);
    ck_assert_str_eq(text_of(row, "side"), "internal");
    ck_assert_str_eq(text_of(row, "site"), "inner.example");
    ck_assert_str_eq(text_of(row, "encap_in"), "rtp");
    ck_assert_str_eq(text_of(row, "encap_out"), "rtp-prime");
    ck_assert_double_ge(json_real_value(json_object_get(row, "last_packet")), 1.5);
    streams = json_object_get(row, "streams");
    ck_assert_str_eq(text_of(json_array_get(streams, 0), "origin"), "assigned");
    ck_assert_str_eq(text_of(json_array_get(streams, 1), "origin"), "learned");
    ck_assert_int_eq(number_of(json_array_get(streams, 0), "ssrc"), UINT32_MAX);
    ck_assert_uint_eq(json_object_size(json_object_get(row, "verdicts")), VERDICT_COUNT);
    json_decref(row);
    sa_free(sa);
}
END_TEST

/* With mux there is one port: the other is not shown, whatever the SA has. */
START_TEST(test_mux)
{
    struct sa *sa = sa_new();
    json_t *row;

    ck_assert_int_eq(addr_parse("192.0.2.1:5000", &sa->source.rtp), 0);
    ck_assert_int_eq(addr_parse("192.0.2.1:5001", &sa->source.rtcp), 0);
    sa->destination = sa->source;
    sa->source.mux = true;
    row = report_sa(NULL, sa, "dmz", "east", true);
    ck_assert(json_is_true(json_object_get(row, "source_mux")));
    ck_assert(json_is_false(json_object_get(row, "destination_mux")));
    ck_assert(is_null(row, "source_rtcp"));
    ck_assert_str_eq(text_of(row, "destination_rtcp"), "192.0.2.1:5001");
    json_decref(row);
    sa_free(sa);
}
END_TEST

static const struct {
    const char *request; /* JSON */
    const char *level;   /* NULL: refused */
} levels[] = {
    {"{}", "warning"},
    {"{\"level\": \"debug\"}", "debug"},
    {"{\"level\": \"error\"}", "error"},
    {"{\"level\": \"Debug\"}", NULL},
    {"{\"level\": \"\"}", NULL},
    {"{\"level\": 3}", NULL},
    {"{\"level\": null}", NULL},
};

START_TEST(test_debug)
{
    json_t *request = json_loads(levels[_i].request, 0, NULL), *reply;

    log_set_level(LOG_LEVEL_WARNING);
    reply = report_debug(NULL, request);
    if (levels[_i].level) {
        members_are(reply, "ok level");
        ck_assert_str_eq(text_of(reply, "level"), levels[_i].level);
        ck_assert_str_eq(log_level_name(log_get_level()), levels[_i].level);
    } else {
        ck_assert_str_eq(text_of(reply, "field"), "level");
        ck_assert_int_eq(log_get_level(), LOG_LEVEL_WARNING);
    }
    log_set_level(LOG_LEVEL_ERROR);
    json_decref(reply);
    json_decref(request);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tc = tcase_create("report");

    suite_add_tcase(suite, tc);
    tcase_add_test(tc, test_tunnel);
    tcase_add_test(tc, test_place);
    tcase_add_test(tc, test_half_an_sa);
    tcase_add_test(tc, test_mux);
    tcase_add_loop_test(tc, test_debug, 0, sizeof(levels) / sizeof(levels[0]));
    return unit_run(suite);
}
