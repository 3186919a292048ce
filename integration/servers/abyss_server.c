/* An XML-RPC server made of xmlrpc-c and its Abyss, for tests of the client.
 *
 * It listens on a free port of 127.0.0.1, prints its address as its first line, and ends with its
 * standard input. With the argument "apache" it writes nil and i8 as Apache's extension types,
 * with "chunked" its answers have no Content-Length.
 */

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xmlrpc-c/base.h>
#include <xmlrpc-c/server.h>
#include <xmlrpc-c/server_abyss.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int slowStarted, slowReleased;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Where a description is written; what does not fit is cut off. */
struct text {
    char chars[1024];
    size_t length;
};

static void add(struct text *out, const char *format, ...)
{
    va_list args;
    size_t left = sizeof out->chars - out->length;
    int n;

    va_start(args, format);
    n = vsnprintf(out->chars + out->length, left, format, args);
    va_end(args);
    if (n > 0)
        out->length += (size_t)n < left ? (size_t)n : left - 1;
}

static void describeValue(xmlrpc_env *env, xmlrpc_value *value, struct text *out);

static void describeArray(xmlrpc_env *env, xmlrpc_value *value, struct text *out)
{
    int i, size = xmlrpc_array_size(env, value);

    add(out, "[");
    for (i = 0; i < size && !env->fault_occurred; i++) {
        xmlrpc_value *item;
        xmlrpc_array_read_item(env, value, (unsigned int)i, &item);
        if (env->fault_occurred)
            return;
        add(out, i ? ", " : "");
        describeValue(env, item, out);
        xmlrpc_DECREF(item);
    }
    add(out, "]");
}

static void describeStruct(xmlrpc_env *env, xmlrpc_value *value, struct text *out)
{
    int i, size = xmlrpc_struct_size(env, value);

    add(out, "{");
    for (i = 0; i < size && !env->fault_occurred; i++) {
        xmlrpc_value *name, *member;
        xmlrpc_struct_read_member(env, value, (unsigned int)i, &name, &member);
        if (env->fault_occurred)
            return;
        add(out, i ? ", " : "");
        describeValue(env, name, out);
        add(out, ": ");
        describeValue(env, member, out);
        xmlrpc_DECREF(name);
        xmlrpc_DECREF(member);
    }
    add(out, "}");
}

static void describeBytes(xmlrpc_env *env, xmlrpc_value *value, struct text *out)
{
    const unsigned char *bytes;
    size_t i, length;

    xmlrpc_read_base64(env, value, &length, &bytes);
    if (env->fault_occurred)
        return;
    add(out, "base64 ");
    for (i = 0; i < length; i++)
        add(out, "%02x", bytes[i]);
    free((void *)bytes);
}

static void describeScalar(xmlrpc_env *env, xmlrpc_value *value, struct text *out)
{
    xmlrpc_int i;
    xmlrpc_int64 i8;
    xmlrpc_bool b;
    double d;
    const char *s;

    switch (xmlrpc_value_type(value)) {
    case XMLRPC_TYPE_INT:
        xmlrpc_read_int(env, value, &i);
        add(out, "int %d", i);
        break;
    case XMLRPC_TYPE_I8:
        xmlrpc_read_i8(env, value, &i8);
        add(out, "i8 %" PRId64, (int64_t)i8);
        break;
    case XMLRPC_TYPE_BOOL:
        xmlrpc_read_bool(env, value, &b);
        add(out, "boolean %d", b);
        break;
    case XMLRPC_TYPE_DOUBLE:
        xmlrpc_read_double(env, value, &d);
        add(out, "double %.17g", d);
        break;
    case XMLRPC_TYPE_DATETIME:
        xmlrpc_read_datetime_str(env, value, &s);
        if (env->fault_occurred)
            return;
        add(out, "dateTime %s", s);
        free((void *)s);
        break;
    case XMLRPC_TYPE_STRING:
        xmlrpc_read_string(env, value, &s);
        if (env->fault_occurred)
            return;
        add(out, "string %s", s);
        free((void *)s);
        break;
    case XMLRPC_TYPE_NIL:
        add(out, "nil");
        break;
    default:
        add(out, "another type");
    }
}

static void describeValue(xmlrpc_env *env, xmlrpc_value *value, struct text *out)
{
    switch (xmlrpc_value_type(value)) {
    case XMLRPC_TYPE_ARRAY:
        describeArray(env, value, out);
        break;
    case XMLRPC_TYPE_STRUCT:
        describeStruct(env, value, out);
        break;
    case XMLRPC_TYPE_BASE64:
        describeBytes(env, value, out);
        break;
    default:
        describeScalar(env, value, out);
    }
}

static xmlrpc_value *echo(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call)
{
    xmlrpc_value *value;

    (void)info, (void)call;
    xmlrpc_decompose_value(env, params, "(V)", &value);
    return env->fault_occurred ? NULL : value;
}

static xmlrpc_value *describe(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call)
{
    struct text out = {"", 0};
    xmlrpc_value *value;

    (void)info, (void)call;
    xmlrpc_decompose_value(env, params, "(V)", &value);
    if (env->fault_occurred)
        return NULL;
    describeValue(env, value, &out);
    xmlrpc_DECREF(value);
    return env->fault_occurred ? NULL : xmlrpc_string_new(env, out.chars);
}

static xmlrpc_value *fail(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call)
{
    xmlrpc_int code;
    const char *text;

    (void)info, (void)call;
    xmlrpc_decompose_value(env, params, "(is)", &code, &text);
    if (env->fault_occurred)
        return NULL;
    xmlrpc_env_set_fault(env, code, text);
    free((void *)text);
    return NULL;
}

static xmlrpc_value *slow(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call)
{
    (void)params, (void)info, (void)call;
    pthread_mutex_lock(&lock);
    slowStarted = 1;
    pthread_cond_broadcast(&changed);
    while (!slowReleased)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return xmlrpc_string_new(env, "released");
}

static xmlrpc_value *started(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call)
{
    (void)params, (void)info, (void)call;
    pthread_mutex_lock(&lock);
    while (!slowStarted)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return xmlrpc_bool_new(env, 1);
}

static xmlrpc_value *release(xmlrpc_env *env, xmlrpc_value *params, void *info, void *call)
{
    (void)params, (void)info, (void)call;
    pthread_mutex_lock(&lock);
    slowReleased = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return xmlrpc_bool_new(env, 1);
}

static void *endWithStdin(void *unused)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    exit(0);
    return unused;
}

static int listenOnLoopback(unsigned short *port)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("bind");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("getsockname");
    /* Abyss listens as well; connections that come before it does wait. */
    if (listen(fd, 64) < 0)
        die("listen");
    *port = ntohs(address.sin_port);
    return fd;
}

static const struct {
    const char *name;
    xmlrpc_method2 function;
    const char *signature, *help;
} methods[] = {
    {"echo", echo, "?", "Returns its parameter."},
    {"a.dotted.name:with/all_that.is_allowed", echo, "?", "Returns its parameter."},
    {"describe", describe, "?", "Returns the type and the value of its parameter."},
    {"fail", fail, "s:is", "Answers with a fault."},
    {"slow", slow, "s:", "Answers once release was called."},
    {"started", started, "b:", "Answers once a call of slow has begun."},
    {"release", release, "b:", "Ends every call of slow."},
};

int main(int argc, char **argv)
{
    xmlrpc_env env;
    xmlrpc_registry *registry;
    xmlrpc_server_abyss_parms parms;
    pthread_t thread;
    unsigned short port;
    size_t i;
    int arg;

    memset(&parms, 0, sizeof parms);
    xmlrpc_env_init(&env);
    registry = xmlrpc_registry_new(&env);
    for (i = 0; i < sizeof methods / sizeof methods[0] && !env.fault_occurred; i++)
        xmlrpc_registry_add_method2(&env, registry, methods[i].name, methods[i].function,
                                    methods[i].signature, methods[i].help, NULL);
    for (arg = 1; arg < argc && !env.fault_occurred; arg++) {
        if (strcmp(argv[arg], "apache") == 0)
            xmlrpc_registry_set_dialect(&env, registry, xmlrpc_dialect_apache);
        else if (strcmp(argv[arg], "chunked") == 0)
            parms.chunk_response = 1;
    }
    if (env.fault_occurred) {
        fprintf(stderr, "the registry: %s\n", env.fault_string);
        return 1;
    }
    parms.registryP = registry;
    parms.socket_bound = 1;
    parms.socket_handle = listenOnLoopback(&port);
    parms.uri_path = "/RPC2";
    parms.keepalive_timeout = 60;
    parms.keepalive_max_conn = 1000;
    if (pthread_create(&thread, NULL, endWithStdin, NULL) != 0)
        die("pthread_create");
    printf("http://127.0.0.1:%u/RPC2\n", port);
    fflush(stdout);
    xmlrpc_server_abyss(&env, &parms, XMLRPC_APSIZE(chunk_response));
    fprintf(stderr, "Abyss ended: %s\n", env.fault_occurred ? env.fault_string : "nobody knows why");
    return 1;
}
