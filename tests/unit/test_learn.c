/*
 * Real SRTP from senders that are where they were said to be, from those that are not, and from
 * others who have only copies.
 */
#include "common/sa/learn.h"

#include <stdio.h>
#include <string.h>

#include "common/srtp/srtp.h"
#include "tests/unit/learnworld.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

enum {
    WHO_MAX = 3,
    STEPS_MAX = 24,
    MS = 1000,
    PACE_MS = 20,

    /* Short names for the tables. */
    NAMED = WORLD_NAMED,
    MUX = WORLD_MUX,
    PRIME = WORLD_PRIME,
    KEYLESS = WORLD_KEYLESS,
    SHORT = WORLD_SHORT_TAG,
    SAME = WORLD_ONE_SSRC,
    RTCP = WORLD_RTCP | WORLD_RTCP_PORT,
    MUXED = WORLD_RTCP,
    AT_RTCP = WORLD_RTCP_PORT,
    FORGED = WORLD_FORGED,
    OUTER = WORLD_OUTER,
};

#define OK       VERDICT_ACCEPTED
#define NO_SA    VERDICT_NO_SA
#define AUTH     VERDICT_AUTH_FAIL
#define REPLAY   VERDICT_REPLAY
#define MISMATCH VERDICT_SSRC_MISMATCH

#define HOME  "8.8.0.1:5000" /* as SDP says */
#define HOME2 "8.8.0.1:5001"
#define PORT  "8.8.0.1:31234" /* the same, seen through a NAT that changes ports */
#define PORT2 "8.8.0.1:31999"
#define AWAY  "9.9.0.1:7000"
#define AWAY2 "9.9.0.1:7001"
#define ELSE  "9.9.0.2:7000"
#define LAN   "10.0.0.7:5000"
#define SIP   "8.8.0.1:5060"

struct step {
    unsigned packets; /* with rising index, one in 20 ms; 0: the row ends */
    const char *from;
    uint64_t index; /* of the first */
    unsigned flags;
    enum verdict verdict;
    const char *rtp, *rtcp; /* where it is bound afterwards; NULL: nowhere */
    unsigned who;
    uint32_t ssrc, outer;
    unsigned pause_ms; /* before */
};

struct row {
    const char *name;
    struct world_who who[WHO_MAX];
    struct step step[STEPS_MAX];
};

#define HINTED(flags)                                                                              \
    {                                                                                              \
        SOURCE_HINTED, HOME, NULL, flags, 0, 0                                                     \
    }

/* ------------------------------------------------------------ the first packets bind */

static const struct row first_rows[] = {
    {"as SDP says", {HINTED(0)}, {{1, HOME, 10, 0, OK, .rtp = HOME}}},
    {"as SDP says, named", {HINTED(NAMED)}, {{1, HOME, 10, 0, OK, .rtp = HOME}}},
    {"port rewritten", {HINTED(0)}, {{1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"port rewritten, named", {HINTED(NAMED)}, {{1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"SDP private, SIP not",
     {{SOURCE_HINTED, LAN, SIP, 0, 0, 0}},
     {{1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"SDP private, SIP not, named",
     {{SOURCE_HINTED, LAN, SIP, NAMED, 0, 0}},
     {{1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"only SIP",
     {{SOURCE_HINTED, NULL, SIP, 0, 0, 0}},
     {{1, PORT, 10, 0, OK, .rtp = PORT}, {1, HOME, 11, 0, OK, .rtp = PORT}}},
    {"hinted, from elsewhere",
     {HINTED(0)},
     {{1, AWAY, 10, 0, NO_SA, .rtp = NULL}, {1, HOME, 10, 0, OK, .rtp = HOME}}},
    {"hinted, named, from elsewhere",
     {HINTED(NAMED)},
     {{20, AWAY, 10, 0, NO_SA, .rtp = NULL}, {1, HOME, 10, 0, OK, .rtp = HOME}}},
    {"strict",
     {{SOURCE_STRICT, HOME, NULL, 0, 0, 0}},
     {{1, PORT, 10, 0, NO_SA, .rtp = NULL},
      {1, AWAY, 10, 0, NO_SA, .rtp = NULL},
      {1, HOME, 10, 0, OK, .rtp = NULL}}},
    {"strict, named",
     {{SOURCE_STRICT, HOME, SIP, NAMED, 0, 0}},
     {{1, PORT, 10, 0, NO_SA, .rtp = NULL},
      {1, AWAY, 10, 0, NO_SA, .rtp = NULL},
      {1, HOME, 10, 0, OK, .rtp = NULL},
      {60, AWAY, 11, 0, NO_SA, .rtp = NULL}}},
    {"open", {{SOURCE_OPEN, HOME, NULL, 0, 0, 0}}, {{1, AWAY, 10, 0, OK, .rtp = AWAY}}},
    {"open, named", {{SOURCE_OPEN, HOME, NULL, NAMED, 0, 0}}, {{1, AWAY, 9, 0, OK, .rtp = AWAY}}},
    {"open, nothing known", {{SOURCE_OPEN, 0, 0, 0, 0, 0}}, {{1, AWAY, 9, 0, OK, .rtp = AWAY}}},
    {"wrong tag",
     {HINTED(0)},
     {{5, HOME, 10, FORGED, AUTH, .rtp = NULL},
      {5, PORT, 10, FORGED, AUTH, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT},
      {50, AWAY, 11, FORGED, AUTH, .rtp = PORT},
      {1, PORT, 11, 0, OK, .rtp = PORT}}},
    {"wrong tag, named",
     {HINTED(NAMED)},
     {{5, HOME, 10, FORGED, AUTH, .rtp = NULL},
      {5, PORT, 10, FORGED, AUTH, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"wrong tag, open",
     {{SOURCE_OPEN, HOME, NULL, 0, 0, 0}},
     {{5, AWAY, 10, FORGED, AUTH, .rtp = NULL}, {1, AWAY, 10, 0, OK, .rtp = AWAY}}},
    {"a copy afterwards, from elsewhere",
     {HINTED(0)},
     {{1, HOME, 10, 0, OK, .rtp = HOME},
      {1, AWAY, 10, 0, REPLAY, .rtp = HOME},
      {1, HOME, 10, 0, REPLAY, .rtp = HOME}}},
    {"short tags: the third",
     {HINTED(SHORT)},
     {{2, PORT, 10, 0, OK, .rtp = NULL}, {1, PORT, 12, 0, OK, .rtp = PORT}}},
    {"short tags: of one source",
     {HINTED(SHORT)},
     {{2, PORT, 10, 0, OK, .rtp = NULL},
      {1, PORT2, 12, 0, OK, .rtp = NULL},
      {2, PORT, 13, 0, OK, .rtp = NULL},
      {1, PORT, 15, 0, OK, .rtp = PORT}}},
    {"short tags: no copies, and rising",
     {HINTED(SHORT | NAMED)},
     {{2, PORT, 10, 0, OK, .rtp = NULL},
      {1, PORT, 10, 0, REPLAY, .rtp = NULL},
      {1, PORT, 9, 0, OK, .rtp = NULL},
      {1, PORT, 8, 0, OK, .rtp = NULL},
      {1, PORT, 12, FORGED, AUTH, .rtp = NULL},
      {1, PORT, 12, 0, OK, .rtp = PORT}}},
    {"wrong port",
     {HINTED(0)},
     {{1, HOME, 10, AT_RTCP, VERDICT_WRONG_PORT, .rtp = NULL},
      {1, PORT, 10, AT_RTCP, NO_SA, .rtp = NULL},
      {1, HOME, 1, MUXED, VERDICT_WRONG_PORT, .rtp = NULL},
      {1, PORT, 1, MUXED, NO_SA, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"wrong port, mux",
     {HINTED(MUX)},
     {{1, HOME, 1, RTCP, VERDICT_WRONG_PORT, .rtp = NULL},
      {1, PORT, 1, RTCP, NO_SA, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT}}},
    {"no key",
     {{SOURCE_STRICT, HOME, NULL, KEYLESS | NAMED, 0, 0}},
     {{10, HOME, 10, 0, OK, .rtp = NULL},
      {20, PORT, 20, 0, NO_SA, .rtp = NULL},
      {20, AWAY, 40, 0, NO_SA, .rtp = NULL}}},
};

/* ------------------------------------------------------------ RTCP */

static const struct row rtcp_rows[] = {
    {"its own port",
     {HINTED(0)},
     {{1, HOME, 10, 0, OK, .rtp = HOME}, {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2}}},
    {"its own port, rewritten",
     {HINTED(0)},
     {{1, PORT, 10, 0, OK, .rtp = PORT}, {1, PORT2, 1, RTCP, OK, .rtp = PORT, .rtcp = PORT2}}},
    {"never before RTP",
     {HINTED(0)},
     {{1, HOME2, 1, RTCP, OK, .rtp = NULL},
      {1, PORT2, 2, RTCP, OK, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT},
      {1, PORT2, 3, RTCP, OK, .rtp = PORT, .rtcp = PORT2}}},
    {"never before RTP, named",
     {HINTED(NAMED)},
     {{1, PORT2, 1, RTCP, OK, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT},
      {1, PORT2, 2, RTCP, OK, .rtp = PORT, .rtcp = PORT2}}},
    {"never from another host than RTP",
     {HINTED(NAMED)},
     {{1, HOME, 10, 0, OK, .rtp = HOME},
      {9, AWAY2, 1, RTCP, NO_SA, .rtp = HOME},
      {1, PORT2, 10, RTCP, OK, .rtp = HOME, .rtcp = PORT2}}},
    {"copies from elsewhere are there first",
     {HINTED(NAMED)},
     {{1, HOME, 10, 0, OK, .rtp = HOME},
      {1, AWAY2, 1, RTCP, NO_SA, .rtp = HOME},
      {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2},
      {1, AWAY2, 2, RTCP, OK, .rtp = HOME, .rtcp = HOME2},
      {1, HOME2, 2, RTCP, REPLAY, .rtp = HOME, .rtcp = HOME2}}},
    {"bound once",
     {HINTED(NAMED)},
     {{1, HOME, 10, 0, OK, .rtp = HOME},
      {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2},
      {9, PORT2, 2, RTCP, OK, .rtp = HOME, .rtcp = HOME2}}},
    {"both from one port",
     {HINTED(NAMED)},
     {{1, HOME, 10, 0, OK, .rtp = HOME}, {1, HOME, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME}}},
    {"mux: only RTP binds",
     {HINTED(MUX)},
     {{3, PORT, 1, MUXED, OK, .rtp = NULL},
      {1, PORT, 10, 0, OK, .rtp = PORT},
      {1, PORT, 4, MUXED, OK, .rtp = PORT}}},
    {"another SSRC reports",
     {HINTED(0)},
     {{1, HOME, 10, 0, OK, .rtp = HOME},
      {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2, .ssrc = 0x77},
      {1, HOME2, 2, RTCP, OK, .rtp = HOME, .rtcp = HOME2, .ssrc = 0x77}}},
    {"forged, and a copy",
     {HINTED(0)},
     {{1, HOME, 10, 0, OK, .rtp = HOME},
      {1, HOME2, 1, RTCP | FORGED, AUTH, .rtp = HOME},
      {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2},
      {1, AWAY, 1, RTCP, REPLAY, .rtp = HOME, .rtcp = HOME2}}},
};

/* ------------------------------------------------------------ moving */

#define BOUND                                                                                      \
    {                                                                                              \
        1, HOME, 100, 0, OK, .rtp = HOME                                                           \
    }

static const struct row move_rows[] = {
    {"8 packets and a second",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {1, AWAY, 207, 0, OK, .rtp = AWAY}}},
    {"8 packets are not enough",
     {HINTED(NAMED)},
     {BOUND, {49, AWAY, 200, 0, OK, .rtp = HOME}, {1, AWAY, 249, 0, OK, .rtp = AWAY}}},
    {"learned SSRC",
     {HINTED(0)},
     {BOUND, {49, AWAY, 200, 0, OK, .rtp = HOME}, {1, AWAY, 249, 0, OK, .rtp = AWAY}}},
    {"mux",
     {HINTED(MUX)},
     {BOUND,
      {20, AWAY, 1, MUXED, OK, .rtp = HOME, .pause_ms = 2000},
      {7, AWAY, 200, 0, OK, .rtp = HOME},
      {1, AWAY, 207, 0, OK, .rtp = AWAY}}},
    {"never on RTCP",
     {HINTED(NAMED)},
     {BOUND,
      {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2},
      {100, AWAY2, 2, RTCP, OK, .rtp = HOME, .rtcp = HOME2}}},
    {"RTCP follows",
     {HINTED(NAMED)},
     {BOUND,
      {1, HOME2, 1, RTCP, OK, .rtp = HOME, .rtcp = HOME2},
      {8, AWAY, 200, 0, OK, .rtp = AWAY, .pause_ms = 2000},
      {1, ELSE, 2, RTCP, NO_SA, .rtp = AWAY},
      {1, AWAY2, 3, RTCP, OK, .rtp = AWAY, .rtcp = AWAY2}}},
    {"once in 10 s, and back",
     {HINTED(NAMED)},
     {BOUND,
      {8, AWAY, 200, 0, OK, .rtp = AWAY, .pause_ms = 2000},
      {8, HOME, 300, 0, OK, .rtp = AWAY, .pause_ms = 5000},
      {1, HOME, 308, 0, OK, .rtp = AWAY, .pause_ms = 4700},
      {1, HOME, 309, 0, OK, .rtp = HOME, .pause_ms = 200}}},
    {"strict: never",
     {{SOURCE_STRICT, HOME, NULL, NAMED, 0, 0}},
     {{1, HOME, 100, 0, OK, .rtp = NULL}, {80, AWAY, 200, 0, NO_SA, .rtp = NULL}}},
    {"only rising ones count",
     {HINTED(NAMED)},
     {BOUND,
      {1, AWAY, 220, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {9, AWAY, 205, 0, OK, .rtp = HOME},
      {6, AWAY, 221, 0, OK, .rtp = HOME},
      {6, AWAY, 221, 0, REPLAY, .rtp = HOME},
      {1, AWAY, 230, FORGED, AUTH, .rtp = HOME},
      {1, AWAY, 230, 0, OK, .rtp = AWAY}}},
    {"of one source",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {1, ELSE, 207, 0, OK, .rtp = HOME},
      {7, AWAY, 208, 0, OK, .rtp = HOME},
      {1, AWAY, 215, 0, OK, .rtp = AWAY}}},
    {"a fresher one from the old source",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {1, HOME, 207, 0, OK, .rtp = HOME},
      {48, AWAY, 208, 0, OK, .rtp = HOME},
      {4, AWAY, 256, 0, OK, .rtp = AWAY}}},
    {"late ones from the old source are no sign",
     {HINTED(NAMED)},
     {BOUND,
      {4, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {9, HOME, 190, 0, OK, .rtp = HOME},
      {3, AWAY, 204, 0, OK, .rtp = HOME},
      {1, AWAY, 207, 0, OK, .rtp = AWAY}}},
    {"copies of late ones are none either",
     {HINTED(NAMED)},
     {{10, HOME, 191, 0, OK, .rtp = HOME},
      {4, AWAY, 201, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {10, HOME, 191, 0, REPLAY, .rtp = HOME},
      {3, AWAY, 205, 0, OK, .rtp = HOME},
      {1, AWAY, 208, 0, OK, .rtp = AWAY}}},
    {"a copy from the old source",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {1, HOME, 206, 0, REPLAY, .rtp = HOME},
      {48, AWAY, 207, 0, OK, .rtp = HOME},
      {1, HOME, 254, 0, REPLAY, .rtp = HOME},
      {48, AWAY, 255, 0, OK, .rtp = HOME}}},
    {"a forged copy from the old source",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {7, HOME, 200, FORGED, REPLAY, .rtp = HOME, .pause_ms = 2000},
      {1, AWAY, 220, 0, OK, .rtp = AWAY}}},
    {"a copy from a third place",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 200, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {7, ELSE, 200, 0, REPLAY, .rtp = HOME},
      {1, AWAY, 207, 0, OK, .rtp = AWAY}}},
    {"the new source has a new SSRC, whose numbers are lower",
     {HINTED(NAMED)},
     {BOUND,
      {3, AWAY, 1000, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {4, AWAY, 50, 0, OK, .rtp = HOME, .ssrc = WORLD_SSRC + 1},
      {1, AWAY, 54, 0, OK, .rtp = AWAY, .ssrc = WORLD_SSRC + 1}}},
    {"lower numbers of another SSRC from the old source are fresh",
     {HINTED(NAMED)},
     {BOUND,
      {7, AWAY, 1000, 0, OK, .rtp = HOME, .pause_ms = 2000},
      {1, HOME, 50, 0, OK, .rtp = HOME, .ssrc = WORLD_SSRC + 1},
      {7, AWAY, 1010, 0, OK, .rtp = HOME},
      {1, AWAY, 1020, 0, OK, .rtp = HOME}}},
};

/* ------------------------------------------------------------ SSRCs, and SAs that are alike */

static const struct row ssrc_rows[] = {
    {"signalled is binding",
     {HINTED(NAMED)},
     {BOUND,
      {3, HOME, 10, 0, MISMATCH, .rtp = HOME, .ssrc = 0x77},
      {3, HOME, 10, FORGED, AUTH, .rtp = HOME, .ssrc = 0x77},
      {3, PORT, 10, 0, NO_SA, .rtp = HOME, .ssrc = 0x77}}},
    {"a new one is learned",
     {HINTED(0)},
     {BOUND,
      {3, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 0x77},
      {3, HOME, 10, 0, REPLAY, .rtp = HOME, .ssrc = 0x77},
      {1, HOME, 10, FORGED, AUTH, .rtp = HOME, .ssrc = 0x78},
      {1, HOME, 101, 0, OK, .rtp = HOME}}},
    {"the ninth takes the place of the oldest",
     {HINTED(0)},
     {{1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 1},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 2},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 3},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 4},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 5},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 6},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 7},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 8},
      {1, AWAY, 11, 0, OK, .rtp = HOME, .ssrc = 1},
      {1, HOME, 10, 0, OK, .rtp = HOME, .ssrc = 9},
      {1, HOME, 10, 0, REPLAY, .rtp = HOME, .ssrc = 2},
      {1, AWAY, 12, 0, NO_SA, .rtp = HOME, .ssrc = 1},
      {1, HOME, 12, 0, OK, .rtp = HOME, .ssrc = 1},
      {1, AWAY, 11, 0, NO_SA, .rtp = HOME, .ssrc = 2}}},
    {"one socket, three calls, no SSRC known",
     {HINTED(0), HINTED(0), HINTED(0)},
     {{5, HOME, 10, 0, OK, .rtp = HOME, .who = 0},
      {5, HOME, 10, 0, OK, .rtp = HOME, .who = 1},
      {5, HOME, 10, 0, OK, .rtp = HOME, .who = 2},
      {5, HOME, 10, 0, REPLAY, .rtp = HOME, .who = 1},
      {5, HOME, 15, FORGED, AUTH, .rtp = HOME, .who = 1},
      {5, HOME, 15, 0, OK, .rtp = HOME, .who = 0}}},
    {"one socket, one SSRC, three keys",
     {HINTED(SAME), HINTED(SAME), HINTED(SAME)},
     {{5, HOME, 10, 0, OK, .rtp = HOME, .who = 0},
      {5, HOME, 10, 0, OK, .rtp = HOME, .who = 1},
      {5, HOME, 10, 0, OK, .rtp = HOME, .who = 2},
      {500, HOME, 15, 0, OK, .rtp = HOME, .who = 2},
      {500, HOME, 15, 0, OK, .rtp = HOME, .who = 0},
      {1, HOME, 15, 0, REPLAY, .rtp = HOME, .who = 0},
      {1, HOME, 514, 0, REPLAY, .rtp = HOME, .who = 2}}},
    {"one socket, one SSRC, named",
     {HINTED(SAME | NAMED), HINTED(SAME | NAMED), HINTED(SAME | NAMED)},
     {{5, HOME, 10, 0, OK, .rtp = HOME, .who = 0},
      {5, HOME, 10, 0, OK, .rtp = HOME, .who = 1},
      {5, PORT, 10, 0, OK, .rtp = PORT, .who = 2},
      {5, HOME, 15, 0, OK, .rtp = HOME, .who = 1},
      {5, HOME, 25, FORGED, AUTH, .rtp = HOME, .who = 0},
      {5, HOME, 15, 0, OK, .rtp = HOME, .who = 0}}},
    {"a copy from the old source, where another SA is alike",
     {HINTED(SAME | NAMED), HINTED(SAME | NAMED)},
     {{1, HOME, 90, 0, OK, .rtp = HOME, .who = 1},
      {1, HOME, 100, 0, OK, .rtp = HOME, .who = 0},
      {7, AWAY, 200, 0, OK, .rtp = HOME, .who = 0, .pause_ms = 2000},
      {1, HOME, 206, 0, REPLAY, .rtp = HOME, .who = 0},
      {8, AWAY, 207, 0, OK, .rtp = HOME, .who = 0},
      {1, HOME, 100, 0, OK, .rtp = HOME, .who = 1},
      {7, AWAY, 300, 0, OK, .rtp = HOME, .who = 1, .pause_ms = 2000},
      {1, HOME, 306, 0, REPLAY, .rtp = HOME, .who = 1},
      {8, AWAY, 307, 0, OK, .rtp = HOME, .who = 1}}},
};

/* ------------------------------------------------------------ RTP' */

#define PEER  "8.8.0.50:5004"
#define PEER2 "8.8.0.50:5005"
#define OTHER "8.8.0.60:5004"

#define FROM_PEER(flags)                                                                           \
    {                                                                                              \
        SOURCE_STRICT, PEER, NULL, PRIME | (flags), 0, 0                                           \
    }

static const struct row prime_rows[] = {
    {"named",
     {FROM_PEER(NAMED), FROM_PEER(NAMED)},
     {{2, PEER, 10, OUTER, OK, .outer = WORLD_SSRC},
      {2, PEER, 12, OUTER | FORGED, AUTH, .outer = WORLD_SSRC},
      {2, PEER, 12, OUTER, MISMATCH, .outer = WORLD_SSRC, .ssrc = 0x77},
      {2, PEER, 12, OUTER, NO_SA, .outer = 0x77},
      {2, PEER, 12, OUTER, AUTH, .outer = WORLD_SSRC + 1},
      {2, PEER, 12, OUTER, AUTH, .outer = WORLD_SSRC, .who = 1},
      {2, OTHER, 12, OUTER, VERDICT_MALFORMED, .outer = WORLD_SSRC},
      {1, PEER2, 1, OUTER | RTCP, OK, .outer = WORLD_SSRC},
      {1, PEER2, 1, OUTER | RTCP, MISMATCH, .outer = WORLD_SSRC, .ssrc = 0x77},
      {1, PEER2, 1, OUTER | MUXED, VERDICT_WRONG_PORT, .outer = WORLD_SSRC},
      {1, PEER, 12, OUTER | AT_RTCP, VERDICT_WRONG_PORT, .outer = WORLD_SSRC}}},
    {"RTP from a peer, RTP' from none",
     {FROM_PEER(NAMED), HINTED(NAMED)},
     {{2, PEER, 10, 0, VERDICT_MALFORMED, .rtp = NULL},
      {2, HOME, 10, OUTER, VERDICT_MALFORMED, .outer = WORLD_SSRC + 1, .who = 1},
      {2, HOME, 10, OUTER, AUTH, .outer = 0x80000000, .who = 1},
      {2, AWAY, 10, OUTER, NO_SA, .outer = 0x80000000, .who = 1}}},
    {"learned",
     {FROM_PEER(0), FROM_PEER(0)},
     {{2, PEER, 10, OUTER, OK, .outer = WORLD_SSRC},
      {2, PEER, 10, OUTER, OK, .outer = WORLD_SSRC + 1, .who = 1},
      {2, PEER, 20, OUTER, OK, .outer = 0x90000000, .ssrc = 0x90000000},
      {2, PEER, 30, OUTER, MISMATCH, .outer = WORLD_SSRC, .ssrc = 0x88},
      {2, PEER, 30, OUTER, MISMATCH, .outer = 0x89, .ssrc = 0x88},
      {2, PEER, 30, OUTER | FORGED, AUTH, .outer = 0x88, .ssrc = 0x88},
      {1, PEER2, 1, OUTER | RTCP, OK, .outer = WORLD_SSRC, .ssrc = 0x99},
      {1, PEER2, 1, OUTER | RTCP, REPLAY, .outer = WORLD_SSRC, .ssrc = 0x99},
      {2, PEER, 12, OUTER, MISMATCH, .outer = 0x90000000},
      {2, PEER, 12, OUTER, OK, .outer = WORLD_SSRC}}},
};

/* ------------------------------------------------------------ a row */

static const struct row *row;
static unsigned step_number;

static void complain(const char *what)
{
    ck_abort_msg("%s, step %u: %s", row->name, step_number, what);
}

static void expect_bound(const struct sa *sa, bool rtcp, const char *where)
{
    struct addr addr = sample_addr(where ? where : "");

    if (sa->bound[rtcp] != (where != NULL))
        complain(rtcp ? "RTCP is bound or not" : "RTP is bound or not");
    if (where && !addr_equal(rtcp ? &sa->source.rtcp : &sa->source.rtp, &addr))
        complain(rtcp ? "RTCP is bound elsewhere" : "RTP is bound elsewhere");
}

/* Each packet is counted under its verdict at one SA at most. */
static uint64_t counted(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WHO_MAX && row->who[i].policy; i++) {
        for (int v = 0; v < VERDICT_COUNT; v++)
            sum += world_sa(i)->verdicts[v];
    }
    return sum;
}

static void send_one(const struct step *step, unsigned k)
{
    struct world_packet packet = {step->who, step->ssrc, step->index + k, step->flags, step->outer};
    uint64_t before = counted(), packets = world_sa(step->who)->packets;
    struct sa *found;
    enum verdict verdict;

    world_pass(PACE_MS * MS);
    verdict = world_send(&packet, step->from, &found);
    if (verdict != step->verdict)
        ck_abort_msg("%s, step %u, packet %u: %s, not %s", row->name, step_number, k,
                     verdict_name(verdict), verdict_name(step->verdict));
    if (verdict == VERDICT_ACCEPTED && found != world_sa(step->who))
        complain("taken for another's");
    if (world_sa(step->who)->packets != packets + (verdict == VERDICT_ACCEPTED))
        complain("accepted, and not counted so");
    if (counted() > before + 1)
        complain("counted twice");
}

/* With a second SSRC, where the row is about two of them. */
static void add_second_ssrc(unsigned n)
{
    struct sa *sa = world_sa(n);

    for (const struct step *step = row->step; step->packets > 0; step++) {
        if (step->ssrc == WORLD_SSRC + 1 && sa->stream_count == 1) {
            ck_assert_int_eq(sa_stream_add(sa, step->ssrc, SSRC_ORIGIN_SIGNALLED), 0);
            table_streams_added(world_table(), sa);
        }
    }
}

static void run_row(const struct row *of)
{
    row = of;
    world_begin();
    world_add_peer(PEER);
    for (unsigned i = 0; i < WHO_MAX && row->who[i].policy; i++) {
        (void)world_add(&row->who[i]);
        add_second_ssrc(i);
    }
    for (step_number = 0; step_number < STEPS_MAX && row->step[step_number].packets;
         step_number++) {
        const struct step *step = &row->step[step_number];

        world_pass(step->pause_ms * (uint64_t)MS);
        for (unsigned k = 0; k < step->packets; k++)
            send_one(step, k);
        expect_bound(world_sa(step->who), false, step->rtp);
        expect_bound(world_sa(step->who), true, step->rtcp);
    }
    world_end();
}

START_TEST(test_first)
{
    run_row(&first_rows[_i]);
}
END_TEST

START_TEST(test_rtcp)
{
    run_row(&rtcp_rows[_i]);
}
END_TEST

START_TEST(test_move)
{
    run_row(&move_rows[_i]);
}
END_TEST

START_TEST(test_ssrc)
{
    run_row(&ssrc_rows[_i]);
}
END_TEST

START_TEST(test_prime)
{
    run_row(&prime_rows[_i]);
}
END_TEST

/* ------------------------------------------------------------ the rest */

static struct world_packet rtp_of(unsigned who, uint64_t index)
{
    return (struct world_packet){.who = who, .index = index};
}

static enum verdict send_rtp(unsigned who, uint64_t index, const char *from)
{
    struct world_packet packet = rtp_of(who, index);

    return world_send(&packet, from, NULL);
}

static void forge(unsigned who, uint64_t index, const char *from, unsigned count,
                  unsigned verdicts[VERDICT_COUNT])
{
    struct world_packet packet = {.who = who, .index = index, .flags = WORLD_FORGED};

    for (unsigned i = 0; i < count; i++, packet.index++)
        verdicts[world_send(&packet, from, NULL)]++;
}

/* Who guesses is told apart from who has guessed too often, and the others are heard meanwhile. */
START_TEST(test_budget)
{
    const struct world_who who = {.source = LAN, .hint = SIP}, bound = {.source = AWAY};
    unsigned verdicts[VERDICT_COUNT] = {0};
    struct budget_counts before, after;
    unsigned first, calm;

    world_begin();
    first = world_add(&who);
    for (unsigned i = 1; i < 20; i++)
        (void)world_add(&who);
    calm = world_add(&bound);
    ck_assert_uint_eq(send_rtp(calm, 10, AWAY), VERDICT_ACCEPTED);
    before = budget_counts(world_budget());
    forge(first, 10, PORT, 200, verdicts);
    after = budget_counts(world_budget());
    ck_assert_uint_eq(verdicts[VERDICT_AUTH_FAIL], BUDGET_FLOW_BURST / BUDGET_TRIES);
    ck_assert_uint_eq(verdicts[VERDICT_LEARN_LIMIT], 200 - BUDGET_FLOW_BURST / BUDGET_TRIES);
    ck_assert_uint_eq(after.tries - before.tries, BUDGET_FLOW_BURST);
    ck_assert_uint_eq(after.refused - before.refused, 200 - BUDGET_FLOW_BURST / BUDGET_TRIES);
    ck_assert_uint_eq(send_rtp(calm, 11, AWAY), VERDICT_ACCEPTED);
    ck_assert_uint_eq(send_rtp(first, 300, PORT), VERDICT_LEARN_LIMIT);
    ck_assert(!world_sa(first)->bound[0]);
    world_pass(1000 * MS);
    for (unsigned i = 0; i < 3 && !world_sa(first)->bound[0]; i++)
        (void)send_rtp(first, 301 + i, PORT);
    ck_assert(world_sa(first)->bound[0]);
    world_end();
}
END_TEST

/* A known SSRC from anywhere: its own bound, too. */
START_TEST(test_budget_match)
{
    const struct world_who who = {.source = HOME, .flags = WORLD_NAMED};
    unsigned verdicts[VERDICT_COUNT] = {0}, n;

    world_begin();
    n = world_add(&who);
    ck_assert_uint_eq(send_rtp(n, 10, HOME), VERDICT_ACCEPTED);
    forge(n, 11, AWAY, 1000, verdicts);
    ck_assert_uint_eq(verdicts[VERDICT_AUTH_FAIL], BUDGET_FLOW_BURST);
    ck_assert_uint_eq(verdicts[VERDICT_LEARN_LIMIT], 1000 - BUDGET_FLOW_BURST);
    ck_assert_uint_eq(send_rtp(n, 11, HOME), VERDICT_ACCEPTED);
    ck_assert_uint_eq(send_rtp(n, 12, ELSE), VERDICT_ACCEPTED);
    world_end();
}
END_TEST

/* In a known sender's name: a second of speech is looked for elsewhere, then little. */
START_TEST(test_doubt)
{
    const struct world_who known = {.source = PORT, .flags = WORLD_NAMED};
    const struct world_who who = {.source = LAN, .hint = SIP};
    struct world_packet packet = {.index = 100, .flags = WORLD_FORGED, .ssrc = WORLD_SSRC};
    uint64_t tries;
    unsigned i;

    world_begin();
    (void)world_add(&known);
    ck_assert_uint_eq(send_rtp(0, 10, PORT), VERDICT_ACCEPTED);
    for (i = 0; i < 20; i++)
        (void)world_add(&who);
    for (i = 0; i < 4 * LEARN_DOUBTS; i++, packet.index++)
        ck_assert_uint_eq(world_send(&packet, PORT, NULL), VERDICT_AUTH_FAIL);
    tries = budget_counts(world_budget()).tries;
    ck_assert_uint_eq(tries, LEARN_DOUBTS * BUDGET_TRIES);
    world_pass(LEARN_DOUBT_US); /* the flow might have more */
    for (i = 0; i < LEARN_DOUBTS; i++, packet.index++)
        ck_assert_uint_eq(world_send(&packet, PORT, NULL), VERDICT_AUTH_FAIL);
    ck_assert_uint_eq(budget_counts(world_budget()).tries, tries + BUDGET_TRIES);
    ck_assert_uint_eq(send_rtp(0, 11, PORT), VERDICT_ACCEPTED);
    /* Another SSRC from there is another call of a gateway, at once; the same one, some time. */
    for (i = 0; i < 4 && !world_sa(1)->bound[0]; i++)
        (void)send_rtp(1, 10 + i, PORT);
    ck_assert(world_sa(1)->bound[0]);
    world_pass(LEARN_DOUBTS * LEARN_DOUBT_US);
    packet = (struct world_packet){.who = 2, .index = 500, .ssrc = WORLD_SSRC};
    for (i = 0; i < 4 && !world_sa(2)->bound[0]; i++, packet.index++)
        (void)world_send(&packet, PORT, NULL);
    ck_assert(world_sa(2)->bound[0]);
    ck_assert_uint_eq(world_sa(0)->doubted_us, world_now_us() + (i - 1) * LEARN_DOUBT_US);
    world_end();
}
END_TEST

/* What is sent back: to where the sender is bound, if that may be sent to. */
static const struct {
    const char *from, *to;
} returns[] = {
    {"8.8.0.1:31234", "8.8.0.1:31234"}, {"[2a00::1]:7000", "[2a00::1]:7000"},
    {"127.0.0.1:31234", NULL},          {"10.9.9.9:31234", NULL},
    {"192.168.1.1:31234", NULL},        {"203.0.112.77:5004", NULL}, /* our own */
    {"[::ffff:127.0.0.1]:9", NULL},
};

START_TEST(test_return)
{
    const struct world_who who = {SOURCE_OPEN, HOME, NULL, 0, 0, 0};
    const char *from = returns[_i].from;
    struct learn learn = {NULL, NULL, world_rules()};
    const struct addr *to;
    unsigned n;

    world_begin();
    world_rules()->own[world_rules()->own_count++] = sample_addr("203.0.112.77:5004");
    n = world_add(&who);
    to = &world_reverse(n)->destination.rtp;
    learn.table = world_table();
    learn_settle(&learn, world_sa(n));
    ck_assert_uint_eq(to->family, 0);
    ck_assert_uint_eq(send_rtp(n, 10, from), VERDICT_ACCEPTED);
    ck_assert(world_sa(n)->bound[0]);
    for (unsigned i = 0; i < 2; i++) {
        struct addr expected = sample_addr(returns[_i].to ? returns[_i].to : "");

        ck_assert(addr_equal(to, &expected));
        world_reverse(n)->destination = (struct sa_transport){0};
        learn_settle(&learn, i ? world_reverse(n) : world_sa(n));
    }
    world_end();
}
END_TEST

/* RTCP goes back to its own port once that is known, and with RTP where both share one. */
START_TEST(test_return_rtcp)
{
    const struct world_who who = {.source = HOME, .flags = _i == 1 ? WORLD_MUX : 0};
    struct world_packet rtcp = {.index = 1, .flags = _i ? MUXED : RTCP};
    struct addr expected = sample_addr(_i ? PORT : PORT2);
    const struct sa_transport *to;
    unsigned n;

    world_begin();
    n = world_add(&who);
    to = &world_reverse(n)->destination;
    ck_assert_uint_eq(send_rtp(n, 10, PORT), VERDICT_ACCEPTED);
    ck_assert_uint_eq(to->rtcp.family, 0);
    ck_assert_uint_eq(world_send(&rtcp, _i ? PORT : PORT2, NULL), VERDICT_ACCEPTED);
    ck_assert(to->mux == (_i == 1));
    ck_assert(addr_equal(sa_transport_addr(to, true), &expected));
    world_end();
}
END_TEST

/* RTP' goes to peers: where plain RTP came from is none. */
START_TEST(test_return_prime)
{
    const struct world_who who = {.source = HOME};
    unsigned n;

    world_begin();
    n = world_add(&who);
    world_reverse(n)->encap_out = SA_ENCAP_RTP_PRIME;
    ck_assert_uint_eq(send_rtp(n, 10, HOME), VERDICT_ACCEPTED);
    ck_assert_uint_eq(world_reverse(n)->destination.rtp.family, 0);
    world_end();
}
END_TEST

/* One that the dmz-relay would not take any more, and whose destination it has taken away. */
START_TEST(test_return_refused)
{
    const struct world_who who = {.source = HOME};
    struct learn learn = {NULL, NULL, world_rules()};
    struct addr expected = sample_addr(HOME);
    struct sa *other;
    unsigned n;

    world_begin();
    n = world_add(&who);
    learn.table = world_table();
    other = world_reverse(n);
    other->refused = true;
    other->destination = (struct sa_transport){0};
    ck_assert_uint_eq(send_rtp(n, 10, HOME), VERDICT_ACCEPTED);
    ck_assert(world_sa(n)->bound[0]);
    ck_assert_uint_eq(other->destination.rtp.family, 0);
    other->refused = false;
    learn_settle(&learn, other);
    ck_assert(addr_equal(&other->destination.rtp, &expected));
    world_end();
}
END_TEST

/* The first packets of an SSRC under the key before, while that is good. */
START_TEST(test_old_key)
{
    const struct world_who who = {.source = HOME};
    unsigned n;

    world_begin();
    n = world_add(&who);
    world_rekey(n);
    world_use_old_key(n, true);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(send_rtp(n, 10 + i, PORT), VERDICT_ACCEPTED);
        ck_assert_uint_eq(send_rtp(n, 10 + i, PORT), VERDICT_REPLAY);
    }
    ck_assert(world_sa(n)->bound[0]);
    world_use_old_key(n, false);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(send_rtp(n, 10 + i, PORT), VERDICT_ACCEPTED);
        ck_assert_uint_eq(send_rtp(n, 10 + i, PORT), VERDICT_REPLAY);
    }
    world_use_old_key(n, true);
    ck_assert_uint_eq(send_rtp(n, 13, PORT), VERDICT_ACCEPTED);
    world_pass(OLD_KEY_US);
    ck_assert_uint_eq(send_rtp(n, 14, PORT), VERDICT_AUTH_FAIL);
    world_end();
}
END_TEST

/* A sender that moves while its key changes, and begins to count anew. */
START_TEST(test_move_rekeyed)
{
    const struct world_who who = {.source = HOME, .flags = WORLD_NAMED};
    const struct addr home = sample_addr(HOME), away = sample_addr(AWAY);
    unsigned n;

    world_begin();
    n = world_add(&who);
    ck_assert_uint_eq(send_rtp(n, 1000, HOME), VERDICT_ACCEPTED);
    world_pass(2000 * MS);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(send_rtp(n, 1001 + i, AWAY), VERDICT_ACCEPTED);
    world_rekey(n);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert(addr_equal(&world_sa(n)->source.rtp, &home));
        ck_assert_uint_eq(send_rtp(n, 10 + i, AWAY), VERDICT_ACCEPTED);
    }
    ck_assert(addr_equal(&world_sa(n)->source.rtp, &away));
    world_end();
}
END_TEST

/* While the key before is good, its copies move nothing, however fast they are. */
START_TEST(test_copies_of_old_key)
{
    const struct world_who who = {.source = HOME};
    const struct addr home = sample_addr(HOME);
    unsigned n;

    world_begin();
    n = world_add(&who);
    ck_assert_uint_eq(send_rtp(n, 1000, HOME), VERDICT_ACCEPTED);
    world_rekey(n);
    world_use_old_key(n, true);
    for (unsigned i = 1; i < 200; i++) {
        world_pass(PACE_MS * MS);
        ck_assert_uint_eq(send_rtp(n, 1000 + i, AWAY), VERDICT_ACCEPTED);
        ck_assert_uint_eq(send_rtp(n, 1000 + i, HOME), VERDICT_REPLAY);
        ck_assert(addr_equal(&world_sa(n)->source.rtp, &home));
    }
    world_end();
}
END_TEST

/* A replay for one SA is no first packet of another one with the same key. */
START_TEST(test_same_key)
{
    static const char *const from[] = {HOME, PORT};
    const struct world_who who = {.source = HOME, .key = 7};
    struct world_packet packet = {.ssrc = WORLD_SSRC, .index = 10};
    struct sa *first;

    world_begin();
    (void)world_add(&who);
    (void)world_add(&who);
    ck_assert_uint_eq(world_send(&packet, HOME, &first), VERDICT_ACCEPTED);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(world_send(&packet, from[i % 2], NULL), VERDICT_REPLAY);
    packet.ssrc++;
    ck_assert_uint_eq(world_send(&packet, PORT, NULL), VERDICT_ACCEPTED);
    ck_assert_uint_eq(world_sa(0)->packets + world_sa(1)->packets, 2);
    world_end();
}
END_TEST

/* What a state file says is bound was not heard in this life: the second begins now. */
START_TEST(test_move_restored)
{
    const struct world_who who = {.source = HOME, .flags = WORLD_NAMED};
    const struct addr home = sample_addr(HOME), away = sample_addr(AWAY);
    unsigned n;

    world_begin();
    n = world_add(&who);
    world_sa(n)->bound[0] = true;
    table_move_source(world_table(), world_sa(n), false, &home);
    for (unsigned i = 0; i < 51; i++) {
        ck_assert(addr_equal(&world_sa(n)->source.rtp, &home));
        ck_assert_uint_eq(send_rtp(n, 10 + i, AWAY), VERDICT_ACCEPTED);
        world_pass(PACE_MS * MS);
    }
    ck_assert(addr_equal(&world_sa(n)->source.rtp, &away));
    world_end();
}
END_TEST

/* No more SAs than may be share source and SSRC, whether those are signalled or learned. */
START_TEST(test_alike)
{
    const struct world_who victim = {.source = HOME, .flags = WORLD_NAMED | WORLD_ONE_SSRC};
    bool named = _i == 1;
    unsigned crowd = 0;

    world_begin();
    ck_assert_uint_eq(send_rtp(world_add(&victim), 10, HOME), VERDICT_ACCEPTED);
    for (unsigned i = 1; i <= 20; i++) {
        char nearby[ADDR_TEXT_SIZE];
        const struct world_who other = {.source = named ? nearby : HOME,
                                        .flags = named ? WORLD_NAMED | WORLD_ONE_SSRC : 0,
                                        .owner = 1};
        struct world_packet packet = {.ssrc = WORLD_SSRC, .index = 500};

        snprintf(nearby, sizeof(nearby), "8.8.0.1:%u", 6000 + 2 * i);
        packet.who = world_add(&other);
        (void)world_send(&packet, HOME, NULL);
    }
    for (unsigned i = 1; i <= 20; i++)
        crowd += addr_equal(&world_sa(i)->source.rtp, &world_sa(0)->source.rtp) &&
                 world_sa(i)->stream_count > 0;
    ck_assert_uint_eq(crowd, TABLE_ALIKE_OWN);
    for (unsigned i = 0; i < 100; i++) {
        world_pass(PACE_MS * MS);
        ck_assert_uint_eq(send_rtp(0, 11 + i, HOME), VERDICT_ACCEPTED);
    }
    world_end();
}
END_TEST

/* An SSRC that was let go under the key before does not come again under it. */
START_TEST(test_old_key_let_go)
{
    const struct world_who who = {.source = HOME};
    struct world_packet packet = {.ssrc = WORLD_SSRC, .index = 10};

    world_begin();
    (void)world_add(&who);
    ck_assert_uint_eq(world_send(&packet, HOME, NULL), VERDICT_ACCEPTED);
    world_rekey(0);
    for (unsigned i = 1; i <= SA_SSRC_MAX; i++) {
        packet.ssrc = WORLD_SSRC + i;
        ck_assert_uint_eq(world_send(&packet, HOME, NULL), VERDICT_ACCEPTED);
    }
    packet.ssrc = WORLD_SSRC;
    world_use_old_key(0, true);
    ck_assert_uint_ne(world_send(&packet, HOME, NULL), VERDICT_ACCEPTED);
    world_end();
}
END_TEST

/* An SA without a key at some source keeps nobody else from being heard from there. */
START_TEST(test_beside_keyless)
{
    const struct world_who alone = {SOURCE_STRICT, .source = PORT,
                                    .flags = WORLD_NAMED | WORLD_KEYLESS, .owner = 1};
    const struct world_who who = {.source = HOME, .flags = _i ? WORLD_NAMED : 0};
    struct world_packet packet = {.who = 1, .index = 10};
    struct sa *found;

    world_begin();
    (void)world_add(&alone);
    (void)world_add(&who);
    for (; packet.index < 20; packet.index++) {
        ck_assert_uint_eq(world_send(&packet, PORT, &found), VERDICT_ACCEPTED);
        ck_assert_ptr_eq(found, world_sa(1));
    }
    ck_assert(world_sa(1)->bound[0]);
    ck_assert_uint_eq(world_sa(0)->verdicts[VERDICT_SSRC_MISMATCH], 0);
    packet.ssrc = 77;
    packet.flags = WORLD_FORGED;
    ck_assert_uint_ne(world_send(&packet, PORT, NULL), VERDICT_ACCEPTED);
    world_end();
}
END_TEST

/* However many others have its SSRC, a sender is heard from where it is expected. */
START_TEST(test_many_have_ssrc)
{
    const struct world_who who = {
        .source = LAN, .hint = SIP, .flags = WORLD_NAMED | WORLD_ONE_SSRC};
    char elsewhere[ADDR_TEXT_SIZE];
    const struct world_who other = {SOURCE_STRICT, .source = elsewhere,
                                    .flags = WORLD_NAMED | WORLD_ONE_SSRC, .owner = 1};

    world_begin();
    (void)world_add(&who);
    for (unsigned i = 0; i < 2 * LEARN_MATCHES; i++) {
        snprintf(elsewhere, sizeof(elsewhere), "9.9.0.2:%u", 6000 + 2 * i);
        (void)world_add(&other);
    }
    ck_assert_uint_eq(send_rtp(0, 10, AWAY), VERDICT_NO_SA);
    ck_assert_uint_eq(send_rtp(0, 11, PORT), VERDICT_ACCEPTED);
    ck_assert(world_sa(0)->bound[0]);
    ck_assert_uint_eq(send_rtp(0, 12, PORT), VERDICT_ACCEPTED);
    world_end();
}
END_TEST

/* Nor do those of another site that are expected at the same address, which each packet is tried
 * with. */
START_TEST(test_many_expected)
{
    const struct world_who who = {
        .source = LAN, .hint = SIP, .flags = WORLD_NAMED | WORLD_ONE_SSRC};
    struct world_who other = who;
    char inside[ADDR_TEXT_SIZE];
    unsigned packets = 0;

    other.owner = 1;
    other.source = inside;
    world_begin();
    (void)world_add(&who);
    for (unsigned i = 0; i < LEARN_MATCHES; i++) {
        snprintf(inside, sizeof(inside), "10.0.0.8:%u", 6000 + 2 * i);
        (void)world_add(&other);
    }
    while (packets < 40 && !world_sa(0)->bound[0])
        (void)send_rtp(0, 10 + packets++, PORT);
    /* Its site is chosen half of the time; with 2^-40 this fails. */
    ck_assert(world_sa(0)->bound[0]);
    ck_assert_uint_eq(send_rtp(0, 100, PORT), VERDICT_ACCEPTED);
    world_end();
}
END_TEST

/* Who never sent is not told of what others behind the same address sent correctly. */
START_TEST(test_stray)
{
    const struct world_who who = {.source = LAN, .hint = SIP};
    struct world_packet forged = {.index = 50, .flags = WORLD_FORGED};
    struct addr from = sample_addr(PORT);

    world_begin();
    for (unsigned i = 0; i < 3; i++)
        (void)world_add(&who);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(send_rtp(i, 10, i ? PORT2 : PORT), VERDICT_ACCEPTED);
    ck_assert_uint_eq(world_sa(2)->stray.at_us, 0);
    forged.who = 2;
    ck_assert_uint_eq(world_send(&forged, PORT, NULL), VERDICT_AUTH_FAIL);
    ck_assert_uint_eq(world_sa(2)->stray.at_us, world_now_us());
    ck_assert_uint_eq(world_sa(2)->stray.verdict, VERDICT_AUTH_FAIL);
    ck_assert(addr_equal(&world_sa(2)->stray.from, &from));
    world_end();
}
END_TEST

#define ROWS(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("learn");
    TCase *tc = tcase_create("learn");
    int result;

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 30);
    tcase_add_checked_fixture(tc, sample_engine_start, NULL);
    tcase_add_loop_test(tc, test_first, 0, ROWS(first_rows));
    tcase_add_loop_test(tc, test_rtcp, 0, ROWS(rtcp_rows));
    tcase_add_loop_test(tc, test_move, 0, ROWS(move_rows));
    tcase_add_loop_test(tc, test_ssrc, 0, ROWS(ssrc_rows));
    tcase_add_loop_test(tc, test_prime, 0, ROWS(prime_rows));
    tcase_add_test(tc, test_budget);
    tcase_add_test(tc, test_budget_match);
    tcase_add_test(tc, test_doubt);
    tcase_add_loop_test(tc, test_return, 0, ROWS(returns));
    tcase_add_loop_test(tc, test_return_rtcp, 0, 2);
    tcase_add_test(tc, test_return_prime);
    tcase_add_test(tc, test_return_refused);
    tcase_add_test(tc, test_old_key);
    tcase_add_test(tc, test_move_rekeyed);
    tcase_add_test(tc, test_copies_of_old_key);
    tcase_add_test(tc, test_same_key);
    tcase_add_test(tc, test_move_restored);
    tcase_add_loop_test(tc, test_alike, 0, 2);
    tcase_add_test(tc, test_old_key_let_go);
    tcase_add_loop_test(tc, test_beside_keyless, 0, 2);
    tcase_add_test(tc, test_many_have_ssrc);
    tcase_add_test(tc, test_many_expected);
    tcase_add_test(tc, test_stray);
    result = unit_run(suite);
    world_end();
    sample_engine_stop();
    return result;
}
