# The methods of the Launchpad namespace. Whatever Bugzilla's own methods can do is left to them,
# so that permissions, types and faults are theirs in every version.

package Bugzilla::Extension::Trackgate::WebService;

use 5.10.1;
use strict;
use warnings;

use parent qw(Bugzilla::WebService);

use Bugzilla;
use Bugzilla::Auth::Persist::Cookie;
use Bugzilla::Bug;
use Bugzilla::Constants;
use Bugzilla::Error;
use Bugzilla::User;
use Bugzilla::Util qw(datetime_from);
use Bugzilla::WebService::Bug;

use Bugzilla::Extension::Trackgate::Gateway;

use DateTime;
use Scalar::Util qw(blessed);

use constant PUBLIC_METHODS => qw(plugin_version time login get_bugs comments add_comment set_link);
use constant READ_ONLY      => qw(plugin_version time get_bugs comments);
use constant LOGIN_EXEMPT   => {plugin_version => 1, time => 1, login => 1};

use constant API_VERSION => '1.0';

# The members of a bug, in Bugzilla's own names.
use constant BUG_FIELDS => [
  qw(id alias summary status resolution priority severity product component assigned_to
    creation_time last_change_time is_open)
];

# The members of a comment, and what Bugzilla's own method calls them.
use constant COMMENT_FIELDS => {id => 'id', author => 'creator', number => 'count', text => 'text', time => 'time'};

# The error for each verdict of the gateway's.
use constant VERDICTS => {
  Bugzilla::Extension::Trackgate::Gateway::CONFIRMED,   undef,
  Bugzilla::Extension::Trackgate::Gateway::REFUSED,     'trackgate_not_confirmed',
  Bugzilla::Extension::Trackgate::Gateway::UNREACHABLE, 'trackgate_unreachable',
  Bugzilla::Extension::Trackgate::Gateway::NOT_SET_UP,  'trackgate_not_set_up',
};

# The largest number that a column of type INT4 holds, and an XML-RPC int.
use constant LARGEST_LINK => 2147483647;

sub plugin_version {
  my ($self) = @_;
  return {version => $self->type('string', API_VERSION)};
}

sub time {
  my ($self) = @_;
  my $utc   = DateTime->now(time_zone => 'UTC');
  my $local = $utc->clone->set_time_zone(Bugzilla->local_timezone);
  my ($name, $offset) = ($local->time_zone_short_name, $local->strftime('%z'));

  # A dateTime is always written in UTC: this keeps what the clock on the wall shows.
  $local->set_time_zone('floating')->set_time_zone('UTC');
  return {
    utc_time   => $self->type('dateTime', $utc),
    local_time => $self->type('dateTime', $local),
    tz_name    => $self->type('string',   $name),
    tz_offset  => $self->type('string',   $offset),
  };
}

sub login {
  my ($self, $params) = _arguments(@_);

  # Bugzilla takes a "token" for one of its own, and gives it this name before we see it.
  my ($token) = grep { defined && !ref && length } @$params{qw(token Bugzilla_token)};
  ThrowCodeError('param_required', {function => 'Launchpad.login', param => 'token'}) if !defined $token;

  my $settings = Bugzilla->params;
  my ($verdict, $reason) = Bugzilla::Extension::Trackgate::Gateway::confirm(
    $settings->{trackgate_callback_root}, $token,
    timeout => $settings->{trackgate_timeout},
    ca_file => $settings->{trackgate_ca_file},
    proxy   => $settings->{proxy_url},
  );
  ThrowUserError(VERDICTS->{$verdict}, {reason => $reason}) if defined VERDICTS->{$verdict};

  my $name = $settings->{trackgate_account};
  my $user = length($name // '') ? Bugzilla::User->new({name => $name}) : undef;
  ThrowUserError('trackgate_no_account') if !$user || !$user->is_enabled;
  Bugzilla::Auth::Persist::Cookie->new->persist_login($user);
  return {id => $self->type('int', $user->id)};
}

sub get_bugs {
  my ($self, $params) = _arguments(@_);
  my %wanted = map { $_ => _list($params->{$_}) } qw(ids products);
  if (!defined $wanted{ids} && !defined $wanted{products} && !defined $params->{changed_since}) {
    ThrowCodeError('params_required',
      {function => 'Launchpad.get_bugs', params => [qw(ids products changed_since)]});
  }
  my $narrowed = defined $wanted{products} || defined $params->{changed_since};
  my $since    = _local_time($params->{changed_since});
  my $ids      = $wanted{ids} // Bugzilla->user->visible_bugs(_search(undef, $wanted{products}, $since));
  my $found    = {bugs => [], faults => []};
  if (@$ids) {
    $found = Bugzilla::WebService::Bug->get(
      {ids => $ids, permissive => $params->{permissive}, include_fields => BUG_FIELDS});
  }
  my @bugs = @{$found->{bugs}};
  if ($wanted{ids} && $narrowed) {
    my %match = map { $_ => 1 } @{_search([map { _plain($_->{id}) } @bugs], $wanted{products}, $since)};
    @bugs = grep { $match{_plain($_->{id})} } @bugs;
  }
  my $links = _links(map { _plain($_->{id}) } @bugs);
  foreach my $bug (@bugs) {
    $bug->{internals} = {launchpad_id => $self->type('int', $links->{_plain($bug->{id})} // 0)};
  }
  return {bugs => \@bugs, ($params->{permissive} ? (faults => $found->{faults} // []) : ())};
}

sub comments {
  my ($self, $params) = _arguments(@_);
  my $bug_ids = _list($params->{bug_ids})
    // ThrowCodeError('param_required', {function => 'Launchpad.comments', param => 'bug_ids'});
  my $chosen  = _list($params->{ids});
  my %wanted  = map { $_ => 1 } @{_list($params->{include_fields}) // [keys %{+COMMENT_FIELDS}]};
  my %chosen  = map { $_ => 1 } @{$chosen // []};
  my @members = grep { $wanted{$_} } keys %{+COMMENT_FIELDS};
  return {bugs => {}} if !@$bug_ids;

  my $found = Bugzilla::WebService::Bug->comments(
    {ids => $bug_ids, include_fields => ['id', map { COMMENT_FIELDS->{$_} } @members]});
  my %bugs;
  foreach my $bug_id (keys %{$found->{bugs}}) {
    my @comments = @{$found->{bugs}{$bug_id}{comments}};
    @comments = grep { $chosen{_plain($_->{id})} } @comments if $chosen;
    $bugs{$bug_id} = [map { _comment($_, @members) } @comments];
  }
  return {bugs => \%bugs};
}

sub add_comment {
  my ($self, $params) = _arguments(@_);
  Bugzilla->login(LOGIN_REQUIRED);
  my $added = Bugzilla::WebService::Bug->add_comment({id => $params->{id}, comment => $params->{comment}});
  return {comment_id => $added->{id}};
}

sub set_link {
  my ($self, $params) = _arguments(@_);
  Bugzilla->login(LOGIN_REQUIRED);
  foreach my $name (qw(id launchpad_id)) {
    ThrowCodeError('param_required', {function => 'Launchpad.set_link', param => $name}) if !defined $params->{$name};
  }
  my ($link) = $params->{launchpad_id} =~ /\A\s*([0-9]{1,10})\s*\z/;
  if (!defined $link || $link > LARGEST_LINK) {
    ThrowUserError('number_not_numeric', {num => $params->{launchpad_id}, field => 'launchpad_id'});
  }
  my $bug = Bugzilla::Bug->check_for_edit($params->{id});
  my $dbh = Bugzilla->dbh;
  $dbh->bz_start_transaction();
  my $before = _links($bug->id)->{$bug->id} // 0;
  $dbh->do('DELETE FROM trackgate_links WHERE bug_id = ?', undef, $bug->id);
  if ($link > 0) {
    $dbh->do('INSERT INTO trackgate_links (bug_id, launchpad_id) VALUES (?, ?)', undef, $bug->id, $link);
  }
  $dbh->bz_commit_transaction();
  return {launchpad_id => $self->type('int', $before)};
}

# Returns the invocant and the one struct; a call without one has an empty one.
sub _arguments {
  my ($self, $params) = @_;
  return ($self, ref $params eq 'HASH' ? $params : {});
}

# Returns a list that was sent as an array, or as the only item of one; undef for none.
sub _list {
  my ($sent) = @_;
  return undef if !defined $sent;
  return ref $sent eq 'ARRAY' ? $sent : [$sent];
}

# Returns the value inside what the method type makes of one.
sub _plain {
  my ($value) = @_;
  return blessed $value && $value->can('value') ? scalar $value->value : $value;
}

# Returns a time as it stands in the database. XML-RPC's own dateTime, which is UTC, Bugzilla has
# turned into its local time by now; a string that says no zone is taken for the same.
sub _local_time {
  my ($sent) = @_;
  return undef if !defined $sent;
  my $when = datetime_from($sent, Bugzilla->local_timezone);
  ThrowUserError('illegal_date', {date => $sent}) if !defined $when;
  return $when->ymd . ' ' . $when->hms;
}

# Returns the ids of the bugs, of some or of all, that are of these products and changed at that
# time or later. The caller sees to it that they may be seen.
sub _search {
  my ($ids, $products, $since) = @_;
  my @terms = ('1 = 1');
  my @values;
  foreach my $in (['bugs.bug_id', $ids], ['products.name', $products]) {
    my ($column, $items) = @$in;
    next if !defined $items;
    return [] if !@$items;
    push @terms, "$column IN (" . join(', ', ('?') x @$items) . ')';
    push @values, map { _untainted($_) } @$items;
  }
  if (defined $since) {
    push @terms, 'bugs.delta_ts >= ?';
    push @values, _untainted($since);
  }
  return Bugzilla->dbh->selectcol_arrayref(
    'SELECT bugs.bug_id FROM bugs INNER JOIN products ON products.id = bugs.product_id WHERE '
      . join(' AND ', @terms) . ' ORDER BY bugs.bug_id', undef, @values);
}

# Returns the links of these bugs, by bug id.
sub _links {
  my @ids = map { _untainted($_) } @_;
  return {} if !@ids;
  my $rows = Bugzilla->dbh->selectall_arrayref(
    'SELECT bug_id, launchpad_id FROM trackgate_links WHERE bug_id IN (' . join(', ', ('?') x @ids) . ')',
    undef, @ids);
  return {map { $_->[0] => $_->[1] } @$rows};
}

# Values go to the database as placeholders; Bugzilla's handle takes only those that are untainted.
sub _untainted {
  my ($clean) = $_[0] =~ /\A(.*)\z/s;
  return $clean;
}

# Returns these members of a comment, in our names.
sub _comment {
  my ($comment, @members) = @_;
  return {map { $_ => $comment->{COMMENT_FIELDS->{$_}} } @members};
}

1;
