# Tests of the callback, against servers of this process that answer as a gateway, and worse.

use 5.10.1;
use strict;
use warnings;
use utf8;

use FindBin qw($Bin);
use IO::Socket::INET;
use Test::More;

require "$Bin/../Trackgate/lib/Gateway.pm";

my $gateway = 'Bugzilla::Extension::Trackgate::Gateway';
my @children;

# A server that answers each connection with what it is given, and tells the requests on a pipe.
sub serve {
  my (@answers) = @_;
  my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $@";
  pipe(my $reader, my $writer) or die "pipe: $!";
  my $child = fork // die "fork: $!";
  if (!$child) {
    $writer->autoflush(1);
    foreach my $answer (@answers) {
      my $client = $listener->accept or last;
      my $head = '';
      while ((my $line = <$client>) =~ /\S/) { $head .= $line }
      $head =~ s/\r?\n/|/g;
      print {$writer} "$head\n";
      print {$client} $answer if defined $answer;
      close $client;
    }
    require POSIX;
    POSIX::_exit(0);
  }
  push @children, $child;
  close $writer;
  return ('http://127.0.0.1:' . $listener->sockport, $reader);
}

sub answer { return "HTTP/1.1 $_[0]\r\nContent-Length: 2\r\nConnection: close\r\n" . ($_[1] // '') . "\r\nOK" }

sub confirm { no strict 'refs'; return &{"${gateway}::confirm"}(@_) }

{
  my ($root, $requests) = serve(answer('200 OK'));
  is((confirm("$root/for/gnome/", 'aB3'))[0], 'confirmed', '200 confirms');
  my $request = <$requests>;
  like($request, qr{\APOST /for/gnome/token/aB3/\+bugtracker-handshake HTTP/1\.1\|}, 'the path');
  like($request, qr{\|content-length: 0\|}i, 'the length of an empty body is sent');
}

{
  my @statuses = (201, 202, 204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 410, 429, 500, 503);
  my ($elsewhere) = serve(answer('200 OK'));
  my ($root) = serve(map { answer("$_ X", "Location: $elsewhere/\r\n") } @statuses);
  foreach my $status (@statuses) {
    is_deeply([confirm($root, 'x')], ['refused', "HTTP status $status"], "$status refuses, wherever it points");
  }
}

{
  my %segments = (
    '../good/../x'    => '..%2Fgood%2F..%2Fx',
    'a?b#c%d e'       => 'a%3Fb%23c%25d%20e',
    'tok+en=&é'       => 'tok%2Ben%3D%26%C3%A9',
    '...'             => '...',
    '%2e%2e'          => '%252e%252e',
    "a\r\nHost: x"    => 'a%0D%0AHost%3A%20x',
    '3-sessionlike'   => '3-sessionlike',
  );
  foreach my $token (sort keys %segments) {
    no strict 'refs';
    is(&{"${gateway}::callback_url"}('https://gate', $token),
      "https://gate/token/$segments{$token}/+bugtracker-handshake", 'a token stays one segment of the path');
  }
  foreach my $token (undef, '', '.', '..', 'x' x 257, 'é' x 129, [], {}) {
    is_deeply([confirm('http://127.0.0.1:1', $token)], ['refused', 'no token'], 'what is no token is not asked about');
  }
}

{
  my $unused = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $@";
  my $port   = $unused->sockport;
  close $unused;
  my @absent = confirm("http://127.0.0.1:$port", 's3cret');
  is_deeply(\@absent, ['unreachable', 'the gateway could not be reached'], 'nobody is there');

  my ($root) = serve(undef);
  is((confirm($root, 'x'))[0], 'unreachable', 'the gateway hangs up');

  my $silent = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $@";
  is((confirm('http://127.0.0.1:' . $silent->sockport, 'x', timeout => 1))[0], 'unreachable', 'the gateway is silent');
}

{
  local @ENV{qw(http_proxy HTTP_PROXY all_proxy)} = ('http://127.0.0.1:1') x 3;
  my ($root) = serve(answer('200 OK'));
  is((confirm($root, 'x'))[0], 'confirmed', 'proxies of the environment are not used');
}

foreach my $root (undef, '', 'gate.example.org', 'ftp://gate', 'https://', 'https://h:port', 'https://u:p@h',
  'https://h/?x', 'https://h/#f', "https://h/\nx")
{
  is((confirm($root, 'x'))[0], 'not set up', 'a root that is none');
}
foreach my $root ('https://gate.example.org', ' https://gate.example.org:8443/for/gnome// ', 'http://[::1]:80/') {
  no strict 'refs';
  unlike(&{"${gateway}::check_root"}($root), qr{/\z|\s}, 'a root, without what is around it');
}

waitpid($_, 0) foreach grep { kill(TERM => $_) } @children;
done_testing();
