# Tests of the methods, on the stub of Bugzilla in stubs/.

use 5.10.1;
use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/stubs";
use Test::More;

use Bugzilla;
use Bugzilla::Extension;
require "$Bin/../Trackgate/Config.pm";
require "$Bin/../Trackgate/Extension.pm";
use Bugzilla::Extension::Trackgate::Params;
use Bugzilla::Extension::Trackgate::WebService;

my $class = 'Bugzilla::Extension::Trackgate::WebService';

# Calls a method and takes the types off its result; a fault is "code text".
sub result {
  my ($method, @params) = @_;
  my $value = eval { $class->$method(@params) };
  return defined $value ? bare($value) : ref $@ ? $@->faultcode . ' ' . $@->faultstring : die $@;
}

sub bare {
  my ($value) = @_;
  return ref $value eq 'HASH' ? {map { $_ => bare($value->{$_}) } keys %$value}
    : ref $value eq 'ARRAY' ? [map { bare($_) } @$value]
    : ref $value ? scalar $value->value
    :              $value;
}

my $dbh = Bugzilla->dbh;
$dbh->do('INSERT INTO products VALUES (?, ?)', undef, @$_) foreach [1, 'Widgets'], [2, 'Gadgets'];
$dbh->do('INSERT INTO bugs VALUES (?, ?, ?)', undef, @$_)
  foreach [1, 1, '2026-06-01 05:30:00'], [2, 2, '2026-06-02 00:00:00'], [12, 1, '2026-06-03 00:00:00'], [14, 1, '2026-06-03 00:00:00'];

sub ids { return [map { $_->{id} } @{result('get_bugs', @_)->{bugs}}] }

subtest 'hooks' => sub {
  my (%dispatch, %errors, %panels, %schema);
  Bugzilla::Extension::Trackgate->webservice({dispatch => \%dispatch});
  Bugzilla::Extension::Trackgate->webservice_error_codes({error_map => \%errors});
  Bugzilla::Extension::Trackgate->config_add_panels({panel_modules => \%panels});
  Bugzilla::Extension::Trackgate->db_schema_abstract_schema({schema => \%schema});
  is_deeply(\%dispatch, {Launchpad => $class}, 'the namespace');
  is_deeply([sort { $a <=> $b } values %errors], [390 .. 393], 'the codes');
  is_deeply([keys %schema], ['trackgate_links'], 'the table');
  my %params = map { $_->{name} => $_ } $panels{Trackgate}->get_param_list;
  is($params{trackgate_callback_root}{checker}->('https://gate.example.org/for/gnome'), '', 'a good root');
  ok($params{trackgate_callback_root}{checker}->('gate.example.org'), 'a bad root');
  ok($params{trackgate_timeout}{checker}->('soon'), 'a bad time limit');
  ok($params{trackgate_ca_file}{checker}->('/nonexistent'), 'a bad file');
  can_ok($class, $class->PUBLIC_METHODS);
};

subtest 'login' => sub {
  no warnings 'redefine';
  my (@asked, @verdict);
  local *Bugzilla::Extension::Trackgate::Gateway::confirm = sub { @asked = @_; return @verdict };
  foreach my $name (qw(token Bugzilla_token)) {
    @verdict = ('confirmed', 'HTTP status 200');
    is_deeply(result('login', {$name => '3-FAKEsession'}), {id => 3}, "logged in by $name");
    is($asked[1], '3-FAKEsession', 'the token is asked about');
  }
  is_deeply(\@Bugzilla::persisted, [3, 3], 'the cookies are those of the account');
  foreach my $case (
    ['refused', 'HTTP status 410', qr/\A390 .*HTTP status 410/], ['unreachable', 'why', qr/\A391 /],
    ['not set up', 'why', qr/\A393 /])
  {
    (@verdict[0, 1], my $want) = @$case;
    like(result('login', {token => 'x'}), $want, $case->[0]);
  }
  @verdict = ('confirmed', '');
  foreach my $account ('closed@example.org', 'nobody@example.org', '', undef) {
    local $Bugzilla::params{trackgate_account} = $account;
    like(result('login', {token => 'x'}), qr/\A392 /, 'no account');
  }
  like(result('login', @$_), qr/\A50 param_required/, 'no token') foreach [], [{}], [{token => ''}], [{token => []}], [[1]];
  is_deeply(\@Bugzilla::persisted, [3, 3], 'nobody else was logged in');
};

subtest 'versions and time' => sub {
  is_deeply(result('plugin_version'), {version => '1.0'}, 'the version');
  my $time = $class->time;
  is("$time->{tz_name}{value} $time->{tz_offset}{value}", 'IST +0530', 'the zone');
  my $ahead = $time->{local_time}{value}->epoch - $time->{utc_time}{value}->epoch;
  is($ahead, 5.5 * 3600, 'the local time is what the clock on the wall shows');
};

subtest 'bugs' => sub {
  is_deeply(ids({ids => [1, 12]}), [1, 12], 'by id');
  is_deeply(ids({ids => 1}), [1], 'by one id that is no array');
  is_deeply(ids({ids => []}), [], 'none');
  is_deeply(result('get_bugs', {ids => [1, 99, 14], permissive => 1})->{faults}, [
    {id => 99, faultCode => 101, faultString => 'Bug #99 does not exist.'},
    {id => 14, faultCode => 102, faultString => 'You are not authorized to access bug #14.'}], 'what is missing');
  ok(!exists result('get_bugs', {ids => [1]})->{faults}, 'no faults unless permissive');
  like(result('get_bugs', {ids => [99]}), qr/\A101 /, 'a missing bug is a fault otherwise');
  like(result('get_bugs', @$_), qr/\A50 params_required/, 'nothing asked for') foreach [], [{}];
  is_deeply(ids({products => ['Widgets']}), [1, 12], 'by product, without what may not be seen');
  is_deeply(ids({products => 'Nowhere'}), [], 'an unknown product');
  is_deeply(ids({products => []}), [], 'no product');
  is_deeply(ids({changed_since => '2026-06-02 00:00:00'}), [2, 12], 'changed since is inclusive');
  is_deeply(ids({changed_since => '2026-06-02 00:00:01'}), [12], 'one second later');
  my $both = result('get_bugs', {ids => [1, 12, 99], changed_since => '2026-06-02 00:00:00', permissive => 1});
  is_deeply([[map { $_->{id} } @{$both->{bugs}}], scalar @{$both->{faults}}], [[12], 1], 'the ids narrowed down');
  like(result('get_bugs', {changed_since => 'yesterday'}), qr/\A56 /, 'no date');
  is_deeply([sort keys %{result('get_bugs', {ids => [1]})->{bugs}[0]}],
    [sort @{$class->BUG_FIELDS}, 'internals'], 'the members of a bug');
};

subtest 'comments' => sub {
  my $all = result('comments', {bug_ids => [1]})->{bugs}{1};
  is_deeply($all->[0], {id => 1, author => 'bob@example.org', number => 0, text => 'Text 1', time => 'then'}, 'all of it');
  is_deeply(result('comments', {bug_ids => 1, include_fields => ['id']}), {bugs => {1 => [{id => 1}, {id => 2}, {id => 3}]}}, 'only the ids');
  is_deeply(result('comments', {bug_ids => [1], ids => [1, 3, 99], include_fields => ['number', 'nonsense']}),
    {bugs => {1 => [{number => 0}, {number => 2}]}}, 'chosen ones, an unknown one left out');
  is_deeply(result('comments', {bug_ids => []}), {bugs => {}}, 'no bugs');
  like(result('comments', {bug_ids => [99]}), qr/\A101 /, 'a missing bug');
  like(result('comments', {ids => [1]}), qr/\A50 /, 'no bug ids');
};

subtest 'writes' => sub {
  like(result('add_comment', {id => 1, comment => 'x'}), qr/\A410 /, 'a comment without a session');
  like(result('set_link', {id => 1, launchpad_id => 5}), qr/\A410 /, 'a link without a session');
  local $Bugzilla::session = 'gate@example.org';
  is_deeply(result('add_comment', {id => 1, comment => 'x'}), {comment_id => 124}, 'a comment');
  like(result('add_comment', {id => 1, comment => ' '}), qr/\A50 /, 'an empty comment');
  like(result('add_comment', {id => 99, comment => 'x'}), qr/\A101 /, 'a comment on a missing bug');
  foreach my $step ([501, 0], [502, 501], ['0', 502], [0, 0], [7, 0]) {
    my ($new, $before) = @$step;
    is_deeply(result('set_link', {id => 12, launchpad_id => $new}), {launchpad_id => $before}, "link $new, after $before");
  }
  is(result('get_bugs', {ids => [12]})->{bugs}[0]{internals}{launchpad_id}, 7, 'the link of a bug');
  is(result('get_bugs', {ids => [1]})->{bugs}[0]{internals}{launchpad_id}, 0, 'no link is 0');
  like(result('set_link', {id => 12, launchpad_id => $_}), qr/\A52 /, "no link: $_") foreach 'lp:5', -1, '', 2147483648;
  like(result('set_link', {id => 12}), qr/\A50 /, 'no link at all');
  like(result('set_link', {id => 99, launchpad_id => 5}), qr/\A101 /, 'a link of a missing bug');
  like(result('set_link', {id => 14, launchpad_id => 5}), qr/\A102 /, 'a link of a bug that may not be seen');
};

done_testing();
