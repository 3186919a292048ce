// Calls a gateway with flxmlrpc (XmlRpc++); the arguments are its host and its port.
#include <cstdlib>
#include <ctime>
#include <flxmlrpc/XmlRpc.h>
#include <functional>
#include <iostream>

using namespace XmlRpc;
using std::string;

static XmlRpcValue array(std::vector<XmlRpcValue> const& values) {
    XmlRpcValue v;
    v.setSize(0);
    for (size_t i = 0; i < values.size(); i++) v[static_cast<int>(i)] = values[i];
    return v;
}

static XmlRpcValue structure(std::map<string, XmlRpcValue> const& members) { return XmlRpcValue(members); }

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    auto call = [&](string const& method, XmlRpcValue const& params, XmlRpcValue& result) {
        // A connection of its own for each call, as the sample programs of fldigi do.
        XmlRpcClient client(argv[1], atoi(argv[2]), "/RPC2");
        bool const done = client.execute(method.c_str(), params, result, 30);
        return !done ? string("error no answer") : client.isFault() ? "fault" : string();
    };
    XmlRpcValue::setDoubleFormat("%.17g");
    XmlRpcValue::BinaryData bytes;
    for (int i = 0; i < 256; i++) bytes.push_back(i);
    struct tm when = {};
    when.tm_year = 126, when.tm_mon = 10, when.tm_mday = 21, when.tm_hour = 19, when.tm_min = 35, when.tm_sec = 3;
    std::vector<std::pair<string, std::vector<XmlRpcValue>>> const samples{
        {"int", {-2147483647 - 1}}, {"i8", {9007199254740993LL}}, {"boolean_true", {true}}, {"boolean_false", {false}},
        {"double", {-2.5}}, {"double_exact", {0.1 + 0.2}}, {"double_small", {1e-7}},
        {"string", {"plain"}}, {"string_empty", {""}}, {"string_markup", {"<&>\"']]>"}}, {"string_accents", {"Žluťoučký café 日本"}},
        {"string_emoji", {"🙂"}}, {"string_blanks", {"  a  b "}}, {"string_lines", {"a\nb\tc"}}, {"string_cr", {"a\r\nb"}},
        {"string_digits", {"042"}}, {"string_long", {string(300000, 'x')}},
        {"datetime", {&when}}, {"base64", {bytes}},
        {"array", {array({1, "two", true})}}, {"array_empty", {array({})}},
        {"array_nested", {array({array({1, array({2, array({})})}), array({structure({{"a", array({3})}})})})}},
        {"struct", {structure({{"id", 7}, {"title", "x"}})}}, {"struct_empty", {structure({})}},
        {"struct_nested", {structure({{"a", structure({{"b", structure({{"c", array({1, 2})}})}})}})}},
        {"struct_odd", {structure({{"<k & é>", 1}, {"with space", 2}})}},
        {"nil", {nil}}, {"params", {1, "two", 3.5}}, {"no_params", {}},
    };
    for (auto const& [check, values] : samples) {
        XmlRpcValue const sent = array(values);
        XmlRpcValue got;
        string const failure = call("bridge.echo", sent, got);
        std::cout << check << "\t";
        if (failure.empty() && got == sent) std::cout << "ok" << std::endl;
        else if (failure == "fault") std::cout << "fault " << static_cast<int>(got["faultCode"]) << " " << static_cast<string>(got["faultString"]) << std::endl;
        else {
            string shown = failure.empty() ? "got " + got.toXml().substr(0, 200) : failure;
            for (char& c : shown) c = c == '\n' || c == '\r' ? ' ' : c;
            std::cout << shown << std::endl;
        }
    }
    for (auto const& [check, method, params] : std::vector<std::tuple<string, string, XmlRpcValue>>{
             {"fault", "trackers.getLink", array({"nowhere", "1"})}, {"unknown", "no.such.method", array({})}}) {
        XmlRpcValue got;
        call(method, params, got);
        std::cout << check << "\t" << static_cast<int>(got["faultCode"]) << "\t" << static_cast<string>(got["faultString"]) << std::endl;
    }
    XmlRpcValue token, methods;
    call("bugs.newBugTrackerToken", array({}), token);
    call("system.listMethods", array({}), methods);
    std::cout << "token\t" << static_cast<string>(token) << "\nmethods";
    for (int i = 0; i < methods.size(); i++) std::cout << "\t" << static_cast<string>(methods[i]);
    std::cout << std::endl;
}
