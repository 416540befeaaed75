# SPDX-License-Identifier: Apache-2.0
"""Compares the messages of proto/ with those in the public packages tensorflow, tensorflow-serving-api and onnx."""

import importlib
import pathlib
import subprocess

import pytest
from google.protobuf import descriptor_pb2

pytestmark = pytest.mark.release_only
PROTO_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "proto"

PUBLIC_MODULES = [
    "tensorflow.core.example.example_pb2",
    "tensorflow.core.example.feature_pb2",
    "tensorflow.core.framework.tensor_pb2",
    "tensorflow.core.framework.tensor_shape_pb2",
    "tensorflow.core.framework.types_pb2",
    "tensorflow.core.protobuf.error_codes_pb2",
    "tensorflow.core.protobuf.meta_graph_pb2",
    "tensorflow.core.protobuf.saved_model_pb2",
    "tensorflow_serving.apis.classification_pb2",
    "tensorflow_serving.apis.get_model_metadata_pb2",
    "tensorflow_serving.apis.get_model_status_pb2",
    "tensorflow_serving.apis.inference_pb2",
    "tensorflow_serving.apis.input_pb2",
    "tensorflow_serving.apis.model_management_pb2",
    "tensorflow_serving.apis.model_pb2",
    "tensorflow_serving.apis.model_service_pb2",
    "tensorflow_serving.apis.logging_pb2",
    "tensorflow_serving.apis.predict_pb2",
    "tensorflow_serving.apis.prediction_log_pb2",
    "tensorflow_serving.apis.prediction_service_pb2",
    "tensorflow_serving.apis.regression_pb2",
    "tensorflow_serving.apis.status_pb2",
    "tensorflow_serving.config.file_system_storage_path_source_pb2",
    "tensorflow_serving.config.log_collector_config_pb2",
    "tensorflow_serving.config.logging_config_pb2",
    "tensorflow_serving.config.model_server_config_pb2",
]

# Fields from this number on are additions of our own; the public messages have none there.
OWN_NUMBERS = 1000
OWN_FIELDS = {"tensorflow.serving.ModelConfig.penstock", "tensorflow.serving.ModelVersionStatus.is_leaving"}

GRAPH = "the graph and what belongs to it is read by the runtime only"
RECORDED = "a recorded message that the server reads by itself, or not at all"
UNCARRIED = "tensors of this type are not carried; the field is skipped as unknown"

# Fields of theirs that ours leave out, or declare as the bytes they are on the wire.
LEFT_OUT = {
    "tensorflow.TensorProto.resource_handle_val": UNCARRIED,
    "tensorflow.TensorProto.variant_val": UNCARRIED,
    "tensorflow.MetaGraphDef.saver_def": GRAPH,
    "tensorflow.MetaGraphDef.collection_def": GRAPH,
    "tensorflow.MetaGraphDef.object_graph_def": GRAPH,
    "tensorflow.MetaGraphDef.MetaInfoDef.stripped_op_list": GRAPH,
    "tensorflow.MetaGraphDef.MetaInfoDef.any_info": GRAPH,
}
AS_BYTES = {
    "tensorflow.MetaGraphDef.graph_def": GRAPH,
    **{f"tensorflow.serving.{kind}Log.{part}": RECORDED for part in ("request", "response")
       for kind in ("Classify", "Regress", "Predict", "PredictStreamed", "MultiInference")},
    "tensorflow.serving.SessionRunLog.request": RECORDED,
    "tensorflow.serving.SessionRunLog.response": RECORDED,
}

# Messages that the packages do not contain: (number, type, is repeated) by field, from the documentation of the
# files that they describe.
D = descriptor_pb2.FieldDescriptorProto
INT64_VALUE, BOOL_VALUE, STRING_VALUE = (
    ".google.protobuf." + name for name in ("Int64Value", "BoolValue", "StringValue"))
UNPACKAGED = {
    "tensorflow.serving.BatchingParameters": {
        "max_batch_size": (1, INT64_VALUE, False),
        "batch_timeout_micros": (2, INT64_VALUE, False),
        "max_enqueued_batches": (3, INT64_VALUE, False),
        "num_batch_threads": (4, INT64_VALUE, False),
        "thread_pool_name": (5, STRING_VALUE, False),
        "allowed_batch_sizes": (6, D.TYPE_INT64, True),
        "pad_variable_length_inputs": (7, D.TYPE_BOOL, False),
        "enable_large_batch_splitting": (8, BOOL_VALUE, False),
        "max_execution_batch_size": (9, INT64_VALUE, False),
    },
    "tensorflow.serving.MonitoringConfig": {
        "prometheus_config": (1, ".tensorflow.serving.PrometheusConfig", False),
    },
    "tensorflow.serving.PrometheusConfig": {
        "enable": (1, D.TYPE_BOOL, False),
        "path": (2, D.TYPE_STRING, False),
    },
    "tensorflow.serving.SSLConfig": {
        "server_key": (1, D.TYPE_STRING, False),
        "server_cert": (2, D.TYPE_STRING, False),
        "custom_ca": (3, D.TYPE_STRING, False),
        "client_verify": (4, D.TYPE_BOOL, False),
    },
}


class Schema:
    """Messages, enums and services of some files, by full name."""

    def __init__(self):
        self.messages, self.enums, self.services, self.files = {}, {}, {}, {}

    def add_file(self, file):
        if file.name in self.files:
            return
        self.files[file.name] = file
        for message in file.message_type:
            self._add_message(file.package, message)
        for enum in file.enum_type:
            self.enums[f"{file.package}.{enum.name}"] = enum
        for service in file.service:
            self.services[f"{file.package}.{service.name}"] = service

    def _add_message(self, scope, message):
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        for nested in message.nested_type:
            self._add_message(name, nested)
        for enum in message.enum_type:
            self.enums[f"{name}.{enum.name}"] = enum


def load_ours(*folders):
    files = sorted(str(path.relative_to(PROTO_FOLDER)) for folder in folders
                   for path in PROTO_FOLDER.glob(f"{folder}/*.proto"))
    assert files
    run = subprocess.run(["protoc", "-I", ".", "-o", "/dev/stdout", *files], cwd=PROTO_FOLDER, check=True,
                         capture_output=True)
    schema = Schema()
    for file in descriptor_pb2.FileDescriptorSet.FromString(run.stdout).file:
        schema.add_file(file)
    return schema


def load_public(modules):
    schema = Schema()

    def add(descriptor):
        if descriptor.name in schema.files:
            return
        file = descriptor_pb2.FileDescriptorProto()
        descriptor.CopyToProto(file)
        schema.add_file(file)
        for dependency in descriptor.dependencies:
            add(dependency)

    for module in modules:
        add(importlib.import_module(module).DESCRIPTOR)
    return schema


OURS = load_ours("tensorflow", "serving")


@pytest.fixture(scope="module")
def public():
    return load_public(PUBLIC_MODULES)


def oneof_of(message, field):
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None


def json_name_of(field):
    """The name in JSON; a descriptor may leave the usual one out."""
    if field.json_name:
        return field.json_name
    first, *rest = field.name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def facts(message, field):
    """What must be equal for the same bytes, text form and JSON form to mean the same."""
    return {
        "number": field.number,
        "type": field.type,
        "type name": field.type_name,
        "label": field.label,
        "JSON name": json_name_of(field),
        "oneof": oneof_of(message, field),
        "optional": field.proto3_optional,
        "packed": field.options.packed,
        "jstype": field.options.jstype,
    }


@pytest.mark.parametrize("name", sorted(OURS.messages))
def test_message(public, name):
    ours = OURS.messages[name]
    if name in UNPACKAGED:
        got = {f.name: (f.number, f.type_name or f.type, f.label == D.LABEL_REPEATED) for f in ours.field}
        assert got == UNPACKAGED[name]
        assert name not in public.messages, "now in the packages: remove it from UNPACKAGED"
        return
    assert name in public.messages, f"{name} is not in the public packages"
    theirs = public.messages[name]
    their_fields = {field.name: field for field in theirs.field}
    for field in ours.field:
        full_name = f"{name}.{field.name}"
        if full_name in OWN_FIELDS:
            assert field.number >= OWN_NUMBERS and field.name not in their_fields, full_name
            assert all(each.number < OWN_NUMBERS for each in theirs.field), f"{name} has numbers that are ours"
            continue
        assert field.name in their_fields, f"{full_name} is ours alone"
        expected = facts(theirs, their_fields[field.name])
        if full_name in AS_BYTES:
            assert expected["type"] == D.TYPE_MESSAGE
            expected.update({"type": D.TYPE_BYTES, "type name": ""})
        assert facts(ours, field) == expected, full_name
    missing = their_fields.keys() - {field.name for field in ours.field}
    unexplained = {m for m in missing if f"{name}.{m}" not in LEFT_OUT}
    assert not unexplained, f"{name} lacks {sorted(unexplained)}"
    assert ours.options.map_entry == theirs.options.map_entry


@pytest.mark.parametrize("name", sorted(OURS.enums))
def test_enum(public, name):
    ours = {value.name: value.number for value in OURS.enums[name].value}
    assert ours == {value.name: value.number for value in public.enums[name].value}


@pytest.mark.parametrize("name", sorted(OURS.services))
def test_service(public, name):
    def methods(service):
        return {m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in service.method}

    assert methods(OURS.services[name]) == methods(public.services[name])


def test_exceptions_are_needed(public):
    """Each exception names a field that exists, and that is not simply equal by now."""
    for full_name in OWN_FIELDS:
        message, _, field = full_name.rpartition(".")
        assert field in {f.name for f in OURS.messages[message].field}
    for full_name in LEFT_OUT:
        message, _, field = full_name.rpartition(".")
        assert field in {f.name for f in public.messages[message].field}
        assert field not in {f.name for f in OURS.messages[message].field}
    for full_name in AS_BYTES:
        message, _, field = full_name.rpartition(".")
        assert [f.type for f in OURS.messages[message].field if f.name == field] == [D.TYPE_BYTES]


def test_syntax_and_packages():
    for file in OURS.files.values():
        assert file.syntax == "proto3"
        assert file.package in ("tensorflow", "tensorflow.error", "tensorflow.serving")


def test_the_parts_of_onnx():
    """The importer writes a small part of ONNX: what is there must be the same, and the rest may be missing."""
    ours, theirs = load_ours("onnx"), load_public(["onnx.onnx_ml_pb2"])
    for name, message in ours.messages.items():
        public_fields = {field.name: field for field in theirs.messages[name].field}
        for field in message.field:
            assert facts(message, field) == facts(theirs.messages[name], public_fields[field.name]), field
    for name, enum in ours.enums.items():
        numbers = {value.name: value.number for value in theirs.enums[name].value}
        assert {value.name: numbers.get(value.name) for value in enum.value} == {
            value.name: value.number for value in enum.value}
