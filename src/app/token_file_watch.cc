// SPDX-License-Identifier: Apache-2.0
#include "app/token_file_watch.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "config/token_file.h"
#include "options/config_file.h"

namespace penstock {
namespace {

constexpr std::string_view kFlag = "token_file";

StatusOr<access::AccessTable> Parse(const StatusOr<std::string>& text, const std::string& path) {
  if (!text.ok()) return text.status();
  return ParseTokenFile(*text, path);
}

// The file may be that of several servers, so this is no error.
void WarnOfCertificates(const access::AccessTable& table, TokenFileWatch::Certificates asked) {
  if (asked == TokenFileWatch::Certificates::kAsked || !table.has_certificates()) return;
  PENSTOCK_LOG(kWarning,
               "--token_file: its certificates have no effect: this server asks clients for none; "
               "--tls_client_ca_file makes it do so");
}

}  // namespace

StatusOr<std::unique_ptr<TokenFileWatch>> TokenFileWatch::Open(std::string path, Duration interval,
                                                               Certificates certificates) {
  StatusOr<std::string> text = ReadConfigFile(kFlag, path);
  ASSIGN_OR_RETURN(access::AccessTable table, Parse(text, path));
  WarnOfCertificates(table, certificates);
  return std::unique_ptr<TokenFileWatch>(new TokenFileWatch(
      std::move(path), *std::move(text), std::move(table), interval, certificates));
}

TokenFileWatch::TokenFileWatch(std::string path, std::string text, access::AccessTable table,
                               Duration interval, Certificates certificates)
    : path_(std::move(path)),
      interval_(interval),
      certificates_(certificates),
      control_(std::move(table)),
      last_text_(std::move(text)) {
  std::error_code ignored;
  // The content of a pipe is gone after the first read.
  if (std::filesystem::is_regular_file(path_, ignored))
    thread_ = std::thread([this] { RunThread(); });
}

TokenFileWatch::~TokenFileWatch() { Stop(); }

void TokenFileWatch::CheckSoon() {
  {
    MutexLock lock(mutex_);
    shall_read_ = true;
  }
  wake_.NotifyOne();
}

void TokenFileWatch::Stop() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

bool TokenFileWatch::WaitForWork() {
  const SteadyTime until =
      interval_ > Duration::zero() ? Clock::Real().Now() + interval_ : kNoDeadline;
  MutexLock lock(mutex_);
  while (!is_stopping_ && !shall_read_) {
    if (until == kNoDeadline) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, until)) {
      break;
    }
  }
  shall_read_ = false;
  return !is_stopping_;
}

void TokenFileWatch::RunThread() {
  while (WaitForWork()) Check();
}

void TokenFileWatch::Check() {
  MutexLock lock(check_mutex_);
  StatusOr<std::string> text = ReadConfigFile(kFlag, path_);
  if (text.ok() && *text == last_text_ && last_error_.empty()) return;
  // The text counts even if it has an error, so that the same error is logged once.
  const bool is_new = text.ok() && *text != std::exchange(last_text_, *text);
  StatusOr<access::AccessTable> table = Parse(text, path_);
  if (table.ok()) {
    last_error_.clear();
    const size_t callers = table->size();
    WarnOfCertificates(*table, certificates_);
    control_.Replace(*std::move(table));
    PENSTOCK_LOG(kInfo, "audit: the operator: {} was read again and is in force: {} callers", path_,
                 callers);
    return;
  }
  std::string error(MessageOf(table.status()));
  if (!is_new && error == last_error_) return;
  PENSTOCK_LOG(kError, "audit: the operator: token_file rejected, keeping the former rules: {}",
               error);
  last_error_ = std::move(error);
}

}  // namespace penstock
