# SPDX-License-Identifier: Apache-2.0
"""Writes the test models beside this file: NAME/1/, one folder each (see README.md). Names of folders may be given."""
import os
import shutil
import sys

for path in ('../../tools/models', '../e2e'):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), path))
from caffe2_nets import Model  # noqa: E402
from saving import here, save_graph, save_module, save_onnx, tidy  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

HERE = here(__file__)
WORDS = ['apple', 'banane', 'cerise', 'Größe', '北京', 'with space', '']
MODELS = {}


def model(write):
    """Registers a function that writes one model into the folder it is given."""
    MODELS[write.__name__] = write
    return write


def spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name)


# ------------------------------------------------------------------------------------------ TensorFlow

TF_TYPES = ['float32', 'float64', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', 'bool',
            'string', 'float16', 'bfloat16', 'complex64', 'complex128']


@model
def dtypes(folder):
    """One signature per element type, x -> y unchanged, and "all" with every type at once."""
    module, signatures = tf.Module(), {}
    for name in TF_TYPES:
        kind = tf.as_dtype(name)
        signatures[name] = tf.function(lambda x: {'y': tf.identity(x)}).get_concrete_function(spec(None, kind, 'x'))
    everything = {name: spec(None, tf.as_dtype(name), name) for name in TF_TYPES}
    every = tf.function(lambda **inputs: {'out_' + name: tf.identity(x) for name, x in inputs.items()})
    signatures['all'] = every.get_concrete_function(**everything)
    signatures['serving_default'] = signatures['float32']
    module.kept = list(signatures.values())
    save_module(module, folder, signatures)


@model
def lower_case(folder):
    """Strings in and out: the lower-case text and its length in bytes."""
    def serve(text):
        lower = tf.strings.lower(text, encoding='utf-8')
        return {'lower': lower, 'bytes': tf.strings.length(lower)}
    _save(folder, serve, spec([None], tf.string, 'text'))


@model
def many_outputs(folder):
    """One number per row; outputs of five types, one of them a scalar."""
    def serve(x):
        return {'as_int64': tf.cast(x, tf.int64), 'positive': x > 0, 'half': x / 2, 'text': tf.strings.as_string(
            tf.cast(x, tf.int32)), 'total': tf.reduce_sum(tf.cast(x, tf.float64))}
    _save(folder, serve, spec([None], tf.float32, 'x'))


@model
def not_negative(folder):
    """The square root; fails with INVALID_ARGUMENT if any row is negative."""
    def serve(x):
        tf.debugging.Assert(tf.reduce_all(x >= 0), ['x must not be negative:', x])
        return {'y': tf.sqrt(x)}
    _save(folder, serve, spec([None], tf.float32, 'x'))


@model
def prints(folder):
    """Prints its input and returns it."""
    def serve(x):
        tf.print('x is', x)
        return {'y': tf.identity(x)}
    _save(folder, serve, spec([None], tf.float32, 'x'))


@model
def vocabulary(folder):
    """Word to id, from a file in assets/; -1 for an unknown word."""
    def edit(saved):  # the table's shared name holds an address of the Python object
        graph = saved.meta_graphs[0].graph_def
        for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
            if node.op == 'HashTableV2':
                node.attr['shared_name'].s = b'words'

    path = os.path.join(HERE, 'words.txt')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(WORDS[:-1]) + '\n')
    module = tf.Module()
    module.words = tf.saved_model.Asset(path)
    module.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
        module.words, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER), -1)
    serve = tf.function(lambda words: {'ids': module.table.lookup(words)})
    save_module(module, folder, {'serving_default': serve.get_concrete_function(spec([None], tf.string, 'words'))},
                edit)
    os.remove(path)


@model
def loop(folder):
    """Counts to `steps` in a loop that cannot be folded: as slow as the client likes."""
    def serve(steps):
        def body(i, state):
            return i + 1, (state * 1103515245 + 12345) % 2147483648
        count, state = tf.while_loop(lambda i, _: i < steps, body,
                                     (tf.constant(0, tf.int64), tf.constant(1, tf.int64)))
        return {'count': count, 'state': state}
    _save(folder, serve, spec([], tf.int64, 'steps'))


@model
def scalars(folder):
    """No batch dimension: two scalars in, two scalars out; and a matrix product of fixed sizes."""
    def arithmetic(a, b):
        return {'sum': a + b, 'product': a * b}
    def rotate(vector):
        return {'rotated': tf.linalg.matvec(tf.constant([[0., -1.], [1., 0.]]), vector)}
    module = tf.Module()
    module.arithmetic = tf.function(arithmetic, [spec([], tf.float32, 'a'), spec([], tf.float32, 'b')])
    module.rotate = tf.function(rotate, [spec([2], tf.float32, 'vector')])
    save_module(module, folder, {'serving_default': module.arithmetic, 'rotate': module.rotate})


@model
def defaults(folder):
    """y = factor * x + term, where `factor` (0.5) and `term` (2.0) may be left out."""
    def serve(x, factor, term):
        return {'y': factor * x + term}
    def edit(saved):
        signature = saved.meta_graphs[0].signature_def['serving_default']
        for name, value in (('factor', 0.5), ('term', 2.0)):
            signature.defaults[name].CopyFrom(tf.make_tensor_proto(value, tf.float32, []))
    _save(folder, serve, spec([None], tf.float32, 'x'), spec([], tf.float32, 'factor'),
          spec([], tf.float32, 'term'), edit=edit)


@model
def counter(folder):
    """Adds `by` to a variable and returns the sum of all calls so far."""
    module = tf.Module()
    module.total = tf.Variable(tf.constant(0, tf.int64))
    serve = tf.function(lambda by: {'total': module.total.assign_add(by)})
    save_module(module, folder, {'serving_default': serve.get_concrete_function(spec([], tf.int64, 'by'))})


@model
def noise(folder):
    """Adds noise without a seed, in a function that a branch calls."""
    noisy = tf.function(lambda x: x + tf.random.normal(tf.shape(x)))
    _save(folder, lambda x: {'y': tf.cond(tf.size(x) > 1, lambda: noisy(x), lambda: x)}, spec([None], tf.float32, 'x'))


@model
def seeded_noise(folder):
    """Noise with a seed: the numbers go on from run to run."""
    _save(folder, lambda x: {'y': x + tf.random.uniform(tf.shape(x), seed=7)}, spec([None], tf.float32, 'x'))


@model
def mutable_table(folder):
    """A table that a signature writes, and one that only reads it."""
    tf1 = tf.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        predict = tf1.saved_model.predict_signature_def
        key, value = tf1.placeholder(tf.int64, [None], 'key'), tf1.placeholder(tf.int64, [None], 'value')
        table = tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64, shared_name='numbers')
        found = tf.raw_ops.LookupTableFindV2(table_handle=table, keys=key, default_value=tf.constant(-1, tf.int64))
        with tf.control_dependencies([tf.raw_ops.LookupTableInsertV2(table_handle=table, keys=key, values=value)]):
            done = tf.identity(tf.size(key), 'done')
        save_graph(session, folder, {'serving_default': predict({'key': key}, {'value': found}),
                                     'insert': predict({'key': key, 'value': value}, {'done': done})})


@model
def frozen(folder):
    """A bare GraphDef: y = x / 2 + 2, constants instead of variables."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], 'x')
        tf.identity(x * 0.5 + 2.0, 'y')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'model.pb'), 'wb') as file:
        file.write(graph.as_graph_def().SerializeToString(deterministic=True))


@model
def mixed_frozen(folder):
    """A bare GraphDef with inputs and outputs of several types: flag (bool), x, words (strings); checked (CheckNumerics),
    is_large (bool), top (two outputs), echo."""
    with tf.Graph().as_default() as graph:
        tf.compat.v1.placeholder(tf.bool, [], 'flag')
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], 'x')
        words = tf.compat.v1.placeholder(tf.string, [None], 'words')
        half = tf.multiply(x, 0.5, 'half')
        tf.debugging.check_numerics(half, 'no number', 'checked')
        tf.greater(half, 1.0, 'is_large')
        tf.math.top_k(half, 2, name='top')
        tf.identity(words, 'echo')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'model.pb'), 'wb') as file:
        file.write(graph.as_graph_def().SerializeToString(deterministic=True))


@model
def tags(folder):
    """Graphs in one SavedModel: y = 2 x under the tag serve, y = 3 x under train and fast, y = 5 x without a tag, and
    one without signatures under bare."""
    tf1 = tf.compat.v1
    builder = None
    for names, factor in ((['serve'], 2.0), (['train', 'fast'], 3.0), ([], 5.0), (['bare'], 0.0)):
        with tf1.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None], 'x')
            signature = tf1.saved_model.predict_signature_def({'x': x}, {'y': x * factor})
            signatures = {} if names == ['bare'] else {'serving_default': signature}
            if builder is None:
                shutil.rmtree(folder, ignore_errors=True)
                builder = tf1.saved_model.Builder(folder)
                builder.add_meta_graph_and_variables(session, names, signatures,
                                                     strip_default_attrs=True)
            else:
                builder.add_meta_graph(names, signatures, strip_default_attrs=True)
    builder.save()
    tidy(folder)


@model
def shapes(folder):
    """TensorFlow 1 form with a signature that has no batch dimension and one whose input is of unknown rank."""
    tf1 = tf.compat.v1
    make, info = tf1.saved_model.build_signature_def, tf1.saved_model.build_tensor_info
    with tf1.Graph().as_default(), tf1.Session() as session:
        anything = tf1.placeholder(tf.float32, None, 'anything')
        matrix = tf1.placeholder(tf.int32, [2, None], 'matrix')
        shape = tf.shape(anything, out_type=tf.int64)
        save_graph(session, folder, {
            'serving_default': make({'anything': info(anything)}, {'shape': info(shape)},
                                    'tensorflow/serving/predict'),
            'transpose': make({'matrix': info(matrix)}, {'transposed': info(tf.transpose(matrix))},
                              'tensorflow/serving/predict')})


@model
def declared_shapes(folder):
    """Signatures that declare [-1,1]: y = x / 2 + 2 takes any shape all the same, the matrix product does not."""
    tf1 = tf.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, None, 'x')
        def signature(y):
            built = tf1.saved_model.predict_signature_def({'x': x}, {'y': y})
            for each in (built.inputs['x'], built.outputs['y']):
                each.tensor_shape.CopyFrom(tf.TensorShape([None, 1]).as_proto())
            return built
        save_graph(session, folder, {'serving_default': signature(x * 0.5 + 2.0),
                                     'product': signature(tf.matmul(x, [[3.0]]))})


@model
def convolution(folder):
    """A convolution in a function: TensorFlow would end the process on an image of the wrong rank."""
    def serve(image):
        return {'y': tf.nn.conv2d(image, tf.ones([2, 2, 1, 1]), 1, 'SAME')}
    _save(folder, serve, spec([None, 2, 2, 1], tf.float32, 'image'))


@model
def odd_signatures(folder):
    """One plain signature, one with a reference variable of TensorFlow 1, and some that no request can use."""
    tf1 = tf.compat.v1
    def edit(saved):
        signatures = saved.meta_graphs[0].signature_def
        signatures['__saved_model_init_op'].outputs['__saved_model_init_op'].name = 'init'
        signatures['int4'].CopyFrom(signatures['serving_default'])
        signatures['int4'].inputs['x'].dtype = 29
        signatures['none'].CopyFrom(signatures['serving_default'])
        signatures['none'].inputs['x'].dtype = 999
        signatures['missing'].CopyFrom(signatures['serving_default'])
        signatures['missing'].outputs['y'].name = 'nowhere:0'
    with tf1.Graph().as_default(), tf1.Session() as session:
        info = tf1.saved_model.build_tensor_info
        def signature(inputs, outputs):
            return tf1.saved_model.build_signature_def({name: info(each) for name, each in inputs.items()},
                                                       {name: info(each) for name, each in outputs.items()},
                                                       'tensorflow/serving/predict')
        x = tf1.placeholder(tf.float32, [None], 'x')
        y = tf.identity(x * 2.0, 'y')
        by = tf1.placeholder(tf.float32, [], 'by')
        total = tf1.Variable(0.0, name='total', use_resource=False)
        added = tf1.assign_add(total, by)
        sparse = tf1.sparse_placeholder(tf.float32, [None, 3], 'sparse')
        ragged = tf1.ragged.placeholder(tf.int64, 1, [], 'ragged')
        variant = tf.raw_ops.TensorListReserve(element_shape=-1, num_elements=2, element_dtype=tf.float32)
        table = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name='unused', name='handle')
        tf1.global_variables_initializer().run()
        save_graph(session, folder, {
            'serving_default': signature({'x': x}, {'y': y}), 'count': signature({'by': by}, {'total': added}),
            'sparse': signature({'s': sparse}, {'y': tf1.sparse_reduce_sum(sparse)}),
            'ragged': signature({'r': ragged}, {'y': ragged.flat_values}),
            'variant': signature({'x': x}, {'list': variant}), 'resource': signature({'x': x}, {'handle': table})},
            edit)


@model
def pass_through(folder):
    """An output that is an input, and two inputs that are one tensor."""
    tf1 = tf.compat.v1
    def edit(saved):
        signature = saved.meta_graphs[0].signature_def['serving_default']
        signature.defaults['note'].CopyFrom(tf.make_tensor_proto(['none'], tf.string))
    with tf1.Graph().as_default(), tf1.Session() as session:
        predict = tf1.saved_model.predict_signature_def
        x, key = tf1.placeholder(tf.float32, [None], 'x'), tf1.placeholder(tf.int64, [None], 'key')
        note = tf1.placeholder(tf.string, [None], 'note')
        y = tf.identity(x * 2.0, 'y')
        save_graph(session, folder, {
            'serving_default': predict({'x': x, 'key': key, 'note': note}, {'y': y, 'key': key, 'note': note}),
            'twice': predict({'a': note, 'b': note}, {'length': tf.strings.length(note), 'again': note})}, edit)


EXAMPLE_FEATURES = {'x': ([2], tf.float32, None), 'bonus': ([1], tf.float32, [0.5]), 'name': ([1], tf.string, ['?'])}


def _parsed(examples):
    """Scores of three classes, their names, and a value, of serialized Examples."""
    parsed = tf.io.parse_example(examples, {name: tf.io.FixedLenFeature(*each)
                                            for name, each in EXAMPLE_FEATURES.items()})
    scores = tf.nn.softmax(tf.concat([parsed['x'], parsed['bonus']], 1))
    classes = parsed['name'] + tf.constant([[':left', ':right', ':none']])
    value = tf.reduce_sum(parsed['x'], 1, keepdims=True) + parsed['bonus']
    return scores, classes, value


@model
def examples_tf1(folder):
    """Signatures of TensorFlow 1 on one tensor of serialized Examples: classes and scores, one of the two, a value of
    either shape, and outputs of the wrong form; one more on a tensor of its own."""
    tf1 = tf.compat.v1
    with tf1.Graph().as_default(), tf1.Session() as session:
        classify, regress = tf1.saved_model.classification_signature_def, tf1.saved_model.regression_signature_def
        examples, other = tf1.placeholder(tf.string, [None], 'examples'), tf1.placeholder(tf.string, [None], 'other')
        scores, classes, value = _parsed(examples)
        save_graph(session, folder, {
            'serving_default': classify(examples, classes, scores), 'only_scores': classify(examples, None, scores),
            'only_classes': classify(examples, classes, None), 'value': regress(examples, value),
            'flat_value': regress(examples, value[:, 0]), 'wide_value': regress(examples, scores),
            'flat_scores': classify(examples, None, scores[:, 0]), 'short_scores': classify(examples, None, scores[1:]),
            'uneven': classify(examples, classes[:, 1:], scores), 'other_input': regress(other, _parsed(other)[2]),
            'predict': tf1.saved_model.predict_signature_def({'examples': examples}, {'scores': scores})})


@model
def examples_tf2(folder):
    """The same of TensorFlow 2: it writes the method predict for all signatures, which is changed for two of them."""
    def edit(saved):
        signatures = saved.meta_graphs[0].signature_def
        signatures['serving_default'].method_name = 'tensorflow/serving/classify'
        signatures['value'].method_name = 'tensorflow/serving/regress'

    def classify(inputs):
        scores, classes, _ = _parsed(inputs)
        return {'scores': scores, 'classes': classes}
    def unnamed(text):
        return {'out': _parsed(text)[0]}
    module = tf.Module()
    text = spec([None], tf.string, 'inputs')
    module.classify = tf.function(classify, [text])
    module.value = tf.function(lambda inputs: {'outputs': _parsed(inputs)[2]}, [text])
    module.unnamed = tf.function(unnamed, [spec([None], tf.string, 'text')])
    save_module(module, folder, {'serving_default': module.classify, 'value': module.value,
                                 'unnamed': module.unnamed}, edit)


@model
def placed_on_gpu(folder):
    """A frozen graph that asks for a GPU: y = x / 2 + 2."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], 'x')
        with tf.device('/GPU:0'):
            tf.identity(x * 0.5 + 2.0, 'y')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'model.pb'), 'wb') as file:
        file.write(graph.as_graph_def().SerializeToString(deterministic=True))


@model
def op_libraries(folder):
    """Below it, as servers without the library cannot load them: case_fold/, an operation of TensorFlow Text."""
    import tensorflow_text
    folder = os.path.join(os.path.dirname(folder), 'case_fold', '1')
    _save(folder, lambda text: {'folded': tensorflow_text.case_fold_utf8(text)}, spec([None], tf.string, 'text'))


def _save(folder, function, *specs, edit=None):
    module = tf.Module()
    module.serve = tf.function(function, input_signature=list(specs))
    save_module(module, folder, {'serving_default': module.serve}, edit)


# ------------------------------------------------------------------------------------------ ONNX

ONNX_TYPES = {'float32': TensorProto.FLOAT, 'float64': TensorProto.DOUBLE, 'int8': TensorProto.INT8,
              'int16': TensorProto.INT16, 'int32': TensorProto.INT32, 'int64': TensorProto.INT64,
              'uint8': TensorProto.UINT8, 'uint16': TensorProto.UINT16, 'uint32': TensorProto.UINT32,
              'uint64': TensorProto.UINT64, 'bool': TensorProto.BOOL, 'string': TensorProto.STRING,
              'float16': TensorProto.FLOAT16, 'bfloat16': TensorProto.BFLOAT16}
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
ML_OPSETS = (('', 17), ('ai.onnx.ml', 3))


@model
def dtypes_onnx(folder):
    """Every type at once, one matrix each, unchanged."""
    save_onnx(folder, [helper.make_node('Identity', [name], ['out_' + name]) for name in ONNX_TYPES],
              [(name, kind, ['rows', 'columns']) for name, kind in ONNX_TYPES.items()],
              [('out_' + name, kind, ['rows', 'columns']) for name, kind in ONNX_TYPES.items()])


@model
def lower_case_onnx(folder):
    """Strings in and out: the lower-case text."""
    save_onnx(folder, [helper.make_node('StringNormalizer', ['text'], ['lower'], case_change_action='LOWER',
                                        locale='C.UTF-8')],
              [('text', STRING, ['batch'])], [('lower', STRING, ['batch'])])


@model
def many_outputs_onnx(folder):
    """As many_outputs, but for the scalar being of float."""
    node = helper.make_node
    save_onnx(folder, [node('Cast', ['x'], ['as_int64'], to=INT64), node('Greater', ['x', 'zero'], ['positive']),
                       node('Mul', ['x', 'factor'], ['half']), node('Cast', ['as_int64'], ['text'], to=STRING),
                       node('ReduceSum', ['x'], ['total'], keepdims=0)],
              [('x', FLOAT, ['batch'])],
              [('as_int64', INT64, ['batch']), ('positive', TensorProto.BOOL, ['batch']), ('half', FLOAT, ['batch']),
               ('text', STRING, ['batch']), ('total', FLOAT, [])],
              [helper.make_tensor('zero', FLOAT, [], [0.0]), helper.make_tensor('factor', FLOAT, [], [0.5])])


@model
def pick_onnx(folder):
    """A table of squares looked up by index; fails in the runtime if an index is not in -10..9."""
    squares = numpy_helper.from_array(np.arange(10, dtype=np.float32) ** 2, 'squares')
    save_onnx(folder, [helper.make_node('Gather', ['squares', 'index'], ['square'])],
              [('index', INT64, ['batch'])], [('square', FLOAT, ['batch'])], [squares])


@model
def vocabulary_onnx(folder):
    """Word to id; -1 for an unknown word."""
    known = WORDS[:-1]
    save_onnx(folder, [helper.make_node('LabelEncoder', ['words'], ['ids'], domain='ai.onnx.ml', keys_strings=known,
                                        values_int64s=list(range(len(known))), default_int64=-1)],
              [('words', STRING, ['batch'])], [('ids', INT64, ['batch'])], opsets=ML_OPSETS)


@model
def loop_onnx(folder):
    """As loop."""
    node, info = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph(
        [node('Identity', ['keep_in'], ['keep_out']), node('Mul', ['state_in', 'factor'], ['scaled']),
         node('Add', ['scaled', 'term'], ['moved']), node('Mod', ['moved', 'modulus'], ['state_out']),
         node('Add', ['count_in', 'one'], ['count_out'])], 'body',
        [info('step', INT64, []), info('keep_in', TensorProto.BOOL, []), info('count_in', INT64, []),
         info('state_in', INT64, [])],
        [info('keep_out', TensorProto.BOOL, []), info('count_out', INT64, []), info('state_out', INT64, [])])
    values = {'factor': 1103515245, 'term': 12345, 'modulus': 2147483648, 'one': 1, 'count_start': 0, 'state_start': 1}
    save_onnx(folder, [node('Loop', ['steps', '', 'count_start', 'state_start'], ['count', 'state'], body=body)],
              [('steps', INT64, [])], [('count', INT64, []), ('state', INT64, [])],
              [helper.make_tensor(name, INT64, [], [value]) for name, value in values.items()])


@model
def scalars_onnx(folder):
    """Two scalars in, two scalars out."""
    save_onnx(folder, [helper.make_node('Add', ['a', 'b'], ['sum']), helper.make_node('Mul', ['a', 'b'], ['product'])],
              [('a', FLOAT, []), ('b', FLOAT, [])], [('sum', FLOAT, []), ('product', FLOAT, [])])


@model
def any_rank_onnx(folder):
    """y = x + x for any shape: the file declares none."""
    def edit(saved):  # exporters do this, though the checker wants a shape
        for value in (*saved.graph.input, *saved.graph.output):
            value.type.tensor_type.ClearField('shape')
    save_onnx(folder, [helper.make_node('Add', ['x', 'x'], ['y'])], [('x', FLOAT, ['n'])], [('y', FLOAT, ['n'])],
              edit=edit)


@model
def division_onnx(folder):
    """quotient = a / b and remainder of two int64 vectors, in the graph; sum of the same two in an If body."""
    node, info = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph([node('Div', ['a', 'b'], ['q']), node('Mod', ['a', 'b'], ['r']), node('Add', ['q', 'r'], ['s'])],
                             'body', [], [info('s', INT64, ['n'])])
    save_onnx(folder, [node('Div', ['a', 'b'], ['quotient']), node('Mod', ['a', 'b'], ['remainder']),
                       node('ReduceSum', ['b'], ['total'], keepdims=0), node('Less', ['total', 'zero'], ['is_negative']),
                       node('If', ['is_negative'], ['sum'], then_branch=body, else_branch=body)],
              [('a', INT64, ['n']), ('b', INT64, ['n'])],
              [('quotient', INT64, ['n']), ('remainder', INT64, ['n']), ('sum', INT64, ['n'])],
              [helper.make_tensor('zero', INT64, [], [0])])


def _to_file(tensor, location, at):
    """Moves the data of `tensor` to byte `at` of an external file; returns the data."""
    data = tensor.raw_data
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (('location', location), ('offset', at), ('length', len(data))):
        tensor.external_data.add(key=key, value=str(value))
    return data


@model
def external_onnx(folder):
    """y = x * [1, 2, 3, 4], plus [10, 20, 30, 40] from an If body if `is_shifted`; all numbers lie in weights.pb."""
    node, info = helper.make_node, helper.make_tensor_value_info
    def vector(name, factor):
        return numpy_helper.from_array(np.arange(1, 5, dtype=np.float32) * factor, name)
    shifted = helper.make_graph([node('Add', ['scaled', 'shift'], ['sum'])], 'shifted', [], [info('sum', FLOAT, None)],
                                [vector('shift', 10)])
    same = helper.make_graph([node('Identity', ['scaled'], ['same_sum'])], 'same', [], [info('same_sum', FLOAT, None)])
    data = []
    def edit(saved):
        data.append(_to_file(saved.graph.initializer[0], 'weights.pb', 0))
        branch = next(each.g for each in saved.graph.node[1].attribute if each.name == 'then_branch')
        data.append(_to_file(branch.initializer[0], 'weights.pb', 16))
    save_onnx(folder, [node('Mul', ['x', 'scale'], ['scaled']),
                       node('If', ['is_shifted'], ['y'], then_branch=shifted, else_branch=same)],
              [('x', FLOAT, ['batch', 4]), ('is_shifted', TensorProto.BOOL, [])], [('y', FLOAT, ['batch', 4])],
              [vector('scale', 1)], edit=edit)
    with open(os.path.join(folder, 'weights.pb'), 'wb') as file:
        file.write(b''.join(data))


def _defaults(folder, ir_version):
    def edit(saved):
        for name in ('factor', 'term'):
            saved.graph.input.append(helper.make_tensor_value_info(name, FLOAT, [1]))
        saved.ir_version = ir_version
    save_onnx(folder, [helper.make_node('Mul', ['x', 'factor'], ['scaled']),
                       helper.make_node('Add', ['scaled', 'term'], ['y'])],
              [('x', FLOAT, ['batch'])], [('y', FLOAT, ['batch'])],
              [helper.make_tensor('factor', FLOAT, [1], [0.5]), helper.make_tensor('term', FLOAT, [1], [2.0])],
              edit=edit)


@model
def defaults_onnx(folder):
    """As defaults: inputs with an initialiser, which may be left out since IR version 4."""
    _defaults(folder, 8)


@model
def constants_onnx(folder):
    """The same before IR version 4: the initialisers are constants."""
    _defaults(folder, 3)


@model
def zipmap_onnx(folder):
    """A classifier as scikit-learn's exporter writes it: the label, and a map from class to probability for each row."""
    labels = ['ham', 'eggs', 'spam']
    classifier = helper.make_node('LinearClassifier', ['x'], ['output_label', 'probabilities'], domain='ai.onnx.ml',
                                  coefficients=[1., 0., 0., 1., -1., -1.], intercepts=[0., 0., 0.],
                                  classlabels_strings=labels, post_transform='SOFTMAX')
    def edit(saved):
        saved.graph.node.append(helper.make_node('ZipMap', ['probabilities'], ['output_probability'],
                                                 domain='ai.onnx.ml', classlabels_strings=labels))
        output = saved.graph.output.add(name='output_probability')
        output.type.CopyFrom(helper.make_sequence_type_proto(helper.make_map_type_proto(
            STRING, helper.make_tensor_type_proto(FLOAT, []))))
    save_onnx(folder, [classifier], [('x', FLOAT, ['batch', 2])], [('output_label', STRING, ['batch'])],
              opsets=(('ai.onnx.ml', 3),), edit=edit)


@model
def classifier_onnx(folder):
    """A classifier without a ZipMap: the label, and a matrix of probabilities."""
    save_onnx(folder, [helper.make_node('LinearClassifier', ['x'], ['label', 'probabilities'], domain='ai.onnx.ml',
                                        coefficients=[1., 0., 0., 1.], intercepts=[0., 0.], classlabels_ints=[10, 20],
                                        post_transform='SOFTMAX')],
              [('x', FLOAT, ['rows', 2])], [('label', INT64, ['rows']), ('probabilities', FLOAT, ['rows', 2])],
              opsets=ML_OPSETS)


@model
def features_onnx(folder):
    """An input for each feature, of several types: scores of three classes, a value, and a score without a name."""
    node = helper.make_node
    weights = numpy_helper.from_array(np.arange(18, dtype=np.float32).reshape(6, 3) / 10, 'weights')
    save_onnx(folder, [node('Cast', ['age'], ['age_float'], to=FLOAT), node('Cast', ['is_new'], ['new_float'], to=FLOAT),
                       node('Reshape', ['age_float', 'column'], ['age_column']),
                       node('Reshape', ['new_float', 'column'], ['new_column']),
                       node('Concat', ['age_column', 'new_column', 'pixels'], ['all'], axis=1),
                       node('MatMul', ['all', 'weights'], ['logits']), node('Softmax', ['logits'], ['scores'], axis=1),
                       node('ReduceSum', ['pixels', 'axes'], ['value'], keepdims=1),
                       node('Identity', ['word'], ['same_word'])],
              [('age', INT64, ['batch']), ('is_new', TensorProto.BOOL, ['batch', 1]), ('pixels', FLOAT, ['batch', 4]),
               ('word', STRING, ['batch', 1])],
              [('scores', FLOAT, ['batch', 3]), ('logits', FLOAT, ['batch', 3]), ('value', FLOAT, ['batch', 1]),
               ('same_word', STRING, ['batch', 1])],
              [weights, helper.make_tensor('column', INT64, [2], [-1, 1]), helper.make_tensor('axes', INT64, [1], [1])])


def _noise(folder, **seed):
    node, info = helper.make_node, helper.make_tensor_value_info
    noisy = helper.make_graph([node('RandomUniformLike', ['x'], ['noise'], **seed), node('Add', ['x', 'noise'], ['sum'])],
                              'noisy', [], [info('sum', FLOAT, ['n'])])
    same = helper.make_graph([node('Identity', ['x'], ['same_x'])], 'same', [], [info('same_x', FLOAT, ['n'])])
    save_onnx(folder, [node('ReduceMax', ['x'], ['most'], keepdims=0), node('Greater', ['most', 'zero'], ['is_noisy']),
                       node('If', ['is_noisy'], ['y'], then_branch=noisy, else_branch=same)],
              [('x', FLOAT, ['n'])], [('y', FLOAT, ['n'])], [helper.make_tensor('zero', FLOAT, [], [0.0])])


@model
def noise_onnx(folder):
    """Adds noise without a seed, in an If body."""
    _noise(folder)


@model
def seeded_noise_onnx(folder):
    """The same with a seed: the numbers go on from run to run."""
    _noise(folder, seed=7.0)


@model
def sequence_onnx(folder):
    """y = x + x, and `parts`, a sequence of tensors."""
    def edit(saved):
        saved.graph.node.append(helper.make_node('SplitToSequence', ['x'], ['parts']))
        saved.graph.output.add(name='parts').type.CopyFrom(
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None)))
    save_onnx(folder, [helper.make_node('Add', ['x', 'x'], ['y'])], [('x', FLOAT, ['batch'])],
              [('y', FLOAT, ['batch'])], edit=edit)


@model
def sequence_input_onnx(folder):
    """Takes a sequence of tensors and an optional tensor: no request can carry either."""
    def edit(saved):
        tensor = helper.make_tensor_type_proto(FLOAT, ['n'])
        saved.graph.node.append(helper.make_node('ConcatFromSequence', ['parts'], ['joined'], axis=0))
        saved.graph.node.append(helper.make_node('OptionalHasElement', ['maybe'], ['is_there']))
        saved.graph.input.add(name='parts').type.CopyFrom(helper.make_sequence_type_proto(tensor))
        saved.graph.input.add(name='maybe').type.CopyFrom(helper.make_optional_type_proto(tensor))
        saved.graph.output.append(helper.make_tensor_value_info('joined', FLOAT, ['m']))
        saved.graph.output.append(helper.make_tensor_value_info('is_there', TensorProto.BOOL, []))
    save_onnx(folder, [helper.make_node('Add', ['x', 'x'], ['y'])], [('x', FLOAT, ['batch'])],
              [('y', FLOAT, ['batch'])], edit=edit)


@model
def custom_operator_onnx(folder):
    """y = Triple(x), an operator of tests/conformance/custom_operators.cc."""
    def edit(saved):
        saved.graph.node[0].CopyFrom(helper.make_node('Triple', ['x'], ['y'], domain='penstock.test'))
        saved.opset_import.append(helper.make_opsetid('penstock.test', 1))
    save_onnx(folder, [helper.make_node('Identity', ['x'], ['y'])], [('x', FLOAT, ['batch'])],
              [('y', FLOAT, ['batch'])], edit=edit)


@model
def ort_format(folder):
    """y = x / 2 + 2 in ONNX Runtime's own format."""
    save_onnx(folder, [helper.make_node('Mul', ['x', 'half'], ['scaled']),
                       helper.make_node('Add', ['scaled', 'two'], ['y'])],
              [('x', FLOAT, ['batch'])], [('y', FLOAT, ['batch'])],
              [helper.make_tensor('half', FLOAT, [], [0.5]), helper.make_tensor('two', FLOAT, [], [2.0])])
    save_ort(folder)


@model
def shapes_ort_format(folder):
    """y = x + by of any shape, in ONNX Runtime's own format; `by` and twice are scalars."""
    def edit(saved):
        for value in (saved.graph.input[0], saved.graph.output[0]):
            value.type.tensor_type.ClearField('shape')
    save_onnx(folder, [helper.make_node('Add', ['x', 'by'], ['y']), helper.make_node('Add', ['by', 'by'], ['twice'])],
              [('x', FLOAT, ['n']), ('by', FLOAT, [])], [('y', FLOAT, ['n']), ('twice', FLOAT, [])], edit=edit)
    save_ort(folder)


@model
def noise_ort_format(folder):
    """As noise_onnx, in ONNX Runtime's own format."""
    _noise(folder)
    save_ort(folder)


def save_ort(folder):
    """Turns model.onnx into model.ort."""
    import onnxruntime
    source = os.path.join(folder, 'model.onnx')
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = os.path.join(folder, 'model.ort')
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry('session.save_model_format', 'ORT')
    onnxruntime.InferenceSession(source, options)
    os.remove(source)


# -------------------------------------------------------------------------------------------- Caffe2

@model
def image_caffe2(folder):
    """A small image classifier."""
    shutil.rmtree(folder, ignore_errors=True)
    net = Model('image')
    net.input('data', 1, 3, 8, 8)
    net.op('Conv', ['data', net.weights('conv_w', 4, 3, 3, 3), net.weights('conv_b', 4)], 'conv', kernel=3, pad=1)
    net.op('Relu', 'conv', 'conv')
    net.op('MaxPool', 'conv', 'pool', kernel=3, stride=2, legacy_pad=3)
    net.op('FC', ['pool', net.weights('fc_w', 5, 64), net.weights('fc_b', 5)], 'fc')
    net.op('Dropout', 'fc', ['fc', 'mask'], is_test=1)
    net.op('Softmax', 'fc', 'softmax')
    net.output('softmax').save(folder)


def main():
    for name in sys.argv[1:] or MODELS:
        MODELS[name](os.path.join(HERE, name, '1'))


if __name__ == '__main__':
    main()
