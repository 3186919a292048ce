#!/usr/bin/ruby
# Calls a gateway with ruby-xmlrpc, whose URL is the argument.
require 'xmlrpc/client'

XMLRPC::Config.send(:remove_const, :ENABLE_NIL_PARSER)
XMLRPC::Config.send(:remove_const, :ENABLE_NIL_CREATE)
XMLRPC::Config::ENABLE_NIL_PARSER = true
XMLRPC::Config::ENABLE_NIL_CREATE = true

SAMPLES = {
  int: [-2147483648], i8: [9007199254740993], boolean_true: [true], boolean_false: [false],
  double: [-2.5], double_exact: [0.1 + 0.2], double_small: [1e-7],
  string: ['plain'], string_empty: [''], string_markup: ['<&>"\']]>'], string_accents: ['Žluťoučký café 日本'],
  string_emoji: ['🙂'], string_blanks: ['  a  b '], string_lines: ["a\nb\tc"], string_cr: ["a\r\nb"],
  string_digits: ['042'], string_long: ['x' * 300_000],
  datetime: [XMLRPC::DateTime.new(2026, 11, 21, 19, 35, 3)],
  base64: [XMLRPC::Base64.new((0..255).to_a.pack('C*'))],
  array: [[1, 'two', true]], array_empty: [[]], array_nested: [[[1, [2, []]], [{ 'a' => [3] }]]],
  struct: [{ 'id' => 7, 'title' => 'x' }], struct_empty: [{}], struct_nested: [{ 'a' => { 'b' => { 'c' => [1, 2] } } }],
  struct_odd: [{ '<k & é>' => 1, 'with space' => 2 }],
  nil: [nil], params: [1, 'two', 3.5], no_params: []
}.freeze

def report(*parts) = puts(parts.map { |part| part.to_s.gsub("\n", '\n') }.join("\t"))

# base64 comes back as a string of bytes, and a date has no eql? of its own.
def same?(sent, got)
  case sent
  when XMLRPC::Base64 then sent.decoded.eql?(got)
  when XMLRPC::DateTime then sent == got
  else sent.eql?(got)
  end
end

client = XMLRPC::Client.new2(ARGV[0])
SAMPLES.each do |check, sent|
  got = client.call('bridge.echo', *sent)
  report(check, sent.size == got.size && sent.zip(got).all? { |s, g| same?(s, g) } ? 'ok' : "got #{got.inspect[0, 200]}")
rescue StandardError => e
  report(check, "error #{e.message}")
end
[['fault', 'trackers.getLink', 'nowhere', '1'], ['unknown', 'no.such.method']].each do |check, *call|
  report(check, "got #{client.call(*call)}")
rescue XMLRPC::FaultException => e
  report(check, e.faultCode, e.faultString)
end
report('token', client.call('bugs.newBugTrackerToken'))
report('methods', *client.call('system.listMethods'))
