/*
 * Every number of the tunnel protocol, and every length, limit and timer of the
 * pair that is not a setting. The normative text is relay-tunnel(7).
 *
 * A frame is "u16 length | u8 type | body"; length counts the type and the
 * body. The body of a media frame is RTP': u32 label, then the packet as it was
 * received. The bodies of all others are fields (common/base/tlv.h).
 */
#ifndef COMMON_BASE_PROTOCOL_H
#define COMMON_BASE_PROTOCOL_H

#include <stdint.h>

enum {
    PROTOCOL_VERSION_MIN = 1,
    PROTOCOL_VERSION_MAX = 1,
};

/* Types 0x80 and up are media: a label, and RTP' in the end. Unknown types close the tunnel. */
enum frame_type {
    FRAME_HELLO = 1,
    FRAME_HELLO_ACK = 2,
    FRAME_PING = 3,
    FRAME_PONG = 4,
    FRAME_BYE = 5,
    FRAME_SYNC_BEGIN = 6,
    FRAME_SYNC_END = 7,
    FRAME_SA_PUT = 8,
    FRAME_SA_DELETE = 9,
    FRAME_SA_NAK = 10,
    FRAME_SA_REPORT = 11,
    FRAME_STATS = 12,
    FRAME_STREAM_OPEN = 13,
    FRAME_STREAM_DATA = 14,
    FRAME_STREAM_CREDIT = 15,
    FRAME_STREAM_END = 16,
    FRAME_STREAM_RESET = 17,
    FRAME_SWITCH = 18,
    FRAME_SWITCH_OK = 19,
    FRAME_TAKE = 20,
    FRAME_TAKE_OK = 21,
    FRAME_PROBE = 22,
    FRAME_PROBE_REPORT = 23,
    FRAME_SITE = 24,
    FRAME_SITE_STATE = 25,
    FRAME_MEET = 26,
    FRAME_MEET_END = 27,
    FRAME_PUNCH = 28,
    FRAME_PASS = 32, /* 26 to 31 are kept for direct carriers */
    FRAME_PASS_STATE = 33,
    FRAME_AGAIN = 34, /* among sealed frames: some are missing */
    FRAME_MEDIA = 0x80,
    FRAME_TWIN = 0x81, /* media that goes two ways */
};

/*
 * Feature bits of HELLO and HELLO-ACK: both sides show what they can. The inner-relay ends a tunnel
 * whose dmz-relay lacks what its dmz-keys needs.
 */
enum {
    FEATURE_DELTA = 1u << 0,
    FEATURE_VERIFY_ONLY = 1u << 1, /* verifies with authentication keys alone */
    FEATURE_KEYLESS = 1u << 2,     /* takes external senders without a key */
    FEATURE_REKEY = 1u << 3,       /* keeps the old key of an SA for OLD_KEY_US */
    FEATURE_REPORT = 1u << 4,      /* sends or takes SA-REPORT and STATS */
    FEATURE_HAIRPIN = 1u << 5,     /* takes SAs whose packets go out again where they came in */
    FEATURE_STREAMS = 1u << 6,     /* takes STREAM frames */
    FEATURE_WORKERS = 1u << 7,     /* takes connections that carry media alone */
    FEATURE_SEALED = 1u << 8,      /* takes SWITCH, and sealed frames after it */
    FEATURE_SITES = 1u << 9,       /* takes SITE frames */
    FEATURE_PROBE = 1u << 10,      /* takes PROBE, and media that comes two ways */
    FEATURE_EARLY = 1u << 11,      /* reads sealed frames as their segments come */
    FEATURE_MEET = 1u << 12,       /* takes connections where two sites meet, and MEET frames */
    FEATURE_PASSES = 1u << 13,     /* a packet forwarder: takes PASS */
    FEATURE_RAW = 1u << 14,        /* takes TAKE, and the connection over */
    FEATURE_PUNCH = 1u << 15,      /* tells two sites that ask where the other one is */
    FEATURE_PAIRS = 1u << 16,      /* takes two connections of media of one number */
    FEATURE_AGAIN = 1u << 17, /* takes AGAIN, and sends the sealed frames that it names again */
};

/* Tags of the fields of HELLO, HELLO-ACK, PING, PONG, BYE, SYNC-BEGIN, SYNC-END. */
enum hello_tag {
    TAG_VERSION_MIN = 1, /* u16 */
    TAG_VERSION_MAX = 2, /* u16 */
    TAG_VERSION = 3,     /* u16, in HELLO-ACK: the one chosen */
    TAG_FEATURES = 4,    /* u64 */
    TAG_EPOCH = 5,       /* u64, of the authority's lineage; in HELLO-ACK what the replica holds */
    TAG_INSTANCE = 6,    /* u64, rises with every connection of a lineage */
    TAG_SA_VERSION = 7,  /* u64, of the authority's table; in HELLO-ACK what the replica holds */
    TAG_CAPACITY = 8,    /* u32, SAs that the replica has room for */
    TAG_QUOTA = 9,       /* u32, SAs that this site may put */
    TAG_LISTENER = 10,   /* fields of its own: LISTENER_TAG_* */
    TAG_CLOCK = 11,      /* u64, microseconds of the sender's clock, echoed in PONG */
    TAG_REASON = 12,     /* text, in BYE */
    TAG_SYNC_KIND = 13,  /* u8, enum sync_kind */
    TAG_SOFTWARE = 14,   /* text */
    TAG_SITE = 15,       /* text, in HELLO-ACK: the name the dmz-relay knows the site by */
    TAG_ENGINE = 16,     /* text: what verifies SRTP, for display */
    TAG_WORKER = 17,     /* u8, in HELLO: this connection carries media alone, and is this one */
    TAG_WORKERS = 18,    /* u8, in HELLO-ACK: so many threads wait for connections */
    TAG_MEET = 22,       /* u64, in HELLO: this connection is for the meeting of this number */
};

enum listener_tag {
    LISTENER_TAG_NAME = 1,      /* text */
    LISTENER_TAG_ADVERTISE = 2, /* address and RTP port */
    LISTENER_TAG_MLINE = 3,     /* u8, absent: any */
};

/*
 * Connections of media alone, beside the one that carries control; numbered from 1. With
 * FEATURE_PAIRS there may be two of a number.
 */
enum { WORKERS_MAX = 32, MEDIA_MAX = 2 * WORKERS_MAX };

enum sync_kind { SYNC_DELTA = 1, SYNC_SNAPSHOT = 2 };

/* Tags of SA-PUT, SA-DELETE, SA-NAK, and of the records of the state file. */
enum sa_tag {
    SA_TAG_ID = 1,               /* u64 */
    SA_TAG_GENERATION = 2,       /* u32 */
    SA_TAG_VERSION = 3,          /* u64, of the table after this change */
    SA_TAG_CALL_ID = 4,          /* text */
    SA_TAG_SIDE = 5,             /* u8, enum sa_side */
    SA_TAG_SOURCE_RTP = 6,       /* address */
    SA_TAG_SOURCE_RTCP = 7,      /* address */
    SA_TAG_SOURCE_MUX = 8,       /* u8, 0 or 1 */
    SA_TAG_ENCAP_IN = 9,         /* u8, enum sa_encap */
    SA_TAG_ENCAP_OUT = 10,       /* u8, enum sa_encap */
    SA_TAG_SUITE = 11,           /* text, its name in RFC 4568, 6188 or 7714 */
    SA_TAG_KEY = 12,             /* octets: master key, then master salt */
    SA_TAG_LABEL = 13,           /* u32 */
    SA_TAG_SSRC = 14,            /* fields of its own: SSRC_TAG_*; may repeat */
    SA_TAG_DESTINATION_RTP = 15, /* address */
    SA_TAG_DESTINATION_RTCP = 16,
    SA_TAG_DESTINATION_MUX = 17, /* u8, 0 or 1 */
    SA_TAG_REVERSE = 18,         /* u64, id of the SA of the other direction */
    SA_TAG_RATE = 19,            /* u32, octets per second */
    SA_TAG_LISTENER = 20,        /* text: the sockets that its packets leave from */
    SA_TAG_REASON = 21,          /* text, in SA-NAK */
    SA_TAG_ERROR = 22,           /* u8, an err code without its sign, in SA-NAK */
    SA_TAG_DMZ = 23,             /* text, in the state file: the [dmz NAME] it lives on */
    SA_TAG_MEDIA_INDEX = 24,     /* u8, the m= line */
    SA_TAG_CREATED = 25,         /* u64, microseconds since 1970 */
    SA_TAG_LISTENER_IN = 26,     /* text: the listener that its sender sends to, for display */
    SA_TAG_MEDIA_TIMEOUT = 27,   /* u32, seconds, 0 = never */
    SA_TAG_AUTH_KEYS = 28,       /* octets: authentication keys of SRTP, then of SRTCP */
    SA_TAG_MKI = 29,             /* octets, 1 to 128 */
    SA_TAG_LIFETIME = 30,        /* u64, packets that the key may protect yet */
    SA_TAG_SOURCE_POLICY = 31,   /* u8, enum source_policy; absent: strict */
    SA_TAG_HINT = 32,            /* address: signalling came from there; its port means nothing */
    SA_TAG_BOUND_RTP = 33,       /* address: where RTP was heard from last */
    SA_TAG_BOUND_RTCP = 34,      /* address: the same of RTCP */
    SA_TAG_TO_SIDE = 35,         /* u8, enum sa_side: where its packets go; absent: the other one */
};

enum ssrc_tag {
    SSRC_TAG_SSRC = 1,       /* u32 */
    SSRC_TAG_ORIGIN = 2,     /* u8, enum ssrc_origin */
    SSRC_TAG_INDEX = 3,      /* u64, highest RTP index verified: ROC * 2^16 + SEQ */
    SSRC_TAG_RTCP_INDEX = 4, /* u32, highest SRTCP index verified */
    SSRC_TAG_OLD_INDEX = 5,  /* u64, highest RTP index under the key before: the ROC may go on */
};

/* Tags of SA-REPORT. */
enum report_tag {
    REPORT_TAG_ID = 1,         /* u64 */
    REPORT_TAG_GENERATION = 2, /* u32 */
    REPORT_TAG_BOUND_RTP = 3,  /* address: where RTP is heard from; absent: not known */
    REPORT_TAG_BOUND_RTCP = 4, /* address: the same of RTCP */
    REPORT_TAG_SSRC = 5,       /* fields of its own: HEARD_TAG_*; may repeat */
    REPORT_TAG_PACKETS = 6,    /* u64, accepted */
    REPORT_TAG_OCTETS = 7,     /* u64, of those */
    REPORT_TAG_AGE = 8,        /* u64, microseconds since the last of those; absent: none came */
    REPORT_TAG_COUNT = 9,      /* fields of its own: COUNT_TAG_*; may repeat */
    REPORT_TAG_STRAY = 10,     /* fields of its own: STRAY_TAG_* */
};

/* Tags of an SSRC that the replica has heard. */
enum heard_tag {
    HEARD_TAG_SSRC = 1,       /* u32 */
    HEARD_TAG_ORIGIN = 2,     /* u8, enum ssrc_origin */
    HEARD_TAG_INDEX = 3,      /* u64, highest RTP index verified; absent: none */
    HEARD_TAG_RTCP_INDEX = 4, /* u32, highest SRTCP index verified; absent: none */
    HEARD_TAG_RECEIVED = 5,   /* u64, RTP packets */
    HEARD_TAG_LOST = 6,       /* u64, RTP packets */
    HEARD_TAG_JITTER = 7,     /* u32, in units of the RTP timestamp */
    HEARD_TAG_AGE = 8,        /* u64, microseconds since the last RTP packet, absent: none came */
};

/* Tags of the counter of one verdict. */
enum count_tag {
    COUNT_TAG_VERDICT = 1, /* text: its name */
    COUNT_TAG_PACKETS = 2, /* u32 */
};

/* Tags of the last packet of an SA that was dropped. */
enum stray_tag {
    STRAY_TAG_FROM = 1,    /* address, absent: it came through the tunnel */
    STRAY_TAG_VERDICT = 2, /* text: the name of its verdict */
    STRAY_TAG_AGE = 3,     /* u64, microseconds since it came */
};

/* Tags of STATS. */
enum stats_tag {
    STATS_TAG_LISTENER = 1, /* fields of its own: ARRIVAL_TAG_*; may repeat */
};

/* Tags of what comes to a listener. */
enum arrival_tag {
    ARRIVAL_TAG_NAME = 1,     /* text: of the listener */
    ARRIVAL_TAG_RTP_AGE = 2,  /* u64, microseconds since the last datagram to the RTP port */
    ARRIVAL_TAG_RTCP_AGE = 3, /* u64, the same of the RTCP port */
};

/* Tags of STREAM-OPEN, STREAM-DATA, STREAM-CREDIT, STREAM-END and STREAM-RESET. */
enum stream_tag {
    STREAM_TAG_NUMBER = 1,  /* u32: odd where the inner-relay opened the stream, else even */
    STREAM_TAG_FORWARD = 2, /* text: the NAME of [forward NAME] */
    STREAM_TAG_CLIENT = 3,  /* address: who connected; only from the dmz-relay */
    STREAM_TAG_SERVER = 4,  /* address: the one it connected to; only from the dmz-relay */
    STREAM_TAG_DATA = 5,    /* octets */
    STREAM_TAG_CREDIT = 6,  /* u32: so many octets more may come */
    STREAM_TAG_REASON = 7,  /* text */
};

/* Tags of SITE and SITE-STATE. */
enum site_tag {
    SITE_TAG_SITE = 1,    /* text: the other site; where it goes to, or where it came from */
    SITE_TAG_SESSION = 2, /* u64, drawn by the one that opened it */
    SITE_TAG_KIND = 3,    /* u8, enum site_kind */
    SITE_TAG_DATA = 4,    /* octets */
    SITE_TAG_STATE = 5,   /* u8, enum site_state */
    SITE_TAG_CREDIT = 6,  /* u32: so much of the window is free again */
};

/* Who opened the session: the policy is that of a site towards those who open. */
enum site_kind {
    SITE_KIND_OPEN = 1,  /* the sender opens it: its first octets */
    SITE_KIND_FORTH = 2, /* the sender has opened it */
    SITE_KIND_BACK = 3,  /* the other site has */
};

/* Tags of PROBE and PROBE-REPORT. */
enum probe_tag {
    PROBE_TAG_NUMBER = 1,   /* u32 */
    PROBE_TAG_EARLY = 2,    /* u8, 0 or 1: segments are read as they come */
    PROBE_TAG_OVERTOOK = 3, /* u64: frames that came before one that was sent earlier, so far */
};

enum site_state {
    SITE_STATE_TAKEN = 1,   /* what was sent to that site has left the dmz-relay, or was dropped */
    SITE_STATE_REFUSED = 2, /* that site does not take sessions of this one */
    SITE_STATE_UNKNOWN = 3, /* the dmz-relay has no site of this name */
    SITE_STATE_OFFLINE = 4, /* that site has no tunnel, or one that knows no SITE frames */
    SITE_STATE_CLOSED = 5,  /* the other end of the session has, or had, none */
};

/* Tags of MEET, MEET-END and PUNCH. */
enum meet_tag {
    MEET_TAG_NUMBER = 1,     /* u64, of the meeting */
    MEET_TAG_SITE = 2,       /* text: the other site */
    MEET_TAG_OWN = 3,        /* address: where this site's connection comes from */
    MEET_TAG_MAPPED = 4,     /* address: where the other site's connection comes from */
    MEET_TAG_SEQUENCE = 5,   /* u32: of the next octet to the other site */
    MEET_TAG_ACK = 6,        /* u32: of the next octet from the other site */
    MEET_TAG_SCALE = 7,      /* u8: of the window that the dmz-relay says */
    MEET_TAG_PEER_SCALE = 8, /* u8: of the window that the other site says */
    MEET_TAG_WINDOW = 9,     /* u32: of the other site, in octets */
    MEET_TAG_MSS = 10,       /* u16: octets without options in a segment to the other site */
    MEET_TAG_TIMESTAMP = 11, /* u32: the dmz-relay's clock; absent: no timestamps */
    MEET_TAG_ECHO = 12,      /* u32: the newest timestamp of the other site */
    MEET_TAG_REASON = 13,    /* text, in MEET-END and PUNCH */
};

/* Tags of PASS and PASS-STATE. */
enum pass_tag {
    PASS_TAG_SITE = 1,   /* text: the other site */
    PASS_TAG_WANT = 2,   /* u8, 0 or 1: packets are to go there and to come from there */
    PASS_TAG_STATE = 3,  /* u8, enum pass_state */
    PASS_TAG_NUMBER = 4, /* u8: the label of media frames to the other site, and from it */
};

enum pass_state {
    PASS_STATE_OPEN = 1,    /* both sites want it: packets pass */
    PASS_STATE_WAITING = 2, /* the other one does not, or not yet, or is not there */
    PASS_STATE_REFUSED = 3, /* neither of them may call the other one */
    PASS_STATE_UNKNOWN = 4, /* the packet forwarder has no site of this name */
};

/* Messages of the session of two sites; the one that has opened it places its calls there. */
enum message_type {
    MESSAGE_PLACE = 1,
    MESSAGE_RINGING = 2,
    MESSAGE_ANSWER = 3,
    MESSAGE_REFUSE = 4,
    MESSAGE_END = 5,
    MESSAGE_KEEP = 6,
    MESSAGE_KEPT = 7,
    MESSAGE_TAKES = 8,
    MESSAGE_GIVES = 9,
    MESSAGE_ASK = 10,
    MESSAGE_MEET = 16,
    MESSAGE_MEET_END = 17,
    MESSAGE_PUNCH = 18,
    MESSAGE_PUNCH_END = 19,
};

/* Tags of their fields. */
enum message_tag {
    MESSAGE_TAG_NUMBER = 1,   /* u64: of the call, among those of who places it */
    MESSAGE_TAG_SDP = 2,      /* octets */
    MESSAGE_TAG_REASON = 3,   /* text */
    MESSAGE_TAG_MEDIA = 4,    /* octets */
    MESSAGE_TAG_PROOF = 5,    /* octets */
    MESSAGE_TAG_TAKEN_AS = 6, /* u32: the label of the SA that takes it */
};

enum {
    FRAME_HEAD_OCTETS = 3,
    FRAME_LABEL_OCTETS = 4,
    FRAME_TWIN_OCTETS = 4, /* the number behind the label */
    /* Whole frames, head included. */
    FRAME_MAX_OCTETS = 4096,
    /* A UDP packet longer than this is too-big; Ethernet's 1500 and room to see that it is more. */
    PACKET_MAX_OCTETS = 2048,
    /* libsrtp2 wants room behind a packet. */
    PACKET_ROOM_OCTETS = PACKET_MAX_OCTETS + 160,

    /* One TLS record holds at most this much. */
    RECORD_MAX_OCTETS = 16384,
    URGENT_QUEUE_OCTETS = 64 * 1024,
    STREAM_WINDOW_OCTETS = 64 * 1024, /* of a stream, that the receiver may have to keep */
    STREAM_DATA_OCTETS = 4000,        /* in one STREAM-DATA */
    SITE_WINDOW_OCTETS = 32 * 1024,   /* from one site to another, that the dmz-relay may have */
    SITE_DATA_OCTETS = 3600,          /* in one SITE */
    MESSAGE_MAX_OCTETS = 24 * 1024,   /* type and fields of one message between sites */
    MESSAGE_SDP_OCTETS = 20 * 1024,
    MESSAGE_REASON_SIZE = 96,  /* with the NUL */
    MESSAGE_MEDIA_OCTETS = 16, /* of MEDIA, and of PROOF */
    SITE_COST_OCTETS = 64,     /* that a frame takes of the window, beside its DATA */
    PASS_NUMBERS = 64,         /* labels below it are sites, where media is to pass */

    NAME_SIZE = 64,          /* of listeners, [dmz NAME] sections; with the NUL */
    SITE_SIZE = 256,         /* of a DNS name in a certificate; with the NUL */
    CALL_ID_SIZE = 128,      /* with the NUL */
    STREAM_REASON_SIZE = 96, /* with the NUL */
    SA_SSRC_MAX = 8,

    PING_INTERVAL_US = 500 * 1000,
    DEAD_PEER_US = 1500 * 1000,
    HANDSHAKE_TIMEOUT_US = 3 * 1000 * 1000,
    SITE_HANDSHAKE_US = 5 * 1000 * 1000, /* of the TLS session of two sites */
    SITE_IDLE_US = 60 * 1000 * 1000,     /* a session without calls is closed after it */
    DIRECT_PING_US = 15 * 1000,          /* on the direct path of two sites */
    DIRECT_PROOF_US = 250 * 1000,        /* it has worked for so long: it is good for media alone */
    BACKOFF_MIN_US = 200 * 1000,
    BACKOFF_MAX_US = 10 * 1000 * 1000,
    BACKOFF_NETWORK_MAX_US = 500 * 1000,
    TUNNEL_STEADY_US = 1000 * 1000, /* up for so long, it is tried again at once when it ends */
    CONNECT_TIMEOUT_US = 2 * 1000 * 1000, /* two SYNs of the kernel: after 0 and 1 s */
    PROXY_TIMEOUT_US = 5 * 1000 * 1000,   /* for all that an HTTP proxy says of one request */
    LABEL_REST_US = 60 * 1000 * 1000,
    OLD_KEYS_PIECE = 16,          /* ended in one go */
    OLD_KEY_US = 5 * 1000 * 1000, /* after a change of keys, the old one is good for so long */
};

#endif
