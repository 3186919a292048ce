/* Calls a gateway with xmlrpc-c's client, whose URL is the argument. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmlrpc-c/base.h>
#include <xmlrpc-c/client.h>

static xmlrpc_env env;
static xmlrpc_client *client;
static const char *url;

static xmlrpc_value *call(const char *method, xmlrpc_value *params) {
    xmlrpc_server_info *server = xmlrpc_server_info_new(&env, url);
    xmlrpc_value *result = NULL;
    xmlrpc_client_call2(&env, client, server, method, params, &result);
    xmlrpc_server_info_free(server);
    return result;
}

/* A value as XML, which writes out its types too: two values are equal when it is. */
static char *show(xmlrpc_value *value) {
    xmlrpc_mem_block *xml = XMLRPC_MEMBLOCK_NEW(char, &env, 0);
    xmlrpc_serialize_value(&env, xml, value);
    size_t size = XMLRPC_MEMBLOCK_SIZE(char, xml);
    char *text = calloc(1, size + 1);
    memcpy(text, XMLRPC_MEMBLOCK_CONTENTS(char, xml), size);
    XMLRPC_MEMBLOCK_FREE(char, xml);
    for (char *c = text; *c; c++) /* for a report of one line */
        *c = *c == '\n' || *c == '\t' || *c == '\r' ? ' ' : *c;
    return text;
}

/* Ends a report that was begun: with how the call went wrong, if it did. */
static int failed(void) {
    int is = env.fault_occurred;
    if (is) {
        printf("error %d %s\n", env.fault_code, env.fault_string);
        xmlrpc_env_clean(&env);
        xmlrpc_env_init(&env);
    }
    return is;
}

static void echo(const char *check, xmlrpc_value *params) {
    printf("%s\t", check);
    if (failed())
        return;
    xmlrpc_value *got = call("bridge.echo", params);
    if (failed())
        return;
    char *sent = show(params), *back = show(got);
    if (strcmp(sent, back))
        printf("got %.400s\n", back);
    else
        puts("ok");
    free(sent);
    free(back);
}

static void fault(const char *check, const char *method, xmlrpc_value *params) {
    call(method, params);
    printf("%s\t%d\t%s\n", check, env.fault_code, env.fault_string ? env.fault_string : "");
    xmlrpc_env_clean(&env);
    xmlrpc_env_init(&env);
}

static const char *text(xmlrpc_value *value) {
    const char *s = "";
    xmlrpc_read_string(&env, value, &s);
    return s;
}

#define ECHO(check, ...) echo(check, xmlrpc_build_value(&env, __VA_ARGS__))

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    url = argv[1];
    xmlrpc_env_init(&env);
    xmlrpc_client_setup_global_const(&env);
    xmlrpc_client_create(&env, XMLRPC_CLIENT_NO_FLAGS, "stack", "1", NULL, 0, &client);
    unsigned char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = i;
    char *long_text = calloc(1, 300001);
    memset(long_text, 'x', 300000);

    ECHO("int", "(i)", (xmlrpc_int32)(-2147483647 - 1));
    ECHO("i8", "(I)", (xmlrpc_int64)9007199254740993LL);
    ECHO("boolean_true", "(b)", (xmlrpc_bool)1);
    ECHO("boolean_false", "(b)", (xmlrpc_bool)0);
    ECHO("double", "(d)", -2.5);
    ECHO("double_exact", "(d)", 0.1 + 0.2);
    ECHO("double_small", "(d)", 1e-7);
    ECHO("string", "(s)", "plain");
    ECHO("string_empty", "(s)", "");
    ECHO("string_markup", "(s)", "<&>\"']]>");
    ECHO("string_accents", "(s)", "Žluťoučký café 日本");
    ECHO("string_emoji", "(s)", "🙂");
    ECHO("string_blanks", "(s)", "  a  b ");
    ECHO("string_lines", "(s)", "a\nb\tc");
    echo("string_cr", xmlrpc_build_value(&env, "(V)", xmlrpc_string_new_lp_cr(&env, 4, "a\r\nb")));
    ECHO("string_digits", "(s)", "042");
    ECHO("string_long", "(s)", long_text);
    ECHO("datetime", "(8)", "20261121T19:35:03");
    ECHO("base64", "(6)", bytes, sizeof bytes);
    ECHO("array", "((isb))", (xmlrpc_int32)1, "two", (xmlrpc_bool)1);
    ECHO("array_empty", "(())");
    ECHO("array_nested", "(((i(i()))({s:(i)})))", (xmlrpc_int32)1, (xmlrpc_int32)2, "a", (xmlrpc_int32)3);
    ECHO("struct", "({s:i,s:s})", "id", (xmlrpc_int32)7, "title", "x");
    ECHO("struct_empty", "({})");
    ECHO("struct_nested", "({s:{s:{s:(ii)}}})", "a", "b", "c", (xmlrpc_int32)1, (xmlrpc_int32)2);
    ECHO("struct_odd", "({s:i,s:i})", "<k & é>", (xmlrpc_int32)1, "with space", (xmlrpc_int32)2);
    ECHO("nil", "(n)");
    ECHO("params", "(isd)", (xmlrpc_int32)1, "two", 3.5);
    ECHO("no_params", "()");

    fault("fault", "trackers.getLink", xmlrpc_build_value(&env, "(ss)", "nowhere", "1"));
    fault("unknown", "no.such.method", xmlrpc_build_value(&env, "()"));
    printf("token\t%s\n", text(call("bugs.newBugTrackerToken", xmlrpc_build_value(&env, "()"))));
    xmlrpc_value *methods = call("system.listMethods", xmlrpc_build_value(&env, "()"));
    printf("methods");
    for (int i = 0; i < xmlrpc_array_size(&env, methods); i++) {
        xmlrpc_value *name;
        xmlrpc_array_read_item(&env, methods, i, &name);
        printf("\t%s", text(name));
    }
    puts("");
    return env.fault_occurred;
}
