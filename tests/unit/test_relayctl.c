/* The built relayctl against a daemon that gives canned replies over a real control socket. */
#include "config.h"

#include <ctype.h>
#include <ev.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/daemon/control.h"
#include "common/daemon/relayctl.h"
#include "tests/unit/unit.h"

enum { DEADLINE_SECONDS = 60, ARGUMENTS_MAX = 64, TEXT_SIZE = 8 * 1024 * 1024 };

#define KEY      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
#define KEY_JSON "\"key\":\"" KEY "\""

/* ---------------------------------------------------------------- fixture */

struct place {
    char folder[64], socket[96], out_path[96], err_path[96], in_path[96], key_path[96];
    struct ev_loop *loop;
    struct control *control;
    const char *reply;      /* what the daemon says next */
    const char *replies[4]; /* what it says before that, one by one */
    unsigned asked;
    char *request;           /* what it was asked last */
    char command_line[4096]; /* of relayctl, as others see it while the daemon answers */
    pid_t pid;
    int status;
    char *out, *err;
};

static struct place place;

static char *read_file(const char *path)
{
    char *text = calloc(1, TEXT_SIZE);
    FILE *file = fopen(path, "rb");

    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_lt(fread(text, 1, TEXT_SIZE, file), TEXT_SIZE);
    fclose(file);
    return text;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void note_command_line(void)
{
    char path[64];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)place.pid);
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    n = fread(place.command_line, 1, sizeof(place.command_line) - 1, file);
    fclose(file);
    for (size_t i = 0; i < n; i++)
        place.command_line[i] = place.command_line[i] ? place.command_line[i] : ' ';
}

static json_t *answer(void *ctx, const json_t *request)
{
    const char *text = place.asked < 4 ? place.replies[place.asked] : NULL;
    json_t *reply = json_loads(text ? text : place.reply, 0, NULL);

    (void)ctx;
    place.asked++;
    free(place.request);
    place.request = json_dumps(request, JSON_COMPACT);
    note_command_line();
    ck_assert_msg(reply != NULL, "the canned reply is not JSON: %s", place.reply);
    return reply;
}

static const struct control_command commands[] = {
    {"status", answer},
    {"stats", answer},
    {"sa-list", answer},
    {"sa-show", answer},
    {"sa-add", answer},
    {"sa-delete", answer},
    {"reload", answer},
    {"sa-rekey", answer},
    {"debug", answer},
    {"explain", answer},
    {"call-list", answer},
    {"call-show", answer},
    {"call-end", answer},
    {"call-place", answer},
    {"call-answer", answer},
    {"call-refuse", answer},
    {"call-wait", answer},
    {"call-state", answer},
    {NULL, NULL},
};

static void set_up(void)
{
    char error[256];

    memset(&place, 0, sizeof(place));
    snprintf(place.folder, sizeof(place.folder), "%s", "/tmp/test_relayctl.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(place.folder));
    snprintf(place.socket, sizeof(place.socket), "%s/socket", place.folder);
    snprintf(place.out_path, sizeof(place.out_path), "%s/out", place.folder);
    snprintf(place.err_path, sizeof(place.err_path), "%s/err", place.folder);
    snprintf(place.in_path, sizeof(place.in_path), "%s/in", place.folder);
    snprintf(place.key_path, sizeof(place.key_path), "%s/key", place.folder);
    write_file(place.in_path, "", 0600);
    place.loop = ev_loop_new(EVFLAG_AUTO);
    place.reply = "{\"ok\":true}";
    ck_assert_msg(control_open(&place.control, place.loop, place.socket, NULL, commands, NULL,
                               error, sizeof(error)) == 0,
                  "%s", error);
}

static void tear_down(void)
{
    const char *paths[] = {place.socket, place.out_path, place.err_path, place.in_path,
                           place.key_path};

    control_close(place.control);
    ev_loop_destroy(place.loop);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        unlink(paths[i]);
    ck_assert_int_eq(rmdir(place.folder), 0);
    free(place.request);
    free(place.out);
    free(place.err);
}

static void redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags, 0600);

    if (fd < 0 || dup2(fd, to) < 0)
        _exit(126);
}

static void exec_relayctl(char **arguments)
{
    const char *top = getenv("TEST_TOP_BUILDDIR");
    char program[4096];

    snprintf(program, sizeof(program), "%s/common/daemon/relayctl", top ? top : ".");
    redirect(place.in_path, O_RDONLY, STDIN_FILENO);
    redirect(place.out_path, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    redirect(place.err_path, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    execv(program, arguments);
    _exit(127);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

/* Serves it until it ends. */
static void wait_for_relayctl(void)
{
    ev_tstamp end = ev_time() + DEADLINE_SECONDS;
    ev_timer tick;
    int status;

    while (waitpid(place.pid, &status, WNOHANG) == 0) {
        ck_assert_msg(ev_time() < end, "relayctl does not end");
        ev_timer_init(&tick, on_tick, 0.002, 0.);
        ev_timer_start(place.loop, &tick);
        ev_run(place.loop, EVRUN_ONCE);
        ev_timer_stop(place.loop, &tick);
    }
    ck_assert(WIFEXITED(status));
    place.status = WEXITSTATUS(status);
    ck_assert_int_ne(place.status, 127);
}

/* Words are separated by blanks; "@SOCKET" and "@KEY" are paths. */
static void run(const char *words)
{
    char copy[2048], *rest = copy, *word, *arguments[ARGUMENTS_MAX] = {NULL};
    int count = 0;

    ck_assert_uint_lt((size_t)snprintf(copy, sizeof(copy), "relayctl %s", words), sizeof(copy));
    while ((word = strsep(&rest, " ")) && count < ARGUMENTS_MAX - 1) {
        if (strcmp(word, "@SOCKET") == 0)
            word = place.socket;
        else if (strcmp(word, "@KEY") == 0)
            word = place.key_path;
        if (word[0])
            arguments[count++] = word;
    }
    free(place.request);
    free(place.out);
    free(place.err);
    place.request = NULL;
    place.pid = fork();
    if (place.pid == 0)
        exec_relayctl(arguments);
    wait_for_relayctl();
    place.out = read_file(place.out_path);
    place.err = read_file(place.err_path);
}

static void check_exit(int status)
{
    ck_assert_msg(place.status == status, "exit %d, not %d; out: %s err: %s", place.status, status,
                  place.out, place.err);
}

static void check_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in: %s", part, text);
}

static void check_request(const char *expected)
{
    json_t *want = json_loads(expected, 0, NULL), *have;

    ck_assert_ptr_nonnull(place.request);
    have = json_loads(place.request, 0, NULL);
    ck_assert_ptr_nonnull(want);
    ck_assert_msg(json_equal(want, have), "sent %s, not %s", place.request, expected);
    json_decref(want);
    json_decref(have);
}

/* ---------------------------------------------------------------- replies for people */

#define STATUS(state)                                                                              \
    "{\"ok\":true,\"daemon\":\"inner-relay\",\"version\":\"0.1.0\",\"pid\":4711,"                  \
    "\"uptime\":93784,\"sas\":2,\"max_sas\":20000,\"srtp_engine\":\"auto\","                       \
    "\"memory_locked\":true,\"dmz_keys\":\"verify-only\",\"coalesce\":{\"setting\":\"auto\","      \
    "\"interval_us\":500,\"packets_per_s\":20000,\"turns_per_s\":1980},"                           \
    "\"tunnels\":[{\"name\":\"main\","                                                             \
    "\"peer\":\"192.0.2.1:7000\",\"state\":\"up\",\"since\":3723,\"rtt_ms\":1.25,\"connects\":2,"  \
    "\"last_error\":null,\"sync\":\"synced\",\"queued\":0,\"sas\":2,\"via\":\"http\","             \
    "\"congestion\":\"cubic\",\"tcp_refused\":[\"bbr\",\"TCP_RTO_MIN_US\"],"                       \
    "\"frames_in\":50,\"frames_out\":60,\"octets_in\":999,\"octets_out\":12345678,\"late\":3,"     \
    "\"srtp_engine\":\"evp\",\"media_connections\":2,\"carrier\":\"unordered\",\"sealed\":{"       \
    "\"opened\":9,\"replayed\":1,\"forged\":7},\"carrier_reason\":\"no raw socket\"},"             \
    "{\"name\":\"second\",\"peer\":\"[2001:db8::1]:7000\",\"state\":\"" state "\",\"since\":59,"   \
    "\"rtt_ms\":null,\"connects\":0,\"last_error\":\"connection refused\",\"sync\":\"none\","      \
    "\"queued\":0,\"sas\":0,\"via\":null,\"congestion\":null,\"tcp_refused\":[],\"frames_in\":0,"  \
    "\"frames_out\":0,"                                                                            \
    "\"octets_in\":0,\"octets_out\":0,\"late\":0,\"srtp_engine\":null}],"                          \
    "\"listeners\":[{\"name\":\"main\","                                                           \
    "\"address\":\"10.0.0.1\",\"advertise\":\"10.0.0.1\",\"rtp_port\":5004,\"rtcp_port\":5005,"    \
    "\"rtp\":{\"received\":1234567,\"accepted\":1234000,\"dropped\":567,\"sent\":9,"               \
    "\"overflow\":0},\"rtcp\":{\"received\":1,\"accepted\":1,\"dropped\":0,\"sent\":2,"            \
    "\"overflow\":4}}],\"peers\":[{\"name\":\"other\",\"address\":\"203.0.113.20\","               \
    "\"rtp_port\":5004,\"rtcp_port\":5005},{\"name\":\"six\",\"address\":\"2001:db8::20\","        \
    "\"rtp_port\":40000,\"rtcp_port\":40001}]}"

#define SA_COMMON                                                                                  \
    "\"id\":17,\"side\":\"external\",\"call_id\":\"abc@example.com\",\"dmz\":\"main\","            \
    "\"source\":\"198.51.100.7:40000\",\"destination\":\"10.0.0.7:5004\",\"ssrc\":[1,4294967295]," \
    "\"label\":1,\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"packets\":1000,\"octets\":172000,"        \
    "\"dropped\":2,\"last_packet\":0.4,\"state\":\"active\""

#define LEARNED(policy, is_bound, bound, hint)                                                     \
    "\"source_policy\":\"" policy "\",\"source_bound\":" is_bound ",\"bound\":" bound              \
    ",\"hint\":" hint ",\"destination_learned\":true"

#define CALL_SHOWN                                                                                 \
    "call               17\n"                                                                      \
    "number             3\n"                                                                       \
    "state              held\n"                                                                    \
    "media path         dmz-relay\n"                                                               \
    "not punched        not allowed\n"                                                             \
    "not direct         waiting\n"                                                                 \
    "dmz-relay          main\n"                                                                    \
    "age                1 min 1 s\n"                                                               \
    "last message       2 s ago\n"                                                                 \
    "SAs                1\n"                                                                       \
    "\n"                                                                                           \
    "party a, outside, SIP from 192.0.2.9, talks to b\n"                                           \
    "LINE  KIND         WAY        SA  BACK  IS AT             RTCP              SENDS TO        " \
    "  RTCP              HOLD  ASSIGNED    LAST\n"                                                 \
    "   0  audio        relayed    17    18  192.0.2.10:20000  192.0.2.10:20001  "                 \
    "203.0.113.7:5004  203.0.113.7:5005  yes   -            3 s\n"                                 \
    "   1  application  untouched   -     -  -                 mux               -               " \
    "  -                 no    0x00000005     -\n"                                                 \
    "line 1: no RTP\n"                                                                             \
    "\n"                                                                                           \
    "party c, inside, a branch of a; another branch has the call\n"                                \
    "its m= lines are left out: there are too many\n"                                              \
    "\n"                                                                                           \
    "offer of a, outside to inside, 12 s ago, without an answer; forgotten in 2 min 48 s, to tag " \
    "b, branch z9\n"                                                                               \
    "LINE  KIND   WAY      IS AT             RTCP  SHOWN AS       HOLD  ASSIGNED\n"                \
    "   0  audio  relayed  192.0.2.10:20000  mux   10.0.0.1:4000  no    -\n"                       \
    "\n"                                                                                           \
    "4 more calls have this Call-ID: --tag shows one of them\n"

#define CALL_BY(path, punch, punch_why, direct, direct_why)                                        \
    "{\"ok\":true,\"calls\":[{\"call_id\":\"1\",\"path\":\"" path "\",\"punch\":\"" punch          \
    "\",\"punch_why\":\"" punch_why "\",\"direct\":\"" direct "\",\"direct_why\":\"" direct_why    \
    "\",\"age\":1,\"last_signal\":1,\"parties\":[],\"offers\":[]}]}"
#define CALL_BY_SHOWN(path, lines)                                                                 \
    "call               1\n"                                                                       \
    "number             -\n"                                                                       \
    "state              -\n"                                                                       \
    "media path         " path "\n" lines "dmz-relay          -\n"                                 \
    "age                1 s\n"                                                                     \
    "last message       1 s ago\n"                                                                 \
    "SAs                -\n"

/* What the ini file does not ask for is left out, and an older inner-relay does not say. */
#define SITES_KNOWN                                                                                \
    "{\"ok\":true,\"sites\":["                                                                     \
    "{\"name\":\"a.example\",\"dmz\":\"main\",\"ours\":\"up\",\"theirs\":\"none\",\"media\":"      \
    "\"main\","                                                                                    \
    "\"last_error\":null,"                                                                         \
    "\"direct_to\":false,\"allow_spoofing\":false,\"media_rtt_ms\":null,\"media_returns\":0,"      \
    "\"punch\":{\"state\":\"off\",\"why\":\"no\",\"rtt_us\":0,\"returns\":0,\"forged\":0},"        \
    "\"direct\":{\"state\":\"off\",\"why\":\"no\",\"rtt_us\":0,\"returns\":0,\"forged\":0}},"      \
    "{\"name\":\"b.example\",\"dmz\":\"main\",\"ours\":\"up\",\"theirs\":\"none\",\"media\":"      \
    "\"f\","                                                                                       \
    "\"last_error\":null,"                                                                         \
    "\"direct_to\":true,\"allow_spoofing\":true,\"media_rtt_ms\":12.34,\"media_returns\":3,"       \
    "\"punch\":{\"state\":\"off\",\"why\":\"the other site has not asked\","                       \
    "\"rtt_us\":9000,\"returns\":2,\"forged\":0},"                                                 \
    "\"direct\":{\"state\":\"proven\",\"why\":\"\",\"rtt_us\":20500,\"returns\":1,\"forged\":7}}," \
    "{\"name\":\"c.example\",\"dmz\":\"main\",\"ours\":\"up\",\"theirs\":\"none\",\"media\":"      \
    "\"main\","                                                                                    \
    "\"last_error\":null,"                                                                         \
    "\"direct_to\":true,\"allow_spoofing\":false,\"media_rtt_ms\":null,\"media_returns\":1,"       \
    "\"punch\":{\"state\":\"connecting\",\"why\":\"\",\"rtt_us\":9000,\"returns\":0,\"forged\":0}" \
    ","                                                                                            \
    "\"direct\":{\"state\":\"off\",\"why\":\"no\",\"rtt_us\":0,\"returns\":0,\"forged\":0}},"      \
    "{\"name\":\"d.example\",\"dmz\":\"main\",\"ours\":\"up\",\"theirs\":\"none\",\"media\":"      \
    "\"main\","                                                                                    \
    "\"last_error\":null,"                                                                         \
    "\"direct\":{\"state\":\"off\",\"why\":\"no\",\"rtt_us\":0,\"returns\":0,\"forged\":0}}]}"

static const struct {
    const char *words, *request, *reply;
    int status;
    const char *out;
} human[] = {
    {"status", "{\"command\":\"status\"}", STATUS("up"), RELAYCTL_DONE,
     "inner-relay 0.1.0, process 4711, up 1 d 2 h\n"
     "security associations: 2 of at most 20000\n"
     "srtp engine: auto, keys for dmz-relays: verify-only\n"
     "memory: locked\n"
     "coalesce: auto, now 500 us (20000 packets/s in 1980 turns/s)\n"
     "\n"
     "TUNNEL  PEER                STATE        FOR     RTT  SYNC    SAS  QUEUED  LATE  FRAMES IN  "
     "OCTETS IN  FRAMES OUT  OCTETS OUT  CONNECTS  VIA   CARRIER    CONGESTION  ENGINE\n"
     "main    192.0.2.1:7000      up     1 h 2 min  1.2 ms  synced    2       0     3         50   "
     "   999 B          60     12.3 MB         2  http  unordered  cubic       evp\n"
     "second  [2001:db8::1]:7000  up          59 s       -  none      0       0     0          0   "
     "     0 B           0         0 B         0  -     -          -           -\n"
     "tunnel main, carrier unordered: no raw socket\n"
     "tunnel main: 7 sealed frames were forged\n"
     "tunnel main: 2 connections of media beside that of control\n"
     "tunnel main: the kernel refuses bbr, TCP_RTO_MIN_US\n"
     "last error of second: connection refused\n"
     "\n"
     "LISTENER   ADDRESS   ADVERTISE  PORT  RECEIVED  ACCEPTED  DROPPED  SENT  OVERFLOW\n"
     "main rtp   10.0.0.1  10.0.0.1   5004   1234567   1234000      567     9         0\n"
     "main rtcp  10.0.0.1  10.0.0.1   5005         1         1        0     2         4\n"
     "\n"
     "PEER   ADDRESS       RTP PORT  RTCP PORT\n"
     "other  203.0.113.20      5004       5005\n"
     "six    2001:db8::20     40000      40001\n"},
    {"status", "{\"command\":\"status\"}", STATUS("connecting"), RELAYCTL_TUNNEL_DOWN, NULL},
    {"status", "{\"command\":\"status\"}", "{\"ok\":true,\"memory_locked\":false,\"tunnels\":[]}",
     RELAYCTL_TUNNEL_DOWN,
     "- -, process -, up 0 s\n"
     "security associations: - of at most -\n"
     "srtp engine: -\n"
     "memory: not locked, keys may be swapped\n"
     "\n"
     "no tunnel\n"
     "\n"
     "LISTENER  ADDRESS  ADVERTISE  PORT  RECEIVED  ACCEPTED  DROPPED  SENT  OVERFLOW\n"},
    {"status", "{\"command\":\"status\"}",
     "{\"ok\":true,\"memory_locked\":false,\"keys_locked\":true,\"coalesce\":{\"setting\":0,"
     "\"interval_us\":0,\"packets_per_s\":3,\"turns_per_s\":9},\"tunnels\":[]}",
     RELAYCTL_TUNNEL_DOWN,
     "- -, process -, up 0 s\n"
     "security associations: - of at most -\n"
     "srtp engine: -\n"
     "memory: the keys of calls are locked, the rest may be swapped\n"
     "coalesce: 0 us, now 0 us (3 packets/s in 9 turns/s)\n"
     "\n"
     "no tunnel\n"
     "\n"
     "LISTENER  ADDRESS  ADVERTISE  PORT  RECEIVED  ACCEPTED  DROPPED  SENT  OVERFLOW\n"},
    {"status", "{\"command\":\"status\"}", SITES_KNOWN, RELAYCTL_TUNNEL_DOWN,
     "- -, process -, up 0 s\n"
     "security associations: - of at most -\n"
     "srtp engine: -\n"
     "\n"
     "no tunnel\n"
     "\n"
     "LISTENER  ADDRESS  ADVERTISE  PORT  RECEIVED  ACCEPTED  DROPPED  SENT  OVERFLOW\n"
     "\n"
     "SITE       DMZ   OURS  THEIRS  MEDIA BY  LAST ERROR\n"
     "a.example  main  up    none    main      -\n"
     "b.example  main  up    none    f         -\n"
     "c.example  main  up    none    main      -\n"
     "d.example  main  up    none    main      -\n"
     "site b.example, media by f: 12.3 ms there and back, went back to the dmz-relay: 3\n"
     "site b.example, punch: off, the other site has not asked, went back to the dmz-relay: 2\n"
     "site b.example, direct: proven, 20.5 ms there and back, went back to the dmz-relay: 1, "
     "forged: 7\n"
     "site c.example, media by main, went back to the dmz-relay: 1\n"
     "site c.example, punch: connecting\n"},
    {"stats", "{\"command\":\"stats\"}",
     "{\"ok\":true,\"places\":[{\"place\":\"listener main rtp\",\"received\":110,\"queued\":0,"
     "\"verdicts\":{\"accepted\":100,\"no-sa\":10,\"stun\":0}},{\"place\":\"tunnel main\","
     "\"received\":7,\"queued\":2,\"verdicts\":{\"accepted\":4,\"new-one\":1}},"
     "{\"place\":\"listener main rtcp\",\"received\":5,\"queued\":0,\"verdicts\":{\"accepted\":4}}]"
     ",\"counters\":{\"reloads\":0,\"handshakes-refused\":12}}",
     RELAYCTL_DONE,
     "listener main rtp\n"
     "  received                  110\n"
     "  accepted                  100  authenticated and handed on\n"
     "  no-sa                      10  no security association for this sender or label\n"
     "  sum                       110  as received\n"
     "tunnel main\n"
     "  received                    7\n"
     "  accepted                    4  authenticated and handed on\n"
     "  new-one                     1  (a verdict that this relayctl does not know)\n"
     "  queued                      2  waiting for the tunnel\n"
     "  sum                         7  as received\n"
     "listener main rtcp\n"
     "  received                    5\n"
     "  accepted                    4  authenticated and handed on\n"
     "  sum                         4  WRONG: 5 were received\n"
     "counters\n"
     "  reloads                                 0\n"
     "  handshakes-refused                     12\n"},
    {"sa list", "{\"command\":\"sa-list\"}", "{\"ok\":true,\"sas\":[]}", RELAYCTL_DONE,
     "no security associations\n"},
    {"sa list", "{\"command\":\"sa-list\"}",
     "{\"ok\":true,\"sas\":[{\"id\":18,\"side\":\"internal\",\"call_id\":\"\","
     "\"site\":\"inner.example\",\"source\":null,\"destination\":null,\"ssrc\":[],\"label\":255,"
     "\"suite\":null,\"packets\":0,\"octets\":0,\"dropped\":0,\"last_packet\":null,"
     "\"state\":\"refused\"},{" SA_COMMON "}]}",
     RELAYCTL_DONE,
     "ID  SIDE      PAIR           SOURCE              DESTINATION    SSRC                   LABEL "
     "      SUITE                    PACKETS    OCTETS  DROPPED  LAST  STATE    CALL\n"
     "17  external  main           198.51.100.7:40000  10.0.0.7:5004  0x00000001,0xffffffff  "
     "0x00000001  AES_CM_128_HMAC_SHA1_80     1000  172.0 kB        2   0 s  active   "
     "abc@example.com\n"
     "18  internal  inner.example  -                   -              -                      "
     "0x000000ff  -                              0       0 B        0     -  refused  -\n"},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{" SA_COMMON ",\"generation\":1,\"created\":1767225600,"
     "\"source_rtcp\":\"198.51.100.7:40001\",\"source_mux\":false,"
     "\"destination_rtcp\":\"10.0.0.7:5005\",\"destination_mux\":true,\"encap_in\":\"rtp\","
     "\"encap_out\":\"rtp\",\"rate\":8000,\"listener\":\"main\",\"to_listener\":null,"
     "\"reverse\":18,\"media_timeout\":0,\"refused\":null,\"key\":\"verify-only\","
     "\"mki\":\"00000001\",\"lifetime\":1048576,\"old_key\":3.4,"
     "\"streams\":[{\"ssrc\":1,\"origin\":\"signalled\",\"roc\":0,\"highest\":999,\"lost\":3,"
     "\"jitter\":1.26,"
     "\"received\":1000}],\"verdicts\":{\"accepted\":1000,\"replay\":2}}}",
     RELAYCTL_DONE,
     "id                 17\n"
     "generation         1\n"
     "state              active\n"
     "refused because    -\n"
     "created            2026-01-01 00:00:00 UTC\n"
     "call               abc@example.com\n"
     "dmz-relay          main\n"
     "sender's side      external\n"
     "listener           main\n"
     "source RTP         198.51.100.7:40000\n"
     "source RTCP        198.51.100.7:40001\n"
     "source mux         no\n"
     "encapsulation in   rtp\n"
     "leaves from        -\n"
     "destination RTP    10.0.0.7:5004\n"
     "destination RTCP   10.0.0.7:5005\n"
     "destination mux    yes\n"
     "encapsulation out  rtp\n"
     "suite              AES_CM_128_HMAC_SHA1_80\n"
     "key                verify-only\n"
     "MKI                00000001\n"
     "packets left       1048576\n"
     "key before         3 s more\n"
     "SSRC               0x00000001,0xffffffff\n"
     "label              0x00000001\n"
     "other direction    18\n"
     "most rate          8000 kbit/s\n"
     "media timeout      never\n"
     "packets            1000\n"
     "octets             172.0 kB\n"
     "dropped            2\n"
     "last packet        0 s ago\n"
     "\n"
     "SSRC        ORIGIN     ROC  HIGHEST  LOST  JITTER  RECEIVED\n"
     "0x00000001  signalled    0      999     3     1.3      1000\n"
     "\n"
     "verdicts\n"
     "  accepted                 1000  authenticated and handed on\n"
     "  replay                      2  this index was received before, or is older than the replay "
     "window\n"},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{\"mki\":null,\"lifetime\":null,\"old_key\":null}}", RELAYCTL_DONE,
     "MKI                -\n"
     "packets left       -\n"
     "key before         -\n"},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{\"id\":17,\"stray\":{\"from\":\"10.0.0.7:5004\","
     "\"verdict\":\"unreachable\",\"age\":7.5}}}",
     RELAYCTL_DONE,
     "id                 17\n"
     "last dropped       unreachable, to 10.0.0.7:5004, 7 s ago\n"},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{\"id\":17,\"stray\":{\"from\":null,\"verdict\":\"replay\",\"age\":7.5},"
     "\"far\":{\"reported\":0.6,\"source\":\"198.51.100.7:40000\",\"source_rtcp\":null,"
     "\"packets\":3,\"octets\":1500,\"dropped\":2,\"last_packet\":61.0,"
     "\"stray\":{\"from\":\"198.51.100.7:40002\",\"verdict\":\"auth-fail\",\"age\":3.2},"
     "\"streams\":[{\"ssrc\":1,\"origin\":\"learned\",\"roc\":2,\"highest\":9,\"lost\":0,"
     "\"jitter\":3.0,\"received\":3}],\"verdicts\":{\"auth-fail\":2}}}}",
     RELAYCTL_DONE,
     "id                 17\n"
     "last dropped       replay, from the tunnel, 7 s ago\n"
     "\n"
     "at the dmz-relay\n"
     "reported           0 s ago\n"
     "hears RTP from     198.51.100.7:40000\n"
     "hears RTCP from    -\n"
     "packets            3\n"
     "octets             1.5 kB\n"
     "dropped            2\n"
     "last packet        1 min 1 s ago\n"
     "last dropped       auth-fail, from 198.51.100.7:40002, 3 s ago\n"
     "\n"
     "SSRC        ORIGIN   ROC  HIGHEST  LOST  JITTER  RECEIVED\n"
     "0x00000001  learned    2        9     0     3.0         3\n"
     "\n"
     "verdicts\n"
     "  auth-fail                   2  the authentication tag is wrong: forged, or another key\n"},
    {"sa list", "{\"command\":\"sa-list\"}",
     "{\"ok\":true,\"sas\":["
     "{\"id\":1,\"source\":\"10.1.1.1:4000\"," LEARNED(
         "hinted", "false", "null",
         "null") "},"
                 "{\"id\":2,\"source\":null," LEARNED(
                     "hinted", "false", "null",
                     "\"192.0.2.7\"") "},"
                                      "{\"id\":3,\"source\":null," LEARNED(
                                          "open", "false", "null",
                                          "null") "},"
                                                  "{\"id\":4,\"source\":\"10.1.1.1:4000\"," LEARNED(
                                                      "hinted", "true", "\"192.0.2.7:9\"",
                                                      "null") ",\"destination\":\"192.0.2.9:1\"},"
                                                              "{\"id\":5,\"source\":\"10.1.1.1:"
                                                              "4000\",\"source_policy\":\"strict\","
                                                              "\"source_bound\":true,"
                                                              "\"bound\":null,\"destination_"
                                                              "learned\":false}]}",
     RELAYCTL_DONE,
     "ID  SIDE  PAIR  SOURCE                     DESTINATION  SSRC  LABEL  SUITE  PACKETS  "
     "OCTETS  DROPPED  LAST  STATE  CALL\n"
     " 1  -     -     10.1.1.1:4000 (not bound)  learned      -     -      -            -  "
     "     -        -     -  -      -\n"
     " 2  -     -     192.0.2.7 (not bound)      learned      -     -      -            -  "
     "     -        -     -  -      -\n"
     " 3  -     -     any (not bound)            learned      -     -      -            -  "
     "     -        -     -  -      -\n"
     " 4  -     -     192.0.2.7:9                192.0.2.9:1  -     -      -            -  "
     "     -        -     -  -      -\n"
     " 5  -     -     10.1.1.1:4000              -            -     -      -            -  "
     "     -        -     -  -      -\n"},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{\"source\":\"10.1.1.1:4000\",\"bound_rtcp\":null," LEARNED(
         "hinted", "true", "\"192.0.2.7:9\"", "\"192.0.2.7\"") "}}",
     RELAYCTL_DONE,
     "source RTP         10.1.1.1:4000\n"
     "source policy      hinted\n"
     "source hint        192.0.2.7\n"
     "source bound       yes\n"
     "bound RTP          192.0.2.7:9\n"
     "destination        learned\n"},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{\"source_policy\":null,\"source_bound\":null,\"bound\":null,"
     "\"bound_rtcp\":null,\"hint\":null,\"destination_learned\":false}}",
     RELAYCTL_DONE, ""},
    {"sa show 17", "{\"command\":\"sa-show\",\"id\":17}",
     "{\"ok\":true,\"sa\":{\"id\":17,\"stray\":null,\"far\":null}}", RELAYCTL_DONE,
     "id                 17\n"
     "\n"
     "at the dmz-relay\n"
     "nothing reported yet\n"},
    {"sa delete 17", "{\"command\":\"sa-delete\",\"id\":17}", "{\"ok\":true}", RELAYCTL_DONE,
     "deleted\n"},
    {"sa delete 17", "{\"command\":\"sa-delete\",\"id\":17}",
     "{\"ok\":true,\"call_id\":\"one@example\"}", RELAYCTL_DONE,
     "deleted\n"
     "Its call one@example goes on without it until the next offer and answer in it; \"relayctl "
     "call "
     "end\" ends it.\n"},
    {"call list", "{\"command\":\"call-list\"}", "{\"ok\":true,\"calls\":[],\"next\":null}",
     RELAYCTL_DONE, "no calls\n"},
    {"call list", "{\"command\":\"call-list\"}",
     "{\"ok\":true,\"calls\":[{\"call_id\":\"one@example\",\"number\":3,\"state\":\"answered\","
     "\"dmz\":\"main\",\"age\":3723,\"last_signal\":1,\"lines\":1,\"sas\":2,\"waiting\":0,"
     "\"parties\":[{\"tag\":\"a\",\"side\":\"external\",\"sas\":1,\"last_packet\":0.02},"
     "{\"tag\":\"b\",\"side\":\"internal\",\"sas\":1,\"last_packet\":null}]},"
     "{\"call_id\":\"two\\u0007@example\",\"number\":4,\"state\":\"offered\",\"age\":12,"
     "\"lines\":2,\"sas\":0,\"waiting\":1,\"parties\":[{\"tag\":null,\"side\":\"internal\","
     "\"sas\":0,\"last_packet\":null}]}],\"next\":null}",
     RELAYCTL_DONE,
     "CALL-ID       STATE           AGE  LINES  SAS  OFFERS  HEARD                      TAGS\n"
     "one@example   answered  1 h 2 min      1    2       0  outside 0 s, inside never  a, b\n"
     "two?@example  offered        12 s      2    0       1  -                          -\n"},
    {"call show 1", "{\"command\":\"call-show\",\"call_id\":\"1\"}",
     CALL_BY("punched", "proven", "", "off", "tried later"), RELAYCTL_DONE,
     CALL_BY_SHOWN("punched", "")},
    {"call show 1", "{\"command\":\"call-show\",\"call_id\":\"1\"}",
     CALL_BY("direct", "off", "too late", "proven", ""), RELAYCTL_DONE,
     CALL_BY_SHOWN("direct", "not punched        too late\n")},
    {"call show 1", "{\"command\":\"call-show\",\"call_id\":\"1\"}",
     CALL_BY("dmz-relay", "connecting", "", "off", "there is no raw socket"), RELAYCTL_DONE,
     CALL_BY_SHOWN("dmz-relay", "not punched        connecting\n"
                                "not direct         there is no raw socket\n")},
    {"call end one@example", "{\"command\":\"call-end\",\"call_id\":\"one@example\"}",
     "{\"ok\":true,\"number\":3,\"tags\":[\"a\"],\"sas\":2}", RELAYCTL_DONE,
     "ended, SAs deleted: 2\n"},
    {"call refuse one@example --reason busy",
     "{\"command\":\"call-refuse\",\"call_id\":\"one@example\",\"reason\":\"busy\"}",
     "{\"ok\":true,\"call_id\":\"one@example\",\"state\":\"ended\"}", RELAYCTL_DONE, "ended\n"},
    {"call wait", "{\"command\":\"call-wait\"}",
     "{\"ok\":true,\"call_id\":\"one@example\",\"site\":\"a.example\",\"direction\":\"from\","
     "\"state\":\"ringing\",\"reason\":null,\"sdp\":\"v=0\\r\\n\"}",
     RELAYCTL_DONE, "call one@example\nsite a.example\n\nv=0\r\n"},
    {"call show 17 --tag a", "{\"command\":\"call-show\",\"call_id\":\"17\",\"tag\":\"a\"}",
     "{\"ok\":true,\"calls\":[{\"call_id\":\"17\",\"number\":3,\"state\":\"held\",\"dmz\":\"main\","
     "\"path\":\"dmz-relay\",\"punch\":\"off\",\"punch_why\":\"not allowed\","
     "\"direct\":\"waiting\",\"direct_why\":\"\","
     "\"age\":61,\"last_signal\":2,\"lines\":2,\"sas\":1,\"waiting\":1,\"created\":1,\"parties\":["
     "{\"tag\":\"a\",\"side\":\"external\",\"sas\":1,\"last_packet\":null,\"partner\":\"b\","
     "\"branch_of\":null,\"signalling\":\"192.0.2.9\",\"parked\":false,\"assign_ssrc\":false,"
     "\"lines\":[{\"line\":0,\"kind\":\"audio\",\"way\":\"relayed\",\"sa\":17,\"sa_back\":18,"
     "\"signalled\":\"192.0.2.10:20000\",\"signalled_rtcp\":\"192.0.2.10:20001\",\"mux\":false,"
     "\"shown\":\"203.0.113.7:5004\",\"shown_rtcp\":\"203.0.113.7:5005\",\"held\":true,"
     "\"assigned_ssrc\":null,\"last_packet\":3.5,\"warning\":null},"
     "{\"line\":1,\"kind\":\"application\",\"way\":\"untouched\",\"sa\":null,\"sa_back\":null,"
     "\"signalled\":null,\"signalled_rtcp\":null,\"mux\":true,\"shown\":null,\"shown_rtcp\":null,"
     "\"held\":false,\"assigned_ssrc\":5,\"last_packet\":null,\"warning\":\"no RTP\"}]},"
     "{\"tag\":\"c\",\"side\":\"internal\",\"sas\":0,\"last_packet\":null,\"partner\":null,"
     "\"branch_of\":\"a\",\"signalling\":null,\"parked\":true,\"cut\":true,\"lines\":[]}],"
     "\"offers\":[{\"tag\":\"a\",\"to_tag\":\"b\",\"via_branch\":\"z9\",\"side\":\"external\","
     "\"to_side\":\"internal\",\"age\":12,\"left\":168,\"lines\":[{\"line\":0,\"kind\":\"audio\","
     "\"way\":\"relayed\",\"signalled\":\"192.0.2.10:20000\",\"signalled_rtcp\":null,\"mux\":true,"
     "\"shown\":\"10.0.0.1:4000\",\"shown_rtcp\":null,\"held\":false,\"assigned_ssrc\":null}]}]}],"
     "\"more\":4}",
     RELAYCTL_DONE, CALL_SHOWN},
    {"explain 17", "{\"command\":\"explain\",\"id\":17}",
     "{\"ok\":true,\"cause\":\"wrong-key\",\"text\":\"Its key. The other direction flows.\","
     "\"check\":\"Compare.\",\"directions\":[{\"id\":17,\"side\":\"external\","
     "\"cause\":\"wrong-key\",\"text\":\"Its key.\",\"check\":\"Compare.\",\"hops\":[\"sender\","
     "\"dmz-relay: "
     "none\"]},{\"id\":18,\"side\":\"internal\",\"cause\":\"flows\",\"text\":\"Fine.\","
     "\"check\":\"\",\"hops\":[]}]}",
     RELAYCTL_DONE,
     "Its key. The other direction flows.\n"
     "Check first: Compare.\n"
     "\n"
     "SA 17, from outside to inside: wrong-key\n"
     "  Its key.\n"
     "  - sender\n"
     "  - dmz-relay: none\n"
     "\n"
     "SA 18, from inside to outside: flows\n"
     "  Fine.\n"},
    {"explain 17", "{\"command\":\"explain\",\"id\":17}",
     "{\"ok\":true,\"cause\":\"flows\",\"text\":\"Fine.\",\"check\":\"\",\"directions\":[{\"id\":"
     "17,"
     "\"side\":\"external\",\"cause\":\"flows\",\"text\":\"Fine.\",\"hops\":[\"x\"]}]}",
     RELAYCTL_DONE, "Fine.\n\nSA 17, from outside to inside: flows\n  - x\n"},
    {"reload", "{\"command\":\"reload\"}", "{\"ok\":true,\"changed\":[],\"restart_needed\":[]}",
     RELAYCTL_DONE, "read again, nothing changed\n"},
    {"reload", "{\"command\":\"reload\"}",
     "{\"ok\":true,\"changed\":[\"[log] level\"],\"restart_needed\":[\"[daemon] pid-file\"]}",
     RELAYCTL_DONE, "changed: [log] level\nneeds a restart: [daemon] pid-file\n"},
    {"debug", "{\"command\":\"debug\"}", "{\"ok\":true,\"level\":\"info\"}", RELAYCTL_DONE,
     "level: info\n"},
    {"debug debug", "{\"command\":\"debug\",\"level\":\"debug\"}",
     "{\"ok\":true,\"level\":\"debug\"}", RELAYCTL_DONE, "level: debug\n"},
};

START_TEST(shows)
{
    char words[256];

    place.reply = human[_i].reply;
    snprintf(words, sizeof(words), "-s @SOCKET %s", human[_i].words);
    run(words);
    check_exit(human[_i].status);
    check_request(human[_i].request);
    ck_assert_str_eq(place.err, "");
    if (human[_i].out)
        ck_assert_str_eq(place.out, human[_i].out);
}
END_TEST

#define EXPLAINED(text, a, b)                                                                      \
    "{\"ok\":true,\"text\":\"" text "\",\"directions\":[{\"id\":" a "},{\"id\":" b "}]}"

/* Each pair of directions once. */
#define CALL(cause, text, sas)                                                                     \
    "{\"cause\":\"" cause "\",\"text\":\"" text "\",\"check\":\"Look.\",\"sas\":[" sas "]}"

/* What the daemon says of the call, and then each pair of directions once. */
START_TEST(explains_a_call)
{
    place.replies[0] = "{\"ok\":true,\"calls\":[" CALL("held", "On hold.", "11,3,9,10,4") "]}";
    place.replies[1] = EXPLAINED("Audio.", "3", "4");
    place.reply =
        "{\"ok\":true,\"text\":\"Video.\",\"directions\":[{\"id\":9},{\"id\":10},{\"id\":11}]}";
    run("-s @SOCKET explain abc@example.com");
    check_exit(RELAYCTL_DONE);
    check_request("{\"command\":\"explain\",\"id\":9}");
    ck_assert_uint_eq(place.asked, 3);
    ck_assert_str_eq(place.out, "On hold.\nCheck first: Look.\n"
                                "\nAudio.\n\nSA 3, from outside to inside: -\n"
                                "\nSA 4, from outside to inside: -\n"
                                "\nVideo.\n\nSA 9, from outside to inside: -\n"
                                "\nSA 10, from outside to inside: -\n"
                                "\nSA 11, from outside to inside: -\n");
}
END_TEST

/* Two with one Call-ID, of which one has no SA yet; of the other nothing is to be said. */
START_TEST(explains_two_calls)
{
    place.replies[0] = "{\"ok\":true,\"calls\":[{\"text\":\"\",\"check\":\"\",\"sas\":[3]}," CALL(
        "offered", "No answer.", "") "]}";
    place.reply = EXPLAINED("Audio.", "3", "4");
    run("-s @SOCKET explain abc@example.com");
    check_exit(RELAYCTL_DONE);
    ck_assert_uint_eq(place.asked, 2);
    ck_assert_str_eq(place.out, "Audio.\n\nSA 3, from outside to inside: -\n"
                                "\nSA 4, from outside to inside: -\n"
                                "\nNo answer.\nCheck first: Look.\n");
}
END_TEST

#define NO_CALL(field) "{\"ok\":false,\"error\":\"none\",\"field\":\"" field "\"}"

/* SAs that were added with --call-id; an older daemon, too, says no to a Call-ID. */
START_TEST(explains_added_sas)
{
    place.replies[0] = _i ? NO_CALL("id") : NO_CALL("call_id");
    place.replies[1] = "{\"ok\":true,\"sas\":[{\"id\":11},{\"id\":3}],\"next\":7}";
    place.replies[2] = "{\"ok\":true,\"sas\":[{\"id\":4}],\"next\":null}";
    place.replies[3] = EXPLAINED("Audio.", "3", "4");
    place.reply = "{\"ok\":true,\"text\":\"Video.\",\"directions\":[{\"id\":11}]}";
    run("-s @SOCKET explain abc@example.com");
    check_exit(RELAYCTL_DONE);
    check_request("{\"command\":\"explain\",\"id\":11}");
    ck_assert_uint_eq(place.asked, 5);
    ck_assert_str_eq(place.out, "Audio.\n\nSA 3, from outside to inside: -\n"
                                "\nSA 4, from outside to inside: -\n"
                                "\nVideo.\n\nSA 11, from outside to inside: -\n");
}
END_TEST

START_TEST(explains_no_call)
{
    place.replies[0] = NO_CALL("call_id");
    place.reply = "{\"ok\":true,\"sas\":[],\"next\":null}";
    run("-s @SOCKET explain abc@example.com");
    check_exit(RELAYCTL_REFUSED);
    check_request("{\"command\":\"sa-list\",\"call_id\":\"abc@example.com\"}");
    ck_assert_str_eq(
        place.err, "relayctl: there is no call with the Call-ID \"abc@example.com\", and no SA of "
                   "it; \"relayctl call list\" and \"relayctl sa list\" show those there are\n");
}
END_TEST

/* The dmz-relay explains nothing: what it says is all. */
START_TEST(explains_not_here)
{
    place.reply = "{\"ok\":false,\"error\":\"the inner-relay explains\"}";
    run("-s @SOCKET explain abc@example.com");
    check_exit(RELAYCTL_REFUSED);
    ck_assert_uint_eq(place.asked, 1);
    ck_assert_str_eq(place.err, "relayctl: refused: the inner-relay explains\n");
}
END_TEST

/* Pages of calls are put together as those of SAs are. */
START_TEST(lists_calls_in_pages)
{
    place.replies[0] = "{\"ok\":true,\"calls\":[{\"call_id\":\"one\"}],\"next\":9}";
    place.replies[1] = "{\"ok\":true,\"calls\":[],\"next\":4}";
    place.reply = "{\"ok\":true,\"calls\":[{\"call_id\":\"two\"}],\"next\":null}";
    run("-s @SOCKET --json call list");
    check_exit(RELAYCTL_DONE);
    check_request("{\"command\":\"call-list\",\"after\":4}");
    ck_assert_str_eq(place.out,
                     "{\"ok\":true,\"calls\":[{\"call_id\":\"one\"},{\"call_id\":\"two\"}]}\n");
}
END_TEST

/* What the daemon says about a member of the request is said about the option. */
START_TEST(call_is_refused)
{
    place.reply = "{\"ok\":false,\"error\":\"2 calls\",\"field\":\"tag\"}";
    run("-s @SOCKET call end abc@example.com");
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.err, "relayctl: refused: --tag: 2 calls\n");
    place.reply = NO_CALL("call_id");
    run("-s @SOCKET call show abc@example.com");
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.err, "relayctl: refused: call_id: none\n");
}
END_TEST

/* What is missing or of another type is shown as "-" or left out: an older daemon is no crash. */
START_TEST(shows_what_lacks_members)
{
    static const char *const commands_of[] = {
        "status",
        "stats",
        "sa list",
        "sa show 1",
        "reload",
        "debug",
        "call list",
        "call show x",
        "call end x",
        "explain x",
        "explain 1",
        "sa delete 1",
        ("sa rekey 1 --suite AES_CM_128_HMAC_SHA1_80 --key " KEY)};
    static const char *const replies[] = {
        "{\"ok\":true}",
        "{\"ok\":true,\"tunnels\":[1,{}],\"listeners\":[{}],\"places\":[{}],\"sas\":[{}],"
        "\"sa\":{},\"counters\":{\"a\":\"b\"},\"changed\":[1],\"level\":[]}",
        "{\"ok\":true,\"tunnels\":{},\"listeners\":1,\"places\":\"x\",\"sas\":{},\"sa\":[],"
        "\"counters\":[],\"changed\":{},\"restart_needed\":null,\"level\":{},\"text\":[],"
        "\"directions\":[1,{\"hops\":[1],\"side\":{}}]}",
        "{\"ok\":true,\"sas\":[{\"id\":{},\"ssrc\":[{},[]],\"label\":\"x\",\"octets\":-5,"
        "\"last_packet\":1e300}],\"sa\":{\"ssrc\":1,\"created\":9223372036854775807,"
        "\"verdicts\":{\"x\":[]},\"streams\":[[]],\"old_key\":-1e300,\"mki\":{}},"
        "\"generation\":[]}",
        "{\"ok\":true,\"calls\":[1,{},{\"parties\":{},\"offers\":1,\"sas\":{}},{\"parties\":[1,{},"
        "{\"lines\":[1,{},{\"warning\":[],\"mux\":1,\"sa\":\"x\"}],\"sas\":[],\"tag\":[],\"side\":"
        "1}],"
        "\"offers\":[1,{},{\"lines\":{}},{\"lines\":[1,{}],\"left\":-1}],\"age\":\"x\","
        "\"sas\":[1]}],\"more\":1,\"next\":[]}",
        "{\"ok\":true,\"calls\":7,\"call_id\":[],\"max_calls\":{},\"calls_offered\":1}",
    };

    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        char words[256];

        place.reply = replies[i];
        snprintf(words, sizeof(words), "-s @SOCKET %s", commands_of[_i]);
        run(words);
        check_exit(_i == 0 ? RELAYCTL_TUNNEL_DOWN : RELAYCTL_DONE);
    }
}
END_TEST

/* Text that came from strangers must not command the operator's terminal. */
START_TEST(control_characters_are_replaced)
{
    place.reply = "{\"ok\":true,\"sas\":[{\"id\":1,\"call_id\":\"a\\u001b[31m\\u0007\\u009b1m\\n"
                  "\\u007f\\u00e9\"}]}";
    run("-s @SOCKET sa list");
    check_exit(RELAYCTL_DONE);
    check_has(place.out, "a?[31m???1m??\xc3\xa9\n");
    place.reply = "{\"ok\":false,\"error\":\"no\\u001b[31m\\n\"}";
    run("-s @SOCKET sa list");
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.err, "relayctl: refused: no?[31m?\n");
}
END_TEST

START_TEST(many_sas)
{
    json_t *list = json_array(), *reply;
    /* relayctl waits 5 s for a reply: under valgrind this one needs longer to print and to read. */
    unsigned many = unit_rounds(20000);
    char *text;
    size_t lines = 0;

    for (unsigned i = 0; i < many; i++)
        json_array_append_new(list, json_loads("{" SA_COMMON "}", 0, NULL));
    reply = json_pack("{s:b, s:o}", "ok", 1, "sas", list);
    text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    place.reply = text;
    run("-s @SOCKET sa list");
    check_exit(RELAYCTL_DONE);
    for (const char *c = place.out; *c; c++)
        lines += *c == '\n';
    ck_assert_uint_eq(lines, many + 1);
    free(text);
}
END_TEST

/* ---------------------------------------------------------------- several requests */

#define PAGE(rows, next) "{\"ok\":true,\"sas\":[" rows "],\"next\":" next "}"

static const struct {
    const char *words, *replies[4];
    int status;
    const char *out, *err, *last; /* last: request */
} several[] = {
    {"--json sa list",
     {PAGE("{\"id\":4}", "null")},
     RELAYCTL_DONE,
     "{\"ok\":true,\"sas\":[{\"id\":4}]}\n",
     "",
     "{\"command\":\"sa-list\"}"},
    {"--json sa list",
     {PAGE("{\"id\":4},{\"id\":2}", "90"), PAGE("", "80"), PAGE("{\"id\":3}", "null")},
     RELAYCTL_DONE,
     "{\"ok\":true,\"sas\":[{\"id\":4},{\"id\":2},{\"id\":3}]}\n",
     "",
     "{\"command\":\"sa-list\",\"after\":80}"},
    {"--json sa list",
     {PAGE("{\"id\":4}", "90"), "{\"ok\":false,\"error\":\"out of memory\"}"},
     RELAYCTL_REFUSED,
     "{\"ok\":false,\"error\":\"out of memory\"}\n",
     "out of memory",
     "{\"command\":\"sa-list\",\"after\":90}"},
    {"sa list",
     {PAGE("{\"id\":4}", "90"), PAGE("{\"id\":4}", "90")},
     RELAYCTL_NO_DAEMON,
     "",
     "does not follow",
     "{\"command\":\"sa-list\",\"after\":90}"},
    {"sa list",
     {PAGE("{\"id\":4}", "90"), "{\"ok\":true}"},
     RELAYCTL_NO_DAEMON,
     "",
     "does not follow",
     "{\"command\":\"sa-list\",\"after\":90}"},
    {"sa list",
     {PAGE("", "\"90\"")},
     RELAYCTL_DONE,
     "no security associations\n",
     "",
     "{\"command\":\"sa-list\"}"},
    {"sa delete 5 6 7",
     {NULL},
     RELAYCTL_DONE,
     "deleted\ndeleted\ndeleted\n",
     "",
     "{\"command\":\"sa-delete\",\"id\":7}"},
    {"sa delete 5 6 7",
     {"{\"ok\":true}", "{\"ok\":false,\"error\":\"there is no SA 6\",\"field\":\"id\"}"},
     RELAYCTL_REFUSED,
     "deleted\ndeleted\n",
     "refused: id: there is no SA 6",
     "{\"command\":\"sa-delete\",\"id\":7}"},
    {"--json sa delete 5 6",
     {"{\"ok\":false,\"error\":\"no\"}"},
     RELAYCTL_REFUSED,
     "{\"ok\":false,\"error\":\"no\"}\n{\"ok\":true}\n",
     "refused: no",
     "{\"command\":\"sa-delete\",\"id\":6}"},
    {"sa delete 5 6",
     {"[1]"},
     RELAYCTL_NO_DAEMON,
     "",
     "not that of a media-relay daemon",
     "{\"command\":\"sa-delete\",\"id\":5}"},
};

START_TEST(several_requests)
{
    char words[256];

    memcpy(place.replies, several[_i].replies, sizeof(place.replies));
    snprintf(words, sizeof(words), "-s @SOCKET %s", several[_i].words);
    run(words);
    check_exit(several[_i].status);
    ck_assert_str_eq(place.out, several[_i].out);
    if (several[_i].err[0])
        check_has(place.err, several[_i].err);
    else
        ck_assert_str_eq(place.err, "");
    check_request(several[_i].last);
}
END_TEST

/* ---------------------------------------------------------------- replies for scripts */

static const struct {
    const char *words, *reply;
    int status;
} scripts[] = {
    {"--json status", STATUS("up"), RELAYCTL_DONE},
    {"status --json", STATUS("down"), RELAYCTL_TUNNEL_DOWN},
    {"--json stats", "{\"ok\":true,\"places\":[],\"counters\":{}}", RELAYCTL_DONE},
    {"--json sa list", "{\"ok\":true,\"sas\":[{\"call_id\":\"\xc3\xa9\"}]}", RELAYCTL_DONE},
    {"--json sa show 1", "{\"ok\":true,\"sa\":{}}", RELAYCTL_DONE},
    {"--json sa delete 1", "{\"ok\":false,\"error\":\"there is no SA 1\",\"field\":\"id\"}",
     RELAYCTL_REFUSED},
    {"--json reload", "{\"ok\":true,\"changed\":[],\"restart_needed\":[]}", RELAYCTL_DONE},
    {"--json debug", "{\"ok\":true,\"level\":\"info\"}", RELAYCTL_DONE},
};

START_TEST(json)
{
    char words[64], line[4096];

    place.reply = scripts[_i].reply;
    snprintf(words, sizeof(words), "-s @SOCKET %s", scripts[_i].words);
    snprintf(line, sizeof(line), "%s\n", scripts[_i].reply);
    run(words);
    check_exit(scripts[_i].status);
    ck_assert_str_eq(place.out, line);
}
END_TEST

/* ---------------------------------------------------------------- refusals and usage */

START_TEST(refusals_name_the_field)
{
    place.reply = "{\"ok\":false,\"error\":\"there is no SA 17\",\"field\":\"id\"}";
    run("-s @SOCKET sa show 17");
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.out, "");
    ck_assert_str_eq(place.err, "relayctl: refused: id: there is no SA 17\n");
    place.reply = "{\"ok\":false,\"error\":\"in use\",\"field\":\"source_rtcp\"}";
    run("-s @SOCKET sa add --side external --source 192.0.2.7:1 --suite AES_CM_128_HMAC_SHA1_80 "
        "--key " KEY " --ssrc 1 --to 10.0.0.7:2");
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.err, "relayctl: refused: --source-rtcp: in use\n");
    place.reply = "{\"ok\":false,\"error\":\"too long\",\"field\":\"mki\"}";
    run("-s @SOCKET sa rekey 17 --suite AES_CM_128_HMAC_SHA1_80 --mki 00 --key " KEY);
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.err, "relayctl: refused: --mki: too long\n");
    place.reply = "{\"ok\":false,\"error\":\"there is no SA 17\",\"field\":\"id\"}";
    run("-s @SOCKET sa rekey 17 --suite AES_CM_128_HMAC_SHA1_80 --key " KEY);
    check_exit(RELAYCTL_REFUSED);
    ck_assert_str_eq(place.err, "relayctl: refused: id: there is no SA 17\n");
}
END_TEST

static const struct {
    const char *words, *complaint;
} usage[] = {
    {"", "a command is missing"},
    {"stat", "there is no command \"stat\""},
    {"sa", "list, show, add, rekey or delete"},
    {"sa lost", "not lost"},
    {"sa show", "ID is missing"},
    {"explain", "explain: CALL|ID is missing"},
    {"call", "call: list, show, end, place, wait, answer or refuse is missing"},
    {"call add x", "answer or refuse is missing, not add"},
    {"call show", "call show: CALL-ID is missing"},
    {"call end", "call end: CALL-ID is missing"},
    {"call list x", "one argument too many"},
    {"call place", "call place: SITE is missing"},
    {"call place a.example", "--sdp is missing"},
    {"call answer x", "--sdp is missing"},
    {"call answer x --sdp /dev/null --wait", "--wait belongs to \"call place\""},
    {"call refuse", "CALL-ID is missing"},
    {"call refuse x --sdp y", "--sdp belongs to \"call place\" and \"call answer\""},
    {"call place x --reason y", "--reason belongs to \"call refuse\""},
    {"call wait x", "one argument too many"},
    {"call show x y", "one argument too many"},
    {"call show x --tag", "--tag needs an argument"},
    {"call show x --tag=", "the tag is empty"},
    {"call list --tag a", "--tag belongs to \"call show\" and \"call end\""},
    {"sa rekey 1 --tag a --key " KEY, "--tag belongs to \"call show\" and \"call end\""},
    {"call end x --key " KEY, "--key belongs to \"sa add\" and \"sa rekey\""},
    {"call end \xff", "not UTF-8"},
    {"explain \xff", "not UTF-8"},
    {"sa show x", "\"x\" is no ID"},
    {"sa show -1", "-1 is not an option"},
    {"sa show 9223372036854775808", "is no ID"},
    {"sa delete", "ID is missing"},
    {"sa show 1 2", "\"2\" is one argument too many"},
    {"sa delete 1 2 x", "\"x\" is no ID"},
    {"status all", "\"all\" is one argument too many"},
    {"debug loud", "\"loud\" is no level"},
    {"debug info info", "one argument too many"},
    {"status --mux", "--mux belongs to \"sa add\""},
    {"sa show 1 --key " KEY, "--key belongs to \"sa add\" and \"sa rekey\""},
    {"sa delete 1 --mki 00", "--mki belongs to \"sa add\" and \"sa rekey\""},
    {"sa rekey --key " KEY, "ID is missing"},
    {"sa rekey 1 2 --key " KEY, "\"2\" is one argument too many"},
    {"sa rekey 1 --ssrc 1 --key " KEY, "--ssrc belongs to \"sa add\"\n"},
    {"status --nonsense", "--nonsense is not an option"},
    {"status --nonsense=" KEY, "--nonsense is not an option"},
    {"status -x", "-x is not an option"},
    {"status --json=1", "--json takes no argument"},
    {"status --json --json", "--json is given twice"},
    {"sa add --key", "--key needs an argument"},
    {"status -s", "-s needs an argument"},
};

START_TEST(usage_errors)
{
    char words[256];

    snprintf(words, sizeof(words), "--socket=%s %s", place.socket, usage[_i].words);
    if (strstr(usage[_i].words, "-s"))
        snprintf(words, sizeof(words), "%s", usage[_i].words);
    run(words);
    check_exit(RELAYCTL_USAGE);
    check_has(place.err, usage[_i].complaint);
    check_has(place.err, "relayctl --help");
    ck_assert_str_eq(place.out, "");
    ck_assert_ptr_null(strstr(place.err, KEY));
    ck_assert_ptr_null(place.request);
}
END_TEST

#define REKEY "sa rekey 1 --suite AES_CM_128_HMAC_SHA1_80 --key-file "

/* What --help says would not help. */
static const struct {
    const char *words, *complaint;
} bad_files[] = {
    {"call place a.example --sdp /nonexistent/x",
     "--sdp: /nonexistent/x: No such file or directory"},
    {"call place a.example --sdp /", "--sdp: /: Is a directory"},
    {"call place a.example --sdp /dev/null", "--sdp: /dev/null: it is empty"},
    {"call place a.example --sdp /dev/zero", "--sdp: /dev/zero: it is too long for a request"},
    {"call answer x --sdp /dev/null/x", "--sdp: /dev/null/x: Not a directory"},
    {REKEY "/nonexistent/x", "--key-file: /nonexistent/x: No such file or directory"},
    {REKEY "/dev", "--key-file: /dev: Is a directory"},
};

START_TEST(file_errors)
{
    char words[256], line[256];

    snprintf(words, sizeof(words), "-s @SOCKET %s", bad_files[_i].words);
    snprintf(line, sizeof(line), "relayctl: %s\n", bad_files[_i].complaint);
    run(words);
    check_exit(RELAYCTL_USAGE);
    ck_assert_ptr_nonnull(strstr(place.err, line));
    ck_assert_ptr_null(strstr(place.err, "--help"));
    ck_assert_str_eq(place.out, "");
    ck_assert_ptr_null(place.request);
}
END_TEST

START_TEST(help_and_version)
{
    run("--help");
    check_exit(RELAYCTL_DONE);
    check_has(place.out, "usage: relayctl");
    ck_assert_str_eq(place.err, "");
    run("-V");
    check_exit(RELAYCTL_DONE);
    ck_assert_str_eq(place.out, "relayctl " PACKAGE_VERSION "\n");
}
END_TEST

/* ---------------------------------------------------------------- sa add */

#define SUITE       " --suite AES_CM_128_HMAC_SHA1_80"
#define SUITE_JSON  "\"suite\":\"AES_CM_128_HMAC_SHA1_80\","
#define SIDE        " --side external"
#define SIDE_JSON   "{\"command\":\"sa-add\",\"side\":\"external\","
#define SOURCE      " --source 198.51.100.7:40000"
#define SOURCE_JSON "\"source\":\"198.51.100.7:40000\",\"source_rtcp\":\"198.51.100.7:40001\","
#define TO          " --to 10.0.0.7:5004"
#define TO_JSON     "\"to\":\"10.0.0.7:5004\",\"to_rtcp\":\"10.0.0.7:5005\","
#define SSRC        " --ssrc 1"
#define SSRC_JSON   "\"ssrc\":[1],"

static const struct {
    const char *words, *request;
} adds[] = {
    {SIDE SOURCE SUITE TO SSRC " --key " KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON KEY_JSON "}"},
    {" --side internal" SOURCE SUITE TO SSRC " --key=" KEY,
     "{\"command\":\"sa-add\",\"side\":\"internal\"," SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON
         KEY_JSON "}"},
    {SIDE SOURCE " --source-rtcp 198.51.100.8:9" SUITE TO " --to-rtcp 10.0.0.8:7" SSRC
                 " --key " KEY,
     SIDE_JSON "\"source\":\"198.51.100.7:40000\",\"source_rtcp\":\"198.51.100.8:9\"," SUITE_JSON
               "\"to\":\"10.0.0.7:5004\",\"to_rtcp\":\"10.0.0.8:7\"," SSRC_JSON KEY_JSON "}"},
    {SIDE SOURCE " --mux" SUITE TO " --to-mux" SSRC " --key " KEY,
     SIDE_JSON "\"source\":\"198.51.100.7:40000\",\"mux\":true," SUITE_JSON
               "\"to\":\"10.0.0.7:5004\",\"to_mux\":true," SSRC_JSON KEY_JSON "}"},
    {SIDE " --source [2001:DB8:0::7]:65535 --mux" SUITE " --to [::ffff:10.0.0.7]:5004" SSRC
          " --key " KEY,
     SIDE_JSON
     "\"source\":\"[2001:db8::7]:65535\",\"mux\":true," SUITE_JSON TO_JSON SSRC_JSON KEY_JSON "}"},
    {SIDE " --peer other --to-rtp-prime" SUITE TO SSRC " --key " KEY, SIDE_JSON
     "\"peer\":\"other\",\"to_rtp_prime\":true," SUITE_JSON TO_JSON SSRC_JSON KEY_JSON "}"},
    {" --side internal --peer other --to-mux --rtp-prime" SOURCE SUITE SSRC " --key " KEY,
     "{\"command\":\"sa-add\",\"side\":\"internal\",\"peer\":\"other\",\"to_mux\":true,"
     "\"rtp_prime\":true," SOURCE_JSON SUITE_JSON SSRC_JSON KEY_JSON "}"},
    /* From outside to outside: the peer sends, or gets what somebody sends. */
    {SIDE " --to-side external --peer other" SUITE TO SSRC " --key " KEY, SIDE_JSON
     "\"to_side\":\"external\",\"peer\":\"other\"," SUITE_JSON TO_JSON SSRC_JSON KEY_JSON "}"},
    {SIDE " --to-side external --peer other" SOURCE SUITE SSRC " --key " KEY, SIDE_JSON
     "\"to_side\":\"external\",\"peer\":\"other\"," SOURCE_JSON SUITE_JSON SSRC_JSON KEY_JSON "}"},
    {SIDE SOURCE SUITE TO " --ssrc 0xdeadbeef,0,4294967295,0X10 --key " KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON "\"ssrc\":[3735928559,0,4294967295,16]," KEY_JSON
                                              "}"},
    {SIDE SOURCE SUITE TO SSRC
     " --rate 64 --call-id a@b --media 2 --listener main --to-listener second --dmz west "
     "--reverse 17 --media-timeout 30 --key " KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON
     "\"rate\":64,\"call_id\":\"a@b\",\"media\":2,\"listener\":\"main\","
     "\"to_listener\":\"second\",\"dmz\":\"west\",\"reverse\":17,\"media_timeout\":30," KEY_JSON
     "}"},
    {SIDE SOURCE SUITE TO SSRC " --key inline:" KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON KEY_JSON "}"},
    {SIDE SOURCE SUITE TO SSRC " --key inline:" KEY "|2^48",
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON "\"lifetime\":281474976710656," KEY_JSON
                                                        "}"},
    {SIDE SOURCE SUITE TO SSRC " --mki 00fF --lifetime 281474976710656 --key " KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON
     "\"mki\":\"00fF\",\"lifetime\":281474976710656," KEY_JSON "}"},
    {SIDE SOURCE " --suite AEAD_AES_128_GCM" TO SSRC
                 " --key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==",
     SIDE_JSON SOURCE_JSON "\"suite\":\"AEAD_AES_128_GCM\"," TO_JSON SSRC_JSON
                           "\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==\"}"},
    {SIDE SUITE SSRC
     " --hint 198.51.100.7 --source-policy hinted --mux --reverse 3 --to-mux --key " KEY,
     SIDE_JSON "\"hint\":\"198.51.100.7\",\"source_policy\":\"hinted\",\"mux\":true,\"reverse\":3,"
               "\"to_mux\":true," SUITE_JSON SSRC_JSON KEY_JSON "}"},
    {SIDE SOURCE SUITE TO " --hint [2001:db8::7]:5060 --source-policy strict --key " KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON
     "\"hint\":\"2001:db8::7\",\"source_policy\":\"strict\"," KEY_JSON "}"},
    {SIDE SUITE TO " --source-policy open --key " KEY,
     SIDE_JSON SUITE_JSON TO_JSON "\"source_policy\":\"open\"," KEY_JSON "}"},
    {SIDE SOURCE TO " --assign-ssrc", SIDE_JSON SOURCE_JSON TO_JSON "\"assign_ssrc\":true}"},
    {SIDE SOURCE SUITE TO " --assign-ssrc",
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON "\"assign_ssrc\":true}"},
    {SIDE SOURCE SUITE TO " --assign-ssrc --key " KEY,
     SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON "\"assign_ssrc\":true," KEY_JSON "}"},
};

START_TEST(sa_add)
{
    char words[1024];

    place.reply = "{\"ok\":true,\"id\":17,\"label\":3735928559,\"send_to\":\"192.0.2.1:5004\","
                  "\"send_rtcp_to\":\"192.0.2.1:5005\"}";
    snprintf(words, sizeof(words), "-s @SOCKET sa add%s", adds[_i].words);
    run(words);
    check_exit(RELAYCTL_DONE);
    check_request(adds[_i].request);
    ck_assert_str_eq(place.err, "");
    ck_assert_str_eq(place.out, "SA 17 added, label 0xdeadbeef\nthe sender must send RTP to "
                                "192.0.2.1:5004 and RTCP to 192.0.2.1:5005\n");
    /* The key was on the command line, but others see it no longer. */
    check_has(place.command_line, "--side");
    ck_assert_ptr_null(strstr(place.command_line, "AAECAwQF"));
}
END_TEST

START_TEST(sa_add_without_addresses)
{
    place.reply = "{\"ok\":true,\"id\":17,\"label\":1,\"send_to\":null,\"send_rtcp_to\":null}";
    run("-s @SOCKET sa add" SIDE SOURCE SUITE TO SSRC " --key " KEY);
    check_exit(RELAYCTL_DONE);
    check_has(place.out, "SA 17 added, label 0x00000001\n");
    check_has(place.out, "not known yet");
}
END_TEST

START_TEST(sa_add_with_assigned_ssrc)
{
    place.reply = "{\"ok\":true,\"id\":17,\"label\":2147483646,\"ssrc\":2147483646,"
                  "\"send_to\":null,\"send_rtcp_to\":null}";
    run("-s @SOCKET sa add" SIDE SOURCE TO " --assign-ssrc");
    check_exit(RELAYCTL_DONE);
    check_has(place.out, "the sender must use SSRC 2147483646 (0x7ffffffe)\n");
}
END_TEST

static const struct {
    const char *words, *complaint;
} bad_adds[] = {
    {"", "--side: is missing"},
    {SOURCE SUITE TO SSRC " --key " KEY, "--side: is missing"},
    {SIDE SUITE TO SSRC " --key " KEY, "--source: is missing"},
    {SIDE SOURCE TO SSRC " --key " KEY, "--suite: is missing"},
    {SIDE SOURCE SUITE SSRC " --key " KEY, "--to: is missing"},
    {SIDE SUITE TO SSRC " --source-policy hinted --key " KEY, "--source: is missing"},
    {SIDE SOURCE SUITE TO SSRC " --source-policy loose --key " KEY,
     "--source-policy: there is no policy \"loose\"; strict, hinted or open"},
    {SIDE SOURCE SUITE TO SSRC " --hint phone.example --key " KEY,
     "--hint: \"phone.example\" is no IP address"},
    {SIDE SUITE TO SSRC " --hint 192.0.2.7 --source-rtcp 192.0.2.7:5 --key " KEY,
     "--source-rtcp: does not go without --source"},
    {SIDE SOURCE SUITE SSRC " --reverse 1 --to-rtcp 10.0.0.7:5 --key " KEY,
     "--to-rtcp: does not go without --to"},
    {SIDE SOURCE SUITE TO SSRC, "--key: is missing"},
    {SIDE SOURCE SUITE TO SSRC " --key " KEY " --key-file -", "--key-file: does not go with"},
    {" --side outside" SOURCE SUITE TO SSRC " --key " KEY, "--side: \"outside\""},
    {SIDE " --source 192.0.2.7" SUITE TO SSRC " --key " KEY, "--source: \"192.0.2.7\""},
    {SIDE " --source 192.0.2.7:0" SUITE TO SSRC " --key " KEY, "--source:"},
    {SIDE " --source 192.0.2.7:65536" SUITE TO SSRC " --key " KEY, "--source:"},
    {SIDE " --source host.example:5004" SUITE TO SSRC " --key " KEY, "--source:"},
    {SIDE " --source 192.0.2.7:65535" SUITE TO SSRC " --key " KEY, "--source-rtcp: is missing"},
    {SIDE SOURCE " --source-rtcp 1" SUITE TO SSRC " --key " KEY, "--source-rtcp: \"1\""},
    {SIDE SOURCE " --source-rtcp 192.0.2.7:5 --mux" SUITE TO SSRC " --key " KEY,
     "--source-rtcp: does not go with --mux"},
    {SIDE SOURCE SUITE " --to 10.0.0.7:0" SSRC " --key " KEY, "--to:"},
    {SIDE SOURCE SUITE TO " --to-rtcp 10.0.0.7:0" SSRC " --key " KEY, "--to-rtcp:"},
    {SIDE SOURCE SUITE TO " --to-mux --to-rtcp 10.0.0.7:1" SSRC " --key " KEY,
     "--to-rtcp: does not go with --to-mux"},
    {SIDE SOURCE " --peer other" SUITE TO SSRC " --key " KEY,
     "--source: does not go with --peer, which stands for it"},
    {SIDE " --source-rtcp 192.0.2.7:5 --peer other" SUITE TO SSRC " --key " KEY,
     "--source-rtcp: does not go with --peer"},
    {" --side internal --peer other" SOURCE SUITE TO SSRC " --key " KEY,
     "--to: does not go with --peer"},
    {" --side internal --peer other" SUITE SSRC " --key " KEY, "--source: is missing"},
    {SIDE " --peer other" SUITE SSRC " --key " KEY, "--to: is missing"},
    {SIDE " --peer=" SUITE TO SSRC " --key " KEY, "--peer: 0 octets"},
    {SIDE SOURCE SUITE TO SSRC " --rtp-prime=yes --key " KEY, "--rtp-prime"},
    {SIDE SOURCE " --suite aes_cm_128_hmac_sha1_80" TO SSRC " --key " KEY,
     "AES_CM_128_HMAC_SHA1_32"},
    {SIDE SOURCE TO SSRC " --assign-ssrc", "--assign-ssrc: does not go with --ssrc"},
    {SIDE SOURCE TO " --assign-ssrc --key " KEY, "--suite: is missing"},
    {SIDE SOURCE SUITE TO " --assign-ssrc --mki 01", "--key: is missing"},
    {SIDE SOURCE SUITE TO " --assign-ssrc --lifetime 1", "--key: is missing"},
    {SIDE SOURCE " --suite none" TO " --assign-ssrc", "--suite: there is no suite"},
    {SIDE SOURCE SUITE TO " --assign-ssrc=1", "--assign-ssrc"},
    {SIDE SOURCE SUITE TO " --ssrc 4294967296 --key " KEY, "--ssrc: \"4294967296\""},
    {SIDE SOURCE SUITE TO " --ssrc 0x --key " KEY, "--ssrc: \"0x\""},
    {SIDE SOURCE SUITE TO " --ssrc 1, --key " KEY, "--ssrc: \"\""},
    {SIDE SOURCE SUITE TO " --ssrc 1,0x1 --key " KEY, "--ssrc: 0x1 stands twice"},
    {SIDE SOURCE SUITE TO " --ssrc 1,2,3,4,5,6,7,8,9 --key " KEY, "--ssrc: more than 8"},
    {SIDE SOURCE SUITE TO " --ssrc -1 --key " KEY, "--ssrc: \"-1\""},
    {SIDE SOURCE SUITE TO SSRC " --rate 7 --key " KEY, "--rate: \"7\""},
    {SIDE SOURCE SUITE TO SSRC " --rate 1000001 --key " KEY, "--rate:"},
    {SIDE SOURCE SUITE TO SSRC " --rate 64k --key " KEY, "--rate:"},
    {SIDE SOURCE SUITE TO SSRC " --media 256 --key " KEY, "--media:"},
    {SIDE SOURCE SUITE TO SSRC " --reverse 0 --key " KEY, "--reverse:"},
    {SIDE SOURCE SUITE TO SSRC " --media-timeout -1 --key " KEY, "--media-timeout:"},
    {SIDE SOURCE SUITE TO SSRC " --call-id= --key " KEY, "--call-id: 0 octets"},
    {SIDE SOURCE SUITE TO SSRC " --call-id a\x01 --key " KEY, "--call-id: a control character"},
    {SIDE SOURCE SUITE TO SSRC " --call-id \xff --key " KEY, "--call-id: not text in UTF-8"},
    {SIDE SOURCE SUITE TO SSRC " --dmz= --key " KEY, "--dmz: 0 octets"},
    {SIDE SOURCE SUITE TO SSRC " --listener "
                               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                               " --key " KEY,
     "--listener: 64 octets; 1 to 63"},
    {SIDE SOURCE SUITE TO SSRC " --key " KEY "AAAA", "--key: has 33 octets"},
    {SIDE SOURCE SUITE TO SSRC " --key AAAA", "takes 30 (key 16, salt 14)"},
    {SIDE SOURCE SUITE TO SSRC " --key " KEY KEY KEY KEY KEY KEY KEY, "octets or more"},
    {SIDE SOURCE SUITE TO SSRC " --key AAECAwQF!", "--key: is not base64"},
    {SIDE SOURCE SUITE TO SSRC " --key=", "--key: has 0 octets"},
    {SIDE SOURCE SUITE TO SSRC " --key-file @KEY", "--key-file: "},
    {SIDE SOURCE SUITE TO SSRC " --key-file -", "--key-file: has 0 octets"},
    {SIDE SOURCE SUITE TO SSRC " --key " KEY " more", "\"more\" is one argument too many"},
    {SIDE SIDE SOURCE SUITE TO SSRC " --key " KEY, "--side is given twice"},
};

START_TEST(sa_add_errors)
{
    char words[1024];

    snprintf(words, sizeof(words), "-s @SOCKET sa add%s", bad_adds[_i].words);
    run(words);
    check_exit(RELAYCTL_USAGE);
    check_has(place.err, bad_adds[_i].complaint);
    ck_assert_ptr_null(strstr(place.err, "AAECAwQF"));
    ck_assert_ptr_null(place.request);
}
END_TEST

static const struct {
    const char *text;
    const char *complaint; /* NULL: the key is taken */
} key_texts[] = {
    {KEY, NULL},
    {KEY "\n", NULL},
    {KEY "\r\n", NULL},
    {"inline:" KEY "|2^20\n", NULL},
    {KEY "\n" KEY "\n", "more than one line"},
    {"\n" KEY "\n", "more than one line"},
    {"", "has 0 octets"},
    {KEY " \n", "not base64"},
};

START_TEST(sa_add_key_from_file_and_standard_input)
{
    const char *words[] = {"-s @SOCKET sa add" SIDE SOURCE SUITE TO SSRC " --key-file @KEY",
                           "-s @SOCKET sa add" SIDE SOURCE SUITE TO SSRC " --key-file -"};

    write_file(place.key_path, key_texts[_i].text, 0600);
    write_file(place.in_path, key_texts[_i].text, 0600);
    place.reply = "{\"ok\":true,\"id\":17,\"label\":1,\"send_to\":null,\"send_rtcp_to\":null}";
    for (int i = 0; i < 2; i++) {
        run(words[i]);
        if (key_texts[_i].complaint) {
            check_exit(RELAYCTL_USAGE);
            check_has(place.err, key_texts[_i].complaint);
            continue;
        }
        check_exit(RELAYCTL_DONE);
        ck_assert_str_eq(place.err, "");
        check_request(strstr(key_texts[_i].text, "2^20")
                          ? SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON
                          "\"lifetime\":1048576," KEY_JSON "}"
                          : SIDE_JSON SOURCE_JSON SUITE_JSON TO_JSON SSRC_JSON KEY_JSON "}");
    }
}
END_TEST

START_TEST(sa_add_warns_of_readable_key_file)
{
    write_file(place.key_path, KEY, 0644);
    run("-s @SOCKET sa add" SIDE SOURCE SUITE TO SSRC " --key-file @KEY");
    check_exit(RELAYCTL_DONE);
    check_has(place.err, "warning: others can read ");
    check_has(place.err, "mode 0644");
    ck_assert_ptr_nonnull(place.request);
}
END_TEST

/* ---------------------------------------------------------------- sa rekey */

#define REKEY_JSON "{\"command\":\"sa-rekey\",\"id\":17," SUITE_JSON

static const struct {
    const char *words, *request;
} rekeys[] = {
    {SUITE " --key " KEY, REKEY_JSON KEY_JSON "}"},
    {SUITE " --mki 01 --lifetime 1 --key " KEY,
     REKEY_JSON "\"mki\":\"01\",\"lifetime\":1," KEY_JSON "}"},
    {SUITE " --key inline:" KEY "|2^20|1:4",
     REKEY_JSON "\"mki\":\"00000001\",\"lifetime\":1048576," KEY_JSON "}"},
    {SUITE " --key inline:" KEY "|1048577", REKEY_JSON "\"lifetime\":1048577," KEY_JSON "}"},
    {SUITE " --key inline:" KEY "|2^0|255:1",
     REKEY_JSON "\"mki\":\"ff\",\"lifetime\":1," KEY_JSON "}"},
    {SUITE " --lifetime 5 --key inline:" KEY "|18446744073709551615:10",
     REKEY_JSON "\"mki\":\"0000ffffffffffffffff\",\"lifetime\":5," KEY_JSON "}"},
    {SUITE " --mki 02 --key inline:" KEY "|2^31",
     REKEY_JSON "\"mki\":\"02\",\"lifetime\":2147483648," KEY_JSON "}"},
    {" --suite AEAD_AES_128_GCM --key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==",
     "{\"command\":\"sa-rekey\",\"id\":17,\"suite\":\"AEAD_AES_128_GCM\","
     "\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==\"}"},
};

START_TEST(sa_rekey)
{
    char words[1024];

    place.reply = "{\"ok\":true,\"generation\":3}";
    snprintf(words, sizeof(words), "-s @SOCKET sa rekey 17%s", rekeys[_i].words);
    run(words);
    check_exit(RELAYCTL_DONE);
    check_request(rekeys[_i].request);
    ck_assert_str_eq(place.err, "");
    ck_assert_str_eq(place.out, "rekeyed, generation 3\n");
    check_has(place.command_line, "--suite");
    ck_assert_ptr_null(strstr(place.command_line, "AAECAwQF"));
}
END_TEST

#define HEX_64 "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

/* Each is wrong for "sa add", too. */
static const struct {
    const char *words, *complaint;
} bad_keys[] = {
    {" --key " KEY, "--suite: is missing"},
    {" --suite AES --key " KEY, "--suite: there is no suite \"AES\""},
    {SUITE, "--key: is missing"},
    {SUITE " --key AAAA", "takes 30 (key 16, salt 14)"},
    {SUITE " --key AAECAwQF!", "--key: is not base64"},
    {SUITE " --key " KEY " --key-file -", "--key-file: does not go with"},
    {SUITE " --key-file @KEY", "--key-file: "},
    {SUITE " --mki= --key " KEY, "--mki: \"\" is no MKI; 1 to 128 octets"},
    {SUITE " --mki 0 --key " KEY, "--mki: \"0\" is no MKI"},
    {SUITE " --mki 0x01 --key " KEY, "--mki: \"0x01\" is no MKI"},
    {SUITE " --mki 00g0 --key " KEY, "--mki: \"00g0\" is no MKI"},
    {SUITE " --mki " HEX_64 HEX_64 HEX_64 HEX_64 "00 --key " KEY, "1 to 128 octets"},
    {SUITE " --lifetime 0 --key " KEY, "--lifetime: \"0\" is not a number from 1"},
    {SUITE " --lifetime 281474976710657 --key " KEY, "to 281474976710656"},
    {SUITE " --lifetime 2^20 --key " KEY, "--lifetime: \"2^20\""},
    {SUITE " --lifetime -1 --key " KEY, "--lifetime: \"-1\""},
    {SUITE " --key inline:" KEY "|", "--key: what stands behind the key is no lifetime"},
    {SUITE " --key inline:" KEY "|0", "is no lifetime"},
    {SUITE " --key inline:" KEY "|2^", "is no lifetime"},
    {SUITE " --key inline:" KEY "|2^49", "is no lifetime"},
    {SUITE " --key inline:" KEY "|281474976710657", "is no lifetime"},
    {SUITE " --key inline:" KEY "|x", "is no lifetime"},
    {SUITE " --key inline:" KEY "|:", "is no MKI such as 1:4"},
    {SUITE " --key inline:" KEY "|1:", "is no MKI"},
    {SUITE " --key inline:" KEY "|:4", "is no MKI"},
    {SUITE " --key inline:" KEY "|1:0", "is no MKI"},
    {SUITE " --key inline:" KEY "|1:129", "is no MKI"},
    {SUITE " --key inline:" KEY "|256:1", "is no MKI"},
    {SUITE " --key inline:" KEY "|72057594037927936:7", "is no MKI"},
    {SUITE " --key inline:" KEY "|18446744073709551616:8", "is no MKI"},
    {SUITE " --key inline:" KEY "|1:4:4", "is no MKI"},
    {SUITE " --key inline:" KEY "|2^20|2^20", "--lifetime: is given behind the key too"},
    {SUITE " --key inline:" KEY "|1:4|1:4", "--mki: is given behind the key too"},
    {SUITE " --lifetime 5 --key inline:" KEY "|2^20", "--lifetime: is given behind the key too"},
    {SUITE " --mki 01 --key inline:" KEY "|2^20|1:1", "--mki: is given behind the key too"},
};

START_TEST(key_errors)
{
    static const char *const before[] = {"sa rekey 17", "sa add" SIDE SOURCE TO SSRC};

    for (int i = 0; i < 2; i++) {
        char words[1024];

        snprintf(words, sizeof(words), "-s @SOCKET %s%s", before[i], bad_keys[_i].words);
        run(words);
        check_exit(RELAYCTL_USAGE);
        check_has(place.err, bad_keys[_i].complaint);
        ck_assert_ptr_null(strstr(place.err, "AAECAwQF"));
        ck_assert_ptr_null(place.request);
    }
}
END_TEST

START_TEST(sa_rekey_wrong_id)
{
    static const char *const ids[] = {"x", "1x", "0x11", "9223372036854775808"};
    char words[1024];

    snprintf(words, sizeof(words), "-s @SOCKET sa rekey %s" SUITE " --key " KEY, ids[_i]);
    run(words);
    check_exit(RELAYCTL_USAGE);
    check_has(place.err, "is no ID");
    ck_assert_ptr_null(place.request);
}
END_TEST

/* ---------------------------------------------------------------- no daemon */

START_TEST(no_socket)
{
    control_close(place.control);
    place.control = NULL;
    run("-s @SOCKET status");
    check_exit(RELAYCTL_NO_DAEMON);
    check_has(place.err, "no daemon answers at ");
    check_has(place.err, place.socket);
    ck_assert_str_eq(place.out, "");
}
END_TEST

START_TEST(too_long_path)
{
    char words[256] = "status --socket=";

    memset(words + strlen(words), 'x', 120);
    run(words);
    check_exit(RELAYCTL_NO_DAEMON);
    check_has(place.err, "at most 107 octets");
}
END_TEST

/* A socket in place of the daemon's, with a queue for one caller. */
static int foreign_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    control_close(place.control);
    place.control = NULL;
    strcpy(address.sun_path, place.socket);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

START_TEST(silent_daemon)
{
    int fd = foreign_socket();
    ev_tstamp begin = ev_time();

    run("-s @SOCKET --json status");
    check_exit(RELAYCTL_NO_DAEMON);
    check_has(place.err, "no reply from ");
    ck_assert(ev_time() - begin >= 4.9);
    ck_assert_str_eq(place.out, "");
    close(fd);
}
END_TEST

/* Says its text to whoever connects, and closes. */
static void on_caller(struct ev_loop *loop, ev_io *io, int events)
{
    const char *text = io->data;
    char request[4096];
    int fd = accept(io->fd, NULL, NULL);

    (void)loop;
    (void)events;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(recv(fd, request, sizeof(request), 0), 0);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    close(fd);
}

static const char *const strange[] = {
    "",
    "no newline",
    "\n",
    "not JSON\n",
    "[]\n",
    "{}\n",
    "{\"ok\":1}\n",
    "{\"ok\":true\n",
    "{\"ok\":true,\"ok\":false}\n",
    "{\"ok\":true}",
};

START_TEST(strange_replies)
{
    int fd = foreign_socket();
    ev_io io;

    ev_io_init(&io, on_caller, fd, EV_READ);
    io.data = (void *)(uintptr_t)strange[_i];
    ev_io_start(place.loop, &io);
    run("-s @SOCKET --json status");
    check_exit(RELAYCTL_NO_DAEMON);
    check_has(place.err, place.socket);
    ck_assert_str_eq(place.out, "");
    ev_io_stop(place.loop, &io);
    close(fd);
}
END_TEST

/* Turned away before the request is read: the reason must still arrive. */
START_TEST(busy_daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fds[CONTROL_CLIENTS_MAX];

    strcpy(address.sun_path, place.socket);
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&address, sizeof(address)), 0);
        ev_run(place.loop, EVRUN_ONCE);
    }
    run("-s @SOCKET status");
    check_exit(RELAYCTL_REFUSED);
    check_has(place.err, "16 clients");
    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
}
END_TEST

/* ---------------------------------------------------------------- the page */

/* The manual's text, its "\-" as "-". */
static char *read_page(void)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096], *page, *to;

    snprintf(path, sizeof(path), "%s/man/relayctl.8", top ? top : ".");
    page = to = read_file(path);
    for (const char *from = page; *from; from++) {
        if (from[0] != '\\' || from[1] != '-')
            *to++ = *from;
    }
    *to = '\0';
    return page;
}

static bool is_word_octet(char c)
{
    return isalnum((unsigned char)c) || c == '-';
}

/* word stands in the page by itself, not as the beginning of a longer one. */
static bool page_has(const char *page, const char *word)
{
    for (const char *at = page; (at = strstr(at, word)); at++) {
        if ((at == page || !is_word_octet(at[-1])) && !is_word_octet(at[strlen(word)]))
            return true;
    }
    return false;
}

static const char *const option_words[] = {
#define X(name, word, letter, argument, group, help) "--" word,
    RELAYCTL_OPTION_LIST(X)
#undef X
};

START_TEST(page_has_every_option)
{
    char *page = read_page();

    ck_assert_msg(page_has(page, option_words[_i]), "%s is not in relayctl.8", option_words[_i]);
    free(page);
}
END_TEST

START_TEST(page_has_no_other_option)
{
    char *page = read_page();

    for (const char *at = page; (at = strstr(at, "--")); at += 2) {
        size_t length = 2;
        bool known = at[2] == '\0' || !isalpha((unsigned char)at[2]);

        while (is_word_octet(at[length]))
            length++;
        for (int i = 0; i < OPTION_COUNT; i++)
            known = known || (strlen(option_words[i]) == length &&
                              strncmp(option_words[i], at, length) == 0);
        ck_assert_msg(known, "relayctl.8 has %.*s, relayctl does not", (int)length, at);
    }
    free(page);
}
END_TEST

/* The commands are those that --help lists, between "commands:" and an empty line. */
START_TEST(page_has_every_command)
{
    char *page = read_page(), *help, *line, *end;
    int count = 0;

    run("--help");
    help = strstr(place.out, "commands:\n");
    ck_assert_ptr_nonnull(help);
    end = strstr(help, "\n\n");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    for (line = strtok(help, "\n"); (line = strtok(NULL, "\n")); count++) {
        char name[64];
        size_t words = 0;

        line += strspn(line, " ");
        snprintf(name, sizeof(name), ".B \"%.*s", (int)strcspn(line, "\n"), line);
        if (strncmp(line, "sa ", 3) == 0 || strncmp(line, "call ", 5) == 0)
            words = strcspn(line, " ") + 1;
        name[4 + words + strcspn(line + words, " ")] = '\0';
        ck_assert_msg(strstr(page, name) != NULL, "%s\" has no paragraph in relayctl.8", name);
    }
    ck_assert_int_eq(count, 17);
    free(page);
}
END_TEST

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static TCase *show_case(void)
{
    TCase *tcase = tcase_create("show");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, shows, 0, ROWS(human));
    tcase_add_loop_test(tcase, shows_what_lacks_members, 0, 13);
    tcase_add_test(tcase, explains_a_call);
    tcase_add_test(tcase, explains_two_calls);
    tcase_add_loop_test(tcase, explains_added_sas, 0, 2);
    tcase_add_test(tcase, explains_no_call);
    tcase_add_test(tcase, explains_not_here);
    tcase_add_test(tcase, lists_calls_in_pages);
    tcase_add_test(tcase, call_is_refused);
    tcase_add_test(tcase, control_characters_are_replaced);
    tcase_add_test(tcase, many_sas);
    tcase_add_loop_test(tcase, several_requests, 0, ROWS(several));
    tcase_add_loop_test(tcase, json, 0, ROWS(scripts));
    return tcase;
}

static TCase *usage_case(void)
{
    TCase *tcase = tcase_create("usage");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, refusals_name_the_field);
    tcase_add_loop_test(tcase, usage_errors, 0, ROWS(usage));
    tcase_add_loop_test(tcase, file_errors, 0, ROWS(bad_files));
    tcase_add_test(tcase, help_and_version);
    tcase_add_loop_test(tcase, page_has_every_option, 0, OPTION_COUNT);
    tcase_add_test(tcase, page_has_no_other_option);
    tcase_add_test(tcase, page_has_every_command);
    return tcase;
}

static TCase *sa_add_case(void)
{
    TCase *tcase = tcase_create("sa add");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, sa_add, 0, ROWS(adds));
    tcase_add_test(tcase, sa_add_without_addresses);
    tcase_add_test(tcase, sa_add_with_assigned_ssrc);
    tcase_add_loop_test(tcase, sa_add_errors, 0, ROWS(bad_adds));
    tcase_add_loop_test(tcase, sa_add_key_from_file_and_standard_input, 0, ROWS(key_texts));
    tcase_add_test(tcase, sa_add_warns_of_readable_key_file);
    return tcase;
}

static TCase *sa_rekey_case(void)
{
    TCase *tcase = tcase_create("sa rekey");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, sa_rekey, 0, ROWS(rekeys));
    tcase_add_loop_test(tcase, key_errors, 0, ROWS(bad_keys));
    tcase_add_loop_test(tcase, sa_rekey_wrong_id, 0, 4);
    return tcase;
}

static TCase *no_daemon_case(void)
{
    TCase *tcase = tcase_create("no daemon");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, no_socket);
    tcase_add_test(tcase, too_long_path);
    tcase_add_test(tcase, silent_daemon);
    tcase_add_loop_test(tcase, strange_replies, 0, ROWS(strange));
    tcase_add_test(tcase, busy_daemon);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("relayctl");

    suite_add_tcase(suite, show_case());
    suite_add_tcase(suite, usage_case());
    suite_add_tcase(suite, sa_add_case());
    suite_add_tcase(suite, sa_rekey_case());
    suite_add_tcase(suite, no_daemon_case());
    return unit_run(suite);
}
