-- Calls a gateway with lua-xmlrpc, whose URL is the argument.
require "xmlrpc.http"

local function array(list) return xmlrpc.newTypedValue(list, "array") end

-- What a value is compared as: its type and its text, members in order.
local function show(value)
    if type(value) ~= "table" then
        return type(value) .. ":" .. (type(value) == "number" and string.format("%.17g", value) or tostring(value))
    end
    if value["*type"] then return show(value["*value"]) end
    local parts = {}
    for name, inner in pairs(value) do parts[#parts + 1] = tostring(name) .. "=" .. show(inner) end
    table.sort(parts)
    return "{" .. table.concat(parts, ", ") .. "}"
end

local function report(...)
    local parts = {}
    for _, part in ipairs { ... } do parts[#parts + 1] = (tostring(part):gsub("[\n\t\r]", { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" })) end
    print(table.concat(parts, "\t"))
end

local samples = {
    { "int", -2147483648 }, { "i8", 9007199254740992 }, { "boolean_true", true }, { "boolean_false", false },
    { "double", -2.5 }, { "double_exact", 0.1 + 0.2 }, { "double_small", 1e-7 },
    { "string", "plain" }, { "string_empty", "" }, { "string_markup", "<&>\"']]>" }, { "string_accents", "Žluťoučký café 日本" },
    { "string_emoji", "🙂" }, { "string_blanks", "  a  b " }, { "string_lines", "a\nb\tc" }, { "string_cr", "a\r\nb" },
    { "string_digits", "042" }, { "string_long", string.rep("x", 300000) },
    { "array", array { 1, "two", true } }, { "array_empty", array {} }, { "array_nested", array { array { 1, array { 2, array {} } }, array { { a = array { 3 } } } } },
    { "struct", { id = 7, title = "x" } }, { "struct_empty", {} }, { "struct_nested", { a = { b = { c = array { 1, 2 } } } } },
    { "struct_odd", { ["<k & é>"] = 1, ["with space"] = 2 } }, { "params", 1, "two", 3.5 }, { "no_params" },
}
for _, sample in ipairs(samples) do
    local check = table.remove(sample, 1)
    local called, answered, got, code = pcall(xmlrpc.http.call, arg[1], "bridge.echo", unpack(sample))
    if not called then report(check, "error " .. answered)
    elseif not answered then report(check, "fault " .. tostring(code) .. " " .. tostring(got))
    elseif show(got) == show(sample) then report(check, "ok")
    else report(check, "got " .. show(got):sub(1, 200)) end
end
for _, try in ipairs { { "fault", "trackers.getLink", "nowhere", "1" }, { "unknown", "no.such.method" } } do
    local _, text, code = xmlrpc.http.call(arg[1], unpack(try, 2))
    report(try[1], code, text)
end
report("token", select(2, xmlrpc.http.call(arg[1], "bugs.newBugTrackerToken")))
report("methods", unpack(select(2, xmlrpc.http.call(arg[1], "system.listMethods"))))
