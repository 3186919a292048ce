package integration

// Why values do not come back as they went, where more than one stack is like it.
const (
	rawCR        = "it sends a carriage return as it is, which XML turns into a line feed"
	intTag       = "it has only one tag for integers, and a large one comes back as a string to those who did not send i8"
	only32       = "it refuses what does not fit 32 bits"
	noI8         = "it has no i8"
	noNil        = "it has no nil"
	unescaped    = "it escapes nothing in strings and names"
	unescapedKey = "it does not escape names"
	fifteen      = "it writes doubles with no more than 15 digits"
	ownDoubles   = "its own reader of doubles is off in the last digits"
	onlyBMP      = "it refuses characters beyond the Basic Multilingual Plane"
	lossyCR      = "it reads the reference to a carriage return as part of a line end"
)

// clientStacks are the clients that call the gateway in the tests. Versions are those of
// Debian 12 and of clients/node/package-lock.json.
var clientStacks = []clientStack{
	{
		name: "Python xmlrpc.client", packages: "python3",
		run: "python3 -B python/xmlrpc_client.py {url}",
		differs: map[string]difference{
			"i8":        {"error int exceeds XML-RPC limits", only32},
			"string_cr": {`got ['a\nb']`, rawCR},
		},
	},
	{
		name: "Python aioxmlrpc 0.6.4", packages: "python3-aioxmlrpc python3-httpx",
		run: "/usr/bin/python3 -B python/aioxmlrpc_client.py {url}",
		differs: map[string]difference{
			"i8":        {"error int exceeds XML-RPC limits", only32},
			"string_cr": {`got ['a\nb']`, rawCR},
		},
	},
	{
		name: "Perl RPC::XML 0.82", packages: "librpc-xml-perl",
		run: "perl perl/rpc_xml.pl {url}",
	},
	{
		name: "Perl XMLRPC::Lite 0.717", packages: "libxmlrpc-lite-perl",
		run: "perl perl/xmlrpc_lite.pl {url}",
		differs: map[string]difference{
			"i8":  {"error Wrong/unsupported datatype 'i8'", noI8},
			"nil": {"got [()]", "it sends an empty value for nil, which is an empty string"},
		},
	},
	{
		name: "Perl Frontier::Client 0.07b4", packages: "libfrontier-rpc-perl",
		run: "perl perl/frontier.pl {url}",
		differs: map[string]difference{
			"i8":             {"", noI8},
			"string_accents": {"error HTTP::Message content must be bytes", "it takes characters beyond Latin-1 for bytes"},
			"string_emoji":   {"error HTTP::Message content must be bytes", "it takes characters beyond Latin-1 for bytes"},
			"string_cr":      {`got [(a\nb)]`, rawCR},
			"base64":         {"got [(AAECAwQF", "it hands over the text of base64, broken into lines when sent and whole when received"},
			"struct_odd":     {"fault -32702 ", "it writes names in Latin-1 under a declaration of UTF-8"},
			"nil":            {"", noNil},
		},
	},
	{
		name: "Perl XML::RPC::Fast 0.8", packages: "libxml-rpc-fast-perl",
		run: "perl perl/rpc_fast.pl {url}",
		differs: map[string]difference{
			"datetime": {"fault 499 ", "it refuses the date of the specification, which it can send"},
			"nil":      {"", noNil},
		},
	},
	{
		name: "Ruby xmlrpc 0.3.2", packages: "ruby ruby-xmlrpc",
		run: "ruby ruby/xmlrpc.rb {url}",
		differs: map[string]difference{
			"i8":        {"error Integer is too big!", only32},
			"string_cr": {`got ["a\nb"]`, rawCR},
		},
	},
	{
		name: "PHP xmlrpc 1.0.0RC3", packages: "php-cli php-xmlrpc",
		run: "php php/xmlrpc.php {url}",
		differs: map[string]difference{
			"i8":           {"got [1]", "it sends the low 32 bits"},
			"double_exact": {"got [0.3]", fifteen},
			"double_small": {"got [0", "it writes doubles with 6 digits after the point"},
			"string_cr":    {`got ["a\nb"]`, rawCR},
			"struct_empty": {"got [[]]", "it sends an empty array for an empty struct"},
			"nil":          {`got [""]`, "it sends an empty string for nil"},
		},
	},
	{
		name: "C xmlrpc-c 1.33.14", packages: "gcc libc6-dev libxmlrpc-core-c3-dev",
		build: []string{"gcc -o {dir}/calls c/xmlrpc.c -lxmlrpc_client -lxmlrpc -lxmlrpc_util"},
		run:   "{dir}/calls {url}",
		differs: map[string]difference{
			"double_exact": {"got <value><array><data>  <value><double>0.3000000000000001<", ownDoubles},
			"double_small": {"got <value><array><data>  <value><double>0.0000001000000000000000", ownDoubles},
			"string_emoji": {"error -510 ", onlyBMP},
			"string_cr":    {"got <value><array><data>  <value><string>a b<", lossyCR},
		},
	},
	{
		name: "C++ xmlrpc-c 1.33.14", packages: "g++ libxmlrpc-c++8-dev",
		build: []string{"g++ -std=c++17 -o {dir}/calls cpp/xmlrpc.cpp -lxmlrpc_client++ -lxmlrpc++"},
		run:   "{dir}/calls {url}",
		differs: map[string]difference{
			"double_exact": {"got [double 0.3000000000000001, ]", ownDoubles},
			"double_small": {"got [double 1.0000000000000005e-07, ]", ownDoubles},
			"string_emoji": {"error 4-byte supposed UTF-8 string", onlyBMP},
			"string_cr":    {"got [string a b, ]", lossyCR},
		},
	},
	{
		name: "C++ flxmlrpc 0.1.4", packages: "g++ libflxmlrpc-dev",
		build: []string{"g++ -std=c++17 -o {dir}/calls cpp/flxmlrpc.cpp -lflxmlrpc"},
		run:   "{dir}/calls {host} {port}",
		differs: map[string]difference{
			"i8":        {"fault -32600 ", "it writes an empty param for one"},
			"string_cr": {"got <value><array><data><value>a b<", rawCR},
			"datetime":  {"got <value><array><data><value><dateTime.iso8601>39261221T19:35:03<", "it reads the year without taking 1900 off and the month without taking 1 off"},
		},
	},
	{
		name: "Tcl xmlrpc 0.3", packages: "tcl tcl-xmlrpc",
		run: "tclsh -encoding utf-8 tcl/xmlrpc.tcl {root} RPC2",
		differs: map[string]difference{
			"string_markup": {"got {faultCode -32700} {faultString {not well formed", unescaped},
			"string_cr":     {"error", "it sends the line end as two, and takes an empty line in the answer for the end of its head"},
			"struct_odd":    {"got {faultCode -32700} {faultString {not well formed", unescaped},
			"nil":           {"", noNil},
		},
	},
	{
		name: "Lua xmlrpc 1.2.1", packages: "lua5.1 lua-xmlrpc",
		run: "lua5.1 lua/xmlrpc.lua {url}",
		differs: map[string]difference{
			"i8":            {"fault -32600 ", "it writes a large integer with an exponent"},
			"double_exact":  {"got {1=number:0.29999999999999999}", fifteen},
			"string_markup": {"fault -32700 not well formed", unescaped},
			"string_cr":     {`got {1=string:a\nb}`, rawCR},
			"struct_odd":    {"fault -32700 not well formed", unescaped},
			"datetime":      {"", "it can only read one"},
			"base64":        {"", "it can only read one"},
			"nil":           {"", noNil},
		},
	},
	{
		name: "OCaml XmlRpc-Light 0.6.1", packages: "ocaml ocaml-findlib libxmlrpc-light-ocaml-dev",
		build: []string{
			"ocamlfind ocamlopt -w -58 -package xmlrpc-light -c -o {dir}/calls.cmx ocaml/xmlrpc.ml",
			"ocamlfind ocamlopt -w -58 -package xmlrpc-light -linkpkg -o {dir}/calls {dir}/calls.cmx",
		},
		run: "{dir}/calls {url}",
		differs: map[string]difference{
			"i8":           {"got [9007199254740993]", intTag},
			"double_exact": {"got [0.3]", "it writes doubles with 12 digits"},
			"string_cr":    {`got [a\nb]`, rawCR},
		},
	},
	{
		name: "Java aXMLRPC 1.13.0", packages: "openjdk-17-jdk-headless libaxmlrpc-java",
		build: []string{"javac -J-XX:TieredStopAtLevel=1 -proc:none -encoding UTF-8 -cp /usr/share/java/axmlrpc.jar -d {dir} java/Calls.java"},
		run:   "java -XX:TieredStopAtLevel=1 -cp {dir}:/usr/share/java/axmlrpc.jar Calls {url}",
		differs: map[string]difference{
			"string_cr":  {`got [[a\nb]]`, rawCR},
			"struct_odd": {"fault -32700 not well formed", unescapedKey},
		},
	},
	{
		name: "Node xmlrpc 1.3.2", packages: "nodejs, and npm ci --prefix integration/clients/node",
		run: "node node/xmlrpc.js {url}",
		differs: map[string]difference{
			"i8": {`got ["9007199254740991"]`, intTag},
		},
	},
	{name: "Go kolo/xmlrpc", packages: "none, it is in go.mod", calls: koloCalls, differs: koloDiffers},
	{name: "curl", packages: "curl", calls: curlCalls},
}
