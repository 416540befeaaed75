// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/**
 * A model of a client. Immutable, thread-safe. Get one from {@link Client#model(String)}.
 *
 * <p>All calls throw a {@link PenstockException} if they fail; the futures of the others end with one. To cancel a future ends
 * its call. What is chained to a future runs on a thread that calls need: use the Async methods of CompletableFuture for
 * long work.
 */
public final class Model {
    private final Client client;
    private final String base;
    private final String name;
    private final Long version;
    private final String label;
    private final String signature;
    private final Duration timeout;
    private final URI uri;

    /** All but `client` and `base` may be null. */
    Model(Client client, String base, String name, Long version, String label, String signature, Duration timeout) {
        if (version != null && label != null) {
            throw new IllegalArgumentException("give a version or a label, not both");
        }
        if (name == null && (version != null || label != null)) {
            throw new IllegalArgumentException("a version or label needs the name of a model");
        }
        this.client = client;
        this.base = base;
        this.name = name;
        this.version = version;
        this.label = label;
        this.signature = signature;
        this.timeout = timeout;
        uri = URI.create(base + (name == null ? "/" : "/graphpipe/" + quoted(name))
            + (version == null ? "" : "/versions/" + version) + (label == null ? "" : "/labels/" + quoted(label))
            + (signature == null ? "" : "?signature_name=" + quoted(signature)));
    }

    /** {@return one version of the model} */
    public Model version(long version) {
        return new Model(client, base, name, version, label, signature, timeout);
    }

    /** {@return the version of the model that has the label} */
    public Model label(String label) {
        return new Model(client, base, name, version, label, signature, timeout);
    }

    /** {@return another signature of the model} */
    public Model signature(String signature) {
        return new Model(client, base, name, version, label, signature, timeout);
    }

    /** {@return the model, with another time for each whole call; null for no end} */
    public Model timeout(Duration timeout) {
        return new Model(client, base, name, version, label, signature, timeout);
    }

    /** {@return a call whose inputs, outputs and options are given one by one} */
    public InferCall call() {
        return new InferCall(this, timeout);
    }

    /** {@return all outputs, in the order of the metadata, for inputs in the order of the metadata} */
    public List<Tensor> infer(Tensor... inputs) {
        return call().inputs(inputs).infer();
    }

    /** {@return all outputs, in the order of the metadata, for inputs by name} */
    public List<Tensor> infer(Map<String, Tensor> inputs) {
        return call().inputs(inputs).infer();
    }

    /** {@return the only output, for inputs in the order of the metadata} */
    public Tensor inferOne(Tensor... inputs) {
        return call().inputs(inputs).inferOne();
    }

    /** {@return the only output, for inputs by name} */
    public Tensor inferOne(Map<String, Tensor> inputs) {
        return call().inputs(inputs).inferOne();
    }

    /** {@return all outputs by name, for inputs by name. The names are asked for first: one more call} */
    public Map<String, Tensor> inferNamed(Map<String, Tensor> inputs) {
        return call().inputs(inputs).inferNamed();
    }

    /** {@return what infer() returns, later} */
    public CompletableFuture<List<Tensor>> inferAsync(Tensor... inputs) {
        return call().inputs(inputs).inferAsync();
    }

    /** {@return what infer() returns, later} */
    public CompletableFuture<List<Tensor>> inferAsync(Map<String, Tensor> inputs) {
        return call().inputs(inputs).inferAsync();
    }

    /** {@return what inferOne() returns, later} */
    public CompletableFuture<Tensor> inferOneAsync(Tensor... inputs) {
        return call().inputs(inputs).inferOneAsync();
    }

    /** {@return what inferOne() returns, later} */
    public CompletableFuture<Tensor> inferOneAsync(Map<String, Tensor> inputs) {
        return call().inputs(inputs).inferOneAsync();
    }

    /** {@return what inferNamed() returns, later} */
    public CompletableFuture<Map<String, Tensor>> inferNamedAsync(Map<String, Tensor> inputs) {
        return call().inputs(inputs).inferNamedAsync();
    }

    /** {@return what the server says about the model} */
    public ModelMetadata metadata() {
        return Caller.await(metadataAsync(Deadline.watched(timeout)));
    }

    /** {@return what the server says about the model, later} */
    public CompletableFuture<ModelMetadata> metadataAsync() {
        return metadataAsync(new Deadline(timeout));
    }

    // Implementation below.

    CompletableFuture<ModelMetadata> metadataAsync(Deadline deadline) {
        int bytesMax = client.caller().answerBytesMax();
        return send(Message.METADATA_REQUEST, body -> MessageReader.metadataResponse(body, bytesMax), deadline);
    }

    <T> CompletableFuture<T> inferAsync(Message message, Function<List<Tensor>, T> use, Deadline deadline) {
        int bytesMax = client.caller().answerBytesMax();
        return send(message, body -> use.apply(MessageReader.inferResponse(body, bytesMax)), deadline);
    }

    URI uri() {
        return uri;
    }

    private <T> CompletableFuture<T> send(Message message, Function<ByteBuffer, T> parse, Deadline deadline) {
        return client.caller().call(uri, message, parse, deadline);
    }

    /** As one part of a path, or a value of a query. */
    private static String quoted(String text) {
        StringBuilder out = new StringBuilder();
        for (byte each : text.getBytes(StandardCharsets.UTF_8)) {
            if (each >= '0' && each <= '9' || each >= 'a' && each <= 'z' || each >= 'A' && each <= 'Z'
                || "-._~".indexOf(each) >= 0) {
                out.append((char) each);
            } else {
                out.append(String.format("%%%02X", each));
            }
        }
        return out.toString();
    }
}
