import de.timroes.axmlrpc.XMLRPCClient;
import de.timroes.axmlrpc.XMLRPCException;
import de.timroes.axmlrpc.XMLRPCServerException;
import java.io.PrintStream;
import java.net.URL;
import java.util.Arrays;
import java.util.Date;
import java.util.GregorianCalendar;
import java.util.LinkedHashMap;
import java.util.Map;

/** Calls a gateway with aXMLRPC, whose URL is the argument. */
class Calls {
    static final PrintStream OUT = new PrintStream(System.out, true, java.nio.charset.StandardCharsets.UTF_8);

    static void report(String... parts) {
        for (int i = 0; i < parts.length; i++) {
            parts[i] = String.valueOf(parts[i]).replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r");
        }
        OUT.println(String.join("\t", parts));
    }

    static Object[] of(Object... values) {
        return values;
    }

    static Map<String, Object[]> samples() {
        byte[] bytes = new byte[256];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) i;
        }
        Map<String, Object[]> samples = new LinkedHashMap<>();
        samples.put("int", of(-2147483648));
        samples.put("i8", of(9007199254740993L));
        samples.put("boolean_true", of(true));
        samples.put("boolean_false", of(false));
        samples.put("double", of(-2.5));
        samples.put("double_exact", of(0.1 + 0.2));
        samples.put("double_small", of(1e-7));
        samples.put("string", of("plain"));
        samples.put("string_empty", of(""));
        samples.put("string_markup", of("<&>\"']]>"));
        samples.put("string_accents", of("Žluťoučký café 日本"));
        samples.put("string_emoji", of("🙂"));
        samples.put("string_blanks", of("  a  b "));
        samples.put("string_lines", of("a\nb\tc"));
        samples.put("string_cr", of("a\r\nb"));
        samples.put("string_digits", of("042"));
        samples.put("string_long", of("x".repeat(300000)));
        samples.put("datetime", of(new GregorianCalendar(2026, 10, 21, 19, 35, 3).getTime()));
        samples.put("base64", of(bytes));
        samples.put("array", of((Object) of(1, "two", true)));
        samples.put("array_empty", of((Object) of()));
        samples.put("array_nested", of((Object) of(of(1, of(2, of())), of(Map.of("a", of(3))))));
        samples.put("struct", of(Map.of("id", 7, "title", "x")));
        samples.put("struct_empty", of(Map.of()));
        samples.put("struct_nested", of(Map.of("a", Map.of("b", Map.of("c", of(1, 2))))));
        samples.put("struct_odd", of(Map.of("<k & é>", 1, "with space", 2)));
        samples.put("nil", of((Object) null));
        samples.put("params", of(1, "two", 3.5));
        samples.put("no_params", of());
        return samples;
    }

    /** Equal, where maps may hold arrays, which have no equality of their own. */
    static boolean same(Object a, Object b) {
        if (a instanceof Object[] x && b instanceof Object[] y) {
            boolean all = x.length == y.length;
            for (int i = 0; all && i < x.length; i++) {
                all = same(x[i], y[i]);
            }
            return all;
        }
        if (a instanceof Map<?, ?> x && b instanceof Map<?, ?> y) {
            return x.keySet().equals(y.keySet()) && x.keySet().stream().allMatch(k -> same(x.get(k), y.get(k)));
        }
        return Arrays.deepEquals(of(a), of(b));
    }

    public static void main(String[] args) throws Exception {
        XMLRPCClient client = new XMLRPCClient(new URL(args[0]), XMLRPCClient.FLAGS_NIL | XMLRPCClient.FLAGS_8BYTE_INT);
        samples().forEach((check, sent) -> {
            try {
                Object got = client.call("bridge.echo", sent);
                String shown = Arrays.deepToString(of(got));
                report(check, same(got, sent) ? "ok" : "got " + shown.substring(0, Math.min(200, shown.length())));
            } catch (XMLRPCServerException fault) {
                report(check, "fault " + fault.getErrorNr() + " " + fault.getMessage());
            } catch (XMLRPCException error) {
                report(check, "error " + error.getMessage());
            }
        });
        for (String[] call : new String[][] {{"fault", "trackers.getLink", "nowhere", "1"}, {"unknown", "no.such.method"}}) {
            try {
                report(call[0], "got " + client.call(call[1], (Object[]) Arrays.copyOfRange(call, 2, call.length)));
            } catch (XMLRPCServerException fault) {
                report(call[0], "" + fault.getErrorNr(), fault.getMessage());
            }
        }
        report("token", (String) client.call("bugs.newBugTrackerToken"));
        Object[] methods = (Object[]) client.call("system.listMethods");
        OUT.println("methods\t" + String.join("\t", Arrays.copyOf(methods, methods.length, String[].class)));
    }
}
