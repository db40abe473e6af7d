/* A private PKI for tests: certificates, CRLs and keys, as PEM files. Every failure ends the test.
 */
#ifndef TESTS_UNIT_PKI_H
#define TESTS_UNIT_PKI_H

#include <sys/types.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { PKI_DAY = 86400, PKI_YEAR = 365 * PKI_DAY };

struct pki_authority {
    X509 *certificate;
    EVP_PKEY *key;
};

/* issuer NULL: it signs itself. Its certificate is written to path. */
void pki_make_authority(struct pki_authority *authority, const char *name, const char *path,
                        struct pki_authority *issuer);
void pki_free_authority(struct pki_authority *authority);
/*
 * A relay's certificate. sans and usage: as in openssl.cnf, or NULL; from and to: seconds from now.
 * Returns its serial number.
 */
long pki_make_leaf(const char *path, const char *sans, const char *usage, EVP_PKEY *key,
                   struct pki_authority *issuer, long from, long to);
/* serial 0: nothing is revoked; to 0: no nextUpdate. mode: fopen's. */
void pki_make_crl(const char *path, const char *mode, struct pki_authority *issuer, long serial,
                  long from, long to);
void pki_write_certificate(const char *path, const char *mode, X509 *certificate);
/* password NULL: none. */
void pki_write_key(const char *path, EVP_PKEY *key, const char *password, mode_t mode);

#endif
