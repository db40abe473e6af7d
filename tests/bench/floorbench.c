/*
 * The floor: what a relay cannot do without, each part alone and bare, in nanoseconds of CPU time
 * per packet. Medians of rounds in which all parts take turns. See usage() and docs/performance.md.
 */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/srtp/hmac.h"
#include "tests/bench/tlspair.h"
#include "tests/tools/cli.h"
#include "tests/unit/reference.h"

enum {
    BATCH = 32, /* packets of one system call, and whose memory is fetched together */
    CALLS = 8,  /* between two looks at the clock */
    PACKETS = BATCH * CALLS,
    SENDERS = 400, /* with a key each, and destinations */
    HEADER_OCTETS = 12,
    TAG_OCTETS = 10,
    GCM_TAG_OCTETS = 16,
    FRAME_ADDS_OCTETS = 7, /* length, type and label in the tunnel */
    ROOM_OCTETS = 1500,
    LINE_OCTETS = 64,
    RECORD_SIZES = 6,
    ENTRY_COUNTS = 3,
    REST_NS = 500 * 1000, /* what the relays rest by themselves under load */
    RESTS = 40,
    ROUNDS_DEFAULT = 41,
    ROUNDS_MAX = 1001,
};

static const unsigned record_packets[RECORD_SIZES] = {1, 2, 4, 8, 16, 32};
static const unsigned entry_counts[ENTRY_COUNTS] = {10, SENDERS, 20000};

struct sender {
    struct reference_keys cm, gcm;
    struct hmac_key hmac;
};

struct slot {
    unsigned sender; /* of the packet in cm; the others are the first sender's */
    uint8_t iv[12];
    alignas(LINE_OCTETS) uint8_t cm[ROOM_OCTETS], one[ROOM_OCTETS], gcm[ROOM_OCTETS];
};

/* What a table must hold at the least, and the first line of what it leads to. */
struct entry {
    uint64_t key;
    struct record *record;
};
struct record {
    alignas(LINE_OCTETS) uint64_t key, counter;
};

struct map {
    struct entry *entries;
    struct record *records;
    uint64_t mask, *order;
    unsigned count, next;
};

struct udp {
    int from, to;
    struct sockaddr_in names[SENDERS];
};

struct floor {
    size_t size, cm_length, gcm_length;
    struct sender senders[SENDERS];
    struct slot slots[PACKETS];
    EVP_MD_CTX *inner, *outer, *scratch; /* of the first sender, and so is the next */
    EVP_CIPHER_CTX *cipher;
    struct udp udp;
    SSL *tls[2]; /* who writes, who reads */
    struct map maps[ENTRY_COUNTS];
    double clock_ns;
    unsigned received; /* datagrams of the last round */
};

/* ---------------------------------------------------------------- measuring */

static double cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double since(const struct floor *f, double began)
{
    return (cpu_ns() - began - f->clock_ns) / PACKETS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), by_value);
    return values[count / 2];
}

static void must(bool good, const char *what)
{
    if (!good)
        cli_die("%s: it does not work here", what);
}

/* ---------------------------------------------------------------- receive and send */

static int udp_socket(uint16_t *port)
{
    const int buffer = 4 << 20;
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) < 0)
        cli_die("a UDP socket: %s", strerror(errno));
    *port = ntohs(name.sin_port);
    return fd;
}

/* One socket has all destinations, 127.40.0.1 and the next ones: to the sender they are distinct.
 */
static void open_udp(struct udp *udp)
{
    uint16_t port;

    udp->from = udp_socket(&port);
    udp->to = udp_socket(&port);
    for (unsigned i = 0; i < SENDERS; i++)
        udp->names[i] = (struct sockaddr_in){.sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(0x7f280001 + i)};
}

static double send_all(struct floor *f)
{
    static unsigned next;
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    double began = cpu_ns();

    for (unsigned at = 0; at < PACKETS; at += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){f->slots[at + i].cm, f->cm_length};
            heads[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &f->udp.names[next++ % SENDERS],
                                                    .msg_namelen = sizeof(f->udp.names[0]),
                                                    .msg_iov = &iov[i],
                                                    .msg_iovlen = 1}};
        }
        must(sendmmsg(f->udp.from, heads, BATCH, 0) == BATCH, "sendmmsg");
    }
    return since(f, began);
}

static double receive_all(struct floor *f)
{
    static uint8_t data[BATCH][2048];
    struct sockaddr_in names[BATCH];
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    double began = cpu_ns();

    f->received = 0;
    for (unsigned at = 0; at < PACKETS; at += BATCH) {
        int n;

        for (unsigned i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){data[i], sizeof(data[i])};
            heads[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &names[i],
                                                    .msg_namelen = sizeof(names[i]),
                                                    .msg_iov = &iov[i],
                                                    .msg_iovlen = 1}};
        }
        n = recvmmsg(f->udp.to, heads, BATCH, MSG_DONTWAIT, NULL);
        f->received += n > 0 ? (unsigned)n : 0;
    }
    return since(f, began);
}

/* ---------------------------------------------------------------- verify */

/* The tag is over the packet and the ROC, which is 0. */
static const uint8_t roc[4];

static const uint8_t *tag_of(const struct floor *f, const struct slot *slot)
{
    return slot->cm + f->cm_length - TAG_OCTETS;
}

/* HMAC of EVP's SHA-1: one key's two states after the pads are kept, and copied into one context.
 */
static double verify_evp(struct floor *f)
{
    unsigned good = 0;
    double took, began = cpu_ns();

    for (unsigned i = 0; i < PACKETS; i++) {
        const struct slot *slot = &f->slots[i];
        uint8_t tag[HMAC_OCTETS];

        good += EVP_MD_CTX_copy_ex(f->scratch, f->inner) &&
                EVP_DigestUpdate(f->scratch, slot->one, f->cm_length - TAG_OCTETS) &&
                EVP_DigestUpdate(f->scratch, roc, sizeof(roc)) &&
                EVP_DigestFinal_ex(f->scratch, tag, NULL) &&
                EVP_MD_CTX_copy_ex(f->scratch, f->outer) &&
                EVP_DigestUpdate(f->scratch, tag, sizeof(tag)) &&
                EVP_DigestFinal_ex(f->scratch, tag, NULL) &&
                memcmp(tag, slot->one + f->cm_length - TAG_OCTETS, TAG_OCTETS) == 0;
    }
    took = since(f, began);
    must(good == PACKETS, "EVP_Digest");
    return took;
}

/* The same by SHA1_*, without EVP around it. */
static double verify_hmac(struct floor *f)
{
    unsigned good = 0;
    double took, began = cpu_ns();

    for (unsigned i = 0; i < PACKETS; i++) {
        const struct slot *slot = &f->slots[i];
        uint8_t tag[HMAC_OCTETS];

        hmac_tag(&f->senders[slot->sender].hmac, slot->cm, f->cm_length - TAG_OCTETS, roc,
                 sizeof(roc), tag);
        good += memcmp(tag, tag_of(f, slot), TAG_OCTETS) == 0;
    }
    took = since(f, began);
    must(good == PACKETS, "SHA1");
    return took;
}

static double verify_gcm(struct floor *f)
{
    static uint8_t text[ROOM_OCTETS];
    int length = (int)f->gcm_length - HEADER_OCTETS - GCM_TAG_OCTETS, written;
    unsigned good = 0;
    double took, began = cpu_ns();

    for (unsigned i = 0; i < PACKETS; i++) {
        struct slot *slot = &f->slots[i];

        good += EVP_DecryptInit_ex2(f->cipher, NULL, NULL, slot->iv, NULL) &&
                EVP_DecryptUpdate(f->cipher, NULL, &written, slot->gcm, HEADER_OCTETS) &&
                EVP_DecryptUpdate(f->cipher, text, &written, slot->gcm + HEADER_OCTETS, length) &&
                EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_OCTETS,
                                    slot->gcm + HEADER_OCTETS + length) &&
                EVP_DecryptFinal_ex(f->cipher, text, &written);
    }
    took = since(f, began);
    must(good == PACKETS, "AES-GCM");
    return took;
}

static EVP_MD_CTX *pad_state(const EVP_MD *sha1, const uint8_t *key, size_t octets, uint8_t pad)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t block[64];

    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < octets; i++)
        block[i] ^= key[i];
    must(ctx && EVP_DigestInit_ex(ctx, sha1, NULL) && EVP_DigestUpdate(ctx, block, sizeof(block)),
         "SHA1");
    return ctx;
}

static void open_senders(struct floor *f)
{
    EVP_MD *sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);

    for (unsigned i = 0; i < SENDERS; i++) {
        struct sender *s = &f->senders[i];
        uint8_t material[SUITE_KEY_MAX_OCTETS];

        random_bytes(material, sizeof(material));
        reference_keys(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), material, false, &s->cm);
        reference_keys(suite_get(SUITE_AEAD_AES_128_GCM), material, false, &s->gcm);
        hmac_init(&s->hmac, s->cm.auth, HMAC_OCTETS);
    }
    f->scratch = EVP_MD_CTX_new();
    f->inner = pad_state(sha1, f->senders[0].cm.auth, HMAC_OCTETS, 0x36);
    f->outer = pad_state(sha1, f->senders[0].cm.auth, HMAC_OCTETS, 0x5c);
    f->cipher = EVP_CIPHER_CTX_new();
    must(f->cipher && EVP_DecryptInit_ex2(f->cipher, gcm, f->senders[0].gcm.cipher, NULL, NULL),
         "AES-GCM");
    EVP_MD_free(sha1);
    EVP_CIPHER_free(gcm);
}

/* ---------------------------------------------------------------- packets */

/* RFC 7714 section 8.1, ROC 0. */
static void put_iv(struct slot *slot, const uint8_t *salt)
{
    memset(slot->iv, 0, sizeof(slot->iv));
    memcpy(slot->iv + 2, slot->gcm + 8, 4);
    memcpy(slot->iv + 10, slot->gcm + 2, 2);
    for (size_t i = 0; i < sizeof(slot->iv); i++)
        slot->iv[i] ^= salt[i];
}

/* Packets of senders in no order; what came in a moment ago is in the cache, and so are they. */
static void receive_slots(struct floor *f)
{
    static unsigned index = 1000;
    const struct sender *first = &f->senders[0];
    const struct suite *cm = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    const struct suite *gcm = suite_get(SUITE_AEAD_AES_128_GCM);
    size_t length = f->size + HEADER_OCTETS;

    index++;
    for (unsigned i = 0; i < PACKETS; i++) {
        struct slot *slot = &f->slots[i];
        uint32_t random;

        random_bytes(&random, sizeof(random));
        slot->sender = random % SENDERS;
        memset(slot->cm, (int)random, length);
        slot->cm[0] = 0x80;
        memcpy(slot->one, slot->cm, length);
        memcpy(slot->gcm, slot->cm, length);
        f->cm_length =
            reference_rtp(cm, &f->senders[slot->sender].cm, index, slot->cm, HEADER_OCTETS, length);
        reference_rtp(cm, &first->cm, index, slot->one, HEADER_OCTETS, length);
        f->gcm_length = reference_rtp(gcm, &first->gcm, index, slot->gcm, HEADER_OCTETS, length);
        put_iv(slot, first->gcm.salt);
    }
}

/* ---------------------------------------------------------------- TLS */

/* Records of so many packets each, about PACKETS in all; then all are read. Per packet. */
static void tls_both(struct floor *f, unsigned per_record, double *write_ns, double *read_ns)
{
    static uint8_t data[65536];
    size_t frame = f->cm_length + FRAME_ADDS_OCTETS, sent = 0, read = 0;
    unsigned records = PACKETS / per_record, packets = records * per_record;
    double scale = (double)PACKETS / packets, began = cpu_ns();

    for (unsigned i = 0; i < records; i++) {
        size_t length = frame * per_record;

        must(SSL_write(f->tls[0], data, (int)length) == (int)length, "SSL_write");
        sent += length;
    }
    *write_ns = since(f, began) * scale;
    began = cpu_ns();
    while (read < sent) {
        int n = SSL_read(f->tls[1], data, sizeof(data));

        must(n > 0, "SSL_read");
        read += (size_t)n;
    }
    *read_ns = since(f, began) * scale;
}

/* ---------------------------------------------------------------- lookup */

static uint64_t hash_of(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 29;
}

static void open_map(struct map *map, unsigned count)
{
    size_t size = 16;

    while (size < 2 * (size_t)count)
        size *= 2;
    map->mask = size - 1;
    map->count = count;
    map->entries = calloc(size, sizeof(*map->entries));
    map->records = aligned_alloc(LINE_OCTETS, count * sizeof(*map->records));
    map->order = calloc(count, sizeof(*map->order));
    if (!map->entries || !map->records || !map->order)
        cli_die("out of memory");
    for (unsigned i = 0; i < count; i++) {
        uint64_t key, at, random;

        random_bytes(&key, sizeof(key));
        random_bytes(&random, sizeof(random));
        map->records[i] = (struct record){.key = key};
        for (at = hash_of(key) & map->mask; map->entries[at].record; at = (at + 1) & map->mask)
            continue;
        map->entries[at] = (struct entry){key, &map->records[i]};
        map->order[i] = map->order[random % (i + 1)];
        map->order[random % (i + 1)] = key;
    }
}

static double lookup(struct floor *f, struct map *map)
{
    unsigned good = 0;
    double took, began = cpu_ns();

    for (unsigned at = 0; at < PACKETS; at += BATCH) {
        const struct entry *entry[BATCH];
        uint64_t key[BATCH];

        for (unsigned i = 0; i < BATCH; i++) {
            key[i] = map->order[map->next];
            map->next = map->next + 1 == map->count ? 0 : map->next + 1;
            entry[i] = &map->entries[hash_of(key[i]) & map->mask];
            __builtin_prefetch(entry[i]);
        }
        for (unsigned i = 0; i < BATCH; i++) {
            while (entry[i]->key != key[i])
                entry[i] = entry[i] == &map->entries[map->mask] ? map->entries : entry[i] + 1;
            __builtin_prefetch(entry[i]->record, 1);
        }
        for (unsigned i = 0; i < BATCH; i++) {
            entry[i]->record->counter++;
            good += entry[i]->record->key == key[i];
        }
    }
    took = since(f, began);
    must(good == PACKETS, "the lookup");
    return took;
}

/* ---------------------------------------------------------------- sleeping and waking */

/* Reads what is sent to it, and sleeps in between. */
static void *sleeper(void *socket)
{
    char octet;

    while (recv(*(int *)socket, &octet, 1, 0) > 0)
        continue;
    return NULL;
}

static double thread_ns(clockid_t clock)
{
    struct timespec now;

    must(clock_gettime(clock, &now) == 0, "the clock of a thread");
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Sleeps, and after each sleep wakes whoever reads there; -1: nobody. CPU time of one such turn. */
static double sleep_and_wake(int socket)
{
    const struct timespec rest = {.tv_nsec = REST_NS};
    double began = cpu_ns();

    for (unsigned i = 0; i < RESTS; i++) {
        nanosleep(&rest, NULL);
        must(socket < 0 || send(socket, "", 1, 0) == 1, "sending to a thread");
    }
    return (cpu_ns() - began) / RESTS;
}

static void wakes(double *rest_ns, double *sender_ns, double *receiver_ns)
{
    int sockets[2];
    pthread_t thread = {0};
    clockid_t clock = CLOCK_REALTIME;
    double began;

    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0 &&
             pthread_create(&thread, NULL, sleeper, &sockets[1]) == 0 &&
             pthread_getcpuclockid(thread, &clock) == 0,
         "a thread");
    *rest_ns = sleep_and_wake(-1);
    began = thread_ns(clock);
    *sender_ns = sleep_and_wake(sockets[0]) - *rest_ns;
    *receiver_ns = (thread_ns(clock) - began) / RESTS;
    shutdown(sockets[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    close(sockets[0]);
    close(sockets[1]);
}

/* ---------------------------------------------------------------- */

enum part {
    PART_SEND,
    PART_RECEIVE,
    PART_EVP,
    PART_HMAC,
    PART_GCM,
    PART_REST,
    PART_WAKE_SENDER,
    PART_WAKE_RECEIVER,
    PART_LOOKUP,
    PART_WRITE = PART_LOOKUP + ENTRY_COUNTS,
    PART_READ = PART_WRITE + RECORD_SIZES,
    PARTS = PART_READ + RECORD_SIZES,
};

static void measure(struct floor *f, double ns[PARTS])
{
    receive_slots(f);
    ns[PART_EVP] = verify_evp(f);
    ns[PART_HMAC] = verify_hmac(f);
    ns[PART_GCM] = verify_gcm(f);
    ns[PART_SEND] = send_all(f);
    ns[PART_RECEIVE] = receive_all(f);
    must(f->received == PACKETS, "receiving all that was sent (is net.core.rmem_max small?)");
    wakes(&ns[PART_REST], &ns[PART_WAKE_SENDER], &ns[PART_WAKE_RECEIVER]);
    for (unsigned i = 0; i < ENTRY_COUNTS; i++)
        ns[PART_LOOKUP + i] = lookup(f, &f->maps[i]);
    for (unsigned i = 0; i < RECORD_SIZES; i++)
        tls_both(f, record_packets[i], &ns[PART_WRITE + i], &ns[PART_READ + i]);
}

static void print_all(double (*ns)[ROUNDS_MAX], unsigned rounds)
{
    static const char *const names[] = {"send",       "receive", "verify-evp",  "verify-sha1",
                                        "verify-gcm", "rest",    "wake-sender", "wake-receiver"};

    for (unsigned i = 0; i < PART_LOOKUP; i++)
        printf("%s %.1f\n", names[i], median(ns[i], rounds));
    for (unsigned i = 0; i < ENTRY_COUNTS; i++)
        printf("lookup-%u %.1f\n", entry_counts[i], median(ns[PART_LOOKUP + i], rounds));
    for (unsigned i = 0; i < RECORD_SIZES; i++) {
        printf("write-%u %.1f\n", record_packets[i], median(ns[PART_WRITE + i], rounds));
        printf("read-%u %.1f\n", record_packets[i], median(ns[PART_READ + i], rounds));
    }
}

static double measure_clock(void)
{
    double took[ROUNDS_DEFAULT];

    for (unsigned i = 0; i < ROUNDS_DEFAULT; i++) {
        double began = cpu_ns();

        took[i] = cpu_ns() - began;
    }
    return median(took, ROUNDS_DEFAULT);
}

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: floorbench [--size OCTETS] [--rounds N]\n"
        "Nanoseconds of CPU time per packet, medians of N rounds (default %d):\n"
        "  send           sendmmsg of %d packets to as many destinations, on loopback\n"
        "  receive        recvmmsg of %d packets\n"
        "  verify-evp     AES_CM_128_HMAC_SHA1_80 by EVP_Digest: contexts of one key, used again\n"
        "  verify-sha1    the same by SHA1_*: HMAC alone, nothing of EVP; %d keys\n"
        "  verify-gcm     AEAD_AES_128_GCM by EVP, likewise\n"
        "  lookup-N       in a hash table of N entries in no order, with the record's first\n"
        "                 line; %d at once\n"
        "  write-N        SSL_write to TCP on loopback, N packets in a record (AES-128-GCM)\n"
        "  read-N         SSL_read of them, with read-ahead\n"
        "and of a wake-up:\n"
        "  rest           a sleep of %d us\n"
        "  wake-sender    to send to a thread that sleeps; the sender's part\n"
        "  wake-receiver  the other thread's part\n"
        "--size is of the payload (default 160: 172 octets of RTP, 182 of SRTP).\n",
        ROUNDS_DEFAULT, BATCH, BATCH, SENDERS, BATCH, REST_NS / 1000);
    exit(status);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct floor f = {.size = 160};
    static double ns[PARTS][ROUNDS_MAX];
    unsigned rounds = ROUNDS_DEFAULT;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            f.size = (size_t)cli_number("size", optarg, 1, 1400);
        else if (option == 'r')
            rounds = (unsigned)cli_number("rounds", optarg, 1, ROUNDS_MAX);
        else
            usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : CLI_USAGE);
    }
    f.clock_ns = measure_clock();
    open_senders(&f);
    open_udp(&f.udp);
    tlspair_open(f.tls);
    for (unsigned i = 0; i < ENTRY_COUNTS; i++)
        open_map(&f.maps[i], entry_counts[i]);
    for (unsigned round = 0; round <= rounds; round++) {
        double one[PARTS];

        measure(&f, one);
        /* The first one warms up. */
        for (unsigned i = 0; i < PARTS && round > 0; i++)
            ns[i][round - 1] = one[i];
    }
    print_all(ns, rounds);
    return EXIT_SUCCESS;
}
