// SPDX-License-Identifier: Apache-2.0
// The functions that read one caller begin their errors with a verb ("has no name"): ParseTokenFile
// puts the file and the caller before them.
#include "config/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "config/text_format.h"
#include "penstock/access_rules.pb.h"

namespace penstock {
namespace {

using access::AccessTable;
using access::CertificateName;
using access::Operation;
using google::protobuf::RepeatedPtrField;
using Allows = RepeatedPtrField<config::Allow>;

// None for OPERATION_UNSPECIFIED and for numbers without a name.
std::optional<Operation> OperationOf(int number) {
  switch (number) {
    case config::INFER:
      return Operation::kInfer;
    case config::METADATA:
      return Operation::kMetadata;
    case config::STATUS:
      return Operation::kStatus;
    case config::ADMIN:
      return Operation::kAdmin;
    case config::METRICS:
      return Operation::kMetrics;
    default:
      return std::nullopt;
  }
}

Status CheckPatterns(const config::Allow& allow) {
  for (const std::string& pattern : allow.model()) {
    if (pattern.empty()) return InvalidArgument("allows a model without a name");
    if (pattern.find('*') < pattern.size() - 1)
      return InvalidArgument("allows the model '{}': a '*' may only be its last character",
                             pattern);
  }
  return OkStatus();
}

// The page of metrics has all models, and cannot be cut to some of them.
Status CheckMetrics(const config::Allow& allow) {
  if (allow.model().empty() || std::count(allow.model().begin(), allow.model().end(), "*") > 0)
    return OkStatus();
  return InvalidArgument(
      "allows METRICS for some models, but the metrics have all of them; say it in an allow "
      "without a model");
}

Status AddPermissions(const Allows& allows, access::Caller& caller) {
  if (allows.empty()) return InvalidArgument("may do nothing; say allow {{ ... }}");
  for (const config::Allow& allow : allows) {
    if (allow.operation().empty())
      return InvalidArgument(
          "has an allow without an operation; say INFER, METADATA, STATUS, ADMIN or METRICS");
    TRY(CheckPatterns(allow));
    for (const int number : allow.operation()) {
      const std::optional<Operation> operation = OperationOf(number);
      if (!operation)
        return InvalidArgument(
            "allows the operation {}, which is none; say INFER, METADATA, STATUS, ADMIN or METRICS",
            number);
      if (*operation == Operation::kMetrics) {
        TRY(CheckMetrics(allow));
        caller.Allow(*operation, "*");
        continue;
      }
      if (allow.model().empty())
        return InvalidArgument("allows {} without a model; say model: \"*\" for all of them",
                               access::OperationName(*operation));
      for (const std::string& pattern : allow.model()) caller.Allow(*operation, pattern);
    }
  }
  return OkStatus();
}

StatusOr<CertificateName> ReadCertificate(const config::Certificate& from) {
  using Kind = CertificateName::Kind;
  CertificateName name;
  switch (from.name_case()) {
    case config::Certificate::kUri:
      name = {Kind::kUri, from.uri()};
      break;
    case config::Certificate::kDns:
      name = {Kind::kDns, from.dns()};
      break;
    case config::Certificate::kEmail:
      name = {Kind::kEmail, from.email()};
      break;
    case config::Certificate::kCommonName:
      name = {Kind::kCommonName, from.common_name()};
      break;
    case config::Certificate::NAME_NOT_SET:
      break;
  }
  if (!name.value.empty()) return name;
  return InvalidArgument("has a certificate without a name; say uri, dns, email or common_name");
}

Status AddToken(const std::string& text, const access::Caller& caller, AccessTable& table) {
  const std::optional<access::TokenHash> hash = access::FromHex(text);
  // The message does not repeat the text: it may be the token itself, and this goes to the log.
  if (!hash)
    return InvalidArgument(
        "has a token_sha256 that is not 64 hexadecimal digits; it is the hash of the token, as "
        "`penstock token new` prints it");
  if (table.AddToken(*hash, caller)) return OkStatus();
  return InvalidArgument("has the token_sha256 {}..., which an earlier caller has, too",
                         text.substr(0, 8));
}

Status AddCaller(const config::Caller& from, AccessTable& table) {
  if (from.token_sha256().empty() && from.certificate().empty())
    return InvalidArgument("has no credentials; say token_sha256 or certificate");
  if (from.name() == access::kAnonymousName)
    return InvalidArgument("has the name of requests without credentials; choose another one");
  access::Caller& caller = table.Add(from.name());
  for (const std::string& text : from.token_sha256()) TRY(AddToken(text, caller, table));
  for (const config::Certificate& certificate : from.certificate()) {
    ASSIGN_OR_RETURN(const CertificateName name, ReadCertificate(certificate));
    if (!table.AddCertificate(name, caller))
      return InvalidArgument("has the certificate '{}', which an earlier caller has, too",
                             name.value);
  }
  return AddPermissions(from.allow(), caller);
}

Status AddAnonymous(const config::Anonymous& from, AccessTable& table) {
  access::Caller& caller = table.Add(std::string(access::kAnonymousName));
  TRY(AddPermissions(from.allow(), caller));
  for (const config::Allow& allow : from.allow())
    for (const int number : allow.operation())
      if (number == config::ADMIN)
        return InvalidArgument("may not have ADMIN: everybody could change the models");
  table.SetAnonymous(caller);
  return OkStatus();
}

Status In(std::string_view file, std::string_view who, const Status& error) {
  return InvalidArgument("{}: {} {}", file, who, MessageOf(error));
}

}  // namespace

StatusOr<AccessTable> ParseTokenFile(std::string_view text, std::string_view file) {
  config::AccessRules rules;
  TRY(ParseTextFormat(text, file, rules, TextWords::kHidden));
  // Such a file locks everybody out. It is more likely cut short.
  if (rules.caller().empty() && !rules.has_anonymous())
    return InvalidArgument("{}: the file has no caller", file);
  AccessTable table;
  std::set<std::string> names;
  for (const config::Caller& caller : rules.caller()) {
    if (caller.name().empty()) return InvalidArgument("{}: a caller has no name", file);
    const std::string who = fmt::format("the caller '{}'", caller.name());
    if (!names.insert(caller.name()).second)
      return InvalidArgument("{}: {} is there twice", file, who);
    if (const Status status = AddCaller(caller, table); !status.ok()) return In(file, who, status);
  }
  if (!rules.has_anonymous()) return table;
  if (const Status status = AddAnonymous(rules.anonymous(), table); !status.ok())
    return In(file, "anonymous", status);
  return table;
}

std::string TokenFileLines(std::string_view name, std::string_view token, std::string_view model) {
  // The escapes of JSON are also those of the text format.
  std::string quoted_name, quoted_model;
  AppendJsonEscaped(quoted_name, name);
  AppendJsonEscaped(quoted_model, model);
  return fmt::format(
      "caller {{ name: \"{}\" token_sha256: \"{}\" allow {{ operation: [INFER, METADATA, STATUS] "
      "model: \"{}\" }} }}\n",
      quoted_name, access::ToHex(access::HashOf(token)), quoted_model);
}

}  // namespace penstock
