#!/usr/bin/perl
# Calls a gateway with XMLRPC::Lite, whose URL is the argument.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Checks;
use XMLRPC::Lite;

my $client = XMLRPC::Lite->proxy($ARGV[0]);
my $typed = sub { my ($type) = @_; sub { XMLRPC::Data->type($type => @_) } };

Checks::run(
    make => {
        int      => $typed->('int'),
        i8       => $typed->('i8'),
        boolean  => $typed->('boolean'),
        double   => $typed->('double'),
        string   => $typed->('string'),
        datetime => $typed->('dateTime'),
        base64   => $typed->('base64'),
        nil      => sub { undef },
    },
    call => sub {
        my $answer = $client->call(@_);
        die [$answer->faultcode, $answer->faultstring] if $answer->fault;
        return $answer->result;
    },
    # What comes back has no types any more.
    open => sub { my ($value) = @_; ('', ref $value && ref $value ne 'ARRAY' && ref $value ne 'HASH' ? $value->value : $value) },
);
