# As much of Bugzilla's API as the extension uses, on SQLite, so that its tests run without a
# Bugzilla. It says nothing of whether the extension uses that API rightly: only a real one does.

package Bugzilla;

use strict;
use warnings;

use DBI;

our %params = (trackgate_callback_root => '', trackgate_account => 'gate@example.org', trackgate_timeout => 5);
our $session;      # the login name of the caller's session, if it has one
our @persisted;    # the ids of those who were logged in
our $dbh;

sub params         { return \%params }
sub local_timezone { return 'Asia/Kolkata' }
sub user           { return Bugzilla::User->new({name => $session}) || bless {}, 'Bugzilla::User' }

sub login {
  my ($class, $required) = @_;
  Bugzilla::Error::throw(410, 'login_required') if $required && !$session;
  return $class->user;
}

sub dbh {
  return $dbh if $dbh;
  $dbh = bless DBI->connect('dbi:SQLite:dbname=:memory:', '', '', {RaiseError => 1, PrintError => 0}), 'Bugzilla::DB';
  $dbh->do($_) foreach (
    'CREATE TABLE products (id INTEGER, name TEXT)',
    'CREATE TABLE bugs (bug_id INTEGER, product_id INTEGER, delta_ts TEXT)',
    'CREATE TABLE trackgate_links (bug_id INTEGER UNIQUE, launchpad_id INTEGER NOT NULL)',
  );
  return $dbh;
}

package Bugzilla::DB;
our @ISA = ('DBI::db');
sub bz_start_transaction  { $_[0]->begin_work }
sub bz_commit_transaction { $_[0]->commit }

package Bugzilla::Fault;
sub faultcode   { return $_[0]{code} }
sub faultstring { return $_[0]{string} }

package Bugzilla::Error;
use constant CODES => {
  param_required => 50, params_required => 50, number_not_numeric => 52, illegal_date => 56,
  trackgate_not_confirmed => 390, trackgate_unreachable => 391, trackgate_no_account => 392, trackgate_not_set_up => 393,
};
sub throw { my ($code, $text) = @_; die bless {code => $code, string => $text}, 'Bugzilla::Fault' }

sub import {
  my $into = caller;
  no strict 'refs';
  foreach my $name (qw(ThrowUserError ThrowCodeError)) {
    *{"${into}::$name"} = sub {
      my ($error, $vars) = @_;
      throw(CODES->{$error} // 32000, join ' ', $error, map { $vars->{$_} } grep { !ref $vars->{$_} } sort keys %{$vars // {}});
    };
  }
}

package Bugzilla::Constants;
sub import { no strict 'refs'; *{caller() . '::LOGIN_REQUIRED'} = sub () {2} }

package Bugzilla::Util;

sub import {
  no strict 'refs';
  *{caller() . '::datetime_from'} = sub {
    my ($text, $zone) = @_;
    my @parts = $text =~ /\A(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\z/ or return undef;
    my %of;
    @of{qw(year month day hour minute second)} = @parts;
    return DateTime->new(%of, time_zone => $zone);
  };
}

package Bugzilla::User;
our %accounts = ('gate@example.org' => {id => 3}, 'closed@example.org' => {id => 4, disabledtext => 'left'});

sub new {
  my ($class, $by) = @_;
  my $account = $accounts{$by->{name} // ''} or return undef;
  return bless {%$account}, $class;
}
sub id           { return $_[0]{id} // 0 }
sub disabledtext { return $_[0]{disabledtext} // '' }
sub is_enabled   { return $_[0]->disabledtext ? 0 : 1 }
sub visible_bugs { return [grep { $_ != 14 } @{$_[1]}] }

package Bugzilla::Auth::Persist::Cookie;
sub new { return bless {}, shift }
sub persist_login { push @Bugzilla::persisted, $_[1]->id }

package Bugzilla::Bug;

sub check {
  my ($class, $id) = @_;
  my ($found) = Bugzilla->dbh->selectrow_array('SELECT bug_id FROM bugs WHERE bug_id = ?', undef, $id);
  Bugzilla::Error::throw(101, "Bug #$id does not exist.") if !$found;
  Bugzilla::Error::throw(102, "You are not authorized to access bug #$id.") if $found == 14;
  return bless {id => $found}, $class;
}
sub check_for_edit { my $class = shift; return $class->check(@_) }
sub id             { return $_[0]{id} }

package Bugzilla::WebService;
sub type { my ($self, $type, $value) = @_; return bless {type => $type, value => $value}, 'XMLRPC::Data' }

package XMLRPC::Data;
sub value { my $self = shift; return wantarray ? ($self->{value}) : $self->{value} }

package Bugzilla::WebService::Bug;
our @ISA = ('Bugzilla::WebService');
our @comments = map { {id => $_, creator => 'bob@example.org', count => $_ - 1, text => "Text $_", time => 'then', bug_id => 1} } 1 .. 3;

sub get {
  my ($self, $params) = @_;
  my (@bugs, @faults);
  foreach my $id (@{$params->{ids}}) {
    my $bug = eval { Bugzilla::Bug->check($id) };
    if (my $error = $@) {
      die $error if !$params->{permissive};
      push @faults, {id => $id, faultCode => $error->faultcode, faultString => $error->faultstring};
      next;
    }
    push @bugs, {map { $_ => $self->type('string', $_ eq 'id' ? $bug->id : "$_ of it") } @{$params->{include_fields}}};
  }
  return {bugs => \@bugs, faults => \@faults};
}

sub comments {
  my ($self, $params) = @_;
  my %bugs;
  foreach my $id (@{$params->{ids}}) {
    my $bug = Bugzilla::Bug->check($id);
    my @found = map { my $of = $_; +{map { $_ => $self->type('string', $of->{$_}) } @{$params->{include_fields}}} } @comments;
    $bugs{$bug->id} = {comments => \@found};
  }
  return {bugs => \%bugs, comments => {}};
}

sub add_comment {
  my ($self, $params) = @_;
  Bugzilla::Error::throw(50, 'param_required comment') if ($params->{comment} // '') !~ /\S/;
  Bugzilla::Bug->check($params->{id});
  return {id => $self->type('int', 124)};
}

package main;
$INC{"Bugzilla/$_.pm"} = __FILE__ foreach qw(Auth/Persist/Cookie Bug Constants Error User Util WebService WebService/Bug);

1;
