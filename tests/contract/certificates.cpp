#include "contract/certificates.h"

#include <map>
#include <memory>
#include <stdexcept>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "http/freed.h"

namespace quay_rotator::contract {
namespace {

using http::Freed;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

constexpr long day = 24L * 3600;

std::string text_of(BIO* bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  return {text, static_cast<std::size_t>(size)};
}

std::string pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

void extend(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  if (extension == nullptr) throw std::runtime_error("bad extension: " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

Certificate make(EVP_PKEY* key, const std::string& common_name, bool expired) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  long serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial - 1);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -2 * day);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), expired ? -day : day);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

}  // namespace

Identity make_authority() {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = make(key.get(), "quay-rotator test CA", false);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  extend(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash");
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  return {pem(certificate.get()), pem(key.get())};
}

namespace {

using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;

Number odd_number(int bits) {
  Number number(BN_new());
  BN_rand(number.get(), bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
  return number;
}

Key key_of(const char* type, int selection, const std::map<const char*, Number>& numbers) {
  const std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>> builder(OSSL_PARAM_BLD_new());
  for (const auto& [name, number] : numbers) {
    OSSL_PARAM_BLD_push_BN(builder.get(), name, number.get());
  }
  const std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>> parameters(
      OSSL_PARAM_BLD_to_param(builder.get()));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  EVP_PKEY_fromdata_init(context.get());
  if (EVP_PKEY_fromdata(context.get(), &made, selection, parameters.get()) != 1) {
    throw std::runtime_error(std::string("no such key: ") + type);
  }
  return Key(made);
}

// Of that public key; signed by somebody else.
std::string certificate_of(const Key& key) {
  const Certificate certificate = make(key.get(), "quay-rotator test CA", false);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  const Key signer(EVP_EC_gen("P-256"));
  X509_sign(certificate.get(), signer.get(), EVP_sha256());
  return pem(certificate.get());
}

// RSA of 8192 bits in a second and not in a minute: a product of eight primes instead of two. To
// verify by it costs as much as by any other.
Key large_key() {
  const std::unique_ptr<BN_CTX, Freed<BN_CTX_free>> context(BN_CTX_new());
  Number modulus(BN_new());
  Number order(BN_new());
  Number prime(BN_new());
  Number exponent(BN_new());
  BN_one(modulus.get());
  BN_one(order.get());
  BN_set_word(exponent.get(), RSA_F4);
  for (int i = 0; i < 8; ++i) {
    BN_generate_prime_ex(prime.get(), 1024, 0, nullptr, nullptr, nullptr);  // its top two bits set
    BN_mul(modulus.get(), modulus.get(), prime.get(), context.get());
    BN_sub_word(prime.get(), 1);
    BN_mul(order.get(), order.get(), prime.get(), context.get());
  }
  Number secret(BN_mod_inverse(nullptr, exponent.get(), order.get(), context.get()));
  std::map<const char*, Number> numbers;
  numbers[OSSL_PKEY_PARAM_RSA_N] = std::move(modulus);
  numbers[OSSL_PKEY_PARAM_RSA_E] = std::move(exponent);
  numbers[OSSL_PKEY_PARAM_RSA_D] = std::move(secret);
  return key_of("RSA", EVP_PKEY_KEYPAIR, numbers);
}

}  // namespace

std::string certificate_with_key(int modulus_bits, int exponent_bits) {
  std::map<const char*, Number> numbers;
  numbers[OSSL_PKEY_PARAM_RSA_N] = odd_number(modulus_bits);
  numbers[OSSL_PKEY_PARAM_RSA_E] = odd_number(exponent_bits);
  return certificate_of(key_of("RSA", EVP_PKEY_PUBLIC_KEY, numbers));
}

std::string certificate_with_dsa_key() {
  std::map<const char*, Number> numbers;
  numbers[OSSL_PKEY_PARAM_FFC_P] = odd_number(3072);
  numbers[OSSL_PKEY_PARAM_FFC_Q] = odd_number(256);
  numbers[OSSL_PKEY_PARAM_FFC_G] = odd_number(3000);
  numbers[OSSL_PKEY_PARAM_PUB_KEY] = odd_number(3000);
  return certificate_of(key_of("DSA", EVP_PKEY_PUBLIC_KEY, numbers));
}

Identity issue(const Identity& authority, const CertificateRequest& request) {
  const Bio certificate_text(BIO_new_mem_buf(authority.certificate.data(), -1));
  const Bio key_text(BIO_new_mem_buf(authority.key.data(), -1));
  const Certificate issuer(PEM_read_bio_X509(certificate_text.get(), nullptr, nullptr, nullptr));
  const Key issuer_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));

  const Key key(request.key == "RSA" ? EVP_RSA_gen(2048) : EVP_EC_gen(request.key.c_str()));
  const Certificate certificate = make(key.get(), request.common_name, request.expired);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  extend(certificate.get(), issuer.get(), NID_authority_key_identifier, "keyid");
  if (!request.alternative_names.empty()) {
    extend(certificate.get(), issuer.get(), NID_subject_alt_name, request.alternative_names);
  }
  X509_sign(certificate.get(), issuer_key.get(), EVP_sha256());
  return {pem(certificate.get()), pem(key.get())};
}

Identity issue_dearly(const Identity& authority, const CertificateRequest& request) {
  constexpr int between = 9;
  const Key key = large_key();
  const Bio authority_text(BIO_new_mem_buf(authority.certificate.data(), -1));
  const Bio key_text(BIO_new_mem_buf(authority.key.data(), -1));
  Certificate issuer(PEM_read_bio_X509(authority_text.get(), nullptr, nullptr, nullptr));
  const Key authority_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  std::string chain;
  for (int i = 0; i < between; ++i) {
    Certificate next = make(key.get(), "between " + std::to_string(i), false);
    X509_set_issuer_name(next.get(), X509_get_subject_name(issuer.get()));
    extend(next.get(), issuer.get(), NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(next.get(), i == 0 ? authority_key.get() : key.get(), EVP_sha256());
    chain = pem(next.get()) + chain;
    issuer = std::move(next);
  }
  const Key leaf_key(EVP_EC_gen("P-256"));
  const Certificate leaf = make(leaf_key.get(), request.common_name, request.expired);
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(issuer.get()));
  extend(leaf.get(), issuer.get(), NID_subject_alt_name, request.alternative_names);
  X509_sign(leaf.get(), key.get(), EVP_sha256());
  return {pem(leaf.get()) + chain, pem(leaf_key.get())};
}

}  // namespace quay_rotator::contract
