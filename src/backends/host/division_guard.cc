// SPDX-License-Identifier: Apache-2.0
// How it works: when a division traps, the kernel calls our handler of SIGFPE with the registers of
// the thread. The handler decodes the instruction at the program counter: prefixes, opcode, and the
// operand that holds the divisor. If the division trapped for one of the two known reasons (a zero
// divisor, or the smallest integer by -1), it writes the result to the registers, moves the program
// counter to the next instruction, and returns, so that the thread continues. Otherwise it restores
// the earlier handler, and the instruction traps again. Decision 0021 says why we do not add checks
// to the models instead: they would miss operators of other libraries.
#include "backends/host/division_guard.h"

#if defined(__x86_64__) && defined(__linux__)

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/check.h"

// Start and end of the executable's own code; the linker defines these symbols.
extern "C" {
extern const char __executable_start;
extern const char etext;
}

namespace penstock {
namespace {

// The code below runs in a signal handler. It must not lock, allocate, or call unsafe functions.

// The registers in the order of their numbers in instructions.
constexpr int kRegisters[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                              REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                              REG_R12, REG_R13, REG_R14, REG_R15};
constexpr unsigned kHasIndex = 4;       // as base: another byte with base and index follows
constexpr unsigned kNoBase = 5;         // as base without displacement: there is no base
constexpr unsigned kIsRegister = 3;     // the operand is a register, not memory
constexpr unsigned kDiv = 6;            // unsigned
constexpr unsigned kIdiv = 7;           // signed
constexpr uint8_t kOperandSize = 0x66;  // prefix: operands have two bytes, not four
constexpr uint8_t kOpcodeByte = 0xf6;   // divisions of one byte
constexpr uint8_t kOpcode = 0xf7;       // divisions of more bytes

uint64_t ReadMemory(uint64_t address, unsigned bytes) {
  uint64_t value = 0;
  std::memcpy(&value, reinterpret_cast<const void*>(address), bytes);
  return value;
}

uint64_t Truncate(uint64_t value, unsigned bytes) {
  return bytes == 8 ? value : value & ((uint64_t{1} << (8 * bytes)) - 1);
}

// The division that trapped. One thread at a time.
class Division final {
 public:
  explicit Division(greg_t* registers)
      : registers_(registers), next_(reinterpret_cast<const uint8_t*>(registers[REG_RIP])) {}

  // Decodes the instruction. Returns false if it is not a known division.
  bool Read();
  // Writes the result to the registers, and moves to the next instruction. Returns false if the
  // division did not trap for one of the two known reasons.
  bool Finish();

 private:
  void ReadPrefixes();
  bool ReadDivisor();
  uint64_t ReadAddress(unsigned mode, unsigned base);
  uint64_t Register(unsigned number) const {
    return static_cast<uint64_t>(registers_[kRegisters[number]]);
  }
  bool HasRex(unsigned bit) const { return (rex_ & bit) != 0; }
  void SetResult(uint64_t quotient, uint64_t remainder);

  greg_t* const registers_;
  const uint8_t* next_;
  uint8_t rex_ = 0;
  unsigned bytes_ = 4;  // of the divisor
  bool is_signed_ = false;
  uint64_t divisor_ = 0;
};

void Division::ReadPrefixes() {
  // A REX prefix stands directly before the opcode, so the other one comes first.
  if (*next_ == kOperandSize) {
    bytes_ = 2;
    ++next_;
  }
  if ((*next_ & 0xf0) == 0x40) rex_ = *next_++;
  if (HasRex(8)) bytes_ = 8;
}

bool Division::Read() {
  ReadPrefixes();
  const uint8_t opcode = *next_++;
  if (opcode == kOpcodeByte) bytes_ = 1;
  if (opcode != kOpcodeByte && opcode != kOpcode) return false;
  const unsigned operation = (*next_ >> 3) & 7;
  is_signed_ = operation == kIdiv;
  return (operation == kDiv || operation == kIdiv) && ReadDivisor();
}

bool Division::ReadDivisor() {
  const unsigned mode = *next_ >> 6;
  const unsigned base = *next_ & 7;
  ++next_;
  if (mode == kIsRegister) {
    // Without a REX prefix these numbers mean the second bytes of the first four registers.
    const bool is_second_byte = bytes_ == 1 && rex_ == 0 && base >= 4;
    divisor_ = is_second_byte ? Register(base - 4) >> 8 : Register(base + (HasRex(1) ? 8 : 0));
  } else {
    // The processor has read this address before the trap, so reading it is safe.
    divisor_ = ReadMemory(ReadAddress(mode, base), bytes_);
  }
  divisor_ = Truncate(divisor_, bytes_);
  return true;
}

uint64_t Division::ReadAddress(unsigned mode, unsigned base) {
  uint64_t address = 0;
  const bool is_relative_to_next = mode == 0 && base == kNoBase;
  bool has_base = !is_relative_to_next;
  if (base == kHasIndex) {
    const unsigned scale = *next_ >> 6;
    const unsigned index = ((*next_ >> 3) & 7) + (HasRex(2) ? 8 : 0);
    base = *next_++ & 7;
    if (index != kHasIndex) address += Register(index) << scale;
    has_base = mode != 0 || base != kNoBase;
  }
  if (has_base) address += Register(base + (HasRex(1) ? 8 : 0));
  if (mode == 1) {
    address += static_cast<uint64_t>(int64_t{static_cast<int8_t>(*next_++)});
  } else if (mode == 2 || !has_base) {
    int32_t displacement = 0;
    std::memcpy(&displacement, next_, sizeof(displacement));
    next_ += sizeof(displacement);
    address += static_cast<uint64_t>(int64_t{displacement});
  }
  if (is_relative_to_next) address += reinterpret_cast<uint64_t>(next_);
  return address;
}

bool Division::Finish() {
  const uint64_t rax = Register(0);
  const uint64_t low = Truncate(rax, bytes_);
  const uint64_t high = Truncate(bytes_ == 1 ? rax >> 8 : Register(2), bytes_);
  if (divisor_ == 0) {
    SetResult(0, low);
    return true;
  }
  const uint64_t minus_one = Truncate(~uint64_t{0}, bytes_);
  const uint64_t smallest = uint64_t{1} << (8 * bytes_ - 1);
  if (!is_signed_ || divisor_ != minus_one || low != smallest || high != minus_one) return false;
  SetResult(smallest, 0);
  return true;
}

void Division::SetResult(uint64_t quotient, uint64_t remainder) {
  greg_t& rax = registers_[REG_RAX];
  greg_t& rdx = registers_[REG_RDX];
  const auto low_half = [](greg_t whole, uint64_t part) {
    return static_cast<greg_t>((static_cast<uint64_t>(whole) & ~uint64_t{0xffff}) | part);
  };
  if (bytes_ == 1) {
    rax = low_half(rax, remainder << 8 | quotient);
  } else if (bytes_ == 2) {
    rax = low_half(rax, quotient);
    rdx = low_half(rdx, remainder);
  } else {  // writing four bytes clears the upper half of the register
    rax = static_cast<greg_t>(quotient);
    rdx = static_cast<greg_t>(remainder);
  }
  registers_[REG_RIP] = reinterpret_cast<greg_t>(next_);
}

struct sigaction before;  // the earlier handler of SIGFPE; set once, before ours is installed

void HandleTrap(int signal, siginfo_t* info, void* context) {
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto at = static_cast<uint64_t>(registers[REG_RIP]);
  // A division that traps in the server's own code is a bug of the server. It must crash visibly.
  const bool is_ours = at >= reinterpret_cast<uint64_t>(&__executable_start) &&
                       at < reinterpret_cast<uint64_t>(&etext);
  if (info->si_code == FPE_INTDIV && !is_ours) {
    Division division(registers);
    if (division.Read() && division.Finish()) return;
  }
  // The instruction traps again, and the earlier handler or the default ends the process. A signal
  // that was sent must be sent again.
  sigaction(signal, &before, nullptr);
  if (info->si_code <= 0) raise(signal);
}

}  // namespace

void GuardDivisions() {
  [[maybe_unused]] static const bool once = [] {
    struct sigaction action = {};
    action.sa_sigaction = HandleTrap;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    PENSTOCK_CHECK(sigaction(SIGFPE, nullptr, &before) == 0, "there is such a signal");
    PENSTOCK_CHECK(sigaction(SIGFPE, &action, nullptr) == 0, "there is such a signal");
    return true;
  }();
}

}  // namespace penstock

#else

namespace penstock {
void GuardDivisions() {}
}  // namespace penstock

#endif
