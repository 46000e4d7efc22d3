#include "cluster/audit_log.h"

#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace quay_rotator::cluster {

namespace {

AuditEntry parse(const std::string& line) {
  const auto json = nlohmann::json::parse(line);
  AuditEntry entry;
  entry.user = json.at("user").at("username");
  entry.verb = json.at("verb");
  const std::string uri = json.at("requestURI");
  entry.dry_run = uri.find("dryRun=") != std::string::npos;
  if (const auto object = json.find("objectRef"); object != json.end()) {
    entry.resource = object->value("resource", "");
    if (object->contains("subresource")) {
      entry.resource += "/" + object->at("subresource").get<std::string>();
    }
    entry.name_space = object->value("namespace", "");
    entry.name = object->value("name", "");
  } else {
    entry.resource = uri;
  }
  if (const auto status = json.find("responseStatus"); status != json.end()) {
    entry.status = status->value("code", 0);
  }
  entry.received = base::parse_time(json.at("requestReceivedTimestamp").get<std::string>()).value();
  entry.done = base::parse_time(json.at("stageTimestamp").get<std::string>()).value();
  return entry;
}

}  // namespace

AuditLog::AuditLog(std::string file) : file_(std::move(file)), stream_(file_) {
  if (!stream_) throw std::runtime_error("cannot read " + file_);
  stream_.seekg(0, std::ios::end);
}

std::vector<AuditEntry> AuditLog::read() {
  std::vector<AuditEntry> entries;
  const auto read_to_end = [&] {
    stream_.clear();
    for (std::string text; std::getline(stream_, text);) {
      partial_ += text;
      if (stream_.eof()) break;
      entries.push_back(parse(std::exchange(partial_, {})));
    }
  };
  read_to_end();
  // At 100 MiB the API server renames the file and begins another one: ours is then longer than
  // what has that name now.
  struct stat now {};
  stream_.clear();
  if (stat(file_.c_str(), &now) == 0 && now.st_size < stream_.tellg()) {
    read_to_end();
    stream_.close();
    stream_.open(file_);
    partial_.clear();
    read_to_end();
  }
  return entries;
}

std::vector<AuditEntry> AuditLog::read_work_of(const std::string& user) {
  std::vector<AuditEntry> entries = read();
  std::erase_if(entries, [&](const AuditEntry& entry) {
    return entry.user != user || entry.resource == "leases" || entry.verb == "watch";
  });
  return entries;
}

}  // namespace quay_rotator::cluster
