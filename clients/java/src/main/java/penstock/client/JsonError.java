// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/**
 * Finds the text in {@code {"error": "..."}}: so is what a server of Penstock refuses before its front end sees it. Reads no more
 * of JSON than that needs. One thread.
 */
final class JsonError {
    private static final int DEPTH_MAX = 100;

    private final String json;
    private int at;

    private JsonError(String json) {
        this.json = json;
    }

    /** null if `json` is no object with such a text. */
    static String textOf(String json) {
        try {
            return new JsonError(json).read();
        } catch (IllegalArgumentException | IndexOutOfBoundsException notJson) {
            return null;
        }
    }

    // Implementation below. What is not JSON ends it with one of the two exceptions above.

    private String read() {
        String found = null;
        expect('{');
        if (peek() == '}') {
            return null;
        }
        while (true) {
            peek();
            boolean isError = string().equals("error");
            expect(':');
            if (isError && peek() == '"') {
                found = string();
            } else {
                skipValue(0);
            }
            if (peek() == '}') {
                return found;
            }
            expect(',');
        }
    }

    /** The next character that is no white space. */
    private char peek() {
        while (" \t\r\n".indexOf(json.charAt(at)) >= 0) {
            at++;
        }
        return json.charAt(at);
    }

    private void expect(char wanted) {
        if (peek() != wanted) {
            throw new IllegalArgumentException();
        }
        at++;
    }

    private String string() {
        if (json.charAt(at++) != '"') {
            throw new IllegalArgumentException();
        }
        StringBuilder out = new StringBuilder();
        for (char each = json.charAt(at++); each != '"'; each = json.charAt(at++)) {
            out.append(each == '\\' ? escaped(json.charAt(at++)) : each);
        }
        return out.toString();
    }

    private char escaped(char letter) {
        switch (letter) {
            case 'u' -> {
                at += 4;
                return (char) Integer.parseUnsignedInt(json.substring(at - 4, at), 16);
            }
            case '"', '\\', '/' -> {
                return letter;
            }
            default -> {
                int index = "bfnrt".indexOf(letter);
                if (index < 0) {
                    throw new IllegalArgumentException();
                }
                return "\b\f\n\r\t".charAt(index);
            }
        }
    }

    private void skipValue(int depth) {
        char first = peek();
        if (first == '"') {
            string();
        } else if (first == '{' || first == '[') {
            if (depth == DEPTH_MAX) {
                throw new IllegalArgumentException();
            }
            at++;
            for (char next = peek(); next != '}' && next != ']'; next = peek()) {
                if (next == ',' || next == ':') {
                    at++;
                } else {
                    skipValue(depth + 1);
                }
            }
            at++;
        } else {
            int start = at;
            while (",:]} \t\r\n".indexOf(json.charAt(at)) < 0) {
                at++;
            }
            if (at == start) {
                throw new IllegalArgumentException();
            }
        }
    }
}
