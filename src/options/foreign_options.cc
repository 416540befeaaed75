// SPDX-License-Identifier: Apache-2.0
// One row for each option of TensorFlow Serving that is accepted but has no effect. A command line
// that was written for TensorFlow Serving must work here. If a value asks for something that the
// server does not do, it warns. It refuses to start only if the difference would be unsafe or would
// change results.
#include "options/options.h"

namespace penstock {
namespace {

// A flag of TensorFlow Serving that has no effect. Other values than the natural one get a warning.
constexpr ForeignOption Ignored(OptionType type, std::string_view default_text,
                                std::string_view natural_text) {
  return {type, default_text, natural_text, false};
}
// A flag of TensorFlow Serving that is accepted only with its natural value.
constexpr ForeignOption Refused(OptionType type, std::string_view default_and_natural_text) {
  return {type, default_and_natural_text, default_and_natural_text, true};
}

const OptionRow kForeignRows[] = {
    {.group = option_group::kCompat,
     .name = "rest_api_num_threads",
     .target = Ignored(OptionType::kInt, "", ""),
     .sentence = "No effect: REST runs on the same event loops as gRPC (event_loops)."},
    {.group = option_group::kCompat,
     .name = "grpc_max_threads",
     .target = Ignored(OptionType::kInt, "", ""),
     .sentence = "No effect: no thread is tied to a call (event_loops, requests_max)."},
    {.group = option_group::kCompat,
     .name = "grpc_channel_arguments",
     .target = Ignored(OptionType::kString, "", ""),
     .sentence = "No effect: there is no gRPC library in the server (max_connection_age_ms, "
                 "streams_per_connection_max, and the groups Limits, Time-outs and HTTP/2)."},
    {.group = option_group::kCompat,
     .name = "enable_grpc_healthcheck_service",
     .target = Ignored(OptionType::kBool, "false", "true"),
     .sentence = "No effect: the health service is always on."},
    {.group = option_group::kCompat,
     .name = "flush_filesystem_caches",
     .target = Ignored(OptionType::kBool, "true", "false"),
     .sentence = "No effect: the system's file cache is left alone."},
    {.group = option_group::kCompat,
     .name = "remove_unused_fields_from_bundle_metagraph",
     .target = Ignored(OptionType::kBool, "true", "true"),
     .sentence = "No effect: only the signatures are kept."},
    {.group = option_group::kCompat,
     .name = "enable_profiler",
     .target = Ignored(OptionType::kBool, "true", "false"),
     .sentence = "No effect: there is no profiler service."},
    {.group = option_group::kCompat,
     .name = "enable_signature_method_name_check",
     .target = Ignored(OptionType::kBool, "false", "false"),
     .sentence = "No effect: the method name of a signature is not looked at."},
    {.group = option_group::kCompat,
     .name = "tensorflow_session_config_file",
     .target = Ignored(OptionType::kString, "", ""),
     .sentence = "No effect: set the threads with tensorflow_intra_op_parallelism and "
                 "tensorflow_inter_op_parallelism."},
    {.group = option_group::kCompat,
     .name = "thread_pool_factory_config_file",
     .target = Ignored(OptionType::kString, "", ""),
     .sentence = "No effect: all models share one pool (compute_threads)."},
    {.group = option_group::kCompat,
     .name = "per_process_gpu_memory_fraction",
     .target = Ignored(OptionType::kString, "0", "0"),
     .sentence = "No effect: models run on the CPU."},
    {.group = option_group::kCompat,
     .name = "skip_initialize_tpu",
     .target = Ignored(OptionType::kBool, "false", "true"),
     .sentence = "No effect: models run on the CPU."},
    {.group = option_group::kCompat,
     .name = "xla_cpu_compilation_enabled",
     .target = Ignored(OptionType::kBool, "false", "false"),
     .sentence = "No effect: graphs run as they are."},
    {.group = option_group::kCompat,
     .name = "xla_gpu_compilation_enabled",
     .target = Ignored(OptionType::kBool, "false", "false"),
     .sentence = "No effect: models run on the CPU."},
    {.group = option_group::kCompat,
     .name = "num_tflite_pools",
     .target = Ignored(OptionType::kInt, "", ""),
     .sentence = "No effect: there are no TensorFlow Lite models."},
    {.group = option_group::kCompat,
     .name = "num_tflite_interpreters_per_pool",
     .target = Ignored(OptionType::kInt, "1", ""),
     .sentence = "No effect: there are no TensorFlow Lite models."},
    {.group = option_group::kCompat,
     .name = "prefer_tflite_model",
     .target = Refused(OptionType::kBool, "false"),
     .sentence = "TensorFlow Lite models are not served: remove the flag and keep the SavedModel."},
    {.group = option_group::kCompat,
     .name = "mixed_precision",
     .target = Refused(OptionType::kString, ""),
     .sentence =
         "It would change results and is not there: remove the flag, or convert the model."},
    {.group = option_group::kCompat,
     .name = "platform_config_file",
     .target = Refused(OptionType::kString, ""),
     .sentence = "It cannot be read: set what it sets by flags (saved_model_tags, "
                 "tensorflow_*_parallelism)."},
    {.group = option_group::kCompat,
     .name = "use_alts_credentials",
     .target = Refused(OptionType::kBool, "false"),
     .sentence =
         "ALTS is not there, and without it the port would be open: use tls_certificate_file and "
         "tls_client_ca_file."},
};

}  // namespace

std::span<const OptionRow> ForeignOptions() { return kForeignRows; }

}  // namespace penstock
