#include "tests/unit/pki.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/unit.h"

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_certificate(const char *common_name, EVP_PKEY *key, struct pki_authority *issuer,
                              long from, long to)
{
    static long serial = 0;
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1,
                               0);
    X509_set_issuer_name(certificate,
                         issuer->certificate ? X509_get_subject_name(issuer->certificate) : name);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to);
    X509_set_pubkey(certificate, key);
    return certificate;
}

void pki_write_certificate(const char *path, const char *mode, X509 *certificate)
{
    FILE *file = fopen(path, mode);

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, certificate), 1);
    fclose(file);
}

void pki_make_authority(struct pki_authority *authority, const char *name, const char *path,
                        struct pki_authority *issuer)
{
    static struct pki_authority none;

    authority->key = EVP_EC_gen("P-256");
    authority->certificate = make_certificate(name, authority->key, issuer ? issuer : &none,
                                              -2 * PKI_YEAR, 10 * PKI_YEAR);
    add_extension(authority->certificate, authority->certificate, NID_basic_constraints,
                  "critical,CA:TRUE");
    add_extension(authority->certificate, authority->certificate, NID_key_usage,
                  "critical,keyCertSign,cRLSign");
    ck_assert_int_gt(
        X509_sign(authority->certificate, issuer ? issuer->key : authority->key, EVP_sha256()), 0);
    pki_write_certificate(path, "w", authority->certificate);
}

long pki_make_leaf(const char *path, const char *sans, const char *usage, EVP_PKEY *key,
                   struct pki_authority *issuer, long from, long to)
{
    X509 *leaf = make_certificate("name-in-cn.example", key, issuer, from, to);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(leaf));

    add_extension(leaf, issuer->certificate, NID_basic_constraints, "critical,CA:FALSE");
    if (sans)
        add_extension(leaf, issuer->certificate, NID_subject_alt_name, sans);
    if (usage)
        add_extension(leaf, issuer->certificate, NID_ext_key_usage, usage);
    ck_assert_int_gt(X509_sign(leaf, issuer->key, EVP_sha256()), 0);
    pki_write_certificate(path, "w", leaf);
    X509_free(leaf);
    return serial;
}

void pki_make_crl(const char *path, const char *mode, struct pki_authority *issuer, long serial,
                  long from, long to)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *last = X509_gmtime_adj(NULL, from);
    ASN1_TIME *next = to ? X509_gmtime_adj(NULL, to) : NULL;
    FILE *file = fopen(path, mode);

    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate));
    X509_CRL_set1_lastUpdate(crl, last);
    if (next)
        X509_CRL_set1_nextUpdate(crl, next);
    if (serial) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();

        ASN1_INTEGER_set(number, serial);
        X509_REVOKED_set_serialNumber(revoked, number);
        X509_REVOKED_set_revocationDate(revoked, last);
        X509_CRL_add0_revoked(crl, revoked);
        ASN1_INTEGER_free(number);
    }
    ck_assert_int_gt(X509_CRL_sign(crl, issuer->key, EVP_sha256()), 0);
    ck_assert_int_eq(PEM_write_X509_CRL(file, crl), 1);
    fclose(file);
    ASN1_TIME_free(last);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
}

void pki_write_key(const char *path, EVP_PKEY *key, const char *password, mode_t mode)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, password ? EVP_aes_128_cbc() : NULL, NULL, 0,
                                          NULL, (void *)(uintptr_t)password),
                     1);
    fclose(file);
    ck_assert_int_eq(chmod(path, mode), 0);
}

void pki_free_authority(struct pki_authority *authority)
{
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
    *authority = (struct pki_authority){0};
}
