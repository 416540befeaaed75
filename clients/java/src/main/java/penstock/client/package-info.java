// SPDX-License-Identifier: Apache-2.0
/**
 * GraphPipe client of Penstock: arrays and buffers in, tensors out.
 *
 * <pre>{@code
 * Model model = new Client("http://localhost:8501").model("half_plus_two");
 * float[] y = model.inferOne(Tensor.of(new float[] {1, 2, 5})).floats();
 * }</pre>
 *
 * <p>Calls that fail throw a {@link penstock.client.PenstockException}; wrong arguments are
 * {@link java.lang.IllegalArgumentException}.
 */
package penstock.client;
