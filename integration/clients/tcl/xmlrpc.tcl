# Calls a gateway with tcl-xmlrpc; the arguments are its URL without a path, and the path.
# To be run with "tclsh -encoding utf-8".
package require xmlrpc

lassign $argv url path

# The package counts characters for its Content-length, so each must be one byte.
encoding system iso8859-1
proc utf8 {text} { encoding convertto utf-8 $text }

proc report {args} { puts [join [lmap part $args { string map {\n \\n \t \\t \r \\r} $part }] \t] }

# echo calls bridge.echo; what comes back is of plain values, as the sample must be given.
proc echo {check params plain} {
    if {[catch { xmlrpc::call $::url $::path bridge.echo $params } got]} {
        report $check "error [string range $got 0 200]"
    } elseif {[lindex $got 1] eq $plain} {
        report $check ok
    } else {
        report $check "got [string range [lindex $got 1] 0 200]"
    }
}

set bytes [binary format c* [lmap i [lrepeat 256 0] { incr n; expr {$n - 1} }]]
set long [string repeat x 300000]
foreach {check type value} [list \
    int int -2147483648  i8 int 9007199254740993  boolean_true boolean 1  boolean_false boolean 0 \
    double double -2.5  double_exact double 0.30000000000000004  double_small double 1e-7 \
    string string plain  string_empty string {}  string_markup string {<&>"']]>} \
    string_accents string [utf8 "Žluťoučký café 日本"]  string_emoji string [utf8 \U1f642] \
    string_blanks string {  a  b }  string_lines string a\nb\tc  string_cr string a\r\nb \
    string_digits string 042  string_long string $long \
    datetime dateTime.iso8601 20261121T19:35:03  base64 base64 [binary encode base64 $bytes] \
] { echo $check [list [list $type $value]] [list $value] }

set inner(b) {array {{int 1} {int 2}}}
set outer(a) {struct inner}
set flat(id) {int 7}
set flat(title) {string x}
set odd(<k>) {int 1}
array set empty {}
echo array {{array {{int 1} {string two} {boolean 1}}}} {{1 two 1}}
echo array_empty {{array {}}} {{}}
echo array_nested {{array {{array {{int 1} {array {{int 2} {array {}}}}}}}}} {{{1 {2 {}}}}}
echo struct {{struct flat}} {{{id 7} {title x}}}
echo struct_empty {{struct empty}} {{}}
echo struct_nested {{struct outer}} {{{a {{b {1 2}}}}}}
echo struct_odd {{struct odd}} {{{<k> 1}}}
echo params {{int 1} {string two} {double 3.5}} {1 two 3.5}
echo no_params {} {}

foreach {check method params} {fault trackers.getLink {{string nowhere} {string 1}}  unknown no.such.method {}} {
    report $check {*}[lmap member [lindex [xmlrpc::call $url $path $method $params] 1] { lindex $member 1 }]
}
report token [lindex [xmlrpc::call $url $path bugs.newBugTrackerToken {}] 1]
report methods {*}[lindex [xmlrpc::call $url $path system.listMethods {}] 1]
