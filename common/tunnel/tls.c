#include "common/tunnel/tls.h"

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/tunnel/tlssocket.h"

enum { ERROR_SIZE = 256, KEY_FILE_MAX = 64 * 1024, SECURITY_LEVEL = 2 };

/* RFC 8446 5.5 allows 2^24.5 full records under one AES-GCM key. */
#define KEY_UPDATE_RECORDS (UINT64_C(1) << 22)
#define KEY_UPDATE_US      (UINT64_C(3600) * 1000 * 1000)

struct tls_context {
    SSL_CTX *ssl;
    X509_STORE *store; /* owned by ssl */
    X509 *own;         /* owned by ssl */
    STACK_OF(X509_CRL) * crls;
    enum tls_role role;
    char name[SITE_SIZE];
};

struct tls {
    SSL *ssl;
    struct tls_socket socket;
    enum tls_role role;
    const char *const *names;
    bool complete;
    bool failed;
    size_t held;      /* octets of a record that OpenSSL holds because the socket did not take it */
    uint64_t records; /* written since the last KeyUpdate */
    uint64_t update_records;
    uint64_t update_us;
    uint64_t updated_at_us;
    uint64_t updates;
    char peer_name[SITE_SIZE];
    char error[ERROR_SIZE];
};

/* What a certificate must be good for: our own one, and the peer's. */
struct usage {
    uint32_t bit;
    const char *name;
    const char *purpose;
};

static const struct usage usages[] = {
    [TLS_CLIENT] = {XKU_SSL_CLIENT, "clientAuth", "ssl_client"},
    [TLS_SERVER] = {XKU_SSL_SERVER, "serverAuth", "ssl_server"},
    [TLS_SITE_CLIENT] = {XKU_SSL_CLIENT, "clientAuth", "ssl_client"},
    [TLS_SITE_SERVER] = {XKU_SSL_CLIENT, "clientAuth", "ssl_client"},
};

static bool is_server(enum tls_role role)
{
    return role == TLS_SERVER || role == TLS_SITE_SERVER;
}

static const struct usage *own_usage(enum tls_role role)
{
    return &usages[role];
}

static const struct usage *peer_usage(enum tls_role role)
{
    return &usages[role == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT];
}

/* X509_get_extended_key_usage() answers "all" for an absent extension; we want it to be there. */
static bool has_usage(X509 *certificate, const struct usage *usage)
{
    return (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) &&
           (X509_get_extended_key_usage(certificate) & usage->bit);
}

/* ---------------------------------------------------------------- DNS names of a certificate */

/* Only what can stand in a host name, so that the name may be logged; an embedded NUL fails too. */
static bool copy_dns_name(const GENERAL_NAME *general, char *out, size_t size)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*";
    const unsigned char *text;
    size_t length;

    if (general->type != GEN_DNS)
        return false;
    text = ASN1_STRING_get0_data(general->d.dNSName);
    length = (size_t)ASN1_STRING_length(general->d.dNSName);
    if (length == 0 || length >= size)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return strspn(out, allowed) == length;
}

/* The first DNS SAN of the certificate; false when it has none. */
static bool first_dns_name(X509 *certificate, char *out, size_t size)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(sans) && !found; i++)
        found = copy_dns_name(sk_GENERAL_NAME_value(sans, i), out, size);
    GENERAL_NAMES_free(sans);
    return found;
}

static bool bears_name(const GENERAL_NAMES *sans, const char *name)
{
    char san[SITE_SIZE];

    for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++)
        if (copy_dns_name(sk_GENERAL_NAME_value(sans, i), san, sizeof(san)) && !strchr(san, '*') &&
            strcasecmp(san, name) == 0)
            return true;
    return false;
}

/* The first name of the list that is a DNS SAN of the certificate; NULL when none is. */
static const char *match_name(X509 *certificate, const char *const *names)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    while (*names && !bears_name(sans, *names))
        names++;
    GENERAL_NAMES_free(sans);
    return *names;
}

/* ---------------------------------------------------------------- verification of the peer */

static const char *verify_text(int code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "is not valid yet";
    case X509_V_ERR_CERT_REVOKED:
        return "is revoked";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return "is not from a CA in our ca file";
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "claims to be from our CA but is not signed by it";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return "is from a CA of which our crl file has no list";
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "cannot be checked: our crl file has expired";
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return "cannot be checked: our crl file is not valid yet";
    default:
        return NULL;
    }
}

static void describe_verify(X509_STORE_CTX *store, enum tls_role role, char *error, size_t size)
{
    int code = X509_STORE_CTX_get_error(store);
    const char *whose = X509_STORE_CTX_get_error_depth(store) > 0
                            ? "the CA certificate above the peer's certificate"
                            : "the peer's certificate";
    const char *text = verify_text(code);

    if (code == X509_V_ERR_INVALID_PURPOSE)
        snprintf(error, size, "%s lacks the extended key usage %s", whose, peer_usage(role)->name);
    else if (text)
        snprintf(error, size, "%s %s", whose, text);
    else
        snprintf(error, size, "%s was refused: %s", whose, X509_verify_cert_error_string(code));
}

/* The leaf must be covered by a CRL; a CA above it only where there is a list for it. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    if (!ok && X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL &&
        X509_STORE_CTX_get_error_depth(store) > 0) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    return ok;
}

static bool verify_chain(X509_STORE_CTX *store, enum tls_role role, char *error, size_t size)
{
    if (X509_verify_cert(store) > 0) {
        if (has_usage(X509_STORE_CTX_get0_cert(store), peer_usage(role)))
            return true;
        X509_STORE_CTX_set_error_depth(store, 0);
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
    }
    if (X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    describe_verify(store, role, error, size);
    return false;
}

static bool verify_name(struct tls *tls, X509 *certificate)
{
    const char *name = match_name(certificate, tls->names);
    char san[SITE_SIZE];

    if (name && strlen(name) < sizeof(tls->peer_name)) {
        memcpy(tls->peer_name, name, strlen(name) + 1);
        return true;
    }
    if (first_dns_name(certificate, san, sizeof(san)))
        snprintf(tls->error, sizeof(tls->error),
                 "the peer's certificate is for \"%.180s\", a name that is not expected here", san);
    else
        snprintf(tls->error, sizeof(tls->error),
                 "the peer's certificate has no DNS name (subjectAltName)");
    return false;
}

/* Stands in for OpenSSL's own verification, so that all checks of a peer are in one place. */
static int on_certificate(X509_STORE_CTX *store, void *unused)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);

    (void)unused;
    if (!verify_chain(store, tls->role, tls->error, sizeof(tls->error)))
        return 0;
    if (!verify_name(tls, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
        return 0;
    }
    return 1;
}

/* ---------------------------------------------------------------- reading the files */

struct loader {
    struct tls_context *context;
    const struct tls_files *files;
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * cas;
    char *error;
    size_t error_size;
};

static int __attribute__((format(printf, 3, 4)))
complain(struct loader *loader, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(loader->error, loader->error_size, format, arguments);
    va_end(arguments);
    return code;
}

static const char *library_text(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text ? text : "unknown error of the TLS library";
}

/* The whole file in memory, as a BIO; *what names the file's role in messages. */
static int open_pem(struct loader *loader, const char *what, const char *path, BIO **bio)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    int result = 0;

    if (!file)
        return complain(loader, ERR_CONFIG, "%s %s cannot be opened: %s", what, path,
                        strerror(errno));
    if (fstat(fileno(file), &status) < 0 || !S_ISREG(status.st_mode))
        result = complain(loader, ERR_CONFIG, "%s %s is not a regular file", what, path);
    else if (!(*bio = BIO_new_fp(file, BIO_CLOSE)))
        result = complain(loader, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (result < 0)
        fclose(file);
    return result;
}

/* After a PEM reader gave NULL: true when the file simply had no more of what was read. */
static bool at_end_of_pem(void)
{
    unsigned long code = ERR_peek_last_error();

    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static int no_password(char *buffer, int size, int writing, void *asked)
{
    (void)buffer;
    (void)size;
    (void)writing;
    if (asked)
        *(bool *)asked = true;
    return -1;
}

static int read_certificates(struct loader *loader, const char *what, const char *path,
                             STACK_OF(X509) * *list)
{
    BIO *bio = NULL;
    X509 *certificate;
    int result = open_pem(loader, what, path, &bio);

    if (result < 0)
        return result;
    *list = sk_X509_new_null();
    while (*list && (certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
        if (!sk_X509_push(*list, certificate))
            X509_free(certificate);
    if (!*list)
        result = complain(loader, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    else if (!at_end_of_pem())
        result = complain(loader, ERR_CONFIG, "%s %s is damaged: %s", what, path, library_text());
    else if (sk_X509_num(*list) == 0)
        result = complain(loader, ERR_CONFIG, "%s %s holds no certificate in PEM form", what, path);
    ERR_clear_error();
    BIO_free(bio);
    return result;
}

static int check_times(struct loader *loader, const char *what, const char *path,
                       const ASN1_TIME *from, const ASN1_TIME *to)
{
    int after = from ? X509_cmp_current_time(from) : 0;
    int before = to ? X509_cmp_current_time(to) : 0;

    if (after == 0 || before == 0)
        return complain(loader, ERR_CONFIG, "%s %s has no valid dates", what, path);
    if (after > 0)
        return complain(loader, ERR_CONFIG,
                        "%s %s is not valid yet: make a new one or set the clock", what, path);
    if (before < 0)
        return complain(loader, ERR_CONFIG, "%s %s has expired: make a new one", what, path);
    return 0;
}

static int check_own(struct loader *loader)
{
    struct tls_context *context = loader->context;
    X509 *own = loader->certificate;
    const char *path = loader->files->certificate;
    const struct usage *usage = own_usage(context->role);
    int result =
        check_times(loader, "certificate", path, X509_get0_notBefore(own), X509_get0_notAfter(own));

    if (result < 0)
        return result;
    if (!first_dns_name(own, context->name, sizeof(context->name)))
        return complain(loader, ERR_CONFIG,
                        "certificate %s has no DNS name (subjectAltName): the other side needs one",
                        path);
    if (strchr(context->name, '*'))
        return complain(loader, ERR_CONFIG,
                        "certificate %s is for the wildcard %s: a full DNS name is needed", path,
                        context->name);
    if (!has_usage(own, usage))
        return complain(loader, ERR_CONFIG, "certificate %s lacks the extended key usage %s", path,
                        usage->name);
    return 0;
}

static int load_certificate(struct loader *loader)
{
    STACK_OF(X509) *chain = NULL;
    struct tls_context *context = loader->context;
    int result = read_certificates(loader, "certificate", loader->files->certificate, &chain);

    if (result == 0) {
        loader->certificate = sk_X509_shift(chain);
        result = check_own(loader);
    }
    if (result == 0 && (SSL_CTX_use_certificate(context->ssl, loader->certificate) != 1 ||
                        SSL_CTX_set1_chain(context->ssl, chain) != 1))
        result = complain(loader, ERR_CONFIG, "certificate %s cannot be used: %s",
                          loader->files->certificate, library_text());
    context->own = SSL_CTX_get0_certificate(context->ssl);
    sk_X509_pop_free(chain, X509_free);
    return result;
}

/* The file that is checked is the one that is read: everything happens on one descriptor. */
static int check_key_file(struct loader *loader, int fd, const char *path, size_t *size)
{
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return complain(loader, ERR_CONFIG, "key %s is not a regular file", path);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return complain(
            loader, ERR_FORBIDDEN,
            "key %s belongs to user %lu: its owner must be the daemon's user (%lu) or root", path,
            (unsigned long)status.st_uid, (unsigned long)geteuid());
    if (status.st_mode & (S_IRWXG | S_IRWXO))
        return complain(loader, ERR_FORBIDDEN,
                        "key %s has mode %04o, so others than its owner can use it: chmod 0600 %s",
                        path, (unsigned)(status.st_mode & 07777), path);
    if (status.st_size > KEY_FILE_MAX)
        return complain(loader, ERR_CONFIG, "key %s is too large for a private key", path);
    *size = (size_t)status.st_size;
    return 0;
}

static int open_key(struct loader *loader, const char *path, int *fd)
{
    /* Not blocking, else a named pipe would hold the start. */
    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd >= 0)
        return 0;
    if (errno == ELOOP)
        return complain(loader, ERR_FORBIDDEN, "key %s is a symbolic link: name the file itself",
                        path);
    return complain(loader, ERR_CONFIG, "key %s cannot be opened: %s", path, strerror(errno));
}

static int parse_key(struct loader *loader, const char *path, const char *text, size_t length)
{
    BIO *bio = BIO_new_mem_buf(text, (int)length);
    bool asked = false;
    int result = 0;

    loader->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked) : NULL;
    if (asked)
        result = complain(loader, ERR_CONFIG,
                          "key %s is protected by a password: a daemon needs it without one", path);
    else if (!loader->key)
        result = complain(loader, ERR_CONFIG, "key %s holds no private key in PEM form", path);
    ERR_clear_error();
    BIO_free(bio);
    return result;
}

static int read_key(struct loader *loader)
{
    const char *path = loader->files->key;
    char *text = NULL;
    size_t size = 0;
    ssize_t length = 0;
    int fd;
    int result = open_key(loader, path, &fd);

    if (result < 0)
        return result;
    result = check_key_file(loader, fd, path, &size);
    if (result == 0 && !(text = malloc(size + 1)))
        result = complain(loader, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (result == 0 && (length = read(fd, text, size)) < 0)
        result = complain(loader, ERR_CONFIG, "key %s cannot be read: %s", path, strerror(errno));
    if (result == 0)
        result = parse_key(loader, path, text, (size_t)length);
    if (text)
        wipe(text, size + 1);
    free(text);
    close(fd);
    return result;
}

static int load_key(struct loader *loader)
{
    int result = read_key(loader);

    if (result < 0)
        return result;
    if (X509_check_private_key(loader->certificate, loader->key) != 1)
        result = complain(loader, ERR_CONFIG, "key %s does not belong to certificate %s",
                          loader->files->key, loader->files->certificate);
    else if (SSL_CTX_use_PrivateKey(loader->context->ssl, loader->key) != 1)
        result = complain(loader, ERR_CONFIG, "key %s cannot be used: %s", loader->files->key,
                          library_text());
    ERR_clear_error();
    return result;
}

static int add_ca(struct loader *loader, X509 *ca, bool *root)
{
    const char *path = loader->files->ca;

    /* A relay's certificate in this file would be trusted to be what it says. */
    if (X509_check_ca(ca) != 1)
        return complain(loader, ERR_CONFIG, "ca %s holds a certificate that is not a CA's", path);
    if (X509_STORE_add_cert(loader->context->store, ca) != 1)
        return complain(loader, ERR_CONFIG, "ca %s cannot be used: %s", path, library_text());
    *root = *root || (X509_get_extension_flags(ca) & EXFLAG_SS);
    return 0;
}

static int load_ca(struct loader *loader)
{
    const char *path = loader->files->ca;
    bool root = false;
    int result = read_certificates(loader, "ca", path, &loader->cas);

    for (int i = 0; result == 0 && i < sk_X509_num(loader->cas); i++)
        result = add_ca(loader, sk_X509_value(loader->cas, i), &root);
    if (result == 0 && !root)
        result = complain(loader, ERR_CONFIG,
                          "ca %s holds no root: add the self-signed certificate of the CA", path);
    ERR_clear_error();
    return result;
}

static bool signed_by_one_of(X509_CRL *crl, STACK_OF(X509) * cas)
{
    bool good = false;

    for (int i = 0; i < sk_X509_num(cas) && !good; i++) {
        X509 *ca = sk_X509_value(cas, i);

        good = X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca)) == 0 &&
               X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1;
    }
    ERR_clear_error();
    return good;
}

static int add_crl(struct loader *loader, X509_CRL *crl)
{
    const char *path = loader->files->crl;
    int result;

    if (!signed_by_one_of(crl, loader->cas))
        return complain(loader, ERR_CONFIG, "crl %s is not signed by a CA in %s", path,
                        loader->files->ca);
    result = check_times(loader, "crl", path, X509_CRL_get0_lastUpdate(crl),
                         X509_CRL_get0_nextUpdate(crl));
    if (result == 0 && X509_STORE_add_crl(loader->context->store, crl) != 1)
        result = complain(loader, ERR_CONFIG, "crl %s cannot be used: %s", path, library_text());
    return result;
}

static int read_crls(struct loader *loader, BIO *bio)
{
    const char *path = loader->files->crl;
    STACK_OF(X509_CRL) *crls = loader->context->crls;
    X509_CRL *crl;
    int result = 0;

    while (result == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL))) {
        result = add_crl(loader, crl);
        if (result < 0 || !sk_X509_CRL_push(crls, crl))
            X509_CRL_free(crl);
    }
    if (result < 0)
        return result;
    if (!at_end_of_pem())
        return complain(loader, ERR_CONFIG, "crl %s is damaged: %s", path, library_text());
    if (sk_X509_CRL_num(crls) == 0)
        return complain(loader, ERR_CONFIG, "crl %s holds no revocation list in PEM form", path);
    return 0;
}

static int load_crl(struct loader *loader)
{
    struct tls_context *context = loader->context;
    BIO *bio = NULL;
    int result;

    if (!loader->files->crl)
        return 0;
    result = open_pem(loader, "crl", loader->files->crl, &bio);
    if (result == 0 && !(context->crls = sk_X509_CRL_new_null()))
        result = complain(loader, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    if (result == 0)
        result = read_crls(loader, bio);
    if (result == 0)
        X509_STORE_set_flags(context->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    ERR_clear_error();
    BIO_free(bio);
    return result;
}

/* ---------------------------------------------------------------- context */

static bool set_protocol(SSL_CTX *ssl, enum tls_role role)
{
    /* No keys come to the client of a tunnel; else OpenSSL's buffer would keep what was read last.
     */
    if (role != TLS_CLIENT)
        SSL_CTX_set_options(ssl, SSL_OP_CLEANSE_PLAINTEXT);
    /* OpenSSL would go by who connects. */
    if (role == TLS_SITE_CLIENT && SSL_CTX_set_purpose(ssl, X509_PURPOSE_SSL_CLIENT) != 1)
        return false;
    SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ssl, on_certificate, NULL);
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(ssl, 0) == 1 && SSL_CTX_set_max_early_data(ssl, 0) == 1 &&
           SSL_CTX_set_recv_max_early_data(ssl, 0) == 1 &&
           SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1 &&
           SSL_CTX_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                         "TLS_CHACHA20_POLY1305_SHA256") == 1;
}

static int prepare(struct loader *loader, enum tls_role role)
{
    struct tls_context *context = loader->context = calloc(1, sizeof(*context));

    if (!context)
        return complain(loader, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    context->role = role;
    context->ssl = SSL_CTX_new(is_server(role) ? TLS_server_method() : TLS_client_method());
    if (!context->ssl || !set_protocol(context->ssl, role))
        return complain(loader, ERR_CRYPTO, "TLS 1.3 cannot be set up: %s", library_text());
    context->store = SSL_CTX_get_cert_store(context->ssl);
    X509_STORE_set_verify_cb(context->store, on_verify);
    return 0;
}

int tls_context_new(struct tls_context **context, enum tls_role role, const struct tls_files *files,
                    char *error, size_t error_size)
{
    static int (*const steps[])(struct loader *) = {load_certificate, load_key, load_ca, load_crl};
    struct loader loader = {.files = files, .error = error, .error_size = error_size};
    int result;

    ERR_clear_error();
    result = prepare(&loader, role);
    for (size_t i = 0; result == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        result = steps[i](&loader);
    X509_free(loader.certificate);
    EVP_PKEY_free(loader.key);
    sk_X509_pop_free(loader.cas, X509_free);
    if (result == 0)
        *context = loader.context;
    else
        tls_context_free(loader.context);
    ERR_clear_error();
    return result;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    sk_X509_CRL_pop_free(context->crls, X509_CRL_free);
    SSL_CTX_free(context->ssl);
    free(context);
}

const char *tls_context_name(const struct tls_context *context)
{
    return context->name;
}

/* Seconds between two times, NULL being now. */
static int64_t seconds_between(const ASN1_TIME *from, const ASN1_TIME *to)
{
    int days = 0;
    int seconds = 0;

    if (ASN1_TIME_diff(&days, &seconds, from, to) != 1) {
        ERR_clear_error();
        return 0;
    }
    return (int64_t)days * 86400 + seconds;
}

int64_t tls_context_certificate_left(const struct tls_context *context)
{
    return seconds_between(NULL, X509_get0_notAfter(context->own));
}

static int crl_left_percent(const X509_CRL *crl)
{
    int64_t all = seconds_between(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl));
    int64_t left = seconds_between(NULL, X509_CRL_get0_nextUpdate(crl));

    if (all <= 0 || left <= 0)
        return 0;
    return left >= all ? 100 : (int)(left * 100 / all);
}

int tls_context_crl_left_percent(const struct tls_context *context)
{
    int least = -1;

    for (int i = 0; i < sk_X509_CRL_num(context->crls); i++) {
        int left = crl_left_percent(sk_X509_CRL_value(context->crls, i));

        if (least < 0 || left < least)
            least = left;
    }
    return least;
}

/* ---------------------------------------------------------------- what went wrong, in words */

static enum tls_result __attribute__((format(printf, 2, 3)))
fail(struct tls *tls, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(tls->error, sizeof(tls->error), format, arguments);
    va_end(arguments);
    tls->failed = true;
    return TLS_FAILED;
}

/* What the peer's alert says (RFC 8446 section 6.2). */
static const char *alert_text(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
        return "the peer refused our certificate (alert bad_certificate: wrong name, not valid yet "
               "or damaged)";
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
        return "the peer refused our certificate (alert unsupported_certificate: wrong extended "
               "key usage)";
    case SSL_AD_CERTIFICATE_REVOKED:
        return "the peer refused our certificate: it is revoked";
    case SSL_AD_CERTIFICATE_EXPIRED:
        return "the peer refused our certificate: it has expired";
    case SSL_AD_CERTIFICATE_UNKNOWN:
        return "the peer refused our certificate (alert certificate_unknown)";
    case SSL_AD_UNKNOWN_CA:
        return "the peer refused our certificate: it does not know our CA";
    case SSL_AD_CERTIFICATE_REQUIRED:
        return "the peer refused us: we offered no certificate";
    case SSL_AD_PROTOCOL_VERSION:
        return "the peer does not speak TLS 1.3 (alert protocol_version)";
    case SSL_AD_HANDSHAKE_FAILURE:
        return "the peer refused the handshake: nothing in common (alert handshake_failure)";
    case SSL_AD_BAD_RECORD_MAC:
        return "the peer got a damaged record (alert bad_record_mac)";
    case SSL_AD_DECRYPT_ERROR:
        return "the peer could not verify our signature (alert decrypt_error)";
    case SSL_AD_INTERNAL_ERROR:
        return "the peer had an internal error";
    default:
        return NULL;
    }
}

static enum tls_result fail_alert(struct tls *tls, int alert)
{
    const char *text = alert_text(alert);

    if (text)
        return fail(tls, "%s", text);
    return fail(tls, "the peer refused with the TLS alert \"%s\"",
                SSL_alert_desc_string_long(alert));
}

static enum tls_result fail_version(struct tls *tls)
{
    int version = is_server(tls->role) ? SSL_client_version(tls->ssl) : TLS1_2_VERSION;

    if (version >= TLS1_VERSION && version <= TLS1_2_VERSION)
        return fail(tls, "TLS 1.%d offered, 1.3 needed", version - TLS1_VERSION);
    return fail(tls, "the peer offered another protocol version, TLS 1.3 is needed");
}

static enum tls_result fail_protocol(struct tls *tls)
{
    unsigned long code = ERR_peek_last_error();
    int reason = ERR_GET_REASON(code);

    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return fail(tls, "TLS failed: %s", library_text());
    if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + UINT8_MAX)
        return fail_alert(tls, reason - SSL_AD_REASON_OFFSET);
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        tls->failed = true; /* on_certificate() has left the reason */
        return TLS_FAILED;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return fail(tls, "the peer offered no certificate");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
        return fail_version(tls);
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return fail(tls, "what the peer sent is not TLS");
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
        return fail(tls, "a damaged record came");
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return fail(tls, "the connection was cut%s",
                    tls->complete ? " without a close" : " during the handshake");
    default:
        return fail(tls, "TLS failed: %s", library_text());
    }
}

/* Without an error of the socket it was the end, where none may be. */
static enum tls_result fail_socket(struct tls *tls)
{
    int error = tls->socket.error;

    if (error == TLS_SOCKET_NO_CHUNKS)
        return fail(tls, "what came is not chunked, as the HTTP head before it said");
    return fail(tls, "the connection failed: %s", error ? strerror(error) : "it was cut");
}

static enum tls_result outcome(struct tls *tls, int result)
{
    enum tls_result answer;

    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_NONE:
        answer = TLS_SUCCESS;
        break;
    case SSL_ERROR_WANT_READ:
        answer = TLS_WANT_INPUT;
        break;
    case SSL_ERROR_WANT_WRITE:
        answer = TLS_WANT_OUTPUT;
        break;
    case SSL_ERROR_ZERO_RETURN:
        answer = TLS_CLOSED;
        break;
    case SSL_ERROR_SYSCALL:
        answer = fail_socket(tls);
        break;
    default:
        answer = fail_protocol(tls);
        break;
    }
    ERR_clear_error();
    return answer;
}

/* Every call into OpenSSL starts with an empty error queue, or it would see another one's error. */
static void begin(struct tls *tls)
{
    ERR_clear_error();
    tls->socket.error = 0;
}

/* ---------------------------------------------------------------- connection */

static uint64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct tls *tls_new(struct tls_context *context, int fd, const char *const *names)
{
    struct transport transport = transport_direct(fd);

    return tls_new_over(context, &transport, names);
}

struct tls *tls_new_over(struct tls_context *context, const struct transport *transport,
                         const char *const *names)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    BIO *bio;

    if (!tls)
        return NULL;
    tls->role = context->role;
    tls->names = names;
    tls->update_records = KEY_UPDATE_RECORDS;
    tls->update_us = KEY_UPDATE_US;
    tls->updated_at_us = clock_us();
    ERR_clear_error();
    tls->ssl = SSL_new(context->ssl);
    bio = tls->ssl ? tls_socket_bio(&tls->socket, transport) : NULL;
    if (!bio || SSL_set_app_data(tls->ssl, tls) != 1) {
        BIO_free(bio);
        tls_free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    if (is_server(tls->role))
        SSL_set_accept_state(tls->ssl);
    else
        SSL_set_connect_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    tls_socket_fini(&tls->socket);
    ERR_clear_error();
    free(tls);
}

enum tls_result tls_handshake(struct tls *tls)
{
    enum tls_result result;

    if (tls->failed)
        return TLS_FAILED;
    begin(tls);
    result = outcome(tls, SSL_do_handshake(tls->ssl));
    if (result == TLS_CLOSED)
        return fail(tls, "the peer closed the connection during the handshake");
    if (result == TLS_SUCCESS) {
        tls->complete = true;
        tls->names = NULL;
    }
    return result;
}

const char *tls_peer_name(const struct tls *tls)
{
    return tls->complete ? tls->peer_name : NULL;
}

enum tls_result tls_read(struct tls *tls, void *buffer, size_t size, size_t *count)
{
    *count = 0;
    if (tls->failed)
        return TLS_FAILED;
    begin(tls);
    return outcome(tls, SSL_read_ex(tls->ssl, buffer, size, count));
}

/* ---------------------------------------------------------------- without TLS */

bool tls_export(struct tls *tls, const char *label, const uint8_t *context, size_t context_length,
                uint8_t *out, size_t length)
{
    bool done;

    ERR_clear_error();
    done = tls->complete && SSL_export_keying_material(tls->ssl, out, length, label, strlen(label),
                                                       context, context_length, 1) == 1;
    ERR_clear_error();
    return done;
}

size_t tls_key_octets(const struct tls *tls)
{
    return SSL_CIPHER_get_bits(SSL_get_current_cipher(tls->ssl), NULL) == 128 ? 16 : 32;
}

/* result: as of read(2). */
static enum tls_result raw_outcome(struct tls *tls, ssize_t result, enum tls_result again,
                                   size_t *count)
{
    *count = result > 0 ? (size_t)result : 0;
    if (result > 0)
        return TLS_SUCCESS;
    if (result == 0)
        return TLS_CLOSED;
    if (tls->socket.error == EAGAIN || tls->socket.error == EWOULDBLOCK)
        return again;
    return fail_socket(tls);
}

enum tls_result tls_raw_read(struct tls *tls, void *buffer, size_t size, size_t *count)
{
    *count = 0;
    if (tls->failed)
        return TLS_FAILED;
    return raw_outcome(tls, tls_socket_receive(&tls->socket, buffer, size), TLS_WANT_INPUT, count);
}

bool tls_raw_ahead(const struct tls *tls)
{
    return tls->socket.chunked_in || tls->socket.at < tls->socket.length;
}

enum tls_result tls_raw_discard(struct tls *tls, size_t size, size_t *count)
{
    *count = 0;
    if (tls->failed)
        return TLS_FAILED;
    return raw_outcome(tls, tls_socket_discard(&tls->socket, size), TLS_WANT_INPUT, count);
}

enum tls_result tls_raw_write(struct tls *tls, const struct iovec *segments, size_t segment_count,
                              size_t *count)
{
    *count = 0;
    if (tls->failed)
        return TLS_FAILED;
    return raw_outcome(tls, tls_socket_send(&tls->socket, segments, segment_count), TLS_WANT_OUTPUT,
                       count);
}

bool tls_drained(const struct tls *tls)
{
    return !tls->failed && tls_socket_drained(&tls->socket) && !SSL_has_pending(tls->ssl);
}

static bool can_send(const struct tls *tls)
{
    struct pollfd poller = {.fd = tls->socket.out, .events = POLLOUT};

    return poll(&poller, 1, 0) == 1;
}

/*
 * New sending keys when they are due. OpenSSL reads nothing while a KeyUpdate
 * waits for the socket, and two sides that both wait would wait for ever: so it
 * is begun only when the socket has room. The peer is not asked for new keys of
 * its own, it counts for itself: OpenSSL 3.0 breaks off ("bad length") when it
 * is asked while it holds a record that its socket did not take.
 * False: the socket has no room.
 */
static bool update_keys(struct tls *tls)
{
    uint64_t now_us = clock_us();

    if (tls->held > 0 ||
        (tls->records < tls->update_records && now_us - tls->updated_at_us < tls->update_us))
        return true;
    if (!can_send(tls))
        return false;
    if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1) {
        tls->records = 0;
        tls->updated_at_us = now_us;
        tls->updates++;
    }
    return true;
}

/* A peer that refused us has often said so before its socket went away: its alert tells more. */
static enum tls_result explain_broken_write(struct tls *tls)
{
    char one;
    size_t count;

    if (tls->socket.error != EPIPE && tls->socket.error != ECONNRESET)
        return TLS_FAILED;
    tls_refresh(tls);
    begin(tls);
    if (SSL_peek_ex(tls->ssl, &one, 1, &count) != 1 &&
        SSL_get_error(tls->ssl, 0) == SSL_ERROR_SSL &&
        ERR_GET_REASON(ERR_peek_last_error()) > SSL_AD_REASON_OFFSET)
        fail_protocol(tls);
    ERR_clear_error();
    return TLS_FAILED;
}

enum tls_result tls_write(struct tls *tls, const void *data, size_t length, size_t *count)
{
    enum tls_result result;

    *count = 0;
    if (tls->failed)
        return TLS_FAILED;
    if (length < tls->held)
        return fail(tls, "a write was repeated with fewer octets than before");
    begin(tls);
    if (!update_keys(tls))
        return TLS_WANT_OUTPUT;
    begin(tls);
    /* One record and no more: OpenSSL would want all the octets of a longer write again. */
    if (tls->held > 0)
        length = tls->held;
    else if (length > RECORD_MAX_OCTETS)
        length = RECORD_MAX_OCTETS;
    result = outcome(tls, SSL_write_ex(tls->ssl, data, length, count));
    tls->held = result == TLS_WANT_OUTPUT || result == TLS_WANT_INPUT ? length : 0;
    if (result == TLS_SUCCESS)
        tls->records++;
    return result == TLS_FAILED ? explain_broken_write(tls) : result;
}

void tls_close(struct tls *tls)
{
    if (tls->failed || !tls->complete)
        return;
    begin(tls);
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

bool tls_recheck(struct tls *tls, struct tls_context *context)
{
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    X509 *peer = SSL_get0_peer_certificate(tls->ssl);
    bool good = false;

    ERR_clear_error();
    if (store && peer &&
        X509_STORE_CTX_init(store, context->store, peer, SSL_get_peer_cert_chain(tls->ssl)) == 1 &&
        X509_STORE_CTX_set_default(store, peer_usage(tls->role)->purpose) == 1) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store), SECURITY_LEVEL);
        good = verify_chain(store, tls->role, tls->error, sizeof(tls->error));
    } else {
        snprintf(tls->error, sizeof(tls->error), "the peer's certificate could not be checked");
    }
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    return good;
}

const char *tls_error(const struct tls *tls)
{
    return tls->error;
}

void tls_refresh(struct tls *tls)
{
    tls->socket.dry = false;
}

void tls_set_key_update(struct tls *tls, uint64_t records, uint64_t interval_us)
{
    tls->update_records = records;
    tls->update_us = interval_us;
}

uint64_t tls_key_updates(const struct tls *tls)
{
    return tls->updates;
}
