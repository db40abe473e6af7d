#include "config.h"

#include "common/tunnel/tls.h"

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "tests/unit/allocs.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* ---------------------------------------------------------------- a PKI in a temporary folder */

enum { TURNS = 10000 };

static char folder[64];
static int home_fd;
static EVP_PKEY *relay_key;
static struct pki_authority ca;           /* ca.pem */
static struct pki_authority other_ca;     /* other-ca.pem */
static struct pki_authority intermediate; /* sub-ca.pem, by ca */

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

static void append_file(const char *to, const char *from)
{
    char buffer[8192];
    FILE *in = fopen(from, "r");
    FILE *out = fopen(to, "a");
    size_t n = fread(buffer, 1, sizeof(buffer), in);

    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(fwrite(buffer, 1, n, out), n);
    fclose(in);
    fclose(out);
}

static void make_leaves(void)
{
    static const struct {
        const char *path;
        const char *sans;
        const char *usage;
        long from;
        long to;
    } rows[] = {
        {"dmz.pem", "DNS:dmz.example", "serverAuth", -PKI_DAY, PKI_YEAR},
        {"dmz-expired.pem", "DNS:dmz.example", "serverAuth", -PKI_YEAR, -PKI_DAY},
        {"dmz-early.pem", "DNS:dmz.example", "serverAuth", PKI_DAY, PKI_YEAR},
        {"dmz-no-eku.pem", "DNS:dmz.example", NULL, -PKI_DAY, PKI_YEAR},
        {"dmz-client-eku.pem", "DNS:dmz.example", "clientAuth", -PKI_DAY, PKI_YEAR},
        {"dmz-wildcard.pem", "DNS:*.example", "serverAuth", -PKI_DAY, PKI_YEAR},
        {"dmz-no-san.pem", NULL, "serverAuth", -PKI_DAY, PKI_YEAR},
        {"dmz-ip-san.pem", "IP:127.0.0.1", "serverAuth", -PKI_DAY, PKI_YEAR},
        {"dmz-two.pem", "DNS:first.example,DNS:Dmz.EXAMPLE", "serverAuth,clientAuth", -PKI_DAY,
         PKI_YEAR},
        {"inner.pem", "DNS:inner.example", "clientAuth", -PKI_DAY, PKI_YEAR},
        {"inner-expired.pem", "DNS:inner.example", "clientAuth", -PKI_YEAR, -PKI_DAY},
        {"inner-early.pem", "DNS:inner.example", "clientAuth", PKI_DAY, PKI_YEAR},
        {"inner-no-eku.pem", "DNS:inner.example", NULL, -PKI_DAY, PKI_YEAR},
        {"inner-any-eku.pem", "DNS:inner.example", "anyExtendedKeyUsage", -PKI_DAY, PKI_YEAR},
        {"inner-server-eku.pem", "DNS:inner.example", "serverAuth", -PKI_DAY, PKI_YEAR},
        {"inner-wildcard.pem", "DNS:*.example", "clientAuth", -PKI_DAY, PKI_YEAR},
        {"inner-no-san.pem", NULL, "clientAuth", -PKI_DAY, PKI_YEAR},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        pki_make_leaf(rows[i].path, rows[i].sans, rows[i].usage, relay_key, &ca, rows[i].from,
                      rows[i].to);
    pki_make_leaf("dmz-other.pem", "DNS:dmz.example", "serverAuth", relay_key, &other_ca, -PKI_DAY,
                  PKI_YEAR);
    pki_make_leaf("inner-other.pem", "DNS:inner.example", "clientAuth", relay_key, &other_ca,
                  -PKI_DAY, PKI_YEAR);
    pki_make_leaf("inner-sub.pem", "DNS:inner.example", "clientAuth", relay_key, &intermediate,
                  -PKI_DAY, PKI_YEAR);
    append_file("inner-sub.pem", "sub-ca.pem");
}

static void make_crls(void)
{
    long dmz = pki_make_leaf("dmz-revoked.pem", "DNS:dmz.example", "serverAuth", relay_key, &ca,
                             -PKI_DAY, PKI_YEAR);
    long inner = pki_make_leaf("inner-revoked.pem", "DNS:inner.example", "clientAuth", relay_key,
                               &ca, -PKI_DAY, PKI_YEAR);

    pki_make_crl("crl-dmz.pem", "w", &ca, dmz, -PKI_DAY, 9 * PKI_DAY);
    pki_make_crl("crl-inner.pem", "w", &ca, inner, -PKI_DAY, 9 * PKI_DAY);
    pki_make_crl("crl-empty.pem", "w", &ca, 0, -PKI_DAY, PKI_DAY);
    pki_make_crl("crl-expired.pem", "w", &ca, 0, -2 * PKI_DAY, -PKI_DAY);
    pki_make_crl("crl-early.pem", "w", &ca, 0, PKI_DAY, 2 * PKI_DAY);
    pki_make_crl("crl-no-next.pem", "w", &ca, 0, -PKI_DAY, 0);
    pki_make_crl("crl-other.pem", "w", &other_ca, 0, -PKI_DAY, PKI_DAY);
    pki_make_crl("crl-sub.pem", "w", &intermediate, 0, -PKI_DAY, PKI_DAY);
    pki_make_crl("crl-sub-revoked.pem", "w", &intermediate, 0, -PKI_DAY, PKI_DAY);
    pki_make_crl("crl-sub-revoked.pem", "a", &ca,
                 ASN1_INTEGER_get(X509_get0_serialNumber(intermediate.certificate)), -PKI_DAY,
                 PKI_DAY);
}

static void make_keys(void)
{
    EVP_PKEY *other = EVP_EC_gen("P-256");

    pki_write_key("relay.key", relay_key, NULL, 0600);
    pki_write_key("group.key", relay_key, NULL, 0640);
    pki_write_key("world.key", relay_key, NULL, 0604);
    pki_write_key("owner.key", relay_key, NULL, 0600);
    pki_write_key("password.key", relay_key, "secret", 0600);
    pki_write_key("other.key", other, NULL, 0600);
    write_text("garbage.key", "not a key\n");
    write_text("empty", "");
    write_text("garbage.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    write_text("garbage-crl.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    ck_assert_int_eq(symlink("relay.key", "link.key"), 0);
    ck_assert_int_eq(mkfifo("fifo.key", 0600), 0);
    ck_assert_int_eq(mkdir("directory", 0700), 0);
    EVP_PKEY_free(other);
}

static void setup(void)
{
    home_fd = open(".", O_RDONLY | O_DIRECTORY);
    snprintf(folder, sizeof(folder), "/tmp/test_tls.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    relay_key = EVP_EC_gen("P-256");
    pki_make_authority(&ca, "test CA", "ca.pem", NULL);
    pki_make_authority(&other_ca, "other CA", "other-ca.pem", NULL);
    pki_make_authority(&intermediate, "test sub CA", "sub-ca.pem", &ca);
    pki_write_certificate("both-ca.pem", "w", ca.certificate);
    pki_write_certificate("both-ca.pem", "a", intermediate.certificate);
    make_keys();
    make_leaves();
    make_crls();
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void teardown(void)
{
    struct pki_authority *all[] = {&ca, &other_ca, &intermediate};

    ck_assert_int_eq(fchdir(home_fd), 0);
    close(home_fd);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        pki_free_authority(all[i]);
    EVP_PKEY_free(relay_key);
}

/* ---------------------------------------------------------------- two ends of a socket pair */

static const char *const dmz_names[] = {"dmz.example", NULL};
static const char *const inner_names[] = {"inner.example", NULL};

struct pair {
    int fd[2];
    struct tls_context *context[2];
    struct tls *tls[2]; /* by role; NULL where the raw peer stands */
    SSL_CTX *raw_context;
    SSL *raw;
};

static struct tls_context *context_of(enum tls_role role, const char *certificate, const char *crl)
{
    struct tls_files files = {certificate, "relay.key", "both-ca.pem", crl};
    struct tls_context *context = NULL;
    char error[512] = "";

    ck_assert_msg(tls_context_new(&context, role, &files, error, sizeof(error)) == 0, "%s", error);
    return context;
}

static void small_buffers(int fd)
{
    int size = 8192;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void pair_open(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fd), 0);
    small_buffers(pair->fd[0]);
    small_buffers(pair->fd[1]);
}

static void pair_add(struct pair *pair, enum tls_role role, const char *certificate,
                     const char *crl, const char *const *names)
{
    pair->context[role] = context_of(role, certificate, crl);
    pair->tls[role] = tls_new(pair->context[role], pair->fd[role], names);
    ck_assert_ptr_nonnull(pair->tls[role]);
}

static void pair_init(struct pair *pair)
{
    pair_open(pair);
    pair_add(pair, TLS_CLIENT, "inner.pem", NULL, dmz_names);
    pair_add(pair, TLS_SERVER, "dmz.pem", NULL, inner_names);
}

static void pair_cut(struct pair *pair, enum tls_role role)
{
    if (pair->fd[role] >= 0)
        close(pair->fd[role]);
    pair->fd[role] = -1;
}

static void pair_fini(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        tls_free(pair->tls[i]);
        tls_context_free(pair->context[i]);
        pair_cut(pair, (enum tls_role)i);
    }
    SSL_free(pair->raw);
    SSL_CTX_free(pair->raw_context);
}

static bool waits(enum tls_result result)
{
    return result == TLS_WANT_INPUT || result == TLS_WANT_OUTPUT;
}

/* Steps both sides until each is through or has failed. */
static void shake(struct pair *pair, enum tls_result results[2])
{
    results[0] = results[1] = TLS_WANT_INPUT;
    for (int turn = 0; turn < TURNS && (waits(results[0]) || waits(results[1])); turn++)
        for (int i = 0; i < 2; i++)
            if (waits(results[i]))
                results[i] = tls_handshake(pair->tls[i]);
}

static void shake_well(struct pair *pair)
{
    enum tls_result results[2];

    shake(pair, results);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(results[i] == TLS_SUCCESS, "role %d: %s", i, tls_error(pair->tls[i]));
}

/* ---------------------------------------------------------------- a peer that obeys no rules */

static int refuse_with;

static int raw_refuses(X509_STORE_CTX *store, void *unused)
{
    (void)unused;
    if (refuse_with == X509_V_OK)
        return 1;
    X509_STORE_CTX_set_error(store, refuse_with);
    return 0;
}

static void raw_init(struct pair *pair, enum tls_role role, const char *certificate,
                     int max_version)
{
    SSL_CTX *ctx = SSL_CTX_new(role == TLS_SERVER ? TLS_server_method() : TLS_client_method());

    ck_assert_ptr_nonnull(ctx);
    pair->raw_context = ctx;
    SSL_CTX_set_max_proto_version(ctx, max_version);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, raw_refuses, NULL);
    if (certificate) {
        ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(ctx, certificate), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, relay_key), 1);
    }
    pair->raw = SSL_new(ctx);
    SSL_set_fd(pair->raw, pair->fd[role]);
    if (role == TLS_SERVER)
        SSL_set_accept_state(pair->raw);
    else
        SSL_set_connect_state(pair->raw);
}

static bool raw_waits(SSL *raw, int result)
{
    int error = SSL_get_error(raw, result);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Our side's result; *raw_result is what SSL_do_handshake() gave at last. */
static enum tls_result shake_raw(struct pair *pair, enum tls_role ours, int *raw_result)
{
    enum tls_result result = TLS_WANT_INPUT;
    bool raw_over = false;

    for (int turn = 0; turn < TURNS && (waits(result) || !raw_over); turn++) {
        if (!raw_over) {
            ERR_clear_error();
            *raw_result = SSL_do_handshake(pair->raw);
            raw_over = *raw_result == 1 || !raw_waits(pair->raw, *raw_result);
            ERR_clear_error();
        }
        if (waits(result))
            result = tls_handshake(pair->tls[ours]);
    }
    return result;
}

static enum tls_result read_once(struct tls *tls, char *byte)
{
    enum tls_result result = TLS_WANT_INPUT;
    size_t count;

    for (int turn = 0; turn < TURNS && result == TLS_WANT_INPUT; turn++)
        result = tls_read(tls, byte, 1, &count);
    return result;
}

/* ---------------------------------------------------------------- handshake */

START_TEST(test_handshake)
{
    struct pair pair;

    pair_init(&pair);
    ck_assert_ptr_null(tls_peer_name(pair.tls[TLS_CLIENT]));
    ck_assert_ptr_null(tls_peer_name(pair.tls[TLS_SERVER]));
    shake_well(&pair);
    ck_assert_str_eq(tls_peer_name(pair.tls[TLS_CLIENT]), "dmz.example");
    ck_assert_str_eq(tls_peer_name(pair.tls[TLS_SERVER]), "inner.example");
    ck_assert_str_eq(tls_context_name(pair.context[TLS_SERVER]), "dmz.example");
    pair_fini(&pair);
}
END_TEST

START_TEST(test_name_list)
{
    static const char *const many[] = {"one.example", "DMZ.example", "inner.example", NULL};
    struct pair pair;

    pair_open(&pair);
    pair_add(&pair, TLS_CLIENT, "inner.pem", NULL, many);
    pair_add(&pair, TLS_SERVER, "dmz-two.pem", NULL, many);
    shake_well(&pair);
    ck_assert_str_eq(tls_peer_name(pair.tls[TLS_CLIENT]), "DMZ.example");
    ck_assert_str_eq(tls_peer_name(pair.tls[TLS_SERVER]), "inner.example");
    ck_assert_str_eq(tls_context_name(pair.context[TLS_SERVER]), "first.example");
    pair_fini(&pair);
}
END_TEST

START_TEST(test_connection_outlives_context)
{
    struct pair pair;
    char byte;
    size_t count;

    pair_init(&pair);
    shake_well(&pair);
    for (int i = 0; i < 2; i++) {
        tls_context_free(pair.context[i]);
        pair.context[i] = NULL;
    }
    ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], "x", 1, &count), TLS_SUCCESS);
    ck_assert_int_eq(read_once(pair.tls[TLS_SERVER], &byte), TLS_SUCCESS);
    ck_assert_int_eq(byte, 'x');
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- refusals */

#define LACKS "the peer's certificate lacks the extended key usage "
#define WRONG "the peer's certificate is for \"%s\", a name that is not expected here"

static const struct refusal {
    enum tls_role ours;
    const char *certificate; /* what the peer offers; NULL: none */
    int version;             /* at most */
    const char *crl;         /* of ours */
    const char *expected;
} refusals[] = {
    {TLS_SERVER, NULL, TLS1_3_VERSION, NULL, "the peer offered no certificate"},
    {TLS_SERVER, "inner-other.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate is not from a CA in our ca file"},
    {TLS_SERVER, "inner-expired.pem", TLS1_3_VERSION, NULL, "the peer's certificate has expired"},
    {TLS_SERVER, "inner-early.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate is not valid yet"},
    {TLS_SERVER, "inner-revoked.pem", TLS1_3_VERSION, "crl-inner.pem",
     "the peer's certificate is revoked"},
    {TLS_SERVER, "inner-sub.pem", TLS1_3_VERSION, "crl-sub-revoked.pem",
     "the CA certificate above the peer's certificate is revoked"},
    {TLS_SERVER, "inner-sub.pem", TLS1_3_VERSION, "crl-empty.pem",
     "the peer's certificate is from a CA of which our crl file has no list"},
    {TLS_SERVER, "inner-no-eku.pem", TLS1_3_VERSION, NULL, LACKS "clientAuth"},
    {TLS_SERVER, "inner-any-eku.pem", TLS1_3_VERSION, NULL, LACKS "clientAuth"},
    {TLS_SERVER, "inner-server-eku.pem", TLS1_3_VERSION, NULL, LACKS "clientAuth"},
    {TLS_SERVER, "inner-wildcard.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate is for \"*.example\", a name that is not expected here"},
    {TLS_SERVER, "inner-no-san.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate has no DNS name (subjectAltName)"},
    {TLS_SERVER, "inner.pem", TLS1_2_VERSION, NULL, "TLS 1.2 offered, 1.3 needed"},
    {TLS_SERVER, "inner.pem", TLS1_1_VERSION, NULL, "TLS 1.1 offered, 1.3 needed"},
    {TLS_CLIENT, "dmz-other.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate is not from a CA in our ca file"},
    {TLS_CLIENT, "dmz-expired.pem", TLS1_3_VERSION, NULL, "the peer's certificate has expired"},
    {TLS_CLIENT, "dmz-early.pem", TLS1_3_VERSION, NULL, "the peer's certificate is not valid yet"},
    {TLS_CLIENT, "dmz-revoked.pem", TLS1_3_VERSION, "crl-dmz.pem",
     "the peer's certificate is revoked"},
    {TLS_CLIENT, "dmz-no-eku.pem", TLS1_3_VERSION, NULL, LACKS "serverAuth"},
    {TLS_CLIENT, "dmz-client-eku.pem", TLS1_3_VERSION, NULL, LACKS "serverAuth"},
    {TLS_CLIENT, "dmz-wildcard.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate is for \"*.example\", a name that is not expected here"},
    {TLS_CLIENT, "dmz-no-san.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate has no DNS name (subjectAltName)"},
    {TLS_CLIENT, "dmz-ip-san.pem", TLS1_3_VERSION, NULL,
     "the peer's certificate has no DNS name (subjectAltName)"},
    {TLS_CLIENT, "dmz.pem", TLS1_2_VERSION, NULL,
     "the peer does not speak TLS 1.3 (alert protocol_version)"},
};

/* The common name that must never count, and the wildcard's own text, are in the lists on purpose.
 */
static const char *const all_dmz_names[] = {"dmz.example", "name-in-cn.example", NULL};
static const char *const all_inner_names[] = {"inner.example", "name-in-cn.example", "*.example",
                                              NULL};

START_TEST(test_refusal)
{
    const struct refusal *row = &refusals[_i];
    bool server = row->ours == TLS_SERVER;
    struct pair pair;
    int raw_result = 0;

    refuse_with = X509_V_OK;
    pair_open(&pair);
    pair_add(&pair, row->ours, server ? "dmz.pem" : "inner.pem", row->crl,
             server ? all_inner_names : all_dmz_names);
    raw_init(&pair, server ? TLS_CLIENT : TLS_SERVER, row->certificate, row->version);
    if (row->version < TLS1_2_VERSION)
        SSL_set_security_level(pair.raw, 0);
    ck_assert_int_eq(shake_raw(&pair, row->ours, &raw_result), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[row->ours]), row->expected);
    ck_assert_ptr_null(tls_peer_name(pair.tls[row->ours]));
    ck_assert_uint_eq(ERR_peek_error(), 0);
    /* The failure stays, with its reason. */
    ck_assert_int_eq(tls_handshake(pair.tls[row->ours]), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[row->ours]), row->expected);
    pair_fini(&pair);
}
END_TEST

/* What passes: without these rows the table above could refuse everything. */
static const struct {
    const char *certificate;
    const char *crl;
} passes[] = {
    {"inner.pem", NULL},     {"inner.pem", "crl-inner.pem"},   {"inner.pem", "crl-empty.pem"},
    {"inner-sub.pem", NULL}, {"inner-sub.pem", "crl-sub.pem"}, /* no list for the CA above is needed
                                                                */
};

START_TEST(test_pass)
{
    struct pair pair;

    pair_open(&pair);
    pair_add(&pair, TLS_CLIENT, passes[_i].certificate, NULL, dmz_names);
    pair_add(&pair, TLS_SERVER, "dmz.pem", passes[_i].crl, inner_names);
    shake_well(&pair);
    pair_fini(&pair);
}
END_TEST

static const struct {
    int verify_error; /* the raw server refuses our certificate with it */
    const char *expected;
} alerts[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "the peer refused our certificate: it has expired"},
    {X509_V_ERR_CERT_REVOKED, "the peer refused our certificate: it is revoked"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
     "the peer refused our certificate: it does not know our CA"},
    {X509_V_ERR_HOSTNAME_MISMATCH, "the peer refused our certificate (alert bad_certificate: wrong "
                                   "name, not valid yet or damaged)"},
    {X509_V_ERR_INVALID_PURPOSE, "the peer refused our certificate (alert "
                                 "unsupported_certificate: wrong extended key usage)"},
    {X509_V_ERR_OUT_OF_MEM, "the peer had an internal error"},
    {X509_V_ERR_UNSPECIFIED, "the peer had an internal error"},
    {X509_V_ERR_CERT_UNTRUSTED, "the peer refused our certificate (alert bad_certificate: wrong "
                                "name, not valid yet or damaged)"},
    {X509_V_ERR_APPLICATION_VERIFICATION,
     "the peer refused the handshake: nothing in common (alert handshake_failure)"},
};

/* A TLS 1.3 client is through before the server judged it: the alert comes with the first read. */
START_TEST(test_alert_in_words)
{
    struct pair pair;
    int raw_result = 0;
    char byte;

    refuse_with = alerts[_i].verify_error;
    pair_open(&pair);
    pair_add(&pair, TLS_CLIENT, "inner.pem", NULL, dmz_names);
    raw_init(&pair, TLS_SERVER, "dmz.pem", TLS1_3_VERSION);
    ck_assert_int_eq(shake_raw(&pair, TLS_CLIENT, &raw_result), TLS_SUCCESS);
    ck_assert_int_eq(read_once(pair.tls[TLS_CLIENT], &byte), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_CLIENT]), alerts[_i].expected);
    pair_fini(&pair);
}
END_TEST

/* The refused client writes first: no SIGPIPE, and it is still told why. */
START_TEST(test_write_after_refusal)
{
    struct pair pair;
    enum tls_result results[2];
    size_t count;

    pair_open(&pair);
    pair_add(&pair, TLS_CLIENT, "inner.pem", NULL, dmz_names);
    pair_add(&pair, TLS_SERVER, "dmz.pem", NULL, dmz_names);
    shake(&pair, results);
    ck_assert_int_eq(results[TLS_CLIENT], TLS_SUCCESS);
    ck_assert_int_eq(results[TLS_SERVER], TLS_FAILED);
    pair_cut(&pair, TLS_SERVER);
    ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], "hello", 5, &count), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_CLIENT]), alerts[3].expected);
    pair_fini(&pair);
}
END_TEST

START_TEST(test_write_to_nobody)
{
    struct pair pair;
    size_t count;

    pair_init(&pair);
    shake_well(&pair);
    pair_cut(&pair, TLS_SERVER);
    ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], "hello", 5, &count), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_CLIENT]), "the connection failed: Broken pipe");
    ck_assert_uint_eq(ERR_peek_error(), 0);
    pair_fini(&pair);
}
END_TEST

static const struct {
    const char *octets;
    const char *expected;
} junk[] = {
    {"OPTIONS sip:dmz.example SIP/2.0\r\n\r\n", "what the peer sent is not TLS"},
    {"GET / HTTP/1.1\r\n\r\n", "what the peer sent is not TLS"},
    {"CONNECT dmz.example:443 HTTP/1.1\r\n\r\n", "what the peer sent is not TLS"},
};

START_TEST(test_junk)
{
    struct pair pair;
    enum tls_result result = TLS_WANT_INPUT;

    pair_open(&pair);
    pair_add(&pair, TLS_SERVER, "dmz.pem", NULL, inner_names);
    ck_assert_int_gt(send(pair.fd[TLS_CLIENT], junk[_i].octets, strlen(junk[_i].octets), 0), 0);
    for (int turn = 0; turn < TURNS && waits(result); turn++)
        result = tls_handshake(pair.tls[TLS_SERVER]);
    ck_assert_int_eq(result, TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_SERVER]), junk[_i].expected);
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- no resumption */

static void count_tickets(int is_write, int version, int type, const void *octets, size_t length,
                          SSL *ssl, void *count)
{
    (void)is_write;
    (void)version;
    (void)ssl;
    if (type == SSL3_RT_HANDSHAKE && length > 0 &&
        *(const unsigned char *)octets == SSL3_MT_NEWSESSION_TICKET)
        ++*(int *)count;
}

START_TEST(test_no_tickets)
{
    struct pair pair;
    int raw_result = 0;
    int tickets = 0;
    size_t count;
    char byte = 0;

    refuse_with = X509_V_OK;
    pair_open(&pair);
    pair_add(&pair, TLS_SERVER, "dmz.pem", NULL, inner_names);
    raw_init(&pair, TLS_CLIENT, "inner.pem", TLS1_3_VERSION);
    SSL_set_msg_callback(pair.raw, count_tickets);
    SSL_set_msg_callback_arg(pair.raw, &tickets);
    ck_assert_int_eq(shake_raw(&pair, TLS_SERVER, &raw_result), TLS_SUCCESS);
    ck_assert_int_eq(tls_write(pair.tls[TLS_SERVER], "x", 1, &count), TLS_SUCCESS);
    ck_assert_int_eq(SSL_read(pair.raw, &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
    ck_assert_int_eq(tickets, 0);
    ck_assert_int_eq(SSL_SESSION_is_resumable(SSL_get_session(pair.raw)), 0);
    ck_assert_uint_eq(SSL_SESSION_get_max_early_data(SSL_get_session(pair.raw)), 0);
    ck_assert_str_eq(SSL_get_cipher_name(pair.raw), "TLS_AES_128_GCM_SHA256");
    ck_assert_int_eq(SSL_version(pair.raw), TLS1_3_VERSION);
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- transfer */

enum { BIG = 1 << 20, CHUNK = 40000 };

struct flow {
    size_t sent;
    size_t received;
    int blocked;
    int partial;
};

static uint8_t octet_at(size_t position, int role)
{
    return (uint8_t)(position * 31 + position / 251 + (size_t)role);
}

/* Every try brings the octets at another place of the memory. */
static enum tls_result flow_write(struct tls *tls, struct flow *flow, int role)
{
    size_t length = BIG - flow->sent < CHUNK ? BIG - flow->sent : CHUNK;
    uint8_t *copy;
    enum tls_result result;
    size_t count;

    if (length == 0)
        return TLS_SUCCESS;
    copy = malloc(length);
    for (size_t i = 0; i < length; i++)
        copy[i] = octet_at(flow->sent + i, role);
    result = tls_write(tls, copy, length, &count);
    free(copy);
    if (result == TLS_SUCCESS) {
        ck_assert_uint_gt(count, 0);
        flow->partial += count < length;
    } else {
        ck_assert_uint_eq(count, 0);
        flow->blocked++;
    }
    flow->sent += count;
    return result;
}

static enum tls_result flow_read(struct tls *tls, struct flow *flow, int role)
{
    uint8_t buffer[5000];
    size_t count;
    enum tls_result result = tls_read(tls, buffer, sizeof(buffer), &count);

    ck_assert_int_eq(result == TLS_SUCCESS, count > 0);
    for (size_t i = 0; i < count; i++)
        if (buffer[i] != octet_at(flow->received + i, role))
            ck_abort_msg("octet %zu of role %d is wrong", flow->received + i, role);
    flow->received += count;
    return result;
}

/* Each direction fills its socket before the other side reads at all. */
static void transfer(struct pair *pair, struct flow flows[2])
{
    for (int turn = 0; turn < TURNS && flows[0].received + flows[1].received < 2 * BIG; turn++) {
        for (int i = 0; i < 2; i++)
            while (flows[i].sent < BIG) {
                enum tls_result result = flow_write(pair->tls[i], &flows[i], i);

                ck_assert_msg(result != TLS_FAILED, "%s", tls_error(pair->tls[i]));
                if (result != TLS_SUCCESS)
                    break;
            }
        for (int i = 0; i < 2; i++) {
            enum tls_result result;

            while ((result = flow_read(pair->tls[1 - i], &flows[i], i)) == TLS_SUCCESS)
                ;
            ck_assert_msg(result == TLS_WANT_INPUT, "%s", tls_error(pair->tls[1 - i]));
        }
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(flows[i].received, BIG);
        ck_assert_int_gt(flows[i].blocked, 0);
        ck_assert_int_gt(flows[i].partial, 0);
    }
}

START_TEST(test_transfer)
{
    struct pair pair;
    struct flow flows[2] = {0};

    pair_init(&pair);
    shake_well(&pair);
    transfer(&pair, flows);
    ck_assert_uint_eq(tls_key_updates(pair.tls[TLS_CLIENT]), 0);
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- allocations */

enum { COUNTED_RECORDS = 1000, ALLOCATIONS_OF_A_RECORD = 8 };

static void write_and_read(struct pair *pair, enum tls_role from, size_t length)
{
    static uint8_t record[RECORD_MAX_OCTETS], buffer[RECORD_MAX_OCTETS];
    struct tls *to = pair->tls[from == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT];
    size_t count, received = 0;

    ck_assert_int_eq(tls_write(pair->tls[from], record, length, &count), TLS_SUCCESS);
    ck_assert_uint_eq(count, length);
    while (received < length) {
        enum tls_result result = tls_read(to, buffer, sizeof(buffer), &count);

        /* The kernel may hand over a record in pieces. */
        ck_assert(result == TLS_SUCCESS || result == TLS_WANT_INPUT);
        received += count;
    }
    ck_assert_int_eq(tls_read(to, buffer, sizeof(buffer), &count), TLS_WANT_INPUT);
}

static uint64_t count_allocations(struct pair *pair, size_t length)
{
    allocs_begin();
    for (unsigned i = 0; i < COUNTED_RECORDS; i++)
        write_and_read(pair, i % 2 ? TLS_CLIENT : TLS_SERVER, length);
    return allocs_end();
}

/*
 * The one place on a packet's way that allocates (test_pair_alloc.c counts the others): OpenSSL 3.0
 * takes 40 octets three times to write the headers of a record, and once more to read it. Nothing
 * of ours does, and nothing depends on how many packets are in the record.
 */
START_TEST(test_allocations)
{
    struct pair pair;
    uint64_t small, large;

    pair_init(&pair);
    shake_well(&pair);
    (void)count_allocations(&pair, 1);
    small = count_allocations(&pair, 200);
    large = count_allocations(&pair, 4000);
    ck_assert_uint_eq(small, large);
    ck_assert_uint_le(small, ALLOCATIONS_OF_A_RECORD * COUNTED_RECORDS);
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- KeyUpdate */

/* Both directions are full when the updates are due: none may wait for the other. */
START_TEST(test_key_update_by_records)
{
    struct pair pair;
    struct flow flows[2] = {0};

    pair_init(&pair);
    shake_well(&pair);
    for (int i = 0; i < 2; i++)
        tls_set_key_update(pair.tls[i], 3, UINT64_MAX);
    transfer(&pair, flows);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_ge(tls_key_updates(pair.tls[i]), BIG / 16384 / 3 - 1);
        ck_assert_uint_le(tls_key_updates(pair.tls[i]), BIG / 16384 / 3 + 10);
    }
    pair_fini(&pair);
}
END_TEST

START_TEST(test_key_update_by_time)
{
    struct pair pair;
    struct timespec now;
    struct timespec start;
    char byte;
    size_t count;

    pair_init(&pair);
    shake_well(&pair);
    tls_set_key_update(pair.tls[TLS_CLIENT], UINT64_MAX, 20000);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], "x", 1, &count), TLS_SUCCESS);
        ck_assert_int_eq(read_once(pair.tls[TLS_SERVER], &byte), TLS_SUCCESS);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (tls_key_updates(pair.tls[TLS_CLIENT]) < 3 && now.tv_sec - start.tv_sec < 20);
    ck_assert_uint_ge(tls_key_updates(pair.tls[TLS_CLIENT]), 3);
    ck_assert_uint_eq(tls_key_updates(pair.tls[TLS_SERVER]), 0);
    pair_fini(&pair);
}
END_TEST

/* We never ask for the peer's new keys, but answer one that asks for ours. */
START_TEST(test_key_update_asked_for)
{
    struct pair pair;
    int raw_result = 0;
    char byte = 0;
    size_t count;

    refuse_with = X509_V_OK;
    pair_open(&pair);
    pair_add(&pair, TLS_SERVER, "dmz.pem", NULL, inner_names);
    raw_init(&pair, TLS_CLIENT, "inner.pem", TLS1_3_VERSION);
    ck_assert_int_eq(shake_raw(&pair, TLS_SERVER, &raw_result), TLS_SUCCESS);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(SSL_key_update(pair.raw, SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(SSL_write(pair.raw, "x", 1), 1);
        ck_assert_msg(read_once(pair.tls[TLS_SERVER], &byte) == TLS_SUCCESS, "%s",
                      tls_error(pair.tls[TLS_SERVER]));
        ck_assert_int_eq(tls_write(pair.tls[TLS_SERVER], "y", 1, &count), TLS_SUCCESS);
        ck_assert_int_eq(SSL_read(pair.raw, &byte, 1), 1);
        ck_assert_int_eq(byte, 'y');
    }
    pair_fini(&pair);
}
END_TEST

static void count_key_updates(int is_write, int version, int type, const void *octets,
                              size_t length, SSL *ssl, void *counts)
{
    (void)version;
    (void)ssl;
    if (!is_write && type == SSL3_RT_HANDSHAKE && length == 5 &&
        *(const unsigned char *)octets == SSL3_MT_KEY_UPDATE)
        ++((int *)counts)[((const unsigned char *)octets)[4]];
}

/* What goes over the wire is a KeyUpdate that asks for nothing (update_not_requested, 0). */
START_TEST(test_key_update_on_the_wire)
{
    struct pair pair;
    int raw_result = 0;
    int counts[256] = {0};
    char byte = 0;
    size_t count;

    refuse_with = X509_V_OK;
    pair_open(&pair);
    pair_add(&pair, TLS_SERVER, "dmz.pem", NULL, inner_names);
    raw_init(&pair, TLS_CLIENT, "inner.pem", TLS1_3_VERSION);
    SSL_set_msg_callback(pair.raw, count_key_updates);
    SSL_set_msg_callback_arg(pair.raw, counts);
    ck_assert_int_eq(shake_raw(&pair, TLS_SERVER, &raw_result), TLS_SUCCESS);
    tls_set_key_update(pair.tls[TLS_SERVER], 2, UINT64_MAX);
    for (int i = 0; i < 7; i++) {
        ck_assert_int_eq(tls_write(pair.tls[TLS_SERVER], "y", 1, &count), TLS_SUCCESS);
        ck_assert_int_eq(SSL_read(pair.raw, &byte, 1), 1);
    }
    ck_assert_uint_eq(tls_key_updates(pair.tls[TLS_SERVER]), 3);
    ck_assert_int_eq(counts[SSL_KEY_UPDATE_NOT_REQUESTED], 3);
    ck_assert_int_eq(counts[SSL_KEY_UPDATE_REQUESTED], 0);
    pair_fini(&pair);
}
END_TEST

START_TEST(test_write_repeated_with_less)
{
    static const char octets[16384];
    struct pair pair;
    enum tls_result result;
    size_t count;

    pair_init(&pair);
    shake_well(&pair);
    while ((result = tls_write(pair.tls[TLS_CLIENT], octets, sizeof(octets), &count)) ==
           TLS_SUCCESS)
        ;
    ck_assert_int_eq(result, TLS_WANT_OUTPUT);
    ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], octets, 5, &count), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_CLIENT]),
                     "a write was repeated with fewer octets than before");
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- the end of a connection */

START_TEST(test_close)
{
    struct pair pair;
    char byte;
    size_t count;

    pair_init(&pair);
    shake_well(&pair);
    ck_assert_int_eq(tls_write(pair.tls[_i], "x", 1, &count), TLS_SUCCESS);
    tls_close(pair.tls[_i]);
    pair_cut(&pair, (enum tls_role)_i);
    ck_assert_int_eq(read_once(pair.tls[1 - _i], &byte), TLS_SUCCESS);
    ck_assert_int_eq(read_once(pair.tls[1 - _i], &byte), TLS_CLOSED);
    ck_assert_int_eq(read_once(pair.tls[1 - _i], &byte), TLS_CLOSED);
    pair_fini(&pair);
}
END_TEST

START_TEST(test_cut)
{
    struct pair pair;
    char byte;

    pair_init(&pair);
    shake_well(&pair);
    pair_cut(&pair, (enum tls_role)_i);
    ck_assert_int_eq(read_once(pair.tls[1 - _i], &byte), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[1 - _i]), "the connection was cut without a close");
    tls_close(pair.tls[1 - _i]);
    pair_fini(&pair);
}
END_TEST

START_TEST(test_cut_during_handshake)
{
    struct pair pair;

    pair_init(&pair);
    ck_assert_int_eq(tls_handshake(pair.tls[_i]), TLS_WANT_INPUT);
    pair_cut(&pair, (enum tls_role)(1 - _i));
    ck_assert_int_eq(tls_handshake(pair.tls[_i]), TLS_FAILED);
    ck_assert_msg(strstr(tls_error(pair.tls[_i]), "cut") ||
                      strstr(tls_error(pair.tls[_i]), "Connection reset"),
                  "%s", tls_error(pair.tls[_i]));
    tls_close(pair.tls[_i]);
    pair_fini(&pair);
}
END_TEST

/* A damaged record ends the connection on both sides, in words. */
START_TEST(test_damaged_record)
{
    struct pair pair;
    char octets[512];
    char byte;
    size_t count;
    ssize_t length;

    pair_init(&pair);
    shake_well(&pair);
    ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], "hello", 5, &count), TLS_SUCCESS);
    length = recv(pair.fd[TLS_SERVER], octets, sizeof(octets), 0);
    ck_assert_int_gt(length, 5);
    octets[length - 1] ^= 1;
    ck_assert_int_eq(send(pair.fd[TLS_CLIENT], octets, (size_t)length, 0), length);
    ck_assert_int_eq(read_once(pair.tls[TLS_SERVER], &byte), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_SERVER]), "a damaged record came");
    ck_assert_int_eq(read_once(pair.tls[TLS_CLIENT], &byte), TLS_FAILED);
    ck_assert_str_eq(tls_error(pair.tls[TLS_CLIENT]),
                     "the peer got a damaged record (alert bad_record_mac)");
    pair_fini(&pair);
}
END_TEST

/* One connection's error, or anybody's, must not reach another connection. */
START_TEST(test_error_queue)
{
    struct pair good;
    struct pair bad;
    char byte;
    size_t count;

    pair_init(&good);
    pair_init(&bad);
    shake_well(&good);
    shake_well(&bad);
    pair_cut(&bad, TLS_SERVER);
    ck_assert_int_eq(read_once(bad.tls[TLS_CLIENT], &byte), TLS_FAILED);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
    ck_assert_int_eq(tls_read(good.tls[TLS_CLIENT], &byte, 1, &count), TLS_WANT_INPUT);
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
    ck_assert_int_eq(tls_write(good.tls[TLS_CLIENT], "x", 1, &count), TLS_SUCCESS);
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
    ck_assert(tls_recheck(good.tls[TLS_CLIENT], good.context[TLS_CLIENT]));
    ck_assert_uint_eq(ERR_peek_error(), 0);
    pair_fini(&good);
    pair_fini(&bad);
}
END_TEST

/* ---------------------------------------------------------------- recheck */

START_TEST(test_recheck)
{
    struct pair pair;
    struct tls_context *revoking = context_of(TLS_SERVER, "dmz.pem", "crl-inner.pem");
    struct tls_context *other = NULL;
    struct tls_files files = {"dmz.pem", "relay.key", "other-ca.pem", NULL};
    char error[512];
    char byte;
    size_t count;

    ck_assert_int_eq(tls_context_new(&other, TLS_SERVER, &files, error, sizeof(error)), 0);
    pair_open(&pair);
    pair_add(&pair, TLS_CLIENT, "inner-revoked.pem", NULL, dmz_names);
    pair_add(&pair, TLS_SERVER, "dmz.pem", NULL, inner_names);
    shake_well(&pair);
    ck_assert(tls_recheck(pair.tls[TLS_SERVER], pair.context[TLS_SERVER]));
    ck_assert(tls_recheck(pair.tls[TLS_CLIENT], pair.context[TLS_CLIENT]));
    ck_assert(!tls_recheck(pair.tls[TLS_SERVER], revoking));
    ck_assert_str_eq(tls_error(pair.tls[TLS_SERVER]), "the peer's certificate is revoked");
    ck_assert(!tls_recheck(pair.tls[TLS_SERVER], other));
    ck_assert_str_eq(tls_error(pair.tls[TLS_SERVER]),
                     "the peer's certificate is not from a CA in our ca file");
    /* The caller decides; the connection itself still works. */
    ck_assert_int_eq(tls_write(pair.tls[TLS_CLIENT], "x", 1, &count), TLS_SUCCESS);
    ck_assert_int_eq(read_once(pair.tls[TLS_SERVER], &byte), TLS_SUCCESS);
    tls_context_free(revoking);
    tls_context_free(other);
    pair_fini(&pair);
}
END_TEST

/* A chain that the client offered is still there when it is checked again. */
START_TEST(test_recheck_chain)
{
    struct pair pair;
    struct tls_context *revoking = context_of(TLS_SERVER, "dmz.pem", "crl-sub-revoked.pem");

    pair_open(&pair);
    pair_add(&pair, TLS_CLIENT, "inner-sub.pem", NULL, dmz_names);
    pair_add(&pair, TLS_SERVER, "dmz.pem", "crl-sub.pem", inner_names);
    shake_well(&pair);
    ck_assert(tls_recheck(pair.tls[TLS_SERVER], pair.context[TLS_SERVER]));
    ck_assert(!tls_recheck(pair.tls[TLS_SERVER], revoking));
    ck_assert_str_eq(tls_error(pair.tls[TLS_SERVER]),
                     "the CA certificate above the peer's certificate is revoked");
    tls_context_free(revoking);
    pair_fini(&pair);
}
END_TEST

/* ---------------------------------------------------------------- files */

static const struct bad_file {
    struct tls_files files;
    const char *expected;
} bad_files[] = {
    {{"missing.pem", "relay.key", "ca.pem", NULL},
     "certificate missing.pem cannot be opened: No such file or directory"},
    {{"directory", "relay.key", "ca.pem", NULL}, "certificate directory is not a regular file"},
    {{"empty", "relay.key", "ca.pem", NULL}, "certificate empty holds no certificate in PEM form"},
    {{"relay.key", "relay.key", "ca.pem", NULL},
     "certificate relay.key holds no certificate in PEM form"},
    {{"garbage.pem", "relay.key", "ca.pem", NULL},
     "certificate garbage.pem is damaged: bad base64 decode"},
    {{"dmz-expired.pem", "relay.key", "ca.pem", NULL},
     "certificate dmz-expired.pem has expired: make a new one"},
    {{"dmz-early.pem", "relay.key", "ca.pem", NULL},
     "certificate dmz-early.pem is not valid yet: make a new one or set the clock"},
    {{"dmz-no-san.pem", "relay.key", "ca.pem", NULL},
     "certificate dmz-no-san.pem has no DNS name (subjectAltName): the other side needs one"},
    {{"dmz-ip-san.pem", "relay.key", "ca.pem", NULL},
     "certificate dmz-ip-san.pem has no DNS name (subjectAltName): the other side needs one"},
    {{"dmz-wildcard.pem", "relay.key", "ca.pem", NULL},
     "certificate dmz-wildcard.pem is for the wildcard *.example: a full DNS name is needed"},
    {{"dmz-no-eku.pem", "relay.key", "ca.pem", NULL},
     "certificate dmz-no-eku.pem lacks the extended key usage serverAuth"},
    {{"inner.pem", "relay.key", "ca.pem", NULL},
     "certificate inner.pem lacks the extended key usage serverAuth"},
    {{"dmz.pem", "missing.key", "ca.pem", NULL},
     "key missing.key cannot be opened: No such file or directory"},
    {{"dmz.pem", "directory", "ca.pem", NULL}, "key directory is not a regular file"},
    {{"dmz.pem", "fifo.key", "ca.pem", NULL}, "key fifo.key is not a regular file"},
    {{"dmz.pem", "link.key", "ca.pem", NULL},
     "key link.key is a symbolic link: name the file itself"},
    {{"dmz.pem", "group.key", "ca.pem", NULL},
     "key group.key has mode 0640, so others than its owner can use it: chmod 0600 group.key"},
    {{"dmz.pem", "world.key", "ca.pem", NULL},
     "key world.key has mode 0604, so others than its owner can use it: chmod 0600 world.key"},
    {{"dmz.pem", "empty", "ca.pem", NULL}, "key empty holds no private key in PEM form"},
    {{"dmz.pem", "garbage.key", "ca.pem", NULL},
     "key garbage.key holds no private key in PEM form"},
    {{"dmz.pem", "password.key", "ca.pem", NULL},
     "key password.key is protected by a password: a daemon needs it without one"},
    {{"dmz.pem", "other.key", "ca.pem", NULL},
     "key other.key does not belong to certificate dmz.pem"},
    {{"dmz.pem", "relay.key", "missing.pem", NULL},
     "ca missing.pem cannot be opened: No such file or directory"},
    {{"dmz.pem", "relay.key", "empty", NULL}, "ca empty holds no certificate in PEM form"},
    {{"dmz.pem", "relay.key", "garbage.pem", NULL}, "ca garbage.pem is damaged: bad base64 decode"},
    {{"dmz.pem", "relay.key", "inner.pem", NULL},
     "ca inner.pem holds a certificate that is not a CA's"},
    {{"dmz.pem", "relay.key", "sub-ca.pem", NULL},
     "ca sub-ca.pem holds no root: add the self-signed certificate of the CA"},
    {{"dmz.pem", "relay.key", "ca.pem", "missing.pem"},
     "crl missing.pem cannot be opened: No such file or directory"},
    {{"dmz.pem", "relay.key", "ca.pem", "directory"}, "crl directory is not a regular file"},
    {{"dmz.pem", "relay.key", "ca.pem", "ca.pem"},
     "crl ca.pem holds no revocation list in PEM form"},
    {{"dmz.pem", "relay.key", "ca.pem", "empty"}, "crl empty holds no revocation list in PEM form"},
    {{"dmz.pem", "relay.key", "ca.pem", "garbage-crl.pem"}, NULL},
    {{"dmz.pem", "relay.key", "ca.pem", "crl-expired.pem"},
     "crl crl-expired.pem has expired: make a new one"},
    {{"dmz.pem", "relay.key", "ca.pem", "crl-early.pem"},
     "crl crl-early.pem is not valid yet: make a new one or set the clock"},
    {{"dmz.pem", "relay.key", "ca.pem", "crl-no-next.pem"},
     "crl crl-no-next.pem has no valid dates"},
    {{"dmz.pem", "relay.key", "ca.pem", "crl-other.pem"},
     "crl crl-other.pem is not signed by a CA in ca.pem"},
    {{"dmz.pem", "relay.key", "other-ca.pem", "crl-empty.pem"},
     "crl crl-empty.pem is not signed by a CA in other-ca.pem"},
};

START_TEST(test_bad_file)
{
    const struct bad_file *row = &bad_files[_i];
    struct tls_context *before = context_of(TLS_SERVER, "dmz.pem", NULL);
    struct tls_context *context = before;
    char error[512] = "";

    ck_assert_int_lt(tls_context_new(&context, TLS_SERVER, &row->files, error, sizeof(error)), 0);
    if (row->expected)
        ck_assert_str_eq(error, row->expected);
    else
        ck_assert_msg(strstr(error, " is damaged: "), "%s", error);
    ck_assert_ptr_eq(context, before);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    tls_context_free(before);
}
END_TEST

/* Needs root to make such a file, or to drop what root may: each half runs where it can. */
START_TEST(test_owner_of_key)
{
    struct tls_files files = {"dmz.pem", "owner.key", "ca.pem", NULL};
    struct tls_context *context = NULL;
    char error[512] = "";

    ck_assert_int_eq(tls_context_new(&context, TLS_SERVER, &files, error, sizeof(error)), 0);
    tls_context_free(context);
    context = NULL;
    if (geteuid() == 0) {
        ck_assert_int_eq(chown("owner.key", 12345, (gid_t)-1), 0);
        ck_assert_int_eq(tls_context_new(&context, TLS_SERVER, &files, error, sizeof(error)),
                         ERR_FORBIDDEN);
        ck_assert_str_eq(error, "key owner.key belongs to user 12345: its owner must be the "
                                "daemon's user (0) or root");
    } else {
        ck_assert_int_eq(chmod("owner.key", 0), 0);
        ck_assert_int_eq(tls_context_new(&context, TLS_SERVER, &files, error, sizeof(error)),
                         ERR_CONFIG);
        ck_assert_str_eq(error, "key owner.key cannot be opened: Permission denied");
    }
    ck_assert_ptr_null(context);
}
END_TEST

START_TEST(test_left)
{
    struct tls_context *plain = context_of(TLS_SERVER, "dmz.pem", NULL);
    struct tls_context *half = context_of(TLS_SERVER, "dmz.pem", "crl-empty.pem");
    struct tls_context *most = context_of(TLS_SERVER, "dmz.pem", "crl-inner.pem");

    ck_assert_int_gt(tls_context_certificate_left(plain), PKI_YEAR - 600);
    ck_assert_int_le(tls_context_certificate_left(plain), PKI_YEAR);
    ck_assert_int_eq(tls_context_crl_left_percent(plain), -1);
    ck_assert_int_ge(tls_context_crl_left_percent(half), 49);
    ck_assert_int_le(tls_context_crl_left_percent(half), 50);
    ck_assert_int_ge(tls_context_crl_left_percent(most), 89);
    ck_assert_int_le(tls_context_crl_left_percent(most), 90);
    tls_context_free(plain);
    tls_context_free(half);
    tls_context_free(most);
}
END_TEST

START_TEST(test_free_null)
{
    tls_free(NULL);
    tls_context_free(NULL);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

static TCase *handshake_case(void)
{
    TCase *tcase = tcase_create("handshake");

    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_handshake);
    tcase_add_test(tcase, test_name_list);
    tcase_add_test(tcase, test_connection_outlives_context);
    tcase_add_loop_test(tcase, test_refusal, 0, ROWS(refusals));
    tcase_add_loop_test(tcase, test_pass, 0, ROWS(passes));
    tcase_add_loop_test(tcase, test_alert_in_words, 0, ROWS(alerts));
    tcase_add_test(tcase, test_write_after_refusal);
    tcase_add_loop_test(tcase, test_junk, 0, ROWS(junk));
    tcase_add_test(tcase, test_no_tickets);
    return tcase;
}

static TCase *connection_case(void)
{
    TCase *tcase = tcase_create("connection");

    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_transfer);
    tcase_add_test(tcase, test_allocations);
    tcase_add_test(tcase, test_key_update_by_records);
    tcase_add_test(tcase, test_key_update_by_time);
    tcase_add_test(tcase, test_key_update_asked_for);
    tcase_add_test(tcase, test_key_update_on_the_wire);
    tcase_add_test(tcase, test_write_repeated_with_less);
    tcase_add_loop_test(tcase, test_close, 0, 2);
    tcase_add_loop_test(tcase, test_cut, 0, 2);
    tcase_add_loop_test(tcase, test_cut_during_handshake, 0, 2);
    tcase_add_test(tcase, test_damaged_record);
    tcase_add_test(tcase, test_error_queue);
    tcase_add_test(tcase, test_write_to_nobody);
    tcase_add_test(tcase, test_recheck);
    tcase_add_test(tcase, test_recheck_chain);
    return tcase;
}

static TCase *files_case(void)
{
    TCase *tcase = tcase_create("files");

    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_bad_file, 0, ROWS(bad_files));
    tcase_add_test(tcase, test_owner_of_key);
    tcase_add_test(tcase, test_left);
    tcase_add_test(tcase, test_free_null);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("tls");

    suite_add_tcase(suite, handshake_case());
    suite_add_tcase(suite, connection_case());
    suite_add_tcase(suite, files_case());
    return unit_run(suite);
}
