# The checks that all Perl stacks make, told apart by how each makes and shows values.
package Checks;
use strict;
use warnings;
use utf8;

binmode STDOUT, ':encoding(UTF-8)';

# run makes all the checks. It takes: make, a hash of type name => function that makes a
# value of that type, where a type that is left out does not exist in the stack; call, a
# function of a method and values that returns the result, or dies with [code, text] for a
# fault; and open, which makes plain of the stack's own value what show can show.
sub run {
    my (%stack) = @_;
    my ($make, $call, $open) = @stack{qw(make call open)};
    my ($int, $string, $double) = @$make{qw(int string double)};
    my @samples = (
        int           => sub { $int->(-2147483648) },
        i8            => sub { $make->{i8}->('9007199254740993') },
        boolean_true  => sub { $make->{boolean}->(1) },
        boolean_false => sub { $make->{boolean}->(0) },
        double        => sub { $double->(-2.5) },
        double_exact  => sub { $double->('0.30000000000000004') },
        double_small  => sub { $double->('1e-7') },
        string        => sub { $string->('plain') },
        string_empty  => sub { $string->('') },
        string_markup => sub { $string->(q{<&>"']]>}) },
        string_accents => sub { $string->('Žluťoučký café 日本') },
        string_emoji  => sub { $string->('🙂') },
        string_blanks => sub { $string->('  a  b ') },
        string_lines  => sub { $string->("a\nb\tc") },
        string_cr     => sub { $string->("a\r\nb") },
        string_digits => sub { $string->('042') },
        string_long   => sub { $string->('x' x 300000) },
        datetime      => sub { $make->{datetime}->('20261121T19:35:03') },
        base64        => sub { $make->{base64}->(join '', map { chr } 0 .. 255) },
        array         => sub { [$int->(1), $string->('two'), $make->{boolean}->(1)] },
        array_empty   => sub { [] },
        array_nested  => sub { [[$int->(1), [$int->(2), []]], [{ a => [$int->(3)] }]] },
        struct        => sub { { id => $int->(7), title => $string->('x') } },
        struct_empty  => sub { {} },
        struct_nested => sub { { a => { b => { c => [$int->(1), $int->(2)] } } } },
        struct_odd    => sub { { '<k & é>' => $int->(1), 'with space' => $int->(2) } },
        nil           => sub { $make->{nil}->() },
        params        => sub { ($int->(1), $string->('two'), $double->(3.5)) },
        no_params     => sub { () },
    );
    while (my ($check, $values) = splice @samples, 0, 2) {
        next if exists $make->{$check} && !$make->{$check};
        my @sent = $values->();
        my $got = eval { $call->('bridge.echo', @sent) };
        my $shown = defined $got ? show($got, $open) : '';
        report($check, $@ ? failure($@) : $shown eq show(\@sent, $open) ? 'ok' : 'got ' . substr $shown, 0, 200);
    }
    for (['fault', 'trackers.getLink', $string->('nowhere'), $string->('b1')], ['unknown', 'no.such.method']) {
        my ($check, @call) = @$_;
        eval { $call->(@call); report($check, 'no fault'); 1 } or report($check, ref $@ eq 'ARRAY' ? @{$@} : "error $@");
    }
    report('token', plain($call->('bugs.newBugTrackerToken'), $open));
    report('methods', @{ plain($call->('system.listMethods'), $open) });
    return;
}

sub failure { my ($why) = @_; return ref $why eq 'ARRAY' ? "fault $why->[0] $why->[1]" : "error $why"; }

# plain opens a value, and what an array has in it.
sub plain {
    my ($value, $open) = @_;
    my (undef, $inner) = $open->($value);
    return ref $inner eq 'ARRAY' ? [map { plain($_, $open) } @$inner] : $inner;
}

# show writes a value with its types, members in order.
sub show {
    my ($value, $open) = @_;
    my ($type, $inner) = $open->($value);
    return 'nil' unless defined $inner;
    return '[' . join(', ', map { show($_, $open) } @$inner) . ']' if ref $inner eq 'ARRAY';
    return '{' . join(', ', map { "$_: " . show($inner->{$_}, $open) } sort keys %$inner) . '}' if ref $inner eq 'HASH';
    # Two spellings of one number are equal, but 042 is no number.
    $inner = sprintf '%.17g', $inner if $inner =~ /^-?\d*(\.\d+)?(e-?\d+)?$/ && $inner =~ /[.e]/;
    return "$type($inner)";
}

sub report {
    my @parts = @_;
    s/\n/\\n/g, s/\t/\\t/g, s/\r/\\r/g for @parts;
    print join("\t", @parts), "\n";
    return;
}

1;
