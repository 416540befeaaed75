// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.util.List;

/**
 * What the server says about a model.
 *
 * @param name of the model
 * @param version of the server
 * @param server its name
 * @param description of the model
 * @param inputs in the order in which tensors without names are taken
 * @param outputs in the order in which they come
 */
public record ModelMetadata(String name, String version, String server, String description, List<IOMetadata> inputs,
                            List<IOMetadata> outputs) {}
