/* net/http_tls.c - certificates: those of the server, and those that clients show. */
#include "base/file.h"
#include "base/mem.h"
#include "net/http_priv.h"
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

enum { PEM_MAX = 1 << 20, NAME_MAX_BYTES = 256 };

void tls_files_done(tls_files *f)
{
    st_free(f->cert);
    if (f->key)
        gnutls_memset(f->key, 0, strlen(f->key));
    st_free(f->key);
    st_free(f->client_ca);
    *f = (tls_files){0};
}

static int wrong(const char *path, int failed, const char *hint, st_err *err)
{
    st_err_set(err, ST_EFORMAT, "%s: %s", path, gnutls_strerror(failed));
    st_err_hint(err, "%s", hint);
    return ST_EFORMAT;
}

/* Read them once as they will be used, for errors that name the file. */
static int check(const http_opts *o, const tls_files *f, st_err *err)
{
    gnutls_certificate_credentials_t c;
    if (gnutls_certificate_allocate_credentials(&c) != GNUTLS_E_SUCCESS)
        return st_err_set(err, ST_ENOMEM, "no memory for certificates");
    gnutls_datum_t cert = {(unsigned char *)f->cert, (unsigned)strlen(f->cert)};
    gnutls_datum_t key = {(unsigned char *)f->key, (unsigned)strlen(f->key)};
    int rc = 0;
    int n = gnutls_certificate_set_x509_key_mem(c, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (n < 0)
        rc = wrong(o->tls_cert, n,
                   "a chain of certificates and the key of its first one, as PEM", err);
    if (!rc && f->client_ca) {
        gnutls_datum_t ca = {(unsigned char *)f->client_ca,
                             (unsigned)strlen(f->client_ca)};
        n = gnutls_certificate_set_x509_trust_mem(c, &ca, GNUTLS_X509_FMT_PEM);
        if (n <= 0)
            rc = wrong(o->tls_client_ca, n ? n : GNUTLS_E_NO_CERTIFICATE_FOUND,
                       "certificates of authorities, as PEM", err);
    }
    gnutls_certificate_free_credentials(c);
    return rc;
}

int tls_files_read(const http_opts *o, tls_files *ret, st_err *err)
{
    if (!o->tls_cert != !o->tls_key || (o->tls_client_ca && !o->tls_cert)) {
        st_err_set(err, ST_EINVAL, "TLS needs a certificate and its key");
        st_err_hint(err, "give both, or neither and no client authority");
        return ST_EINVAL;
    }
    tls_files f = {0};
    size_t len = 0;
    int rc = 0;
    if (o->tls_cert)
        rc = st_file_read(o->tls_cert, PEM_MAX, &f.cert, &len, err);
    if (!rc && o->tls_key)
        rc = st_file_read(o->tls_key, PEM_MAX, &f.key, &len, err);
    if (!rc && o->tls_client_ca)
        rc = st_file_read(o->tls_client_ca, PEM_MAX, &f.client_ca, &len, err);
    if (!rc && o->tls_cert)
        rc = check(o, &f, err);
    if (rc)
        tls_files_done(&f);
    else
        *ret = f;
    return rc;
}

/* The common name of the certificate that was shown, in memory of its own; NULL. */
static char *name_of(gnutls_session_t session)
{
    unsigned n = 0;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(session, &n);
    gnutls_x509_crt_t cert;
    if (!shown || !n || gnutls_x509_crt_init(&cert) != GNUTLS_E_SUCCESS)
        return NULL;
    char name[NAME_MAX_BYTES];
    size_t size = sizeof name;
    char *copy = NULL;
    if (gnutls_x509_crt_import(cert, &shown[0], GNUTLS_X509_FMT_DER) == 0 &&
        gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name,
                                      &size) == 0)
        copy = st_strdup(name);
    gnutls_x509_crt_deinit(cert);
    return copy;
}

bool tls_client_known(http_exchange *x, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_session_t session = info ? info->tls_session : NULL;
    unsigned status = 0;
    if (!session || gnutls_certificate_verify_peers2(session, &status) != 0 || status)
        return false;
    x->client_name = name_of(session);
    return true;
}
