// SPDX-License-Identifier: Apache-2.0
// An expression is parsed into a list of steps for a stack of numbers, by precedence climbing.
#include "config/shard_filter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace penstock {
namespace {

constexpr std::string_view kNumberPlace = "{i}";
constexpr int kNestingMax = 50;
constexpr size_t kDigitsMax = 18;

// Numbers, and operators on the two numbers before them.
enum class StepKind { kNumber, kModel, kServer, kOperator };
enum class Operator {
  kOr,
  kAnd,
  kEqual,
  kNotEqual,
  kAtMost,
  kAtLeast,
  kLess,
  kMore,
  kPlus,
  kMinus,
  kTimes,
  kDivided,
  kModulo
};

struct ExpressionStep {
  StepKind kind = StepKind::kNumber;
  int64_t number = 0;
  Operator op = Operator::kOr;
};

struct OperatorText {
  std::string_view text;
  Operator op;
  int rank;
};
// Longer ones first.
constexpr std::array<OperatorText, 13> kOperators = {{{"||", Operator::kOr, 1},
                                                      {"&&", Operator::kAnd, 2},
                                                      {"==", Operator::kEqual, 3},
                                                      {"!=", Operator::kNotEqual, 3},
                                                      {"<=", Operator::kAtMost, 4},
                                                      {">=", Operator::kAtLeast, 4},
                                                      {"<", Operator::kLess, 4},
                                                      {">", Operator::kMore, 4},
                                                      {"+", Operator::kPlus, 5},
                                                      {"-", Operator::kMinus, 5},
                                                      {"*", Operator::kTimes, 6},
                                                      {"/", Operator::kDivided, 6},
                                                      {"%", Operator::kModulo, 6}}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<int64_t> ReadDigits(std::string_view digits) {
  int64_t number = 0;
  if (digits.empty() || digits.size() > kDigitsMax || !std::ranges::all_of(digits, IsDigit))
    return std::nullopt;
  std::from_chars(digits.begin(), digits.end(), number);
  return number;
}

// Parses one expression. One thread at a time.
class ExpressionParser final {
 public:
  explicit ExpressionParser(std::string_view text) : text_(text) {}

  StatusOr<std::vector<ExpressionStep>> Parse() {
    TRY(ParseOperators(/*rank=*/1));
    SkipSpaces();
    if (at_ < text_.size()) return Wrong("an operator");
    return std::move(steps_);
  }

 private:
  void SkipSpaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  const OperatorText* NextOperator() {
    SkipSpaces();
    const auto* const found = std::ranges::find_if(
        kOperators, [&](const auto& each) { return text_.substr(at_).starts_with(each.text); });
    return found == kOperators.end() ? nullptr : &*found;
  }
  Status Wrong(std::string_view wanted) const {
    return InvalidArgument(
        "'{}' has {} where {} should be", text_,
        at_ == text_.size() ? std::string("its end") : fmt::format("'{}'", text_.substr(at_)),
        wanted);
  }

  // Operators of this rank or a higher one, and what is between them.
  Status ParseOperators(int rank) {
    TRY(ParseOperand());
    for (const OperatorText* next = NextOperator(); next != nullptr && next->rank >= rank;
         next = NextOperator()) {
      at_ += next->text.size();
      TRY(ParseOperators(next->rank + 1));
      steps_.push_back({.kind = StepKind::kOperator, .op = next->op});
    }
    return OkStatus();
  }

  Status ParseOperand() {
    SkipSpaces();
    size_t end = at_;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    if (end > at_) {
      const std::optional<int64_t> number = ReadDigits(text_.substr(at_, end - at_));
      if (!number) return Wrong("a smaller number");
      steps_.push_back({.number = *number});
      at_ = end;
      return OkStatus();
    }
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c == 'i' || c == 'k') {
      steps_.push_back({.kind = c == 'i' ? StepKind::kModel : StepKind::kServer});
      ++at_;
      return OkStatus();
    }
    if (c != '(') return Wrong("a number, i, k or '('");
    if (++nesting_ > kNestingMax) return InvalidArgument("'{:.60}...' is nested too deep", text_);
    ++at_;
    TRY(ParseOperators(/*rank=*/1));
    SkipSpaces();
    if (at_ == text_.size() || text_[at_] != ')') return Wrong("')'");
    ++at_;
    --nesting_;
    return OkStatus();
  }

  const std::string_view text_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::vector<ExpressionStep> steps_;
};

// nullopt: there is no value.
std::optional<int64_t> Compute(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Operator::kOr:
      return a != 0 || b != 0;
    case Operator::kAnd:
      return a != 0 && b != 0;
    case Operator::kEqual:
      return a == b;
    case Operator::kNotEqual:
      return a != b;
    case Operator::kAtMost:
      return a <= b;
    case Operator::kAtLeast:
      return a >= b;
    case Operator::kLess:
      return a < b;
    case Operator::kMore:
      return a > b;
    case Operator::kPlus:
      return __builtin_add_overflow(a, b, &result) ? std::nullopt : std::optional(result);
    case Operator::kMinus:
      return __builtin_sub_overflow(a, b, &result) ? std::nullopt : std::optional(result);
    case Operator::kTimes:
      return __builtin_mul_overflow(a, b, &result) ? std::nullopt : std::optional(result);
    case Operator::kDivided:
    case Operator::kModulo:
      if (b == 0 || (a == std::numeric_limits<int64_t>::min() && b == -1)) return std::nullopt;
      return op == Operator::kDivided ? a / b : a % b;
  }
  return std::nullopt;
}

std::string_view Trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t\n"), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(" \t\n") + 1);
}

}  // namespace

struct ShardFilter::Rule {
  // The number in a name that fits; nullopt: it does not fit.
  std::optional<int64_t> NumberIn(std::string_view model) const {
    if (model.size() < prefix.size() + suffix.size() || !model.starts_with(prefix) ||
        !model.ends_with(suffix))
      return std::nullopt;
    return ReadDigits(model.substr(prefix.size(), model.size() - prefix.size() - suffix.size()));
  }
  std::optional<int64_t> ValueFor(int64_t number) const {
    std::vector<int64_t> stack;
    for (const ExpressionStep& step : steps) {
      if (step.kind != StepKind::kOperator) {
        stack.push_back(step.kind == StepKind::kNumber  ? step.number
                        : step.kind == StepKind::kModel ? number
                                                        : k);
        continue;
      }
      const int64_t right = stack.back();
      stack.pop_back();
      const std::optional<int64_t> value = Compute(step.op, stack.back(), right);
      if (!value) return std::nullopt;
      stack.back() = *value;
    }
    return stack.back();
  }

  std::string prefix, suffix;
  std::string text;  // of the expression
  std::vector<ExpressionStep> steps;
  int64_t k = 0;
};

ShardFilter::ShardFilter() = default;
ShardFilter::ShardFilter(ShardFilter&&) noexcept = default;
ShardFilter& ShardFilter::operator=(ShardFilter&&) noexcept = default;
ShardFilter::~ShardFilter() = default;

StatusOr<ShardFilter> ShardFilter::Parse(std::string_view text, std::optional<int64_t> k) {
  ShardFilter filter;
  for (bool has_more = !Trimmed(text).empty(); has_more;) {
    const size_t end = text.find(';');
    has_more = end != std::string_view::npos;
    const std::string_view rule_text = Trimmed(text.substr(0, end));
    if (has_more) text.remove_prefix(end + 1);
    // A name may have colons, an expression has none.
    const size_t colon = rule_text.rfind(':');
    const size_t place = rule_text.find(kNumberPlace);
    if (colon == std::string_view::npos || place >= colon ||
        rule_text.find(kNumberPlace, place + 1) != std::string_view::npos)
      return InvalidArgument(
          "'{}' is no rule: write a name with {} in it, a colon and an expression, as emb-{}: i % "
          "3 "
          "== k",
          rule_text, kNumberPlace, kNumberPlace);
    const std::string_view name = Trimmed(rule_text.substr(0, colon));
    Rule& rule = filter.rules_.emplace_back();
    rule.prefix = name.substr(0, place);
    rule.suffix = name.substr(place + kNumberPlace.size());
    rule.text = Trimmed(rule_text.substr(colon + 1));
    ASSIGN_OR_RETURN(rule.steps, ExpressionParser(rule.text).Parse());
    const bool needs_k = std::ranges::any_of(
        rule.steps, [](const ExpressionStep& each) { return each.kind == StepKind::kServer; });
    if (needs_k && !k)
      return InvalidArgument(
          "'{}' needs k, the number of this server, which is not known: the host name does not end "
          "in -NUMBER, and --shard_ordinal is not set",
          rule_text);
    rule.k = k.value_or(0);
  }
  return filter;
}

StatusOr<bool> ShardFilter::Keeps(std::string_view model) const {
  for (const Rule& rule : rules_) {
    const std::optional<int64_t> number = rule.NumberIn(model);
    if (!number) continue;
    const std::optional<int64_t> value = rule.ValueFor(*number);
    if (!value)
      return InvalidArgument(
          "'{}' has no value for the model '{}': it divides by 0, or is too large", rule.text,
          model);
    if (*value == 0) return false;
  }
  return true;
}

std::optional<int64_t> OrdinalOf(std::string_view host) {
  host = host.substr(0, host.find('.'));
  const size_t dash = host.rfind('-');
  return dash == std::string_view::npos ? std::nullopt : ReadDigits(host.substr(dash + 1));
}

}  // namespace penstock
