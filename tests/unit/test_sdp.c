#include "inner-relay/sdp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

#define KEY_1   "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
#define KEY_2   "PS1uQCVeeCFCanVmcjkpPywjNWhcYVJrZTAtYVJ4"
#define SESSION "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
#define WHERE   "c=IN IP4 192.0.2.1\r\n"
#define TIME    "t=0 0\r\n"
#define AUDIO   "m=audio 5004 RTP/SAVP 0\r\n"
#define CRYPTO  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY_1 "\r\n"
#define HEAD    SESSION WHERE TIME

static struct sdp sdp;
static char error[SDP_ERROR_SIZE];

static int read_text(const char *text)
{
    return sdp_read(&sdp, text, strlen(text), error);
}

/* The address and port, "" for none. */
static const char *shown(const struct addr *addr)
{
    static char out[2][ADDR_TEXT_SIZE];
    static unsigned turn;

    turn = !turn;
    return addr->family ? addr_format(addr, out[turn], sizeof(out[turn])) : "";
}

/* What one line says. */
static const struct {
    const char *text, *rtp, *rtcp;
    bool is_rtp, mux, held;
    enum sdp_direction direction;
    uint32_t bandwidth;
} lines[] = {
    {HEAD AUDIO CRYPTO, "192.0.2.1:5004", "192.0.2.1:5005", true, false, false, SDP_SENDRECV, 0},
    {HEAD AUDIO CRYPTO "a=rtcp-mux\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true, true, false,
     SDP_SENDRECV, 0},
    {HEAD AUDIO "a=rtcp:6000\r\na=rtcp-mux\r\n", "192.0.2.1:5004", "192.0.2.1:6000", true, true,
     false, SDP_SENDRECV, 0},
    /* RFC 3605, section 2.1. */
    {HEAD AUDIO "a=rtcp:53020 IN IP4 126.16.64.4\r\n", "192.0.2.1:5004", "126.16.64.4:53020", true,
     false, false, SDP_SENDRECV, 0},
    {HEAD AUDIO "a=rtcp:53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD\r\n", "192.0.2.1:5004",
     "[2001:2345:6789:abcd:ef01:2345:6789:abcd]:53020", true, false, false, SDP_SENDRECV, 0},
    {SESSION TIME AUDIO "c=IN IP6 2001:db8::1\r\n", "[2001:db8::1]:5004", "[2001:db8::1]:5005",
     true, false, false, SDP_SENDRECV, 0},
    {HEAD AUDIO "c=IN IP4 198.51.100.7\r\n", "198.51.100.7:5004", "198.51.100.7:5005", true, false,
     false, SDP_SENDRECV, 0},
    {HEAD AUDIO "c=IN IP4 0.0.0.0\r\n", "0.0.0.0:5004", "0.0.0.0:5005", true, false, true,
     SDP_SENDRECV, 0},
    {HEAD AUDIO "c=IN IP6 ::\r\n", "[::]:5004", "[::]:5005", true, false, true, SDP_SENDRECV, 0},
    {HEAD AUDIO "a=inactive\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true, false, true,
     SDP_INACTIVE, 0},
    {HEAD "a=inactive\r\n" AUDIO "a=sendonly\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true, false,
     false, SDP_SENDONLY, 0},
    {HEAD "a=recvonly\r\n" AUDIO, "192.0.2.1:5004", "192.0.2.1:5005", true, false, false,
     SDP_RECVONLY, 0},
    {HEAD "a=recvonly\r\n" AUDIO "a=sendrecv\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true, false,
     false, SDP_SENDRECV, 0},
    {HEAD "b=AS:64\r\n" AUDIO, "192.0.2.1:5004", "192.0.2.1:5005", true, false, false, SDP_SENDRECV,
     8000},
    {HEAD "b=AS:64\r\n" AUDIO "b=CT:9\r\nb=AS:512\r\nb=TIAS:80000\r\n", "192.0.2.1:5004",
     "192.0.2.1:5005", true, false, false, SDP_SENDRECV, 64000},
    {HEAD AUDIO "b=TIAS:80000\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true, false, false,
     SDP_SENDRECV, 10000},
    {HEAD AUDIO "b=AS:4294967295\r\nb=X\r\nb=AS:\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true,
     false, false, SDP_SENDRECV, UINT32_MAX},
    /* Names are not resolved; a group's TTL is no part of its address. */
    {SESSION TIME AUDIO "c=IN IP4 phone.example\r\n", "", "", true, false, false, SDP_SENDRECV, 0},
    {SESSION TIME AUDIO "c=IN IP4 224.2.36.42/127\r\n", "224.2.36.42:5004", "224.2.36.42:5005",
     true, false, false, SDP_SENDRECV, 0},
    {HEAD "m=audio 65535 RTP/SAVP 0\r\n", "192.0.2.1:65535", "", true, false, false, SDP_SENDRECV,
     0},
    {HEAD "m=audio 5004/1 rtp/savp 0\r\n", "192.0.2.1:5004", "192.0.2.1:5005", true, false, false,
     SDP_SENDRECV, 0},
    /* Nothing of what stands behind these is read, right or wrong. */
    {HEAD "m=audio 0 RTP/SAVP 0\r\nc=x\r\na=crypto:x\r\na=rtcp:0\r\n", "", "", true, false, false,
     SDP_SENDRECV, 0},
    {HEAD "m=image 5010 udptl t38\r\nc=x\r\na=rtcp-mux\r\na=crypto:1 X\r\n", "", "", false, false,
     false, SDP_SENDRECV, 0},
    {SESSION TIME "m=message 7394 TCP/MSRP *\r\n", "", "", false, false, false, SDP_SENDRECV, 0},
    {SESSION TIME "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", "", "", false, false,
     false, SDP_SENDRECV, 0},
};

START_TEST(test_line)
{
    const struct sdp_media *media = &sdp.media[0];

    ck_assert_msg(read_text(lines[_i].text) == 0, "%s", error);
    ck_assert_uint_eq(sdp.media_count, 1);
    ck_assert_str_eq(shown(&media->rtp_addr), lines[_i].rtp);
    ck_assert_str_eq(shown(&media->rtcp_addr), lines[_i].rtcp);
    ck_assert_int_eq(media->rtp, lines[_i].is_rtp);
    ck_assert_int_eq(media->mux, lines[_i].mux);
    ck_assert_int_eq(media->held, lines[_i].held);
    ck_assert_int_eq(media->direction, lines[_i].direction);
    ck_assert_uint_eq(media->bandwidth, lines[_i].bandwidth);
}
END_TEST

/* error: what it begins with. */
static const struct {
    const char *text, *error;
} refused[] = {
    {"", "it is empty"},
    {"\r\n", "line 1: no line of SDP"},
    {"\r\nv=0\r\n", "line 1: no line of SDP"},
    {"v=1\r\n", "line 1: v=0 is expected"},
    {"o=a 1 1 IN IP4 192.0.2.1\r\n", "line 1: v=0 is expected"},
    {"v=0\r\n\r\ns=-\r\n", "line 3: an empty line may stand at the end only"},
    {"v=0\r\ns = -\r\n", "line 2: no line of SDP"},
    {"v=0\r\nS=-\r\n", "line 2: no line of SDP"},
    {"v=0\r\ns\r\n", "line 2: no line of SDP"},
    {"v=0\r\ns=a\rc=IN IP4 192.0.2.1\r\n", "line 2: an octet 0, or a CR"},
    {"v=0\r\ns=-\r", "line 2: an octet 0, or a CR"},
    {"v=0\r\ns=-\r\r\n", "line 2: an octet 0, or a CR"},
    {SESSION "c=IN IP4\r\n", "line 4: c=IN IP4 ADDRESS"},
    {SESSION "c=IN IPX 1.2.3.4\r\n", "line 4: c=IN IP4 ADDRESS"},
    {SESSION "c=\r\n", "line 4: c=IN IP4 ADDRESS"},
    {HEAD WHERE, "line 6: a second c= line"},
    {HEAD AUDIO WHERE WHERE, "line 8: a second c= line"},
    {SESSION TIME AUDIO CRYPTO, "line 5: no c= line for it"},
    {HEAD "m=\r\n", "line 6: m=KIND PORT PROTOCOL FORMAT is expected"},
    {HEAD "m=audio 5004 RTP/SAVP\r\n", "line 6: m=KIND PORT"},
    {HEAD "m=audio x RTP/SAVP 0\r\n", "line 6: a port from 0 to 65535"},
    {HEAD "m=audio 65536 RTP/SAVP 0\r\n", "line 6: a port from 0 to 65535"},
    {HEAD "m=audio -1 RTP/SAVP 0\r\n", "line 6: a port from 0 to 65535"},
    {HEAD "m=audio 5004/2 RTP/SAVP 0\r\n", "line 6: a port from 0 to 65535"},
    {HEAD AUDIO "a=rtcp\r\n", "line 7: a=rtcp: with a port from 1"},
    {HEAD AUDIO "a=rtcp:0\r\n", "line 7: a=rtcp: with a port from 1"},
    {HEAD AUDIO "a=rtcp:65536\r\n", "line 7: a=rtcp: with a port from 1"},
    {HEAD AUDIO "a=rtcp:5 IN\r\n", "line 7: behind a=rtcp:PORT only"},
    {HEAD AUDIO "a=rtcp:5\r\na=rtcp:6\r\n", "line 8: a second a=rtcp line"},
    {HEAD AUDIO "a=crypto\r\n", "line 7: a=crypto: with a tag"},
    {HEAD AUDIO CRYPTO CRYPTO, "line 8: a second a=crypto line with the tag 1"},
    {HEAD AUDIO "a=ssrc:x\r\n", "line 7: a=ssrc: with a number"},
    {HEAD AUDIO "a=ssrc:4294967296 cname:x\r\n", "line 7: a=ssrc: with a number"},
    {HEAD AUDIO "a=ssrc:1\r\na=ssrc:2\r\na=ssrc:3\r\na=ssrc:4\r\na=ssrc:5\r\na=ssrc:6\r\n"
                "a=ssrc:7\r\na=ssrc:8\r\na=ssrc:9\r\n",
     "line 15: more than 8 SSRCs for one m= line"},
    {HEAD AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO
         AUDIO AUDIO,
     "line 22: more than 16 m= lines"},
};

START_TEST(test_refused)
{
    int rc = read_text(refused[_i].text);

    ck_assert_msg(rc == ERR_INVALID, "%s", refused[_i].text);
    ck_assert_msg(strncmp(error, refused[_i].error, strlen(refused[_i].error)) == 0, "%s: %s",
                  refused[_i].text, error);
}
END_TEST

START_TEST(test_octet_0)
{
    static const char text[] = "v=0\r\ns=a\0b\r\n";

    ck_assert_int_eq(sdp_read(&sdp, text, sizeof(text) - 1, error), ERR_INVALID);
    ck_assert_str_eq(error, "line 2: an octet 0, or a CR that is not at the end");
}
END_TEST

/* 64 KiB with 500 m= lines: refused at the 17th, whatever follows; one octet more, unread. */
START_TEST(test_too_long)
{
    static char text[SDP_MAX_OCTETS + 1];
    size_t length = strlen(HEAD);

    memset(text, 'x', sizeof(text));
    memcpy(text, HEAD, length);
    for (unsigned i = 0; i < 500; i++, length += strlen(AUDIO))
        memcpy(text + length, AUDIO, strlen(AUDIO));
    ck_assert_int_eq(sdp_read(&sdp, text, SDP_MAX_OCTETS, error), ERR_INVALID);
    ck_assert_str_eq(error, "line 22: more than 16 m= lines");
    ck_assert_int_eq(sdp_read(&sdp, text, sizeof(text), error), ERR_TOO_LONG);
    ck_assert_str_eq(error, "more than 65535 octets");
}
END_TEST

/* Two lines, each with what is its own. */
START_TEST(test_two_lines)
{
    static const char text[] =
        HEAD "a=group:BUNDLE 0 1\r\n" AUDIO CRYPTO
             "a=ssrc:305419896 cname:a\r\na=ssrc:305419896 msid:b\r\n"
             "m=video 5006 RTP/SAVPF 96\r\n"
             "a=crypto:2 UNKNOWN inline:x\r\na=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:" KEY_2
             "\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:a\r\na=ssrc:2 cname:a\r\n\r\n";
    const struct sdp_media *audio = &sdp.media[0], *video = &sdp.media[1];

    ck_assert_msg(read_text(text) == 0, "%s", error);
    ck_assert(sdp.media_count == 2 && sdp.bundle);
    ck_assert(words_are(&audio->kind, "audio") && words_are(&audio->proto, "RTP/SAVP"));
    ck_assert(audio->ssrc_count == 1 && audio->ssrc[0] == 305419896);
    ck_assert(audio->crypto_count == 1 && !audio->crypto[0].unusable);
    ck_assert(words_are(&video->kind, "video") && words_are(&video->proto, "RTP/SAVPF"));
    ck_assert(video->ssrc_count == 2 && video->ssrc[0] == 1 && video->ssrc[1] == 2);
    ck_assert(video->crypto_count == 2 && video->crypto[0].unusable);
    ck_assert_ptr_eq(sdp_crypto(video, 3), &video->crypto[1]);
    ck_assert_ptr_null(sdp_crypto(video, 1));
    ck_assert(video->line == 11 && audio->line == 7);
    ck_assert(audio->end == video->begin && video->end == strlen(text) - 2);
    ck_assert(sdp.session_end == audio->begin);
}
END_TEST

/* Each line costs time, and a=crypto more than others. */
START_TEST(test_too_many)
{
    char text[SDP_MAX_OCTETS] = HEAD;
    size_t length = strlen(text);

    for (unsigned line = 6; line <= SDP_LINES_MAX; line++)
        length += strlen(strcpy(text + length, "a=x\n"));
    ck_assert_msg(read_text(text) == 0, "%s", error);
    strcpy(text + length, "a=x\n");
    ck_assert_int_eq(read_text(text), ERR_INVALID);
    ck_assert_str_eq(error, "line 2001: more than 2000 lines");
    strcpy(text, HEAD AUDIO);
    length = strlen(text);
    for (unsigned i = 1; i <= SDP_CRYPTO_OFFERED; i++)
        length += (size_t)snprintf(text + length, 32, "a=crypto:%u X\n", i);
    ck_assert_msg(read_text(text) == 0, "%s", error);
    strcpy(text + length, "a=crypto:99 X\n");
    ck_assert_int_eq(read_text(text), ERR_INVALID);
    ck_assert_str_eq(error, "line 31: more than 24 a=crypto lines for one m= line");
}
END_TEST

/* Of twelve a=crypto the usable ones are kept, in their order. */
START_TEST(test_many_crypto)
{
    char text[4096] = HEAD AUDIO;

    for (unsigned i = 1; i <= 12; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "a=crypto:%u %s inline:" KEY_1 "\r\n", i,
                 i % 2 ? "UNKNOWN" : "AES_CM_128_HMAC_SHA1_80");
    ck_assert_msg(read_text(text) == 0, "%s", error);
    ck_assert_uint_eq(sdp.media[0].crypto_count, SDP_CRYPTO_MAX);
    for (unsigned tag = 2; tag <= 12; tag += 2)
        ck_assert(sdp_crypto(&sdp.media[0], tag) && !sdp_crypto(&sdp.media[0], tag)->unusable);
}
END_TEST

/* The text is in the heap, as long as it is: tools see an octet too far. */
static void read_copy(const char *text, size_t length, size_t bit)
{
    char *copy = malloc(length ? length : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, length);
    if (bit < 8 * length)
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
    error[0] = '\0';
    if (sdp_read(&sdp, copy, length, error) < 0)
        ck_assert(error[0] && strlen(error) < SDP_ERROR_SIZE);
    else
        ck_assert(sdp.media_count == 0 || sdp.media[0].end <= length);
    free(copy);
}

START_TEST(test_damaged)
{
    static const char text[] =
        HEAD "b=AS:64\r\n" AUDIO "a=rtcp:53020 IN IP4 126.16.64.4\r\n" CRYPTO "a=ssrc:1 cname:a\r\n"
             "m=video 0/1 UDP/TLS/RTP/SAVPF 96\na=fingerprint:sha-1 AA\n";

    for (size_t cut = 0; cut < sizeof(text); cut++)
        read_copy(text, cut, SIZE_MAX);
    for (size_t bit = 0; bit < 8 * (sizeof(text) - 1); bit++)
        read_copy(text, sizeof(text) - 1, bit);
}
END_TEST

START_TEST(test_dtls_and_ice)
{
    ck_assert_int_eq(read_text(HEAD "a=ice-ufrag:x\r\n" AUDIO), 0);
    ck_assert(sdp.media[0].ice && !sdp.media[0].dtls && !sdp.bundle);
    ck_assert_int_eq(read_text(HEAD AUDIO "a=fingerprint:sha-1 AA\r\n"), 0);
    ck_assert(!sdp.media[0].ice && sdp.media[0].dtls);
    ck_assert_int_eq(read_text(HEAD "m=audio 1 UDP/TLS/RTP/SAVP 0\na=candidate:1 1 UDP 1 a 1\n"),
                     0);
    ck_assert(sdp.media[0].ice && sdp.media[0].dtls);
    ck_assert_int_eq(read_text(HEAD AUDIO), 0);
    ck_assert(!sdp.media[0].ice && !sdp.media[0].dtls);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sdp");
    TCase *tc = tcase_create("sdp");

    tcase_add_loop_test(tc, test_line, 0, sizeof(lines) / sizeof(lines[0]));
    tcase_add_loop_test(tc, test_refused, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(tc, test_octet_0);
    tcase_add_test(tc, test_too_long);
    tcase_add_test(tc, test_two_lines);
    tcase_add_test(tc, test_too_many);
    tcase_add_test(tc, test_many_crypto);
    tcase_add_test(tc, test_damaged);
    tcase_add_test(tc, test_dtls_and_ice);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
