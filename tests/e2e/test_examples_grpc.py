# SPDX-License-Identifier: Apache-2.0
"""Classify, Regress and MultiInference through the public client: SavedModels that parse Examples themselves, and
models whose inputs get the features."""
import os
import shutil

import grpc
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from clients import Client, error_of
from conftest import TEST_MODELS

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]
Code = grpc.StatusCode
CLASSIFY, REGRESS = 'tensorflow/serving/classify', 'tensorflow/serving/regress'


def feature(value):
    values = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
    if len(values) and isinstance(values[0], (str, bytes)):
        texts = [each.encode() if isinstance(each, str) else each for each in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if len(values) and isinstance(values[0], (int, np.integer)):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def example(**features):
    return tf.train.Example(features=tf.train.Features(feature={name: feature(each)
                                                                for name, each in features.items()}))


def fill(request, examples, context=None):
    if context is None:
        request.input.example_list.examples.extend(examples)
    else:
        request.input.example_list_with_context.examples.extend(examples)
        request.input.example_list_with_context.context.CopyFrom(context)
    return request


def request_for(kind, model, examples, signature='', context=None):
    request = fill(kind(), examples, context)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    return request


def classify(client, *args, **options):
    """The answer, and [[(label, score), ...], ...]."""
    response = client.stub.Classify(request_for(classification_pb2.ClassificationRequest, *args, **options), timeout=30)
    return response, [[(each.label, each.score) for each in row.classes] for row in response.result.classifications]


def regress(client, *args, **options):
    request = request_for(regression_pb2.RegressionRequest, *args, **options)
    return [each.value for each in client.stub.Regress(request, timeout=30).result.regressions]


def classify_error(client, *args, **options):
    return error_of(client.stub.Classify, request_for(classification_pb2.ClassificationRequest, *args, **options),
                    timeout=30)


def regress_error(client, *args, **options):
    return error_of(client.stub.Regress, request_for(regression_pb2.RegressionRequest, *args, **options), timeout=30)


def multi_request(model, tasks, examples):
    request = fill(inference_pb2.MultiInferenceRequest(), examples)
    for signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = signature
    return request


# ------------------------------------------------------------------------------------------ SavedModels

EXAMPLES = [example(x=[1.0, 2.0], bonus=3.0, name='Größe'), example(x=[-1.0, 0.25]),
            example(x=[0.0, 0.0], name=b'n', unused=[1, 2])]


@pytest.fixture(scope='module')
def tensorflow_models():
    """The same models in Python's TensorFlow, by name: signature -> function."""
    loaded = {}
    for name in ('examples_tf1', 'examples_tf2'):
        loaded[name] = tf.saved_model.load(os.path.join(TEST_MODELS, name, '1'))
    return {name: model.signatures for name, model in loaded.items()}, loaded


def outputs_of(tensorflow_models, model, signature, examples):
    function = tensorflow_models[0][model][signature]
    (name,) = function.structured_input_signature[1]
    return {key: value.numpy() for key, value in
            function(**{name: tf.constant([each.SerializeToString() for each in examples])}).items()}


def expected_classes(outputs):
    rows, columns = next(iter(outputs.values())).shape
    return [[(outputs['classes'][i, j].decode() if 'classes' in outputs else '',
              float(outputs['scores'][i, j]) if 'scores' in outputs else 0.0) for j in range(columns)]
            for i in range(rows)]


@pytest.mark.parametrize('model, signature', [
    ('examples_tf1', 'serving_default'), ('examples_tf1', 'only_scores'), ('examples_tf1', 'only_classes'),
    ('examples_tf2', 'serving_default')])
def test_classify_is_what_tensorflow_computes(models, tensorflow_models, model, signature):
    response, got = classify(models, model, EXAMPLES, signature)
    assert got == expected_classes(outputs_of(tensorflow_models, model, signature, EXAMPLES))
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (model, 1, signature)


@pytest.mark.parametrize('model, signature', [('examples_tf1', 'value'), ('examples_tf1', 'flat_value'),
                                              ('examples_tf1', 'other_input'), ('examples_tf2', 'value')])
def test_regress_is_what_tensorflow_computes(models, tensorflow_models, model, signature):
    expected = outputs_of(tensorflow_models, model, signature, EXAMPLES)['outputs'].ravel()
    assert regress(models, model, EXAMPLES, signature) == expected.tolist()


@pytest.mark.parametrize('model', ['examples_tf1', 'examples_tf2'])
def test_random_examples_are_what_tensorflow_computes(models, tensorflow_models, model):
    random = np.random.default_rng(4)
    sent = []
    for i in range(500):
        features = {'x': random.standard_normal(2).astype(np.float32)}
        if random.random() < 0.5:
            features['bonus'] = float(np.float32(random.random()))
        if random.random() < 0.5:
            features['name'] = f'n{i}'
        sent.append(example(**features))
    outputs = outputs_of(tensorflow_models, model, 'serving_default', sent)
    assert classify(models, model, sent)[1] == expected_classes(outputs)
    values = outputs_of(tensorflow_models, model, 'value', sent)['outputs']
    assert regress(models, model, sent, 'value') == values.ravel().tolist()


def test_the_default_signature_is_named_in_the_answer(models):
    response, _ = classify(models, 'examples_tf1', EXAMPLES[:1])
    assert response.model_spec.signature_name == 'serving_default'


def test_an_example_wins_over_the_context(models, tensorflow_models):
    context = example(x=[5.0, 6.0], bonus=1.0)
    sent = [example(), example(x=[1.0, 2.0]), example(bonus=4.0, name='own')]
    merged = []
    for each in sent:
        merged.append(tf.train.Example())
        merged[-1].CopyFrom(context)
        merged[-1].MergeFrom(each)
    expected = outputs_of(tensorflow_models, 'examples_tf1', 'serving_default', merged)
    assert classify(models, 'examples_tf1', sent, context=context)[1] == expected_classes(expected)
    assert regress(models, 'examples_tf1', sent, 'value', context=context) == [12.0, 4.0, 15.0]


def test_multi_inference_runs_all_tasks(models, tensorflow_models):
    tasks = [('value', REGRESS), ('', CLASSIFY), ('only_classes', CLASSIFY), ('flat_value', REGRESS)]
    response = models.stub.MultiInference(multi_request('examples_tf1', tasks, EXAMPLES), timeout=30)
    assert [each.model_spec.signature_name for each in response.results] == [
        'value', 'serving_default', 'only_classes', 'flat_value']
    for (signature, method), result in zip(tasks, response.results):
        outputs = outputs_of(tensorflow_models, 'examples_tf1', signature or 'serving_default', EXAMPLES)
        assert result.model_spec.version.value == 1
        if method == REGRESS:
            assert [each.value for each in result.regression_result.regressions] == outputs['outputs'].ravel().tolist()
        else:
            got = [[(each.label, each.score) for each in row.classes]
                   for row in result.classification_result.classifications]
            assert got == expected_classes(outputs)


def test_texts_of_errors(models):
    one = EXAMPLES[:1]
    invalid = Code.INVALID_ARGUMENT
    for error, text in (
            (classify_error(models, 'examples_tf1', []), 'Input is empty.'),
            (classify_error(models, 'examples_tf1', [], context=one[0]), 'Input is empty.'),
            (classify_error(models, 'examples_tf1', one, 'none'), 'No signature was found with the name: none'),
            (regress_error(models, 'examples_tf1', one), 'Expected regression signature method_name to be '
             'tensorflow/serving/regress. Was: tensorflow/serving/classify'),
            (classify_error(models, 'examples_tf1', one, 'flat_scores'),
             'Expected Tensor shape: [batch_size num_classes] but got [1]'),
            (classify_error(models, 'examples_tf1', EXAMPLES, 'short_scores'),
             'Expected scores output batch size of 3. Got: 2'),
            (classify_error(models, 'examples_tf1', one, 'uneven'),
             'Tensors class and score should match in dim_size(1). Got 2 vs. 3'),
            (regress_error(models, 'examples_tf1', one, 'wide_value'),
             'Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,3]')):
        assert error[0] == invalid and error[1].startswith(text), (error, text)
    # What an Example lacks, TensorFlow's own operation says.
    code, text = classify_error(models, 'examples_tf1', [example(bonus=1.0)])
    assert code == invalid and 'Feature: x (data type: float) is required but could not be found' in text
    code, text = classify_error(models, 'no such model', one)
    assert (code, text) == (Code.NOT_FOUND, 'Servable not found for request: Latest(no such model)')
    code, text = error_of(models.stub.Classify, classification_pb2.ClassificationRequest(), timeout=30)
    assert (code, text) == (invalid, 'Missing ModelSpec')


def test_texts_of_errors_of_multi_inference(models):
    def error(*tasks, model='examples_tf1'):
        return error_of(models.stub.MultiInference, multi_request(model, tasks, EXAMPLES[:1]), timeout=30)
    assert error() == (Code.INVALID_ARGUMENT, 'Missing ModelSpec')
    assert error(('value', REGRESS), ('value', REGRESS)) == (
        Code.INVALID_ARGUMENT, 'Duplicate evaluation of signature: value')
    assert error(('value', REGRESS), ('other_input', REGRESS)) == (
        Code.INVALID_ARGUMENT, 'Input tensor must be the same for all Signatures.')
    code, text = error(('predict', 'tensorflow/serving/predict'))
    assert code == Code.UNIMPLEMENTED and text.startswith('Unsupported signature method_name: tensorflow/serving/predict')
    request = multi_request('examples_tf1', [('value', REGRESS), ('', CLASSIFY)], EXAMPLES[:1])
    request.tasks[1].model_spec.name = 'examples_tf2'
    assert error_of(models.stub.MultiInference, request, timeout=30) == (
        Code.INVALID_ARGUMENT, 'All ModelSpecs in a MultiInferenceRequest must access the same model name.')


def test_calls_are_counted(models_server, models):
    regress(models, 'examples_tf1', EXAMPLES, 'value')
    text = models_server.get('/metrics')[1]
    assert ':tensorflow:serving:request_latency_count{model_name="examples_tf1",API="Regress",entrypoint="GRPC"}' in text


# ------------------------------------------------------------------------------------------ models of tensors

def random_features(count, seed=1):
    random = np.random.default_rng(seed)
    return [{'age': int(random.integers(-5, 5)), 'is_new': int(random.integers(0, 2)),
             'pixels': random.standard_normal(4).astype(np.float32), 'word': f'w{i}'} for i in range(count)]


def run_onnx(rows):
    session = onnxruntime.InferenceSession(os.path.join(TEST_MODELS, 'features_onnx/1/model.onnx'))
    names = ('scores', 'logits', 'value')
    outputs = session.run(names, {'age': np.array([row['age'] for row in rows]),
                                  'is_new': np.array([[bool(row['is_new'])] for row in rows]),
                                  'pixels': np.array([row['pixels'] for row in rows]),
                                  'word': np.array([[row['word']] for row in rows], object)})
    return dict(zip(names, outputs))


def test_an_onnx_model_gets_a_feature_for_each_input(models):
    rows = random_features(500)
    expected = run_onnx(rows)
    sent = [example(**row) for row in rows]
    response, got = classify(models, 'features_onnx', sent)
    np.testing.assert_array_equal([[score for _, score in row] for row in got], expected['scores'])
    assert {label for row in got for label, _ in row} == {''}
    assert response.model_spec.signature_name == 'serving_default'
    np.testing.assert_array_equal(regress(models, 'features_onnx', sent), expected['value'][:, 0])


def test_class_labels_of_an_onnx_model(models):
    _, got = classify(models, 'classifier_onnx', [example(x=[1.0, 2.0])])
    assert [label for label, _ in got[0]] == ['10', '20']
    assert sum(score for _, score in got[0]) == pytest.approx(1)


@pytest.mark.filterwarnings('ignore::FutureWarning')  # SVC(probability=True) is going to end
def test_class_labels_of_scikit_learn_without_a_zip_map(start, tmp_path):
    """As docs/exporting-models.md recommends. Behind each name: the operators from which the labels come."""
    # These take seconds to import.
    from skl2onnx import to_onnx
    from sklearn import datasets, ensemble, linear_model, naive_bayes, svm
    kinds = {'normalizer': linear_model.LogisticRegression(max_iter=1000),  # LinearClassifier, Normalizer
             'identity': ensemble.GradientBoostingClassifier(n_estimators=2),  # TreeEnsembleClassifier, Identity
             'trees': ensemble.RandomForestClassifier(n_estimators=2),  # TreeEnsembleClassifier
             'cast': svm.SVC(probability=True),  # SVMClassifier, Cast
             'best': linear_model.SGDClassifier(loss='log_loss'),  # ArgMax, ArrayFeatureExtractor
             'best_later': naive_bayes.GaussianNB()}  # the same, and operators between the scores and the probabilities
    iris = datasets.load_iris()
    features = iris.data.astype(np.float32)
    for name, model in kinds.items():
        model.fit(features, iris.target_names[iris.target])
        os.makedirs(tmp_path / name / '1')
        exported = to_onnx(model, features[:1], options={'zipmap': False})
        (tmp_path / name / '1' / 'model.onnx').write_bytes(exported.SerializeToString())
    server = start({name: str(tmp_path / name) for name in kinds})
    with Client(server) as client:
        for name, model in kinds.items():
            _, got = classify(client, name, [example(X=row) for row in features[::25]])
            assert [[label for label, _ in row] for row in got] == [list(model.classes_)] * 6, name
            np.testing.assert_allclose([[score for _, score in row] for row in got], model.predict_proba(features[::25]),
                                       rtol=1e-3, atol=1e-4, err_msg=name)


def test_builtin_and_frozen_models(models):
    assert regress(models, 'half', [example(x=2.0), example(x=5.0)]) == [3.0, 4.5]
    assert regress(models, 'frozen', [example(x=2.0), example(x=5)]) == [3.0, 4.5]
    assert classify(models, 'half', [example(x=[2.0, 5.0])])[1] == [[('', 3.0), ('', 4.5)]]


def test_errors_name_the_example_and_the_feature(models):
    good = random_features(1)[0]
    def text(**features):
        code, text = classify_error(models, 'features_onnx', [example(**good), example(**{**good, **features})])
        assert code == Code.INVALID_ARGUMENT
        return text
    assert text(pixels=[1.0, 2.0]) == (
        'example 1: the feature "pixels" has 2 value(s) of float, but the input "pixels" takes 4 value(s) of float32 for '
        'each Example (its shape is [-1,4])')
    assert 'example 1: the feature "age" has 1 value(s) of float, but the input "age" takes 1 value(s) of int64' in text(
        age=1.0)
    assert 'the feature "is_new" has the value 7, which is not in the range' in text(is_new=7)
    code, missing = classify_error(models, 'features_onnx', [example(**{**good, 'age': 1}), example(age=1)])
    assert code == Code.INVALID_ARGUMENT and 'example 1 has no feature "is_new": the input "is_new" needs' in missing
    assert 'the model takes any tensors' in classify_error(models, 'identity', [example(x=1.0)])[1]
    assert 'has no output that can be the values' in regress_error(models, 'classifier_onnx', [example(x=[1.0, 2.0])])[1]
