#pragma once

// Owners of OpenSSL's objects, and its errors as ours. OpenSSL keeps a queue of errors a thread;
// every call whose failure is looked at begins with an empty one.

#include <memory>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/result.h"

namespace blixard::linux_side {

template <auto kFree>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    (void)kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpensslFree<&BIO_free_all>>;
using BigNumberPtr = std::unique_ptr<BIGNUM, OpensslFree<&BN_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<&EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslFree<&X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpensslFree<&X509_REQ_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslFree<&X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<&GENERAL_NAMES_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<&X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpensslFree<&X509_STORE_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslFree<&SSL_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpensslFree<&SSL_CTX_free>>;

// The oldest queued error in words of OpenSSL's tables, never of the input. Empties the queue.
inline std::string openssl_reason() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char* text = ERR_reason_error_string(error);
  return text != nullptr ? text : "unknown reason";
}

inline std::unexpected<Error> crypto_failed(const char* what) {
  return fail(Code::kInternal, "crypto_failed", what + (": " + openssl_reason()));
}

}  // namespace blixard::linux_side
