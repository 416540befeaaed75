// SPDX-License-Identifier: Apache-2.0
// Tries whether the rows of a signature depend on each other.
#pragma once

#include <vector>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "batch/pad.h"
#include "infer/model.h"

namespace penstock::batch {

// Runs two requests of the signature alone and together, and compares the answers: numbers must be
// equal to 1e-4, other values exactly. `samples` are requests that the model has answered before,
// of any signature. If none is of this one, the requests are made up. Blocks.
// Errors: UNIMPLEMENTED, if rows were seen to depend on each other; FAILED_PRECONDITION, if no
// request could be made up that the model answers. The message continues "the signature 's' is not
// batched: ".
// CANCELLED soon after `cancel` fires.
Status CheckRowsAreIndependent(Model& model, const Signature& signature,
                               const std::vector<const InferRequest*>& samples,
                               CancelToken& cancel);

// Runs a request alone and together with a shorter one, which is padded, and compares the answers
// as CheckRowsAreIndependent does. The first half of a request is the shorter one. Errors:
// FAILED_PRECONDITION, if padding changes the answer; the message continues "the inputs of the
// signature 's' are not padded: ". OK if the model refuses one of them alone.
Status CheckPadding(Model& model, const Signature& signature, const PadPlan& pad,
                    const std::vector<const InferRequest*>& samples, CancelToken& cancel);

}  // namespace penstock::batch
