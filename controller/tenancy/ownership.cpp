#include "tenancy/ownership.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <tuple>

#include "base/fingerprint.h"

namespace quay_rotator::tenancy {

namespace {

std::string digest(std::string_view text) {
  std::array<char, 33> hex{};
  std::snprintf(hex.data(), hex.size(), "%016llx%016llx",
                static_cast<unsigned long long>(base::digest64(text)),
                static_cast<unsigned long long>(base::digest64(std::string(text) + '\n')));
  return hex.data();
}

// Nothing that is no number is later than anything: then the dates decide.
std::uint64_t number_of(const std::string& version) {
  std::uint64_t number = 0;
  std::from_chars(version.data(), version.data() + version.size(), number);
  return number;
}

std::uint64_t way_of(const api::Ownership& ownership) {
  return base::digest64(ownership.connection + " " + ownership.quay +
                        (ownership.forgeable ? " forgeable" : ""));
}

}  // namespace

std::string quay_key(std::string_view host, std::uint16_t port) {
  std::string key(host);
  if (key.ends_with('.')) key.pop_back();
  std::ranges::transform(key, key.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  if (key.find(':') != std::string::npos) key = "[" + key + "]";  // IPv6
  constexpr std::uint16_t http = 80;
  constexpr std::uint16_t https = 443;
  if (port != http && port != https) key += ":" + std::to_string(port);
  return key;
}

std::string alias_of(std::string_view self_given_name) {
  constexpr std::size_t longest = 255;
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
  std::string_view name = self_given_name;
  while (name.ends_with('/')) name.remove_suffix(1);
  if (name.empty() || name.size() > longest ||
      name.find_first_not_of(allowed) != std::string_view::npos) {
    return "";
  }
  std::uint16_t port = 0;
  const std::size_t colon = name.rfind(':');
  const bool bracketed = name.starts_with('[');
  if (colon != std::string_view::npos && (!bracketed || name[colon - 1] == ']')) {
    const std::string_view digits = name.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port == 0) return "";
    name = name.substr(0, colon);
  } else {
    port = 443;
  }
  if (bracketed) {
    if (!name.ends_with(']') || name.size() < 3) return "";
    name = name.substr(1, name.size() - 2);
  }
  return name.empty() ? "" : digest(quay_key(name, port));
}

bool made_on(const api::Ownership& ownership, const Way& way) {
  if (ownership.connection != way.connection) return false;
  return way.quay.empty() || (ownership.quay == way.quay && ownership.forgeable == way.forgeable);
}

api::Ownership proven(const std::optional<api::Ownership>& before, const Way& way,
                      const std::optional<std::string>& alias, base::WallTime now) {
  api::Ownership after;
  if (before && made_on(*before, way)) after = *before;
  after.connection = way.connection;
  if (!way.quay.empty()) {
    after.quay = way.quay;
    after.forgeable = way.forgeable;
  }
  if (alias) after.alias = *alias == digest(after.quay) ? "" : *alias;
  if (!after.since) after.since = std::chrono::floor<std::chrono::seconds>(now);
  after.refused_since.reset();
  return after;
}

api::Ownership proven_standby(api::Ownership before, const std::string& standby,
                              base::WallTime now) {
  if (before.standby != standby) before.standby_since.reset();
  before.standby = standby;
  if (!before.standby_since) before.standby_since = std::chrono::floor<std::chrono::seconds>(now);
  return before;
}

std::optional<api::Ownership> refused(std::optional<api::Ownership> before, base::WallTime now) {
  if (!before || !before->since) return before;
  if (!before->refused_since || *before->refused_since > now) {
    before->refused_since = std::chrono::floor<std::chrono::seconds>(now);
  }
  if (now - *before->refused_since < proof_lapses_after) return before;
  return unproven(std::move(before));
}

std::optional<api::Ownership> unproven(std::optional<api::Ownership> before) {
  if (before) {
    before->since.reset();
    before->refused_since.reset();
    before->standby_since.reset();
  }
  return before;
}

bool Owners::BySeniority::operator()(const Seat& left, const Seat& right) const {
  if (left.robot != right.robot) return left.robot < right.robot;
  if (left.rank != right.rank) return left.rank < right.rank;
  const auto seniority = [](const Seat& seat) {
    const auto& [key, claimed] = *seat.claim;
    return std::make_tuple(claimed.seen, claimed.since.value_or(base::WallTime{}), claimed.created,
                           std::cref(key));
  };
  return seniority(left) < seniority(right);
}

Owners::Robot Owners::robot_of(std::string_view quay_digest, std::string_view full_name) {
  std::string text(quay_digest);
  text += ' ';
  text += full_name;
  const std::uint64_t first = base::digest64(text);
  return {first, base::digest64(text + '\n')};
}

void Owners::add(Claimed& claimed, Robot robot, Rank if_proven) {
  claimed.names.at(claimed.count++) = {robot, claimed.since ? if_proven : Rank::none, if_proven};
}

Owners::Claimed Owners::claimed(const Claim& claim) {
  Claimed result;
  result.created = claim.created;
  const bool known = claim.ownership && made_on(*claim.ownership, claim.way);
  if (known && claim.ownership->since) {
    result.since = claim.ownership->since;
    result.way = way_of(*claim.ownership);
    result.seen = number_of(claim.version);
  }

  const bool forgeable = known ? claim.ownership->forgeable : claim.way.forgeable;
  const Rank own = forgeable ? Rank::word : Rank::own;
  std::string full_name = claim.robot.organization + "+" + claim.robot.name;
  if (claim.robot.organization.empty()) {
    // Whose robot it is Quay alone can tell; who names the same by the same connection has the
    // same.
    add(result, robot_of(claim.key.name_space + "/" + claim.way.connection, full_name), own);
    full_name = known ? claim.full_name : "";
  }
  const std::string& quay = known ? claim.ownership->quay : claim.way.quay;
  if (quay.empty() || full_name.empty()) return result;
  add(result, robot_of(digest(quay), full_name), own);
  if (known && !claim.ownership->alias.empty()) {
    add(result, robot_of(claim.ownership->alias, full_name), Rank::word);
  }
  return result;
}

kube::ObjectKey Owners::standby_key(const kube::ObjectKey& key) {
  return {key.name_space, key.name + '+'};
}

kube::ObjectKey Owners::object_key(const kube::ObjectKey& key) {
  if (!key.name.ends_with('+')) return key;
  return {key.name_space, key.name.substr(0, key.name.size() - 1)};
}

std::vector<kube::ObjectKey> Owners::claim(const Claim& claim) {
  // Of either robot Quay tells whose it is.
  const std::string user = claim.full_name.substr(0, claim.full_name.find('+') + 1);
  const auto named = [&](Claim one, const std::string& robot) {
    one.robot.name = robot;
    one.full_name = user.empty() ? "" : user + robot;
    return one;
  };
  const base::Lock lock(mutex_);
  std::vector<kube::ObjectKey> changed = enter(named(claim, claim.robot.name));
  const kube::ObjectKey second = standby_key(claim.key);
  std::vector<kube::ObjectKey> more;
  if (!claim.standby.empty()) {
    Claim standby = named(claim, claim.standby);
    standby.key = second;
    if (standby.ownership) {
      const bool same = claim.ownership->standby == claim.standby;
      standby.ownership->since = same ? claim.ownership->standby_since : std::nullopt;
    }
    more = enter(standby);
  } else if (claims_.contains(second)) {
    more = replace(second, std::nullopt);
  }
  changed.insert(changed.end(), more.begin(), more.end());
  return changed;
}

std::vector<kube::ObjectKey> Owners::enter(const Claim& claim) {
  Claimed next = claimed(claim);
  const auto found = claims_.find(claim.key);
  if (found != claims_.end() && next.since && found->second.since == next.since &&
      found->second.way == next.way) {
    // A history that went back has brought it in an older version.
    const std::uint64_t seen = found->second.seen;
    next.seen = next.seen == 0 ? seen : std::min(next.seen, seen);
  }
  return replace(claim.key, std::move(next));
}

std::vector<kube::ObjectKey> Owners::release(const kube::ObjectKey& key) {
  const base::Lock lock(mutex_);
  std::vector<kube::ObjectKey> changed = replace(key, std::nullopt);
  const kube::ObjectKey second = standby_key(key);
  if (!claims_.contains(second)) return changed;
  const std::vector<kube::ObjectKey> more = replace(second, std::nullopt);
  changed.insert(changed.end(), more.begin(), more.end());
  return changed;
}

const Owners::Seat* Owners::first(const Robot& robot) const {
  ++steps_;
  const auto seat = seats_.lower_bound(robot);
  return seat == seats_.end() || seat->robot != robot ? nullptr : &*seat;
}

std::optional<kube::ObjectKey> Owners::owner_of(const Robot& robot) const {
  const Seat* seat = first(robot);
  if (seat == nullptr || seat->rank == Rank::none) return std::nullopt;
  return seat->claim->first;
}

std::vector<kube::ObjectKey> Owners::replace(const kube::ObjectKey& key,
                                             std::optional<Claimed> claim) {
  const auto found = claims_.find(key);
  // Only those who claim a robot that is left or one that is entered can be touched.
  std::vector<std::pair<Robot, std::optional<kube::ObjectKey>>> before;
  const auto remember = [&](const Claimed& claimed) REQUIRES(mutex_) {
    for (std::size_t name = 0; name < claimed.count; ++name) {
      const Robot& robot = claimed.names.at(name).robot;
      const auto same = [&](const auto& other) { return other.first == robot; };
      if (std::ranges::none_of(before, same)) before.emplace_back(robot, owner_of(robot));
    }
  };
  if (found != claims_.end()) {
    remember(found->second);
    for (std::size_t name = 0; name < found->second.count; ++name) {
      const Name& seat = found->second.names.at(name);
      seats_.erase({seat.robot, seat.rank, &*found});
    }
  }
  if (claim) remember(*claim);
  if (!claim) {
    if (found != claims_.end()) claims_.erase(found);
  } else {
    const auto place = claims_.insert_or_assign(key, std::move(*claim)).first;
    for (std::size_t name = 0; name < place->second.count; ++name) {
      const Name& seat = place->second.names.at(name);
      seats_.insert({seat.robot, seat.rank, &*place});
    }
  }

  std::vector<kube::ObjectKey> changed;
  for (const auto& [robot, owner] : before) {
    if (owner_of(robot) == owner) continue;
    for (auto [seat, end] = seats_.equal_range(robot); seat != end; ++seat, ++steps_) {
      if (seat->claim->first != key) changed.push_back(object_key(seat->claim->first));
    }
  }
  std::ranges::sort(changed);
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  return changed;
}

Owners::Standing Owners::standing(const kube::ObjectKey& key) const {
  const base::Lock lock(mutex_);
  Standing result;
  const auto claim = claims_.find(key);
  if (claim == claims_.end()) return result;
  const Claimed& claimed = claim->second;
  result.proven = claimed.since.has_value();
  const auto standby = claims_.find(standby_key(key));
  const bool two = standby != claims_.end();
  result.standby_proven = !two || standby->second.since.has_value();
  const std::uint64_t seen = two ? std::max(claimed.seen, standby->second.seen) : claimed.seen;
  if (seen > 0) result.since_version = std::to_string(seen);
  add_standing(claim->first, claimed, result);
  if (two) add_standing(standby->first, standby->second, result);
  return result;
}

void Owners::add_standing(const kube::ObjectKey& key, const Claimed& claimed,
                          Standing& result) const {
  for (std::size_t name = 0; name < claimed.count; ++name) {
    const Name& own = claimed.names.at(name);
    const Seat* seat = first(own.robot);
    if (seat == nullptr) continue;
    if (seat->claim->first == key) {
      const auto next = std::next(seats_.find(*seat));
      if (next != seats_.end() && next->robot == own.robot) result.contested = true;
      continue;
    }
    result.contested = true;
    // Who would rank before the owner, once proven, is let try.
    const bool may_try = !claimed.since && own.if_proven < seat->rank;
    if (seat->rank != Rank::none && !may_try && !result.owner) {
      result.owner = object_key(seat->claim->first);
    }
  }
}

std::uint64_t Owners::steps() const {
  const base::Lock lock(mutex_);
  return steps_;
}

}  // namespace quay_rotator::tenancy
