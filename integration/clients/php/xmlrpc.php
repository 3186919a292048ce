<?php
// Calls a gateway with PHP's xmlrpc extension over a stream context, whose URL is the argument.

function call(string $method, array $params): mixed
{
    global $argv;
    $options = ['encoding' => 'UTF-8', 'escaping' => ['markup']];
    $context = stream_context_create(['http' => [
        'method' => 'POST', 'header' => 'Content-Type: text/xml', 'content' => xmlrpc_encode_request($method, $params, $options),
    ]]);
    return xmlrpc_decode(file_get_contents($argv[1], false, $context), 'UTF-8');
}

function typed(string $value, string $type): mixed
{
    xmlrpc_set_type($value, $type);
    return $value;
}

function report(string ...$parts): void
{
    echo implode("\t", str_replace(["\n", "\t"], ['\n', '\t'], $parts)), "\n";
}

$samples = [
    'int' => [-2147483648], 'i8' => [9007199254740993], 'boolean_true' => [true], 'boolean_false' => [false],
    'double' => [-2.5], 'double_exact' => [0.1 + 0.2], 'double_small' => [1e-7],
    'string' => ['plain'], 'string_empty' => [''], 'string_markup' => ['<&>"\']]>'], 'string_accents' => ['Žluťoučký café 日本'],
    'string_emoji' => ['🙂'], 'string_blanks' => ['  a  b '], 'string_lines' => ["a\nb\tc"], 'string_cr' => ["a\r\nb"],
    'string_digits' => ['042'], 'string_long' => [str_repeat('x', 300000)],
    'datetime' => [typed('20261121T19:35:03', 'datetime')], 'base64' => [typed(implode(array_map('chr', range(0, 255))), 'base64')],
    'array' => [[1, 'two', true]], 'array_empty' => [[]], 'array_nested' => [[[1, [2, []]], [['a' => [3]]]]],
    'struct' => [['id' => 7, 'title' => 'x']], 'struct_empty' => [new stdClass()],
    'struct_nested' => [['a' => ['b' => ['c' => [1, 2]]]]], 'struct_odd' => [['<k & é>' => 1, 'with space' => 2]],
    'nil' => [null], 'params' => [1, 'two', 3.5], 'no_params' => [],
];
foreach ($samples as $check => $sent) {
    $got = call('bridge.echo', $sent);
    if (is_array($got) && array_key_exists('faultCode', $got)) {
        report($check, "fault {$got['faultCode']} {$got['faultString']}");
        continue;
    }
    // Objects, as those of dates and base64, are equal when their members are; all else must be the same.
    $same = is_object($sent[0] ?? null) ? $got == $sent : $got === $sent;
    report($check, $same ? 'ok' : 'got ' . substr(json_encode($got, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE), 0, 200));
}
foreach (['fault' => ['trackers.getLink', 'nowhere', '1'], 'unknown' => ['no.such.method']] as $check => $call) {
    $got = call(array_shift($call), $call);
    report($check, (string) $got['faultCode'], $got['faultString']);
}
report('token', call('bugs.newBugTrackerToken', []));
report('methods', ...call('system.listMethods', []));
