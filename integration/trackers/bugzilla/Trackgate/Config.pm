package Bugzilla::Extension::Trackgate;

use 5.10.1;
use strict;
use warnings;

use constant NAME => 'Trackgate';

# HTTP::Tiny comes with Perl, from 5.26 on in this version, which can be told to use no proxy of
# the environment. It needs the other for https.
use constant REQUIRED_MODULES => [
  {package => 'HTTP-Tiny',     module => 'HTTP::Tiny',      version => '0.058'},
  {package => 'IO-Socket-SSL', module => 'IO::Socket::SSL', version => '1.56'},
];

__PACKAGE__->NAME;
