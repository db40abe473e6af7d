#include "tests/pair/sitepki.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/tunnel/tls.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

static struct pki_authority ca;
static EVP_PKEY *key;
static char folder[] = "/tmp/test_pair_sites.XXXXXX";

void sitepki_make(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    key = EVP_EC_gen("P-256");
    pki_write_key("key", key, NULL, 0600);
    pki_make_authority(&ca, "test CA", "ca.pem", NULL);
    pki_make_leaf("a.pem", "DNS:site-a.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    pki_make_leaf("b.pem", "DNS:site-b.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

void sitepki_remove(void)
{
    pki_free_authority(&ca);
    EVP_PKEY_free(key);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void sitepki_contexts(struct sites_conf *conf, unsigned site)
{
    struct tls_files from = {site ? "b.pem" : "a.pem", "key", "ca.pem", NULL};
    char error[256];

    for (int i = 0; i < 2; i++)
        ck_assert_msg(tls_context_new(&conf->context[i], i ? TLS_SITE_SERVER : TLS_SITE_CLIENT,
                                      &from, error, sizeof(error)) == 0,
                      "%s", error);
}
