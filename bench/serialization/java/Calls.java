// SPDX-License-Identifier: Apache-2.0
package penstock.client; // of the client, because its messages are not public

import com.sun.management.OperatingSystemMXBean;
import java.io.ByteArrayOutputStream;
import java.lang.management.ManagementFactory;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * Whole calls to the identity model: with our client, and with the JDK's HTTP client alone, which posts a message that was made
 * before and reads the answer into one array. They alternate. Prints for each tensor, as one line of JSON, for each round the CPU
 * seconds of this process and the seconds of a call.
 */
final class Calls {
    private static final int WARM_UP_ROUNDS = 3;

    public static void main(String[] arguments) throws Exception {
        int rounds = Integer.parseInt(arguments[0]);
        String url = arguments[1];
        measure(url, new long[] {1}, 1500, rounds);
        measure(url, new long[] {32, 224, 224, 3}, 8, rounds);
    }

    private static void measure(String url, long[] shape, int calls, int rounds) throws Exception {
        Model model = new Client(url).model("m");
        Tensor direct = Tensor.allocate(DataType.FLOAT32, shape);
        for (int i = 0; i < direct.count(); i++) {
            direct.asFloatBuffer().put(i, i);
        }
        Tensor array = Tensor.of(direct.floats(), shape);
        Map<String, Callable<?>> clients = new LinkedHashMap<>();
        clients.put("direct", () -> model.inferOne(direct));
        clients.put("array", () -> model.inferOne(array));
        clients.put("bare", bare(url, direct));
        if (!model.inferOne(direct).asFloatBuffer().equals(array.asFloatBuffer())) {
            throw new IllegalStateException("the answer is wrong");
        }
        Map<String, List<double[]>> measured = new LinkedHashMap<>();
        for (int round = -WARM_UP_ROUNDS; round < rounds; round++) {
            for (Map.Entry<String, Callable<?>> each : clients.entrySet()) {
                double[] times = timed(each.getValue(), calls);
                if (round >= 0) {
                    measured.computeIfAbsent(each.getKey(), name -> new ArrayList<>()).add(times);
                }
            }
        }
        StringBuilder line = new StringBuilder("{\"shape\": " + Arrays.toString(shape));
        measured.forEach((name, times) -> line.append(", \"" + name + "\": " + times.stream().map(Arrays::toString).toList()));
        System.out.println(line.append('}'));
    }

    private static Callable<?> bare(String url, Tensor tensor) {
        ByteArrayOutputStream message = new ByteArrayOutputStream();
        Message parts = Message.inferRequest(List.of(tensor), List.of(), List.of(), "");
        new RequestBody.Pieces(parts.parts()).forEachRemaining(piece -> {
            byte[] bytes = new byte[piece.remaining()];
            piece.get(bytes);
            message.writeBytes(bytes);
        });
        HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/graphpipe/m"))
            .POST(HttpRequest.BodyPublishers.ofByteArray(message.toByteArray())).build();
        return () -> http.send(request, HttpResponse.BodyHandlers.ofByteArray());
    }

    private static double[] timed(Callable<?> call, int calls) throws Exception {
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = system.getProcessCpuTime();
        long start = System.nanoTime();
        for (int i = 0; i < calls; i++) {
            call.call();
        }
        long end = System.nanoTime();
        return new double[] {(system.getProcessCpuTime() - cpu) / 1e9 / calls, (end - start) / 1e9 / calls};
    }
}
