# The callback: asks the gateway whether a token is its own. Needs no Bugzilla.

package Bugzilla::Extension::Trackgate::Gateway;

use 5.10.1;
use strict;
use warnings;

use HTTP::Tiny;

# Seconds that a callback may take in all.
use constant DEFAULT_TIMEOUT => 10;

# No token of a gateway is nearly as long, in UTF-8.
use constant LONGEST_TOKEN => 256;

# The gateway's answer is one line.
use constant LONGEST_ANSWER => 65536;

# What confirm answers, besides a reason for people that never holds the token.
use constant {CONFIRMED => 'confirmed', REFUSED => 'refused', UNREACHABLE => 'unreachable', NOT_SET_UP => 'not set up'};

# Returns a callback root without the slash at its end, and untainted; undef when it is none.
sub check_root {
  my ($root) = @_;
  return undef if !defined $root;
  my ($clean) = $root =~ m{\A\s*(https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#]*)?)\s*\z};
  $clean =~ s{/+\z}{} if defined $clean;
  return $clean;
}

# Returns the URL to POST to, or undef for what is no token. Whatever the token is, it stays one
# segment of the path.
sub callback_url {
  my ($root, $token) = @_;
  return undef if !defined $token || ref $token;

  # Clients and proxies take dots out of a path, however they are written.
  return undef if $token =~ /\A\.{0,2}\z/;
  my $bytes = $token;
  utf8::encode($bytes);
  return undef if length $bytes > LONGEST_TOKEN;
  $bytes =~ s/([^A-Za-z0-9_.~-])/sprintf('%%%02X', ord $1)/ge;
  return "$root/token/$bytes/+bugtracker-handshake";
}

# Returns CONFIRMED when the gateway has said 200, else one of the others and why. Options:
# timeout in seconds, ca_file with certificates to verify against, proxy.
# Certificates are verified, redirects are not followed, and proxies of the environment, where a
# CGI program finds headers of its caller too, are not used.
sub confirm {
  my ($root, $token, %options) = @_;
  $root = check_root($root);
  return (NOT_SET_UP, 'the callback root is no http or https URL') if !defined $root;
  my $url = callback_url($root, $token);
  return (REFUSED, 'no token') if !defined $url;

  my $limit = $options{timeout} || DEFAULT_TIMEOUT;
  my $http  = HTTP::Tiny->new(
    agent        => 'trackgate-bugzilla/1.0',
    max_redirect => 0,
    max_size     => LONGEST_ANSWER,
    timeout      => $limit,
    verify_SSL   => 1,
    http_proxy   => $options{proxy} || undef,
    https_proxy  => $options{proxy} || undef,
    proxy        => $options{proxy} || undef,
    ($options{ca_file} ? (SSL_options => {SSL_ca_file => $options{ca_file}}) : ()),
  );

  # HTTP::Tiny's timeout holds for each read alone; it turns the death of a handler into 599.
  local $SIG{ALRM} = sub { die "no answer within $limit seconds\n" };
  my $before = alarm($limit);
  my $answer = $http->request('POST', $url,
    {headers => {'content-length' => 0, 'content-type' => 'application/x-www-form-urlencoded'}, content => ''});
  alarm($before);

  # 599 is HTTP::Tiny's own, for whatever went wrong. Its text quotes the URL at times.
  return (UNREACHABLE, 'the gateway could not be reached') if $answer->{status} == 599;
  return (CONFIRMED, 'HTTP status 200') if $answer->{status} == 200;
  return (REFUSED, "HTTP status $answer->{status}");
}

1;
