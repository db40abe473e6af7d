/*
 * relayctl: the operator's command for both daemons. relayctl.c reads the
 * command line, relayctl_call.c talks to the daemon, relayctl_sa.c checks what belongs to
 * "sa add" and "sa rekey" before anything is sent, relayctl_show.c prints for people, and
 * relayctl_calls.c has what belongs to "call".
 */
#ifndef COMMON_DAEMON_RELAYCTL_H
#define COMMON_DAEMON_RELAYCTL_H

#include <stdbool.h>
#include <stdio.h>

struct json_t;

enum relayctl_exit {
    RELAYCTL_DONE = 0,
    RELAYCTL_REFUSED = 1,     /* the daemon said no */
    RELAYCTL_USAGE = 2,       /* nothing was sent: the command line, or a file of it, is wrong */
    RELAYCTL_NO_DAEMON = 3,   /* nobody answered at the socket */
    RELAYCTL_TUNNEL_DOWN = 4, /* status only */
};

/*
 * What an option belongs to. A command that takes those of "sa add" takes those of a key, too, and
 * one that takes those of "call place" takes those of an SDP.
 */
enum relayctl_group {
    RELAYCTL_ALWAYS, /* every command */
    RELAYCTL_CALL,   /* "call show" and "call end" */
    RELAYCTL_REASON, /* "call refuse" */
    RELAYCTL_SDP,    /* "call answer" and "call place" */
    RELAYCTL_PLACE,  /* "call place" */
    RELAYCTL_KEY,    /* "sa rekey" and "sa add" */
    RELAYCTL_SA,     /* "sa add" */
};

/* X(NAME, word, letter or 0, argument or NULL, what it belongs to, help) */
#define RELAYCTL_OPTION_LIST(X)                                                                    \
    X(SOCKET, "socket", 's', "SOCKET", ALWAYS, "the daemon's control socket")                      \
    X(JSON, "json", 0, NULL, ALWAYS, "print the daemon's reply as it came")                        \
    X(HELP, "help", 'h', NULL, ALWAYS, "print this and exit")                                      \
    X(VERSION, "version", 'V', NULL, ALWAYS, "print the version and exit")                         \
    X(TAG, "tag", 0, "TAG", CALL, "of a party, where several calls have this Call-ID")             \
    X(REASON, "reason", 0, "TEXT", REASON, "what the other site is told")                          \
    X(SDP, "sdp", 0, "FILE", SDP, "SDP of who is inside, - is standard input (required)")          \
    X(WAIT, "wait", 0, NULL, PLACE, "until it is answered; prints the SDP for who is inside")      \
    X(SIDE, "side", 0, "external|internal", SA, "where the sender is (required)")                  \
    X(TO_SIDE, "to-side", 0, "external|internal", SA, "where its packets go; else the other side") \
    X(SOURCE, "source", 0, "IP:PORT", SA, "where its RTP comes from, by its SDP")                  \
    X(SOURCE_RTCP, "source-rtcp", 0, "IP:PORT", SA, "where its RTCP comes from (port + 1)")        \
    X(SOURCE_POLICY, "source-policy", 0, "POLICY", SA, "strict, hinted or open: may that change")  \
    X(HINT, "hint", 0, "IP", SA, "where its SIP came from; its media may too")                     \
    X(MUX, "mux", 0, NULL, SA, "its RTCP comes on the RTP port")                                   \
    X(SUITE, "suite", 0, "SUITE", KEY, "crypto suite of a=crypto (required)")                      \
    X(KEY, "key", 0, "BASE64", KEY, "master key and salt; seen by other users while typed")        \
    X(KEY_FILE, "key-file", 0, "FILE", KEY, "read the key from FILE, - is standard input")         \
    X(MKI, "mki", 0, "HEX", KEY, "the MKI behind its packets, in hex digits")                      \
    X(LIFETIME, "lifetime", 0, "PACKETS", KEY, "packets that the key may protect, 2^48")           \
    X(SSRC, "ssrc", 0, "N[,N...]", SA, "its SSRCs, decimal or 0x hex; else they are learned")      \
    X(ASSIGN_SSRC, "assign-ssrc", 0, NULL, SA, "it is told which SSRC to use, and needs no key")   \
    X(TO, "to", 0, "IP:PORT", SA, "where its RTP goes; else where --reverse is heard")             \
    X(TO_RTCP, "to-rtcp", 0, "IP:PORT", SA, "where its RTCP goes (port + 1)")                      \
    X(TO_MUX, "to-mux", 0, NULL, SA, "its RTCP goes to the RTP port")                              \
    X(PEER, "peer", 0, "NAME", SA, "the peer that it is, or inside, that gets it")                 \
    X(RTP_PRIME, "rtp-prime", 0, NULL, SA, "its packets come as RTP'; a peer's always do")         \
    X(TO_RTP_PRIME, "to-rtp-prime", 0, NULL, SA, "they go as RTP'; to a peer they always do")      \
    X(RATE, "rate", 0, "KBIT", SA, "most kbit/s that it may send")                                 \
    X(CALL_ID, "call-id", 0, "TEXT", SA, "the call it belongs to, for display")                    \
    X(MEDIA, "media", 0, "N", SA, "which m= line of the call it is, from 0")                       \
    X(LISTENER, "listener", 0, "NAME", SA, "the listener that it sends to")                        \
    X(TO_LISTENER, "to-listener", 0, "NAME", SA, "the listener that its packets leave from")       \
    X(DMZ, "dmz", 0, "NAME", SA, "the dmz-relay that it goes through")                             \
    X(REVERSE, "reverse", 0, "ID", SA, "the SA of the other direction")                            \
    X(MEDIA_TIMEOUT, "media-timeout", 0, "SECONDS", SA, "ends it when silent so long, 0: never")

enum relayctl_option {
#define X(name, word, letter, argument, group, help) OPTION_##name,
    RELAYCTL_OPTION_LIST(X)
#undef X
        OPTION_COUNT
};

/* What the command line gave, by option: NULL where it was absent, "" for one without argument. */
struct relayctl_options {
    char *value[OPTION_COUNT];
    bool bad_file; /* one that they name could not be read: what --help says is no help there */
};

/* The word of an option, without its dashes. */
const char *relayctl_option_word(enum relayctl_option option);
/* Shows as '?' what a terminal would obey: control characters, of C1 in UTF-8 too. */
void relayctl_clean(char *text);
/* A line on standard error, "relayctl: ..."; control characters are shown as '?'. */
void relayctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A descriptor, or complains and returns -1. */
int relayctl_connect(const char *path);
/*
 * Sends the request and sets *reply to the line that came, for the caller to free also when it
 * fails. RELAYCTL_DONE, or complains and returns what to exit with.
 */
int relayctl_ask(int fd, const char *path, const struct json_t *request, char **reply);
/*
 * The same for a list that comes in pages, the member rows of each reply: *reply is as if it had
 * come in one. Changes request.
 */
int relayctl_ask_all(int fd, const char *path, struct json_t *request, const char *rows,
                     char **reply);

/*
 * Each makes a request that the caller owns, or complains about the argument
 * and returns NULL. sa_add and sa_rekey overwrite the key in options, which is
 * memory of the command line that other users can see.
 */
struct json_t *relayctl_sa_add(struct relayctl_options *options);
struct json_t *relayctl_sa_rekey(struct relayctl_options *options, const char *id);
struct json_t *relayctl_sa_with_id(const char *command, const char *id);
/* call_or_id: digits are an id, and everything else a Call-ID. */
struct json_t *relayctl_explain(const char *call_or_id);
/* For the SAs of a call that are no SIP proxy's, from what relayctl_explain() made. */
struct json_t *relayctl_explain_sas(const struct json_t *explain);
/* "call-show" or "call-end". */
struct json_t *relayctl_call_about(const char *command, const struct relayctl_options *options,
                                   const char *call_id);

/* Between sites. sdp and wait are options. */
struct json_t *relayctl_call_place(struct relayctl_options *options, const char *site);
struct json_t *relayctl_call_answer(struct relayctl_options *options, const char *call_id);
struct json_t *relayctl_call_refuse(const struct relayctl_options *options, const char *call_id);
/*
 * Asks until a call rings (what relayctl_call_wait() asks), or the one that was placed is answered
 * or over: *reply, for the caller to free also when it fails, becomes the last one. Each time over
 * a connection of its own, so that who waits keeps nobody out.
 */
int relayctl_call_until(const char *path, const struct json_t *request, char **reply);

/* Each prints a reply for people. A member that is missing is shown as "-". */
void relayctl_show_status(const struct json_t *reply, FILE *to);
void relayctl_show_stats(const struct json_t *reply, FILE *to);
void relayctl_show_sa_list(const struct json_t *reply, FILE *to);
void relayctl_show_sa(const struct json_t *reply, FILE *to);
void relayctl_show_sa_added(const struct json_t *reply, FILE *to);
void relayctl_show_sa_rekeyed(const struct json_t *reply, FILE *to);
void relayctl_show_sa_deleted(const struct json_t *reply, FILE *to);
void relayctl_show_explain(const struct json_t *reply, FILE *to);
void relayctl_show_call_list(const struct json_t *reply, FILE *to);
void relayctl_show_calls(const struct json_t *reply, FILE *to);
void relayctl_show_call_ended(const struct json_t *reply, FILE *to);
void relayctl_show_call_placed(const struct json_t *reply, FILE *to);
void relayctl_show_call_rings(const struct json_t *reply, FILE *to);
void relayctl_show_call_done(const struct json_t *reply, FILE *to);
void relayctl_show_reload(const struct json_t *reply, FILE *to);
void relayctl_show_debug(const struct json_t *reply, FILE *to);
/* True when a status reply names at least one tunnel and all are up. */
bool relayctl_tunnels_up(const struct json_t *reply);

#endif
