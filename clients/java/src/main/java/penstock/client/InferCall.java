// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * A call with its options. Get one from {@link Model#call()}; one thread at a time. It can be sent several times.
 *
 * <pre>{@code
 * Tensor scores = model.call().input("x", x).input("y", y).outputs("scores").timeout(Duration.ofMillis(500)).inferOne();
 * }</pre>
 */
public final class InferCall {
    private final Model model;
    private final List<Tensor> inputs = new ArrayList<>();
    private final List<String> inputNames = new ArrayList<>();
    private List<String> outputs = List.of();
    private String config = "";
    private Duration timeout;

    InferCall(Model model, Duration timeout) {
        this.model = model;
        this.timeout = timeout;
    }

    /** Adds the next input in the order of the metadata. */
    public InferCall input(Tensor tensor) {
        inputs.add(Objects.requireNonNull(tensor, "an input is null"));
        return this;
    }

    /** Adds an input by name. Give each input a name, or none. */
    public InferCall input(String name, Tensor tensor) {
        inputNames.add(Objects.requireNonNull(name, "the name of an input is null"));
        return input(tensor);
    }

    /** Adds inputs in the order of the metadata. */
    public InferCall inputs(Tensor... tensors) {
        for (Tensor each : tensors) {
            input(each);
        }
        return this;
    }

    /** Adds inputs by name. */
    public InferCall inputs(Map<String, Tensor> tensors) {
        tensors.forEach(this::input);
        return this;
    }

    /** The outputs that are wanted, in this order. Without this call all come, in the order of the metadata. */
    public InferCall outputs(String... names) {
        outputs = List.of(names);
        return this;
    }

    /** A text for the backend of the model. */
    public InferCall config(String text) {
        config = Objects.requireNonNull(text, "the config is null");
        return this;
    }

    /** The time for the whole call; null for no end. */
    public InferCall timeout(Duration value) {
        timeout = value;
        return this;
    }

    /** {@return the outputs} */
    public List<Tensor> infer() {
        return Caller.await(model.inferAsync(message(outputs), checked(), Deadline.watched(timeout)));
    }

    /** {@return the only output} */
    public Tensor inferOne() {
        return Caller.await(model.inferAsync(message(outputs), only(), Deadline.watched(timeout)));
    }

    /** {@return the outputs by name. If {@link #outputs} was not called, their names are asked for first: one more call} */
    public Map<String, Tensor> inferNamed() {
        return Caller.await(inferNamedAsync());
    }

    /** {@return the outputs, later} */
    public CompletableFuture<List<Tensor>> inferAsync() {
        return model.inferAsync(message(outputs), checked(), new Deadline(timeout));
    }

    /** {@return the only output, later} */
    public CompletableFuture<Tensor> inferOneAsync() {
        return model.inferAsync(message(outputs), only(), new Deadline(timeout));
    }

    /** {@return the outputs by name, later} */
    public CompletableFuture<Map<String, Tensor>> inferNamedAsync() {
        Deadline deadline = new Deadline(timeout);
        if (!outputs.isEmpty()) {
            return inferNamed(outputs, deadline);
        }
        Message message = message(List.of()); // so that wrong arguments are told at once
        CompletableFuture<Map<String, Tensor>> result = new CompletableFuture<>();
        CompletableFuture<ModelMetadata> metadata = model.metadataAsync(deadline);
        forwardEnd(result, metadata);
        metadata.whenComplete((value, error) -> {
            try {
                if (error != null) {
                    throw error;
                }
                CompletableFuture<Map<String, Tensor>> named =
                    inferNamed(value.outputs().stream().map(IOMetadata::name).toList(), deadline);
                forwardEnd(result, named);
                named.whenComplete((got, failure) -> {
                    if (failure == null) {
                        result.complete(got);
                    } else {
                        result.completeExceptionally(failure);
                    }
                });
            } catch (Throwable thrown) {
                result.completeExceptionally(thrown);
            }
        });
        return result;
    }

    // Implementation below.

    private Message message(List<String> outputNames) {
        if (!inputNames.isEmpty() && inputNames.size() != inputs.size()) {
            throw new IllegalStateException(inputNames.size() + " of " + inputs.size()
                + " inputs have names: give each input a name, or none");
        }
        return Message.inferRequest(inputs, inputNames, outputNames, config);
    }

    private CompletableFuture<Map<String, Tensor>> inferNamed(List<String> names, Deadline deadline) {
        return model.inferAsync(message(names), got -> byName(names, got), deadline);
    }

    /** Cancels `other` if `result` ends before it. */
    private static void forwardEnd(CompletableFuture<?> result, CompletableFuture<?> other) {
        result.whenComplete((value, error) -> other.cancel(true));
    }

    private static Map<String, Tensor> byName(List<String> names, List<Tensor> tensors) {
        checkCount(names, tensors);
        Map<String, Tensor> map = new LinkedHashMap<>();
        for (int i = 0; i < names.size(); i++) {
            map.put(names.get(i), tensors.get(i));
        }
        return Collections.unmodifiableMap(map);
    }

    /** Takes the outputs as they are, if they are as many as were asked for. */
    private Function<List<Tensor>, List<Tensor>> checked() {
        List<String> names = outputs; // those of this moment
        return got -> {
            if (!names.isEmpty()) {
                checkCount(names, got);
            }
            return got;
        };
    }

    private Function<List<Tensor>, Tensor> only() {
        return checked().andThen(got -> {
            if (got.size() != 1) {
                throw new IllegalStateException("the model gave " + got.size()
                    + " outputs: name the one that you want in outputs(), or use infer()");
            }
            return got.get(0);
        });
    }

    private static void checkCount(List<String> names, List<Tensor> tensors) {
        if (names.size() != tensors.size()) {
            throw new ProtocolException(names.size() + " outputs were asked for, and " + tensors.size() + " came", null);
        }
    }
}
