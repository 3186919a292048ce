#!/usr/bin/perl
# Calls a gateway with Frontier::Client, whose URL is the argument.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Checks;
use Frontier::Client;
use MIME::Base64;

my $client = Frontier::Client->new(url => $ARGV[0], encoding => 'utf-8');

Checks::run(
    make => {
        int      => sub { $client->int(@_) },
        boolean  => sub { $client->boolean(@_) },
        double   => sub { $client->double(@_) },
        string   => sub { $client->string(@_) },
        datetime => sub { $client->date_time(@_) },
        base64   => sub { $client->base64(encode_base64($_[0])) },
        i8       => undef,
        nil      => undef,
    },
    call => sub {
        my $result = eval { $client->call(@_) };
        return $result unless $@;
        die [$1, $2] if $@ =~ /^Fault returned from XML RPC Server, fault code (\S+): (.*)\n/;
        die $@;
    },
    # Numbers and strings come back plain; the other scalars are objects, as when sent.
    open => sub { my ($value) = @_; ('', ref $value && ref $value ne 'ARRAY' && ref $value ne 'HASH' ? $value->value : $value) },
);
