#include "target/currency.h"

#include <algorithm>
#include <set>
#include <utility>

namespace quay_rotator::target {

std::vector<Finding> currency(const DesiredSecret& desired, const api::ManagedSecret* cached,
                              std::string_view user, base::Fingerprint token) {
  using What = Finding::What;
  std::vector<Finding> found;
  const auto find = [&](What what, std::string key = {}) {
    found.push_back({desired.key, what, std::move(key)});
  };
  if (cached == nullptr) {
    find(What::missing);
    return found;
  }
  const auto marked = [&](std::uint64_t mark) {
    return std::binary_search(cached->marks.begin(), cached->marks.end(), mark);
  };
  if (cached->shape != desired.shape) find(What::type);
  const std::uint64_t uid = api::owner_mark(desired.owner.uid);
  if (cached->owner != desired.owner.key || cached->owner_uid != uid) find(What::owner);
  if (cached->content == 0) {
    find(What::content);
  } else if (cached->content != api::credentials_digest(desired.registries, user, token)) {
    find(What::login);
  }
  if (marked(uid) != desired.owned || cached->rotations != (desired.owned ? 1 : 0)) {
    find(What::owner_reference);
  }
  for (const auto& [key, value] : desired.labels) {
    if (!marked(api::label_mark(key, value))) find(What::label, key);
  }
  for (const auto& [key, value] : desired.annotations) {
    if (!marked(api::annotation_mark(key, value))) find(What::annotation, key);
  }
  return found;
}

std::string text(const Finding& finding) {
  const auto words = [&]() -> std::string {
    switch (finding.what) {
      case Finding::What::missing:
        return "was missing";
      case Finding::What::type:
        return "is of another type";
      case Finding::What::owner:
        return "was edited: which rotation it names as its owner";
      case Finding::What::content:
        return "was edited: its content";
      case Finding::What::login:
        return "was edited: it held another token, user or list of registries";
      case Finding::What::owner_reference:
        return "was edited: its owner reference";
      case Finding::What::label:
        return "was edited: its label " + finding.key;
      case Finding::What::annotation:
        return "was edited: its annotation " + finding.key;
    }
    return "";
  };
  return "Secret " + finding.secret.name + " " + words();
}

std::string summary(const std::vector<Finding>& findings) {
  if (findings.empty()) return "";
  std::set<kube::ObjectKey> secrets;
  for (const Finding& finding : findings) secrets.insert(finding.secret);
  const std::size_t others = secrets.size() - 1;
  return text(findings.front()) +
         (others == 0 ? "" : " (and " + std::to_string(others) + " more were not current)");
}

}  // namespace quay_rotator::target
