// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.util.List;
import java.util.OptionalLong;

/**
 * An input or output of a model.
 *
 * @param name of the input or output
 * @param description what the server says about it
 * @param shape empty for a dimension of any size
 * @param type of the elements; null if the server does not say
 */
public record IOMetadata(String name, String description, List<OptionalLong> shape, DataType type) {}
