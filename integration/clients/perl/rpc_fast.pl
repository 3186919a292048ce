#!/usr/bin/perl
# Calls a gateway with XML::RPC::Fast, whose URL is the argument.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Checks;
use MIME::Base64;
use XML::RPC::Fast;
use XML::RPC::Enc::LibXML;

my $client = XML::RPC::Fast->new($ARGV[0], encoder => XML::RPC::Enc::LibXML->new(internal_encoding => undef));
# A scalar blessed into a type's name is sent as that type.
my $typed = sub { my ($type) = @_; sub { my ($value) = @_; bless \$value, $type } };

Checks::run(
    make => {
        int      => $typed->('i4'),
        i8       => $typed->('i8'),
        boolean  => $typed->('boolean'),
        double   => $typed->('double'),
        string   => $typed->('string'),
        datetime => $typed->('dateTime.iso8601'),
        base64   => sub { $typed->('base64')->(encode_base64($_[0])) },
        nil      => undef,
    },
    call => sub {
        my $result = eval { $client->call(@_) };
        return $result unless $@;
        die [$1, $2] if $@ =~ /^Remote Error \[(\S+)\]: (.*) at /;
        die $@;
    },
    # What comes back has no types any more, but for a DateTime.
    open => sub {
        my ($value) = @_;
        return ('', $value) if !ref $value || ref $value eq 'ARRAY' || ref $value eq 'HASH';
        return ('', decode_base64($$value)) if ref $value eq 'base64';
        return ('', ref $value eq 'DateTime' ? $value->strftime('%Y%m%dT%H:%M:%S') : $$value);
    },
);
