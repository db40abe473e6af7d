#include "inner-relay/sdpedit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

#define ORIGIN "v=0\r\no=alice 2890844526 2890844527 IN IP4 192.0.2.1\r\ns=a b\r\n"
#define OURS   "v=0\r\no=alice 2890844526 2890844527 IN IP4 203.0.113.10\r\ns=a b\r\n"
#define OURS_6 "v=0\r\no=alice 2890844526 2890844527 IN IP6 2001:db8::10\r\ns=a b\r\n"
#define C      "c=IN IP4 192.0.2.1\r\n"
#define C_OURS "c=IN IP4 203.0.113.10\r\n"
#define C_6    "c=IN IP6 2001:db8::10\r\n"
#define TIME   "t=0 0\r\n"
#define CRYPTO                                                                                     \
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
#define AUDIO  "m=audio 49170 RTP/SAVP 0 8\r\n"
#define A_OURS "m=audio 5004 RTP/SAVP 0 8\r\n"
#define VIDEO  "m=video 51372 RTP/SAVP 31\r\n"
#define V_OURS "m=video 5004 RTP/SAVP 31\r\n"
#define T38    "m=image 5010 udptl t38\r\n"
#define ODD                                                                                        \
    "b=AS:64\r\nk=prompt\r\na=\xff\xfe odd  octets\t\r\na=RTCP:9\r\na=rtcpx:9\r\na=rtcp-fb:* "     \
    "nack\r\n"
#define ICE                                                                                        \
    "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"                                     \
    "a=candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host\r\na=end-of-candidates\r\n"

enum {
    TOUCH_0 = 1,
    TOUCH_1 = 2,
    O = 4,
    SESSION = 8,
    NO_ICE = 16,
    SIX = 32,   /* shown as IPv6 */
    MUX = 64,   /* RTCP on the RTP port */
    SSRC = 128, /* one is assigned on the first line */
    FAR = 256   /* RTCP on another address */
};

/* out NULL: as it came in. */
static const struct {
    unsigned how;
    const char *in, *out;
} rows[] = {
    {0, ORIGIN C TIME ICE AUDIO CRYPTO ICE, NULL},
    {SESSION | NO_ICE, ORIGIN C TIME ICE AUDIO CRYPTO ICE, NULL},
    {TOUCH_0, ORIGIN C TIME AUDIO CRYPTO, ORIGIN C TIME A_OURS C_OURS CRYPTO},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO CRYPTO, ORIGIN C_OURS TIME A_OURS CRYPTO},
    {TOUCH_0 | SESSION | O, ORIGIN C TIME AUDIO CRYPTO, OURS C_OURS TIME A_OURS CRYPTO},
    {TOUCH_0 | SESSION | O | SIX, ORIGIN C TIME AUDIO CRYPTO, OURS_6 C_6 TIME A_OURS CRYPTO},
    {TOUCH_0, ORIGIN TIME AUDIO C CRYPTO, ORIGIN TIME A_OURS C_OURS CRYPTO},
    {TOUCH_0 | SESSION, ORIGIN TIME AUDIO C CRYPTO, ORIGIN TIME A_OURS C_OURS CRYPTO},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO C CRYPTO, ORIGIN C_OURS TIME A_OURS C_OURS CRYPTO},
    /* c= stands behind i=. */
    {TOUCH_0, ORIGIN C TIME AUDIO "i=x\r\n" ODD CRYPTO,
     ORIGIN C TIME A_OURS "i=x\r\n" C_OURS ODD CRYPTO},
    {TOUCH_0, ORIGIN C TIME AUDIO "i=x\r\n", ORIGIN C TIME A_OURS "i=x\r\n" C_OURS},
    {TOUCH_0, ORIGIN C TIME AUDIO, ORIGIN C TIME A_OURS C_OURS},
    /* Two lines. */
    {TOUCH_0 | TOUCH_1 | SESSION, ORIGIN C TIME AUDIO CRYPTO VIDEO CRYPTO ODD,
     ORIGIN C_OURS TIME A_OURS CRYPTO V_OURS CRYPTO ODD},
    {TOUCH_0 | TOUCH_1, ORIGIN C TIME AUDIO CRYPTO VIDEO CRYPTO ODD,
     ORIGIN C TIME A_OURS C_OURS CRYPTO V_OURS C_OURS CRYPTO ODD},
    /* A line that stays keeps the session's address: fax, or a line that nobody asked for. */
    {TOUCH_0 | TOUCH_1 | SESSION, ORIGIN C TIME AUDIO CRYPTO T38,
     ORIGIN C TIME A_OURS C_OURS CRYPTO T38},
    {TOUCH_0 | TOUCH_1 | SESSION, ORIGIN C TIME AUDIO CRYPTO T38 C,
     ORIGIN C_OURS TIME A_OURS CRYPTO T38 C},
    {TOUCH_1 | SESSION, ORIGIN C TIME AUDIO CRYPTO VIDEO CRYPTO,
     ORIGIN C TIME AUDIO CRYPTO V_OURS C_OURS CRYPTO},
    {TOUCH_0 | TOUCH_1 | SESSION, ORIGIN C TIME AUDIO "m=video 0 RTP/SAVP 31\r\na=rtcp:0\r\n",
     ORIGIN C_OURS TIME A_OURS "m=video 0 RTP/SAVP 31\r\na=rtcp:0\r\n"},
    {TOUCH_0 | SESSION, ORIGIN C TIME "m=audio 0 RTP/SAVP 0\r\n", NULL},
    {TOUCH_0 | SESSION, ORIGIN C TIME T38, NULL},
    /* Hold. */
    {TOUCH_0 | SESSION, ORIGIN "c=IN IP4 0.0.0.0\r\n" TIME AUDIO,
     ORIGIN "c=IN IP4 0.0.0.0\r\n" TIME A_OURS},
    {TOUCH_0, ORIGIN "c=IN IP4 0.0.0.0\r\n" TIME AUDIO, ORIGIN "c=IN IP4 0.0.0.0\r\n" TIME A_OURS},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO "c=IN IP4 0.0.0.0\r\n",
     ORIGIN C_OURS TIME A_OURS "c=IN IP4 0.0.0.0\r\n"},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO "a=inactive\r\n",
     ORIGIN C_OURS TIME A_OURS "a=inactive\r\n"},
    /* A host name is replaced as an address is. */
    {TOUCH_0 | SESSION | O, ORIGIN "c=IN IP4 phone.example\r\n" TIME AUDIO,
     OURS C_OURS TIME A_OURS},
    /* RTCP. */
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO "a=rtcp:49999\r\n" CRYPTO,
     ORIGIN C_OURS TIME A_OURS "a=rtcp:5005\r\n" CRYPTO},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO "a=rtcp:49999 IN IP4 192.0.2.2\r\n" CRYPTO,
     ORIGIN C_OURS TIME A_OURS "a=rtcp:5005 IN IP4 203.0.113.10\r\n" CRYPTO},
    {TOUCH_0 | SESSION | SIX, ORIGIN C TIME AUDIO "a=rtcp:49999 IN IP4 192.0.2.2\r\n",
     ORIGIN C_6 TIME A_OURS "a=rtcp:5005 IN IP6 2001:db8::10\r\n"},
    {TOUCH_0 | SESSION | MUX, ORIGIN C TIME AUDIO "a=rtcp:49170\r\na=rtcp-mux\r\n",
     ORIGIN C_OURS TIME A_OURS "a=rtcp:5004\r\na=rtcp-mux\r\n"},
    {TOUCH_0 | SESSION | MUX, ORIGIN C TIME AUDIO "a=rtcp-mux\r\n",
     ORIGIN C_OURS TIME A_OURS "a=rtcp-mux\r\n"},
    {TOUCH_0 | SESSION | FAR, ORIGIN C TIME AUDIO CRYPTO VIDEO,
     ORIGIN C TIME A_OURS C_OURS CRYPTO "a=rtcp:7005 IN IP4 203.0.113.11\r\n" VIDEO},
    {TOUCH_0 | SESSION | FAR, ORIGIN C TIME AUDIO "a=rtcp:49999\r\n",
     ORIGIN C_OURS TIME A_OURS "a=rtcp:7005 IN IP4 203.0.113.11\r\n"},
    /* ICE. */
    {TOUCH_0 | SESSION, ORIGIN C TIME ICE AUDIO ICE, ORIGIN C_OURS TIME ICE A_OURS ICE},
    {TOUCH_0 | SESSION | NO_ICE, ORIGIN C TIME "a=ice-lite\r\n" AUDIO CRYPTO ICE T38 C ICE,
     ORIGIN C_OURS TIME A_OURS CRYPTO T38 C ICE},
    {TOUCH_0 | NO_ICE, ORIGIN C TIME AUDIO ICE, ORIGIN C TIME A_OURS C_OURS},
    /* The assigned SSRC is the last line of its section; one of somebody else goes. */
    {TOUCH_0 | SESSION | SSRC, ORIGIN C TIME AUDIO CRYPTO VIDEO C,
     ORIGIN C_OURS TIME A_OURS CRYPTO "a=media-relay-ssrc:305419896\r\n" VIDEO C},
    {TOUCH_0 | SESSION | SSRC, ORIGIN C TIME AUDIO "a=media-relay-ssrc:1\r\n" CRYPTO "\r\n\r\n",
     ORIGIN C_OURS TIME A_OURS CRYPTO "a=media-relay-ssrc:305419896\r\n\r\n\r\n"},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO "a=media-relay-ssrc:1\r\n", ORIGIN C_OURS TIME A_OURS},
    /* The end of a text without its last end of line stays so. */
    {TOUCH_0 | SESSION | SSRC, ORIGIN C TIME "m=audio 49170 RTP/SAVP 0",
     ORIGIN C_OURS TIME "m=audio 5004 RTP/SAVP 0\r\na=media-relay-ssrc:305419896"},
    {TOUCH_0, ORIGIN C TIME "m=audio 49170 RTP/SAVP 0",
     ORIGIN C TIME "m=audio 5004 RTP/SAVP 0\r\nc=IN IP4 203.0.113.10"},
    {TOUCH_0 | SESSION, ORIGIN C TIME AUDIO "a=rtcp:4 IN IP4 192.0.2.1",
     ORIGIN C_OURS TIME A_OURS "a=rtcp:5005 IN IP4 203.0.113.10"},
    /* LF alone is kept, and added. */
    {TOUCH_0 | O | SSRC, "v=0\no=- 1 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\n",
     "v=0\no=- 1 1 IN IP4 203.0.113.10\nc=IN IP4 192.0.2.1\nm=audio 5004 RTP/AVP "
     "0\nc=IN IP4 203.0.113.10\na=media-relay-ssrc:305419896\n"},
    /* What stands in an odd way, and is no matter. */
    {TOUCH_0 | SESSION, ORIGIN C TIME "m=audio  49170/1\tRTP/SAVP 0 \r\n",
     ORIGIN C_OURS TIME "m=audio  5004\tRTP/SAVP 0 \r\n"},
    {TOUCH_0 | SESSION | O, ORIGIN "o=b 1 1 IN IP4 192.0.2.1\r\n" C TIME AUDIO,
     OURS "o=b 1 1 IN IP4 192.0.2.1\r\n" C_OURS TIME A_OURS},
    {TOUCH_0 | SESSION | O, "v=0\r\no= a 1 2 IN IP4 192.0.2.1\r\n" C TIME "m= a 1 RTP/AVP 0\r\n",
     "v=0\r\no= a 1 2 IN IP4 203.0.113.10\r\n" C_OURS TIME "m= a 5004 RTP/AVP 0\r\n"},
    {TOUCH_0 | SESSION | O, "v=0\r\no=short\r\n" C TIME AUDIO,
     "v=0\r\no=short\r\n" C_OURS TIME A_OURS},
};

static struct addr addr_of(const char *text)
{
    struct addr addr;

    ck_assert_int_eq(addr_parse(text, &addr), 0);
    return addr;
}

static void make_edit(unsigned how, struct sdp_edit *edit)
{
    struct addr rtp = addr_of(how & SIX ? "[2001:db8::10]:5004" : "203.0.113.10:5004");
    struct addr rtcp = addr_of(how & SIX ? "[2001:db8::10]:5005" : "203.0.113.10:5005");

    if (how & FAR)
        rtcp = addr_of("203.0.113.11:7005");
    if (how & MUX)
        rtcp.family = 0;
    memset(edit, 0, sizeof(*edit));
    edit->origin = how & O;
    edit->session_connection = how & SESSION;
    edit->ice_remove = how & NO_ICE;
    for (unsigned i = 0; i < 2; i++)
        edit->line[i] = (struct sdp_line_edit){
            .touch = how & ((unsigned)TOUCH_0 << i), .rtp = rtp, .rtcp = rtcp};
    edit->line[0].assigned_ssrc = how & SSRC ? 305419896 : 0;
}

static struct sdp sdp;

static char *edited(const char *text, size_t length, const struct sdp_edit *edit,
                    size_t *out_length)
{
    char error[SDP_ERROR_SIZE], *out;

    ck_assert_msg(sdp_read(&sdp, text, length, error) == 0, "%s", error);
    out = sdp_edit(&sdp, edit, out_length);
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(out[*out_length], 0);
    return out;
}

START_TEST(test_row)
{
    const char *right = rows[_i].out ? rows[_i].out : rows[_i].in;
    struct sdp_edit edit;
    size_t length;
    char *out;

    make_edit(rows[_i].how, &edit);
    out = edited(rows[_i].in, strlen(rows[_i].in), &edit, &length);
    ck_assert_str_eq(out, right);
    ck_assert_uint_eq(length, strlen(right));
    free(out);
}
END_TEST

/* What was shown once is shown again: nothing changes any more. */
START_TEST(test_twice)
{
    struct sdp_edit edit;
    size_t length, again;
    char *out, *second;

    make_edit(rows[_i].how, &edit);
    out = edited(rows[_i].in, strlen(rows[_i].in), &edit, &length);
    second = edited(out, length, &edit, &again);
    ck_assert_str_eq(second, out);
    free(second);
    free(out);
}
END_TEST

/* o= follows the address that is shown, also where no line is touched: it names the session. */
START_TEST(test_origin_alone)
{
    struct sdp_edit edit = {.origin = true, .session_connection = true};
    size_t length;
    char *out;

    edit.address = addr_of("203.0.113.10:5004");
    out = edited(ORIGIN C TIME T38, strlen(ORIGIN C TIME T38), &edit, &length);
    ck_assert_str_eq(out, OURS C TIME T38);
    free(out);
}
END_TEST

/* The session's c= need not be what the lines show. */
START_TEST(test_other_session_address)
{
    struct sdp_edit edit;
    size_t length;
    char *out;

    make_edit(TOUCH_0 | SESSION, &edit);
    edit.address = addr_of("203.0.113.99:1");
    out = edited(ORIGIN C TIME AUDIO, strlen(ORIGIN C TIME AUDIO), &edit, &length);
    ck_assert_str_eq(out, ORIGIN "c=IN IP4 203.0.113.99\r\n" TIME A_OURS C_OURS);
    free(out);
}
END_TEST

/* As many lines, each as long, as can be: there is room. */
START_TEST(test_largest)
{
    static char text[SDP_MAX_OCTETS];
    size_t length = strlen(strcpy(text, "v=0\no=- 1 1 IN IP4 1.1.1.1\nc=IN IP4 1.1.1.1\n")),
           out_length;
    struct sdp_edit edit;
    char *out;

    make_edit(O | SESSION | SIX, &edit);
    edit.address = addr_of("[2001:db8:1111:2222:3333:4444:5555:6666]:65534");
    for (unsigned i = 0; i < SDP_MEDIA_MAX; i++) {
        edit.line[i].touch = true;
        edit.line[i].rtp = addr_of("[2001:db8:1111:2222:3333:4444:5555:7777]:65534");
        edit.line[i].rtcp = addr_of("[2001:db8:1111:2222:3333:4444:5555:8888]:65532");
        edit.line[i].assigned_ssrc = UINT32_MAX;
        length += strlen(strcpy(text + length, "m=a 1 RTP/S 0\n"));
    }
    memset(text + length, 'x', sizeof(text) - length);
    memcpy(text + length, "a=", 2);
    text[sizeof(text) - 1] = '\n';
    length = sizeof(text);
    out = edited(text, length, &edit, &out_length);
    ck_assert(out_length > SDP_MAX_OCTETS);
    ck_assert_str_eq(out + out_length - strlen("a=media-relay-ssrc:4294967295\n"),
                     "a=media-relay-ssrc:4294967295\n");
    free(out);
}
END_TEST

/* ---------------------------------------------------------------- what real phones send */

/*
 * Facts of files in tests/unit/sdp. baresip, rtpengine (before a second relay), ffmpeg and SIPp
 * wrote theirs; those of linphonec, GStreamer and a fax gateway are made up from what was seen of
 * them.
 */
static const struct {
    const char *name;
    unsigned media, crypto, usable, ssrc;
    const char *proto;
} phones[] = {
    {"baresip.sdp", 1, 1, 1, 1, "RTP/SAVP"},
    {"baresip-hold.sdp", 1, 1, 1, 1, "RTP/SAVP"},
    {"baresip-mediaenc-srtp.sdp", 1, 1, 1, 1, "RTP/AVP"},
    {"baresip-video.sdp", 2, 1, 1, 1, "RTP/SAVP"},
    {"fax.sdp", 2, 1, 1, 0, "RTP/SAVP"},
    {"ffmpeg.sdp", 1, 1, 1, 0, "RTP/AVP"},
    {"gstreamer.sdp", 1, 2, 2, 1, "RTP/AVP"},
    {"linphone.sdp", 1, 4, 3, 0, "RTP/SAVP"},
    {"rtpengine.sdp", 2, 8, 5, 1, "RTP/SAVP"}, /* twelve offered */
    {"sipp.sdp", 1, 1, 1, 0, "RTP/SAVP"},
};

static size_t read_file(const char *name, char *out, size_t size)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096];
    size_t length;
    FILE *file;

    snprintf(path, sizeof(path), "%s/tests/unit/sdp/%s", top ? top : ".", name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    length = fread(out, 1, size, file);
    fclose(file);
    ck_assert(length > 0 && length < size);
    return length;
}

static unsigned usable(const struct sdp_media *media)
{
    unsigned count = 0;

    for (unsigned i = 0; i < media->crypto_count; i++)
        count += media->crypto[i].unusable == NULL;
    return count;
}

START_TEST(test_phone)
{
    char text[8192], error[SDP_ERROR_SIZE];
    size_t length = read_file(phones[_i].name, text, sizeof(text));
    const struct sdp_media *media = &sdp.media[0];

    ck_assert_msg(sdp_read(&sdp, text, length, error) == 0, "%s", error);
    ck_assert_uint_eq(sdp.media_count, phones[_i].media);
    ck_assert_uint_eq(media->crypto_count, phones[_i].crypto);
    ck_assert_uint_eq(usable(media), phones[_i].usable);
    ck_assert_uint_eq(media->ssrc_count, phones[_i].ssrc);
    ck_assert(words_are(&media->proto, phones[_i].proto));
    ck_assert(media->rtp_addr.family && media->rtcp_addr.family);
}
END_TEST

/* The lines of a and of b from the first on, as long as they are the same. */
static bool same_line(const char *a, const struct sdp_line *at_a, const char *b,
                      const struct sdp_line *at_b)
{
    size_t length = at_a->next - at_a->begin;

    return length == at_b->next - at_b->begin &&
           memcmp(a + at_a->begin, b + at_b->begin, length) == 0;
}

/* Only these may differ: each other line of the output is the next one of the input. */
static bool may_differ(const char *text, const struct sdp_line *line)
{
    return strchr("moc", text[line->begin]) ||
           strncmp(text + line->begin, "a=rtcp:", strlen("a=rtcp:")) == 0;
}

START_TEST(test_phone_edited)
{
    char text[8192], *out;
    size_t length = read_file(phones[_i].name, text, sizeof(text)), out_length, at = 0, out_at = 0;
    struct sdp_line line, out_line;
    struct sdp_edit edit;

    make_edit(TOUCH_0 | TOUCH_1 | O | SESSION, &edit);
    out = edited(text, length, &edit, &out_length);
    while (sdp_next_line(text, length, &at, &line)) {
        ck_assert(sdp_next_line(out, out_length, &out_at, &out_line));
        ck_assert_int_eq(text[line.begin], out[out_line.begin]);
        ck_assert(may_differ(text, &line) || same_line(text, &line, out, &out_line));
    }
    ck_assert_uint_eq(out_at, out_length);
    free(out);
}
END_TEST

START_TEST(test_phone_untouched)
{
    struct sdp_edit edit = {.session_connection = true, .ice_remove = true};
    char text[8192], *out;
    size_t length = read_file(phones[_i].name, text, sizeof(text)), out_length;

    out = edited(text, length, &edit, &out_length);
    ck_assert_uint_eq(out_length, length);
    ck_assert(memcmp(out, text, length) == 0);
    free(out);
}
END_TEST

/* linphonec: each a=crypto has a key of its own; which one counts, the answer's tag says. */
START_TEST(test_linphone_keys)
{
    static const int suites[] = {SUITE_AES_CM_128_HMAC_SHA1_80, SUITE_AES_CM_128_HMAC_SHA1_32,
                                 SUITE_AES_256_CM_HMAC_SHA1_80, -1};
    char text[8192], error[SDP_ERROR_SIZE];
    size_t length = read_file("linphone.sdp", text, sizeof(text));

    ck_assert_int_eq(sdp_read(&sdp, text, length, error), 0);
    for (unsigned i = 0; i < 4; i++) {
        const struct sdes *line = sdp_crypto(&sdp.media[0], i + 1);

        ck_assert(line && (line->suite ? (int)line->suite->id : -1) == suites[i]);
        for (unsigned j = 0; j < i && !line->unusable; j++)
            ck_assert(memcmp(line->key.octets, sdp.media[0].crypto[j].key.octets, 28) != 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sdpedit");
    TCase *tc = tcase_create("sdpedit");
    int phone_count = sizeof(phones) / sizeof(phones[0]);

    tcase_add_loop_test(tc, test_row, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tc, test_twice, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_origin_alone);
    tcase_add_test(tc, test_other_session_address);
    tcase_add_test(tc, test_largest);
    tcase_add_loop_test(tc, test_phone, 0, phone_count);
    tcase_add_loop_test(tc, test_phone_edited, 0, phone_count);
    tcase_add_loop_test(tc, test_phone_untouched, 0, phone_count);
    tcase_add_test(tc, test_linphone_keys);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
