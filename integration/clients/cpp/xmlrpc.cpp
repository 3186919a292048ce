// Calls a gateway with xmlrpc-c's C++ classes, whose URL is the argument.
#include <cstdio>
#include <functional>
#include <iostream>
#include <xmlrpc-c/base.hpp>
#include <xmlrpc-c/client.hpp>
#include <xmlrpc-c/client_transport.hpp>

using namespace xmlrpc_c;
using std::string;
using values = std::vector<value>;
using members = std::map<string, value>;

// Types and values written out, so that two values are equal when it is.
static string show(value const& v) {
    string out;
    char number[64];
    switch (v.type()) {
    case value::TYPE_INT: return "int " + std::to_string(static_cast<int>(value_int(v)));
    case value::TYPE_I8: return "i8 " + std::to_string(static_cast<long long>(value_i8(v)));
    case value::TYPE_BOOLEAN: return static_cast<bool>(value_boolean(v)) ? "true" : "false";
    case value::TYPE_DOUBLE: snprintf(number, sizeof number, "double %.17g", static_cast<double>(value_double(v))); return number;
    case value::TYPE_STRING: return "string " + static_cast<string>(value_string(v));
    case value::TYPE_DATETIME: return "datetime " + std::to_string(static_cast<time_t>(value_datetime(v)));
    case value::TYPE_BYTESTRING:
        for (unsigned char byte : value_bytestring(v).vectorUcharValue()) out += std::to_string(byte) + " ";
        return "bytes " + out;
    case value::TYPE_ARRAY:
        for (value const& inner : value_array(v).vectorValueValue()) out += show(inner) + ", ";
        return "[" + out + "]";
    case value::TYPE_STRUCT:
        for (auto const& member : static_cast<members>(value_struct(v))) out += member.first + ": " + show(member.second) + ", ";
        return "{" + out + "}";
    case value::TYPE_NIL: return "nil";
    default: return "another type";
    }
}

static void report(string const& check, string outcome) {
    for (char& c : outcome) {
        if (c == '\n' || c == '\r') c = ' ';
    }
    std::cout << check << "\t" << outcome << std::endl;
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    clientXmlTransport_curl transport;
    client_xml client(&transport);
    carriageParm_curl0 server(argv[1]);
    auto call = [&](string const& method, values const& params) {
        paramList list;
        for (value const& v : params) list.add(v);
        rpcPtr rpc(method, list);
        rpc->call(&client, &server);
        if (!rpc->isSuccessful()) throw rpc->getFault();
        return rpc->getResult();
    };
    auto text = [](string const& s) { return value_string(s); };
    std::vector<unsigned char> bytes;
    for (int i = 0; i < 256; i++) bytes.push_back(i);
    value const one = value_int(1), two = value_int(2), none = value_array(values{});
    std::vector<std::pair<string, std::function<values()>>> const samples{
        {"int", [&] { return values{value_int(-2147483647 - 1)}; }},
        {"i8", [&] { return values{value_i8(9007199254740993LL)}; }},
        {"boolean_true", [&] { return values{value_boolean(true)}; }},
        {"boolean_false", [&] { return values{value_boolean(false)}; }},
        {"double", [&] { return values{value_double(-2.5)}; }},
        {"double_exact", [&] { return values{value_double(0.1 + 0.2)}; }},
        {"double_small", [&] { return values{value_double(1e-7)}; }},
        {"string", [&] { return values{text("plain")}; }},
        {"string_empty", [&] { return values{text("")}; }},
        {"string_markup", [&] { return values{text("<&>\"']]>")}; }},
        {"string_accents", [&] { return values{text("Žluťoučký café 日本")}; }},
        {"string_emoji", [&] { return values{text("🙂")}; }},
        {"string_blanks", [&] { return values{text("  a  b ")}; }},
        {"string_lines", [&] { return values{text("a\nb\tc")}; }},
        {"string_cr", [&] { return values{value_string("a\r\nb", value_string::nlCode_lf)}; }},
        {"string_digits", [&] { return values{text("042")}; }},
        {"string_long", [&] { return values{text(string(300000, 'x'))}; }},
        {"datetime", [&] { return values{value_datetime("20261121T19:35:03")}; }},
        {"base64", [&] { return values{value_bytestring(bytes)}; }},
        {"array", [&] { return values{value_array(values{one, text("two"), value_boolean(true)})}; }},
        {"array_empty", [&] { return values{none}; }},
        {"array_nested", [&] { return values{value_array(values{value_array(values{one, value_array(values{two, none})}), value_array(values{value_struct(members{{"a", value_array(values{value_int(3)})}})})})}; }},
        {"struct", [&] { return values{value_struct(members{{"id", value_int(7)}, {"title", text("x")}})}; }},
        {"struct_empty", [&] { return values{value_struct(members{})}; }},
        {"struct_nested", [&] { return values{value_struct(members{{"a", value_struct(members{{"b", value_struct(members{{"c", value_array(values{one, two})}})}})}})}; }},
        {"struct_odd", [&] { return values{value_struct(members{{"<k & é>", one}, {"with space", two}})}; }},
        {"nil", [&] { return values{value_nil()}; }},
        {"params", [&] { return values{one, text("two"), value_double(3.5)}; }},
        {"no_params", [&] { return values{}; }},
    };
    for (auto const& [check, make] : samples) {
        try {
            values const sent = make();
            value const got = call("bridge.echo", sent);
            report(check, show(got) == show(value_array(sent)) ? "ok" : "got " + show(got).substr(0, 200));
        } catch (fault const& f) {
            report(check, "fault " + std::to_string(f.getCode()) + " " + f.getDescription());
        } catch (std::exception const& error) {
            report(check, string("error ") + error.what());
        }
    }
    for (auto const& [check, method, params] : std::vector<std::tuple<string, string, values>>{
             {"fault", "trackers.getLink", {text("nowhere"), text("1")}}, {"unknown", "no.such.method", {}}}) {
        try {
            call(method, params);
        } catch (fault const& f) {
            report(check, std::to_string(f.getCode()) + "\t" + f.getDescription());
        }
    }
    std::cout << "token\t" << static_cast<string>(value_string(call("bugs.newBugTrackerToken", {}))) << "\nmethods";
    for (value const& name : value_array(call("system.listMethods", {})).vectorValueValue()) {
        std::cout << "\t" << static_cast<string>(value_string(name));
    }
    std::cout << std::endl;
}
