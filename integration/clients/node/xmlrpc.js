// Calls a gateway with the package xmlrpc, whose URL is the argument.
'use strict';
const assert = require('assert');
const xmlrpc = require('xmlrpc');

// A number goes out by its looks; 2.0 would be an int.
const samples = {
  int: [-2147483648], i8: [2 ** 53 - 1], boolean_true: [true], boolean_false: [false],
  double: [-2.5], double_exact: [0.1 + 0.2], double_small: [1e-7],
  string: ['plain'], string_empty: [''], string_markup: ['<&>"\']]>'], string_accents: ['Žluťoučký café 日本'],
  string_emoji: ['🙂'], string_blanks: ['  a  b '], string_lines: ['a\nb\tc'], string_cr: ['a\r\nb'],
  string_digits: ['042'], string_long: ['x'.repeat(300000)],
  datetime: [new Date(2026, 10, 21, 19, 35, 3)], base64: [Buffer.from([...Array(256).keys()])],
  array: [[1, 'two', true]], array_empty: [[]], array_nested: [[[1, [2, []]], [{ a: [3] }]]],
  struct: [{ id: 7, title: 'x' }], struct_empty: [{}], struct_nested: [{ a: { b: { c: [1, 2] } } }],
  struct_odd: [{ '<k & é>': 1, 'with space': 2 }],
  nil: [null], params: [1, 'two', 3.5], no_params: [],
};

const client = xmlrpc.createClient(process.argv[2]);
const call = (method, params) => new Promise((resolve, reject) =>
  client.methodCall(method, params, (error, value) => (error ? reject(error) : resolve(value))));
const report = (...parts) => console.log(parts.map((part) => String(part).replace(/\n/g, '\\n')).join('\t'));

async function main() {
  for (const [check, sent] of Object.entries(samples)) {
    try {
      const got = await call('bridge.echo', sent);
      try {
        assert.deepStrictEqual(got, sent);
        report(check, 'ok');
      } catch {
        report(check, 'got ' + JSON.stringify(got).slice(0, 200));
      }
    } catch (error) {
      report(check, error.faultCode === undefined ? `error ${error.message}` : `fault ${error.faultCode} ${error.faultString}`);
    }
  }
  for (const [check, method, params] of [['fault', 'trackers.getLink', ['nowhere', '1']], ['unknown', 'no.such.method', []]]) {
    await call(method, params).then((value) => report(check, `got ${value}`), (error) => report(check, error.faultCode, error.faultString));
  }
  report('token', await call('bugs.newBugTrackerToken', []));
  report('methods', ...await call('system.listMethods', []));
}

main();
