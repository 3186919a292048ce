#!/usr/bin/perl
# Calls a gateway with RPC::XML, whose URL is the argument.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Checks;
use RPC::XML;
use RPC::XML::Client;

$RPC::XML::ENCODING  = 'utf-8';
$RPC::XML::ALLOW_NIL = 1;
my $client = RPC::XML::Client->new($ARGV[0]);

Checks::run(
    make => {
        int      => sub { RPC::XML::int->new(@_) },
        i8       => sub { RPC::XML::i8->new(@_) },
        boolean  => sub { RPC::XML::boolean->new(@_) },
        double   => sub { RPC::XML::double->new(@_) },
        string   => sub { RPC::XML::string->new(@_) },
        datetime => sub { RPC::XML::datetime_iso8601->new(@_) },
        base64   => sub { RPC::XML::base64->new(@_) },
        nil      => sub { RPC::XML::nil->new },
    },
    call => sub {
        my $answer = $client->send_request(@_);
        die "$answer\n" unless ref $answer;
        die [$answer->code, $answer->string] if $answer->is_fault;
        return $answer;
    },
    open => sub {
        my ($value) = @_;
        return (ref $value, $value) if ref $value eq 'ARRAY' || ref $value eq 'HASH';
        return ('array', [@$value]) if $value->isa('RPC::XML::array');
        return ('struct', {%$value}) if $value->isa('RPC::XML::struct');
        return (ref $value, $value->value);
    },
);
