// The deleter of what a C library makes: std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>.
#pragma once

namespace quay_rotator::http {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace quay_rotator::http
